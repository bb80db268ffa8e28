/* Threads that do everything at once with one ledger, for ThreadSanitizer. Ends after a number of
 * rounds, with 0 if the limit was kept and nothing is left in the ledger. */
#include "ledger/holders.h"
#include "ledger/snapshot.h"
#include "ledger/steer.h"
#include "ledger/tick.h"
#include "ledger/wait.h"
#include "ledger/yield.h"
#include "support/races.h"
#include "support/support.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define LIMIT 5
#define ROUNDS 150

static struct pqb_ledger ledger;
static _Atomic int held, over, failed, replaced, given_way, stayed;

static const struct pqb_server_config config = {
    .limit = LIMIT, .reserve = 1, .wait_ms = 60000, .drain_ms = 1};
static const struct pqb_claim_request request = {
    .server = "localhost:5432", .app = "race", .defaults = &config};

static void complain(const char *what, enum pqb_status status)
{
    fprintf(stderr, "race: %s: %s\n", what, pqb_status_text(status));
    atomic_store(&failed, 1);
}

/* Counted only while no ledger was replaced: in a new one everybody starts at zero. */
static void count(int change)
{
    if (atomic_fetch_add(&held, change) + change > LIMIT && !atomic_load(&replaced))
        atomic_store(&over, 1);
}

static void *hold_often(void *unused)
{
    (void)unused;
    for (int i = 0; i < ROUNDS; i++) {
        struct pqb_claim_peer peer = {.backend_pid = 1, .user = "u", .database = "d"};
        struct pqb_claim claim;
        enum pqb_status status =
            pqb_wait_acquire(&ledger, &request, PQB_WAIT_SERVER, &claim, NULL, NULL);
        if (status) {
            complain("acquire", status);
            continue;
        }
        count(1);
        status = i % 3 ? pqb_claim_open(&claim, &peer) : PQB_OK;
        if (status && !atomic_load(&replaced))
            complain("open", status);
        if (i % 4 == 0)
            support_nap();
        count(-1);
        if (i % 7)
            pqb_claim_give(&claim, PQB_END_CLOSED);
        else
            pqb_claim_drop(&claim); /* as if its owner had died: others bury it */
    }
    return NULL;
}

static void *try_often(void *unused)
{
    (void)unused;
    for (int i = 0; i < 2 * ROUNDS; i++) {
        struct pqb_claim claim;
        unsigned obstacle;
        enum pqb_status status =
            pqb_wait_acquire(&ledger, &request, i % 3, &claim, &obstacle, NULL);
        if (status && status != PQB_TIMED_OUT && status != PQB_BUSY)
            complain("try", status);
        pqb_claim_give(&claim, PQB_END_CLOSED);
    }
    return NULL;
}

static void *submit_often(void *unused)
{
    static const struct pqb_claim_request belled = {
        .server = "localhost:5432", .app = "bell", .defaults = &config, .rings_bell = 1};
    (void)unused;
    for (int i = 0; i < ROUNDS / 3; i++) {
        struct pqb_claim claim[4];
        for (int n = 0; n < 4; n++) {
            enum pqb_status status = pqb_wait_submit(&ledger, &belled, &claim[n], NULL);
            if (status && status != PQB_BUSY)
                complain("submit", status);
        }
        for (int n = 0; n < 4; n++) {
            if (!claim[n].region)
                continue;
            _Atomic uint32_t *bell = pqb_wait_bell(claim[n].region);
            for (int looks = 0; looks < 20; looks++) {
                uint32_t rung = atomic_load(bell);
                if (pqb_claim_take(&claim[n]) != PQB_WAITING)
                    break;
                pqb_futex_wait(bell, rung, pqb_now() + PQB_TICK_HOT / 5, 1);
                if (pqb_tick(claim[n].region, 0, NULL))
                    break;
            }
            pqb_claim_give(&claim[n], PQB_END_CLOSED);
        }
    }
    return NULL;
}

/* Has it open, idle, until it was asked for or a moment is over. Every third one stays, and says
 * that it is busy. */
static void hold_idle(const struct pqb_claim *claim, int stays)
{
    struct pqb_yield_wish wish;
    _Atomic uint32_t *bell = pqb_wait_bell(claim->region);
    uint64_t since = pqb_now();
    pqb_yield_offer(claim, 1);
    for (int looks = 0; looks < 50; looks++) {
        uint32_t rung = atomic_load(bell);
        pqb_yield_tell(claim, stays ? PQB_SESSION_ACTIVE : PQB_SESSION_IDLE, since);
        enum pqb_yield_answer_due due = pqb_yield_is_asked(claim, &wish);
        if (due == PQB_YIELD_ASKED && !stays && pqb_yield_has_others(claim)) {
            pqb_yield_accept(claim, &wish, pqb_now() - since);
            atomic_fetch_add(&given_way, 1);
            return;
        }
        if (due != PQB_YIELD_NOT_ASKED) {
            pqb_yield_decline(claim);
            atomic_fetch_add(&stayed, 1);
        }
        pqb_futex_wait(bell, rung, pqb_now() + PQB_TICK_HOT / 5, 1);
    }
}

static void *give_way_often(void *unused)
{
    (void)unused;
    for (int i = 0; i < ROUNDS / 5; i++) {
        struct pqb_claim_peer peer = {.backend_pid = 1, .user = "u", .database = "d"};
        struct pqb_claim claim;
        enum pqb_status status =
            pqb_wait_acquire(&ledger, &request, PQB_WAIT_SERVER, &claim, NULL, NULL);
        if (status) {
            complain("acquire to give way", status);
            continue;
        }
        count(1);
        if (!pqb_claim_open(&claim, &peer))
            hold_idle(&claim, i % 3 == 0);
        count(-1);
        pqb_claim_give(&claim, PQB_END_CLOSED);
    }
    return NULL;
}

static void *watch_often(void *unused)
{
    (void)unused;
    for (int i = 0; i < ROUNDS; i++) {
        struct pqb_region *region;
        struct pqb_snapshot snapshot;
        if (pqb_ledger_region(&ledger, &region, NULL))
            continue;
        if (!pqb_snapshot_take(region, &snapshot)) {
            for (unsigned n = 0; n < snapshot.servers; n++)
                if (snapshot.consistent && snapshot.server[n].used > LIMIT)
                    atomic_store(&over, 1);
            pqb_snapshot_free(&snapshot);
        }
        struct pqb_holders holders;
        (void)!pqb_holders_look(region, "localhost:5432", pqb_now(), &holders);
        (void)pqb_yield_refresh(region);
        pqb_region_unpin(region);
        support_nap();
    }
    return NULL;
}

static void *steer_often(void *unused)
{
    (void)unused;
    for (int i = 0; i < ROUNDS; i++) {
        struct pqb_region *region;
        struct pqb_steer steer = pqb_steer_nothing;
        steer.server = "localhost:5432";
        steer.limit = LIMIT - i % 2;
        steer.logins = i % 4;
        steer.slack = 0;
        steer.paused = i % 8 == 3;
        steer.apps = 1;
        steer.make = 1;
        steer.app[0] = (struct pqb_steer_app){.label = "race", .limit = PQB_UNLIMITED, .min = 1};
        if (pqb_ledger_region(&ledger, &region, NULL))
            continue;
        enum pqb_status status = pqb_steer_apply(region, &steer, NULL);
        if (status && status != PQB_ABSENT && status != PQB_LOST && status != PQB_BUSY)
            complain("steer", status);
        steer.paused = 0;
        status = pqb_steer_apply(region, &steer, NULL);
        if (!status)
            status = pqb_steer_learn(region, "localhost:5432", "10.1.2.3:5432");
        if (status && status != PQB_ABSENT && status != PQB_LOST && status != PQB_BUSY)
            complain("steer again", status);
        pqb_region_unpin(region);
        support_nap();
    }
    return NULL;
}

/* Closes and opens the ledger as a second user of the same process would. */
static void *open_often(void *unused)
{
    (void)unused;
    for (int i = 0; i < ROUNDS; i++) {
        struct pqb_ledger mine;
        enum pqb_status status = pqb_ledger_open(&mine, ledger.path, 1, NULL);
        if (status && status != PQB_BUSY)
            complain("open a second time", status);
        pqb_ledger_close(&mine);
    }
    return NULL;
}

static void *replace_often(void *unused)
{
    (void)unused;
    for (int i = 0; i < 10; i++) {
        for (int naps = 0; naps < 20; naps++)
            support_nap();
        enum pqb_status status = pqb_steer_reset(ledger.path, 1, NULL);
        if (status && status != PQB_ABSENT)
            complain("reset", status);
    }
    return NULL;
}

static void run(void *(*const *jobs)(void *), int count_of_jobs)
{
    pthread_t thread[32];
    for (int i = 0; i < count_of_jobs; i++)
        if (pthread_create(&thread[i], NULL, jobs[i], NULL))
            exit(2);
    for (int i = 0; i < count_of_jobs; i++)
        pthread_join(thread[i], NULL);
}

static int is_empty(void)
{
    struct support_counts counts = support_count(&ledger);
    return counts.used + counts.waiting == 0;
}

int main(void)
{
    static void *(*const jobs[])(void *) = {
        hold_often,     hold_often,     hold_often,     hold_often,   hold_often,  hold_often,
        try_often,      try_often,      submit_often,   watch_often,  steer_often, open_often,
        give_way_often, give_way_often, give_way_often, replace_often};
    enum { ALL = sizeof jobs / sizeof *jobs };
    support_ledger_open(&ledger);
    run(jobs, ALL - 1);
    if (!wait_until(is_empty()))
        complain("at the end", PQB_FULL);
    atomic_store(&replaced, 1);
    run(jobs, ALL);
    if (!wait_until(is_empty()))
        complain("after replacements", PQB_FULL);
    support_ledger_end(&ledger);
    if (atomic_load(&over))
        fprintf(stderr, "race: more than %d were held at once\n", LIMIT);
    printf("race: %d gave way, %d stayed\n", atomic_load(&given_way), atomic_load(&stayed));
    return atomic_load(&over) || atomic_load(&failed) || !atomic_load(&given_way) ||
           !atomic_load(&stayed);
}
