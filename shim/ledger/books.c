#include "ledger/books.h"

#include "ledger/account.h"
#include "ledger/chain.h"
#include "ledger/os.h"

#include <limits.h>

static struct pqb_account_row *account_of(const struct pqb_books *books,
                                          const struct pqb_claim_row *claim)
{
    unsigned account = pqb_once(&claim->account);
    return account < PQB_CLAIMS ? &books->map->account[account] : NULL;
}

uint32_t pqb_books_unmet(const struct pqb_app_row *app)
{
    return app && app->min > app->general ? app->min - app->general : 0;
}

static void count(struct pqb_books *books, uint32_t *counter, int change)
{
    if (change < 0 && !*counter)
        books->corrupt = 1;
    else
        *counter += (uint32_t)change;
}

static void waiting_count(struct pqb_books *books, int change)
{
    _Atomic uint32_t *waiting = &books->map->header.waiting;
    uint32_t now = atomic_load(waiting);
    if (change < 0 && !now)
        books->corrupt = 1;
    else
        atomic_store(waiting, now + (uint32_t)change);
}

static void pool_count(struct pqb_books *books, struct pqb_claim_row *claim, unsigned booked,
                       int change)
{
    struct pqb_server_row *server = pqb_books_server(books, claim);
    struct pqb_app_row *app = pqb_books_app(books, claim);
    switch (booked) {
    case PQB_BOOKED_QUEUE:
        count(books, &server->waiting, change);
        waiting_count(books, change);
        if (app)
            count(books, &app->waiting, change);
        break;
    case PQB_BOOKED_GENERAL:
        count(books, &server->general, change);
        if (app) {
            count(books, &server->unmet, -(int)pqb_books_unmet(app));
            count(books, &app->used, change);
            count(books, &app->general, change);
            server->unmet += pqb_books_unmet(app);
        }
        break;
    case PQB_BOOKED_RESERVE:
        count(books, &server->reserve, change);
        if (app)
            count(books, &app->used, change);
        break;
    case PQB_BOOKED_SLACK:
        count(books, &server->slack, change);
        break;
    default:
        break;
    }
}

/* Where in the queue a ticket belongs: before the first younger one. New tickets go to the end. */
static unsigned queue_place(struct pqb_books *books, struct pqb_server_row *server, uint64_t ticket)
{
    struct pqb_chain queue = pqb_chain_queue(server);
    unsigned steps = 0, tail = pqb_chain_link(books, *queue.tail);
    if (tail == PQB_NIL || pqb_books_claim(books, tail)->ticket <= ticket)
        return PQB_NIL;
    unsigned index = pqb_chain_link(books, *queue.head);
    while (index != PQB_NIL && pqb_books_claim(books, index)->ticket <= ticket)
        index = pqb_chain_next(books, &queue, index, &steps);
    return index;
}

void pqb_books_charge(struct pqb_books *books, unsigned index, enum pqb_booked booked)
{
    struct pqb_claim_row *claim = pqb_books_claim(books, index);
    struct pqb_server_row *server = pqb_books_server(books, claim);
    if (claim->booked == booked)
        return;
    if (claim->booked == PQB_BOOKED_QUEUE)
        pqb_chain_remove(books, pqb_chain_queue(server), index);
    else if (claim->booked == PQB_BOOKED_RESERVE)
        pqb_chain_remove(books, pqb_chain_reserve(server), index);
    pool_count(books, claim, claim->booked, -1);
    claim->booked = (uint8_t)booked;
    pool_count(books, claim, booked, +1);
    if (booked == PQB_BOOKED_QUEUE)
        pqb_chain_insert(books, pqb_chain_queue(server), index,
                         queue_place(books, server, claim->ticket));
    else if (booked == PQB_BOOKED_RESERVE)
        pqb_chain_insert(books, pqb_chain_reserve(server), index, PQB_NIL);
}

static int is_charged(const struct pqb_claim_row *claim)
{
    return claim->booked >= PQB_BOOKED_GENERAL;
}

static void book_held(struct pqb_books *books, struct pqb_claim_row *claim, int held)
{
    struct pqb_account_row *account = account_of(books, claim);
    if (claim->booked_held == held)
        return;
    claim->booked_held = (uint8_t)held;
    if (account && !held && !account->held)
        books->corrupt = 1;
    else if (account)
        account->held = (uint16_t)(account->held + (held ? 1 : -1));
}

static void book_login(struct pqb_books *books, struct pqb_claim_row *claim, int login)
{
    if (claim->booked_login == login)
        return;
    claim->booked_login = (uint8_t)login;
    count(books, &pqb_books_server(books, claim)->logging_in, login ? 1 : -1);
}

void pqb_books_refill_slack(struct pqb_books *books, struct pqb_server_row *server)
{
    struct pqb_chain drainers = pqb_chain_drainers(server);
    unsigned steps = 0, index = pqb_chain_link(books, *drainers.head);
    while (index != PQB_NIL && server->slack < server->config.slack) {
        if (pqb_books_claim(books, index)->booked != PQB_BOOKED_SLACK)
            pqb_books_charge(books, index, PQB_BOOKED_SLACK);
        index = pqb_chain_next(books, &drainers, index, &steps);
    }
}

static void book_draining(struct pqb_books *books, unsigned index, int draining)
{
    struct pqb_claim_row *claim = pqb_books_claim(books, index);
    struct pqb_server_row *server = pqb_books_server(books, claim);
    if (claim->booked_draining == draining)
        return;
    claim->booked_draining = (uint8_t)draining;
    count(books, &server->draining, draining ? 1 : -1);
    if (draining)
        pqb_chain_insert(books, pqb_chain_drainers(server), index, PQB_NIL);
    else
        pqb_chain_remove(books, pqb_chain_drainers(server), index);
}

void pqb_books_attach(struct pqb_books *books, struct pqb_claim_row *claim)
{
    unsigned account = pqb_account_get(books, claim->process, claim->server);
    claim->account = (uint16_t)account;
    if (account != PQB_NIL)
        books->map->account[account].claims++;
    struct pqb_app_row *app = pqb_books_app(books, claim);
    if (app)
        app->claims++;
}

static void detach(struct pqb_books *books, struct pqb_claim_row *claim)
{
    struct pqb_account_row *account = account_of(books, claim);
    if (account && account->claims)
        account->claims--;
    if (account && !account->claims)
        pqb_account_free(books, (unsigned)(account - books->map->account));
    struct pqb_app_row *app = pqb_books_app(books, claim);
    if (app)
        count(books, &app->claims, -1);
    claim->account = claim->app = PQB_NIL;
}

void pqb_books_mark_busy(struct pqb_layout *map, unsigned index, int busy)
{
    uint64_t bit = 1ull << index % PQB_GROUP_CLAIMS;
    _Atomic uint64_t *word = &map->header.busy[index / PQB_GROUP_CLAIMS];
    atomic_store(word, busy ? atomic_load(word) | bit : atomic_load(word) & ~bit);
}

static void strike_out(struct pqb_books *books, unsigned index)
{
    struct pqb_claim_row *claim = pqb_books_claim(books, index);
    uint64_t ctl = atomic_load(&claim->ctl);
    book_held(books, claim, 0);
    book_login(books, claim, 0);
    book_draining(books, index, 0);
    int was_slack = claim->booked == PQB_BOOKED_SLACK;
    pqb_books_charge(books, index, PQB_BOOKED_NONE);
    if (was_slack)
        pqb_books_refill_slack(books, pqb_books_server(books, claim));
    detach(books, claim);
    /* Nobody else changes a claim that is GONE. FREE keeps the generation; the next user adds one.
     */
    atomic_store(&claim->ctl, pqb_ctl_next(ctl, PQB_CLAIM_FREE));
    pqb_books_mark_busy(books->map, index, 0);
}

void pqb_books_settle(struct pqb_books *books, unsigned index)
{
    struct pqb_claim_row *claim = pqb_books_claim(books, index);
    enum pqb_claim_state state = pqb_ctl_state(atomic_load(&claim->ctl));
    if (state == PQB_CLAIM_FREE)
        return;
    if (claim->server >= PQB_SERVERS || state > PQB_CLAIM_GONE) {
        books->corrupt = 1;
        return;
    }
    if (state == PQB_CLAIM_GONE) {
        strike_out(books, index);
        return;
    }
    int charged = state != PQB_CLAIM_WAITING;
    book_held(books, claim, charged && state != PQB_CLAIM_DRAINING);
    book_login(books, claim, state == PQB_CLAIM_GRANTED || state == PQB_CLAIM_CONNECTING);
    if (!charged)
        pqb_books_charge(books, index, PQB_BOOKED_QUEUE);
    else if (!is_charged(claim))
        pqb_books_charge(books, index, PQB_BOOKED_GENERAL);
    if (state == PQB_CLAIM_DRAINING && !claim->booked_draining) {
        struct pqb_server_row *server = pqb_books_server(books, claim);
        book_draining(books, index, 1);
        pqb_books_refill_slack(books, server);
        /* The first waiter watches drainers: it must learn of this one. */
        unsigned first = pqb_once(&server->queue_head);
        if (claim->booked != PQB_BOOKED_SLACK && first < PQB_CLAIMS)
            pqb_books_wake(books, first);
    }
}

void pqb_books_enter(struct pqb_books *books, unsigned index, uint32_t generation)
{
    struct pqb_claim_row *claim = pqb_books_claim(books, index);
    claim->ticket = ++books->map->header.next_ticket;
    claim->booked = claim->booked_login = claim->booked_held = claim->booked_draining = 0;
    pqb_books_attach(books, claim);
    pqb_books_mark_busy(books->map, index, 1);
    atomic_store(&claim->ctl, (uint64_t)generation << 32 | PQB_CLAIM_WAITING);
    pqb_books_charge(books, index, PQB_BOOKED_QUEUE);
}

void pqb_books_wake(struct pqb_books *books, unsigned index)
{
    if (index == books->self)
        return;
    atomic_fetch_add(&pqb_books_claim(books, index)->word, 1);
    if (books->wakes && books->wake[books->wakes - 1] == index)
        return;
    if (books->wakes < PQB_BOOKS_WAKES)
        books->wake[books->wakes++] = (uint16_t)index;
}

void pqb_books_flag(struct pqb_layout *map, unsigned index)
{
    unsigned group = index / PQB_GROUP_CLAIMS;
    atomic_fetch_or(&map->header.pending[group], 1ull << index % PQB_GROUP_CLAIMS);
    atomic_fetch_or(&map->header.pending_groups[group / 64], 1ull << group % 64);
}

int pqb_books_pending(const struct pqb_layout *map)
{
    for (unsigned i = 0; i < PQB_SUMMARY_WORDS; i++)
        if (atomic_load(&map->header.pending_groups[i]))
            return 1;
    return 0;
}

void pqb_books_ring(struct pqb_layout *map, unsigned index)
{
    struct pqb_claim_row *claim = &map->claim[index];
    pqb_futex_wake(&claim->word, INT_MAX, 1);
    unsigned number = atomic_load(&claim->bell);
    if (number && number <= PQB_BELLS) {
        _Atomic uint32_t *bell = &map->header.bell[number - 1];
        atomic_fetch_add(bell, 1);
        pqb_futex_wake(bell, INT_MAX, 1);
    }
}
