#include "ledger/journal.h"

#include "ledger/os.h"

#include <string.h>

const uint64_t pqb_wait_bounds[PQB_WAIT_BUCKETS] = {
    1 * PQB_MS,      5 * PQB_MS,      10 * PQB_MS,      50 * PQB_MS,
    100 * PQB_MS,    250 * PQB_MS,    500 * PQB_MS,     1 * PQB_SECOND,
    2 * PQB_SECOND,  5 * PQB_SECOND,  8 * PQB_SECOND,   10 * PQB_SECOND,
    30 * PQB_SECOND, 60 * PQB_SECOND, 300 * PQB_SECOND, UINT64_MAX,
};

unsigned pqb_wait_bucket_of(uint64_t waited_ns)
{
    unsigned bucket = 0;
    while (waited_ns > pqb_wait_bounds[bucket])
        bucket++;
    return bucket;
}

const char *pqb_event_name(enum pqb_event_kind kind)
{
    static const char *const names[PQB_EVENT_KINDS] = {
        [PQB_EVENT_GRANTED] = "granted",     [PQB_EVENT_QUEUED] = "queued",
        [PQB_EVENT_TIMED_OUT] = "timed out", [PQB_EVENT_REFUSED] = "refused",
        [PQB_EVENT_DIED] = "died",           [PQB_EVENT_TAKEN_BACK] = "taken back",
        [PQB_EVENT_RECOVERED] = "recovered", [PQB_EVENT_CONFIGURED] = "configured",
        [PQB_EVENT_PAUSED] = "paused",       [PQB_EVENT_RESUMED] = "resumed",
        [PQB_EVENT_YIELDED] = "yielded",
    };
    return kind > 0 && kind < PQB_EVENT_KINDS ? names[kind] : "unknown";
}

static void write_label(char to[40], const char *label)
{
    memset(to, 0, 40);
    if (label)
        memcpy(to, label, strnlen(label, 40));
}

void pqb_journal_write(struct pqb_layout *map, enum pqb_event_kind kind, uint16_t server,
                       const char *app, int32_t pid, uint64_t value)
{
    pqb_journal_write_for(map, kind, server, app, pid, value, NULL, 0);
}

void pqb_journal_write_for(struct pqb_layout *map, enum pqb_event_kind kind, uint16_t server,
                           const char *app, int32_t pid, uint64_t value, const char *other_app,
                           int32_t other_pid)
{
    uint64_t number = atomic_fetch_add(&map->header.next_event, 1) + 1;
    struct pqb_event_row *row = &map->event[number % PQB_EVENTS];
    atomic_store(&row->sequence, 0); /* pairs with the two loads of pqb_journal_read */
    row->at_ns = pqb_now_real();
    row->value = value;
    row->pid = pid;
    row->kind = (uint16_t)kind;
    row->server = server;
    row->other_pid = other_pid;
    write_label(row->app, app);
    write_label(row->other_app, other_app);
    atomic_store(&row->sequence, number);
}

uint64_t pqb_journal_latest(const struct pqb_layout *map)
{
    return atomic_load(&map->header.next_event);
}

int pqb_journal_read(const struct pqb_layout *map, uint64_t number, struct pqb_event *event)
{
    const struct pqb_event_row *row = &map->event[number % PQB_EVENTS];
    if (!number || atomic_load(&row->sequence) != number)
        return 0;
    *event = (struct pqb_event){
        .number = number,
        .at_ns = row->at_ns,
        .value = row->value,
        .kind = (enum pqb_event_kind)row->kind,
        .pid = row->pid,
        .server = row->server,
        .other_pid = row->other_pid,
    };
    memcpy(event->app, row->app, sizeof row->app);
    memcpy(event->other_app, row->other_app, sizeof row->other_app);
    atomic_thread_fence(memory_order_acquire);
    return atomic_load(&row->sequence) == number;
}
