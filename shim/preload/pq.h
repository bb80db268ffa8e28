/*
 * What the preload knows of libpq: the functions it stands in front of, and those it asks.
 *
 * Declared here, not taken from libpq-fe.h, so that neither building nor running needs a libpq;
 * tests/unit/pq.c compares the two.
 */
#ifndef PQB_PRELOAD_PQ_H
#define PQB_PRELOAD_PQ_H

#include <stddef.h>

struct pg_conn;
struct pg_cancel;
struct pg_cancel_conn;

/* One connection parameter, as PQconninfoParse and PQconndefaults tell it. */
struct _PQconninfoOption { // NOLINT(bugprone-reserved-identifier): libpq's own name
    char *keyword;
    char *envvar;
    char *compiled;
    char *val; /* NULL = not given */
    char *label;
    char *dispchar;
    int dispsize;
};

/* The values of libpq's enums that matter here. */
#define PQB_PQ_CONNECTION_OK 0
#define PQB_PQ_CONNECTION_BAD 1
#define PQB_PQ_POLLING_FAILED 0
#define PQB_PQ_POLLING_OK 3

/* Each: X(result, name, (parameters), (arguments)). The order is that of the bound wrappers. */

/* Those that are told no connection. */
#define PQB_PQ_MAKERS(X)                                                                           \
    X(struct pg_conn *, PQconnectdb, (const char *conninfo), (conninfo))                           \
    X(struct pg_conn *, PQconnectdbParams,                                                         \
      (const char *const *keywords, const char *const *values, int expand_dbname),                 \
      (keywords, values, expand_dbname))                                                           \
    X(struct pg_conn *, PQsetdbLogin,                                                              \
      (const char *host, const char *port, const char *options, const char *tty,                   \
       const char *dbname, const char *login, const char *password),                               \
      (host, port, options, tty, dbname, login, password))                                         \
    X(struct pg_conn *, PQconnectStart, (const char *conninfo), (conninfo))                        \
    X(struct pg_conn *, PQconnectStartParams,                                                      \
      (const char *const *keywords, const char *const *values, int expand_dbname),                 \
      (keywords, values, expand_dbname))                                                           \
    X(int, PQping, (const char *conninfo), (conninfo))                                             \
    X(int, PQpingParams,                                                                           \
      (const char *const *keywords, const char *const *values, int expand_dbname),                 \
      (keywords, values, expand_dbname))                                                           \
    X(struct _PQconninfoOption *, PQconninfoParse, (const char *conninfo, char **errmsg),          \
      (conninfo, errmsg))

/* Those that are told one. */
#define PQB_PQ_USERS(X)                                                                            \
    X(int, PQconnectPoll, (struct pg_conn * conn), (conn))                                         \
    X(void, PQreset, (struct pg_conn * conn), (conn))                                              \
    X(int, PQresetStart, (struct pg_conn * conn), (conn))                                          \
    X(int, PQresetPoll, (struct pg_conn * conn), (conn))                                           \
    X(void, PQfinish, (struct pg_conn * conn), (conn))                                             \
    X(char *, PQerrorMessage, (const struct pg_conn *conn), (conn))

/* Those that cancel; PQcancel also in signal handlers. The last four are libpq 17's. */
#define PQB_PQ_CANCELS(X)                                                                          \
    X(int, PQcancel, (struct pg_cancel * cancel, char *errbuf, int errbufsize),                    \
      (cancel, errbuf, errbufsize))                                                                \
    X(int, PQrequestCancel, (struct pg_conn * conn), (conn))                                       \
    X(int, PQcancelBlocking, (struct pg_cancel_conn * conn), (conn))                               \
    X(int, PQcancelStart, (struct pg_cancel_conn * conn), (conn))                                  \
    X(int, PQcancelPoll, (struct pg_cancel_conn * conn), (conn))                                   \
    X(void, PQcancelReset, (struct pg_cancel_conn * conn), (conn))

#define PQB_PQ_HOOKED(X) PQB_PQ_MAKERS(X) PQB_PQ_USERS(X) PQB_PQ_CANCELS(X)

/* Those that are only asked. */
#define PQB_PQ_ASKED(X)                                                                            \
    X(struct _PQconninfoOption *, PQconndefaults, (void), ())                                      \
    X(void, PQconninfoFree, (struct _PQconninfoOption * options), (options))                       \
    X(void, PQfreemem, (void *memory), (memory))                                                   \
    X(int, PQstatus, (const struct pg_conn *conn), (conn))                                         \
    X(int, PQsocket, (const struct pg_conn *conn), (conn))                                         \
    X(int, PQbackendPID, (const struct pg_conn *conn), (conn))                                     \
    X(char *, PQhost, (const struct pg_conn *conn), (conn))                                        \
    X(char *, PQport, (const struct pg_conn *conn), (conn))                                        \
    X(char *, PQdb, (const struct pg_conn *conn), (conn))                                          \
    X(char *, PQuser, (const struct pg_conn *conn), (conn))                                        \
    X(const char *, PQparameterStatus, (const struct pg_conn *conn, const char *name), (conn, name))

/* The same, missing before libpq 9.5 and 12. */
#define PQB_PQ_OPTIONAL(X)                                                                         \
    X(int, PQsslInUse, (struct pg_conn * conn), (conn))                                            \
    X(int, PQgssEncInUse, (struct pg_conn * conn), (conn))

#define PQB_PQ_ONE(result, name, parameters, arguments) +1
#define PQB_PQ_HOOKS (0 PQB_PQ_HOOKED(PQB_PQ_ONE))

#endif
