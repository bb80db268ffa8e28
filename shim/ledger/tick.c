#include "ledger/tick.h"

#include "ledger/admission.h"
#include "ledger/diag.h"
#include "ledger/ending.h"
#include "ledger/os.h"
#include "ledger/visit.h"

#include <errno.h>

#define LOOK_AT_MOST (50 * PQB_MS) /* then another process may look */
#define REST_AT_LEAST (5 * PQB_MS)
#define REST_AT_MOST (8 * PQB_MS) /* less than a tick */
#define RESTS (1ull << 63)        /* in reaper_until: nobody looks, and waiters need not */
#define WAKE_AGAIN (20 * PQB_MS)  /* a grant that was not taken up: was the wake-up lost? */
#define TICK_PATIENCE (10 * PQB_MS)

/* How long ago, 0 if the time makes no sense. */
static uint64_t age_of(uint64_t since, uint64_t now)
{
    return now > since ? now - since : 0;
}

static void look_at_living(struct pqb_layout *map, unsigned index, uint64_t ctl, uint64_t now)
{
    struct pqb_claim_row *claim = &map->claim[index];
    uint64_t age = age_of(atomic_load(&claim->changed_at), now);
    /* Its owner was stopped, or died and left it to a child, before he flagged it. */
    if (pqb_ctl_state(ctl) == PQB_CLAIM_OPEN && claim->booked_login)
        pqb_books_flag(map, index);
    if (pqb_ctl_state(ctl) != PQB_CLAIM_GRANTED || age < WAKE_AGAIN)
        return;
    atomic_fetch_add(&claim->word, 1);
    pqb_books_ring(map, index);
    if (age >= PQB_TAKE_BACK) /* its owner is stopped, or has left its wait by a longjmp */
        pqb_books_flag(map, index);
}

/* Does the claim's socket still exist? What is read belongs to the control word that was read
 * before, if that has not changed when it is ended. */
static enum pqb_diag_answer ask_for(struct pqb_diag *diag, const struct pqb_layout *map,
                                    unsigned index)
{
    const struct pqb_claim_row *claim = &map->claim[index];
    uint64_t cookie = atomic_load(&claim->socket_cookie);
    if (!cookie)
        return PQB_DIAG_UNKNOWN;
    struct pqb_socket_place place = claim->socket_place;
    return pqb_diag_ask(diag, cookie, &place);
}

/* 1 if its owner was dead. */
static int look_at(struct pqb_region *region, struct pqb_diag *diag, int probe, unsigned index,
                   uint64_t now)
{
    struct pqb_layout *map = region->map;
    uint64_t ctl = atomic_load(&map->claim[index].ctl);
    switch (pqb_ctl_state(ctl)) {
    case PQB_CLAIM_WAITING:
    case PQB_CLAIM_GRANTED:
    case PQB_CLAIM_CONNECTING:
    case PQB_CLAIM_OPEN: {
        /* The state was read before the lock: if that is gone, nobody but the dead owner was
         * behind that state and generation. Somebody may have the socket that he passed on. */
        int held = pqb_life_probe(probe, index);
        if (held > 0)
            look_at_living(map, index, ctl, now);
        else if (!held && ask_for(diag, map, index) != PQB_DIAG_EXISTS)
            return pqb_ending_bury(map, index, ctl, now);
        break;
    }
    case PQB_CLAIM_DRAINING:
        /* Whoever closed it may have died before he flagged it: it would block in spite of slack.
         */
        if (!pqb_ending_drained(map, index, ctl, now) && !map->claim[index].booked_draining)
            pqb_books_flag(map, index);
        break;
    case PQB_CLAIM_GONE:
        pqb_books_flag(map, index); /* its owner may have died before it could */
        break;
    default:
        break;
    }
    return 0;
}

/* After a look waiters rest, nine times as long as it took: with a thousand of them, each looking
 * at all the others, there would be time for nothing else; and a few that take short turns would
 * spend more on looking than on all the rest. */
static void rest(struct pqb_header *header, uint64_t since)
{
    uint64_t now = pqb_now(), pause = 9 * age_of(since, now);
    if (pause < REST_AT_LEAST)
        pause = REST_AT_LEAST;
    else if (pause > REST_AT_MOST)
        pause = REST_AT_MOST;
    atomic_store(&header->reaper_until, RESTS | (now + pause));
}

/* What was closed past every hook while its process lives on. A claim that is still logging in is
 * asked for as well: a client that loses patience closes it like any other. Once is enough, see
 * diag.c. */
static unsigned ask_for_those_of(struct pqb_region *region, struct pqb_diag *diag, unsigned group,
                                 unsigned server, uint64_t now)
{
    struct pqb_layout *map = region->map;
    uint64_t claims = atomic_load(&map->header.busy[group]);
    unsigned asked = 0;
    for (; claims; claims &= claims - 1) {
        unsigned index = group * PQB_GROUP_CLAIMS + (unsigned)__builtin_ctzll(claims);
        uint64_t ctl = atomic_load(&map->claim[index].ctl);
        if ((pqb_ctl_state(ctl) != PQB_CLAIM_OPEN && pqb_ctl_state(ctl) != PQB_CLAIM_CONNECTING) ||
            !atomic_load(&map->claim[index].socket_cookie) ||
            (server != PQB_NIL && map->claim[index].server != server))
            continue;
        asked++;
        if (ask_for(diag, map, index) == PQB_DIAG_GONE)
            pqb_ending_close(map, index, ctl, now, 0);
    }
    return asked;
}

static void ask(struct pqb_region *region, struct pqb_diag *diag, unsigned asks, unsigned server,
                uint64_t now)
{
    struct pqb_header *header = &region->map->header;
    unsigned group = atomic_load(&header->ask_cursor) % PQB_GROUPS, asked = 0;
    for (unsigned i = 0; i < PQB_GROUPS && asked < asks; i++, group = (group + 1) % PQB_GROUPS)
        asked += ask_for_those_of(region, diag, group, server, now);
    atomic_store(&header->ask_cursor, group);
}

/* Those of a group whose owner's death somebody feels. Who waits behind the first few is not in the
 * way yet, and with a thousand of them there would be time for little else. */
static uint64_t pressing(const struct pqb_layout *map, unsigned group)
{
    uint64_t found = 0, claims = atomic_load(&map->header.busy[group]);
    for (; claims; claims &= claims - 1) {
        const struct pqb_claim_row *claim =
            &map->claim[group * PQB_GROUP_CLAIMS + (unsigned)__builtin_ctzll(claims)];
        if (pqb_ctl_state(atomic_load(&claim->ctl)) != PQB_CLAIM_WAITING ||
            atomic_load(&claim->hot))
            found |= claims & -claims;
    }
    return found;
}

/* Looks at up to so many claims: in a tick at all of one group, each time another one, and at those
 * that are pressing of the others. Returns how many were the dead's. */
static unsigned probe(struct pqb_region *region, struct pqb_diag *diag, unsigned probes,
                      int is_tick, uint64_t now)
{
    struct pqb_header *header = &region->map->header;
    unsigned group = atomic_load(&header->reap_cursor) % PQB_GROUPS, looked = 0, dead = 0;
    unsigned turn = PQB_NIL, i;
    for (i = 0; i < PQB_GROUPS && looked < probes; i++, group = (group + 1) % PQB_GROUPS) {
        uint64_t claims = is_tick && turn != PQB_NIL ? pressing(region->map, group)
                                                     : atomic_load(&header->busy[group]);
        int fd;
        if (claims && turn == PQB_NIL)
            turn = group;
        if (!claims || pqb_life_probe_open(&region->life, group, &fd))
            continue;
        for (; claims; claims &= claims - 1, looked++)
            dead += (unsigned)look_at(region, diag, fd,
                                      group * PQB_GROUP_CLAIMS + (unsigned)__builtin_ctzll(claims),
                                      now);
        pqb_close(fd);
    }
    int is_round = is_tick && i == PQB_GROUPS && turn != PQB_NIL;
    atomic_store(&header->reap_cursor, is_round ? turn + 1 : group);
    return dead;
}

/* `server`: whose sockets are asked after, at most `asks` and the rest of a group; PQB_NIL = all.
 */
static void look(struct pqb_region *region, unsigned probes, unsigned asks, unsigned server,
                 int is_tick)
{
    struct pqb_header *header = &region->map->header;
    uint64_t now = pqb_now(), stored = atomic_load(&header->reaper_until), until = stored & ~RESTS;
    struct pqb_diag diag = {0};
    /* A time far ahead is left over from another boot, or damage. */
    if (now < until && until - now <= LOOK_AT_MOST && (is_tick || !(stored & RESTS)))
        return;
    if (!atomic_compare_exchange_strong(&header->reaper_until, &stored, now + LOOK_AT_MOST))
        return;
    if (probe(region, &diag, probes, is_tick, now) && is_tick)
        probe(region, &diag, probes, 0, now); /* who dies with others is looked for with them */
    ask(region, &diag, asks, server, now);
    pqb_diag_close(&diag);
    rest(header, now);
}

void pqb_tick_look(struct pqb_region *region, unsigned probes)
{
    look(region, probes, probes, PQB_NIL, 0);
}

static int drainers_block(const struct pqb_layout *map, unsigned server)
{
    return server < PQB_SERVERS && map->server[server].draining > map->server[server].slack;
}

static void collect_drainers(const struct pqb_layout *map, unsigned server,
                             struct pqb_drainers *drainers)
{
    unsigned index = pqb_once(&map->server[server].drain_head);
    for (unsigned n = 0; n < PQB_TICK_DRAINERS && index < PQB_CLAIMS; n++) {
        const struct pqb_claim_row *claim = &map->claim[index];
        drainers->drainer[n].index = index;
        drainers->drainer[n].ctl = atomic_load(&claim->ctl);
        drainers->drainer[n].since = atomic_load(&claim->changed_at);
        drainers->count = n + 1;
        index = pqb_once(&claim->drain_next);
    }
}

static enum pqb_status visit(struct pqb_region *region, unsigned server,
                             struct pqb_drainers *drainers)
{
    struct pqb_visit visit;
    enum pqb_status status = pqb_visit_begin(&visit, region, pqb_now() + TICK_PATIENCE);
    if (status)
        return status == PQB_BUSY ? PQB_OK : status;
    if (server < PQB_SERVERS && region->map->server[server].taken) {
        pqb_admission_dispatch(&visit.books, server);
        if (drainers && drainers_block(region->map, server))
            collect_drainers(region->map, server, drainers);
    }
    pqb_visit_close(&visit);
    return PQB_OK;
}

static enum pqb_status tick(struct pqb_region *region, unsigned server, int has_visited,
                            struct pqb_drainers *drainers)
{
    int saved = errno;
    if (drainers)
        drainers->count = 0;
    enum pqb_status status = pqb_region_check(region);
    if (!status) {
        look(region, PQB_TICK_PROBES, PQB_TICK_SOCKETS, server, 1);
        if (!has_visited || pqb_books_pending(region->map) ||
            (drainers && drainers_block(region->map, server)))
            status = visit(region, server, drainers);
    }
    errno = saved;
    return status;
}

enum pqb_status pqb_tick(struct pqb_region *region, unsigned server, struct pqb_drainers *drainers)
{
    return tick(region, server, 0, drainers);
}

enum pqb_status pqb_tick_first(struct pqb_region *region, unsigned server,
                               struct pqb_drainers *drainers)
{
    return tick(region, server, 1, drainers);
}
