/* The words of a refusal. The first line is the server's own, because clients look for it. */
#ifndef PQB_PRELOAD_REFUSAL_H
#define PQB_PRELOAD_REFUSAL_H

#include "ledger/region.h"

#include <stddef.h>
#include <stdint.h>

/* Why, and what to do: DETAIL and HINT of the message, without these words. */
struct pqb_refusal {
    char detail[1536];
    char hint[256];
};

/* What a refusal is about. */
struct pqb_refusal_case {
    const char *server; /* the key */
    const char *app;
    uint64_t process;  /* the id of this one, 0 = none */
    uint32_t cap;      /* of this process */
    unsigned crowd;    /* so many wait as this one would, and no more may; 0 = that is not it */
    unsigned obstacle; /* enum pqb_obstacle */
    uint64_t asked_at; /* of pqb_now */
};

/* No slot came free in time. */
void pqb_refusal_for(struct pqb_refusal *refusal, struct pqb_region *region,
                     const struct pqb_refusal_case *about);

/* The ledger can't be used, and PQBUDGET_FAIL=closed. */
void pqb_refusal_for_failure(struct pqb_refusal *refusal, const char *error);

/* The whole message, as libpq would give it for a connection to `host` (a name, an address, a
 * directory) and `port`; NULL if there is no memory. */
char *pqb_refusal_message(const struct pqb_refusal *refusal, const char *host, const char *port);

/* Printable ASCII, as labels are by themselves: whoever can write the ledger can put anything into
 * one, and the detail is read on somebody else's terminal. */
void pqb_refusal_make_plain(struct pqb_refusal *refusal);

#endif
