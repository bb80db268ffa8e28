/* Giving way, as the holder of a connection does it: he lets the books know what it is doing, looks
 * whether it is asked for (wish.h), and answers. */
#ifndef PQB_LEDGER_YIELD_H
#define PQB_LEDGER_YIELD_H

#include "ledger/claim.h"

/* An OPEN claim that may be asked for from now on, when it was idle for so long; by the bell of
 * this process (wait.h). */
void pqb_yield_offer(const struct pqb_claim *claim, uint32_t after_ms);

/* Brings its row up to date. 1 if the row said something else. */
int pqb_yield_tell(const struct pqb_claim *claim, unsigned session, uint64_t idle_since);

/* Whom it is asked for. */
struct pqb_yield_wish {
    int32_t pid;
    char app[PQB_LABEL_BYTES + 1];
};

enum pqb_yield_answer_due {
    PQB_YIELD_NOT_ASKED,
    PQB_YIELD_ASKED,   /* for *wish, who still waits */
    PQB_YIELD_IN_VAIN, /* nobody waits for it any more, or could have it: the server is paused */
};

/* Whether it is asked for. */
enum pqb_yield_answer_due pqb_yield_is_asked(const struct pqb_claim *claim,
                                             struct pqb_yield_wish *wish);

/* Its process has another open one there. */
int pqb_yield_has_others(const struct pqb_claim *claim);

/* The answer. Who accepts gives the claim back right after. Who declines, though his row says it is
 * idle, is asked again at once if nobody is better to ask. */
void pqb_yield_accept(const struct pqb_claim *claim, const struct pqb_yield_wish *wish,
                      uint64_t idle_ns);
void pqb_yield_decline(const struct pqb_claim *claim);

/* For who reads: has all holders bring their rows up to date, which takes them a moment. How many
 * were asked. */
unsigned pqb_yield_refresh(struct pqb_region *region);

#endif
