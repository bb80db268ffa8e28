#include "ledger/yield.h"

#include "ledger/journal.h"
#include "ledger/os.h"
#include "ledger/visit.h"
#include "ledger/wait.h"
#include "ledger/wish.h"

#include <string.h>

/* NULL if the ledger can't be touched, or the claim is not ours, or not open, any more. */
static struct pqb_claim_row *own_row(const struct pqb_claim *claim)
{
    if (!claim->region || pqb_region_check(claim->region) == PQB_DAMAGED)
        return NULL;
    struct pqb_claim_row *row = &claim->region->map->claim[claim->index];
    uint64_t ctl = atomic_load(&row->ctl);
    return ctl >> 32 == claim->generation && pqb_ctl_state(ctl) == PQB_CLAIM_OPEN &&
                   row->server < PQB_SERVERS
               ? row
               : NULL;
}

void pqb_yield_offer(const struct pqb_claim *claim, uint32_t after_ms)
{
    struct pqb_claim_row *row = own_row(claim);
    if (!row)
        return;
    struct pqb_layout *map = claim->region->map;
    row->bell = (uint16_t)(1 + (pqb_wait_bell(claim->region) - map->header.bell));
    atomic_store(&row->idle_since, pqb_wish_clock(pqb_now()));
    atomic_store(&row->session, PQB_SESSION_IDLE);
    atomic_store(&row->yield_after, after_ms);
    atomic_store(&map->server[row->server].yields, 1);
}

int pqb_yield_tell(const struct pqb_claim *claim, unsigned session, uint64_t idle_since)
{
    struct pqb_claim_row *row = own_row(claim);
    uint32_t since = pqb_wish_clock(idle_since);
    if (!row)
        return 0;
    int is_news = atomic_exchange(&row->idle_since, since) != since;
    return (atomic_exchange(&row->session, (uint8_t)session) != session) | is_news;
}

static _Atomic uint64_t *asked_of(const struct pqb_claim *claim, const struct pqb_claim_row *row)
{
    return &claim->region->map->server[row->server].asked;
}

static uint64_t own_name(const struct pqb_claim *claim)
{
    return pqb_wish_name(claim->index, claim->generation);
}

enum pqb_yield_answer_due pqb_yield_is_asked(const struct pqb_claim *claim,
                                             struct pqb_yield_wish *wish)
{
    const struct pqb_claim_row *row = own_row(claim);
    if (!row || atomic_load(asked_of(claim, row)) != own_name(claim))
        return PQB_YIELD_NOT_ASKED;
    const struct pqb_layout *map = claim->region->map;
    uint64_t name = atomic_load(&map->server[row->server].asked_for);
    unsigned index = pqb_wish_claim(map, name, PQB_CLAIM_WAITING);
    *wish = (struct pqb_yield_wish){0};
    if (index == PQB_NIL)
        return PQB_YIELD_IN_VAIN;
    wish->pid = map->claim[index].pid;
    unsigned app = __atomic_load_n(&map->claim[index].app, __ATOMIC_RELAXED);
    if (app < PQB_APPS)
        memcpy(wish->app, map->app[app].label, strnlen(map->app[app].label, PQB_LABEL_BYTES));
    return pqb_wish_claim(map, name, PQB_CLAIM_WAITING) == index ? PQB_YIELD_ASKED
                                                                 : PQB_YIELD_IN_VAIN;
}

int pqb_yield_has_others(const struct pqb_claim *claim)
{
    const struct pqb_claim_row *row = own_row(claim);
    return row && row->account < PQB_CLAIMS && claim->region->map->account[row->account].held > 1;
}

void pqb_yield_accept(const struct pqb_claim *claim, const struct pqb_yield_wish *wish,
                      uint64_t idle_ns)
{
    const struct pqb_claim_row *row = own_row(claim);
    if (!row)
        return;
    struct pqb_layout *map = claim->region->map;
    unsigned app = row->app;
    atomic_fetch_add(&map->server[row->server].yielded_total, 1);
    pqb_journal_write_for(map, PQB_EVENT_YIELDED, row->server,
                          app < PQB_APPS ? map->app[app].label : NULL, row->pid, idle_ns, wish->app,
                          wish->pid);
}

void pqb_yield_decline(const struct pqb_claim *claim)
{
    const struct pqb_claim_row *row = own_row(claim);
    if (!row)
        return;
    uint64_t name = own_name(claim);
    if (!atomic_compare_exchange_strong(asked_of(claim, row), &name, 0))
        return;
    /* The next look comes with the next visit. */
    pqb_books_flag(claim->region->map, claim->index);
    pqb_visit_serve(claim->region);
}

/* ---- who reads ---- */

unsigned pqb_yield_refresh(struct pqb_region *region)
{
    struct pqb_layout *map = region->map;
    unsigned asked = 0;
    uint64_t last = 0;
    for (unsigned group = 0; group < PQB_GROUPS; group++) {
        uint64_t busy = atomic_load(&map->header.busy[group]);
        for (; busy; busy &= busy - 1) {
            unsigned index = group * PQB_GROUP_CLAIMS + (unsigned)__builtin_ctzll(busy);
            const struct pqb_claim_row *row = &map->claim[index];
            /* A process's claims are near one another: most are rung for once. */
            if (!atomic_load(&row->yield_after) || row->process == last)
                continue;
            last = row->process;
            asked++;
            pqb_books_ring(map, index);
        }
    }
    return asked;
}
