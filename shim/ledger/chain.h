/* The books' lists of claims: a server's queue, its reserve claims, its drainers. Inside the guard.
 */
#ifndef PQB_LEDGER_CHAIN_H
#define PQB_LEDGER_CHAIN_H

#include "ledger/books.h"

/* A claim is in at most one of queue and reserve, and beside it in the drainers'. */
struct pqb_chain {
    uint16_t *head, *tail;
    int drain;
};

struct pqb_chain pqb_chain_queue(struct pqb_server_row *server);
struct pqb_chain pqb_chain_reserve(struct pqb_server_row *server);
struct pqb_chain pqb_chain_drainers(struct pqb_server_row *server);

/* A link read from shared memory. PQB_NIL, and the books are corrupt, if it points nowhere. */
unsigned pqb_chain_link(struct pqb_books *books, unsigned link);

/* The claim after `index`. *steps bounds the walk: past the number of claims it is PQB_NIL, and the
 * books are corrupt. */
unsigned pqb_chain_next(struct pqb_books *books, const struct pqb_chain *chain, unsigned index,
                        unsigned *steps);

/* Inserts before `before`; PQB_NIL = at the end. */
void pqb_chain_insert(struct pqb_books *books, struct pqb_chain chain, unsigned index,
                      unsigned before);
void pqb_chain_remove(struct pqb_books *books, struct pqb_chain chain, unsigned index);

#endif
