/* holders.c: who holds a server's connections, in a refusal's words. */
#include "ledger/holders.h"
#include "ledger/steer.h"
#include "ledger/visit.h"
#include "support/support.h"

#include <criterion/criterion.h>
#include <string.h>
#include <unistd.h>

static struct pqb_ledger ledger;
static struct pqb_holders holders;

static void open_ledger(void)
{
    support_ledger_open(&ledger);
}

static void end_ledger(void)
{
    support_ledger_end(&ledger);
}

TestSuite(holders, .init = open_ledger, .fini = end_ledger, .timeout = 120);

static const struct pqb_server_config five = {.limit = 5, .reserve = 1, .wait_ms = 8000};
static const struct pqb_claim_request request = {
    .server = "localhost:5432", .app = "web", .defaults = &five};

static void submit(const struct pqb_claim_request *wanted, struct pqb_claim *claim)
{
    cr_assert_eq(pqb_wait_submit(&ledger, wanted, claim, NULL), PQB_OK);
}

static void look(uint64_t asked_at)
{
    cr_assert_eq(
        pqb_holders_look(atomic_load(&ledger.region), "localhost:5432", asked_at, &holders),
        PQB_OK);
}

Test(holders, of_an_unknown_server)
{
    memset(&holders, 0x55, sizeof holders);
    cr_assert_eq(pqb_holders_look(atomic_load(&ledger.region), "db:5432", 1, &holders), PQB_ABSENT);
    cr_assert_eq(holders.used + holders.apps + holders.ahead + holders.more, 0);
}

Test(holders, counts_who_holds_and_who_was_first)
{
    struct pqb_claim claim[7], other;
    struct pqb_claim_request bot = request, elsewhere = request;
    bot.app = "bot";
    elsewhere.server = "db:5432";
    submit(&elsewhere, &other);
    submit(&bot, &claim[0]);
    for (unsigned i = 1; i < 6; i++) /* three are granted, the reserve is for newcomers */
        submit(&request, &claim[i]);
    uint64_t asked = pqb_now();
    submit(&request, &claim[6]);
    cr_assert_eq(pqb_claim_take(&claim[0]), PQB_OK);
    look(asked);
    cr_assert_eq(holders.used, 4);
    cr_assert_eq(holders.limit, 5);
    cr_assert_eq(holders.reserve, 1);
    cr_assert_eq(holders.is_paused, 0);
    cr_assert_eq(holders.ahead, 2, "%u are ahead", holders.ahead);
    cr_assert_eq(holders.apps, 2);
    cr_assert_str_eq(holders.app[0].label, "web");
    cr_assert_eq(holders.app[0].used, 3);
    cr_assert_str_eq(holders.app[1].label, "bot");
    cr_assert_eq(holders.app[1].used, 1);
    cr_assert_eq(holders.more + holders.more_used, 0);
    look(0);
    cr_assert_eq(holders.ahead, 0);
    look(pqb_now());
    cr_assert_eq(holders.ahead, 3);
}

Test(holders, an_alias_is_its_server)
{
    struct pqb_claim claim;
    submit(&request, &claim);
    cr_assert_eq(pqb_steer_learn(atomic_load(&ledger.region), "localhost:5432", "10.1.2.3:5432"),
                 PQB_OK);
    cr_assert_eq(pqb_holders_look(atomic_load(&ledger.region), "10.1.2.3:5432", 0, &holders),
                 PQB_OK);
    cr_assert_eq(holders.used, 1);
}

Test(holders, drainers_are_used_unless_they_are_in_slack_and_a_pause_is_told)
{
    struct pqb_claim claim[3];
    struct pqb_steer steer = pqb_steer_nothing;
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_eq(support_hold(&ledger, &request, 0, &claim[i]), PQB_OK);
        struct pqb_claim_row *row = &claim[i].region->map->claim[claim[i].index];
        row->backend_pid = (int32_t)getpid();
        row->backend_seen = 1;
        row->pid_ns = 1; /* in another namespace: nobody can look */
        pqb_claim_give(&claim[i], PQB_END_CLOSED);
    }
    steer.slack = 2;
    steer.paused = 1;
    cr_assert_eq(pqb_steer_apply(atomic_load(&ledger.region), &steer, NULL), PQB_OK);
    look(0);
    cr_assert_eq(holders.used, 1);
    cr_assert_eq(holders.app[0].used, 1);
    cr_assert_eq(holders.is_paused, 1);
}

/* Application i of 12 holds 1 + i * 5 % 12 connections, so that they don't come in order. */
Test(holders, the_first_eight_applications_by_what_they_hold)
{
    static const struct pqb_server_config many = {.limit = 100};
    struct pqb_claim_request wanted = request;
    struct pqb_claim claim;
    char label[64];
    wanted.defaults = &many;
    wanted.app = label;
    for (unsigned i = 0; i < 12; i++) {
        memset(label, 0, sizeof label);
        memset(label, 'a' + (int)i, i % 2 ? 1 : 63); /* as long as a label can be */
        for (unsigned k = 0; k < 1 + i * 5 % 12; k++)
            submit(&wanted, &claim);
    }
    look(0);
    cr_assert_eq(holders.used, 78);
    cr_assert_eq(holders.apps, PQB_HOLDERS);
    for (unsigned i = 0; i < PQB_HOLDERS; i++) {
        unsigned app = (unsigned)(*holders.app[i].label - 'a');
        cr_assert_eq(holders.app[i].used, 12 - i);
        cr_assert_eq(holders.app[i].used, 1 + app * 5 % 12);
        cr_assert_eq(strlen(holders.app[i].label), app % 2 ? 1 : 63);
    }
    cr_assert_eq(holders.more, 4);
    cr_assert_eq(holders.more_used, 4 + 3 + 2 + 1);
}

Test(holders, nobody_waits_for_the_guard)
{
    struct pqb_claim claim;
    submit(&request, &claim);
    struct pqb_visit visit;
    cr_assert_eq(pqb_visit_begin(&visit, atomic_load(&ledger.region), 0), PQB_OK);
    look(0);
    pqb_visit_close(&visit);
    cr_assert_eq(holders.used, 1);
}

/* One slot, handed round by three processes: never two at once. */
Test(holders, counts_held_at_one_instant)
{
    static const struct pqb_server_config one = {.limit = 1, .wait_ms = 8000};
    struct pqb_claim_request wanted = request;
    struct pqb_layout *map = atomic_load(&ledger.region)->map;
    pid_t pid[3];
    wanted.defaults = &one;
    for (unsigned i = 0; i < 3; i++)
        if (!(pid[i] = support_fork()))
            for (;;) {
                struct pqb_claim claim;
                if (!pqb_wait_acquire(&ledger, &wanted, 5000, &claim, NULL, NULL))
                    pqb_claim_give(&claim, PQB_END_CLOSED);
            }
    cr_assert(wait_until(atomic_load(&map->header.grants) > 100));
    unsigned used = 0, most = 0;
    uint64_t until = pqb_now() + 20 * PQB_SECOND;
    for (unsigned i = 0; i < 3000 || (!used && pqb_now() < until); i++) {
        uint64_t grants = atomic_load(&map->header.grants);
        look(0);
        if (atomic_load(&map->header.grants) - grants > 4)
            continue; /* it may have found no instant without a grant */
        used += holders.used;
        most = holders.used > most ? holders.used : most;
    }
    for (unsigned i = 0; i < 3; i++)
        support_kill(pid[i]);
    cr_assert_gt(used, 0);
    cr_assert_eq(most, 1);
}

Test(holders, of_a_ledger_that_is_gone)
{
    struct pqb_claim claim;
    submit(&request, &claim);
    cr_assert_eq(unlink(ledger.path), 0);
    cr_assert_eq(pqb_holders_look(claim.region, "localhost:5432", 0, &holders), PQB_LOST);
    cr_assert_eq(holders.used + holders.apps, 0);
}

Test(holders, of_a_ledger_that_shrank)
{
    struct pqb_claim claim;
    submit(&request, &claim);
    cr_assert_eq(truncate(ledger.path, 4096), 0);
    cr_assert_eq(pqb_holders_look(claim.region, "localhost:5432", 0, &holders), PQB_DAMAGED);
    cr_assert_eq(holders.used + holders.apps, 0);
}
