/* wish.c: who is asked to give way, for whom, and when nobody is. */
#include "ledger/wish.h"
#include "ledger/admission.h"
#include "ledger/os.h"
#include "ledger/rebuild.h"
#include "support/draw.h"
#include "support/paper.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AFTER 30000u /* ms */

static struct paper paper;

/* Ahead of the clock: who found nobody rests by that one, and these tests need not wait. */
static void open_paper(void)
{
    paper_open(&paper, PQB_CLAIMS);
    paper.books.now = pqb_now() + 3600 * PQB_SECOND;
}

static void close_paper(void)
{
    paper_check(&paper);
    paper_close(&paper);
}

TestSuite(wish, .init = open_paper, .fini = close_paper, .timeout = 60);

static unsigned server_with(uint32_t limit, uint32_t reserve)
{
    struct pqb_server_config config = {.limit = limit, .reserve = reserve, .drain_ms = 200};
    return paper_server(&paper, "localhost:5432", &config);
}

static struct pqb_claim_row *row_of(unsigned index)
{
    return &paper.map->claim[index];
}

static void pass(uint64_t ms)
{
    paper.books.now += ms * PQB_MS;
}

/* From now on it is idle. */
static void rest_from_now(unsigned index)
{
    atomic_store(&row_of(index)->idle_since, pqb_wish_clock(paper.books.now));
    atomic_store(&row_of(index)->session, PQB_SESSION_IDLE);
}

static void offer(unsigned index)
{
    rest_from_now(index);
    atomic_store(&row_of(index)->yield_after, AFTER);
    atomic_store(&paper.map->server[row_of(index)->server].yields, 1);
}

static unsigned hold(unsigned server, uint64_t process, const char *app)
{
    unsigned index = paper_hold(&paper, server, process, app);
    offer(index);
    return index;
}

static unsigned ask(unsigned server, uint64_t process)
{
    return paper_ask(&paper, server, process, "app", 0);
}

static void give(unsigned index)
{
    paper_move(&paper, index, PQB_CLAIM_GONE);
}

/* A visit, as a waiter's tick makes it; who is asked for after it. */
static unsigned look(unsigned server)
{
    paper_visit(&paper);
    pqb_admission_dispatch(&paper.books, server);
    pqb_wish_look(&paper.books);
    cr_assert(!paper.books.corrupt);
    return pqb_wish_claim(paper.map, atomic_load(&paper.map->server[server].asked), PQB_CLAIM_OPEN);
}

static unsigned asked_for(unsigned server)
{
    return pqb_wish_claim(paper.map, atomic_load(&paper.map->server[server].asked_for),
                          PQB_CLAIM_WAITING);
}

/* The holder says no. */
static void decline(unsigned server)
{
    atomic_store(&paper.map->server[server].asked, 0);
}

/* ---- whether ---- */

Test(wish, asks_for_an_idle_connection_while_somebody_waits)
{
    unsigned server = server_with(2, 0), first = hold(server, 1, "app");
    hold(server, 1, "app");
    pass(AFTER + 1000);
    rest_from_now(paper_index(1));
    cr_assert_eq(look(server), PQB_NIL, "nobody waits");
    unsigned waiter = ask(server, 2);
    cr_assert_eq(look(server), first);
    cr_assert_eq(asked_for(server), waiter);
    cr_assert(paper_is_woken(&paper, first));
    /* One at a time, and rung once. */
    cr_assert_eq(look(server), first);
    cr_assert(!paper_is_woken(&paper, first));
    give(first);
    cr_assert(paper_is_granted(&paper, waiter));
    cr_assert_eq(look(server), PQB_NIL);
}

Test(wish, asks_nobody_before_the_time)
{
    unsigned server = server_with(2, 0);
    hold(server, 1, "app");
    hold(server, 1, "app");
    ask(server, 2);
    pass(AFTER - 1);
    cr_assert_eq(look(server), PQB_NIL);
    pass(1);
    cr_assert_neq(look(server), PQB_NIL);
}

Test(wish, asks_nobody_who_does_not_offer)
{
    unsigned server = server_with(2, 0), first = hold(server, 1, "app");
    unsigned second = hold(server, 1, "app");
    ask(server, 2);
    pass(AFTER);
    atomic_store(&row_of(first)->yield_after, 0);
    atomic_store(&row_of(second)->session, PQB_SESSION_UNTOLD);
    cr_assert_eq(look(server), PQB_NIL);
    for (unsigned state = PQB_SESSION_UNSEEN; state < 256; state++) {
        atomic_store(&row_of(second)->session, (uint8_t)state);
        cr_assert_eq(look(server), PQB_NIL, "%u", state);
    }
    /* It was at work when its holder was last asked, and may have become idle right after. */
    for (unsigned state = PQB_SESSION_ACTIVE; state <= PQB_SESSION_IDLE; state++) {
        atomic_store(&row_of(second)->session, (uint8_t)state);
        cr_assert_eq(look(server), second, "%u", state);
        decline(server);
    }
}

Test(wish, asks_nobody_while_the_server_is_paused)
{
    unsigned server = server_with(2, 0);
    hold(server, 1, "app");
    hold(server, 1, "app");
    ask(server, 2);
    struct pqb_server_config config = paper.map->server[server].config;
    config.paused = 1;
    paper_set(&paper, server, &config);
    pass(AFTER);
    cr_assert_eq(look(server), PQB_NIL);
    config.paused = 0;
    paper_set(&paper, server, &config);
    cr_assert_neq(look(server), PQB_NIL);
}

Test(wish, never_takes_a_process_its_only_connection)
{
    unsigned server = server_with(3, 0), first = hold(server, 1, "app");
    hold(server, 2, "app");
    hold(server, 3, "app");
    ask(server, 4);
    pass(AFTER);
    cr_assert_eq(look(server), PQB_NIL);
    /* Nor one beside another that is not connected yet, and may never be. */
    struct pqb_server_config config = paper.map->server[server].config;
    config.limit = 5;
    paper_set(&paper, server, &config);
    unsigned second = ask(server, 1);
    ask(server, 5);
    pass(1);
    for (enum pqb_claim_state state = PQB_CLAIM_GRANTED; state < PQB_CLAIM_OPEN; state++) {
        paper_move(&paper, second, state);
        cr_assert_eq(look(server), PQB_NIL);
    }
    paper_move(&paper, second, PQB_CLAIM_OPEN);
    cr_assert_eq(look(server), first);
}

/* Another server's are no use to it. */
Test(wish, a_connection_to_another_server_does_not_count)
{
    unsigned server = server_with(1, 0), other;
    struct pqb_server_config config = {.limit = 2};
    other = paper_server(&paper, "other:5432", &config);
    hold(server, 1, "app");
    hold(other, 1, "app");
    hold(other, 1, "app");
    ask(server, 2);
    pass(AFTER);
    cr_assert_eq(look(server), PQB_NIL);
    cr_assert_eq(look(other), PQB_NIL);
    ask(other, 2);
    cr_assert_neq(look(other), PQB_NIL);
}

/* ---- drainers ---- */

Test(wish, asks_nobody_while_there_is_a_drainer_for_each)
{
    unsigned server = server_with(4, 0), claim[4];
    for (unsigned i = 0; i < 4; i++)
        claim[i] = hold(server, 1, "app");
    pass(AFTER);
    paper_move(&paper, claim[0], PQB_CLAIM_DRAINING);
    ask(server, 2);
    cr_assert_eq(look(server), PQB_NIL);
    unsigned second = ask(server, 3);
    cr_assert_neq(look(server), PQB_NIL);
    cr_assert_eq(asked_for(server), second);
}

/* A server that is never without drainers must not keep those waiting whom none of them helps. */
Test(wish, a_drainer_serves_nobody_whom_his_own_cap_holds_back)
{
    unsigned server = server_with(4, 0), claim[3];
    for (unsigned i = 0; i < 3; i++)
        claim[i] = hold(server, 1, "app");
    hold(server, 2, "app");
    paper_move(&paper, claim[0], PQB_CLAIM_DRAINING);
    unsigned waiter = paper_ask(&paper, server, 1, "app", 2);
    struct pqb_server_config config = paper.map->server[server].config;
    config.limit = 5;
    paper_set(&paper, server, &config);
    pass(AFTER);
    cr_assert_eq(look(server), claim[1]);
    cr_assert_eq(asked_for(server), waiter);
}

Test(wish, a_drainer_serves_who_waits_for_its_application)
{
    unsigned server = server_with(10, 0), claim[3];
    paper_app(&paper, server, "web", 3, 0);
    for (unsigned i = 0; i < 3; i++)
        claim[i] = hold(server, 1, "web");
    unsigned other = hold(server, 2, "app");
    pass(AFTER);
    unsigned waiter = paper_ask(&paper, server, 3, "web", 0);
    paper_move(&paper, other, PQB_CLAIM_DRAINING);
    cr_assert_eq(look(server), claim[0]);
    cr_assert_eq(asked_for(server), waiter);
    decline(server);
    paper_move(&paper, claim[1], PQB_CLAIM_DRAINING);
    cr_assert_eq(look(server), PQB_NIL);
}

/* ---- who ---- */

Test(wish, asks_the_process_that_holds_most)
{
    unsigned server = server_with(5, 0);
    hold(server, 1, "app");
    hold(server, 1, "app");
    pass(5000);
    unsigned many = hold(server, 2, "app");
    pass(1);
    hold(server, 2, "app");
    hold(server, 2, "app");
    ask(server, 3);
    pass(AFTER);
    cr_assert_eq(look(server), many);
}

Test(wish, asks_the_application_that_holds_most)
{
    unsigned server = server_with(6, 0);
    hold(server, 1, "bot");
    hold(server, 1, "bot");
    pass(5000);
    unsigned web = hold(server, 2, "web");
    pass(1);
    for (uint64_t i = 0; i < 3; i++)
        hold(server, 2 + (i + 1) / 2, "web");
    ask(server, 9);
    pass(AFTER);
    cr_assert_eq(look(server), web);
}

Test(wish, asks_who_is_idle_longest)
{
    unsigned server = server_with(4, 0), claim[4];
    for (unsigned i = 0; i < 4; i++)
        claim[i] = hold(server, 1, "app");
    static const unsigned order[] = {2, 0, 3, 1};
    for (unsigned i = 0; i < 4; i++) {
        rest_from_now(claim[order[i]]);
        pass(10);
    }
    ask(server, 2);
    pass(AFTER);
    for (unsigned i = 0; i < 4; i++) {
        cr_assert_eq(look(server), claim[order[i]], "%u", i);
        rest_from_now(claim[order[i]]); /* no, it was used: the next one at once */
        decline(server);
    }
    cr_assert_eq(look(server), PQB_NIL);
}

/* ---- whom it helps ---- */

Test(wish, of_a_process_at_its_cap_its_own_is_asked_for)
{
    unsigned server = server_with(10, 0);
    for (unsigned i = 0; i < 5; i++)
        hold(server, 1, "app");
    unsigned own = hold(server, 2, "app");
    pass(1);
    hold(server, 2, "app");
    paper_ask(&paper, server, 2, "app", 2);
    pass(AFTER);
    cr_assert_eq(look(server), own);
}

Test(wish, of_an_application_at_its_limit_its_own_is_asked_for)
{
    unsigned server = server_with(10, 0);
    paper_app(&paper, server, "web", 2, 0);
    for (unsigned i = 0; i < 5; i++)
        hold(server, 1, "app");
    unsigned own = hold(server, 2, "web");
    pass(1);
    hold(server, 2, "web");
    paper_ask(&paper, server, 3, "web", 0);
    pass(AFTER);
    cr_assert_eq(look(server), own);
}

/* What it gives back would be kept for it. */
Test(wish, a_guaranteed_minimum_is_not_asked_for)
{
    unsigned server = server_with(4, 0);
    paper_app(&paper, server, "web", PQB_UNLIMITED, 2);
    for (unsigned i = 0; i < 2; i++) {
        hold(server, 1, "web");
        hold(server, 2 + i, "app");
    }
    ask(server, 9);
    pass(AFTER);
    cr_assert_eq(look(server), PQB_NIL);
    /* But for its own application, also from behind. */
    unsigned own = paper_ask(&paper, server, 8, "web", 0);
    cr_assert_neq(look(server), PQB_NIL);
    cr_assert_eq(asked_for(server), own);
}

/* The first waiter has something already, the newcomer behind him can have the reserve's. */
Test(wish, what_the_reserve_has_is_asked_for_newcomers)
{
    unsigned server = server_with(4, 1), newcomer;
    hold(server, 1, "app");
    hold(server, 2, "app");
    unsigned third = hold(server, 3, "app"), reserved = hold(server, 4, "app");
    cr_assert_eq(paper_pool(&paper, reserved), PQB_BOOKED_RESERVE);
    /* Its process gets another one, in general, and that one is at work. */
    unsigned other = ask(server, 4);
    give(third);
    paper_move(&paper, other, PQB_CLAIM_CONNECTING);
    paper_move(&paper, other, PQB_CLAIM_OPEN);
    cr_assert_eq(paper_pool(&paper, reserved), PQB_BOOKED_RESERVE);
    ask(server, 1);
    pass(AFTER);
    cr_assert_eq(look(server), PQB_NIL);
    newcomer = ask(server, 5);
    cr_assert_eq(look(server), reserved);
    cr_assert_eq(asked_for(server), newcomer);
}

/* Nobody can do anything for a hundred of one process at its cap. */
Test(wish, sees_past_those_who_cannot_be_helped)
{
    unsigned server = server_with(3, 0), first = hold(server, 1, "app");
    hold(server, 1, "app");
    hold(server, 2, "app");
    for (unsigned i = 0; i < 100; i++)
        paper_ask(&paper, server, 2, "app", 1);
    unsigned waiter = ask(server, 3);
    pass(AFTER);
    cr_assert_eq(look(server), first);
    cr_assert_eq(asked_for(server), waiter);
}

Test(wish, those_over_a_lowered_limit_are_asked_for_one_by_one)
{
    unsigned server = server_with(6, 0), given = 0;
    for (unsigned i = 0; i < 6; i++)
        hold(server, 1, "app");
    struct pqb_server_config config = paper.map->server[server].config;
    config.limit = 3;
    paper_set(&paper, server, &config);
    unsigned waiter = ask(server, 2);
    pass(AFTER);
    for (unsigned asked; (asked = look(server)) != PQB_NIL; given++)
        give(asked);
    cr_assert_eq(given, 4);
    cr_assert(paper_is_granted(&paper, waiter));
}

/* ---- who does not answer ---- */

Test(wish, who_does_not_answer_is_rung_again_and_passed_over)
{
    unsigned server = server_with(5, 0), deaf = hold(server, 1, "app");
    pass(1);
    hold(server, 1, "app");
    hold(server, 1, "app");
    unsigned other = hold(server, 2, "app");
    pass(1);
    unsigned another = hold(server, 2, "app");
    ask(server, 3);
    pass(AFTER);
    cr_assert_eq(look(server), deaf);
    pass(60);
    cr_assert_eq(look(server), deaf);
    cr_assert(paper_is_woken(&paper, deaf));
    pass(30);
    cr_assert_eq(look(server), deaf);
    cr_assert(!paper_is_woken(&paper, deaf));
    /* With all that he has: each would cost as much again. */
    pass(20);
    cr_assert_eq(look(server), other);
    decline(server);
    rest_from_now(other);
    rest_from_now(another);
    cr_assert_eq(look(server), PQB_NIL);
    pass(AFTER);
    cr_assert_neq(look(server), PQB_NIL);
}

/* Nobody to blame: the holder is asked for the next one, or left alone. */
Test(wish, who_waits_no_more_takes_his_wish_with_him)
{
    unsigned server = server_with(2, 0), first = hold(server, 1, "app");
    pass(1);
    hold(server, 1, "app");
    unsigned waiter = ask(server, 2);
    pass(AFTER);
    cr_assert_eq(look(server), first);
    give(waiter);
    pass(10);
    unsigned next = ask(server, 3);
    cr_assert_eq(look(server), first);
    cr_assert_eq(asked_for(server), next);
    cr_assert(paper_is_woken(&paper, first));
}

Test(wish, who_is_no_longer_open_was_asked_in_vain)
{
    unsigned server = server_with(3, 0), first = hold(server, 1, "app");
    pass(1);
    unsigned second = hold(server, 1, "app");
    hold(server, 1, "app");
    ask(server, 2);
    ask(server, 3);
    pass(AFTER);
    cr_assert_eq(look(server), first);
    give(first);
    cr_assert_eq(look(server), second);
}

/* Also with a clock that went back, or was never right. */
Test(wish, a_time_that_makes_no_sense_ends_the_asking)
{
    unsigned server = server_with(2, 0);
    hold(server, 1, "app");
    hold(server, 1, "app");
    ask(server, 2);
    pass(AFTER);
    cr_assert_neq(look(server), PQB_NIL);
    paper.map->server[server].asked_at = UINT64_MAX;
    cr_assert_eq(look(server), PQB_NIL);
    pass(AFTER);
    paper.map->server[server].ask_next = UINT64_MAX;
    cr_assert_neq(look(server), PQB_NIL);
}

Test(wish, rests_after_it_found_nobody)
{
    unsigned server = server_with(2, 0);
    paper.books.now = pqb_now();
    hold(server, 1, "app");
    hold(server, 1, "app");
    ask(server, 2);
    cr_assert_eq(look(server), PQB_NIL);
    uint64_t next = paper.map->server[server].ask_next;
    cr_assert_gt(next, paper.books.now);
    atomic_store(&row_of(paper_index(0))->yield_after, 1);
    paper.books.now = next - 1000 - 1;
    cr_assert_eq(look(server), PQB_NIL);
    cr_assert_neq(look(server), PQB_NIL);
}

/* ---- who said no ---- */

Test(wish, who_said_to_be_at_work_is_let_alone)
{
    unsigned server = server_with(3, 0), first = hold(server, 1, "app");
    pass(1);
    unsigned second = hold(server, 1, "app");
    hold(server, 1, "app");
    ask(server, 2);
    pass(AFTER);
    cr_assert_eq(look(server), first);
    atomic_store(&row_of(first)->declined_at, pqb_wish_second(paper.books.now));
    decline(server);
    cr_assert_eq(look(server), second);
    decline(server);
    pass(AFTER + 2000);
    cr_assert_eq(look(server), first);
}

/* ---- the clocks ---- */

Test(wish, the_clock_of_the_rows_goes_round)
{
    struct pqb_claim_row row = {0};
    uint64_t round = (1ull << 32) * PQB_MS, day = 86400 * PQB_SECOND;
    for (uint64_t start = 0; start < 2 * round; start += round / 7) {
        atomic_store(&row.idle_since, pqb_wish_clock(start));
        cr_assert_eq(pqb_wish_idle(&row, start), 0);
        cr_assert_eq(pqb_wish_idle(&row, start + 40 * PQB_SECOND), 40000);
        /* What is left behind stays for weeks. */
        cr_assert_eq(pqb_wish_idle(&row, start + 40 * day), 40u * 86400 * 1000);
        if (start)
            cr_assert_eq(pqb_wish_idle(&row, start - 300 * PQB_MS), 0);
    }
}

/* ---- which servers have any ---- */

Test(wish, forgets_that_anybody_offers_and_learns_it_again)
{
    unsigned server = server_with(2, 0);
    paper_hold(&paper, server, 1, "app");
    unsigned last = paper_hold(&paper, server, 1, "app");
    atomic_store(&paper.map->server[server].yields, 1);
    ask(server, 2);
    cr_assert_eq(look(server), PQB_NIL);
    cr_assert_eq(atomic_load(&paper.map->server[server].yields), 0);
    offer(last);
    pass(AFTER);
    cr_assert_eq(look(server), last);
    cr_assert_eq(atomic_load(&paper.map->server[server].yields), 1);
}

/* Somebody died in the midst of a look. */
Test(wish, a_rebuild_keeps_the_wish_and_who_offers)
{
    unsigned server = server_with(2, 0);
    hold(server, 1, "app");
    hold(server, 1, "app");
    unsigned waiter = ask(server, 2);
    pass(AFTER);
    unsigned asked = look(server);
    atomic_store(&paper.map->server[server].yields, 0);
    paper_rebuild(&paper);
    cr_assert_eq(look(server), asked);
    cr_assert_eq(asked_for(server), waiter);
    decline(server);
    cr_assert_eq(look(server), asked);
}

Test(wish, goes_on_where_its_server_was_merged)
{
    struct pqb_server_config config = {.limit = 2};
    unsigned from = server_with(2, 0), into = paper_server(&paper, "db:5432", &config);
    hold(from, 1, "app");
    hold(from, 1, "app");
    ask(from, 2);
    pass(AFTER);
    unsigned asked = look(from);
    cr_assert_neq(asked, PQB_NIL);
    pqb_rebuild_merged(&paper.books, from, into);
    cr_assert_eq(atomic_load(&paper.map->server[from].asked), 0);
    cr_assert_eq(look(into), asked);
}

/* ---- by chance ---- */

#define SLOTS 24u
#define PROCESSES 5u

static const char *const labels[] = {"web", "bot", "job"};

struct scene {
    unsigned server;
    int is_lowered; /* the limit was, so that several have to go */
};

/* Some hold, some wait, and many of those who hold offer theirs. */
static struct scene make_scene(void)
{
    struct scene scene = {.is_lowered = !draw(3)};
    struct pqb_server_config config = {.limit = 4 + (uint32_t)draw(6)};
    config.reserve = (uint32_t)draw(3);
    scene.server = paper_server(&paper, "localhost:5432", &config);
    paper_app(&paper, scene.server, "web", draw(3) ? PQB_UNLIMITED : 3, (uint32_t)draw(3));
    paper_app(&paper, scene.server, "bot", draw(3) ? PQB_UNLIMITED : 2, 0);
    for (unsigned steps = 20 + (unsigned)draw(40); steps; steps--) {
        unsigned index = paper_index((unsigned)draw(SLOTS));
        if (draw(2))
            paper_ask(&paper, scene.server, 1 + draw(PROCESSES), labels[draw(3)],
                      (uint32_t)(draw(3) ? 0 : 1 + draw(3)));
        else if (paper_is_granted(&paper, index))
            paper_move(&paper, index, draw(3) ? PQB_CLAIM_OPEN : PQB_CLAIM_GONE);
    }
    if (scene.is_lowered) {
        config.limit -= (uint32_t)draw(3);
        config.reserve = (uint32_t)draw(config.reserve + 1);
        paper_set(&paper, scene.server, &config);
    }
    for (unsigned slot = 0; slot < SLOTS; slot++) {
        unsigned index = paper_index(slot);
        if (paper_is_granted(&paper, index) && draw(8))
            paper_move(&paper, index, PQB_CLAIM_OPEN);
        if (paper_state(&paper, index) == PQB_CLAIM_OPEN && draw(3))
            offer(index);
    }
    pass(AFTER);
    return scene;
}

static unsigned waiters(unsigned server)
{
    return paper.map->server[server].waiting;
}

/* Is somebody granted something if that one goes? */
static int would_help(unsigned server, unsigned index, struct pqb_layout *saved)
{
    unsigned before = waiters(server);
    memcpy(saved, paper.map, sizeof *saved);
    give(index);
    int helped = waiters(server) < before;
    memcpy(paper.map, saved, sizeof *saved);
    return helped;
}

static int may_go(unsigned index)
{
    return paper_state(&paper, index) == PQB_CLAIM_OPEN &&
           pqb_wish_may_ask(row_of(index), paper.books.now) &&
           pqb_wish_has_others(paper.map, index);
}

/* Against the rules of admission themselves: nobody is asked whose going helps nobody, and nobody
 * whom one of those connections would help is left waiting. */
Test(wish, is_for_somebody_and_forgets_nobody)
{
    struct pqb_layout *saved = malloc(sizeof *saved);
    unsigned asked_often = 0, in_vain = 0;
    cr_assert_not_null(saved);
    for (uint64_t round = 1; round <= 300; round++) {
        paper_close(&paper);
        paper_open(&paper, SLOTS);
        paper.books.now = pqb_now() + 3600 * PQB_SECOND;
        draw_seed = round;
        struct scene scene = make_scene();
        unsigned asked = look(scene.server);
        if (asked != PQB_NIL) {
            asked_often++;
            cr_assert(may_go(asked), "round %u", (unsigned)round);
            cr_assert(scene.is_lowered || would_help(scene.server, asked, saved),
                      "round %u: claim %u was asked in vain", (unsigned)round, asked);
            continue;
        }
        in_vain += waiters(scene.server) != 0;
        for (unsigned slot = 0; slot < SLOTS; slot++)
            cr_assert(!may_go(paper_index(slot)) ||
                          !would_help(scene.server, paper_index(slot), saved),
                      "round %u: claim %u was not asked for", (unsigned)round, paper_index(slot));
    }
    cr_assert_gt(asked_often, 50);
    cr_assert_gt(in_vain, 10);
    free(saved);
}

/* Bytes of anybody's: nothing is read or written beside the tables, and it comes to an end. */
Test(wish, of_random_bytes_does_no_harm)
{
    for (uint64_t round = 1; round <= 40; round++) {
        uint64_t *word = (uint64_t *)paper.map;
        draw_seed = round;
        for (size_t i = 0; i < sizeof *paper.map / 8; i++)
            if (draw(2))
                word[i] = draw(UINT64_MAX);
        for (unsigned i = 0; i < PQB_SERVERS; i++) {
            paper.map->server[i].taken = 1;
            paper.map->server[i].config.paused = 0;
            atomic_store(&paper.map->server[i].yields, 1);
        }
        for (unsigned looks = 0; looks < 3; looks++) {
            paper.books.wakes = 0;
            paper.books.dispatched = UINT64_MAX;
            pqb_wish_look(&paper.books);
            pass(150);
        }
    }
    paper_close(&paper);
    paper_open(&paper, 1);
}
