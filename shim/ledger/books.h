/*
 * The books: who is down for what, and who comes next. Everything here runs inside the guard.
 *
 * The claims' states are the truth; queue, pools, counts and accounts are kept beside them so that
 * a visit costs the same with 10,000 claims as with one. Owners change their claim's state without
 * the guard and flag it as pending; settling brings the books in line with the state. A count is
 * therefore never less than the truth, and `in use <= limit` holds between any two instructions.
 */
#ifndef PQB_LEDGER_BOOKS_H
#define PQB_LEDGER_BOOKS_H

#include "ledger/layout.h"

#define PQB_BOOKS_WAKES 96
#define PQB_HOT 4 /* so many of a queue tick every 10 ms, the rest every second */

struct pqb_books {
    struct pqb_layout *map;
    uint64_t now;
    unsigned self;       /* claim of the visitor, who needs no waking; PQB_NIL = none */
    int corrupt;         /* something made no sense: rebuild before anybody believes it */
    uint64_t dispatched; /* bit set: that server's queue was looked at */
    uint64_t unserved;   /* bit set: that server's dispatch stopped for lack of room in `wake` */
    unsigned wakes;
    uint16_t wake[PQB_BOOKS_WAKES]; /* claims whose owner is to be woken after the visit */
};

static inline struct pqb_claim_row *pqb_books_claim(const struct pqb_books *books, unsigned index)
{
    return &books->map->claim[index];
}

/* Of a claim whose server was checked: it stays in bounds if it is scribbled over since. */
static inline struct pqb_server_row *pqb_books_server(const struct pqb_books *books,
                                                      const struct pqb_claim_row *claim)
{
    return &books->map->server[pqb_once(&claim->server) % PQB_SERVERS];
}

/* NULL is a claim without an application row: the table was full. */
static inline struct pqb_app_row *pqb_books_app(const struct pqb_books *books,
                                                const struct pqb_claim_row *claim)
{
    unsigned app = pqb_once(&claim->app);
    return app < PQB_APPS ? &books->map->app[app] : NULL;
}

/* What an application may still have of its guaranteed minimum; 0 for NULL. */
uint32_t pqb_books_unmet(const struct pqb_app_row *app);

/* Puts a claim that its owner has filled in, still FREE, at the end of the queue. */
void pqb_books_enter(struct pqb_books *books, unsigned index, uint32_t generation);

/* Brings the books in line with one claim's state. Idempotent. */
void pqb_books_settle(struct pqb_books *books, unsigned index);

/* Moves a claim to a pool, the queue or nowhere. */
void pqb_books_charge(struct pqb_books *books, unsigned index, enum pqb_booked booked);

/* Counts a claim with its account and application, which it has from now on. */
void pqb_books_attach(struct pqb_books *books, struct pqb_claim_row *claim);

/* Lets as many drainers as slack allows block nobody. */
void pqb_books_refill_slack(struct pqb_books *books, struct pqb_server_row *server);

/* The owner of this claim is to be woken after the visit. */
void pqb_books_wake(struct pqb_books *books, unsigned index);

/* Wakes the owner of a claim whose word has changed: the thread, or its process by the bell.
 * Outside the guard, by anybody; one time too many does no harm. */
void pqb_books_ring(struct pqb_layout *map, unsigned index);

/* Marks a claim in the header's busy words: 1 = it is not FREE. */
void pqb_books_mark_busy(struct pqb_layout *map, unsigned index, int busy);

/* Flags a claim for the next visit. Outside the guard, by anybody. */
void pqb_books_flag(struct pqb_layout *map, unsigned index);

/* Is anything flagged? */
int pqb_books_pending(const struct pqb_layout *map);

#endif
