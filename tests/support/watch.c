#include "support/watch.h"

#include "ledger/os.h"
#include "support/crowd.h"

#include <string.h>

#define STUCK (3 * PQB_SECOND)

/* Slots that this application's claims could have in general, whatever else is charged where. */
static int surely_has_room(const struct pqb_snapshot *snapshot,
                           const struct pqb_snapshot_claim *claim)
{
    const struct pqb_snapshot_server *server = &snapshot->server[claim->server];
    uint64_t taken = server->used + server->config.reserve;
    for (unsigned i = 0; i < snapshot->apps; i++)
        if (snapshot->app[i].server == claim->server && (int)i != claim->app)
            taken += snapshot->app[i].min;
    return taken < server->config.limit;
}

static int is_eligible(const struct pqb_layout *map, const struct pqb_snapshot *snapshot,
                       const struct pqb_snapshot_claim *claim, unsigned logging_in)
{
    const struct pqb_snapshot_server *server = &snapshot->server[claim->server];
    const struct pqb_snapshot_app *app = claim->app < 0 ? NULL : &snapshot->app[claim->app];
    uint32_t cap = map->claim[claim->index].process_cap, held = 0;
    for (unsigned i = 0; i < snapshot->claims; i++)
        held += snapshot->claim[i].process == claim->process &&
                snapshot->claim[i].server == claim->server &&
                snapshot->claim[i].state != PQB_CLAIM_WAITING;
    return claim->state == PQB_CLAIM_WAITING && !server->config.paused && app &&
           strcmp(app->label, WATCH_LIAR) && app->used < app->limit && (!cap || held < cap) &&
           (!server->config.logins || logging_in < server->config.logins) &&
           surely_has_room(snapshot, claim);
}

static unsigned logging_in(const struct pqb_snapshot *snapshot, unsigned number)
{
    unsigned count = 0;
    for (unsigned i = 0; i < snapshot->claims; i++)
        count += snapshot->claim[i].server == number &&
                 (snapshot->claim[i].state == PQB_CLAIM_GRANTED ||
                  snapshot->claim[i].state == PQB_CLAIM_CONNECTING);
    return count;
}

void watch_server(struct watch *watch, const struct pqb_layout *map,
                  const struct pqb_snapshot *snapshot, unsigned number, int excused)
{
    const struct pqb_snapshot_server *server = &snapshot->server[number];
    uint64_t now = pqb_now(), since = watch->idle_since ? watch->idle_since : now;
    const struct pqb_snapshot_claim *waiter = NULL;
    unsigned logins = logging_in(snapshot, number);
    for (unsigned i = 0; i < snapshot->claims && !waiter; i++)
        if (snapshot->claim[i].server == number && now - since <= snapshot->claim[i].age_ns &&
            is_eligible(map, snapshot, &snapshot->claim[i], logins) &&
            crowd_has_run_since(snapshot->claim[i].pid, since))
            waiter = &snapshot->claim[i];
    if (!waiter || excused || server->granted_total != watch->granted) {
        watch->idle_since = 0;
        watch->granted = server->granted_total;
        return;
    }
    watch->idle_since = since;
    if (now - since > watch->longest)
        watch->longest = now - since;
    if (now - since < STUCK)
        return;
    find("stuck: server %s has %u of %u in use, and pid %d (claim %u) waits since %.1f s, for %.1f "
         "s without a grant to anybody",
         server->key, server->used, server->config.limit, waiter->pid, waiter->index,
         (double)waiter->age_ns / 1e9, (double)(now - since) / 1e9);
    watch->idle_since = 0;
}
