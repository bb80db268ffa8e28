/* Connections through the library that is current. */
#include "loader.h"

#include "support/support.h"

#include <dlfcn.h>
#include <malloc.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static PGconn *conns[16];
static unsigned count;
static char socket_owner[256];

/* libpq's own call lands here: a program's functions come before those of every library. */
int socket(int domain, int type, int protocol)
{
    Dl_info info;
    if (dladdr(__builtin_return_address(0), &info)) {
        const char *end = strrchr(info.dli_fname, '/'), *begin = end;
        while (begin && begin > info.dli_fname && begin[-1] != '/')
            begin--;
        snprintf(socket_owner, sizeof socket_owner, "%.*s", (int)(end - begin), begin ? begin : "");
    }
    return (int)syscall(SYS_socket, domain, type, protocol);
}

static PGconn *current(void)
{
    if (!count)
        _exit(2);
    return conns[count - 1];
}

static void push(PGconn *conn)
{
    if (count == sizeof conns / sizeof *conns)
        _exit(2);
    conns[count++] = conn;
}

static void report(void)
{
    const struct api *api = loader_api();
    if (api->status(current()) == CONNECTION_OK)
        stage_say("ok %d", api->backend(current()));
    else
        stage_say("bad %s", api->message(current()));
}

static void connectdb(void)
{
    push(loader_api()->connectdb(stage_argument()));
    report();
}

static void start(void)
{
    push(loader_api()->start(stage_argument()));
}

static void poll_connect(void)
{
    const struct api *api = loader_api();
    PostgresPollingStatusType status = PGRES_POLLING_WRITING;
    if (api->status(current()) == CONNECTION_BAD)
        status = api->poll(current());
    while (status == PGRES_POLLING_WRITING || status == PGRES_POLLING_READING) {
        struct pollfd fd = {.fd = api->socket(current())};
        fd.events = status == PGRES_POLLING_WRITING ? POLLOUT : POLLIN;
        poll(&fd, 1, 20000);
        status = api->poll(current());
    }
    report();
}

static void reset(void)
{
    loader_api()->reset(current());
    report();
}

static void finish(void)
{
    loader_api()->finish(current());
    count--;
}

/* ROUNDS CONNINFO: opens and finishes; says what is more afterwards. */
static void many(void)
{
    const struct api *api = loader_api();
    unsigned rounds = (unsigned)atoi(stage_argument()), good = 0;
    const char *conninfo = stage_argument();
    unsigned had = support_descriptors();
    size_t used = mallinfo2().uordblks;
    for (unsigned i = 0; i < rounds; i++) {
        PGconn *conn = api->connectdb(conninfo);
        good += api->status(conn) == CONNECTION_OK;
        api->finish(conn);
    }
    stage_say("good %u descriptors %+d bytes %+ld", good, (int)(support_descriptors() - had),
              (long)(mallinfo2().uordblks - used));
}

/* Which library made the last socket. */
static void whose(void)
{
    stage_say("%s", socket_owner);
}

const struct stage_step calling_steps[] = {
    {"connectdb", connectdb}, {"start", start},
    {"poll", poll_connect},   {"reset", reset},
    {"finish", finish},       {"show", report},
    {"pause", stage_await},   {"whose", whose},
    {"many", many},           {0},
};
