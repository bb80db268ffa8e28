/* admission.c: the rules of admission, alone and combined. */
#include "ledger/admission.h"
#include "ledger/rebuild.h"
#include "ledger/registry.h"
#include "support/paper.h"

#include <criterion/criterion.h>
#include <stdio.h>

static struct paper paper;

static void open_paper(void)
{
    paper_open(&paper, PQB_CLAIMS);
}

static void close_paper(void)
{
    paper_check(&paper);
    paper_close(&paper);
}

TestSuite(admission, .init = open_paper, .fini = close_paper, .timeout = 60);

static struct pqb_server_config limited(uint32_t limit, uint32_t reserve)
{
    return (struct pqb_server_config){.limit = limit, .reserve = reserve, .drain_ms = 200};
}

static unsigned server_with(uint32_t limit, uint32_t reserve)
{
    struct pqb_server_config config = limited(limit, reserve);
    return paper_server(&paper, "localhost:5432", &config);
}

static unsigned ask(unsigned server, uint64_t process)
{
    return paper_ask(&paper, server, process, "app", 0);
}

static unsigned hold(unsigned server, uint64_t process)
{
    return paper_hold(&paper, server, process, "app");
}

static void give(unsigned index)
{
    paper_move(&paper, index, PQB_CLAIM_GONE);
}

static enum pqb_obstacle obstacle(unsigned index)
{
    enum pqb_booked pool;
    return pqb_admission_obstacle(paper.map, &paper.map->claim[index], &pool);
}

static uint64_t in_use(unsigned server)
{
    return (uint64_t)paper.map->server[server].general + paper.map->server[server].reserve;
}

static struct pqb_server_config *config_of(unsigned server)
{
    static struct pqb_server_config config;
    config = paper.map->server[server].config;
    return &config;
}

#define assert_waits(index, why)                                                                   \
    do {                                                                                           \
        cr_assert(paper_is_waiting(&paper, index));                                                \
        cr_assert_eq(obstacle(index), why);                                                        \
    } while (0)
#define assert_granted(index) cr_assert(paper_is_granted(&paper, index))

/* ---- each rule alone ---- */

Test(admission, a_free_slot_is_granted_at_once)
{
    unsigned server = server_with(1, 0);
    unsigned claim = ask(server, 1);
    assert_granted(claim);
    cr_assert_eq(paper_pool(&paper, claim), PQB_BOOKED_GENERAL);
    cr_assert_eq(paper.map->server[server].granted_total, 1);
}

Test(admission, nobody_passes_the_queue)
{
    unsigned server = server_with(2, 0);
    unsigned first = hold(server, 1), second = hold(server, 2);
    unsigned waiter[5];
    for (unsigned i = 0; i < 5; i++)
        waiter[i] = ask(server, 10 + i);
    give(first);
    give(second);
    assert_granted(waiter[0]);
    assert_granted(waiter[1]);
    for (unsigned i = 2; i < 5; i++) {
        assert_waits(waiter[i], PQB_OBSTACLE_ROOM);
        give(waiter[i - 2]);
        assert_granted(waiter[i]);
        cr_assert(paper_is_woken(&paper, waiter[i]));
    }
}

Test(admission, one_who_leaves_the_queue_is_passed_by)
{
    unsigned server = server_with(1, 0);
    unsigned holder = hold(server, 1), first = ask(server, 2), second = ask(server, 3);
    give(first);
    give(holder);
    cr_assert_eq(paper_state(&paper, first), PQB_CLAIM_FREE);
    assert_granted(second);
}

Test(admission, one_who_leaves_while_he_is_granted_is_passed_by)
{
    unsigned server = server_with(1, 0);
    unsigned holder = hold(server, 1), first = ask(server, 2), second = ask(server, 3);
    /* His state is GONE already, and not flagged yet. */
    struct pqb_claim_row *row = &paper.map->claim[first];
    atomic_store(&row->ctl, pqb_ctl_next(atomic_load(&row->ctl), PQB_CLAIM_GONE));
    give(holder);
    assert_granted(second);
    pqb_books_flag(paper.map, first);
    paper_visit(&paper);
    cr_assert_eq(in_use(server), 1);
}

Test(admission, a_paused_server_grants_nothing)
{
    unsigned server = server_with(5, 2);
    struct pqb_server_config config = limited(5, 2);
    unsigned holder = hold(server, 1);
    config.paused = 1;
    paper_set(&paper, server, &config);
    unsigned waiter[6];
    for (unsigned i = 0; i < 6; i++) {
        waiter[i] = ask(server, 10 + i);
        assert_waits(waiter[i], PQB_OBSTACLE_PAUSED);
    }
    give(holder);
    assert_waits(waiter[0], PQB_OBSTACLE_PAUSED);
    config.paused = 0;
    paper_set(&paper, server, &config);
    for (unsigned i = 0; i < 5; i++) {
        assert_granted(waiter[i]);
        cr_assert(paper_is_woken(&paper, waiter[i]));
    }
    assert_waits(waiter[5], PQB_OBSTACLE_ROOM);
}

Test(admission, another_server_is_not_paused_with_it)
{
    struct pqb_server_config config = limited(5, 0);
    unsigned one = paper_server(&paper, "one:5432", &config);
    unsigned two = paper_server(&paper, "two:5432", &config);
    config.paused = 1;
    paper_set(&paper, one, &config);
    assert_waits(ask(one, 1), PQB_OBSTACLE_PAUSED);
    assert_granted(ask(two, 1));
}

Test(admission, a_process_keeps_to_its_cap)
{
    unsigned server = server_with(10, 0);
    unsigned mine[3], other;
    for (unsigned i = 0; i < 3; i++)
        mine[i] = paper_ask(&paper, server, 1, "app", 2);
    other = paper_ask(&paper, server, 2, "app", 2);
    assert_granted(mine[0]);
    assert_granted(mine[1]);
    assert_waits(mine[2], PQB_OBSTACLE_PROCESS_CAP);
    assert_granted(other); /* nobody is held up by him */
    give(mine[0]);
    assert_granted(mine[2]);
}

Test(admission, caps_are_per_claim)
{
    unsigned server = server_with(10, 0);
    unsigned uncapped = paper_ask(&paper, server, 1, "app", 0);
    unsigned capped = paper_ask(&paper, server, 1, "app", 1);
    assert_granted(uncapped);
    assert_waits(capped, PQB_OBSTACLE_PROCESS_CAP);
    assert_granted(paper_ask(&paper, server, 1, "app", 2));
}

Test(admission, caps_are_per_server)
{
    struct pqb_server_config config = limited(5, 0);
    unsigned one = paper_server(&paper, "one:5432", &config);
    unsigned two = paper_server(&paper, "two:5432", &config);
    assert_granted(paper_ask(&paper, one, 1, "app", 1));
    assert_granted(paper_ask(&paper, two, 1, "app", 1));
    assert_waits(paper_ask(&paper, one, 1, "app", 1), PQB_OBSTACLE_PROCESS_CAP);
}

Test(admission, a_drainer_is_not_held_by_its_process)
{
    unsigned server = server_with(10, 0);
    unsigned first = paper_ask(&paper, server, 1, "app", 1);
    paper_move(&paper, first, PQB_CLAIM_CONNECTING);
    paper_move(&paper, first, PQB_CLAIM_OPEN);
    unsigned second = paper_ask(&paper, server, 1, "app", 1);
    assert_waits(second, PQB_OBSTACLE_PROCESS_CAP);
    paper_move(&paper, first, PQB_CLAIM_DRAINING);
    assert_granted(second);
    cr_assert_eq(in_use(server), 2);
}

Test(admission, an_application_keeps_to_its_limit)
{
    unsigned server = server_with(10, 0);
    paper_app(&paper, server, "web", 2, 0);
    unsigned first = paper_ask(&paper, server, 1, "web", 0);
    unsigned second = paper_ask(&paper, server, 2, "web", 0);
    unsigned third = paper_ask(&paper, server, 3, "web", 0);
    unsigned bot = paper_ask(&paper, server, 4, "bot", 0);
    assert_granted(first);
    assert_granted(second);
    assert_waits(third, PQB_OBSTACLE_APP_LIMIT);
    assert_granted(bot);
    give(bot);
    assert_waits(third, PQB_OBSTACLE_APP_LIMIT);
    give(first);
    assert_granted(third);
}

Test(admission, an_applications_limit_raised_wakes)
{
    unsigned server = server_with(10, 0);
    paper_app(&paper, server, "web", 1, 0);
    paper_ask(&paper, server, 1, "web", 0);
    unsigned second = paper_ask(&paper, server, 2, "web", 0);
    assert_waits(second, PQB_OBSTACLE_APP_LIMIT);
    paper_app(&paper, server, "web", 2, 0);
    assert_granted(second);
    cr_assert(paper_is_woken(&paper, second));
}

Test(admission, an_applications_limit_counts_drainers_but_not_slack)
{
    unsigned server = server_with(10, 0);
    struct pqb_server_config config = limited(10, 0);
    paper_app(&paper, server, "web", 1, 0);
    unsigned first = paper_hold(&paper, server, 1, "web");
    unsigned second = paper_ask(&paper, server, 2, "web", 0);
    paper_move(&paper, first, PQB_CLAIM_DRAINING);
    assert_waits(second, PQB_OBSTACLE_APP_LIMIT);
    config.slack = 1;
    paper_set(&paper, server, &config);
    assert_granted(second);
}

Test(admission, logins_damp_a_storm)
{
    unsigned server = server_with(10, 0);
    struct pqb_server_config config = limited(10, 0);
    config.logins = 2;
    paper_set(&paper, server, &config);
    unsigned claim[5];
    for (unsigned i = 0; i < 5; i++)
        claim[i] = ask(server, 1 + i);
    assert_granted(claim[0]);
    assert_granted(claim[1]);
    assert_waits(claim[2], PQB_OBSTACLE_LOGINS);
    paper_move(&paper, claim[0], PQB_CLAIM_CONNECTING); /* still logging in */
    assert_waits(claim[2], PQB_OBSTACLE_LOGINS);
    paper_move(&paper, claim[0], PQB_CLAIM_OPEN);
    assert_granted(claim[2]);
    give(claim[1]); /* gave up while it connected */
    assert_granted(claim[3]);
    assert_waits(claim[4], PQB_OBSTACLE_LOGINS);
    config.logins = 3;
    paper_set(&paper, server, &config);
    assert_granted(claim[4]);
    config.logins = 0;
    paper_set(&paper, server, &config);
    assert_granted(ask(server, 9));
}

/* ---- the two pools ---- */

Test(admission, the_reserve_is_for_those_who_hold_nothing)
{
    unsigned server = server_with(10, 2);
    for (unsigned i = 0; i < 8; i++)
        hold(server, 1);
    unsigned ninth = ask(server, 1), newcomer = ask(server, 2), again = ask(server, 2);
    assert_waits(ninth, PQB_OBSTACLE_ROOM);
    assert_granted(newcomer);
    cr_assert_eq(paper_pool(&paper, newcomer), PQB_BOOKED_RESERVE);
    assert_waits(again, PQB_OBSTACLE_ROOM);
    assert_granted(ask(server, 3));
    assert_waits(ask(server, 4), PQB_OBSTACLE_ROOM);
    cr_assert_eq(in_use(server), 10);
}

Test(admission, general_comes_first_for_a_newcomer)
{
    unsigned server = server_with(10, 2);
    for (unsigned i = 0; i < 8; i++)
        cr_assert_eq(paper_pool(&paper, ask(server, 1 + i)), PQB_BOOKED_GENERAL);
    cr_assert_eq(paper_pool(&paper, ask(server, 20)), PQB_BOOKED_RESERVE);
}

Test(admission, of_many_claims_of_a_newcomer_one_comes_from_the_reserve)
{
    unsigned server = server_with(4, 2);
    struct pqb_server_config config = limited(4, 2);
    hold(server, 1);
    hold(server, 1);
    config.paused = 1;
    paper_set(&paper, server, &config);
    unsigned first = ask(server, 2), second = ask(server, 2), third = ask(server, 3);
    config.paused = 0;
    paper_set(&paper, server, &config);
    assert_granted(first);
    assert_waits(second, PQB_OBSTACLE_ROOM);
    assert_granted(third); /* eligibility is looked at anew after each grant */
}

Test(admission, a_reserve_claim_is_charged_to_general_when_that_has_room)
{
    unsigned server = server_with(4, 1);
    unsigned pool[3];
    for (unsigned i = 0; i < 3; i++)
        pool[i] = hold(server, 1);
    unsigned newcomer = hold(server, 2);
    cr_assert_eq(paper_pool(&paper, newcomer), PQB_BOOKED_RESERVE);
    give(pool[0]);
    cr_assert_eq(paper_pool(&paper, newcomer), PQB_BOOKED_GENERAL);
    assert_granted(ask(server, 3)); /* so the reserve is there for the next newcomer */
}

Test(admission, an_older_waiter_has_generals_room_before_the_reserve_is_charged_to_it)
{
    unsigned server = server_with(4, 1);
    unsigned pool[3];
    for (unsigned i = 0; i < 3; i++)
        pool[i] = hold(server, 1);
    unsigned newcomer = hold(server, 2), fourth = ask(server, 1);
    give(pool[0]);
    assert_granted(fourth);
    cr_assert_eq(paper_pool(&paper, fourth), PQB_BOOKED_GENERAL);
    cr_assert_eq(paper_pool(&paper, newcomer), PQB_BOOKED_RESERVE);
}

Test(admission, what_a_paused_waiter_wants_is_not_charged_to_the_reserve)
{
    unsigned server = server_with(4, 1);
    struct pqb_server_config config = limited(4, 1);
    unsigned pool[3];
    for (unsigned i = 0; i < 3; i++)
        pool[i] = hold(server, 1);
    unsigned newcomer = hold(server, 2), fourth = ask(server, 1);
    config.paused = 1;
    paper_set(&paper, server, &config);
    give(pool[0]);
    cr_assert_eq(paper_pool(&paper, newcomer), PQB_BOOKED_RESERVE);
    config.paused = 0;
    paper_set(&paper, server, &config);
    assert_granted(fourth);
}

/* With a damper there is always somebody logging in when general has room. */
Test(admission, the_damper_does_not_give_generals_room_to_newcomers)
{
    unsigned server = server_with(4, 1);
    struct pqb_server_config config = limited(4, 1);
    config.logins = 1;
    paper_set(&paper, server, &config);
    unsigned pool[3];
    for (unsigned i = 0; i < 3; i++)
        pool[i] = hold(server, 1);
    unsigned newcomer = ask(server, 2); /* logging in, from the reserve */
    unsigned fourth = ask(server, 1);
    give(pool[0]);
    assert_waits(fourth, PQB_OBSTACLE_LOGINS);
    unsigned next = ask(server, 3);
    paper_move(&paper, newcomer, PQB_CLAIM_CONNECTING);
    paper_move(&paper, newcomer, PQB_CLAIM_OPEN);
    assert_granted(fourth);
    assert_waits(next, PQB_OBSTACLE_LOGINS);
}

Test(admission, a_capped_waiter_does_not_keep_the_reserve_from_being_freed)
{
    unsigned server = server_with(4, 1);
    unsigned pool[3];
    for (unsigned i = 0; i < 3; i++)
        pool[i] = hold(server, 1);
    unsigned newcomer = hold(server, 2);
    unsigned capped = paper_ask(&paper, server, 2, "app", 1);
    assert_waits(capped, PQB_OBSTACLE_PROCESS_CAP);
    give(pool[0]);
    cr_assert_eq(paper_pool(&paper, newcomer), PQB_BOOKED_GENERAL);
}

/* prototypes/admission_simulation.py: 40 short-lived processes in a closed loop, and a pool that
 * holds one connection and asks for a second. */
Test(admission, a_second_connection_is_not_starved_by_newcomers)
{
    enum { WORKERS = 40 };
    unsigned server = server_with(20, 2), worker[WORKERS], wanted = PQB_NIL;
    uint64_t process = 100, served = 0, before = 0;
    uint32_t random = 12345;
    hold(server, 1);
    for (unsigned i = 0; i < WORKERS; i++)
        worker[i] = ask(server, process++);
    for (unsigned step = 0; step < 20000; step++) {
        random = random * 1664525u + 1013904223u;
        unsigned i = random >> 8;
        i %= WORKERS;
        if (paper_is_waiting(&paper, worker[i]))
            continue;
        give(worker[i]);
        served++;
        worker[i] = ask(server, process++);
        if (step > 1000 && wanted == PQB_NIL) {
            wanted = ask(server, 1);
            before = served;
        }
        if (wanted != PQB_NIL && paper_is_granted(&paper, wanted))
            break;
    }
    assert_granted(wanted);
    /* All those before it in the queue, no more: each of them was served once. */
    cr_assert_leq(served - before, WORKERS);
    cr_assert_leq(in_use(server), 20);
}

/* ---- minimums ---- */

Test(admission, minimums_are_carved_out_of_general)
{
    unsigned server = server_with(10, 0);
    paper_app(&paper, server, "bot", PQB_UNLIMITED, 4);
    unsigned web[7], bot[5];
    for (unsigned i = 0; i < 7; i++)
        web[i] = paper_ask(&paper, server, 1, "web", 0);
    assert_granted(web[5]);
    assert_waits(web[6], PQB_OBSTACLE_ROOM);
    for (unsigned i = 0; i < 5; i++)
        bot[i] = paper_ask(&paper, server, 2, "bot", 0);
    assert_granted(bot[3]);
    assert_waits(bot[4], PQB_OBSTACLE_ROOM);
    cr_assert_eq(in_use(server), 10);
    give(bot[0]); /* its place is kept for bot, though web has waited longer */
    assert_waits(web[6], PQB_OBSTACLE_ROOM);
    assert_granted(bot[4]);
    give(web[0]);
    assert_granted(web[6]);
}

Test(admission, minimum_and_reserve_leave_nothing_free_for_ever)
{
    unsigned server = server_with(10, 2);
    paper_app(&paper, server, "bot", PQB_UNLIMITED, 4);
    unsigned web = 0, bot = 0;
    for (unsigned i = 0; i < 10; i++) /* each a newcomer */
        web += (unsigned)paper_is_granted(&paper, paper_ask(&paper, server, 100 + i, "web", 0));
    cr_assert_eq(web, 6);
    for (unsigned i = 0; i < 6; i++)
        bot += (unsigned)paper_is_granted(&paper, paper_ask(&paper, server, 1, "bot", 0));
    cr_assert_eq(bot, 4);
    cr_assert_eq(in_use(server), 10);
}

Test(admission, a_minimum_raised_under_load_is_kept_from_then_on)
{
    unsigned server = server_with(4, 0);
    unsigned web[4];
    for (unsigned i = 0; i < 4; i++)
        web[i] = paper_hold(&paper, server, 1, "web");
    paper_app(&paper, server, "bot", PQB_UNLIMITED, 2);
    unsigned fifth = paper_ask(&paper, server, 1, "web", 0);
    give(web[0]);
    give(web[1]);
    assert_waits(fifth, PQB_OBSTACLE_ROOM);
    give(web[2]);
    assert_granted(fifth);
    paper_app(&paper, server, "bot", PQB_UNLIMITED, 0);
    assert_granted(paper_ask(&paper, server, 1, "web", 0));
}

Test(admission, a_reserve_claim_does_not_count_towards_the_minimum)
{
    unsigned server = server_with(4, 1);
    for (unsigned i = 0; i < 3; i++)
        hold(server, 1);
    paper_app(&paper, server, "bot", PQB_UNLIMITED, 1);
    unsigned bot = paper_ask(&paper, server, 2, "bot", 0);
    cr_assert_eq(paper_pool(&paper, bot), PQB_BOOKED_RESERVE);
    cr_assert_eq(paper.map->server[server].unmet, 1);
}

/* ---- live changes ---- */

Test(admission, a_lowered_limit_is_honoured_before_anything_is_granted)
{
    unsigned server = server_with(10, 2);
    struct pqb_server_config config = limited(4, 2);
    unsigned held[10];
    for (unsigned i = 0; i < 8; i++)
        held[i] = hold(server, 1);
    held[8] = hold(server, 2);
    held[9] = hold(server, 3);
    cr_assert_eq(paper_pool(&paper, held[8]), PQB_BOOKED_RESERVE);
    paper_set(&paper, server, &config);
    unsigned newcomer = ask(server, 4);
    for (unsigned i = 0; i < 6; i++) {
        give(held[i]);
        assert_waits(newcomer, PQB_OBSTACLE_ROOM);
    }
    cr_assert_eq(in_use(server), 4);
    give(held[6]);
    assert_granted(newcomer);
    cr_assert_eq(in_use(server), 4);
}

Test(admission, a_raised_limit_wakes)
{
    unsigned server = server_with(1, 0);
    struct pqb_server_config config = limited(3, 0);
    hold(server, 1);
    unsigned waiter[3];
    for (unsigned i = 0; i < 3; i++)
        waiter[i] = ask(server, 2 + i);
    paper_set(&paper, server, &config);
    assert_granted(waiter[0]);
    assert_granted(waiter[1]);
    assert_waits(waiter[2], PQB_OBSTACLE_ROOM);
    cr_assert(paper_is_woken(&paper, waiter[0]));
    cr_assert(paper_is_woken(&paper, waiter[1]));
    config.limit = PQB_UNLIMITED;
    paper_set(&paper, server, &config);
    assert_granted(waiter[2]);
}

Test(admission, the_reserve_can_be_changed)
{
    unsigned server = server_with(4, 2);
    struct pqb_server_config config = limited(4, 0);
    hold(server, 1);
    hold(server, 1);
    unsigned third = ask(server, 1);
    assert_waits(third, PQB_OBSTACLE_ROOM);
    paper_set(&paper, server, &config);
    assert_granted(third);
    config.reserve = 1;
    paper_set(&paper, server, &config);
    assert_waits(ask(server, 1), PQB_OBSTACLE_ROOM);
    assert_granted(ask(server, 2));
    cr_assert_eq(in_use(server), 4);
}

Test(admission, less_reserve_than_is_charged_to_it_stays_within_the_limit)
{
    unsigned server = server_with(4, 2);
    struct pqb_server_config config = limited(4, 1);
    unsigned pool[2];
    pool[0] = hold(server, 1);
    pool[1] = hold(server, 1);
    hold(server, 2);
    hold(server, 3);
    paper_set(&paper, server, &config);
    unsigned fifth = ask(server, 1);
    assert_waits(fifth, PQB_OBSTACLE_ROOM);
    cr_assert_eq(in_use(server), 4);
    give(pool[0]);
    assert_granted(fifth);
    cr_assert_eq(in_use(server), 4);
}

/* ---- draining ---- */

Test(admission, a_drainer_is_counted_until_it_is_gone)
{
    unsigned server = server_with(1, 0);
    unsigned holder = hold(server, 1), waiter = ask(server, 2);
    paper_move(&paper, holder, PQB_CLAIM_DRAINING);
    assert_waits(waiter, PQB_OBSTACLE_ROOM);
    cr_assert_eq(paper.map->server[server].draining, 1);
    cr_assert(paper_is_woken(&paper, waiter)); /* it must watch this drainer from now on */
    paper_move(&paper, holder, PQB_CLAIM_GONE);
    assert_granted(waiter);
}

Test(admission, so_many_drainers_as_slack_block_nobody)
{
    unsigned server = server_with(3, 0);
    struct pqb_server_config config = limited(3, 0);
    config.slack = 2;
    paper_set(&paper, server, &config);
    unsigned held[3], waiter[3];
    for (unsigned i = 0; i < 3; i++)
        held[i] = hold(server, 1);
    for (unsigned i = 0; i < 3; i++)
        waiter[i] = ask(server, 2);
    for (unsigned i = 0; i < 3; i++)
        paper_move(&paper, held[i], PQB_CLAIM_DRAINING);
    assert_granted(waiter[0]);
    assert_granted(waiter[1]);
    assert_waits(waiter[2], PQB_OBSTACLE_ROOM);
    cr_assert_eq(in_use(server), 3);
    cr_assert_eq(paper.map->server[server].slack, 2);
    /* One of those in slack goes: the third takes its place there. */
    paper_move(&paper, held[0], PQB_CLAIM_GONE);
    assert_granted(waiter[2]);
    cr_assert_eq(paper_pool(&paper, held[2]), PQB_BOOKED_SLACK);
}

Test(admission, less_slack_makes_drainers_block_again)
{
    unsigned server = server_with(2, 0);
    struct pqb_server_config config = limited(2, 0);
    config.slack = 2;
    paper_set(&paper, server, &config);
    unsigned first = hold(server, 1), second = hold(server, 1);
    paper_move(&paper, first, PQB_CLAIM_DRAINING);
    paper_move(&paper, second, PQB_CLAIM_DRAINING);
    cr_assert_eq(in_use(server), 0);
    config.slack = 1;
    paper_set(&paper, server, &config);
    cr_assert_eq(in_use(server), 1);
    unsigned third = ask(server, 2), fourth = ask(server, 2);
    assert_granted(third);
    assert_waits(fourth, PQB_OBSTACLE_ROOM);
    config.slack = 5;
    paper_set(&paper, server, &config);
    assert_granted(fourth);
    config.slack = 0;
    paper_set(&paper, server, &config);
    cr_assert_eq(in_use(server), 4); /* over, for as long as the server needs */
    assert_waits(ask(server, 3), PQB_OBSTACLE_ROOM);
}

Test(admission, a_reserve_claim_that_drains_frees_the_reserve_through_slack)
{
    unsigned server = server_with(3, 1);
    struct pqb_server_config config = limited(3, 1);
    config.slack = 1;
    paper_set(&paper, server, &config);
    hold(server, 1);
    hold(server, 1);
    unsigned newcomer = hold(server, 2);
    cr_assert_eq(paper_pool(&paper, newcomer), PQB_BOOKED_RESERVE);
    paper_move(&paper, newcomer, PQB_CLAIM_DRAINING);
    cr_assert_eq(paper_pool(&paper, newcomer), PQB_BOOKED_SLACK);
    assert_granted(ask(server, 3));
}

/* ---- grants taken back ---- */

Test(admission, a_lying_grant_goes_to_the_next)
{
    unsigned server = server_with(1, 0);
    unsigned holder = hold(server, 1), sleeper = ask(server, 2), next = ask(server, 3);
    give(holder);
    assert_granted(sleeper);
    paper_take_back(&paper, sleeper);
    assert_waits(sleeper, PQB_OBSTACLE_SKIPPED);
    assert_granted(next);
    cr_assert_eq(in_use(server), 1);
}

Test(admission, who_was_passed_over_keeps_its_ticket)
{
    unsigned server = server_with(1, 0);
    unsigned sleeper = ask(server, 2), next = ask(server, 3), last = ask(server, 4);
    uint64_t ticket = paper.map->claim[sleeper].ticket;
    paper_take_back(&paper, sleeper);
    assert_granted(next);
    paper_show_life(&paper, sleeper);
    assert_waits(sleeper, PQB_OBSTACLE_ROOM);
    cr_assert_eq(paper.map->claim[sleeper].ticket, ticket);
    give(next);
    assert_granted(sleeper);
    assert_waits(last, PQB_OBSTACLE_ROOM);
}

Test(admission, who_shows_life_is_granted_what_is_free)
{
    unsigned server = server_with(1, 0);
    unsigned sleeper = ask(server, 2), next = ask(server, 3);
    paper_take_back(&paper, sleeper);
    give(next);
    assert_waits(sleeper, PQB_OBSTACLE_SKIPPED);
    paper_show_life(&paper, sleeper);
    assert_granted(sleeper);
}

Test(admission, what_was_taken_up_is_not_taken_back)
{
    unsigned server = server_with(1, 0);
    unsigned holder = ask(server, 1);
    ask(server, 2);
    paper_move(&paper, holder, PQB_CLAIM_CONNECTING);
    paper_take_back(&paper, holder);
    cr_assert_eq(paper_state(&paper, holder), PQB_CLAIM_CONNECTING);
}

Test(admission, a_reserve_grant_is_taken_back_too)
{
    unsigned server = server_with(2, 1);
    hold(server, 1);
    unsigned sleeper = ask(server, 2), next = ask(server, 3);
    cr_assert_eq(paper_pool(&paper, sleeper), PQB_BOOKED_RESERVE);
    paper_take_back(&paper, sleeper);
    assert_granted(next);
    cr_assert_eq(paper_pool(&paper, next), PQB_BOOKED_RESERVE);
}

/* Stopped processes at the head must not be the ones who are to keep the queue moving. */
Test(admission, sleepers_are_not_the_ones_who_tick)
{
    unsigned server = server_with(1, 0);
    for (unsigned i = 0; i < PQB_HOT + 2; i++) {
        unsigned sleeper = ask(server, 10 + i);
        paper_take_back(&paper, sleeper);
        assert_waits(sleeper, PQB_OBSTACLE_SKIPPED);
    }
    hold(server, 1);
    unsigned live = ask(server, 2);
    cr_assert_eq(atomic_load(&paper.map->claim[live].hot), 1);
}

/* ---- combinations ---- */

Test(admission, a_held_back_head_blocks_nobody)
{
    unsigned server = server_with(10, 0);
    paper_app(&paper, server, "web", 1, 0);
    unsigned capped[2], of_app[2], sleeper;
    for (unsigned i = 0; i < 2; i++)
        capped[i] = paper_ask(&paper, server, 1, "app", 1);
    for (unsigned i = 0; i < 2; i++)
        of_app[i] = paper_ask(&paper, server, 2 + i, "web", 0);
    sleeper = ask(server, 5);
    paper_take_back(&paper, sleeper);
    assert_waits(capped[1], PQB_OBSTACLE_PROCESS_CAP);
    assert_waits(of_app[1], PQB_OBSTACLE_APP_LIMIT);
    assert_waits(sleeper, PQB_OBSTACLE_SKIPPED);
    assert_granted(ask(server, 6));
}

Test(admission, a_minimum_does_not_lift_a_cap)
{
    unsigned server = server_with(4, 0);
    paper_app(&paper, server, "bot", 3, 3);
    assert_granted(paper_ask(&paper, server, 1, "bot", 1));
    assert_waits(paper_ask(&paper, server, 1, "bot", 1), PQB_OBSTACLE_PROCESS_CAP);
    for (uint64_t i = 2; i < 4; i++)
        assert_granted(paper_ask(&paper, server, i, "bot", 1));
    assert_waits(paper_ask(&paper, server, 9, "bot", 1), PQB_OBSTACLE_APP_LIMIT);
}

Test(admission, the_damper_holds_the_reserve_too)
{
    unsigned server = server_with(3, 1);
    struct pqb_server_config config = limited(3, 1);
    config.logins = 2;
    paper_set(&paper, server, &config);
    ask(server, 1);
    ask(server, 1);
    assert_waits(ask(server, 2), PQB_OBSTACLE_LOGINS);
}

Test(admission, an_unlimited_server_grants_everything)
{
    unsigned server = server_with(PQB_UNLIMITED, 0);
    for (unsigned i = 0; i < 2000; i++)
        assert_granted(ask(server, 1 + i % 7));
    cr_assert_eq(in_use(server), 2000);
}

Test(admission, an_unlimited_server_keeps_caps_and_limits)
{
    unsigned server = server_with(PQB_UNLIMITED, 0);
    paper_app(&paper, server, "web", 1, 0);
    paper_ask(&paper, server, 1, "web", 0);
    assert_waits(paper_ask(&paper, server, 2, "web", 0), PQB_OBSTACLE_APP_LIMIT);
    paper_ask(&paper, server, 3, "app", 1);
    assert_waits(paper_ask(&paper, server, 3, "app", 1), PQB_OBSTACLE_PROCESS_CAP);
}

Test(admission, a_full_table_of_applications_is_no_obstacle)
{
    unsigned server = server_with(3, 0);
    char label[32];
    for (unsigned i = 0; i < PQB_APPS; i++) {
        snprintf(label, sizeof label, "app%u", i);
        paper.map->app[pqb_registry_app_make(paper.map, server, label, PQB_NIL)].limit = 1000;
    }
    unsigned nameless[4];
    for (unsigned i = 0; i < 4; i++) {
        nameless[i] = paper_ask(&paper, server, 1 + i, "one too many", 0);
        cr_assert_eq(paper.map->claim[nameless[i]].app, PQB_NIL);
    }
    assert_granted(nameless[2]);
    assert_waits(nameless[3], PQB_OBSTACLE_ROOM);
    give(nameless[0]);
    assert_granted(nameless[3]);
}

Test(admission, what_does_not_fit_in_one_visit_is_said_to_be_unserved)
{
    enum { MANY = 3 * PQB_BOOKS_WAKES };
    unsigned server = server_with(MANY, 0), waiter[MANY];
    struct pqb_server_config config = limited(MANY, 0);
    config.paused = 1;
    paper_set(&paper, server, &config);
    for (unsigned i = 0; i < MANY; i++)
        waiter[i] = ask(server, 1 + i);
    config.paused = 0;
    paper_set(&paper, server, &config);
    unsigned visits = 1;
    for (; paper.books.unserved; visits++) {
        cr_assert_eq(paper.books.unserved, 1ull << server);
        cr_assert_lt(visits, 10);
        for (unsigned i = 0; i < MANY; i++)
            cr_assert(paper_is_waiting(&paper, waiter[i]) || paper_is_woken(&paper, waiter[i]) ||
                      visits > 1);
        paper_visit(&paper);
        pqb_admission_dispatch(&paper.books, server);
    }
    cr_assert_gt(visits, 2);
    for (unsigned i = 0; i < MANY; i++)
        assert_granted(waiter[i]);
}

Test(admission, the_first_of_a_queue_tick_often)
{
    unsigned server = server_with(1, 0);
    unsigned holder = hold(server, 1), waiter[PQB_HOT + 2];
    for (unsigned i = 0; i < PQB_HOT + 2; i++) {
        waiter[i] = ask(server, 10 + i);
        cr_assert_eq(atomic_load(&paper.map->claim[waiter[i]].hot), i < PQB_HOT ? i + 1 : 0);
    }
    give(holder);
    assert_granted(waiter[0]);
    cr_assert_eq(atomic_load(&paper.map->claim[waiter[1]].hot), 1);
    cr_assert_eq(atomic_load(&paper.map->claim[waiter[PQB_HOT]].hot), PQB_HOT);
}

/* Whoever of the first few has not ticked lately may be stopped or dead: another one is told to. */
Test(admission, one_of_the_first_is_told_to_tick_where_nobody_does)
{
    unsigned server = server_with(1, 0), waiter[PQB_HOT + 2];
    hold(server, 1);
    for (unsigned i = 0; i < PQB_HOT + 2; i++)
        waiter[i] = ask(server, 10 + i);
    for (unsigned i = 0; i < PQB_HOT + 2; i++)
        atomic_store(&paper.map->claim[waiter[i]].tick, 0);
    atomic_store(&paper.map->claim[waiter[0]].tick, pqb_admission_tick(paper.books.now));
    for (unsigned told = PQB_HOT; told--;) {
        paper_visit(&paper);
        pqb_admission_dispatch(&paper.books, server);
        for (unsigned i = 0; i < PQB_HOT + 2; i++)
            cr_assert(!paper_is_woken(&paper, waiter[i]), "%u", i);
        paper.books.now += 100000000;
        paper_visit(&paper);
        pqb_admission_dispatch(&paper.books, server);
        for (unsigned i = 0; i < PQB_HOT + 2; i++)
            cr_assert_eq(paper_is_woken(&paper, waiter[i]), i == told && i, "%u of %u", i, told);
    }
}

Test(admission, waits_and_peaks_are_counted)
{
    unsigned server = server_with(2, 0);
    unsigned holder = hold(server, 1);
    hold(server, 1);
    unsigned waiter = ask(server, 2);
    uint64_t asked = paper.books.now;
    paper.books.now += 7000000; /* 7 ms */
    give(holder);
    const struct pqb_server_row *row = &paper.map->server[server];
    cr_assert_eq(row->peak, 2);
    cr_assert_eq(row->granted_total, 3);
    cr_assert_eq(paper.map->claim[waiter].waited, paper.books.now - asked);
    cr_assert_eq(row->wait_bucket[0], 2);
    cr_assert_eq(row->wait_bucket[2], 1); /* 5 to 10 ms */
    cr_assert_eq(config_of(server)->limit, 2);
}
