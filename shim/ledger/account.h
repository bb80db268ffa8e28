/* Accounts: what one process has on one server. Inside the guard. */
#ifndef PQB_LEDGER_ACCOUNT_H
#define PQB_LEDGER_ACCOUNT_H

#include "ledger/books.h"

/* All of these mark the books as corrupt, and go on, where the rows make no sense. */

/* Finds or makes the account. PQB_NIL only in corrupt books: there are as many rows as claims. */
unsigned pqb_account_get(struct pqb_books *books, uint64_t process, unsigned server);
void pqb_account_free(struct pqb_books *books, unsigned account);

/* Index of the account, PQB_NIL if there is none. Also outside the guard, as a guess. */
unsigned pqb_account_look(const struct pqb_layout *map, uint64_t process, unsigned server);

/* Empties the whole table. */
void pqb_account_forget(struct pqb_layout *map);

#endif
