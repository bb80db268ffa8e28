#include "tool/top_list.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *pqb_top_sort_name(enum pqb_top_sort sort)
{
    static const char *const names[] = {"age", "wait", "app", "database", "user", "pid"};
    return names[sort];
}

static const char *app_of(const struct pqb_snapshot *snapshot,
                          const struct pqb_snapshot_claim *claim)
{
    return claim->app < 0 ? "" : snapshot->app[claim->app].label;
}

static int is_meant(const struct pqb_snapshot *snapshot, const struct pqb_snapshot_claim *claim,
                    const char *filter)
{
    const char *session = pqb_session_name(claim->session);
    char pid[16];
    snprintf(pid, sizeof pid, "%d", claim->pid);
    const char *const texts[] = {
        app_of(snapshot, claim),
        snapshot->server[claim->server].key,
        pqb_claim_state_name(claim->state),
        session ? session : "",
        claim->application_name,
        claim->user,
        claim->database,
        claim->command,
        pid,
    };
    for (unsigned i = 0; i < sizeof texts / sizeof *texts; i++)
        if (strcasestr(texts[i], filter))
            return 1;
    return 0;
}

static int compare_numbers(uint64_t one, uint64_t other)
{
    return (one > other) - (one < other);
}

/* Times from the longest, all else from the least. */
static int compare_by(const struct pqb_snapshot *snapshot, enum pqb_top_sort sort,
                      const struct pqb_snapshot_claim *one, const struct pqb_snapshot_claim *other)
{
    switch (sort) {
    case PQB_TOP_WAIT:
        return compare_numbers(other->wait_ns, one->wait_ns);
    case PQB_TOP_APP:
        return strcmp(app_of(snapshot, one), app_of(snapshot, other));
    case PQB_TOP_DATABASE:
        return strcmp(one->database, other->database);
    case PQB_TOP_USER:
        return strcmp(one->user, other->user);
    case PQB_TOP_PID:
        return (one->pid > other->pid) - (one->pid < other->pid);
    default:
        return compare_numbers(other->age_ns, one->age_ns);
    }
}

struct order {
    const struct pqb_snapshot *snapshot;
    const struct pqb_top_wish *wish;
};

static int compare(const void *left, const void *right, void *context)
{
    const struct order *order = context;
    unsigned one = *(const unsigned *)left, other = *(const unsigned *)right;
    const struct pqb_snapshot_claim *claim = order->snapshot->claim;
    int one_waits = claim[one].state == PQB_CLAIM_WAITING;
    int other_waits = claim[other].state == PQB_CLAIM_WAITING, answer = 0;
    if (one_waits != other_waits)
        return other_waits - one_waits;
    if (!one_waits)
        answer = compare_by(order->snapshot, order->wish->sort, &claim[one], &claim[other]);
    if (order->wish->is_reversed)
        answer = -answer;
    /* The snapshot is in the order of the queue. */
    return answer ? answer : compare_numbers(one, other);
}

void pqb_top_list_make(const struct pqb_snapshot *snapshot, const struct pqb_top_wish *wish,
                       struct pqb_top_list *list)
{
    struct order order = {.snapshot = snapshot, .wish = wish};
    list->count = list->waiting = list->holding = 0;
    for (unsigned i = 0; i < snapshot->claims; i++) {
        const struct pqb_snapshot_claim *claim = &snapshot->claim[i];
        int waits = claim->state == PQB_CLAIM_WAITING;
        if ((wish->only != PQB_NIL && claim->server != wish->only) ||
            !is_meant(snapshot, claim, wish->filter))
            continue;
        if (waits)
            list->waiting++;
        else
            list->holding++;
        if (wish->show != (waits ? PQB_TOP_HOLDERS : PQB_TOP_QUEUE))
            list->claim[list->count++] = i;
    }
    qsort_r(list->claim, list->count, sizeof *list->claim, compare, &order);
}
