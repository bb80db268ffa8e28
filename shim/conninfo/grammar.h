/* The grammar of libpq's connection strings, so far as to know where each parameter begins and
 * ends. */
#ifndef PQB_CONNINFO_GRAMMAR_H
#define PQB_CONNINFO_GRAMMAR_H

#include "ledger/status.h"

#include <stddef.h>

/* A parameter of a string. */
struct pqb_piece {
    char *keyword, *value; /* decoded; the value is NULL if there is no equals sign */
    size_t begin, end;     /* where it stands in the text */
};

struct pqb_pieces {
    struct pqb_piece *list;
    size_t count, room;
};

/* The parameters behind the question mark of a URI; `text` is what comes after the scheme. `*query`
 * is where the first one begins, or the length of `text`. PQB_INVALID if libpq refuses the string
 * for its form. */
enum pqb_status pqb_grammar_uri(const char *text, struct pqb_pieces *pieces, size_t *query)
    __attribute__((warn_unused_result));

/* The parameters of `keyword = value` form. */
enum pqb_status pqb_grammar_pairs(const char *text, struct pqb_pieces *pieces)
    __attribute__((warn_unused_result));

/* Takes the strings over, also when it fails; either may be NULL for want of memory. */
enum pqb_status pqb_pieces_add(struct pqb_pieces *pieces, char *keyword, char *value, size_t begin,
                               size_t end) __attribute__((warn_unused_result));

void pqb_pieces_clear(struct pqb_pieces *pieces);

#endif
