/* NULL wherever libpq takes it. */
#include "conns.h"

#include <stdio.h>
#include <string.h>

static void nothing_at_all(void)
{
    char buffer[8] = "";
    const char *message = PQerrorMessage(NULL);
    PQfinish(NULL);
    PQreset(NULL);
    stage_say("resetstart %d", PQresetStart(NULL));
    stage_say("resetpoll %d", PQresetPoll(NULL));
    stage_say("poll %d", PQconnectPoll(NULL));
    stage_say("status %d", PQstatus(NULL));
    stage_say("message %s", message);
    stage_say("cancel %d", PQcancel(NULL, buffer, sizeof buffer));
    stage_say("getcancel %d", PQgetCancel(NULL) != NULL);
    stage_say("requestcancel %d", PQrequestCancel(NULL));
    stage_say("socket %d", PQsocket(NULL));
}

/* Values that are NULL or empty count as not given; so does a list without any keyword. */
static void nothing_given(void)
{
    const char *const keyword[] = {"host", "port", "dbname", "application_name", "options", NULL};
    const char *const value[] = {NULL, "", NULL, NULL, "", NULL};
    const char *const nothing[] = {NULL};
    PGconn *conn[] = {
        PQconnectdb(""),
        PQconnectdbParams(keyword, value, 0),
        PQconnectdbParams(keyword, value, 1),
        PQconnectdbParams(nothing, nothing, 0),
        PQsetdbLogin(NULL, NULL, NULL, NULL, NULL, NULL, NULL),
        PQsetdbLogin("", "", "", "", "", "", ""),
    };
    for (unsigned i = 0; i < sizeof conn / sizeof *conn; i++) {
        stage_say("%u %d %s", i, PQstatus(conn[i]) == CONNECTION_OK, PQerrorMessage(conn[i]));
        PQfinish(conn[i]);
    }
    stage_say("ping %d", PQping(""));
    stage_say("ping %d", PQpingParams(keyword, value, 1));
}

/* Strings that make no sense are libpq's to judge. */
static void nonsense(void)
{
    static const char *const strings[] = {
        "nonsense",
        "postgresql://[::1/x",
        "postgresql://h/d?nonsense=1",
        "host=127.0.0.1 nonsense=1",
        "host='unended",
        "port=99999999 host=127.0.0.1",
        "host=127.0.0.1,127.0.0.1 port=1,2,3",
        "sslmode=nonsense",
        "service=nonsense",
    };
    for (unsigned i = 0; i < sizeof strings / sizeof *strings; i++) {
        char *error = NULL;
        PGconn *conn = PQconnectdb(strings[i]);
        stage_say("%d %s", PQstatus(conn), PQerrorMessage(conn));
        PQfinish(conn);
        conn = PQconnectStart(strings[i]);
        stage_say("%d %d %s", PQstatus(conn), PQconnectPoll(conn), PQerrorMessage(conn));
        PQfinish(conn);
        PQconninfoOption *options = PQconninfoParse(strings[i], &error);
        stage_say("%d %s", options != NULL, error ? error : "");
        PQconninfoFree(options);
        PQfreemem(error);
        options = PQconninfoParse(strings[i], NULL);
        PQconninfoFree(options);
    }
}

const struct stage_step null_steps[] = {
    {"nulls", nothing_at_all},
    {"empty", nothing_given},
    {"nonsense", nonsense},
    {0},
};
