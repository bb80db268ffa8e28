/* pqbudget reset: gives the ledger up. */
#include "ledger/steer.h"
#include "tool/verbs.h"

#include <stdio.h>

static const struct option longs[] = {{"force", no_argument, NULL, 'f'}, PQB_CALL_OPTIONS};

static enum pqb_exit run(struct pqb_call *call)
{
    int force = 0;
    for (int option; (option = pqb_call_option(call, ":h", longs)) != PQB_CALL_DONE; force = 1)
        if (option == PQB_CALL_END)
            return call->end;

    char path[PQB_REGION_PATH];
    struct pqb_error error = {{0}};
    enum pqb_exit code = pqb_call_path(call, path);
    if (code)
        return code;
    enum pqb_status status = pqb_steer_reset(path, force, &error);
    if (status == PQB_ABSENT)
        return pqb_report(PQB_EXIT_UNKNOWN, "%s: nothing to remove; another is named with --ledger",
                          error.text);
    if (status)
        return pqb_report_steer(status, &error);
    printf("removed %s\n", path);
    return PQB_EXIT_DONE;
}

const struct pqb_verb pqb_verb_reset = {
    .name = "reset",
    .arguments = "[--force]",
    .summary = "Remove the ledger, unless something live is in it",
    .help = "  --force            also if it is damaged, or if programs hold connections;\n"
            "                     they go on with a new ledger, which does not count those\n",
    .run = run,
};
