#include "ledger/visit.h"

#include "ledger/admission.h"
#include "ledger/journal.h"
#include "ledger/os.h"
#include "ledger/rebuild.h"
#include "ledger/wish.h"

#define VISITS_AT_MOST 1000 /* one serves 92 waiters; more only if somebody scribbles meanwhile */

enum pqb_status pqb_visit_open(struct pqb_visit *visit, struct pqb_region *region,
                               uint64_t deadline)
{
    visit->region = region;
    visit->entered = 0;
    return pqb_process_lock(&visit->hold, deadline);
}

enum pqb_status pqb_visit_enter(struct pqb_visit *visit, uint64_t deadline)
{
    int died = 0;
    enum pqb_status status = pqb_guard_enter(visit->region, deadline, &died);
    if (status)
        return status;
    visit->entered = 1;
    struct pqb_books *books = &visit->books;
    books->map = visit->region->map;
    books->now = pqb_now();
    books->self = PQB_NIL;
    books->corrupt = 0;
    books->dispatched = 0;
    books->unserved = 0;
    books->wakes = 0;
    if (died) {
        if (books->map->header.next_ticket) /* not the first visit of all */
            pqb_journal_write(books->map, PQB_EVENT_RECOVERED, PQB_NIL, NULL, 0, 0);
        pqb_rebuild(books);
    }
    pqb_admission_harvest(books);
    return PQB_OK;
}

/* Returns the servers whose queues want another look. */
static uint64_t leave(struct pqb_visit *visit)
{
    uint64_t unserved = 0;
    if (visit->entered) {
        if (visit->books.corrupt)
            pqb_rebuild(&visit->books);
        pqb_wish_look(&visit->books);
        unserved = visit->books.unserved;
        pqb_guard_leave(visit->region);
    }
    pqb_process_unlock(&visit->hold);
    for (unsigned i = 0; visit->entered && i < visit->books.wakes; i++)
        pqb_books_ring(visit->region->map, visit->books.wake[i]);
    visit->entered = 0;
    return unserved;
}

static int somebody_waits(const struct pqb_region *region)
{
    /* Pairs with pqb_books_flag before it: who queues counts himself first and then harvests, who
     * gives back flags first and then looks here. One of them sees the other. */
    return atomic_load(&region->map->header.waiting) != 0;
}

void pqb_visit_close(struct pqb_visit *visit)
{
    struct pqb_region *region = visit->region;
    uint64_t unserved = leave(visit);
    unsigned visits = 0;
    while ((unserved || (pqb_books_pending(region->map) && somebody_waits(region))) &&
           visits++ < VISITS_AT_MOST) {
        if (pqb_visit_begin(visit, region, 0))
            return; /* whoever is inside looks again when he leaves, and every waiter ticks */
        for (; unserved; unserved &= unserved - 1)
            pqb_admission_dispatch(&visit->books, (unsigned)__builtin_ctzll(unserved));
        unserved = leave(visit);
    }
}

enum pqb_status pqb_visit_begin(struct pqb_visit *visit, struct pqb_region *region,
                                uint64_t deadline)
{
    enum pqb_status status;
    do {
        status = pqb_visit_open(visit, region, deadline);
        if (status)
            return status;
        status = pqb_visit_enter(visit, deadline);
        /* Again, if a sibling missed us: whoever is inside may have looked before that one flagged
         * something. */
    } while (status && pqb_process_unlock(&visit->hold));
    return status;
}

void pqb_visit_serve(struct pqb_region *region)
{
    struct pqb_visit visit;
    if (somebody_waits(region) && !pqb_visit_begin(&visit, region, 0))
        pqb_visit_close(&visit);
}
