/* yield.c: the holder's side of giving way, and who dies in the midst of it. */
#include "ledger/yield.h"
#include "ledger/admission.h"
#include "ledger/journal.h"
#include "ledger/os.h"
#include "ledger/steer.h"
#include "ledger/tick.h"
#include "ledger/visit.h"
#include "ledger/wish.h"
#include "support/draw.h"
#include "support/support.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <unistd.h>

static struct pqb_ledger ledger;

static void open_ledger(void)
{
    support_ledger_open(&ledger);
}

static void end_ledger(void)
{
    support_ledger_end(&ledger);
}

TestSuite(yield, .init = open_ledger, .fini = end_ledger, .timeout = 120);

static const struct pqb_server_config two = {.limit = 2};
static const struct pqb_claim_request request = {
    .server = "localhost:5432", .app = "pool", .defaults = &two};
static const struct pqb_claim_request wanted = {
    .server = "localhost:5432", .app = "web", .defaults = &two};

static struct pqb_region *region(void)
{
    return atomic_load(&ledger.region);
}

static struct pqb_claim_row *row_of(const struct pqb_claim *claim)
{
    return &claim->region->map->claim[claim->index];
}

static struct pqb_server_row *server_of(const struct pqb_claim *claim)
{
    return &claim->region->map->server[row_of(claim)->server];
}

/* Held, offered, and idle for long enough. */
static struct pqb_claim hold_as(const struct pqb_claim_request *asked)
{
    struct pqb_claim claim;
    expect(!support_hold(&ledger, asked, 0, &claim));
    pqb_yield_offer(&claim, 1);
    expect(wait_until(pqb_wish_may_ask(row_of(&claim), pqb_now())));
    return claim;
}

static struct pqb_claim hold(void)
{
    return hold_as(&request);
}

static struct pqb_claim want(const struct pqb_claim_request *asked)
{
    struct pqb_claim claim;
    expect(!pqb_wait_submit(&ledger, asked, &claim, NULL));
    return claim;
}

static void give(struct pqb_claim *claim)
{
    pqb_claim_give(claim, PQB_END_CLOSED);
}

/* As a waiter does it all the time. */
static int tick(void)
{
    return pqb_tick(region(), 0, NULL) == PQB_OK;
}

static enum pqb_yield_answer_due answer_due(const struct pqb_claim *claim)
{
    struct pqb_yield_wish wish;
    return pqb_yield_is_asked(claim, &wish);
}

static int is_asked(const struct pqb_claim *claim)
{
    return answer_due(claim) == PQB_YIELD_ASKED;
}

static int becomes_asked(const struct pqb_claim *claim)
{
    return wait_until(tick() && is_asked(claim));
}

/* Both of a limit of two, and somebody who wants a third. */
struct scene {
    struct pqb_claim first, second, waiter;
};

static struct scene begin(void)
{
    struct scene scene = {.first = hold()};
    scene.second = hold();
    scene.waiter = want(&wanted);
    cr_assert(becomes_asked(&scene.first));
    return scene;
}

static void end(struct scene *scene)
{
    give(&scene->first);
    give(&scene->second);
    give(&scene->waiter);
}

/* ---- being asked, and answering ---- */

Test(yield, is_asked_for_who_waits_and_gives_way)
{
    struct pqb_yield_wish wish;
    struct scene scene = begin();
    uint64_t latest = pqb_journal_latest(region()->map);
    cr_assert_eq(pqb_yield_is_asked(&scene.first, &wish), PQB_YIELD_ASKED);
    cr_assert_eq(wish.pid, getpid());
    cr_assert_str_eq(wish.app, "web");
    cr_assert_eq(answer_due(&scene.second), PQB_YIELD_NOT_ASKED);
    cr_assert_eq(answer_due(&scene.waiter), PQB_YIELD_NOT_ASKED);
    pqb_yield_accept(&scene.first, &wish, 7 * PQB_MS);
    cr_assert_eq(atomic_load(&server_of(&scene.second)->yielded_total), 1);
    struct pqb_event event;
    cr_assert(pqb_journal_read(region()->map, latest + 1, &event));
    cr_assert_eq(event.kind, PQB_EVENT_YIELDED);
    cr_assert_eq(event.value, 7 * PQB_MS);
    cr_assert_eq(event.pid, getpid());
    cr_assert_eq(event.other_pid, getpid());
    cr_assert_str_eq(event.app, "pool");
    cr_assert_str_eq(event.other_app, "web");
    give(&scene.first);
    cr_assert_eq(pqb_claim_take(&scene.waiter), PQB_OK);
    end(&scene);
}

Test(yield, rings_the_bell_of_who_is_asked)
{
    struct pqb_claim first = hold(), second = hold();
    _Atomic uint32_t *bell = pqb_wait_bell(region());
    uint32_t seen = atomic_load(bell);
    struct pqb_claim waiter = want(&wanted);
    cr_assert(becomes_asked(&first));
    cr_assert_neq(atomic_load(bell), seen);
    end(&(struct scene){first, second, waiter});
}

/* Without anybody's tick. */
Test(yield, who_declines_passes_it_on_at_once)
{
    struct scene scene = begin();
    pqb_yield_tell(&scene.first, PQB_SESSION_ACTIVE, pqb_now());
    pqb_yield_decline(&scene.first);
    cr_assert_eq(answer_due(&scene.first), PQB_YIELD_NOT_ASKED);
    cr_assert(is_asked(&scene.second));
    /* Late, or by who was not asked: it is not his to decline. */
    pqb_yield_decline(&scene.first);
    cr_assert(is_asked(&scene.second));
    end(&scene);
}

/* It knows better now: nobody else may be better to ask. */
Test(yield, who_declines_and_is_idle_is_asked_again)
{
    struct scene scene = begin();
    pqb_yield_tell(&scene.second, PQB_SESSION_PINNED + 1, pqb_now());
    cr_assert(pqb_yield_tell(&scene.first, PQB_SESSION_IDLE, pqb_now() - PQB_SECOND));
    pqb_yield_decline(&scene.first);
    cr_assert(is_asked(&scene.first));
    end(&scene);
}

/* Two of one process that can't go, whatever it tells of them each time it is rung: the third, of
 * another, must come to its turn. */
Test(yield, those_who_cannot_go_do_not_keep_others_from_being_asked)
{
    static const struct pqb_server_config five = {.limit = 5};
    static const struct pqb_claim_request many = {
        .server = "localhost:5432", .app = "pool", .defaults = &five};
    _Atomic int *has_given = support_shared(sizeof *has_given);
    struct pqb_claim mine[3];
    for (unsigned i = 0; i < 3; i++)
        mine[i] = hold_as(&many);
    pid_t other = support_fork();
    if (!other) {
        struct pqb_claim first = hold_as(&many), second = hold_as(&many);
        expect(wait_until(is_asked(&first) || is_asked(&second)));
        atomic_store(has_given, 1);
        give(is_asked(&first) ? &first : &second);
        support_linger();
    }
    cr_assert(wait_until(support_count(&ledger).open == 5));
    for (unsigned i = 0; i < 3; i++)
        pqb_yield_offer(&mine[i], 5000);
    for (unsigned i = 0; i < 3; i++)
        pqb_yield_tell(&mine[i], PQB_SESSION_IDLE, pqb_now() - 60 * PQB_SECOND);
    struct pqb_claim waiter = want(&wanted);
    for (unsigned rings = 0; !atomic_load(has_given); rings++) {
        cr_assert(tick());
        for (unsigned i = 0; i < 3; i++) {
            if (!is_asked(&mine[i]))
                continue;
            cr_assert_lt(rings, 1000000);
            pqb_yield_tell(&mine[i], PQB_SESSION_ACTIVE, pqb_now());
            pqb_yield_decline(&mine[i]);
            for (unsigned k = 0; k < 3; k++)
                pqb_yield_tell(&mine[k], PQB_SESSION_IDLE, pqb_now() - 60 * PQB_SECOND);
        }
    }
    cr_assert(wait_until(tick() && pqb_claim_take(&waiter) == PQB_OK));
    support_kill(other);
}

Test(yield, who_tells_learns_whether_that_was_news)
{
    struct pqb_claim claim = hold();
    uint64_t since = pqb_now() - PQB_SECOND;
    cr_assert(pqb_yield_tell(&claim, PQB_SESSION_IDLE, since));
    cr_assert(!pqb_yield_tell(&claim, PQB_SESSION_IDLE, since));
    cr_assert(pqb_yield_tell(&claim, PQB_SESSION_PINNED, since));
    cr_assert(pqb_yield_tell(&claim, PQB_SESSION_PINNED, since + PQB_MS));
    cr_assert(!pqb_yield_tell(&claim, PQB_SESSION_PINNED, since + PQB_MS));
    give(&claim);
}

Test(yield, knows_whether_it_is_its_processes_only_one)
{
    struct pqb_claim first = hold();
    cr_assert(!pqb_yield_has_others(&first));
    pid_t other = support_fork();
    if (!other) {
        hold();
        support_linger();
    }
    cr_assert(wait_until(support_count(&ledger).open == 2));
    cr_assert(!pqb_yield_has_others(&first));
    support_kill(other);
    cr_assert(wait_until(tick() && support_count(&ledger).open == 1));
    struct pqb_claim second = want(&request);
    cr_assert(!pqb_yield_has_others(&first), "it is not connected yet");
    cr_assert_eq(pqb_claim_take(&second), PQB_OK);
    cr_assert_eq(pqb_claim_open(&second, &(struct pqb_claim_peer){0}), PQB_OK);
    cr_assert(pqb_yield_has_others(&first));
    /* Also before anybody has settled what the other one became. */
    struct pqb_visit visit;
    cr_assert_eq(pqb_visit_begin(&visit, region(), pqb_now() + PQB_SECOND), PQB_OK);
    uint64_t ctl = atomic_load(&row_of(&second)->ctl);
    atomic_store(&row_of(&second)->ctl, pqb_ctl_next(ctl, PQB_CLAIM_DRAINING));
    cr_assert(!pqb_yield_has_others(&first));
    atomic_store(&row_of(&second)->ctl, ctl);
    pqb_visit_close(&visit);
    give(&first);
    give(&second);
}

/* ---- who goes meanwhile ---- */

Test(yield, a_waiter_who_gave_up_is_asked_for_no_more)
{
    struct scene scene = begin();
    give(&scene.waiter);
    cr_assert_eq(answer_due(&scene.first), PQB_YIELD_IN_VAIN);
    pqb_yield_decline(&scene.first);
    cr_assert_eq(answer_due(&scene.first), PQB_YIELD_NOT_ASKED);
    /* Nobody held it against anybody: the next one is served at once. */
    scene.waiter = want(&wanted);
    cr_assert(becomes_asked(&scene.first));
    end(&scene);
}

/* What it gave back would be granted to nobody. */
Test(yield, nobody_gives_way_on_a_paused_server)
{
    struct scene scene = begin();
    struct pqb_steer change = pqb_steer_nothing;
    change.paused = 1;
    cr_assert_eq(pqb_steer_apply(region(), &change, NULL), PQB_OK);
    cr_assert_eq(answer_due(&scene.first), PQB_YIELD_IN_VAIN);
    pqb_yield_decline(&scene.first);
    change.paused = 0;
    cr_assert_eq(pqb_steer_apply(region(), &change, NULL), PQB_OK);
    cr_assert(becomes_asked(&scene.first));
    end(&scene);
}

Test(yield, a_waiter_who_was_served_otherwise_is_asked_for_no_more)
{
    struct scene scene = begin();
    give(&scene.second);
    cr_assert_eq(answer_due(&scene.first), PQB_YIELD_IN_VAIN);
    cr_assert_eq(pqb_claim_take(&scene.waiter), PQB_OK);
    end(&scene);
}

Test(yield, who_is_given_back_while_it_is_asked_for_makes_room_itself)
{
    struct scene scene = begin();
    struct pqb_claim copy = scene.first;
    pqb_region_pin(copy.region);
    give(&scene.first);
    cr_assert_eq(answer_due(&copy), PQB_YIELD_NOT_ASKED);
    cr_assert_eq(pqb_claim_take(&scene.waiter), PQB_OK);
    /* The index's next claim is another one, and so is its wish. */
    struct pqb_yield_wish wish = {0};
    uint64_t total = atomic_load(&server_of(&scene.second)->yielded_total);
    pqb_yield_accept(&copy, &wish, 0);
    pqb_yield_decline(&copy);
    cr_assert(!pqb_yield_tell(&copy, PQB_SESSION_IDLE, 0));
    cr_assert(!pqb_yield_has_others(&copy));
    pqb_yield_offer(&copy, 1);
    cr_assert_eq(atomic_load(&server_of(&scene.second)->yielded_total), total);
    pqb_region_unpin(copy.region);
    end(&scene);
}

Test(yield, a_waiter_who_dies_is_asked_for_no_more)
{
    struct pqb_claim first = hold(), second = hold();
    pid_t waiter = support_fork();
    if (!waiter) {
        struct pqb_claim claim;
        expect(support_hold(&ledger, &wanted, PQB_WAIT_FOREVER, &claim));
        _exit(0);
    }
    cr_assert(wait_until(is_asked(&first)));
    support_kill(waiter);
    cr_assert(wait_until(tick() && answer_due(&first) != PQB_YIELD_ASKED));
    pqb_yield_decline(&first);
    struct pqb_claim next = want(&wanted);
    cr_assert(becomes_asked(&first));
    end(&(struct scene){first, second, next});
}

Test(yield, a_holder_who_dies_is_not_waited_for)
{
    _Atomic int *was_asked = support_shared(sizeof *was_asked);
    pid_t holder = support_fork();
    if (!holder) {
        struct pqb_claim first = hold();
        hold();
        expect(wait_until(is_asked(&first)));
        atomic_store(was_asked, 1);
        support_linger();
    }
    cr_assert(wait_until(support_count(&ledger).open == 2));
    struct pqb_claim waiter = want(&wanted);
    cr_assert(wait_until(tick() && atomic_load(was_asked)));
    support_kill(holder);
    cr_assert(wait_until(tick() && pqb_claim_take(&waiter) == PQB_OK));
    give(&waiter);
}

/* In each of the moments between the look and the ringing. */
static void ask_and_die(int has_left)
{
    struct pqb_visit visit;
    expect(!pqb_visit_begin(&visit, region(), pqb_now() + 10 * PQB_SECOND));
    pqb_admission_dispatch(&visit.books, 0);
    pqb_wish_look(&visit.books);
    expect(visit.books.wakes == 1);
    if (has_left)
        pqb_guard_leave(region());
    kill(getpid(), SIGKILL);
}

Test(yield, who_asks_may_die_over_it)
{
    struct scene scene = begin();
    _Atomic uint32_t *bell = pqb_wait_bell(region());
    for (int has_left = 0; has_left < 2; has_left++) {
        atomic_store(&server_of(&scene.first)->asked, 0);
        pid_t asker = support_fork();
        if (!asker)
            ask_and_die(has_left);
        support_reap(asker);
        uint32_t seen = atomic_load(bell);
        cr_assert(is_asked(&scene.first));
        cr_assert(wait_until(tick() && atomic_load(bell) != seen));
        cr_assert(becomes_asked(&scene.first) || becomes_asked(&scene.second));
    }
    end(&scene);
}

Test(yield, who_does_not_answer_is_not_waited_for)
{
    static const struct pqb_server_config five = {.limit = 5};
    static const struct pqb_claim_request many = {
        .server = "localhost:5432", .app = "pool", .defaults = &five};
    pid_t deaf = support_fork();
    if (!deaf) {
        for (unsigned i = 0; i < 3; i++) {
            struct pqb_claim claim = hold_as(&many);
            pqb_yield_offer(&claim, 3600000);
            pqb_yield_tell(&claim, PQB_SESSION_IDLE, pqb_now() - 7200 * PQB_SECOND);
        }
        support_linger();
    }
    cr_assert(wait_until(support_count(&ledger).open == 3));
    struct pqb_claim first = hold_as(&many), second = hold_as(&many);
    struct pqb_claim waiter = want(&wanted);
    cr_assert(wait_until(tick() && (is_asked(&first) || is_asked(&second))));
    end(&(struct scene){first, second, waiter});
    support_kill(deaf);
}

/* ---- several servers ---- */

Test(yield, each_server_has_a_wish_of_its_own)
{
    struct pqb_claim_request elsewhere = request;
    elsewhere.server = "other:5432";
    struct scene scene = begin();
    struct pqb_claim first = hold_as(&elsewhere), second = hold_as(&elsewhere);
    struct pqb_claim waiter = want(&elsewhere);
    cr_assert_neq(row_of(&first)->server, row_of(&scene.first)->server);
    unsigned server = row_of(&first)->server;
    cr_assert(wait_until(!pqb_tick(region(), server, NULL) && is_asked(&first)));
    cr_assert(is_asked(&scene.first) || becomes_asked(&scene.first) ||
              becomes_asked(&scene.second));
    end(&scene);
    end(&(struct scene){first, second, waiter});
}

Test(yield, goes_on_where_its_server_was_merged)
{
    struct scene scene = begin();
    struct pqb_steer change = pqb_steer_nothing;
    struct pqb_error error = {{0}};
    change.server = "db:5432";
    change.make = 1;
    change.limit = 2;
    change.reserve = 0;
    change.aliases = 1;
    change.alias[0] = "localhost:5432";
    cr_assert_eq(pqb_steer_apply(region(), &change, &error), PQB_OK, "%s", error.text);
    unsigned server = row_of(&scene.waiter)->server;
    cr_assert_str_eq(region()->map->server[server].key, "db:5432");
    cr_assert(wait_until(!pqb_tick(region(), server, NULL) && is_asked(&scene.first)));
    struct pqb_yield_wish wish;
    pqb_yield_is_asked(&scene.first, &wish);
    pqb_yield_accept(&scene.first, &wish, 0);
    cr_assert_eq(atomic_load(&region()->map->server[server].yielded_total), 1);
    give(&scene.first);
    cr_assert_eq(pqb_claim_take(&scene.waiter), PQB_OK);
    end(&scene);
}

/* ---- who reads ---- */

Test(yield, a_reader_rings_those_who_offer_and_no_others)
{
    struct pqb_claim plain;
    _Atomic uint32_t *bell = pqb_wait_bell(region());
    cr_assert_eq(support_hold(&ledger, &request, 0, &plain), PQB_OK);
    cr_assert_eq(pqb_yield_refresh(region()), 0);
    struct pqb_claim claim = hold();
    uint32_t seen = atomic_load(bell);
    cr_assert_eq(pqb_yield_refresh(region()), 1);
    cr_assert_neq(atomic_load(bell), seen);
    give(&claim);
    give(&plain);
}

/* ---- damage ---- */

Test(yield, of_a_ledger_that_shrank_does_no_harm)
{
    struct pqb_yield_wish wish = {0};
    struct pqb_claim claim = hold(), none = {0};
    cr_assert_eq(truncate(ledger.path, 4096), 0);
    const struct pqb_claim *each[] = {&claim, &none};
    for (unsigned i = 0; i < 2; i++) {
        pqb_yield_offer(each[i], 1);
        cr_assert(!pqb_yield_tell(each[i], PQB_SESSION_IDLE, 0));
        cr_assert_eq(answer_due(each[i]), PQB_YIELD_NOT_ASKED);
        cr_assert(!pqb_yield_has_others(each[i]));
        pqb_yield_accept(each[i], &wish, 0);
        pqb_yield_decline(each[i]);
    }
    cr_assert_eq(pqb_yield_refresh(region()), 0);
}

/* Whatever stands where others write: every index is checked, everything comes to an end. */
Test(yield, of_random_bytes_does_no_harm)
{
    struct pqb_yield_wish wish;
    struct scene scene = begin();
    struct pqb_claim_row *row = row_of(&scene.first);
    struct pqb_layout *map = region()->map;
    draw_seed = 1;
    for (unsigned round = 0; round < 3000; round++) {
        struct pqb_server_row *server = &map->server[row->server % PQB_SERVERS];
        uint64_t own = pqb_wish_name(scene.first.index, scene.first.generation);
        atomic_store(&server->asked, draw(3) ? own : draw(UINT64_MAX));
        atomic_store(&server->asked_for, draw(2) ? draw(UINT64_MAX) : draw(PQB_CLAIMS + 9));
        server->asked_at = draw(UINT64_MAX);
        server->asked_times = (uint32_t)draw(UINT32_MAX);
        server->ask_next = draw(UINT64_MAX);
        atomic_store(&server->yields, (uint32_t)draw(UINT32_MAX));
        atomic_store(&row->session, (uint8_t)draw(256));
        atomic_store(&row->idle_since, (uint32_t)draw(UINT32_MAX));
        atomic_store(&row->yield_after, (uint32_t)draw(UINT32_MAX));
        atomic_store(&row->declined_at, (uint16_t)draw(65536));
        row->bell = (uint16_t)draw(65536);
        row->app = (uint16_t)draw(65536);
        row->account = (uint16_t)draw(65536);
        row->process = draw(UINT64_MAX);
        row->server = (uint16_t)(draw(4) ? 0 : draw(65536));
        (void)pqb_yield_is_asked(&scene.first, &wish);
        (void)pqb_yield_has_others(&scene.first);
        (void)pqb_yield_tell(&scene.first, (unsigned)draw(UINT32_MAX), draw(UINT64_MAX));
        pqb_yield_accept(&scene.first, &wish, draw(UINT64_MAX));
        (void)pqb_yield_refresh(region());
        row->server = 0;
        pqb_yield_decline(&scene.first);
        cr_assert(tick());
    }
}
