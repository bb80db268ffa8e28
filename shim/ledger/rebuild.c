#include "ledger/rebuild.h"

#include "ledger/account.h"
#include "ledger/admission.h"
#include "ledger/chain.h"
#include "ledger/registry.h"

#include <string.h>

static void forget_books(struct pqb_books *books)
{
    struct pqb_layout *map = books->map;
    for (unsigned i = 0; i < PQB_SERVERS; i++) {
        struct pqb_server_row *server = &map->server[i];
        server->queue_head = server->queue_tail = PQB_NIL;
        server->reserve_head = server->reserve_tail = PQB_NIL;
        server->drain_head = server->drain_tail = PQB_NIL;
        server->general = server->reserve = server->slack = 0;
        server->waiting = server->logging_in = server->draining = server->unmet = 0;
    }
    for (unsigned i = 0; i < PQB_APPS; i++) {
        struct pqb_app_row *app = &map->app[i];
        app->claims = app->used = app->general = app->waiting = 0;
        unsigned server = pqb_once(&app->server);
        if (app->taken && server < PQB_SERVERS)
            map->server[server].unmet += app->min;
    }
    pqb_account_forget(map);
    atomic_store(&map->header.waiting, 0);
    for (unsigned i = 0; i < PQB_GROUPS; i++) {
        atomic_store(&map->header.busy[i], 0);
        atomic_store(&map->header.pending[i], 0);
    }
    for (unsigned i = 0; i < PQB_SUMMARY_WORDS; i++)
        atomic_store(&map->header.pending_groups[i], 0);
}

/* Books one claim from its state alone. Queued ones come later, in the order of their tickets. */
static void rebook(struct pqb_books *books, unsigned index)
{
    struct pqb_layout *map = books->map;
    struct pqb_claim_row *claim = pqb_books_claim(books, index);
    uint64_t ctl = atomic_load(&claim->ctl);
    enum pqb_booked was = (enum pqb_booked)claim->booked;
    claim->booked = claim->booked_held = claim->booked_login = claim->booked_draining = 0;
    claim->account = PQB_NIL;
    claim->previous = claim->next = claim->drain_previous = claim->drain_next = PQB_NIL;
    if (pqb_ctl_state(ctl) == PQB_CLAIM_FREE)
        return;
    unsigned server = pqb_once(&claim->server), app = pqb_once(&claim->app);
    if (pqb_ctl_state(ctl) >= PQB_CLAIM_GONE || server >= PQB_SERVERS ||
        map->server[server].taken != 1 || !claim->process) {
        claim->app = PQB_NIL;
        atomic_store(&claim->ctl, pqb_ctl_next(ctl, PQB_CLAIM_FREE));
        return;
    }
    if (app >= PQB_APPS || map->app[app].taken != 1 || map->app[app].server != server)
        claim->app = PQB_NIL;
    pqb_books_attach(books, claim);
    pqb_books_mark_busy(map, index, 1);
    if (atomic_load(&claim->yield_after)) /* a merge brought it here, or a look was not ended */
        atomic_store(&map->server[server].yields, 1);
    if (claim->ticket > map->header.next_ticket)
        map->header.next_ticket = claim->ticket;
    if (pqb_ctl_state(ctl) == PQB_CLAIM_WAITING)
        return;
    if (was == PQB_BOOKED_RESERVE)
        pqb_books_charge(books, index, PQB_BOOKED_RESERVE);
    pqb_books_settle(books, index);
}

static unsigned link_of(struct pqb_books *books, unsigned index)
{
    return pqb_chain_link(books, pqb_once(&pqb_books_claim(books, index)->next));
}

/* Merges two chains, linked by `next` and in the order of their tickets. */
static unsigned merge(struct pqb_books *books, unsigned a, unsigned b)
{
    unsigned head = PQB_NIL, last = PQB_NIL, steps = 0;
    while (a != PQB_NIL || b != PQB_NIL) {
        int from_a = b == PQB_NIL || (a != PQB_NIL && pqb_books_claim(books, a)->ticket <=
                                                          pqb_books_claim(books, b)->ticket);
        unsigned taken = from_a ? a : b;
        if (++steps > PQB_CLAIMS) /* somebody links them anew meanwhile */
            break;
        if (from_a)
            a = link_of(books, a);
        else
            b = link_of(books, b);
        if (last == PQB_NIL)
            head = taken;
        else
            pqb_books_claim(books, last)->next = (uint16_t)taken;
        last = taken;
    }
    return head;
}

/* Bottom-up merge sort: no memory, and 10,000 waiters take a millisecond. */
static void requeue(struct pqb_books *books)
{
    unsigned run[16]; /* run[k] holds 2^k claims or none: 2^15 is more than there are */
    for (unsigned k = 0; k < 16; k++)
        run[k] = PQB_NIL;
    for (unsigned i = 0; i < PQB_CLAIMS; i++) {
        struct pqb_claim_row *claim = pqb_books_claim(books, i);
        if (pqb_ctl_state(atomic_load(&claim->ctl)) != PQB_CLAIM_WAITING)
            continue;
        claim->next = PQB_NIL;
        unsigned carry = i, k = 0;
        for (; k < 15 && run[k] != PQB_NIL; k++) {
            carry = merge(books, run[k], carry);
            run[k] = PQB_NIL;
        }
        run[k] = run[k] == PQB_NIL ? carry : merge(books, run[k], carry);
    }
    unsigned index = PQB_NIL;
    for (unsigned k = 0; k < 16; k++)
        index = merge(books, run[k], index);
    for (unsigned steps = 0; index != PQB_NIL && steps < PQB_CLAIMS; steps++) {
        unsigned next = link_of(books, index);
        pqb_books_charge(books, index, PQB_BOOKED_QUEUE);
        index = next;
    }
}

void pqb_rebuild(struct pqb_books *books)
{
    books->corrupt = 0;
    _Atomic uint16_t *rebuilds = &books->map->header.rebuilds;
    atomic_fetch_or(rebuilds, 1); /* odd already if somebody died in here */
    pqb_registry_repair(books->map);
    forget_books(books);
    for (unsigned i = 0; i < PQB_CLAIMS; i++)
        rebook(books, i);
    requeue(books);
    atomic_fetch_add(rebuilds, 1);
    for (unsigned i = 0; i < PQB_SERVERS; i++)
        if (books->map->server[i].taken)
            pqb_admission_dispatch(books, i);
}

void pqb_rebuild_merged(struct pqb_books *books, unsigned from, unsigned into)
{
    struct pqb_layout *map = books->map;
    for (unsigned i = 0; i < PQB_CLAIMS; i++) {
        struct pqb_claim_row *claim = pqb_books_claim(books, i);
        if (pqb_ctl_state(atomic_load(&claim->ctl)) == PQB_CLAIM_FREE || claim->server != from)
            continue;
        const struct pqb_app_row *app = pqb_books_app(books, claim);
        unsigned own = app ? pqb_registry_app_make(map, into, app->label, PQB_NIL) : PQB_NIL;
        if (own != PQB_NIL)
            map->app[own].claims++; /* so that the next one does not reuse the row */
        claim->app = (uint16_t)own;
        claim->server = (uint16_t)into;
    }
    for (unsigned i = 0; i < PQB_ALIASES; i++)
        if (map->alias[i].taken && map->alias[i].server == from)
            map->alias[i].server = (uint16_t)into;
    for (unsigned i = 0; i < PQB_APPS; i++)
        if (map->app[i].taken && map->app[i].server == from)
            memset(&map->app[i], 0, sizeof map->app[i]);
    memset(&map->server[from], 0, sizeof map->server[from]);
    pqb_rebuild(books);
}
