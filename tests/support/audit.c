#include "support/audit.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct tally {
    uint32_t general, reserve, slack, waiting, logging_in, draining;
};

struct account_tally {
    unsigned held, claims;
};

struct auditor {
    const struct pqb_layout *map;
    char *words;
    size_t capacity;
    int wrong;
    struct tally server[PQB_SERVERS];
    struct pqb_app_row app[PQB_APPS];
    struct account_tally account[PQB_CLAIMS];
};

__attribute__((format(printf, 2, 3))) static void object(struct auditor *auditor,
                                                         const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    if (!auditor->wrong)
        vsnprintf(auditor->words, auditor->capacity, format, arguments);
    auditor->wrong = 1;
    va_end(arguments);
}

static unsigned state_at(const struct pqb_layout *map, unsigned index)
{
    return (unsigned)(atomic_load(&map->claim[index].ctl) & PQB_CTL_STATE);
}

/* Is it down for what its state says? */
static void check_claim(struct auditor *auditor, unsigned index)
{
    const struct pqb_claim_row *claim = &auditor->map->claim[index];
    unsigned state = state_at(auditor->map, index);
    int busy = atomic_load(&auditor->map->header.busy[index / 64]) >> index % 64 & 1;
    if (busy != (state != PQB_CLAIM_FREE))
        object(auditor, "claim %u: state %u, busy bit %d", index, state, busy);
    if (state == PQB_CLAIM_FREE)
        return;
    if (state > PQB_CLAIM_DRAINING || claim->server >= PQB_SERVERS ||
        auditor->map->server[claim->server].taken != 1) {
        object(auditor, "claim %u: state %u on server %u", index, state, claim->server);
        return;
    }
    int logs_in = state == PQB_CLAIM_GRANTED || state == PQB_CLAIM_CONNECTING;
    int held = logs_in || state == PQB_CLAIM_OPEN, drains = state == PQB_CLAIM_DRAINING;
    int fits = state == PQB_CLAIM_WAITING ? claim->booked == PQB_BOOKED_QUEUE
               : claim->booked == PQB_BOOKED_SLACK
                   ? drains
                   : claim->booked == PQB_BOOKED_GENERAL || claim->booked == PQB_BOOKED_RESERVE;
    if (!fits || claim->booked_held != held || claim->booked_login != logs_in ||
        claim->booked_draining != drains)
        object(auditor, "claim %u: state %u booked %u held %u login %u draining %u", index, state,
               claim->booked, claim->booked_held, claim->booked_login, claim->booked_draining);
    struct tally *tally = &auditor->server[claim->server];
    tally->waiting += claim->booked == PQB_BOOKED_QUEUE;
    tally->general += claim->booked == PQB_BOOKED_GENERAL;
    tally->reserve += claim->booked == PQB_BOOKED_RESERVE;
    tally->slack += claim->booked == PQB_BOOKED_SLACK;
    tally->logging_in += (uint32_t)logs_in;
    tally->draining += (uint32_t)drains;
    if (claim->app < PQB_APPS) {
        struct pqb_app_row *app = &auditor->app[claim->app];
        app->claims++;
        app->waiting += claim->booked == PQB_BOOKED_QUEUE;
        app->general += claim->booked == PQB_BOOKED_GENERAL;
        app->used += claim->booked == PQB_BOOKED_GENERAL || claim->booked == PQB_BOOKED_RESERVE;
        if (auditor->map->app[claim->app].server != claim->server)
            object(auditor, "claim %u: its application is another server's", index);
    }
    if (claim->account >= PQB_CLAIMS ||
        auditor->map->account[claim->account].process != claim->process ||
        auditor->map->account[claim->account].server != claim->server) {
        object(auditor, "claim %u: account %u is not its own", index, claim->account);
        return;
    }
    auditor->account[claim->account].claims++;
    auditor->account[claim->account].held += (unsigned)held;
}

static void check_server(struct auditor *auditor, unsigned server)
{
    const struct pqb_server_row *row = &auditor->map->server[server];
    const struct tally *tally = &auditor->server[server];
    uint32_t unmet = 0;
    for (unsigned i = 0; i < PQB_APPS; i++) {
        const struct pqb_app_row *app = &auditor->map->app[i];
        if (app->taken == 1 && app->server == server && app->min > auditor->app[i].general)
            unmet += app->min - auditor->app[i].general;
    }
    if (row->general != tally->general || row->reserve != tally->reserve ||
        row->slack != tally->slack || row->waiting != tally->waiting ||
        row->logging_in != tally->logging_in || row->draining != tally->draining ||
        row->unmet != unmet)
        object(auditor,
               "server %u books general %u reserve %u slack %u waiting %u logins %u draining %u "
               "unmet %u, but the claims say %u %u %u %u %u %u %u",
               server, row->general, row->reserve, row->slack, row->waiting, row->logging_in,
               row->draining, row->unmet, tally->general, tally->reserve, tally->slack,
               tally->waiting, tally->logging_in, tally->draining, unmet);
}

/* kind: 0 the queue, 1 the reserve's list, 2 the drainers. */
static void check_list(struct auditor *auditor, unsigned server, unsigned kind)
{
    static const char *const names[] = {"queue", "reserve list", "drainers"};
    const struct pqb_layout *map = auditor->map;
    const struct pqb_server_row *row = &map->server[server];
    unsigned heads[] = {row->queue_head, row->reserve_head, row->drain_head};
    unsigned tails[] = {row->queue_tail, row->reserve_tail, row->drain_tail};
    unsigned lengths[] = {row->waiting, row->reserve, row->draining};
    unsigned before = PQB_NIL, count = 0;
    uint64_t ticket = 0;
    for (unsigned index = heads[kind]; index != PQB_NIL; count++) {
        if (index >= PQB_CLAIMS || count > PQB_CLAIMS) {
            object(auditor, "server %u: the %s leads nowhere", server, names[kind]);
            return;
        }
        const struct pqb_claim_row *claim = &map->claim[index];
        int belongs = kind == 0   ? claim->booked == PQB_BOOKED_QUEUE
                      : kind == 1 ? claim->booked == PQB_BOOKED_RESERVE
                                  : claim->booked_draining == 1;
        if (!belongs || claim->server != server)
            object(auditor, "server %u: claim %u is in the %s", server, index, names[kind]);
        if ((kind == 2 ? claim->drain_previous : claim->previous) != before)
            object(auditor, "server %u: the %s is not linked back at %u", server, names[kind],
                   index);
        if (kind == 0 && claim->ticket <= ticket)
            object(auditor, "server %u: ticket %llu stands after %llu", server,
                   (unsigned long long)claim->ticket, (unsigned long long)ticket);
        ticket = claim->ticket;
        before = index;
        index = kind == 2 ? claim->drain_next : claim->next;
    }
    if (tails[kind] != before || lengths[kind] != count)
        object(auditor, "server %u: the %s has %u claims and tail %u, not %u and %u", server,
               names[kind], count, before, lengths[kind], tails[kind]);
}

static void check_accounts(struct auditor *auditor)
{
    const struct pqb_layout *map = auditor->map;
    unsigned rows = 0, reachable = 0, unused = 0;
    for (unsigned i = 0; i < PQB_CLAIMS; i++) {
        const struct pqb_account_row *row = &map->account[i];
        const struct account_tally *tally = &auditor->account[i];
        rows += row->process != 0;
        if (row->process ? row->held != tally->held || row->claims != tally->claims || !row->claims
                         : tally->claims != 0)
            object(auditor, "account %u has %u held of %u claims, not %u of %u", i, row->held,
                   row->claims, tally->held, tally->claims);
    }
    for (unsigned i = 0; i < PQB_ACCOUNT_BUCKETS; i++)
        for (unsigned at = map->header.account_bucket[i]; at != PQB_NIL && reachable <= PQB_CLAIMS;
             at = at < PQB_CLAIMS ? map->account[at].next : PQB_NIL)
            reachable++;
    for (unsigned at = map->header.account_free; at < PQB_CLAIMS && unused <= PQB_CLAIMS;
         at = map->account[at].next)
        unused++;
    if (reachable != rows || unused + rows != PQB_CLAIMS)
        object(auditor, "%u accounts: %u can be found, %u are free", rows, reachable, unused);
}

static void check_apps(struct auditor *auditor)
{
    for (unsigned i = 0; i < PQB_APPS; i++) {
        const struct pqb_app_row *row = &auditor->map->app[i], *tally = &auditor->app[i];
        if (row->taken == 1 ? row->claims != tally->claims || row->used != tally->used ||
                                  row->general != tally->general || row->waiting != tally->waiting
                            : tally->claims != 0)
            object(auditor,
                   "application %u books claims %u used %u general %u waiting %u, not %u %u %u %u",
                   i, row->claims, row->used, row->general, row->waiting, tally->claims,
                   tally->used, tally->general, tally->waiting);
    }
}

int audit_books(const struct pqb_layout *map, char *words, size_t capacity)
{
    struct auditor *auditor = calloc(1, sizeof *auditor);
    if (!auditor)
        return snprintf(words, capacity, "no memory") > 0;
    auditor->map = map;
    auditor->words = words;
    auditor->capacity = capacity;
    uint32_t waiting = 0;
    for (unsigned i = 0; i < PQB_CLAIMS; i++)
        check_claim(auditor, i);
    for (unsigned i = 0; i < PQB_SERVERS; i++) {
        if (map->server[i].taken != 1)
            continue;
        waiting += auditor->server[i].waiting;
        check_server(auditor, i);
        for (unsigned kind = 0; kind < 3; kind++)
            check_list(auditor, i, kind);
    }
    check_apps(auditor);
    check_accounts(auditor);
    if (atomic_load(&map->header.waiting) != waiting)
        object(auditor, "the header counts %u waiting, not %u", atomic_load(&map->header.waiting),
               waiting);
    int wrong = auditor->wrong;
    free(auditor);
    return wrong;
}
