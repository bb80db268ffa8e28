#include "ledger/books.h"

#include "ledger/journal.h"
#include "ledger/registry.h"

#include <string.h>

static struct pqb_claim_row *claim_at(const struct pqb_books *books, unsigned index)
{
    return &books->map->claim[index];
}

static enum pqb_claim_state state_of(uint64_t ctl)
{
    return (enum pqb_claim_state)(ctl & PQB_CTL_STATE);
}

/* ---- lists: a claim is in at most one of queue and reserve, and beside it in the drainers' ---- */

struct chain {
    uint16_t *head, *tail;
    int drain;
};

static struct chain queue_of(struct pqb_server_row *server)
{
    return (struct chain){&server->queue_head, &server->queue_tail, 0};
}

static struct chain reserve_of(struct pqb_server_row *server)
{
    return (struct chain){&server->reserve_head, &server->reserve_tail, 0};
}

static struct chain drain_of(struct pqb_server_row *server)
{
    return (struct chain){&server->drain_head, &server->drain_tail, 1};
}

static uint16_t *next_of(struct pqb_books *books, const struct chain *chain, unsigned index)
{
    struct pqb_claim_row *claim = claim_at(books, index);
    return chain->drain ? &claim->drain_next : &claim->next;
}

static uint16_t *previous_of(struct pqb_books *books, const struct chain *chain, unsigned index)
{
    struct pqb_claim_row *claim = claim_at(books, index);
    return chain->drain ? &claim->drain_previous : &claim->previous;
}

/* A link read from shared memory, or PQB_NIL and a note if it points nowhere. */
static unsigned link_checked(struct pqb_books *books, unsigned link)
{
    if (link < PQB_CLAIMS || link == PQB_NIL)
        return link;
    books->corrupt = 1;
    return PQB_NIL;
}

/* Inserts before `before`; PQB_NIL = at the end. */
static void chain_insert(struct pqb_books *books, struct chain chain, unsigned index,
                         unsigned before)
{
    unsigned after = before == PQB_NIL ? *chain.tail : *previous_of(books, &chain, before);
    after = link_checked(books, after);
    *previous_of(books, &chain, index) = (uint16_t)after;
    *next_of(books, &chain, index) = (uint16_t)before;
    *(after == PQB_NIL ? chain.head : next_of(books, &chain, after)) = (uint16_t)index;
    *(before == PQB_NIL ? chain.tail : previous_of(books, &chain, before)) = (uint16_t)index;
}

static void chain_remove(struct pqb_books *books, struct chain chain, unsigned index)
{
    unsigned previous = link_checked(books, *previous_of(books, &chain, index));
    unsigned next = link_checked(books, *next_of(books, &chain, index));
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

/* ---- accounts: what one process has on one server ---- */

static unsigned bucket_of(uint64_t process, unsigned server)
{
    return (unsigned)((process ^ (uint64_t)server * 0x9e3779b97f4a7c15ull) % PQB_ACCOUNT_BUCKETS);
}

static unsigned account_find(struct pqb_books *books, uint64_t process, unsigned server)
{
    struct pqb_layout *map = books->map;
    unsigned index = map->header.account_bucket[bucket_of(process, server)];
    for (unsigned steps = 0; index < PQB_CLAIMS && steps < PQB_CLAIMS; steps++) {
        if (map->account[index].process == process && map->account[index].server == server)
            return index;
        index = map->account[index].next;
    }
    if (index != PQB_NIL)
        books->corrupt = 1;
    return PQB_NIL;
}

static unsigned account_make(struct pqb_books *books, uint64_t process, unsigned server)
{
    struct pqb_layout *map = books->map;
    unsigned index = map->header.account_free;
    if (index >= PQB_CLAIMS) { /* there are as many accounts as claims: can't happen in good books */
        books->corrupt = 1;
        return PQB_NIL;
    }
    uint16_t *bucket = &map->header.account_bucket[bucket_of(process, server)];
    map->header.account_free = map->account[index].next;
    map->account[index] =
        (struct pqb_account_row){.process = process, .server = (uint16_t)server, .next = *bucket};
    *bucket = (uint16_t)index;
    return index;
}

static void account_free(struct pqb_books *books, unsigned index)
{
    struct pqb_layout *map = books->map;
    struct pqb_account_row *account = &map->account[index];
    uint16_t *link = &map->header.account_bucket[bucket_of(account->process, account->server)];
    for (unsigned steps = 0; *link != index; steps++) {
        if (*link >= PQB_CLAIMS || steps >= PQB_CLAIMS) {
            books->corrupt = 1;
            return;
        }
        link = &map->account[*link].next;
    }
    *link = account->next;
    *account = (struct pqb_account_row){.next = map->header.account_free};
    map->header.account_free = (uint16_t)index;
}

/* ---- what a claim is down for ---- */

static struct pqb_server_row *server_of(const struct pqb_books *books,
                                        const struct pqb_claim_row *claim)
{
    return &books->map->server[claim->server];
}

/* PQB_NIL is a claim without an application row: the table was full. */
static struct pqb_app_row *app_of(const struct pqb_books *books, const struct pqb_claim_row *claim)
{
    return claim->app < PQB_APPS ? &books->map->app[claim->app] : NULL;
}

static struct pqb_account_row *account_of(const struct pqb_books *books,
                                          const struct pqb_claim_row *claim)
{
    return claim->account < PQB_CLAIMS ? &books->map->account[claim->account] : NULL;
}

static uint32_t unmet_of(const struct pqb_app_row *app)
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
    struct pqb_server_row *server = server_of(books, claim);
    struct pqb_app_row *app = app_of(books, claim);
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
            count(books, &server->unmet, -(int)unmet_of(app));
            count(books, &app->used, change);
            count(books, &app->general, change);
            server->unmet += unmet_of(app);
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
    unsigned tail = link_checked(books, server->queue_tail);
    if (tail == PQB_NIL || claim_at(books, tail)->ticket <= ticket)
        return PQB_NIL;
    unsigned index = link_checked(books, server->queue_head);
    for (unsigned steps = 0; index != PQB_NIL && claim_at(books, index)->ticket <= ticket; steps++) {
        if (steps > PQB_CLAIMS) {
            books->corrupt = 1;
            return PQB_NIL;
        }
        index = link_checked(books, claim_at(books, index)->next);
    }
    return index;
}

static void book(struct pqb_books *books, unsigned index, enum pqb_booked booked)
{
    struct pqb_claim_row *claim = claim_at(books, index);
    struct pqb_server_row *server = server_of(books, claim);
    if (claim->booked == booked)
        return;
    if (claim->booked == PQB_BOOKED_QUEUE)
        chain_remove(books, queue_of(server), index);
    else if (claim->booked == PQB_BOOKED_RESERVE)
        chain_remove(books, reserve_of(server), index);
    pool_count(books, claim, claim->booked, -1);
    claim->booked = (uint8_t)booked;
    pool_count(books, claim, booked, +1);
    if (booked == PQB_BOOKED_QUEUE)
        chain_insert(books, queue_of(server), index, queue_place(books, server, claim->ticket));
    else if (booked == PQB_BOOKED_RESERVE)
        chain_insert(books, reserve_of(server), index, PQB_NIL);
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
    count(books, &server_of(books, claim)->logging_in, login ? 1 : -1);
}

/* Lets as many drainers as slack allows block nobody. */
static void slack_refill(struct pqb_books *books, struct pqb_server_row *server)
{
    unsigned index = link_checked(books, server->drain_head);
    for (unsigned steps = 0; index != PQB_NIL && server->slack < server->config.slack; steps++) {
        if (steps > PQB_CLAIMS) {
            books->corrupt = 1;
            return;
        }
        if (claim_at(books, index)->booked != PQB_BOOKED_SLACK)
            book(books, index, PQB_BOOKED_SLACK);
        index = link_checked(books, claim_at(books, index)->drain_next);
    }
}

static void book_draining(struct pqb_books *books, unsigned index, int draining)
{
    struct pqb_claim_row *claim = claim_at(books, index);
    struct pqb_server_row *server = server_of(books, claim);
    if (claim->booked_draining == draining)
        return;
    claim->booked_draining = (uint8_t)draining;
    count(books, &server->draining, draining ? 1 : -1);
    if (draining)
        chain_insert(books, drain_of(server), index, PQB_NIL);
    else
        chain_remove(books, drain_of(server), index);
}

/* Gives the claim its account and application. */
static void attach(struct pqb_books *books, struct pqb_claim_row *claim)
{
    unsigned account = account_find(books, claim->process, claim->server);
    if (account == PQB_NIL)
        account = account_make(books, claim->process, claim->server);
    claim->account = (uint16_t)account;
    if (account != PQB_NIL)
        books->map->account[account].claims++;
    if (app_of(books, claim))
        app_of(books, claim)->claims++;
}

static void detach(struct pqb_books *books, struct pqb_claim_row *claim)
{
    struct pqb_account_row *account = account_of(books, claim);
    if (account && account->claims)
        account->claims--;
    if (account && !account->claims)
        account_free(books, claim->account);
    if (app_of(books, claim))
        count(books, &app_of(books, claim)->claims, -1);
    claim->account = claim->app = PQB_NIL;
}

static void busy_mark(struct pqb_layout *map, unsigned index, int busy)
{
    uint64_t bit = 1ull << index % PQB_GROUP_CLAIMS;
    _Atomic uint64_t *word = &map->header.busy[index / PQB_GROUP_CLAIMS];
    atomic_store(word, busy ? atomic_load(word) | bit : atomic_load(word) & ~bit);
}

static void strike_out(struct pqb_books *books, unsigned index)
{
    struct pqb_claim_row *claim = claim_at(books, index);
    uint64_t ctl = atomic_load(&claim->ctl);
    book_held(books, claim, 0);
    book_login(books, claim, 0);
    book_draining(books, index, 0);
    int was_slack = claim->booked == PQB_BOOKED_SLACK;
    book(books, index, PQB_BOOKED_NONE);
    if (was_slack)
        slack_refill(books, server_of(books, claim));
    detach(books, claim);
    /* Nobody else changes a claim that is GONE. FREE keeps the generation; the next user adds one. */
    atomic_store(&claim->ctl, (ctl >> 32) << 32 | PQB_CLAIM_FREE);
    busy_mark(books->map, index, 0);
}

void pqb_books_settle(struct pqb_books *books, unsigned index)
{
    struct pqb_claim_row *claim = claim_at(books, index);
    enum pqb_claim_state state = state_of(atomic_load(&claim->ctl));
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
        book(books, index, PQB_BOOKED_QUEUE);
    else if (!is_charged(claim))
        book(books, index, PQB_BOOKED_GENERAL);
    if (state == PQB_CLAIM_DRAINING && !claim->booked_draining) {
        book_draining(books, index, 1);
        slack_refill(books, server_of(books, claim));
    }
}

/* ---- admission ---- */

static uint64_t total_of(const struct pqb_server_row *server)
{
    return (uint64_t)server->general + server->reserve;
}

/* May one more claim of this application be charged to general? Other applications' unmet
 * minimums are not for it. */
static int general_has_room(const struct pqb_server_row *server, const struct pqb_app_row *app)
{
    uint64_t own = unmet_of(app), all = server->unmet;
    uint64_t others = all > own ? all - own : 0;
    return server->general + others < pqb_registry_general(&server->config);
}

enum pqb_obstacle pqb_books_obstacle(const struct pqb_layout *map, const struct pqb_claim_row *claim,
                                     enum pqb_booked *pool)
{
    if (claim->server >= PQB_SERVERS)
        return PQB_OBSTACLE_ROOM;
    const struct pqb_server_row *server = &map->server[claim->server];
    const struct pqb_server_config *config = &server->config;
    const struct pqb_app_row *app = claim->app < PQB_APPS ? &map->app[claim->app] : NULL;
    uint32_t held = claim->account < PQB_CLAIMS ? map->account[claim->account].held : 0;
    if (atomic_load(&claim->ctl) & PQB_CTL_SKIPPED)
        return PQB_OBSTACLE_SKIPPED;
    if (config->paused)
        return PQB_OBSTACLE_PAUSED;
    if (claim->process_cap && held >= claim->process_cap)
        return PQB_OBSTACLE_PROCESS_CAP;
    if (app && app->used >= app->limit)
        return PQB_OBSTACLE_APP_LIMIT;
    if (config->logins && server->logging_in >= config->logins)
        return PQB_OBSTACLE_LOGINS;
    if (total_of(server) >= config->limit)
        return PQB_OBSTACLE_ROOM;
    if (general_has_room(server, app))
        *pool = PQB_BOOKED_GENERAL;
    else if (!held && server->reserve < config->reserve)
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

static unsigned first_eligible(struct pqb_books *books, struct pqb_server_row *server,
                               enum pqb_booked *pool)
{
    if (is_closed(server))
        return PQB_NIL;
    unsigned index = link_checked(books, server->queue_head);
    for (unsigned steps = 0; index != PQB_NIL; steps++) {
        if (steps > PQB_CLAIMS) {
            books->corrupt = 1;
            return PQB_NIL;
        }
        if (!pqb_books_obstacle(books->map, claim_at(books, index), pool))
            return index;
        index = link_checked(books, claim_at(books, index)->next);
    }
    return PQB_NIL;
}

/* General has room that no waiter wants: charge a reserve claim to it, so that the reserve is
 * there for the next newcomer. Only then: else a stream of newcomers would eat general's room
 * before an older waiter that holds something already. */
static int recharge(struct pqb_books *books, struct pqb_server_row *server)
{
    unsigned index = link_checked(books, server->reserve_head);
    for (unsigned steps = 0; index != PQB_NIL && steps <= PQB_CLAIMS; steps++) {
        if (general_has_room(server, app_of(books, claim_at(books, index)))) {
            book(books, index, PQB_BOOKED_GENERAL);
            return 1;
        }
        index = link_checked(books, claim_at(books, index)->next);
    }
    return 0;
}

static void wake_later(struct pqb_books *books, unsigned index)
{
    if (index == books->self)
        return;
    atomic_fetch_add(&claim_at(books, index)->word, 1);
    if (books->wakes < PQB_BOOKS_WAKES)
        books->wake[books->wakes++] = (uint16_t)index;
}

static void grant(struct pqb_books *books, unsigned index, enum pqb_booked pool)
{
    struct pqb_claim_row *claim = claim_at(books, index);
    struct pqb_server_row *server = server_of(books, claim);
    struct pqb_app_row *app = app_of(books, claim);
    uint64_t ctl = atomic_load(&claim->ctl);
    uint64_t granted = (ctl >> 32) << 32 | PQB_CLAIM_GRANTED;
    /* Before the grant: a reader that sees the same number before and after saw none. */
    atomic_fetch_add(&books->map->header.grants, 1);
    atomic_store(&claim->changed_at, books->now);
    /* Its owner may give up in this very moment. */
    if (state_of(ctl) != PQB_CLAIM_WAITING ||
        !atomic_compare_exchange_strong(&claim->ctl, &ctl, granted)) {
        pqb_books_settle(books, index);
        return;
    }
    claim->waited = books->now > claim->asked_at ? books->now - claim->asked_at : 0;
    atomic_store(&claim->hot, 0);
    book(books, index, pool);
    book_held(books, claim, 1);
    book_login(books, claim, 1);
    if (total_of(server) > server->peak)
        server->peak = (uint32_t)total_of(server);
    server->granted_total++;
    server->wait_ns_total += claim->waited;
    server->wait_bucket[pqb_wait_bucket_of(claim->waited)]++;
    pqb_journal_write(books->map, PQB_EVENT_GRANTED, claim->server, app ? app->label : NULL,
                      claim->pid, claim->waited);
    wake_later(books, index);
}

/* The first few of a queue tick every 10 ms. A new head that did not know yet is woken, so that
 * there is always one who does; so is one that must watch drainers from now on. */
static void mark_hot(struct pqb_books *books, struct pqb_server_row *server)
{
    unsigned index = link_checked(books, server->queue_head);
    for (unsigned place = 1; place <= PQB_HOT && index != PQB_NIL; place++) {
        struct pqb_claim_row *claim = claim_at(books, index);
        uint8_t was = atomic_load(&claim->hot);
        atomic_store(&claim->hot, (uint8_t)place);
        if (place == 1 && was != 1 && (!was || server->draining))
            wake_later(books, index);
        index = link_checked(books, claim->next);
    }
}

void pqb_books_dispatch(struct pqb_books *books, unsigned index)
{
    struct pqb_server_row *server = &books->map->server[index];
    enum pqb_booked pool = PQB_BOOKED_NONE;
    for (unsigned steps = 0; steps < 2 * PQB_CLAIMS && !books->corrupt; steps++) {
        unsigned next = first_eligible(books, server, &pool);
        if (next == PQB_NIL) {
            if (!server->reserve || !recharge(books, server))
                break;
        } else if (books->wakes + PQB_HOT >= PQB_BOOKS_WAKES) {
            books->unserved |= 1ull << index;
            break;
        } else {
            grant(books, next, pool);
        }
    }
    if (server->waiting)
        mark_hot(books, server);
}

void pqb_books_take_back(struct pqb_books *books, unsigned index)
{
    struct pqb_claim_row *claim = claim_at(books, index);
    uint64_t ctl = atomic_load(&claim->ctl);
    uint64_t back = (ctl >> 32) << 32 | PQB_CTL_SKIPPED | PQB_CLAIM_WAITING;
    if (state_of(ctl) != PQB_CLAIM_GRANTED || claim->server >= PQB_SERVERS ||
        !atomic_compare_exchange_strong(&claim->ctl, &ctl, back))
        return;
    const struct pqb_app_row *app = app_of(books, claim);
    pqb_books_settle(books, index);
    pqb_journal_write(books->map, PQB_EVENT_TAKEN_BACK, claim->server, app ? app->label : NULL,
                      claim->pid, 0);
}

/* ---- entering, pending ---- */

void pqb_books_enter(struct pqb_books *books, unsigned index, uint32_t generation)
{
    struct pqb_claim_row *claim = claim_at(books, index);
    claim->ticket = ++books->map->header.next_ticket;
    claim->booked = claim->booked_login = claim->booked_held = claim->booked_draining = 0;
    attach(books, claim);
    busy_mark(books->map, index, 1);
    atomic_store(&claim->ctl, (uint64_t)generation << 32 | PQB_CLAIM_WAITING);
    book(books, index, PQB_BOOKED_QUEUE);
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

void pqb_books_harvest(struct pqb_books *books)
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
            if (group >= PQB_GROUPS)
                break;
            uint64_t claims = atomic_exchange(&header->pending[group], 0);
            for (; claims; claims &= claims - 1) {
                unsigned index = group * PQB_GROUP_CLAIMS + (unsigned)__builtin_ctzll(claims);
                unsigned server = claim_at(books, index)->server;
                if (server < PQB_SERVERS)
                    servers |= 1ull << server;
                pqb_books_settle(books, index);
            }
        }
    }
    for (; servers; servers &= servers - 1)
        pqb_books_dispatch(books, (unsigned)__builtin_ctzll(servers));
}

/* ---- changes of configuration ---- */

void pqb_books_reconfigure(struct pqb_books *books, unsigned index)
{
    struct pqb_server_row *server = &books->map->server[index];
    server->unmet = 0;
    for (unsigned i = 0; i < PQB_APPS; i++)
        if (books->map->app[i].taken && books->map->app[i].server == index)
            server->unmet += unmet_of(&books->map->app[i]);
    /* Less slack: the drainers beyond it block again. */
    unsigned drainer = link_checked(books, server->drain_tail);
    for (unsigned steps = 0; drainer != PQB_NIL && server->slack > server->config.slack; steps++) {
        if (steps > PQB_CLAIMS) {
            books->corrupt = 1;
            return;
        }
        if (claim_at(books, drainer)->booked == PQB_BOOKED_SLACK)
            book(books, drainer, PQB_BOOKED_GENERAL);
        drainer = link_checked(books, claim_at(books, drainer)->drain_previous);
    }
    slack_refill(books, server);
    pqb_books_dispatch(books, index);
}

void pqb_books_merge(struct pqb_books *books, unsigned from, unsigned into)
{
    struct pqb_layout *map = books->map;
    for (unsigned i = 0; i < PQB_CLAIMS; i++) {
        struct pqb_claim_row *claim = claim_at(books, i);
        if (state_of(atomic_load(&claim->ctl)) == PQB_CLAIM_FREE || claim->server != from)
            continue;
        const struct pqb_app_row *app = app_of(books, claim);
        claim->app = app ? (uint16_t)pqb_registry_app_make(map, into, app->label, PQB_NIL) : PQB_NIL;
        claim->server = (uint16_t)into;
    }
    for (unsigned i = 0; i < PQB_ALIASES; i++)
        if (map->alias[i].taken && map->alias[i].server == from)
            map->alias[i].server = (uint16_t)into;
    for (unsigned i = 0; i < PQB_APPS; i++)
        if (map->app[i].taken && map->app[i].server == from)
            memset(&map->app[i], 0, sizeof map->app[i]);
    memset(&map->server[from], 0, sizeof map->server[from]);
    pqb_books_rebuild(books);
}

/* ---- rebuilding ---- */

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
        if (app->taken && app->server < PQB_SERVERS)
            map->server[app->server].unmet += app->min;
    }
    for (unsigned i = 0; i < PQB_CLAIMS; i++)
        map->account[i] =
            (struct pqb_account_row){.next = (uint16_t)(i + 1 < PQB_CLAIMS ? i + 1 : PQB_NIL)};
    map->header.account_free = 0;
    memset(map->header.account_bucket, 0xff, sizeof map->header.account_bucket);
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
    struct pqb_claim_row *claim = claim_at(books, index);
    uint64_t ctl = atomic_load(&claim->ctl);
    enum pqb_booked was = (enum pqb_booked)claim->booked;
    claim->booked = claim->booked_held = claim->booked_login = claim->booked_draining = 0;
    claim->account = PQB_NIL;
    claim->previous = claim->next = claim->drain_previous = claim->drain_next = PQB_NIL;
    if (state_of(ctl) == PQB_CLAIM_FREE)
        return;
    if (state_of(ctl) >= PQB_CLAIM_GONE || claim->server >= PQB_SERVERS ||
        map->server[claim->server].taken != 1 || !claim->process) {
        claim->app = PQB_NIL;
        atomic_store(&claim->ctl, (ctl >> 32) << 32 | PQB_CLAIM_FREE);
        return;
    }
    if (claim->app >= PQB_APPS || map->app[claim->app].taken != 1 ||
        map->app[claim->app].server != claim->server)
        claim->app = PQB_NIL;
    attach(books, claim);
    busy_mark(map, index, 1);
    if (claim->ticket > map->header.next_ticket)
        map->header.next_ticket = claim->ticket;
    if (state_of(ctl) == PQB_CLAIM_WAITING)
        return;
    if (was == PQB_BOOKED_RESERVE)
        book(books, index, PQB_BOOKED_RESERVE);
    pqb_books_settle(books, index);
}

/* Merges two chains, linked by `next` and in the order of their tickets. */
static unsigned merge(struct pqb_books *books, unsigned a, unsigned b)
{
    unsigned head = PQB_NIL, last = PQB_NIL;
    while (a != PQB_NIL || b != PQB_NIL) {
        int from_a = b == PQB_NIL ||
                     (a != PQB_NIL && claim_at(books, a)->ticket <= claim_at(books, b)->ticket);
        unsigned taken = from_a ? a : b;
        if (from_a)
            a = claim_at(books, a)->next;
        else
            b = claim_at(books, b)->next;
        if (last == PQB_NIL)
            head = taken;
        else
            claim_at(books, last)->next = (uint16_t)taken;
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
        struct pqb_claim_row *claim = claim_at(books, i);
        if (state_of(atomic_load(&claim->ctl)) != PQB_CLAIM_WAITING)
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
    while (index != PQB_NIL) {
        unsigned next = claim_at(books, index)->next;
        book(books, index, PQB_BOOKED_QUEUE);
        index = next;
    }
}

void pqb_books_rebuild(struct pqb_books *books)
{
    books->corrupt = 0;
    pqb_registry_repair(books->map);
    forget_books(books);
    for (unsigned i = 0; i < PQB_CLAIMS; i++)
        rebook(books, i);
    requeue(books);
    for (unsigned i = 0; i < PQB_SERVERS; i++)
        if (books->map->server[i].taken)
            pqb_books_dispatch(books, i);
}
