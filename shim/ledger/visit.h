/*
 * A visit: the process lock, then the guard, then the books; and, when all is left again, the
 * wake-ups and whatever became pending meanwhile. That is the only lock order there is.
 */
#ifndef PQB_LEDGER_VISIT_H
#define PQB_LEDGER_VISIT_H

#include "ledger/books.h"
#include "ledger/guard.h"
#include "ledger/process.h"

struct pqb_visit {
    struct pqb_region *region;
    struct pqb_process_hold hold;
    int entered;
    struct pqb_books books;
};

/* Takes the process lock. Signals are blocked until pqb_visit_close. */
enum pqb_status pqb_visit_open(struct pqb_visit *visit, struct pqb_region *region,
                               uint64_t deadline) __attribute__((warn_unused_result));

/* Enters the guard, rebuilds the books if somebody died there, and settles what is pending. On
 * failure the visit is still open. */
enum pqb_status pqb_visit_enter(struct pqb_visit *visit, uint64_t deadline)
    __attribute__((warn_unused_result));

/* Ends it in any state. Wakes whoever was granted something, and serves what was flagged while the
 * guard was held: whoever flagged it has gone, believing that we do. */
void pqb_visit_close(struct pqb_visit *visit);

/* Open and enter in one. On failure nothing is left to close. */
enum pqb_status pqb_visit_begin(struct pqb_visit *visit, struct pqb_region *region,
                                uint64_t deadline) __attribute__((warn_unused_result));

/* If somebody waits, tries once to serve what is pending; if the guard is taken, its owner will. */
void pqb_visit_serve(struct pqb_region *region);

#endif
