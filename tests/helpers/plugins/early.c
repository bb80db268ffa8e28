/* A library that connects in its constructor, before main, and closes in its destructor. */
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>

static PGconn *conn;

__attribute__((constructor)) static void connect_early(void)
{
    const char *conninfo = getenv("EARLY_CONNINFO");
    conn = PQconnectdb(conninfo ? conninfo : "");
    dprintf(1, "early %s\n", PQstatus(conn) == CONNECTION_OK ? "ok" : PQerrorMessage(conn));
}

__attribute__((destructor)) static void finish_late(void)
{
    PQfinish(conn);
    dprintf(1, "late\n");
}
