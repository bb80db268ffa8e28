/*
 * Wishes: while somebody waits, and only then, connections that were left alone long enough are
 * asked for, one at a time. Of those that help the waiter, one of the process that holds most (with
 * equal shares of a limit: the one furthest above its share), of the application that does if two
 * hold as many; the one that is idle longest. Never a process's only one on that server.
 *
 * What a connection is doing is known to its holder alone, who does not write it down with every
 * query. So the books have it as of the last time he was asked: it may have been used since, and is
 * never idle longer than they say. Whoever is asked brings his rows up to date first (yield.h); is
 * the connection not what it was taken for, he declines, and the next one is looked for. Who waits
 * no more takes the wish with him; who does not answer is passed over.
 */
#ifndef PQB_LEDGER_WISH_H
#define PQB_LEDGER_WISH_H

#include "ledger/books.h"

/* Looks, on each server that was dispatched in this visit and where somebody is left waiting, for a
 * connection to ask for. Inside the guard, at its end. */
void pqb_wish_look(struct pqb_books *books);

/* How a claim is named in a server's wish. */
static inline uint64_t pqb_wish_name(unsigned index, uint32_t generation)
{
    return (uint64_t)generation << 32 | (index + 1);
}

/* The claim of that name, if it still is in this state; PQB_NIL if not. At any time. */
unsigned pqb_wish_claim(const struct pqb_layout *map, uint64_t name, enum pqb_claim_state state);

/* The clock of the rows: it goes round every 49 days. */
static inline uint32_t pqb_wish_clock(uint64_t time)
{
    return (uint32_t)(time / 1000000);
}

/* For how many ms a connection was not used, or fewer. */
uint32_t pqb_wish_idle(const struct pqb_claim_row *row, uint64_t now);

/* The seconds in which somebody declines: never 0. */
static inline uint16_t pqb_wish_second(uint64_t time)
{
    return (uint16_t)(time / 1000000000 | 1);
}

/* By its row: a connection that is followed, was idle for long enough, and may be again. */
int pqb_wish_may_ask(const struct pqb_claim_row *row, uint64_t now);

/* Has its process another open one on that server? At any time. */
int pqb_wish_has_others(const struct pqb_layout *map, unsigned index);

#endif
