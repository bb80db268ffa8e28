/* Each of libpq's functions that open a connection. */
#include "conns.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

/* "-" stands for NULL. */
static const char *maybe(const char *word)
{
    return strcmp(word, "-") ? word : NULL;
}

static void opened(PGconn *conn)
{
    conns_push(conn);
    conns_report(conn);
}

static void connectdb(void)
{
    opened(PQconnectdb(stage_argument()));
}

/* EXPAND KEYWORD=VALUE… . */
struct params {
    int expand;
    const char *keyword[32], *value[32];
};

static struct params take_params(void)
{
    static char text[32][1024];
    struct params params = {.expand = atoi(stage_argument())};
    const char *word[32];
    unsigned words = stage_arguments(word, 32);
    for (unsigned i = 0; i < words; i++) {
        strncpy(text[i], word[i], sizeof text[i] - 1);
        params.keyword[i] = strtok(text[i], "=");
        params.value[i] = strchr(word[i], '=') + 1;
    }
    return params;
}

static void connectdb_params(void)
{
    struct params params = take_params();
    opened(PQconnectdbParams(params.keyword, params.value, params.expand));
}

static void start_params(void)
{
    struct params params = take_params();
    conns_push(PQconnectStartParams(params.keyword, params.value, params.expand));
}

static void start(void)
{
    conns_push(PQconnectStart(stage_argument()));
}

/* HOST PORT OPTIONS DATABASE USER PASSWORD */
static void set_db_login(void)
{
    const char *host = maybe(stage_argument()), *port = maybe(stage_argument());
    const char *options = maybe(stage_argument()), *database = maybe(stage_argument());
    const char *user = maybe(stage_argument()), *password = maybe(stage_argument());
    opened(PQsetdbLogin(host, port, options, NULL, database, user, password));
}

/* To the end, good or bad, as libpq's manual has it. */
static void poll_with(PostgresPollingStatusType (*next)(PGconn *))
{
    PGconn *conn = conns_current();
    PostgresPollingStatusType status = PGRES_POLLING_WRITING;
    if (PQstatus(conn) == CONNECTION_BAD)
        status = next(conn);
    while (status == PGRES_POLLING_WRITING || status == PGRES_POLLING_READING) {
        struct pollfd socket = {.fd = PQsocket(conn)};
        socket.events = status == PGRES_POLLING_WRITING ? POLLOUT : POLLIN;
        poll(&socket, 1, 20000);
        status = next(conn);
    }
    conns_report(conn);
}

static void poll_connect(void)
{
    poll_with(PQconnectPoll);
}

static void reset(void)
{
    PQreset(conns_current());
    conns_report(conns_current());
}

static void reset_start(void)
{
    stage_say("started %d", PQresetStart(conns_current()));
}

static void reset_poll(void)
{
    poll_with(PQresetPoll);
}

static void finish(void)
{
    PQfinish(conns_pop());
}

const struct stage_step opening_steps[] = {
    {"connectdb", connectdb},
    {"params", connectdb_params},
    {"setdb", set_db_login},
    {"start", start},
    {"startparams", start_params},
    {"poll", poll_connect},
    {"reset", reset},
    {"resetstart", reset_start},
    {"resetpoll", reset_poll},
    {"finish", finish},
    {0},
};
