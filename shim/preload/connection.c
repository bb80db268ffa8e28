#include "preload/connection.h"

#include "ledger/wait.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct pqb_connection *table;
static _Atomic int is_empty = 1; /* the table: to be known without its lock */

_Atomic unsigned pqb_connections_refused;

struct pqb_connection *pqb_connection_new(struct pqb_libpq *pq)
{
    struct pqb_connection *connection = calloc(1, sizeof *connection);
    if (connection) {
        connection->pq = pq;
        connection->pid = (int32_t)getpid();
        connection->wait = PQB_WAIT_SERVER;
    }
    return connection;
}

void pqb_connection_free(struct pqb_connection *connection)
{
    pqb_connection_refuse(connection, NULL);
    free(connection->hold.why);
    free(connection->server);
    free(connection);
}

void pqb_connection_refuse(struct pqb_connection *connection, char *refusal)
{
    if (refusal && !connection->refusal)
        atomic_fetch_add(&pqb_connections_refused, 1);
    else if (!refusal && connection->refusal)
        atomic_fetch_sub(&pqb_connections_refused, 1);
    free(connection->refusal);
    connection->refusal = refusal;
}

static struct pqb_connection *find(const struct pg_conn *conn)
{
    struct pqb_connection *found = NULL;
    HASH_FIND_PTR(table, &conn, found);
    return found;
}

int pqb_connection_add(struct pqb_connection *connection, struct pg_conn *conn,
                       struct pqb_connection **earlier)
{
    struct pqb_process_hold hold;
    *earlier = NULL;
    connection->conn = conn;
    if (!pqb_state_lock(&hold))
        return 0;
    *earlier = find(conn);
    if (*earlier)
        HASH_DEL(table, *earlier);
    HASH_ADD_PTR(table, conn, connection);
    atomic_store(&is_empty, table == NULL);
    int is_added = connection->hh.tbl != NULL;
    pqb_state_unlock(&hold);
    return is_added;
}

struct pqb_connection *pqb_connection_find(const struct pg_conn *conn)
{
    struct pqb_process_hold hold;
    if (!conn || atomic_load(&is_empty) || !pqb_state_lock(&hold))
        return NULL;
    struct pqb_connection *connection = find(conn);
    pqb_state_unlock(&hold);
    return connection;
}

struct pqb_connection *pqb_connection_take(const struct pg_conn *conn)
{
    struct pqb_process_hold hold;
    if (!conn || !pqb_state_lock(&hold))
        return NULL;
    struct pqb_connection *connection = find(conn);
    if (connection)
        HASH_DEL(table, connection);
    atomic_store(&is_empty, table == NULL);
    pqb_state_unlock(&hold);
    return connection;
}
