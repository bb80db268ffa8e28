/* Counts a ledger's books by hand, from the claims' states alone. It shares no code with books.c.
 */
#ifndef PQB_TESTS_AUDIT_H
#define PQB_TESTS_AUDIT_H

#include "ledger/layout.h"

#include <stddef.h>

/* For a ledger at rest: nobody inside, nothing pending. Returns 0 if every count, list and account
 * agrees with the claims; else 1, with the first contradiction. */
int audit_books(const struct pqb_layout *map, char *words, size_t capacity);

#endif
