/* Admission: who is granted a connection, and when. Inside the guard. The rules are those of
 * pqb_admission_obstacle; the order is that of the tickets. */
#ifndef PQB_LEDGER_ADMISSION_H
#define PQB_LEDGER_ADMISSION_H

#include "ledger/books.h"

#define PQB_TAKE_BACK 1000000000ull /* ns that a grant may lie while others wait */

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

/* The rules for one claim. *pool is set if there is no obstacle. Changes nothing; outside the guard
 * it is a guess. */
enum pqb_obstacle pqb_admission_obstacle(const struct pqb_layout *map,
                                         const struct pqb_claim_row *claim, enum pqb_booked *pool);

/* Grants everything that can be granted on a server, the oldest eligible ticket first. */
void pqb_admission_dispatch(struct pqb_books *books, unsigned server);

/* Settles whatever is flagged as pending, takes lying grants back, dispatches the servers
 * concerned. */
void pqb_admission_harvest(struct pqb_books *books);

/* What a waiter that ticks every 10 ms puts down in its row, each time: lately is within 40 ms. */
uint8_t pqb_admission_tick(uint64_t now);

/* GRANTED too long: back into the queue by its ticket, passed over until it shows life. */
void pqb_admission_take_back(struct pqb_books *books, unsigned index);

/* After a change of a server's configuration: charges anew, dispatches. */
void pqb_admission_reconfigure(struct pqb_books *books, unsigned server);

#endif
