/* What `serve` answers, of which HTTP knows nothing. */
#ifndef PQB_TOOL_SERVE_ANSWER_H
#define PQB_TOOL_SERVE_ANSWER_H

#include <stddef.h>

#define PQB_NONCE 32

struct pqb_answer {
    unsigned status; /* of HTTP */
    const char *type;
    char *body; /* allocated */
    size_t length;
    char nonce[PQB_NONCE + 1]; /* of a page's script and style; "" where there is none */
};

/* Returns 0 if memory ran out. */
int pqb_answer_make(const char *ledger, const char *route, struct pqb_answer *answer);

/* A line that says why there is nothing else. */
int pqb_answer_refuse(unsigned status, const char *why, struct pqb_answer *answer);

#endif
