/*
 * The books: who is down for what, and who comes next. Everything here runs inside the guard.
 *
 * The claims' states are the truth; queue, pools, counts and accounts are kept beside them so that a
 * visit costs the same with 10,000 claims as with one. Owners change their claim's state without
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
    unsigned self;    /* claim of the visitor, who needs no waking; PQB_NIL = none */
    int corrupt;      /* something made no sense: rebuild before anybody believes it */
    uint64_t unserved; /* bit set: that server's dispatch stopped for lack of room in `wake` */
    unsigned wakes;
    uint16_t wake[PQB_BOOKS_WAKES]; /* claims whose owner is to be woken after the visit */
};

/* What keeps a waiter from being granted now. */
enum pqb_obstacle {
    PQB_OBSTACLE_NONE = 0,
    PQB_OBSTACLE_PAUSED,
    PQB_OBSTACLE_PROCESS_CAP,
    PQB_OBSTACLE_APP_LIMIT,
    PQB_OBSTACLE_LOGINS,
    PQB_OBSTACLE_ROOM,
    PQB_OBSTACLE_SKIPPED, /* it let a grant lie; waits for a sign of life */
};

/* The rules of admission for one claim. *pool is set if there is no obstacle. Changes nothing; a
 * reader may call it outside the guard for a guess. */
enum pqb_obstacle pqb_books_obstacle(const struct pqb_layout *map, const struct pqb_claim_row *claim,
                                     enum pqb_booked *pool);

/* Puts a claim that its owner has filled in, still FREE, at the end of the queue. */
void pqb_books_enter(struct pqb_books *books, unsigned index, uint32_t generation);

/* Brings the books in line with one claim's state. Idempotent. */
void pqb_books_settle(struct pqb_books *books, unsigned index);

/* Settles whatever is flagged as pending, and dispatches the servers concerned. */
void pqb_books_harvest(struct pqb_books *books);

/* Grants everything that can be granted on a server, the oldest eligible ticket first. */
void pqb_books_dispatch(struct pqb_books *books, unsigned server);

/* GRANTED too long and others wait: back into the queue by its ticket, passed over from now on. */
void pqb_books_take_back(struct pqb_books *books, unsigned index);

/* After a change of a server's configuration: charges anew, dispatches. */
void pqb_books_reconfigure(struct pqb_books *books, unsigned server);

/* Moves the claims of one server to another, whose alias it becomes. */
void pqb_books_merge(struct pqb_books *books, unsigned from, unsigned into);

/* Builds everything from the claims, after a death inside the guard, and repairs what makes no
 * sense; then dispatches. */
void pqb_books_rebuild(struct pqb_books *books);

/* Flags a claim for the next visit. Outside the guard, by anybody. */
void pqb_books_flag(struct pqb_layout *map, unsigned index);

/* Is anything flagged? */
int pqb_books_pending(const struct pqb_layout *map);

#endif
