/*
 * How a claim ends: OPEN → DRAINING → GONE, or at once. Each step is one compare-and-swap from the
 * control word that was seen, by whoever gets there first, without the guard; the claim is flagged
 * for the next one inside. All return 0 if the word had changed meanwhile.
 */
#ifndef PQB_LEDGER_ENDING_H
#define PQB_LEDGER_ENDING_H

#include "ledger/layout.h"

#define PQB_DRAIN_CEILING (60 * 1000000000ull) /* ns that a backend that was seen is waited for */

/* The claim's drain_until: when draining ends, in ms, beside the generation it is said of. */
uint64_t pqb_ending_stamp(uint64_t ctl, uint64_t until);

/* One step towards GONE. `until` is when DRAINING ends at the latest; 0 = no draining. */
int pqb_ending_step(struct pqb_layout *map, unsigned index, uint64_t ctl, uint64_t now,
                    uint64_t until);

/* Its owner has closed it, by whatever road: it drains if its backend was seen; as after a death if
 * it was `left` in the midst of its login, or has a socket bound to it that was. */
int pqb_ending_close(struct pqb_layout *map, unsigned index, uint64_t ctl, uint64_t now, int left);

/* The claim's owner is dead: whoever read `ctl` found its life lock gone after that. */
int pqb_ending_bury(struct pqb_layout *map, unsigned index, uint64_t ctl, uint64_t now);

/* Ends draining if the backend has exited or its time is over; 0 also if it is not so. */
int pqb_ending_drained(struct pqb_layout *map, unsigned index, uint64_t ctl, uint64_t now);

#endif
