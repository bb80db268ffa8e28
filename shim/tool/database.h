/* The tool's own connection to a server, to ask it what it knows. Never under the budget: who asks
 * why nobody gets in must not have to wait for it himself. */
#ifndef PQB_TOOL_DATABASE_H
#define PQB_TOOL_DATABASE_H

#include "conninfo/server.h"
#include "tool/report.h"

#include <libpq-fe.h>

struct pqb_database {
    PGconn *conn;
    char key[PQB_SERVER_KEY_SIZE]; /* as the ledger would name this server */
    int is_near; /* reached through a Unix socket or the loopback: most likely this machine's */
};

/* Connects as `conninfo` says: a connection string with or without other programs' parameters, or a
 * database's name; NULL is $DATABASE_URL, else the environment's PG*. Bounded by connect_timeout,
 * else five seconds. What it says in `error` never has the string in it, nor parts of it that a
 * password may have got into.
 *
 * PQB_INVALID: the string makes no sense. PQB_FULL: the server has no connection left. PQB_ABSENT:
 * it is not there, or lets nobody in. PQB_NO_MEMORY. */
enum pqb_status pqb_database_open(const char *conninfo, struct pqb_database *database,
                                  struct pqb_error *error) __attribute__((warn_unused_result));
void pqb_database_close(struct pqb_database *database);

/* Rows, to be freed with PQclear; NULL if there are none to be had within ten seconds. */
PGresult *pqb_database_ask(struct pqb_database *database, const char *query,
                           struct pqb_error *error);

/* Reports what pqb_database_open and pqb_database_ask did not do. */
enum pqb_exit pqb_database_report(enum pqb_status status, const struct pqb_error *error);

#endif
