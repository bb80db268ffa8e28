/* What libpq offers beside connections: none of it is charged. */
#include "conns.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void ping(void)
{
    stage_say("ping %d", PQping(stage_argument()));
}

/* HOST PORT DATABASE-OR-CONNINFO, expanded */
static void ping_params(void)
{
    const char *const keyword[] = {"host", "port", "dbname", NULL};
    const char *value[4] = {NULL};
    for (unsigned i = 0; i < 3; i++)
        value[i] = stage_argument();
    stage_say("ping %d", PQpingParams(keyword, value, 1));
}

/* The keywords that have a value, as "keyword=value …". */
static void parse(void)
{
    char *error = NULL, line[2048] = "";
    PQconninfoOption *options = PQconninfoParse(stage_argument(), &error);
    for (PQconninfoOption *option = options; option && option->keyword; option++)
        if (option->val) {
            size_t end = strlen(line);
            snprintf(line + end, sizeof line - end, "%s%s=%s", end ? " " : "", option->keyword,
                     option->val);
        }
    stage_say("%s", options ? line : error ? error : "out of memory");
    PQconninfoFree(options);
    PQfreemem(error);
}

/* The result of a query that was sent, in words. */
static void collect(PGconn *conn)
{
    for (PGresult *result; (result = PQgetResult(conn)); PQclear(result))
        stage_say("%s", PQresultStatus(result) == PGRES_FATAL_ERROR ? PQresultErrorMessage(result)
                                                                    : "done");
}

static void send_query(void)
{
    stage_say("sent %d", PQsendQuery(conns_current(), stage_argument()));
}

static void collect_query(void)
{
    collect(conns_current());
}

static void cancel(void)
{
    char error[256] = "";
    PGcancel *cancel = PQgetCancel(conns_current());
    int done = PQcancel(cancel, error, sizeof error);
    stage_say("cancel %d%s", done, error);
    PQfreeCancel(cancel);
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
static void request_cancel(void)
{
    stage_say("cancel %d", PQrequestCancel(conns_current()));
}
#pragma GCC diagnostic pop

const struct stage_step aside_steps[] = {
    {"ping", ping},
    {"pingparams", ping_params},
    {"parse", parse},
    {"send", send_query},
    {"collect", collect_query},
    {"cancel", cancel},
    {"requestcancel", request_cancel},
    {0},
};
