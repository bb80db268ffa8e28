#include "ledger/chain.h"

struct pqb_chain pqb_chain_queue(struct pqb_server_row *server)
{
    return (struct pqb_chain){&server->queue_head, &server->queue_tail, 0};
}

struct pqb_chain pqb_chain_reserve(struct pqb_server_row *server)
{
    return (struct pqb_chain){&server->reserve_head, &server->reserve_tail, 0};
}

struct pqb_chain pqb_chain_drainers(struct pqb_server_row *server)
{
    return (struct pqb_chain){&server->drain_head, &server->drain_tail, 1};
}

static uint16_t *next_of(struct pqb_books *books, const struct pqb_chain *chain, unsigned index)
{
    struct pqb_claim_row *claim = &books->map->claim[index];
    return chain->drain ? &claim->drain_next : &claim->next;
}

static uint16_t *previous_of(struct pqb_books *books, const struct pqb_chain *chain, unsigned index)
{
    struct pqb_claim_row *claim = &books->map->claim[index];
    return chain->drain ? &claim->drain_previous : &claim->previous;
}

unsigned pqb_chain_link(struct pqb_books *books, unsigned link)
{
    if (link < PQB_CLAIMS || link == PQB_NIL)
        return link;
    books->corrupt = 1;
    return PQB_NIL;
}

unsigned pqb_chain_next(struct pqb_books *books, const struct pqb_chain *chain, unsigned index,
                        unsigned *steps)
{
    if (++*steps > PQB_CLAIMS) {
        books->corrupt = 1;
        return PQB_NIL;
    }
    return pqb_chain_link(books, pqb_once(next_of(books, chain, index)));
}

void pqb_chain_insert(struct pqb_books *books, struct pqb_chain chain, unsigned index,
                      unsigned before)
{
    unsigned after =
        before == PQB_NIL ? pqb_once(chain.tail) : pqb_once(previous_of(books, &chain, before));
    after = pqb_chain_link(books, after);
    *previous_of(books, &chain, index) = (uint16_t)after;
    *next_of(books, &chain, index) = (uint16_t)before;
    *(after == PQB_NIL ? chain.head : next_of(books, &chain, after)) = (uint16_t)index;
    *(before == PQB_NIL ? chain.tail : previous_of(books, &chain, before)) = (uint16_t)index;
}

void pqb_chain_remove(struct pqb_books *books, struct pqb_chain chain, unsigned index)
{
    unsigned previous = pqb_chain_link(books, pqb_once(previous_of(books, &chain, index)));
    unsigned next = pqb_chain_link(books, pqb_once(next_of(books, &chain, index)));
    uint16_t *from_left = previous == PQB_NIL ? chain.head : next_of(books, &chain, previous);
    uint16_t *from_right = next == PQB_NIL ? chain.tail : previous_of(books, &chain, next);
    if (*from_left != index || *from_right != index) {
        books->corrupt = 1;
        return;
    }
    *from_left = (uint16_t)next;
    *from_right = (uint16_t)previous;
    *previous_of(books, &chain, index) = *next_of(books, &chain, index) = PQB_NIL;
}
