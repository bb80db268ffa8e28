/*
 * The guard: one process at a time inside the ledger's critical section.
 *
 * It is a POSIX record lock (F_SETLK) on the lock file `guard`. The kernel keeps its books: it goes
 * with the process, however that ends, and a forked child never has a part in it. (An
 * open-file-description lock does not do: a child made by a raw clone() holds a copy of the
 * description, and when its parent died inside, the byte stays locked as long as the child lives.)
 * Threads of one process are kept apart by the process lock, which the caller holds.
 *
 * In front of it, hints in shared memory: who finds it taken spins for a moment and then sleeps on
 * a futex, never long. A `dirty` word is set inside; who enters and finds it set follows somebody
 * who died there, and must rebuild the books before he believes them.
 *
 * Inside: no allocation, no logging, no blocking call.
 */
#ifndef PQB_LEDGER_GUARD_H
#define PQB_LEDGER_GUARD_H

#include "ledger/region.h"

#define PQB_GUARD_PATIENCE (250 * PQB_MS)

/* Enters by `deadline` at the latest; 0 tries once. *died tells that the books are to be rebuilt.
 * PQB_BUSY when the time is over, PQB_LOST if the ledger was retired. */
enum pqb_status pqb_guard_enter(struct pqb_region *region, uint64_t deadline, int *died)
    __attribute__((warn_unused_result));
void pqb_guard_leave(struct pqb_region *region);

#endif
