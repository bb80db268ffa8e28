/* This process's part of the budget: its ledger, its name in there, what becomes of it when the
 * ledger can't be used. */
#ifndef PQB_PRELOAD_BUDGET_H
#define PQB_PRELOAD_BUDGET_H

#include "ledger/claim.h"
#include "preload/peer.h"
#include "preload/refusal.h"

enum pqb_verdict {
    PQB_VERDICT_GO,        /* the claim is taken, and CONNECTING */
    PQB_VERDICT_UNCOUNTED, /* connect without a claim */
    PQB_VERDICT_REFUSED,
    PQB_VERDICT_WAIT, /* the claim is queued */
};

/* What is asked for. */
struct pqb_ask {
    const char *server; /* the key */
    uint32_t cap;       /* what its string allows this process, 0 = nothing said */
    long long wait;     /* how long its string would wait, or PQB_WAIT_SERVER */
    int is_pooled;      /* a pooler is in between */
    enum pqb_door door;
};

/* False where the library is to do nothing at all: PQBUDGET=off, inside the postgres server. */
int pqb_budget_is_on(void);

/* The application's label. */
const char *pqb_budget_label(void);

/* Queues and waits; fills *claim before any signal handler can run. *refusal is written if refused.
 * Never PQB_VERDICT_WAIT. Keeps errno. */
enum pqb_verdict pqb_budget_acquire(const struct pqb_ask *ask, struct pqb_claim *claim,
                                    struct pqb_refusal *refusal);

/* Queues, and does not wait: whoever is told to rings this process's bell when it is granted. Its
 * time is up at *deadline (of pqb_now), which is 0 before it asks for the first time. With
 * PQB_VERDICT_WAIT and an empty claim the ledger was busy: it is to ask again. Keeps errno. */
enum pqb_verdict pqb_budget_submit(const struct pqb_ask *ask, struct pqb_claim *claim,
                                   uint64_t *deadline, struct pqb_refusal *refusal);

/* Whether the socket of a claim that waits had better not stay connected: as many do as may, or it
 * waits longer than it could. */
int pqb_budget_is_to_part(const struct pqb_claim *claim, uint64_t deadline);

/* The socket of a claim that waits, or will, is connected all the same: so many may, and not as
 * long as others; *deadline is brought forward. 0 if they are too many: the claim is given back,
 * and *refusal says why. */
int pqb_budget_may_connect(const struct pqb_ask *ask, struct pqb_claim *claim, uint64_t *deadline,
                           struct pqb_refusal *refusal);

/* Before one asks, as things are now: whether this process holds a connection to that server;
 * whether connecting to `place` is better put off, since the claim (`queued`, or NULL if there is
 * none yet) has to wait, and a server is certain to answer there. */
int pqb_budget_holds(const struct pqb_ask *ask);
int pqb_budget_defers(const struct pqb_ask *ask, const struct pqb_claim *queued,
                      const struct pqb_socket_place *place);

/* Its time is up: gives the claim back and says why. */
void pqb_budget_refuse(const struct pqb_ask *ask, struct pqb_claim *claim, uint64_t asked_at,
                       struct pqb_refusal *refusal);

/* What an open connection's peer tells of other names of its server. */
void pqb_budget_learn(const struct pqb_claim *claim, const char *server,
                      const struct pqb_peer *peer, int32_t backend_pid);

#endif
