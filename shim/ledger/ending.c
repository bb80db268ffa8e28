#include "ledger/ending.h"

#include "ledger/backend.h"
#include "ledger/books.h"
#include "ledger/journal.h"
#include "ledger/os.h"
#include "ledger/process.h"

#define YOUNG (100 * PQB_MS)

uint64_t pqb_ending_stamp(uint64_t ctl, uint64_t until)
{
    return (uint64_t)pqb_ctl_generation(ctl) << 32 | (uint32_t)(until / PQB_MS);
}

int pqb_ending_step(struct pqb_layout *map, unsigned index, uint64_t ctl, uint64_t now,
                    uint64_t until)
{
    struct pqb_claim_row *row = &map->claim[index];
    uint64_t seen = ctl, next = pqb_ctl_next(ctl, until ? PQB_CLAIM_DRAINING : PQB_CLAIM_GONE);
    if (!atomic_compare_exchange_strong(&row->ctl, &seen, next))
        return 0;
    /* After the step, and for this generation: a hand that comes too late says nothing of another.
     */
    if (until) {
        atomic_store(&row->drain_until, pqb_ending_stamp(ctl, until));
        atomic_store(&row->changed_at, now);
    }
    pqb_books_flag(map, index);
    return 1;
}

/* When the draining of a dead holder's claim ends at the latest; 0 = it need not drain. */
static uint64_t drain_limit(const struct pqb_claim_row *row, const struct pqb_server_row *server,
                            int was_open, uint64_t now)
{
    if (was_open && row->backend_seen)
        return now + PQB_DRAIN_CEILING;
    return server->config.drain_ms ? now + server->config.drain_ms * PQB_MS : 0;
}

int pqb_ending_close(struct pqb_layout *map, unsigned index, uint64_t ctl, uint64_t now, int left)
{
    const struct pqb_claim_row *row = &map->claim[index];
    uint64_t until = 0;
    unsigned server = pqb_once(&row->server);
    int is_open = pqb_ctl_state(ctl) == PQB_CLAIM_OPEN;
    int is_connecting = pqb_ctl_state(ctl) == PQB_CLAIM_CONNECTING;
    /* The startup packet is on its way, or there; an open one has been connected anew. The server
     * takes a slot for it, and sees only when it has answered that nobody listens. */
    int logs_in = is_connecting ? left || atomic_load(&row->socket_cookie) : is_open && left;
    if (is_open && row->backend_seen)
        until = now + PQB_DRAIN_CEILING;
    else if (logs_in && server < PQB_SERVERS)
        until = drain_limit(row, &map->server[server], 0, now);
    return pqb_ending_step(map, index, ctl, now, until);
}

int pqb_ending_bury(struct pqb_layout *map, unsigned index, uint64_t ctl, uint64_t now)
{
    struct pqb_claim_row *row = &map->claim[index];
    /* Read before the step: after it the row may be somebody else's. */
    uint16_t number = pqb_once(&row->server), app = pqb_once(&row->app);
    if (number >= PQB_SERVERS)
        return 0;
    struct pqb_server_row *server = &map->server[number];
    int32_t pid = row->pid;
    uint64_t until = 0;
    if (pqb_ctl_state(ctl) == PQB_CLAIM_OPEN || pqb_ctl_state(ctl) == PQB_CLAIM_CONNECTING)
        until = drain_limit(row, server, pqb_ctl_state(ctl) == PQB_CLAIM_OPEN, now);
    if (!pqb_ending_step(map, index, ctl, now, until))
        return 0;
    atomic_fetch_add(&server->reaped_total, 1);
    pqb_journal_write(map, PQB_EVENT_DIED, number, app < PQB_APPS ? map->app[app].label : NULL, pid,
                      0);
    return 1;
}

/* Is its time over? A stamp of another generation is that of a late hand, or whoever made the step
 * has not come to write one, or died before: then the time begins now. */
static int is_time_over(struct pqb_claim_row *row, const struct pqb_server_row *server,
                        uint64_t ctl, uint64_t now)
{
    uint64_t stamp = atomic_load(&row->drain_until);
    if (stamp >> 32 != pqb_ctl_generation(ctl)) {
        uint64_t until = drain_limit(row, server, 1, now);
        if (until)
            atomic_compare_exchange_strong(&row->drain_until, &stamp, pqb_ending_stamp(ctl, until));
        return !until;
    }
    int64_t left = (int32_t)((uint32_t)stamp - (uint32_t)(now / PQB_MS));
    /* Further ahead than any rule allows: from before a reboot, or damaged. */
    return left <= 0 || (uint64_t)left * PQB_MS > 2 * PQB_DRAIN_CEILING;
}

int pqb_ending_drained(struct pqb_layout *map, unsigned index, uint64_t ctl, uint64_t now)
{
    struct pqb_claim_row *row = &map->claim[index];
    struct pqb_process self;
    unsigned server = pqb_once(&row->server);
    if (server >= PQB_SERVERS)
        return 0;
    int is_over = is_time_over(row, &map->server[server], ctl, now);
    if (!is_over && row->backend_seen && !pqb_process_self(&self) && self.pid_ns == row->pid_ns) {
        /* To look the start time up is most of the cost. A pid is not reused within a moment; one
         * that was reused before is found out after it. */
        uint64_t since = atomic_load(&row->changed_at);
        int is_young = now < since + YOUNG;
        is_over = pqb_backend_has_exited(row->backend_pid, is_young ? 0 : row->backend_start);
    }
    return is_over && pqb_ending_step(map, index, ctl, now, 0);
}
