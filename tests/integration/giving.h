/* Who gives way, and who never does: a guest that holds all there is, somebody who waits, and what
 * the ledger is told meanwhile. */
#ifndef PQB_INTEGRATION_GIVING_H
#define PQB_INTEGRATION_GIVING_H

#include "ground.h"

/* How a guest gets at the server: which program it is, and where it leads. */
struct giving_way {
    const char *program; /* "helpers/doors" or "helpers/sockets" */
    const char *open;    /* the step that opens a connection, and its argument */
    const char *where;
    const char *ask; /* the step that asks a query and says the answer */
};
#define GIVING_WAYS 4
struct giving_way giving_way(unsigned number);
#define GIVING_IS_LIBPQ(way) (!strcmp((way).program, "helpers/doors"))

/* What the client reads of a connection that has given way, from its beginning. */
const char *giving_ended(struct giving_way way);

/* Starts a guest that opens two connections, all there are, takes `steps` with the second, and
 * gives way after a millisecond. The first one LISTENs, and so never does. */
struct guest *giving_holder(struct giving_way way, const char *const *steps);

/* The same with other settings, in front of which stand those that it has by nature; no step but
 * these. */
struct guest *giving_start(struct giving_way way, const char *const *environment,
                           const char *const *steps);

/* Drops what a guest says up to "ready". */
void giving_ready(struct guest *guest);

/* Somebody who wants a connection; and who waits for it by now, since nobody gives way. */
struct guest *giving_comer(struct giving_way way, const char *patience);
struct guest *giving_waiter(struct giving_way way, const char *patience);

/* By now a connection of this guest's is said to be in this state; NULL: none is known any more. */
void giving_told(const struct guest *guest, const char *session);

/* Whoever waits has been waiting for a while, and nobody gave way. */
void giving_stays(void);

/* Whoever declined of late may be asked again: else he is let alone for a second. */
void giving_ask_again(void);

/* How many gave way since the last holder or waiter came. */
uint64_t giving_count(void);

/* Waits for it. */
#define giving_counts(count) cr_assert(wait_until(giving_count() == (count)))

/* Of its threads, its descriptors. */
unsigned giving_threads(const struct guest *guest);
unsigned giving_descriptors(const struct guest *guest);

#endif
