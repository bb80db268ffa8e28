/* One round of the keeper: what is held moves on, and what is open is told and answered for. With
 * the side door's lock held. */
#ifndef PQB_PRELOAD_KEEPING_H
#define PQB_PRELOAD_KEEPING_H

#include "ledger/region.h"

#define PQB_KEEPING_SERVERS 8

/* What the keeper waits for. */
struct pqb_keeping {
    struct pqb_region *region; /* pinned; NULL = nothing waits for a grant, or a wish */
    uint32_t heard;            /* its bell, as it was before the claims were asked */
    int is_held;               /* something is; otherwise there are connections that may be asked */
    unsigned servers;          /* where there are claims waiting */
    unsigned server[PQB_KEEPING_SERVERS];
    int flush; /* a descriptor with bytes that could not be sent yet; -1 = none */
};

/* Moves every held socket on, and answers for those that are open. 0 if there are none of either
 * any more. */
int pqb_keeping_round(struct pqb_keeping *wait);

#endif
