/* Cancel connections: a PGconn in disguise, which goes through the functions of the ordinary ones.
 */
#include "fakepq.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

struct pg_cancel_conn {
    PGconn conn;
};

int PQsocketPoll(int socket, int to_read, int to_write, fakepq_time until)
{
    struct pollfd fd = {.fd = socket};
    fd.events = (short)((to_read ? POLLIN : 0) | (to_write ? POLLOUT : 0));
    (void)until;
    return poll(&fd, 1, 20000);
}

PGcancelConn *PQcancelCreate(PGconn *conn)
{
    PGconn *made = fakepq_make();
    for (int i = 0; i < FAKEPQ_KEYWORDS; i++) {
        free(made->value[i]);
        made->value[i] = conn->value[i] ? strdup(conn->value[i]) : NULL;
    }
    return (PGcancelConn *)made;
}

/* In 17 this one calls PQconnectPoll before it returns. */
int PQcancelStart(PGcancelConn *cancel)
{
    return fakepq_begin(&cancel->conn) && PQconnectPoll(&cancel->conn) != PGRES_POLLING_FAILED;
}

PostgresPollingStatusType PQcancelPoll(PGcancelConn *cancel)
{
    return PQconnectPoll(&cancel->conn);
}

int PQcancelBlocking(PGcancelConn *cancel)
{
    PostgresPollingStatusType status = PGRES_POLLING_FAILED;
    if (!PQcancelStart(cancel))
        return 0;
    do
        status = PQsocketPoll(cancel->conn.socket, 0, 1, -1) > 0 ? PQcancelPoll(cancel)
                                                                 : PGRES_POLLING_FAILED;
    while (status == PGRES_POLLING_READING || status == PGRES_POLLING_WRITING);
    return status == PGRES_POLLING_OK;
}

ConnStatusType PQcancelStatus(const PGcancelConn *cancel)
{
    return PQstatus(&cancel->conn);
}

int PQcancelSocket(const PGcancelConn *cancel)
{
    return PQsocket(&cancel->conn);
}

char *PQcancelErrorMessage(const PGcancelConn *cancel)
{
    return PQerrorMessage(&cancel->conn);
}

void PQcancelReset(PGcancelConn *cancel)
{
    fakepq_begin(&cancel->conn);
}

void PQcancelFinish(PGcancelConn *cancel)
{
    PQfinish((PGconn *)cancel);
}
