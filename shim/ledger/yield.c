#include "ledger/yield.h"

#include "ledger/journal.h"
#include "ledger/os.h"
#include "ledger/visit.h"
#include "ledger/wait.h"
#include "ledger/wish.h"

#include <string.h>

/* What is behind a claim of ours. The row's server is read once: it may change. */
struct place {
    struct pqb_layout *map;
    struct pqb_claim_row *row;
    struct pqb_server_row *server;
    uint64_t name;
};

/* 0 if the ledger can't be touched, or the claim is not ours, or not open, any more. */
static int find(const struct pqb_claim *claim, struct place *place)
{
    if (!claim->region || pqb_region_check(claim->region) == PQB_DAMAGED)
        return 0;
    struct pqb_layout *map = claim->region->map;
    struct pqb_claim_row *row = &map->claim[claim->index];
    unsigned server = __atomic_load_n(&row->server, __ATOMIC_RELAXED);
    uint64_t name = pqb_wish_name(claim->index, claim->generation);
    if (server >= PQB_SERVERS || pqb_wish_claim(map, name, PQB_CLAIM_OPEN) == PQB_NIL)
        return 0;
    *place = (struct place){map, row, &map->server[server], name};
    return 1;
}

void pqb_yield_offer(const struct pqb_claim *claim, uint32_t after_ms)
{
    struct place place;
    if (!find(claim, &place))
        return;
    struct pqb_claim_row *row = place.row;
    atomic_store(&row->bell,
                 (uint16_t)(1 + (pqb_wait_bell(claim->region) - place.map->header.bell)));
    atomic_store(&row->idle_since, pqb_wish_clock(pqb_now()));
    atomic_store(&row->session, PQB_SESSION_IDLE);
    atomic_store(&row->yield_after, after_ms);
    /* After it: whoever looks forgets it first, and then reads the rows. */
    atomic_store(&place.server->yields, 1);
}

int pqb_yield_tell(const struct pqb_claim *claim, unsigned session, uint64_t idle_since)
{
    struct place place;
    uint32_t since = pqb_wish_clock(idle_since);
    if (!find(claim, &place))
        return 0;
    int is_news = atomic_exchange(&place.row->idle_since, since) != since;
    return (atomic_exchange(&place.row->session, (uint8_t)session) != session) | is_news;
}

static void label_copy(char to[PQB_LABEL_BYTES + 1], const struct pqb_layout *map,
                       const struct pqb_claim_row *row)
{
    unsigned app = __atomic_load_n(&row->app, __ATOMIC_RELAXED);
    memset(to, 0, PQB_LABEL_BYTES + 1);
    if (app < PQB_APPS)
        memcpy(to, map->app[app].label, strnlen(map->app[app].label, PQB_LABEL_BYTES));
}

enum pqb_yield_answer_due pqb_yield_is_asked(const struct pqb_claim *claim,
                                             struct pqb_yield_wish *wish)
{
    struct place place;
    *wish = (struct pqb_yield_wish){0};
    if (!find(claim, &place) || atomic_load(&place.server->asked) != place.name)
        return PQB_YIELD_NOT_ASKED;
    uint64_t name = atomic_load(&place.server->asked_for);
    unsigned index = pqb_wish_claim(place.map, name, PQB_CLAIM_WAITING);
    if (index == PQB_NIL || place.server->config.paused)
        return PQB_YIELD_IN_VAIN;
    wish->pid = place.map->claim[index].pid;
    label_copy(wish->app, place.map, &place.map->claim[index]);
    return pqb_wish_claim(place.map, name, PQB_CLAIM_WAITING) == index ? PQB_YIELD_ASKED
                                                                       : PQB_YIELD_IN_VAIN;
}

int pqb_yield_has_others(const struct pqb_claim *claim)
{
    struct place place;
    return find(claim, &place) && pqb_wish_has_others(place.map, claim->index);
}

void pqb_yield_accept(const struct pqb_claim *claim, const struct pqb_yield_wish *wish,
                      uint64_t idle_ns)
{
    struct place place;
    char app[PQB_LABEL_BYTES + 1];
    if (!find(claim, &place))
        return;
    label_copy(app, place.map, place.row);
    atomic_fetch_add(&place.server->yielded_total, 1);
    pqb_journal_write_for(place.map, PQB_EVENT_YIELDED,
                          (uint16_t)(place.server - place.map->server), app, place.row->pid,
                          idle_ns, wish->app, wish->pid);
}

void pqb_yield_decline(const struct pqb_claim *claim)
{
    struct place place;
    if (!find(claim, &place))
        return;
    /* It can't be idle for long enough before; nor is it asked again at once, whatever is told of
     * it meanwhile. */
    if (atomic_load(&place.row->session) != PQB_SESSION_IDLE)
        atomic_store(&place.row->declined_at, pqb_wish_second(pqb_now()));
    if (!atomic_compare_exchange_strong(&place.server->asked, &place.name, 0))
        return;
    /* The next look comes with the next visit. */
    pqb_books_flag(place.map, claim->index);
    pqb_visit_serve(claim->region);
}

/* ---- who reads ---- */

unsigned pqb_yield_refresh(struct pqb_region *region)
{
    struct pqb_layout *map = region->map;
    unsigned asked = 0;
    uint64_t last = 0;
    if (pqb_region_check(region) == PQB_DAMAGED)
        return 0;
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
