/* This process's part of the budget: its ledger, its name in there, what becomes of it when the
 * ledger can't be used. */
#ifndef PQB_PRELOAD_BUDGET_H
#define PQB_PRELOAD_BUDGET_H

#include "preload/connection.h"
#include "preload/peer.h"
#include "preload/refusal.h"

enum pqb_verdict {
    PQB_VERDICT_GO,        /* the claim is taken, and CONNECTING */
    PQB_VERDICT_UNCOUNTED, /* connect without a claim */
    PQB_VERDICT_REFUSED,
};

/* False where the library is to do nothing at all: PQBUDGET=off, inside the postgres server. */
int pqb_budget_is_on(void);

/* The application's label. */
const char *pqb_budget_label(void);

/* Queues for a connection to connection->server and waits for it; fills connection->claim before
 * any signal handler can run. *refusal is written if refused. Keeps errno. */
enum pqb_verdict pqb_budget_acquire(struct pqb_connection *connection, struct pqb_refusal *refusal);

/* What an open connection's peer tells of other names of its server. */
void pqb_budget_learn(const struct pqb_connection *connection, const struct pqb_peer *peer,
                      int32_t backend_pid);

#endif
