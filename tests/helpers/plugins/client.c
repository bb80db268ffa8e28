/* A plugin that is linked with libpq, as an interpreter's extension is. It calls in three ways. */
#include "api.h"

/* Returns to the plugin. The barrier keeps the call from becoming a jump. */
#define STAY(type, call)                                                                           \
    type result = call;                                                                            \
    __asm__ volatile("" ::: "memory");                                                             \
    return result

static PGconn *plain_connectdb(const char *conninfo)
{
    STAY(PGconn *, PQconnectdb(conninfo));
}

static PGconn *plain_start(const char *conninfo)
{
    STAY(PGconn *, PQconnectStart(conninfo));
}

static PostgresPollingStatusType plain_poll(PGconn *conn)
{
    STAY(PostgresPollingStatusType, PQconnectPoll(conn));
}

static void plain_reset(PGconn *conn)
{
    PQreset(conn);
    __asm__ volatile("" ::: "memory");
}

static void plain_finish(PGconn *conn)
{
    PQfinish(conn);
    __asm__ volatile("" ::: "memory");
}

/* Jumps, when optimised: the return address is the caller's caller. */
static PGconn *tail_connectdb(const char *conninfo)
{
    return PQconnectdb(conninfo);
}

static PGconn *tail_start(const char *conninfo)
{
    return PQconnectStart(conninfo);
}

static PostgresPollingStatusType tail_poll(PGconn *conn)
{
    return PQconnectPoll(conn);
}

static void tail_reset(PGconn *conn)
{
    PQreset(conn);
}

static void tail_finish(PGconn *conn)
{
    PQfinish(conn);
}

const struct api *client_plain(void);
const struct api *client_tail(void);
const struct api *client_pointer(void);

const struct api *client_plain(void)
{
    static const struct api api = {plain_connectdb, plain_start,    plain_poll,
                                   PQstatus,        PQerrorMessage, PQbackendPID,
                                   PQsocket,        plain_reset,    plain_finish};
    return &api;
}

const struct api *client_tail(void)
{
    static const struct api api = {tail_connectdb, tail_start,     tail_poll,
                                   PQstatus,       PQerrorMessage, PQbackendPID,
                                   PQsocket,       tail_reset,     tail_finish};
    return &api;
}

/* The addresses themselves: whoever is given one calls from his own object. */
const struct api *client_pointer(void)
{
    static const struct api api = {PQconnectdb, PQconnectStart, PQconnectPoll,
                                   PQstatus,    PQerrorMessage, PQbackendPID,
                                   PQsocket,    PQreset,        PQfinish};
    return &api;
}
