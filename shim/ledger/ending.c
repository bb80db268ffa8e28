#include "ledger/ending.h"

#include "ledger/backend.h"
#include "ledger/books.h"
#include "ledger/journal.h"
#include "ledger/os.h"
#include "ledger/process.h"

int pqb_ending_step(struct pqb_layout *map, unsigned index, uint64_t ctl, uint64_t now,
                    uint64_t until)
{
    struct pqb_claim_row *row = &map->claim[index];
    if (until) {
        atomic_store(&row->drain_until, until);
        atomic_store(&row->changed_at, now);
    }
    uint64_t next = pqb_ctl_next(ctl, until ? PQB_CLAIM_DRAINING : PQB_CLAIM_GONE);
    if (!atomic_compare_exchange_strong(&row->ctl, &ctl, next))
        return 0;
    pqb_books_flag(map, index);
    return 1;
}

int pqb_ending_bury(struct pqb_layout *map, unsigned index, uint64_t ctl, uint64_t now)
{
    struct pqb_claim_row *row = &map->claim[index];
    if (row->server >= PQB_SERVERS)
        return 0;
    struct pqb_server_row *server = &map->server[row->server];
    /* Read before the step: after it the row may be somebody else's. */
    uint16_t server_index = row->server, app = row->app;
    int32_t pid = row->pid;
    uint64_t until = 0;
    if (pqb_ctl_state(ctl) == PQB_CLAIM_OPEN && row->backend_seen)
        until = now + PQB_DRAIN_CEILING;
    else if (pqb_ctl_state(ctl) == PQB_CLAIM_OPEN || pqb_ctl_state(ctl) == PQB_CLAIM_CONNECTING)
        until = server->config.drain_ms ? now + server->config.drain_ms * PQB_MS : 0;
    if (!pqb_ending_step(map, index, ctl, now, until))
        return 0;
    atomic_fetch_add(&server->reaped_total, 1);
    pqb_journal_write(map, PQB_EVENT_DIED, server_index,
                      app < PQB_APPS ? map->app[app].label : NULL, pid, 0);
    return 1;
}

int pqb_ending_drained(struct pqb_layout *map, unsigned index, uint64_t ctl, uint64_t now)
{
    const struct pqb_claim_row *row = &map->claim[index];
    struct pqb_process self;
    uint64_t until = atomic_load(&row->drain_until);
    /* Further ahead than any rule allows: from before a reboot, or damaged. */
    int over = now >= until || until - now > 2 * PQB_DRAIN_CEILING;
    if (!over && row->backend_seen && !pqb_process_self(&self) && self.pid_ns == row->pid_ns)
        over = pqb_backend_has_exited(row->backend_pid, row->backend_start);
    return over && pqb_ending_step(map, index, ctl, now, 0);
}
