/* visit.c: what begins and ends a stay inside the guard. */
#include "ledger/visit.h"
#include "ledger/journal.h"
#include "ledger/steer.h"
#include "support/support.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <string.h>

static struct pqb_ledger ledger;
static struct pqb_region *region;
static struct pqb_layout *map;

static void open_ledger(void)
{
    support_ledger_open(&ledger);
    region = atomic_load(&ledger.region);
    map = region->map;
}

static void end_ledger(void)
{
    support_ledger_end(&ledger);
}

TestSuite(visit, .init = open_ledger, .fini = end_ledger, .timeout = 60);

static const struct pqb_server_config two = {.limit = 2, .wait_ms = 8000};
static const struct pqb_claim_request request = {
    .server = "localhost:5432", .app = "test", .defaults = &two};

static int has_event(enum pqb_event_kind kind)
{
    struct pqb_event event;
    for (uint64_t i = 1; i <= pqb_journal_latest(map); i++)
        if (pqb_journal_read(map, i, &event) && event.kind == kind)
            return 1;
    return 0;
}

Test(visit, leaves_the_ledger_clean)
{
    struct pqb_visit visit;
    cr_assert_eq(atomic_load(&map->header.dirty), 1); /* as it was made */
    cr_assert_eq(pqb_visit_begin(&visit, region, 0), PQB_OK);
    cr_assert_eq(atomic_load(&map->header.dirty), 1);
    pqb_visit_close(&visit);
    cr_assert_eq(atomic_load(&map->header.dirty), 0);
    cr_assert(!has_event(PQB_EVENT_RECOVERED));
}

Test(visit, after_a_death_inside_finds_the_same_books)
{
    struct pqb_claim held[2], waiter;
    struct pqb_visit visit;
    for (unsigned i = 0; i < 2; i++)
        cr_assert_eq(support_hold(&ledger, &request, 0, &held[i]), PQB_OK);
    cr_assert_eq(pqb_wait_submit(&ledger, &request, &waiter, NULL), PQB_OK);
    static struct pqb_server_row before;
    memcpy(&before, &map->server[0], sizeof before);
    /* He died half way through any of it. */
    map->server[0].general = 77;
    map->server[0].queue_head = 5;
    map->server[0].waiting = 0;
    memset(map->account, 0xff, sizeof map->account);
    atomic_store(&map->header.dirty, 1);
    cr_assert_eq(pqb_visit_begin(&visit, region, 0), PQB_OK);
    pqb_visit_close(&visit);
    cr_assert(has_event(PQB_EVENT_RECOVERED));
    cr_assert_eq(memcmp(&before, &map->server[0], sizeof before), 0);
    pqb_claim_give(&held[0], PQB_END_CLOSED);
    cr_assert_eq(pqb_claim_take(&waiter), PQB_OK);
    pqb_claim_give(&waiter, PQB_END_CLOSED);
    pqb_claim_give(&held[1], PQB_END_CLOSED);
    cr_assert_eq(support_count(&ledger).used, 0);
}

Test(visit, rebuilds_what_made_no_sense_before_it_leaves)
{
    struct pqb_claim held[2], waiter;
    for (unsigned i = 0; i < 2; i++)
        cr_assert_eq(support_hold(&ledger, &request, 0, &held[i]), PQB_OK);
    cr_assert_eq(pqb_wait_submit(&ledger, &request, &waiter, NULL), PQB_OK);
    map->server[0].queue_head = 60000;
    pqb_claim_give(&held[0], PQB_END_CLOSED);
    cr_assert_eq(pqb_claim_take(&waiter), PQB_OK);
    pqb_claim_give(&waiter, PQB_END_CLOSED);
    pqb_claim_give(&held[1], PQB_END_CLOSED);
    cr_assert_eq(support_count(&ledger).used, 0);
}

Test(visit, serves_more_than_fit_in_one)
{
    enum { MANY = 300 };
    struct pqb_claim waiter[MANY];
    struct pqb_steer steer = pqb_steer_nothing;
    steer.server = request.server;
    steer.make = 1;
    steer.limit = PQB_UNLIMITED;
    steer.paused = 1;
    cr_assert_eq(pqb_steer_apply(region, &steer, NULL), PQB_OK);
    for (unsigned i = 0; i < MANY; i++)
        cr_assert_eq(pqb_wait_submit(&ledger, &request, &waiter[i], NULL), PQB_OK);
    steer.paused = 0;
    cr_assert_eq(pqb_steer_apply(region, &steer, NULL), PQB_OK);
    for (unsigned i = 0; i < MANY; i++)
        cr_assert_eq(pqb_claim_take(&waiter[i]), PQB_OK, "%u", i);
    for (unsigned i = 0; i < MANY; i++)
        pqb_claim_give(&waiter[i], PQB_END_CLOSED);
}

Test(visit, serving_is_left_to_whoever_is_inside)
{
    struct pqb_claim held[2], waiter;
    struct pqb_visit visit;
    for (unsigned i = 0; i < 2; i++)
        cr_assert_eq(support_hold(&ledger, &request, 0, &held[i]), PQB_OK);
    cr_assert_eq(pqb_wait_submit(&ledger, &request, &waiter, NULL), PQB_OK);
    cr_assert_eq(pqb_visit_begin(&visit, region, 0), PQB_OK);
    pqb_claim_give(&held[0], PQB_END_CLOSED); /* returns at once, though we are inside */
    cr_assert_eq(pqb_claim_take(&waiter), PQB_WAITING);
    pqb_visit_close(&visit);
    cr_assert_eq(pqb_claim_take(&waiter), PQB_OK);
    pqb_claim_give(&waiter, PQB_END_CLOSED);
    pqb_claim_give(&held[1], PQB_END_CLOSED);
}

static void *give(void *claim)
{
    pqb_claim_give(claim, PQB_END_CLOSED);
    return NULL;
}

/* A thread gives back behind a sibling that has the process lock and does not come to visit. */
static void give_behind(struct pqb_claim *claim)
{
    struct pqb_process_hold hold;
    pthread_t thread;
    cr_assert_eq(pqb_process_lock(&hold, 0), PQB_OK);
    pthread_create(&thread, NULL, give, claim);
    pthread_join(thread, NULL);
    cr_assert_eq(pqb_process_unlock(&hold), 1);
}

/* Nobody ticks here: what a sibling was kept from must be done by whoever unlocks next. */
Test(visit, a_hand_over_that_a_sibling_kept_back_is_made_up_for)
{
    struct pqb_claim held[2], waiter;
    for (unsigned i = 0; i < 2; i++)
        cr_assert_eq(support_hold(&ledger, &request, 0, &held[i]), PQB_OK);
    cr_assert_eq(pqb_wait_submit(&ledger, &request, &waiter, NULL), PQB_OK);
    give_behind(&held[0]);
    cr_assert_eq(pqb_claim_take(&waiter), PQB_WAITING);
    pqb_visit_serve(region);
    cr_assert_eq(pqb_claim_take(&waiter), PQB_OK);
    pqb_claim_give(&waiter, PQB_END_CLOSED);
    pqb_claim_give(&held[1], PQB_END_CLOSED);
}

static void *pin_often(void *stop)
{
    while (!atomic_load((_Atomic int *)stop)) {
        struct pqb_region *pinned;
        if (!pqb_ledger_region(&ledger, &pinned, NULL))
            pqb_region_unpin(pinned);
    }
    return NULL;
}

/* The sibling takes the process lock again and again and never visits of its own accord; nobody
 * ticks. Each hand-over must come, from the giver or from whoever kept it from its visit. */
Test(visit, no_hand_over_is_missed_behind_a_sibling)
{
    static _Atomic int stop;
    struct pqb_claim other, claim, next;
    pthread_t sibling;
    cr_assert_eq(support_hold(&ledger, &request, 0, &other), PQB_OK);
    cr_assert_eq(support_hold(&ledger, &request, 0, &claim), PQB_OK);
    pthread_create(&sibling, NULL, pin_often, &stop);
    for (unsigned i = 0; i < 3000; i++) {
        while (pqb_wait_submit(&ledger, &request, &next, NULL) == PQB_BUSY)
            continue;
        pqb_claim_give(&claim, PQB_END_CLOSED);
        cr_assert(wait_until(!pqb_claim_take(&next)), "missed in round %u", i);
        claim = next;
    }
    atomic_store(&stop, 1);
    pthread_join(sibling, NULL);
    pqb_claim_give(&claim, PQB_END_CLOSED);
    pqb_claim_give(&other, PQB_END_CLOSED);
}

Test(visit, a_retired_ledger_is_not_entered)
{
    struct pqb_visit visit;
    unsigned before;
    cr_assert_eq(pqb_steer_reset(ledger.path, 0, NULL), PQB_OK);
    before = support_descriptors();
    cr_assert_eq(pqb_visit_begin(&visit, region, pqb_now() + PQB_SECOND), PQB_LOST);
    cr_assert_eq(support_descriptors(), before);
}
