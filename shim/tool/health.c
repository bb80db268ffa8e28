/* pqbudget health: for whoever watches many machines. */
#include "tool/health.h"

#include "conninfo/value.h"
#include "ledger/os.h"
#include "tool/database.h"
#include "tool/json.h"
#include "tool/look.h"
#include "tool/text.h"
#include "tool/verbs.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

const char *pqb_health_name(enum pqb_health_level level)
{
    static const char *const names[] = {"ok", "warning", "critical", "unknown"};
    return names[level];
}

/* ---- judging ---- */

static int is_known(const struct pqb_health *health)
{
    return health->total >= 0 && health->limit > 0;
}

static long long percent_of(const struct pqb_health *health)
{
    return health->total * 100 / health->limit;
}

static void judge(struct pqb_health *health, const struct pqb_health_bars *bars)
{
    long long percent = percent_of(health);
    health->level = percent >= bars->crit   ? PQB_HEALTH_CRITICAL
                    : percent >= bars->warn ? PQB_HEALTH_WARNING
                                            : PQB_HEALTH_OK;
}

static void begin(struct pqb_health *health)
{
    *health = (struct pqb_health){
        .level = PQB_HEALTH_UNKNOWN,
        .limit = PQB_HEALTH_UNTOLD,
        .total = PQB_HEALTH_UNTOLD,
        .idle = PQB_HEALTH_UNTOLD,
        .active = PQB_HEALTH_UNTOLD,
        .waiting = PQB_HEALTH_UNTOLD,
    };
}

void pqb_health_fail(struct pqb_health *health, const char *why)
{
    begin(health);
    snprintf(health->why, sizeof health->why, "%s", why);
}

/* ---- the ledger's ---- */

static void look_at(const struct pqb_snapshot_server *server, const struct pqb_health_bars *bars,
                    struct pqb_health *health)
{
    begin(health);
    memcpy(health->server, server->key, sizeof health->server);
    health->total = server->used;
    health->waiting = server->waiting;
    if (server->config.limit == PQB_UNLIMITED) {
        snprintf(health->why, sizeof health->why, "the ledger sets no limit");
        return;
    }
    health->limit = server->config.limit;
    judge(health, bars);
    if (server->config.paused && health->level == PQB_HEALTH_OK) {
        health->level = PQB_HEALTH_WARNING;
        snprintf(health->why, sizeof health->why, "paused: nobody gets a connection");
    }
}

/* Who has no limit is nobody's trouble while another has one. */
static int is_worse(const struct pqb_health *one, const struct pqb_health *other)
{
    if (!is_known(one) || !is_known(other))
        return is_known(one) && !is_known(other);
    if (one->level != other->level)
        return one->level > other->level;
    return percent_of(one) > percent_of(other);
}

void pqb_health_of_ledger(const struct pqb_snapshot *snapshot, unsigned only,
                          const struct pqb_health_bars *bars, struct pqb_health *health)
{
    if (only != PQB_NIL) {
        look_at(&snapshot->server[only], bars, health);
        return;
    }
    pqb_health_fail(health, "the ledger knows no server yet: nothing has connected");
    for (unsigned i = 0; i < snapshot->servers; i++) {
        struct pqb_health another;
        look_at(&snapshot->server[i], bars, &another);
        if (!i || is_worse(&another, health))
            *health = another;
    }
}

/* ---- the server's ---- */

/* Whose rows are hidden have neither a kind nor a state; of those, the server's own processes have
 * no user. The tool's own connection is not counted. */
static const char question[] =
    "SELECT current_setting('max_connections'), count(*),"
    " CASE WHEN bool_and(backend_type IS NOT NULL) THEN count(*) FILTER (WHERE state = 'idle') END,"
    " CASE WHEN bool_and(backend_type IS NOT NULL) THEN count(*) FILTER (WHERE state = 'active') "
    "END"
    " FROM pg_catalog.pg_stat_activity WHERE pid <> pg_backend_pid() AND coalesce("
    "backend_type = 'client backend', datid IS NOT NULL AND usesysid IS NOT NULL)";

static long long number_in(const PGresult *rows, int column)
{
    return PQgetisnull(rows, 0, column) ? PQB_HEALTH_UNTOLD
                                        : strtoll(PQgetvalue(rows, 0, column), NULL, 10);
}

static void fail_to_ask(struct pqb_health *health, enum pqb_status status,
                        const struct pqb_error *error)
{
    pqb_health_fail(health, error->text);
    /* No connection left is an answer, even if nobody can be asked how many there are. */
    if (status == PQB_FULL)
        health->level = PQB_HEALTH_CRITICAL;
}

void pqb_health_of_server(const char *conninfo, const struct pqb_health_bars *bars,
                          struct pqb_health *health)
{
    struct pqb_database database;
    struct pqb_error error = {{0}};
    PGresult *rows = NULL;
    begin(health);
    enum pqb_status status = pqb_database_open(conninfo, &database, &error);
    if (!status)
        rows = pqb_database_ask(&database, question, &error);
    if (rows) {
        health->limit = number_in(rows, 0);
        health->total = number_in(rows, 1);
        health->idle = health->total ? number_in(rows, 2) : 0;
        health->active = health->total ? number_in(rows, 3) : 0;
        judge(health, bars);
    } else {
        fail_to_ask(health, status, &error);
    }
    health->asked_server = 1;
    snprintf(health->server, sizeof health->server, "%s", database.key);
    PQclear(rows);
    pqb_database_close(&database);
}

/* ---- saying ---- */

static void write_count(struct pqb_json *json, const char *key, long long number)
{
    if (number < 0)
        pqb_json_null(json, key);
    else
        pqb_json_number(json, key, (uint64_t)number);
}

static void write_time(struct pqb_json *json)
{
    uint64_t now = pqb_now_real();
    time_t seconds = (time_t)(now / PQB_SECOND);
    struct tm parts;
    char text[32] = "", whole[48];
    if (gmtime_r(&seconds, &parts))
        strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(whole, sizeof whole, "%s.%03uZ", text, (unsigned)(now % PQB_SECOND / PQB_MS));
    pqb_json_text(json, "timestamp", whole);
}

static void write_use(struct pqb_json *json, const struct pqb_health *health)
{
    char text[128];
    snprintf(text, sizeof text, "%lld of %lld connections are in use (%lld %%)", health->total,
             health->limit, percent_of(health));
    pqb_json_text(json, "warning", text);
}

void pqb_health_json(const struct pqb_health *health, FILE *out)
{
    struct pqb_json json = {.out = out};
    pqb_json_open(&json, NULL, '{');
    pqb_json_text(&json, "status", pqb_health_name(health->level));
    pqb_json_open(&json, "database", '{');
    pqb_json_open(&json, "connections", '{');
    write_count(&json, "total", health->total);
    write_count(&json, "idle", health->idle);
    write_count(&json, "active", health->active);
    write_count(&json, "waiting", health->waiting);
    write_count(&json, "limit", health->limit);
    write_time(&json);
    pqb_json_close(&json, '}');
    pqb_json_text(&json, "server", health->server);
    pqb_json_text(&json, "source", health->asked_server ? "server" : "ledger");
    pqb_json_close(&json, '}');
    if (*health->why)
        pqb_json_text(&json, "warning", health->why);
    else if (health->level)
        write_use(&json, health);
    else
        pqb_json_null(&json, "warning");
    pqb_json_close(&json, '}');
    fputc('\n', out);
}

void pqb_health_text(const struct pqb_health *health, const struct pqb_screen *screen, FILE *out)
{
    static const enum pqb_style styles[] = {PQB_GOOD, PQB_WARN, PQB_BAD, PQB_BAD};
    enum pqb_style style = styles[health->level];
    fprintf(out, "%s%s%s: ", pqb_screen_on(screen, style), pqb_health_name(health->level),
            pqb_screen_off(screen, style));
    pqb_text_print(out, health->server, PQB_TEXT_ALL, screen->ascii_only);
    if (is_known(health))
        fprintf(out, ", %lld of %lld connections in use (%lld %%)", health->total, health->limit,
                percent_of(health));
    if (health->idle >= 0 && health->active >= 0)
        fprintf(out, ", %lld idle, %lld active", health->idle, health->active);
    if (health->waiting >= 0)
        fprintf(out, ", %lld waiting", health->waiting);
    if (*health->why) {
        fputs(", ", out);
        pqb_text_print(out, health->why, PQB_TEXT_ALL, screen->ascii_only);
    }
    fprintf(out, " (%s)\n", health->asked_server ? "asked the server" : "asked the ledger");
}

/* ---- the verb ---- */

static const struct option longs[] = {
    {"warn", required_argument, NULL, 'w'},
    {"crit", required_argument, NULL, 'c'},
    {"server", required_argument, NULL, 's'},
    {"json", no_argument, NULL, 'j'},
    PQB_CALL_OPTIONS,
};

struct request {
    struct pqb_health_bars bars;
    const char *server;
    int is_json, is_over;
};

static enum pqb_exit take_bar(const struct pqb_call *call, const char *option, unsigned *bar)
{
    long long value;
    size_t length = strlen(optarg);
    if (length && optarg[length - 1] == '%')
        length--;
    if (!pqb_value_number(optarg, length, &value) || value > 100)
        return pqb_call_misused(call, "%s wants a percentage, not '%.80s'", option, optarg);
    *bar = (unsigned)value;
    return PQB_EXIT_DONE;
}

static void ask_ledger(const struct pqb_call *call, const struct request *request,
                       struct pqb_health *health)
{
    struct pqb_snapshot snapshot;
    unsigned only;
    struct pqb_error error = {{0}};
    char path[PQB_REGION_PATH];
    enum pqb_status status =
        pqb_region_path(call->ledger ? call->ledger : getenv("PQBUDGET_LEDGER"), path, &error);
    if (!status)
        status = pqb_look_at(path, request->server, PQB_LOOK_BOOKS, &snapshot, &only, &error);
    if (status) {
        pqb_health_fail(health, error.text);
        if (status == PQB_ABSENT)
            strncat(health->why, PQB_REPORT_ABSENT, sizeof health->why - 1 - strlen(health->why));
        return;
    }
    pqb_health_of_ledger(&snapshot, only, &request->bars, health);
    pqb_snapshot_free(&snapshot);
}

static enum pqb_exit take_options(struct pqb_call *call, struct request *request)
{
    enum pqb_exit code = PQB_EXIT_DONE;
    for (int option; (option = pqb_call_option(call, ":h", longs)) != PQB_CALL_DONE;) {
        switch (option) {
        case PQB_CALL_END:
            request->is_over = 1;
            return call->end;
        case 'w':
            code = take_bar(call, "--warn", &request->bars.warn);
            break;
        case 'c':
            code = take_bar(call, "--crit", &request->bars.crit);
            break;
        case 's':
            request->server = optarg;
            break;
        default:
            request->is_json = 1;
        }
        if (code)
            return code;
    }
    if (request->bars.warn > request->bars.crit)
        return pqb_call_misused(call, "--warn is above --crit");
    if (request->server && call->conninfo)
        return pqb_call_misused(call, "--server is of the ledger, a connection string is not");
    return PQB_EXIT_DONE;
}

static enum pqb_exit run(struct pqb_call *call)
{
    struct request request = {.bars = PQB_HEALTH_BARS};
    struct pqb_health health;
    enum pqb_exit code = take_options(call, &request);
    if (code || request.is_over) /* 2 is an answer here, and this is none */
        return code ? PQB_EXIT_UNKNOWN : PQB_EXIT_DONE;
    if (call->conninfo)
        pqb_health_of_server(call->conninfo, &request.bars, &health);
    else
        ask_ledger(call, &request, &health);
    if (request.is_json)
        pqb_health_json(&health, stdout);
    if (health.level == PQB_HEALTH_UNKNOWN)
        return pqb_report(PQB_EXIT_UNKNOWN, "cannot tell: %s", health.why);
    if (!request.is_json) {
        struct pqb_screen screen = pqb_screen_look();
        pqb_health_text(&health, &screen, stdout);
    }
    return (enum pqb_exit)health.level;
}

const struct pqb_verb pqb_verb_health = {
    .name = "health",
    .arguments = "[CONNINFO] [--warn 70] [--crit 90]\n"
                 "                       [--server KEY] [--json]",
    .summary = "Say whether connections are running out, by exit status",
    .help = "  CONNINFO           ask this server, and compare with its max_connections;\n"
            "                     without, compare what the ledger counts with its limit\n"
            "  --warn 70          percentage in use from which on it is a warning\n"
            "  --crit 90          percentage from which on it is critical\n"
            "  --server KEY       only this server of the ledger; without, the worst one\n"
            "  --json             one line of JSON, as a health endpoint returns it\n"
            "\nExit status: 0 ok, 1 warning, 2 critical, 3 could not tell, or wrong usage.\n",
    .takes_conninfo = 1,
    .run = run,
};
