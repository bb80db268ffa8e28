#include "support/paper.h"

#include "ledger/rebuild.h"
#include "ledger/registry.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define STRIDE 97u /* has no factor in common with the number of claims */

void paper_open(struct paper *paper, unsigned slots)
{
    memset(paper, 0, sizeof *paper);
    paper->map =
        mmap(NULL, sizeof *paper->map, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (paper->map == MAP_FAILED)
        abort();
    paper->slots = slots;
    paper->ahead = PQB_NIL;
    paper->books.map = paper->map;
    paper->books.self = PQB_NIL;
    paper->books.now = 1000;
    paper_rebuild(paper);
}

void paper_close(struct paper *paper)
{
    munmap(paper->map, sizeof *paper->map);
}

unsigned paper_index(unsigned slot)
{
    return slot * STRIDE % PQB_CLAIMS;
}

unsigned paper_server(struct paper *paper, const char *key, const struct pqb_server_config *config)
{
    return pqb_registry_server_make(paper->map, key, config, paper->books.now);
}

unsigned paper_app(struct paper *paper, unsigned server, const char *label, uint32_t limit,
                   uint32_t min)
{
    paper_visit(paper);
    unsigned app = pqb_registry_app_make(paper->map, server, label, PQB_NIL);
    if (app == PQB_NIL)
        abort();
    paper->map->app[app].limit = limit;
    paper->map->app[app].min = min;
    pqb_admission_reconfigure(&paper->books, server);
    return app;
}

void paper_visit(struct paper *paper)
{
    paper->books.wakes = 0;
    paper->books.dispatched = paper->books.unserved = 0;
    paper->books.self = PQB_NIL;
    paper->books.now += 1000;
    pqb_admission_harvest(&paper->books);
}

static unsigned free_slot(const struct paper *paper)
{
    for (unsigned slot = 0; slot < paper->slots; slot++) {
        unsigned index = paper_index(slot);
        if (!(atomic_load(&paper->map->claim[index].ctl) & PQB_CTL_STATE))
            return index;
    }
    return PQB_NIL;
}

unsigned paper_ask(struct paper *paper, unsigned server, uint64_t process, const char *app,
                   uint32_t cap)
{
    unsigned index = free_slot(paper);
    if (index == PQB_NIL)
        return PQB_NIL;
    struct pqb_claim_row *row = &paper->map->claim[index];
    paper_visit(paper);
    row->process = process;
    row->pid = (int32_t)process;
    row->asked_at = paper->books.now;
    row->process_cap = cap;
    row->server = (uint16_t)server;
    row->app = (uint16_t)(app ? pqb_registry_app_make(paper->map, server, app, PQB_NIL) : PQB_NIL);
    paper->books.self = index;
    pqb_books_enter(&paper->books, index, pqb_ctl_generation(atomic_load(&row->ctl)) + 1);
    pqb_admission_dispatch(&paper->books, server);
    return index;
}

void paper_move(struct paper *paper, unsigned index, enum pqb_claim_state state)
{
    struct pqb_claim_row *row = &paper->map->claim[index];
    atomic_store(&row->ctl, pqb_ctl_next(atomic_load(&row->ctl), state));
    pqb_books_flag(paper->map, index);
    paper_visit(paper);
}

void paper_take_back(struct paper *paper, unsigned index)
{
    paper_visit(paper);
    pqb_admission_take_back(&paper->books, index);
    pqb_admission_dispatch(&paper->books, paper->map->claim[index].server);
}

void paper_show_life(struct paper *paper, unsigned index)
{
    atomic_fetch_and(&paper->map->claim[index].ctl, ~(uint64_t)PQB_CTL_SKIPPED);
    pqb_books_flag(paper->map, index);
    paper_visit(paper);
}

void paper_set(struct paper *paper, unsigned server, const struct pqb_server_config *config)
{
    paper_visit(paper);
    paper->map->server[server].config = *config;
    pqb_admission_reconfigure(&paper->books, server);
}

void paper_rebuild(struct paper *paper)
{
    paper->books.wakes = 0;
    paper->books.dispatched = paper->books.unserved = 0;
    pqb_rebuild(&paper->books);
}

unsigned paper_hold(struct paper *paper, unsigned server, uint64_t process, const char *app)
{
    unsigned index = paper_ask(paper, server, process, app, 0);
    if (index == PQB_NIL || paper_state(paper, index) != PQB_CLAIM_GRANTED) {
        fprintf(stderr, "a claim of process %llu was not granted at once\n",
                (unsigned long long)process);
        abort();
    }
    paper_move(paper, index, PQB_CLAIM_CONNECTING);
    paper_move(paper, index, PQB_CLAIM_OPEN);
    return index;
}

enum pqb_claim_state paper_state(const struct paper *paper, unsigned index)
{
    return pqb_ctl_state(atomic_load(&paper->map->claim[index].ctl));
}

int paper_is_waiting(const struct paper *paper, unsigned index)
{
    return paper_state(paper, index) == PQB_CLAIM_WAITING;
}

int paper_is_granted(const struct paper *paper, unsigned index)
{
    return paper_state(paper, index) >= PQB_CLAIM_GRANTED &&
           paper_state(paper, index) <= PQB_CLAIM_OPEN;
}

enum pqb_booked paper_pool(const struct paper *paper, unsigned index)
{
    return (enum pqb_booked)paper->map->claim[index].booked;
}

int paper_is_woken(const struct paper *paper, unsigned index)
{
    for (unsigned i = 0; i < paper->books.wakes; i++)
        if (paper->books.wake[i] == index)
            return 1;
    return 0;
}

/* ---- the books, checked ---- */

static char fault[256];

__attribute__((format(printf, 1, 2))) static const char *wrong(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(fault, sizeof fault, format, arguments);
    va_end(arguments);
    return fault;
}

struct tally {
    uint32_t pool[PQB_BOOKED_SLACK + 1];
    uint32_t logging_in, draining;
};

/* Walks one list both ways: every member belongs there, and there are as many as are booked. */
static const char *list_fault(const struct paper *paper, unsigned server, const char *name,
                              enum pqb_booked booked, uint32_t members)
{
    const struct pqb_server_row *row = &paper->map->server[server];
    int drain = booked == PQB_BOOKED_NONE;
    unsigned head = drain                        ? row->drain_head
                    : booked == PQB_BOOKED_QUEUE ? row->queue_head
                                                 : row->reserve_head;
    unsigned tail = drain                        ? row->drain_tail
                    : booked == PQB_BOOKED_QUEUE ? row->queue_tail
                                                 : row->reserve_tail;
    unsigned previous = PQB_NIL, count = 0;
    uint64_t ticket = 0;
    for (unsigned i = head; i != PQB_NIL; count++) {
        if (i >= PQB_CLAIMS || count >= members)
            return wrong("server %u: the %s list is longer than %u", server, name, members);
        const struct pqb_claim_row *claim = &paper->map->claim[i];
        if (claim->server != server || (drain ? !claim->booked_draining : claim->booked != booked))
            return wrong("server %u: claim %u does not belong in the %s list", server, i, name);
        if ((drain ? claim->drain_previous : claim->previous) != previous)
            return wrong("server %u: claim %u has a wrong back link in the %s list", server, i,
                         name);
        if (booked == PQB_BOOKED_QUEUE && claim->ticket <= ticket)
            return wrong("server %u: the queue is not in the order of tickets at %u", server, i);
        ticket = claim->ticket;
        previous = i;
        i = drain ? claim->drain_next : claim->next;
    }
    if (previous != tail || count != members)
        return wrong("server %u: the %s list has %u members of %u, or a wrong end", server, name,
                     count, members);
    return NULL;
}

static const char *server_fault(const struct paper *paper, unsigned server,
                                const struct tally *tally, uint32_t unmet)
{
    const struct pqb_server_row *row = &paper->map->server[server];
    const char *what;
    if (row->waiting != tally->pool[PQB_BOOKED_QUEUE] ||
        row->general != tally->pool[PQB_BOOKED_GENERAL] ||
        row->reserve != tally->pool[PQB_BOOKED_RESERVE] ||
        row->slack != tally->pool[PQB_BOOKED_SLACK])
        return wrong(
            "server %u counts waiting %u general %u reserve %u slack %u; there are %u, %u, "
            "%u, %u",
            server, row->waiting, row->general, row->reserve, row->slack,
            tally->pool[PQB_BOOKED_QUEUE], tally->pool[PQB_BOOKED_GENERAL],
            tally->pool[PQB_BOOKED_RESERVE], tally->pool[PQB_BOOKED_SLACK]);
    if (row->logging_in != tally->logging_in || row->draining != tally->draining)
        return wrong("server %u counts %u logging in and %u draining; there are %u and %u", server,
                     row->logging_in, row->draining, tally->logging_in, tally->draining);
    if (row->unmet != unmet)
        return wrong("server %u counts %u unmet; there are %u", server, row->unmet, unmet);
    uint32_t slack = row->draining < row->config.slack ? row->draining : row->config.slack;
    if (row->slack != slack)
        return wrong("server %u has %u drainers in slack instead of %u", server, row->slack, slack);
    if ((what = list_fault(paper, server, "queue", PQB_BOOKED_QUEUE, row->waiting)) ||
        (what = list_fault(paper, server, "reserve", PQB_BOOKED_RESERVE, row->reserve)) ||
        (what = list_fault(paper, server, "drainers", PQB_BOOKED_NONE, row->draining)))
        return what;
    return NULL;
}

/* One claim's entries against its state. Owners run ahead of the books only where it is flagged. */
static const char *claim_fault(const struct pqb_claim_row *claim, unsigned index, int flagged)
{
    enum pqb_claim_state state = pqb_ctl_state(atomic_load(&claim->ctl));
    int in_use = state >= PQB_CLAIM_GRANTED && state <= PQB_CLAIM_DRAINING;
    if (flagged)
        return NULL;
    if (in_use != (claim->booked >= PQB_BOOKED_GENERAL) ||
        (state == PQB_CLAIM_WAITING) != (claim->booked == PQB_BOOKED_QUEUE))
        return wrong("claim %u is in state %d and booked as %u", index, (int)state, claim->booked);
    if (claim->booked_held != (in_use && state != PQB_CLAIM_DRAINING))
        return wrong("claim %u is in state %d and booked_held is %u", index, (int)state,
                     claim->booked_held);
    if (claim->booked_login != (state == PQB_CLAIM_GRANTED || state == PQB_CLAIM_CONNECTING))
        return wrong("claim %u is in state %d and booked_login is %u", index, (int)state,
                     claim->booked_login);
    if (claim->booked_draining != (state == PQB_CLAIM_DRAINING))
        return wrong("claim %u is in state %d and booked_draining is %u", index, (int)state,
                     claim->booked_draining);
    return NULL;
}

static int is_flagged(const struct paper *paper, unsigned index)
{
    return (int)(atomic_load(&paper->map->header.pending[index / PQB_GROUP_CLAIMS]) >>
                     index % PQB_GROUP_CLAIMS &
                 1);
}

static const char *account_fault(const struct paper *paper, unsigned index, const uint16_t *claims,
                                 const uint16_t *held)
{
    const struct pqb_claim_row *claim = &paper->map->claim[index];
    if (claim->account >= PQB_CLAIMS)
        return wrong("claim %u has no account", index);
    const struct pqb_account_row *account = &paper->map->account[claim->account];
    if (account->process != claim->process || account->server != claim->server)
        return wrong("claim %u has another's account", index);
    if (account->claims != claims[claim->account] || account->held != held[claim->account])
        return wrong("account %u counts %u claims and %u held; there are %u and %u", claim->account,
                     account->claims, account->held, claims[claim->account], held[claim->account]);
    return NULL;
}

/* Every account is in one bucket or on the free list. */
static const char *account_table_fault(const struct paper *paper)
{
    const struct pqb_layout *map = paper->map;
    unsigned seen = 0;
    for (unsigned bucket = 0; bucket < PQB_ACCOUNT_BUCKETS; bucket++)
        for (unsigned i = map->header.account_bucket[bucket]; i != PQB_NIL;
             i = map->account[i].next, seen++)
            if (i >= PQB_CLAIMS || seen > PQB_CLAIMS || !map->account[i].claims)
                return wrong("bucket %u of the accounts is broken", bucket);
    for (unsigned i = map->header.account_free; i != PQB_NIL; i = map->account[i].next, seen++)
        if (i >= PQB_CLAIMS || seen > PQB_CLAIMS || map->account[i].process)
            return wrong("the free list of the accounts is broken at %u", i);
    return seen == PQB_CLAIMS ? NULL
                              : wrong("%u accounts of %u are lost", PQB_CLAIMS - seen, PQB_CLAIMS);
}

const char *paper_fault(const struct paper *paper, int whole)
{
    static struct tally tally[PQB_SERVERS];
    static struct pqb_app_row app[PQB_APPS];
    static uint16_t claims[PQB_CLAIMS], held[PQB_CLAIMS];
    const struct pqb_layout *map = paper->map;
    const char *what = NULL;
    uint32_t unmet[PQB_SERVERS] = {0}, waiting = 0;
    unsigned slots = whole ? PQB_CLAIMS : paper->slots;
    memset(tally, 0, sizeof tally);
    memset(app, 0, sizeof app);
    for (unsigned slot = 0; slot < slots; slot++) {
        unsigned index = paper_index(slot), account = map->claim[index].account;
        if (account < PQB_CLAIMS)
            claims[account] = held[account] = 0;
    }
    for (unsigned slot = 0; slot < slots; slot++) {
        unsigned index = paper_index(slot);
        const struct pqb_claim_row *claim = &map->claim[index];
        int is_busy = paper_state(paper, index) != PQB_CLAIM_FREE;
        int marked = (int)(atomic_load(&map->header.busy[index / PQB_GROUP_CLAIMS]) >>
                               index % PQB_GROUP_CLAIMS &
                           1);
        if (is_busy != marked)
            return wrong("claim %u is in state %d and its busy bit is %d", index,
                         (int)paper_state(paper, index), marked);
        if (!is_busy)
            continue;
        if ((what = claim_fault(claim, index, index == paper->ahead || is_flagged(paper, index))))
            return what;
        struct tally *mine = &tally[claim->server];
        mine->pool[claim->booked]++;
        mine->logging_in += claim->booked_login;
        mine->draining += claim->booked_draining;
        waiting += claim->booked == PQB_BOOKED_QUEUE;
        claims[claim->account]++;
        held[claim->account] = (uint16_t)(held[claim->account] + claim->booked_held);
        if (claim->app >= PQB_APPS)
            continue;
        struct pqb_app_row *its = &app[claim->app];
        its->claims++;
        its->waiting += claim->booked == PQB_BOOKED_QUEUE;
        its->general += claim->booked == PQB_BOOKED_GENERAL;
        its->used += claim->booked == PQB_BOOKED_GENERAL || claim->booked == PQB_BOOKED_RESERVE;
    }
    for (unsigned slot = 0; slot < slots; slot++)
        if (paper_state(paper, paper_index(slot)) != PQB_CLAIM_FREE &&
            (what = account_fault(paper, paper_index(slot), claims, held)))
            return what;
    for (unsigned i = 0; i < PQB_APPS; i++) {
        const struct pqb_app_row *row = &map->app[i];
        if (!row->taken)
            continue;
        if (row->claims != app[i].claims || row->used != app[i].used ||
            row->general != app[i].general || row->waiting != app[i].waiting)
            return wrong("application %u counts %u claims, %u used, %u general, %u waiting; there "
                         "are %u, %u, %u, %u",
                         i, row->claims, row->used, row->general, row->waiting, app[i].claims,
                         app[i].used, app[i].general, app[i].waiting);
        unmet[row->server] += row->min > row->general ? row->min - row->general : 0;
    }
    for (unsigned i = 0; i < PQB_SERVERS; i++)
        if (map->server[i].taken && (what = server_fault(paper, i, &tally[i], unmet[i])))
            return what;
    if (atomic_load(&map->header.waiting) != waiting)
        return wrong("the header counts %u waiting; there are %u",
                     atomic_load(&map->header.waiting), waiting);
    if (paper->books.corrupt)
        return wrong("the books think they are corrupt");
    return whole ? account_table_fault(paper) : NULL;
}
