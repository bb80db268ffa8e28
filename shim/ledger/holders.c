#include "ledger/holders.h"

#include "ledger/diag.h"
#include "ledger/os.h"
#include "ledger/registry.h"

#include <string.h>

#define QUESTIONS 256
#define TRIES 8 /* each below a millisecond, also with 10,000 claims */

/* What one look along the claims found. */
struct tally {
    uint32_t used, ahead;
    uint16_t of_app[PQB_APPS];
};

static void count(const struct pqb_claim_row *row, unsigned server, uint64_t asked_at,
                  struct tally *tally)
{
    uint64_t ctl = atomic_load(&row->ctl);
    enum pqb_claim_state state = pqb_ctl_state(ctl);
    unsigned app = __atomic_load_n(&row->app, __ATOMIC_RELAXED);
    int is_early = row->asked_at < asked_at, in_slack = row->booked == PQB_BOOKED_SLACK;
    if (row->server != server || state < PQB_CLAIM_WAITING || state > PQB_CLAIM_DRAINING ||
        atomic_load(&row->ctl) != ctl)
        return; /* of another server, or on its way: whoever enters bumps `grants` */
    if (state == PQB_CLAIM_WAITING) {
        tally->ahead += (uint32_t)is_early;
    } else if (state != PQB_CLAIM_DRAINING || !in_slack) {
        tally->used++;
        if (app < PQB_APPS)
            tally->of_app[app]++;
    }
}

/* 1 if the counts held at one instant: see snapshot.c. */
static int walk(const struct pqb_layout *map, unsigned server, uint64_t asked_at,
                struct tally *tally)
{
    uint64_t grants = atomic_load(&map->header.grants);
    unsigned rebuilds = atomic_load(&map->header.rebuilds);
    memset(tally, 0, sizeof *tally);
    for (unsigned group = 0; group < PQB_GROUPS; group++) {
        uint64_t busy = atomic_load(&map->header.busy[group]);
        for (; busy; busy &= busy - 1)
            count(&map->claim[group * PQB_GROUP_CLAIMS + (unsigned)__builtin_ctzll(busy)], server,
                  asked_at, tally);
    }
    return atomic_load(&map->header.grants) == grants && rebuilds % 2 == 0 &&
           atomic_load(&map->header.rebuilds) == rebuilds;
}

/* Puts an application in its place among the first ones; the last of them may drop out. */
static void rank(struct pqb_holders *out, const struct pqb_app_row *row, uint32_t used)
{
    unsigned place = out->apps;
    while (place && out->app[place - 1].used < used)
        place--;
    if (out->apps < PQB_HOLDERS) {
        out->apps++;
    } else {
        out->more++;
        out->more_used += place < PQB_HOLDERS ? out->app[PQB_HOLDERS - 1].used : used;
    }
    if (place == PQB_HOLDERS)
        return;
    memmove(&out->app[place + 1], &out->app[place],
            (out->apps - place - 1) * sizeof out->app[place]);
    out->app[place] = (struct pqb_holders_app){.used = used};
    memcpy(out->app[place].label, row->label, strnlen(row->label, PQB_LABEL_BYTES));
}

enum pqb_status pqb_holders_look(struct pqb_region *region, const char *server, uint64_t asked_at,
                                 struct pqb_holders *out)
{
    const struct pqb_layout *map = region->map;
    struct tally tally;
    *out = (struct pqb_holders){0};
    enum pqb_status status = pqb_region_check(region);
    if (status)
        return status;
    unsigned index = pqb_registry_resolve(map, server, PQB_NIL, pqb_now());
    if (index >= PQB_SERVERS)
        return PQB_ABSENT;
    for (unsigned tries = 0; tries < TRIES && !walk(map, index, asked_at, &tally); tries++)
        continue;
    const struct pqb_server_config *config = &map->server[index].config;
    out->used = tally.used;
    out->ahead = tally.ahead;
    out->limit = config->limit;
    out->reserve = config->reserve;
    out->is_paused = config->paused != 0;
    for (unsigned i = 0; i < PQB_APPS; i++)
        if (tally.of_app[i])
            rank(out, &map->app[i], tally.of_app[i]);
    return PQB_OK;
}

/* The place of a socket, as its owner wrote it for this very claim. */
static int place_of(const struct pqb_claim_row *row, uint64_t ctl, uint64_t *cookie,
                    struct pqb_socket_place *place)
{
    *cookie = atomic_load(&row->socket_cookie);
    *place = row->socket_place;
    return *cookie && pqb_ctl_generation(atomic_load(&row->ctl)) == pqb_ctl_generation(ctl);
}

static void count_own(const struct pqb_claim_row *row, struct pqb_diag *diag,
                      struct pqb_holders_own *out)
{
    uint64_t ctl = atomic_load(&row->ctl), cookie, idle, now = pqb_now();
    uint64_t changed_at = atomic_load(&row->changed_at);
    enum pqb_claim_state state = pqb_ctl_state(ctl);
    struct pqb_socket_place place;
    if (state != PQB_CLAIM_GRANTED && state != PQB_CLAIM_CONNECTING && state != PQB_CLAIM_OPEN)
        return;
    out->held++;
    if (state != PQB_CLAIM_OPEN)
        return;
    if (changed_at < now && now - changed_at > out->age)
        out->age = now - changed_at;
    if (diag->questions < QUESTIONS && place_of(row, ctl, &cookie, &place) &&
        pqb_diag_idle(diag, cookie, &place, &idle) && idle > out->idle)
        out->idle = idle;
}

void pqb_holders_own(struct pqb_region *region, const char *server, uint64_t process,
                     struct pqb_holders_own *out)
{
    const struct pqb_layout *map = region->map;
    struct pqb_diag diag = {0};
    *out = (struct pqb_holders_own){0};
    unsigned index =
        pqb_region_check(region) ? PQB_NIL : pqb_registry_resolve(map, server, PQB_NIL, pqb_now());
    for (unsigned group = 0; group < PQB_GROUPS && index < PQB_SERVERS; group++) {
        uint64_t busy = atomic_load(&map->header.busy[group]);
        for (; busy; busy &= busy - 1) {
            const struct pqb_claim_row *row =
                &map->claim[group * PQB_GROUP_CLAIMS + (unsigned)__builtin_ctzll(busy)];
            if (row->process == process && row->server == index)
                count_own(row, &diag, out);
        }
    }
    pqb_diag_close(&diag);
}

unsigned pqb_holders_connected(const struct pqb_claim *claim)
{
    const struct pqb_layout *map = claim->region->map;
    unsigned connected = 0, server = map->claim[claim->index].server;
    for (unsigned group = 0; group < PQB_GROUPS; group++) {
        uint64_t busy = atomic_load(&map->header.busy[group]);
        for (; busy; busy &= busy - 1) {
            const struct pqb_claim_row *row =
                &map->claim[group * PQB_GROUP_CLAIMS + (unsigned)__builtin_ctzll(busy)];
            connected += atomic_load(&row->is_connected) && row->server == server &&
                         pqb_ctl_state(atomic_load(&row->ctl)) == PQB_CLAIM_WAITING;
        }
    }
    return connected;
}
