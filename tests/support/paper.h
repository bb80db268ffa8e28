/* A ledger on paper: the books in private memory, driven step by step as if by many processes, and
 * compared with the claims after each step. */
#ifndef PQB_TESTS_PAPER_H
#define PQB_TESTS_PAPER_H

#include "ledger/admission.h"
#include "ledger/books.h"

struct paper {
    struct pqb_layout *map;
    struct pqb_books books;
    unsigned slots; /* only so many claims are ever used; they lie scattered over the table */
    unsigned ahead; /* a claim whose owner has changed its state and not flagged it yet; PQB_NIL */
};

/* Private memory, empty books, `slots` claims. */
void paper_open(struct paper *paper, unsigned slots);
void paper_close(struct paper *paper);

/* The index of a slot. */
unsigned paper_index(unsigned slot);

/* A server's row, with that configuration. */
unsigned paper_server(struct paper *paper, const char *key, const struct pqb_server_config *config);

/* An application's row with limit and guaranteed minimum; the server is reconfigured. */
unsigned paper_app(struct paper *paper, unsigned server, const char *label, uint32_t limit,
                   uint32_t min);

/* Begins a visit: nobody to wake yet, and what is pending is settled. */
void paper_visit(struct paper *paper);

/* Each of the following is one visit. */

/* Queues a claim of `process` and dispatches; its index, PQB_NIL if no slot is free. */
unsigned paper_ask(struct paper *paper, unsigned server, uint64_t process, const char *app,
                   uint32_t cap);
/* Moves a claim to a state, as its owner would, and flags it. */
void paper_move(struct paper *paper, unsigned index, enum pqb_claim_state state);
/* A grant that was let lie: takes it back and dispatches. */
void paper_take_back(struct paper *paper, unsigned index);
/* The owner of a claim that is passed over shows life. */
void paper_show_life(struct paper *paper, unsigned index);
/* New configuration. */
void paper_set(struct paper *paper, unsigned server, const struct pqb_server_config *config);
/* Somebody died in the guard. */
void paper_rebuild(struct paper *paper);

/* Asks, takes and opens in one; fails the test if it isn't granted at once. */
unsigned paper_hold(struct paper *paper, unsigned server, uint64_t process, const char *app);

enum pqb_claim_state paper_state(const struct paper *paper, unsigned index);
int paper_is_waiting(const struct paper *paper, unsigned index);
int paper_is_granted(const struct paper *paper, unsigned index); /* or further */
enum pqb_booked paper_pool(const struct paper *paper, unsigned index);
int paper_is_woken(const struct paper *paper, unsigned index); /* by the last visit */

/* NULL, or what is wrong: every count, list and account is computed from the claims anew and
 * compared. `whole` looks at the tables' unused parts, too. */
const char *paper_fault(const struct paper *paper, int whole);

#define paper_check(paper)                                                                         \
    do {                                                                                           \
        const char *fault_ = paper_fault(paper, 1);                                                \
        cr_assert(!fault_, "the books are wrong: %s", fault_);                                     \
    } while (0)

#endif
