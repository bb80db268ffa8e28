/* Watches a ledger in use for what must never be: a free slot and a waiter who could have it, side
 * by side, for longer than a moment. */
#ifndef PQB_TESTS_WATCH_H
#define PQB_TESTS_WATCH_H

#include "ledger/snapshot.h"

#define WATCH_LIAR "liar" /* application of those who don't do what a waiter must */

struct watch {
    uint64_t idle_since, granted;
    uint64_t longest; /* that a slot was idle beside a waiter */
};

/* One look at the server with that number in the snapshot, a consistent one. `excused`: whoever is
 * inside the guard is stopped. Reports a finding that begins with "stuck". */
void watch_server(struct watch *watch, const struct pqb_layout *map,
                  const struct pqb_snapshot *snapshot, unsigned number, int excused);

#endif
