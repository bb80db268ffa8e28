#include "conns.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static PGconn *open_conns[64];
static unsigned count;

PGconn *conns_current(void)
{
    return count ? open_conns[count - 1] : NULL;
}

PGconn *conns_pop(void)
{
    if (!count) {
        dprintf(STDERR_FILENO, "there is no connection\n");
        _exit(2);
    }
    return open_conns[--count];
}

void conns_push(PGconn *conn)
{
    if (count == sizeof open_conns / sizeof *open_conns)
        _exit(2);
    open_conns[count++] = conn;
}

void conns_report(PGconn *conn)
{
    if (PQstatus(conn) != CONNECTION_OK)
        stage_say("bad %s", PQerrorMessage(conn));
    else
        stage_say("ok %s %s %s %d", PQdb(conn), PQuser(conn),
                  PQparameterStatus(conn, "application_name"), PQbackendPID(conn));
}

int conns_ask(PGconn *conn, const char *query, char *answer, unsigned capacity)
{
    PGresult *result = PQexec(conn, query);
    int has = PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) > 0;
    snprintf(answer, capacity, "%s", has ? PQgetvalue(result, 0, 0) : PQerrorMessage(conn));
    PQclear(result);
    return has;
}
