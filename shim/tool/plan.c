/* pqbudget plan: how many connections each instance is to have. */
#include "conninfo/value.h"
#include "tool/database.h"
#include "tool/server.h"
#include "tool/text.h"
#include "tool/verbs.h"
#include "tool/view_plan.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WORK_MEM_BY_DEFAULT (4u << 20)
#define HEADROOM_BY_DEFAULT 15

static const struct option longs[] = {
    {"app", required_argument, NULL, 'a'},
    {"max-connections", required_argument, NULL, 'm'},
    {"headroom", required_argument, NULL, 'r'},
    {"cores", required_argument, NULL, 'c'},
    {"server", required_argument, NULL, 's'},
    {"apply", no_argument, NULL, 'p'},
    {"env", no_argument, NULL, 'e'},
    {"json", no_argument, NULL, 'j'},
    PQB_CALL_OPTIONS,
};

struct request {
    struct pqb_view_plan plan;
    char name[PQB_SIZING_APPS][PQB_LABEL_BYTES];
    const char *server; /* whose budget is set */
    int applies, is_env, is_json, is_over;
};

/* What the server was reached by, for lines that lead there too. */
struct place {
    struct pqb_url url;
    char key[PQB_SERVER_KEY_SIZE];
};

/* ---- what is asked ---- */

/* A number from 1 on, of so many digits; the rest begins behind it. */
static int take_number(const char **text, uint32_t *number)
{
    size_t digits = strspn(*text, "0123456789");
    long long value;
    if (!pqb_value_number(*text, digits, &value) || value < 1 || value > PQB_SIZING_MOST)
        return 0;
    *number = (uint32_t)value;
    *text += digits;
    return 1;
}

/* NAME=REPLICAS[xSIZE][:WEIGHT]; the name may have a "=" of its own. */
static enum pqb_exit take_app(const struct pqb_call *call, struct request *request)
{
    struct pqb_sizing *sizing = &request->plan.sizing;
    const char *equals = strrchr(optarg, '='), *text = equals ? equals + 1 : "";
    if (sizing->apps == PQB_SIZING_APPS)
        return pqb_call_misused(call, "more than %d --app", PQB_SIZING_APPS);
    struct pqb_sizing_app app = {.weight = 1, .present = PQB_SIZING_UNTOLD};
    if (!take_number(&text, &app.replicas) ||
        (*text == 'x' && (text++, !take_number(&text, &app.present))) ||
        (*text == ':' && (text++, !take_number(&text, &app.weight))) || *text)
        return pqb_call_misused(call,
                                "--app wants NAME=REPLICAS, NAME=REPLICASxPOOL or "
                                "NAME=REPLICAS:WEIGHT, not '%.80s'",
                                optarg);
    size_t length = (size_t)(equals - optarg);
    if (!length || length >= PQB_LABEL_BYTES)
        return pqb_call_misused(call, "an application's name has 1 to %u bytes",
                                PQB_LABEL_BYTES - 1);
    app.name = memcpy(request->name[sizing->apps], optarg, length);
    sizing->app[sizing->apps++] = app;
    return PQB_EXIT_DONE;
}

static enum pqb_exit take_headroom(const struct pqb_call *call, struct pqb_sizing *sizing)
{
    size_t length = strlen(optarg);
    long long value;
    sizing->headroom_is_percent = length && optarg[length - 1] == '%';
    if (!pqb_value_number(optarg, length - (size_t)sizing->headroom_is_percent, &value) ||
        value > (sizing->headroom_is_percent ? 100 : PQB_SIZING_MOST))
        return pqb_call_misused(call, "--headroom wants a number or a percentage, not '%.80s'",
                                optarg);
    sizing->headroom = (uint32_t)value;
    return PQB_EXIT_DONE;
}

static enum pqb_exit take_count(const struct pqb_call *call, const char *option, uint32_t *count)
{
    const char *text = optarg;
    if (take_number(&text, count) && !*text)
        return PQB_EXIT_DONE;
    return pqb_call_misused(call, "%s wants a number, not '%.80s'", option, optarg);
}

static enum pqb_exit take_option(const struct pqb_call *call, int option, struct request *request)
{
    switch (option) {
    case 'a':
        return take_app(call, request);
    case 'm':
        return take_count(call, "--max-connections", &request->plan.sizing.max_connections);
    case 'r':
        return take_headroom(call, &request->plan.sizing);
    case 'c':
        return take_count(call, "--cores", &request->plan.cores);
    case 's':
        request->server = optarg;
        return PQB_EXIT_DONE;
    case 'p':
        request->applies = 1;
        return PQB_EXIT_DONE;
    case 'e':
        request->is_env = 1;
        return PQB_EXIT_DONE;
    default:
        request->is_json = 1;
        return PQB_EXIT_DONE;
    }
}

static enum pqb_exit take_options(struct pqb_call *call, struct request *request)
{
    enum pqb_exit code;
    const struct pqb_sizing *sizing = &request->plan.sizing;
    for (int option; (option = pqb_call_option(call, ":h", longs)) != PQB_CALL_DONE;) {
        if (option == PQB_CALL_END) {
            request->is_over = 1;
            return call->end;
        }
        if ((code = take_option(call, option, request)))
            return code;
    }
    if (!sizing->apps)
        return pqb_call_misused(call, "no --app to plan for");
    unsigned present = 0;
    for (unsigned i = 0; i < sizing->apps; i++)
        present += sizing->app[i].present != PQB_SIZING_UNTOLD;
    if (present && present < sizing->apps)
        return pqb_call_misused(call, "either every --app says its present pool, or none");
    return PQB_EXIT_DONE;
}

/* ---- what the server says ---- */

static const char question[] =
    "SELECT current_setting('max_connections'),"
    " sum(setting::int) FILTER (WHERE name LIKE '%reserved\\_connections'),"
    " sum(setting::bigint * 1024) FILTER (WHERE name = 'work_mem')"
    " FROM pg_catalog.pg_settings WHERE name = 'work_mem' OR name LIKE '%reserved\\_connections'";

static uint64_t number_in(const PGresult *rows, int column)
{
    return strtoull(PQgetvalue(rows, 0, column), NULL, 10);
}

static char *copy(const char *text)
{
    return text && *text ? strdup(text) : NULL;
}

static void keep_place(const struct pqb_database *database, struct place *place)
{
    snprintf(place->key, sizeof place->key, "%s", database->key);
    place->url.user = copy(PQuser(database->conn));
    place->url.host = copy(PQhost(database->conn));
    place->url.port = copy(PQport(database->conn));
    place->url.database = copy(PQdb(database->conn));
}

static enum pqb_exit ask(const struct pqb_call *call, struct pqb_view_plan *plan,
                         struct place *place)
{
    struct pqb_database database;
    struct pqb_error error = {{0}};
    enum pqb_status status = pqb_database_open(call->conninfo, &database, &error);
    if (status)
        return pqb_database_report(status, &error);
    PGresult *rows = pqb_database_ask(&database, question, &error);
    if (rows) {
        if (!plan->sizing.max_connections)
            plan->sizing.max_connections = (uint32_t)number_in(rows, 0);
        plan->sizing.reserved = (uint32_t)number_in(rows, 1);
        plan->work_mem = number_in(rows, 2);
        plan->asked_server = 1;
        plan->cores_are_here = database.is_near;
        keep_place(&database, place);
        plan->server = *place->key ? place->key : NULL;
    }
    PQclear(rows);
    pqb_database_close(&database);
    return rows ? PQB_EXIT_DONE : pqb_database_report(PQB_ABSENT, &error);
}

/* A URI is kept as it was said: who wrote it knows why. */
static const char *own_uri(const struct pqb_call *call)
{
    const char *said = call->conninfo ? call->conninfo : getenv("DATABASE_URL");
    const char *scheme = said ? strstr(said, "://") : NULL;
    return scheme && !memchr(said, '=', (size_t)(scheme - said)) ? said : NULL;
}

static enum pqb_exit learn(const struct pqb_call *call, struct request *request,
                           struct place *place)
{
    struct pqb_view_plan *plan = &request->plan;
    int is_given = plan->cores > 0;
    plan->cores_are_here = 1;
    if (call->conninfo || !plan->sizing.max_connections) {
        enum pqb_exit code = ask(call, plan, place);
        if (code)
            return code;
        place->url.uri = own_uri(call);
    }
    plan->cores_are_here &= !is_given;
    if (plan->cores_are_here)
        plan->cores = (uint32_t)sysconf(_SC_NPROCESSORS_ONLN);
    if (request->is_env)
        plan->url = &place->url;
    return PQB_EXIT_DONE;
}

/* ---- what comes of it ---- */

static enum pqb_exit apply(const struct pqb_call *call, struct request *request,
                           const struct place *place)
{
    const struct pqb_sizing *sizing = &request->plan.sizing;
    struct pqb_steer change = pqb_steer_nothing;
    if (sizing->pooler == PQB_SIZING_TOO_MANY)
        return pqb_report(PQB_EXIT_NO,
                          "not applied: %u instances are more than the connections "
                          "that are to be had",
                          sizing->instances);
    change.server = request->server ? request->server : *place->key ? place->key : NULL;
    change.make = change.server != NULL;
    change.limit = sizing->limit;
    change.reserve = sizing->reserve;
    change.slack = sizing->slack;
    enum pqb_exit code = pqb_server_steer(call, &change, 0);
    if (!code)
        request->plan.applied = change.server ? change.server : "the only server in the ledger";
    return code;
}

static void show(const struct request *request)
{
    struct pqb_screen screen = pqb_screen_look();
    if (request->is_json)
        pqb_view_plan_json(&request->plan, stdout);
    else if (request->is_env)
        pqb_view_plan_env(&request->plan, stdout);
    else
        pqb_view_plan_text(&request->plan, &screen, stdout);
}

/* Is what there is, or else what is planned, as it should be? */
static enum pqb_exit answer(const struct pqb_sizing *sizing)
{
    const struct pqb_sizing_sum *sum = sizing->has_present ? &sizing->present : &sizing->plan;
    return sum->verdict ? PQB_EXIT_NO : PQB_EXIT_DONE;
}

static enum pqb_exit run(struct pqb_call *call)
{
    struct place place = {0};
    struct request request = {.plan = {.sizing = {.reserved = PQB_SIZING_UNTOLD,
                                                  .headroom = HEADROOM_BY_DEFAULT,
                                                  .headroom_is_percent = 1},
                                       .work_mem = WORK_MEM_BY_DEFAULT}};
    enum pqb_exit code = take_options(call, &request);
    if (code || request.is_over)
        return code;
    code = learn(call, &request, &place);
    if (!code) {
        pqb_sizing_solve(&request.plan.sizing);
        if (request.applies)
            code = apply(call, &request, &place);
        if (!code || code == PQB_EXIT_NO)
            show(&request);
        if (!code)
            code = answer(&request.plan.sizing);
    }
    free((char *)place.url.user);
    free((char *)place.url.host);
    free((char *)place.url.port);
    free((char *)place.url.database);
    return code;
}

const struct pqb_verb pqb_verb_plan = {
    .name = "plan",
    .arguments = "[CONNINFO] --app NAME=REPLICAS[xPOOL][:WEIGHT]...\n"
                 "                     [--max-connections N] [--headroom N|P%] [--cores N]\n"
                 "                     [--apply] [--server KEY] [--env] [--json]",
    .summary = "Work out how many connections each instance can have",
    .help = "  CONNINFO           ask this server for its numbers; without, and without\n"
            "                     --max-connections, $DATABASE_URL, else what PGHOST... say\n"
            "  --app web=3        three instances\n"
            "  --app web=3:2      each of them is to have twice what others have\n"
            "  --app web=3x20     each has a pool of 20 now: is that too many?\n"
            "  --max-connections N\n"
            "                     instead of what the server says\n"
            "  --headroom N|P%    keep so many connections free, or so much; 15% if unsaid\n"
            "  --cores N          that the server has, if it is elsewhere\n"
            "  --apply            set the budget so: every planned connection is admitted\n"
            "  --server KEY       whose budget, if not CONNINFO's\n"
            "  --env              print DATABASE_URL lines to paste, with no password\n"
            "  --json             one line of JSON\n"
            "\nExit status: 0 it fits, 1 too many (now, if every --app says so; else planned).\n",
    .takes_conninfo = 1,
    .run = run,
};
