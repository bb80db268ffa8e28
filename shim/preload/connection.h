/* What is known of a PGconn that was made through us: its libpq, its claim, and what to ask for
 * when it is reset. One that was made past us is not in the table, and nobody is charged for it. */
#ifndef PQB_PRELOAD_CONNECTION_H
#define PQB_PRELOAD_CONNECTION_H

#include "ledger/claim.h"
#include "preload/hash.h"
#include "preload/library.h"
#include "preload/refusal.h"

enum pqb_connection_state {
    PQB_CONNECTION_FREE,       /* not charged: replication, hands off, or no ledger to be had */
    PQB_CONNECTION_WAITING,    /* its claim is queued, and its socket held */
    PQB_CONNECTION_CONNECTING, /* it has a claim */
    PQB_CONNECTION_OPEN,       /* it has a claim */
    PQB_CONNECTION_FAILED,     /* its claim was given back; a reset takes another */
    PQB_CONNECTION_REFUSED,    /* it was refused one; a reset asks again */
};

/* What the keeper has come to. Under the lock of the sockets. */
struct pqb_hold {
    enum { PQB_HOLD_WAITS, PQB_HOLD_GRANTED, PQB_HOLD_REFUSED } outcome;
    uint64_t asked_at, deadline;
    struct pqb_refusal *why; /* NULL unless refused, and if there was no memory */
};

struct pqb_connection {
    struct pg_conn *conn;
    struct pqb_libpq *pq;
    int32_t pid; /* the process that made it; another one has inherited it */
    enum pqb_connection_state state;
    struct pqb_claim claim;
    struct pqb_hold hold; /* while it is WAITING */
    char *server;         /* the key; NULL if it is never charged */
    uint32_t cap;         /* what its string allows this process, 0 = nothing said */
    long long wait;       /* how long its string would wait, or PQB_WAIT_SERVER */
    int is_pooled;        /* a pooler is in between */
    int is_followed;      /* it may give way: what its claim is, side.h says until it is released */
    char *refusal;        /* what PQerrorMessage says while it is refused */
    UT_hash_handle hh;
};

/* NULL when there is no memory. */
struct pqb_connection *pqb_connection_new(struct pqb_libpq *pq);

/* Forgets it, and what it holds: the claim must be empty. */
void pqb_connection_free(struct pqb_connection *connection);

/* Puts it in the table, as the one of this PGconn. *earlier, or NULL, is one that stood there
 * before: libpq has freed that PGconn past us. 0 if there is no memory; it is in no table then. */
int pqb_connection_add(struct pqb_connection *connection, struct pg_conn *conn,
                       struct pqb_connection **earlier) __attribute__((warn_unused_result));

/* NULL if it is unknown. Stays valid as long as its PGconn does. */
struct pqb_connection *pqb_connection_find(const struct pg_conn *conn);

/* The same, and takes it out of the table. */
struct pqb_connection *pqb_connection_take(const struct pg_conn *conn);

/* How many of them are refused just now: as long as there is none, nobody asks for its words. */
extern _Atomic unsigned pqb_connections_refused __attribute__((visibility("hidden")));

/* Says why it is refused; takes over the text. NULL: it is refused no longer. */
void pqb_connection_refuse(struct pqb_connection *connection, char *refusal);

#endif
