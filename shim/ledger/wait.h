/*
 * Waiting for a claim, in two kinds:
 *
 *  - a thread that blocks: pqb_wait_acquire does it all;
 *  - a thread that waits for many claims at once, and for other things: it submits claims that ring
 *    its process's bell, sleeps on the bell with pqb_wait_bell or looks at it between other waits,
 *    asks each of its claims with pqb_claim_take, and ticks at least every PQB_TICK_HOT. After each
 *    sleep it calls pqb_region_check before it touches the region.
 *
 * Nobody sleeps unboundedly: a lost wake-up, a dead dispatcher, a stopped process cost a tick.
 */
#ifndef PQB_LEDGER_WAIT_H
#define PQB_LEDGER_WAIT_H

#include "ledger/claim.h"
#include "ledger/os.h"

#define PQB_TICK_HOT (10 * PQB_MS)     /* the first few of a queue */
#define PQB_TICK_COLD (1 * PQB_SECOND) /* the rest */

/* The name of a ledger, and what this process has mapped of it. One per process is usual. */
struct pqb_ledger {
    char path[PQB_REGION_PATH];
    struct pqb_region *_Atomic region;
    struct pqb_claim_hints hints;
};

#define PQB_WAIT_SERVER (-1ll) /* as long as the server's row says */
#define PQB_WAIT_FOREVER (-2ll)

/* Opens, makes if `create`. Empties *ledger on failure. */
enum pqb_status pqb_ledger_open(struct pqb_ledger *ledger, const char *name, int create,
                                struct pqb_error *error) __attribute__((warn_unused_result));
void pqb_ledger_close(struct pqb_ledger *ledger);

/* The ledger's present region, pinned; opened anew (and made anew) if the file was replaced. */
enum pqb_status pqb_ledger_region(struct pqb_ledger *ledger, struct pqb_region **region,
                                  struct pqb_error *error) __attribute__((warn_unused_result));

/* Queues a claim and waits up to `wait_ms` (or one of PQB_WAIT_…) for it; 0 doesn't wait. PQB_OK:
 * the claim is CONNECTING. PQB_TIMED_OUT: no slot came free; *obstacle (may be NULL) tells what it
 * was that kept it back. PQB_BUSY: the guard could not be had in all that time.
 *
 * A signal handler may leave the wait by siglongjmp; *claim is empty then, and the wait's claim is
 * given up at the thread's next wait or its end. A handler that jumps at the very moment of success
 * finds *claim filled: keep it where it can be found. */
enum pqb_status pqb_wait_acquire(struct pqb_ledger *ledger, const struct pqb_claim_request *request,
                                 long long wait_ms, struct pqb_claim *claim, unsigned *obstacle,
                                 struct pqb_error *error) __attribute__((warn_unused_result));

/* Queues without waiting, for the second kind. Never blocks longer than PQB_GUARD_PATIENCE. */
enum pqb_status pqb_wait_submit(struct pqb_ledger *ledger, const struct pqb_claim_request *request,
                                struct pqb_claim *claim, struct pqb_error *error)
    __attribute__((warn_unused_result));

/* This process's bell. Read it, then ask the claims, then sleep on what was read. Processes may
 * share one by chance: it rings too often, never too seldom. */
_Atomic uint32_t *pqb_wait_bell(struct pqb_region *region);

#endif
