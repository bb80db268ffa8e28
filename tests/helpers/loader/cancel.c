/* The cancel connections of libpq 17 and later, in the library that is current. */
#include "loader.h"

#include <dlfcn.h>
#include <unistd.h>

typedef struct pg_cancel_conn cancel_conn;

static void *function(const char *name)
{
    void *found = dlsym(loader_handle(), name);
    if (!found)
        _exit(2);
    return found;
}

#define CALL(type, name, ...) ((type)function(name))(__VA_ARGS__)

/* CONNINFO: cancels on a connection of its own, once blocking, once polled, once again after a
 * reset. */
static void cancel(void)
{
    PGconn *conn = loader_api()->connectdb(stage_argument());
    cancel_conn *cancel = CALL(cancel_conn * (*)(PGconn *), "PQcancelCreate", conn);
    int (*cancel_start)(cancel_conn *) = (int (*)(cancel_conn *))function("PQcancelStart");
    int (*cancel_poll)(cancel_conn *) = (int (*)(cancel_conn *))function("PQcancelPoll");
    int status;
    stage_say("blocking %d", CALL(int (*)(cancel_conn *), "PQcancelBlocking", cancel));
    stage_await();
    CALL(void (*)(cancel_conn *), "PQcancelReset", cancel);
    stage_say("start %d", cancel_start(cancel));
    do
        status = cancel_poll(cancel);
    while (status == PGRES_POLLING_READING || status == PGRES_POLLING_WRITING);
    stage_say("polled %d", status);
    stage_await();
    CALL(void (*)(cancel_conn *), "PQcancelFinish", cancel);
    stage_await();
    loader_api()->finish(conn);
}

/* A PGconn that was made behind the hooks' back reaches them. */
static void strange(void)
{
    PGconn *conn = CALL(PGconn * (*)(const char *), "fakepq_connect_behind", stage_argument());
    stage_say("poll %d", loader_api()->poll(conn));
    stage_say("message %s", loader_api()->message(conn));
    loader_api()->reset(conn);
    stage_say("status %d", loader_api()->status(conn));
    stage_await();
    loader_api()->finish(conn);
}

const struct stage_step cancel_steps[] = {
    {"cancel17", cancel},
    {"strange", strange},
    {0},
};
