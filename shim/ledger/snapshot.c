#include "ledger/snapshot.h"

#include "ledger/os.h"
#include "ledger/tick.h"
#include "ledger/wish.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TRIES 64

const char *pqb_claim_state_name(enum pqb_claim_state state)
{
    static const char *const names[] = {"free", "waiting",  "granted", "connecting",
                                        "open", "draining", "gone"};
    return (unsigned)state < sizeof names / sizeof *names ? names[state] : "unknown";
}

const char *pqb_door_name(enum pqb_door door)
{
    return door == PQB_DOOR_SOCKET ? "socket" : "libpq";
}

const char *pqb_session_name(unsigned session)
{
    static const char *const names[PQB_SESSION_PINNED + PQB_SESSION_PINS] = {
        [PQB_SESSION_ACTIVE] = "active",
        [PQB_SESSION_TRANSACTION] = "idle in transaction",
        [PQB_SESSION_IDLE] = "idle",
        [PQB_SESSION_UNSEEN] = "encrypted or not understood",
        [PQB_SESSION_SHARED] = "shared with a forked process",
        [PQB_SESSION_PINNED + 1] = "LISTEN",
        [PQB_SESSION_PINNED + 2] = "an advisory lock",
        [PQB_SESSION_PINNED + 3] = "a temporary table",
        [PQB_SESSION_PINNED + 4] = "a cursor WITH HOLD",
        [PQB_SESSION_PINNED + 5] = "SET",
        [PQB_SESSION_PINNED + 6] = "PREPARE",
        [PQB_SESSION_PINNED + 7] = "LOAD",
        [PQB_SESSION_PINNED + 8] = "DO, or a function by its number",
        [PQB_SESSION_PINNED + 9] = "COPY by extended query",
    };
    return session < sizeof names / sizeof *names ? names[session] : NULL;
}

static void text_copy(char *to, const char *from, size_t capacity)
{
    size_t length = strnlen(from, capacity);
    memcpy(to, from, length);
    to[length] = 0;
}

/* Row numbers of the ledger to numbers in the snapshot; -1 = not in it. */
struct numbers {
    int server[PQB_SERVERS];
    int app[PQB_APPS];
};

static void copy_server(const struct pqb_server_row *row, struct pqb_snapshot_server *to)
{
    *to = (struct pqb_snapshot_server){
        .config = row->config,
        .peak = row->peak,
        .granted_total = row->granted_total,
        .timeout_total = atomic_load(&row->timeout_total),
        .refused_total = atomic_load(&row->refused_total),
        .reaped_total = atomic_load(&row->reaped_total),
        .yielded_total = atomic_load(&row->yielded_total),
        .wait_ns_total = row->wait_ns_total,
    };
    text_copy(to->key, row->key, PQB_KEY_BYTES);
    memcpy(to->wait_bucket, row->wait_bucket, sizeof to->wait_bucket);
}

static void copy_tables(const struct pqb_layout *map, struct pqb_snapshot *snapshot,
                        struct numbers *numbers)
{
    snapshot->servers = snapshot->apps = snapshot->claims = 0;
    for (unsigned i = 0; i < PQB_SERVERS; i++) {
        numbers->server[i] = -1;
        if (map->server[i].taken != 1)
            continue;
        numbers->server[i] = (int)snapshot->servers;
        copy_server(&map->server[i], &snapshot->server[snapshot->servers++]);
    }
    for (unsigned i = 0; i < PQB_APPS; i++) {
        const struct pqb_app_row *row = &map->app[i];
        numbers->app[i] = -1;
        unsigned server = pqb_once(&row->server);
        if (row->taken != 1 || server >= PQB_SERVERS || numbers->server[server] < 0)
            continue;
        struct pqb_snapshot_app *app = &snapshot->app[snapshot->apps];
        *app = (struct pqb_snapshot_app){
            .server = (unsigned)numbers->server[server], .limit = row->limit, .min = row->min};
        text_copy(app->label, row->label, PQB_LABEL_BYTES);
        numbers->app[i] = (int)snapshot->apps++;
    }
}

static uint64_t since(uint64_t then, uint64_t now)
{
    return now > then ? now - then : 0;
}

static void copy_claim(const struct pqb_claim_row *row, uint64_t ctl, uint64_t now,
                       const struct numbers *numbers, unsigned server,
                       struct pqb_snapshot_claim *to)
{
    unsigned app = pqb_once(&row->app);
    *to = (struct pqb_snapshot_claim){
        .state = pqb_ctl_state(ctl),
        .door = (enum pqb_door)row->door,
        .server = server,
        .app = app < PQB_APPS ? numbers->app[app] : -1,
        .in_slack = pqb_ctl_state(ctl) == PQB_CLAIM_DRAINING && row->booked == PQB_BOOKED_SLACK,
        .ticket = row->ticket,
        .process = row->process,
        .pid = row->pid,
        .backend_pid = row->backend_pid,
        .age_ns = since(row->asked_at, now),
        .state_ns = since(atomic_load(&row->changed_at), now),
        .wait_ns =
            pqb_ctl_state(ctl) == PQB_CLAIM_WAITING ? since(row->asked_at, now) : row->waited,
    };
    if (to->state == PQB_CLAIM_OPEN && (to->session = atomic_load(&row->session))) {
        to->idle_ns = pqb_wish_idle(row, now) * PQB_MS;
        to->yield_ns = atomic_load(&row->yield_after) * PQB_MS;
    }
    /* In this order: the place is written before the cookie. */
    to->socket_cookie = atomic_load(&row->socket_cookie);
    if (to->socket_cookie)
        to->socket_place = row->socket_place;
    text_copy(to->application_name, row->application_name, sizeof row->application_name);
    text_copy(to->user, row->user, sizeof row->user);
    text_copy(to->database, row->database, sizeof row->database);
    text_copy(to->command, row->command, sizeof row->command);
}

/* Copies one claim between two equal readings of its control word. */
static int claim_is_copied(const struct pqb_layout *map, unsigned index, uint64_t now,
                           const struct numbers *numbers, struct pqb_snapshot_claim *to)
{
    const struct pqb_claim_row *row = &map->claim[index];
    for (unsigned tries = 0; tries < TRIES; tries++) {
        uint64_t ctl = atomic_load(&row->ctl);
        enum pqb_claim_state state = pqb_ctl_state(ctl);
        /* Once: a merge may move the claim to another server in this very moment. */
        unsigned server = pqb_once(&row->server);
        if (state < PQB_CLAIM_WAITING || state > PQB_CLAIM_DRAINING || server >= PQB_SERVERS ||
            numbers->server[server] < 0)
            return 0;
        copy_claim(row, ctl, now, numbers, (unsigned)numbers->server[server], to);
        to->index = index;
        if (atomic_load(&row->ctl) == ctl)
            return 1;
    }
    return 0;
}

static void copy_all(const struct pqb_layout *map, struct pqb_snapshot *snapshot)
{
    struct numbers numbers;
    uint64_t grants = atomic_load(&map->header.grants);
    unsigned rebuilds = atomic_load(&map->header.rebuilds);
    copy_tables(map, snapshot, &numbers);
    uint64_t now = pqb_now();
    for (unsigned group = 0; group < PQB_GROUPS; group++) {
        uint64_t busy = atomic_load(&map->header.busy[group]);
        for (; busy; busy &= busy - 1) {
            unsigned index = group * PQB_GROUP_CLAIMS + (unsigned)__builtin_ctzll(busy);
            struct pqb_snapshot_claim *claim = &snapshot->claim[snapshot->claims];
            snapshot->claims += (unsigned)claim_is_copied(map, index, now, &numbers, claim);
        }
    }
    /* Without a grant in between, claims only left: each count was true at the start or since. */
    snapshot->consistent = atomic_load(&map->header.grants) == grants && rebuilds % 2 == 0 &&
                           atomic_load(&map->header.rebuilds) == rebuilds;
}

static void count_claims(struct pqb_snapshot *snapshot)
{
    for (unsigned i = 0; i < snapshot->claims; i++) {
        const struct pqb_snapshot_claim *claim = &snapshot->claim[i];
        struct pqb_snapshot_server *server = &snapshot->server[claim->server];
        struct pqb_snapshot_app *app = claim->app < 0 ? NULL : &snapshot->app[claim->app];
        if (claim->state == PQB_CLAIM_WAITING) {
            server->waiting++;
            if (app)
                app->waiting++;
        } else if (!claim->in_slack) {
            server->used++;
            if (app)
                app->used++;
        }
        server->draining += claim->state == PQB_CLAIM_DRAINING;
    }
}

static int by_server_and_ticket(const void *left, const void *right)
{
    const struct pqb_snapshot_claim *a = left, *b = right;
    if (a->server != b->server)
        return a->server < b->server ? -1 : 1;
    return a->ticket < b->ticket ? -1 : a->ticket > b->ticket;
}

enum pqb_status pqb_snapshot_take(struct pqb_region *region, struct pqb_snapshot *snapshot)
{
    memset(snapshot, 0, sizeof *snapshot);
    enum pqb_status status = pqb_region_check(region);
    if (status)
        return status;
    snapshot->server = calloc(PQB_SERVERS, sizeof *snapshot->server);
    snapshot->app = calloc(PQB_APPS, sizeof *snapshot->app);
    snapshot->claim = malloc(PQB_CLAIMS * sizeof *snapshot->claim);
    if (!snapshot->server || !snapshot->app || !snapshot->claim) {
        pqb_snapshot_free(snapshot);
        return PQB_NO_MEMORY;
    }
    snprintf(snapshot->path, sizeof snapshot->path, "%s", region->path);
    snapshot->created_at_ns = region->map->header.created_at_ns;
    pqb_tick_look(region, PQB_CLAIMS);
    for (unsigned tries = 0; tries < TRIES && !snapshot->consistent; tries++) {
        if (tries)
            sched_yield();
        copy_all(region->map, snapshot);
    }
    count_claims(snapshot);
    qsort(snapshot->claim, snapshot->claims, sizeof *snapshot->claim, by_server_and_ticket);
    return PQB_OK;
}

void pqb_snapshot_free(struct pqb_snapshot *snapshot)
{
    free(snapshot->server);
    free(snapshot->app);
    free(snapshot->claim);
    *snapshot = (struct pqb_snapshot){0};
}
