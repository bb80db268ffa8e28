/* pqbudget doctor: a server against the ledger; who has each connection, what is wrong, what to do.
 */
#include "tool/screen.h"
#include "tool/verbs.h"
#include "tool/view_doctor.h"

static const struct option longs[] = {
    {"json", no_argument, NULL, 'j'},
    PQB_CALL_OPTIONS,
};

static enum pqb_exit show(const struct pqb_checkup *checkup, int is_json)
{
    struct pqb_findings findings;
    struct pqb_screen screen = pqb_screen_look();
    struct pqb_census census = pqb_census_of(checkup);
    struct pqb_view_doctor view = {checkup, &census, &findings};
    pqb_findings_make(checkup, &census, &findings);
    if (is_json)
        pqb_view_doctor_json(&view, stdout);
    else if (!pqb_view_doctor_text(&view, &screen, stdout))
        return pqb_report(PQB_EXIT_UNKNOWN, "out of memory");
    if (checkup->server_status)
        return pqb_database_report(checkup->server_status, &checkup->server_error);
    return pqb_findings_level(&findings) > PQB_LEVEL_INFO ? PQB_EXIT_NO : PQB_EXIT_DONE;
}

static enum pqb_exit run(struct pqb_call *call)
{
    int is_json = 0;
    char path[PQB_REGION_PATH];
    struct pqb_checkup checkup;
    struct pqb_error error = {{0}};
    for (int option; (option = pqb_call_option(call, ":h", longs)) != PQB_CALL_DONE;) {
        if (option == PQB_CALL_END)
            return call->end;
        is_json = 1;
    }
    enum pqb_exit code = pqb_call_path(call, path);
    if (code)
        return code;
    enum pqb_status status = pqb_checkup_make(call->conninfo, path, &checkup, &error);
    if (status)
        return pqb_database_report(status, &error);
    code = show(&checkup, is_json);
    pqb_checkup_free(&checkup);
    return code;
}

const struct pqb_verb pqb_verb_doctor = {
    .name = "doctor",
    .arguments = "[CONNINFO] [--json]",
    .summary = "Compare a server with the ledger: who holds what, and what to do",
    .help = "  CONNINFO           the server; without, $DATABASE_URL, else what PGHOST... say\n"
            "  --json             one line of JSON\n"
            "\nEvery connection is traced to its process, if that is on this machine. As root\n"
            "it sees every process; a role with pg_read_all_stats sees every connection.\n"
            "\nExit status: 0 nothing is wrong, 1 something is, 3 could not ask the server.\n",
    .takes_conninfo = 1,
    .run = run,
};
