#include "ledger/admission.h"

#include "ledger/chain.h"
#include "ledger/journal.h"
#include "ledger/registry.h"

#define TICK_UNIT (8 * 1000000ull) /* ns */

static uint64_t total_of(const struct pqb_server_row *server)
{
    return (uint64_t)server->general + server->reserve;
}

/* May one more claim of this application be charged to general? Other applications' unmet
 * minimums are not for it. */
static int general_has_room(const struct pqb_server_row *server, const struct pqb_app_row *app)
{
    uint64_t own = pqb_books_unmet(app), all = server->unmet;
    uint64_t others = all > own ? all - own : 0;
    return server->general + others < pqb_registry_general(&server->config);
}

static uint32_t held_of(const struct pqb_layout *map, const struct pqb_claim_row *claim)
{
    unsigned account = pqb_once(&claim->account);
    return account < PQB_CLAIMS ? map->account[account].held : 0;
}

static const struct pqb_app_row *app_of(const struct pqb_layout *map,
                                        const struct pqb_claim_row *claim)
{
    unsigned app = pqb_once(&claim->app);
    return app < PQB_APPS ? &map->app[app] : NULL;
}

/* What keeps a waiter back whatever the server has to give. */
static enum pqb_obstacle own_obstacle(const struct pqb_layout *map,
                                      const struct pqb_claim_row *claim)
{
    const struct pqb_app_row *app = app_of(map, claim);
    if (atomic_load(&claim->ctl) & PQB_CTL_SKIPPED)
        return PQB_OBSTACLE_SKIPPED;
    if (claim->process_cap && held_of(map, claim) >= claim->process_cap)
        return PQB_OBSTACLE_PROCESS_CAP;
    if (app && app->used >= app->limit)
        return PQB_OBSTACLE_APP_LIMIT;
    return PQB_OBSTACLE_NONE;
}

enum pqb_obstacle pqb_admission_obstacle(const struct pqb_layout *map,
                                         const struct pqb_claim_row *claim, enum pqb_booked *pool)
{
    unsigned number = pqb_once(&claim->server);
    if (number >= PQB_SERVERS)
        return PQB_OBSTACLE_ROOM;
    const struct pqb_server_row *server = &map->server[number];
    const struct pqb_server_config *config = &server->config;
    const struct pqb_app_row *app = app_of(map, claim);
    enum pqb_obstacle own = own_obstacle(map, claim);
    if (own == PQB_OBSTACLE_SKIPPED)
        return own;
    if (config->paused)
        return PQB_OBSTACLE_PAUSED;
    if (own)
        return own;
    if (config->logins && server->logging_in >= config->logins)
        return PQB_OBSTACLE_LOGINS;
    if (total_of(server) >= config->limit)
        return PQB_OBSTACLE_ROOM;
    if (general_has_room(server, app))
        *pool = PQB_BOOKED_GENERAL;
    else if (!held_of(map, claim) && server->reserve < config->reserve)
        *pool = PQB_BOOKED_RESERVE;
    else
        return PQB_OBSTACLE_ROOM;
    return PQB_OBSTACLE_NONE;
}

/* Nobody can be granted anything: saves the walk along a long queue. */
static int is_closed(const struct pqb_server_row *server)
{
    const struct pqb_server_config *config = &server->config;
    return config->paused || total_of(server) >= config->limit ||
           (config->logins && server->logging_in >= config->logins) ||
           (server->general >= pqb_registry_general(config) && server->reserve >= config->reserve);
}

/* From one place in the queue on. */
static unsigned first_eligible(struct pqb_books *books, unsigned number, unsigned from,
                               enum pqb_booked *pool)
{
    struct pqb_server_row *server = &books->map->server[number];
    struct pqb_chain queue = pqb_chain_queue(server);
    if (is_closed(server))
        return PQB_NIL;
    unsigned index = from;
    for (unsigned steps = 0; index != PQB_NIL;
         index = pqb_chain_next(books, &queue, index, &steps)) {
        const struct pqb_claim_row *claim = pqb_books_claim(books, index);
        if (claim->server != number || claim->booked != PQB_BOOKED_QUEUE) {
            books->corrupt = 1;
            return PQB_NIL;
        }
        if (!pqb_admission_obstacle(books->map, claim, pool))
            return index;
    }
    return PQB_NIL;
}

/* Is somebody held back by the server alone (full, paused, damped), who would have room in general?
 */
static int general_is_wanted(struct pqb_books *books, struct pqb_server_row *server)
{
    struct pqb_chain queue = pqb_chain_queue(server);
    unsigned index = pqb_chain_link(books, server->queue_head);
    for (unsigned steps = 0; index != PQB_NIL;
         index = pqb_chain_next(books, &queue, index, &steps)) {
        const struct pqb_claim_row *claim = pqb_books_claim(books, index);
        if (!own_obstacle(books->map, claim) &&
            general_has_room(server, pqb_books_app(books, claim)))
            return 1;
    }
    return 0;
}

/* General has room that no waiter wants: charge a reserve claim to it, so that the reserve is
 * there for the next newcomer. Only then: else a stream of newcomers would eat general's room
 * before an older waiter that holds something already. */
static int recharge(struct pqb_books *books, struct pqb_server_row *server)
{
    struct pqb_chain reserve = pqb_chain_reserve(server);
    unsigned index = pqb_chain_link(books, server->reserve_head);
    for (unsigned steps = 0; index != PQB_NIL;
         index = pqb_chain_next(books, &reserve, index, &steps)) {
        if (!general_has_room(server, pqb_books_app(books, pqb_books_claim(books, index))))
            continue;
        if (general_is_wanted(books, server))
            return 0;
        pqb_books_charge(books, index, PQB_BOOKED_GENERAL);
        return 1;
    }
    return 0;
}

static void grant(struct pqb_books *books, unsigned index, enum pqb_booked pool)
{
    struct pqb_claim_row *claim = pqb_books_claim(books, index);
    struct pqb_server_row *server = pqb_books_server(books, claim);
    struct pqb_app_row *app = pqb_books_app(books, claim);
    uint64_t ctl = atomic_load(&claim->ctl);
    uint64_t granted = pqb_ctl_next(ctl, PQB_CLAIM_GRANTED);
    /* Before the grant: a reader that sees the same number before and after saw none. */
    atomic_fetch_add(&books->map->header.grants, 1);
    atomic_store(&claim->changed_at, books->now);
    /* Its owner may give up in this very moment. */
    if (pqb_ctl_state(ctl) != PQB_CLAIM_WAITING ||
        !atomic_compare_exchange_strong(&claim->ctl, &ctl, granted)) {
        pqb_books_settle(books, index);
        books->corrupt |= claim->booked == PQB_BOOKED_QUEUE; /* such a one can't be in a queue */
        return;
    }
    claim->waited = books->now > claim->asked_at ? books->now - claim->asked_at : 0;
    atomic_store(&claim->hot, 0);
    pqb_books_charge(books, index, pool);
    pqb_books_settle(books, index);
    if (total_of(server) > server->peak)
        server->peak = (uint32_t)total_of(server);
    server->granted_total++;
    server->wait_ns_total += claim->waited;
    server->wait_bucket[pqb_wait_bucket_of(claim->waited)]++;
    pqb_journal_write(books->map, PQB_EVENT_GRANTED, claim->server, app ? app->label : NULL,
                      claim->pid, claim->waited);
    pqb_books_wake(books, index);
}

uint8_t pqb_admission_tick(uint64_t now)
{
    return (uint8_t)(1 + (now / TICK_UNIT) % 255);
}

static int ticks_lately(uint8_t tick, uint64_t now)
{
    return tick && (255 + pqb_admission_tick(now) - tick) % 255 <= 4;
}

/* The first few of a queue are to tick every 10 ms, but not those that are passed over: they may be
 * stopped. Where none of them has ticked lately, the last one that sleeps longer is woken for it:
 * he stays longest. So is a new head that must watch drainers from now on. */
static void mark_hot(struct pqb_books *books, struct pqb_server_row *server)
{
    struct pqb_chain queue = pqb_chain_queue(server);
    unsigned index = pqb_chain_link(books, server->queue_head), place = 1, sleeper = PQB_NIL;
    int ticking = 0;
    for (unsigned steps = 0; index != PQB_NIL && place <= PQB_HOT;
         index = pqb_chain_next(books, &queue, index, &steps)) {
        struct pqb_claim_row *claim = pqb_books_claim(books, index);
        if (atomic_load(&claim->ctl) & PQB_CTL_SKIPPED)
            continue;
        uint8_t was = atomic_load(&claim->hot), tick = atomic_load(&claim->tick);
        atomic_store(&claim->hot, (uint8_t)place);
        if (place == 1 && was != 1 && server->draining > server->slack)
            pqb_books_wake(books, index);
        if (index == books->self || ticks_lately(tick, books->now))
            ticking = 1;
        else if (!tick)
            sleeper = index;
        place++;
    }
    if (ticking || sleeper == PQB_NIL)
        return;
    atomic_store(&pqb_books_claim(books, sleeper)->tick, pqb_admission_tick(books->now));
    pqb_books_wake(books, sleeper);
}

void pqb_admission_dispatch(struct pqb_books *books, unsigned index)
{
    struct pqb_server_row *server = &books->map->server[index];
    enum pqb_booked pool = PQB_BOOKED_NONE;
    struct pqb_chain queue = pqb_chain_queue(server);
    books->dispatched |= 1ull << index;
    /* A grant never makes an older waiter eligible: counts only rise. So the search goes on behind
     * it, and a long queue of those who are held back is walked once, not once per grant. */
    unsigned from = pqb_chain_link(books, server->queue_head), walked = 0;
    for (unsigned steps = 0; steps < 2 * PQB_CLAIMS && !books->corrupt; steps++) {
        unsigned next = first_eligible(books, index, from, &pool);
        if (next == PQB_NIL) {
            if (!server->reserve || !recharge(books, server))
                break;
            from = pqb_chain_link(books, server->queue_head);
        } else if (books->wakes + PQB_HOT >= PQB_BOOKS_WAKES) {
            books->unserved |= 1ull << index;
            break;
        } else {
            from = pqb_chain_next(books, &queue, next, &walked);
            grant(books, next, pool);
        }
    }
    if (server->waiting)
        mark_hot(books, server);
}

static int lies_untouched(const struct pqb_books *books, unsigned index)
{
    const struct pqb_claim_row *claim = pqb_books_claim(books, index);
    uint64_t since = atomic_load(&claim->changed_at);
    return pqb_ctl_state(atomic_load(&claim->ctl)) == PQB_CLAIM_GRANTED && books->now > since &&
           books->now - since >= PQB_TAKE_BACK;
}

void pqb_admission_take_back(struct pqb_books *books, unsigned index)
{
    struct pqb_claim_row *claim = pqb_books_claim(books, index);
    uint64_t ctl = atomic_load(&claim->ctl);
    uint64_t back = pqb_ctl_next(ctl, PQB_CLAIM_WAITING) | PQB_CTL_SKIPPED;
    if (pqb_ctl_state(ctl) != PQB_CLAIM_GRANTED || claim->server >= PQB_SERVERS ||
        !atomic_compare_exchange_strong(&claim->ctl, &ctl, back))
        return;
    const struct pqb_app_row *app = pqb_books_app(books, claim);
    pqb_books_settle(books, index);
    pqb_journal_write(books->map, PQB_EVENT_TAKEN_BACK, claim->server, app ? app->label : NULL,
                      claim->pid, 0);
}

static void harvest_group(struct pqb_books *books, unsigned group, uint64_t *servers)
{
    uint64_t claims = atomic_exchange(&books->map->header.pending[group], 0);
    for (; claims; claims &= claims - 1) {
        unsigned index = group * PQB_GROUP_CLAIMS + (unsigned)__builtin_ctzll(claims);
        unsigned server = pqb_once(&pqb_books_claim(books, index)->server);
        pqb_books_settle(books, index);
        if (server >= PQB_SERVERS)
            continue;
        *servers |= 1ull << server;
        if (books->map->server[server].waiting && lies_untouched(books, index))
            pqb_admission_take_back(books, index);
    }
}

void pqb_admission_harvest(struct pqb_books *books)
{
    struct pqb_header *header = &books->map->header;
    uint64_t servers = 0;
    for (unsigned word = 0; word < PQB_SUMMARY_WORDS; word++) {
        if (!atomic_load(&header->pending_groups[word]))
            continue;
        /* The summary first: a flag set after that sets its summary bit again. */
        uint64_t groups = atomic_exchange(&header->pending_groups[word], 0);
        for (; groups; groups &= groups - 1) {
            unsigned group = word * 64 + (unsigned)__builtin_ctzll(groups);
            if (group < PQB_GROUPS)
                harvest_group(books, group, &servers);
        }
    }
    for (; servers; servers &= servers - 1)
        pqb_admission_dispatch(books, (unsigned)__builtin_ctzll(servers));
}

void pqb_admission_reconfigure(struct pqb_books *books, unsigned index)
{
    struct pqb_server_row *server = &books->map->server[index];
    server->unmet = 0;
    for (unsigned i = 0; i < PQB_APPS; i++)
        if (books->map->app[i].taken && books->map->app[i].server == index)
            server->unmet += pqb_books_unmet(&books->map->app[i]);
    /* Less slack: drainers beyond it block again. */
    struct pqb_chain drainers = pqb_chain_drainers(server);
    unsigned steps = 0, drainer = pqb_chain_link(books, *drainers.head);
    while (drainer != PQB_NIL && server->slack > server->config.slack) {
        if (pqb_books_claim(books, drainer)->booked == PQB_BOOKED_SLACK)
            pqb_books_charge(books, drainer, PQB_BOOKED_GENERAL);
        drainer = pqb_chain_next(books, &drainers, drainer, &steps);
    }
    pqb_books_refill_slack(books, server);
    pqb_admission_dispatch(books, index);
}
