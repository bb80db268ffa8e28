/* What a connection tells about itself. */
#include "fakepq.h"

int PQlibVersion(void)
{
    return 170000;
}

ConnStatusType PQstatus(const PGconn *conn)
{
    return conn ? conn->status : CONNECTION_BAD;
}

char *PQerrorMessage(const PGconn *conn)
{
    return conn ? (char *)conn->error : (char *)"connection pointer is NULL\n";
}

int PQsocket(const PGconn *conn)
{
    return conn ? conn->socket : -1;
}

/* Nobody logged in, nobody has a backend. */
int PQbackendPID(const PGconn *conn)
{
    (void)conn;
    return 0;
}

static char *value(const PGconn *conn, int key)
{
    return conn && conn->value[key] ? conn->value[key] : (char *)"";
}

char *PQdb(const PGconn *conn)
{
    return value(conn, KEY_DBNAME);
}

char *PQuser(const PGconn *conn)
{
    return value(conn, KEY_USER);
}

char *PQhost(const PGconn *conn)
{
    return value(conn, KEY_HOST);
}

char *PQport(const PGconn *conn)
{
    return value(conn, KEY_PORT);
}

char *PQhostaddr(const PGconn *conn)
{
    (void)conn;
    return (char *)"";
}

const char *PQparameterStatus(const PGconn *conn, const char *name)
{
    (void)name;
    return value(conn, KEY_APPLICATION_NAME);
}
