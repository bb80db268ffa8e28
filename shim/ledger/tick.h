/*
 * The tick: what every waiter does each time it wakes, and every visitor may. It looks for claims
 * whose owner is dead, for drainers whose backend has exited, for grants that lie untouched; and
 * moves the queues on. So a lost wake-up, a dead dispatcher or a stopped process costs a tick.
 */
#ifndef PQB_LEDGER_TICK_H
#define PQB_LEDGER_TICK_H

#include "ledger/region.h"

#define PQB_TICK_PROBES 2048 /* claims looked at in one tick: below a millisecond */
#define PQB_TICK_SOCKETS 64  /* sockets asked after in one tick: each costs 1 to 8 us */
#define PQB_TICK_DRAINERS 16

/* Drainers of one server, for its first waiter to watch. */
struct pqb_drainers {
    unsigned count;
    struct {
        unsigned index;
        uint64_t ctl;
        uint64_t since;
    } drainer[PQB_TICK_DRAINERS];
};

/* Looks at up to `probes` claims, wherever the last look stopped, and asks after as many sockets of
 * claims that are held (diag.h). Lock-free; one process at a time,
 * others return at once. Finds what is wrong, and flags it for whoever enters the guard next. Ticks
 * rest for some milliseconds after a look; who must know now looks himself. */
void pqb_tick_look(struct pqb_region *region, unsigned probes);

/* Looks, then visits: settles, takes lying grants back, dispatches `server`. Fills *drainers if it
 * is not NULL. PQB_OK also if the guard could not be had; PQB_LOST or a failure if the ledger is
 * no longer to be used. */
enum pqb_status pqb_tick(struct pqb_region *region, unsigned server, struct pqb_drainers *drainers)
    __attribute__((warn_unused_result));

/* The same, by who has queued this moment and visited with that: he visits again if there is
 * anything to do. */
enum pqb_status pqb_tick_first(struct pqb_region *region, unsigned server,
                               struct pqb_drainers *drainers) __attribute__((warn_unused_result));

#endif
