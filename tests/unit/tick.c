/* tick.c: what is put right by the next one who comes by, whatever was left half done. */
#include "ledger/tick.h"
#include "ledger/admission.h"
#include "ledger/steer.h"
#include "ledger/visit.h"
#include "ledger/wait.h"
#include "support/support.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
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

TestSuite(tick, .init = open_ledger, .fini = end_ledger, .timeout = 120);

static const struct pqb_server_config one = {.limit = 1};
static const struct pqb_claim_request request = {
    .server = "localhost:5432", .app = "test", .defaults = &one};
static const struct pqb_claim_request belled = {
    .server = "localhost:5432", .app = "test", .defaults = &one, .rings_bell = 1};
static const struct pqb_server_config endless = {.limit = PQB_UNLIMITED};
static const struct pqb_claim_request unlimited = {
    .server = "many:5432", .app = "test", .defaults = &endless};

static struct pqb_region *region(void)
{
    return atomic_load(&ledger.region);
}

static struct pqb_header *header(void)
{
    return &region()->map->header;
}

static struct pqb_claim_row *row_of(const struct pqb_claim *claim)
{
    return &claim->region->map->claim[claim->index];
}

static enum pqb_claim_state state_of(const struct pqb_claim *claim)
{
    return (enum pqb_claim_state)(atomic_load(&row_of(claim)->ctl) & PQB_CTL_STATE);
}

/* One whose rest is over. */
static void tick(void)
{
    pqb_tick_look(region(), PQB_CLAIMS);
    cr_assert_eq(pqb_tick(region(), 0, NULL), PQB_OK);
}

static struct pqb_claim submit(const struct pqb_claim_request *asked)
{
    struct pqb_claim claim;
    cr_assert_eq(pqb_wait_submit(&ledger, asked, &claim, NULL), PQB_OK);
    return claim;
}

static void give(struct pqb_claim *claim)
{
    pqb_claim_give(claim, PQB_END_CLOSED);
}

/* The state of `claim` began that long ago. */
static void make_older(const struct pqb_claim *claim, uint64_t by)
{
    atomic_fetch_sub(&row_of(claim)->changed_at, by);
}

/* ---- grants that lie ---- */

Test(tick, wakes_again_who_was_granted_and_did_not_come)
{
    struct pqb_claim claim = submit(&belled);
    _Atomic uint32_t *bell = pqb_wait_bell(claim.region);
    uint32_t word = atomic_load(&row_of(&claim)->word), rung = atomic_load(bell);
    make_older(&claim, 30 * PQB_MS);
    tick();
    cr_assert_neq(atomic_load(&row_of(&claim)->word), word);
    cr_assert_neq(atomic_load(bell), rung);
    cr_assert_eq(state_of(&claim), PQB_CLAIM_GRANTED);
}

Test(tick, does_not_take_a_fresh_grant_back)
{
    struct pqb_claim first = submit(&request), second = submit(&request);
    make_older(&first, 100 * PQB_MS);
    tick();
    cr_assert_eq(state_of(&first), PQB_CLAIM_GRANTED);
    cr_assert_eq(state_of(&second), PQB_CLAIM_WAITING);
}

Test(tick, takes_a_grant_back_that_lay_for_a_second_while_others_wait)
{
    struct pqb_claim first = submit(&request), second = submit(&request), third = submit(&request);
    make_older(&first, 2 * PQB_SECOND);
    tick();
    cr_assert_eq(state_of(&first), PQB_CLAIM_WAITING);
    cr_assert_eq(state_of(&second), PQB_CLAIM_GRANTED);
    cr_assert_eq(pqb_claim_take(&second), PQB_OK);
    /* Without a sign of life it is passed over … */
    give(&second);
    cr_assert_eq(state_of(&first), PQB_CLAIM_WAITING);
    cr_assert_eq(pqb_claim_take(&third), PQB_OK);
    /* … and with one it is the oldest again. */
    struct pqb_claim fourth = submit(&request);
    cr_assert_eq(pqb_claim_take(&first), PQB_WAITING);
    give(&third);
    cr_assert_eq(pqb_claim_take(&first), PQB_OK);
    cr_assert_eq(state_of(&fourth), PQB_CLAIM_WAITING);
    give(&first);
    cr_assert_eq(pqb_claim_take(&fourth), PQB_OK);
    give(&fourth);
    cr_assert_eq(support_count(&ledger).used, 0);
}

Test(tick, grants_at_once_to_who_shows_life_while_there_is_room)
{
    struct pqb_claim first = submit(&request), second = submit(&request);
    make_older(&first, 2 * PQB_SECOND);
    tick();
    give(&second);
    cr_assert_eq(state_of(&first), PQB_CLAIM_WAITING);
    cr_assert_eq(pqb_claim_take(&first), PQB_OK);
}

Test(tick, leaves_a_grant_with_its_owner_while_nobody_else_wants_it)
{
    struct pqb_claim claim = submit(&request);
    make_older(&claim, 5 * PQB_SECOND);
    tick();
    cr_assert_eq(state_of(&claim), PQB_CLAIM_GRANTED);
    cr_assert_eq(pqb_claim_take(&claim), PQB_OK);
}

/* Those that are passed over must not keep the places of the ones who tick every 10 ms. */
Test(tick, is_kept_up_behind_a_row_of_stopped_waiters)
{
    enum { STOPPED = 6 };
    struct pqb_claim stopped[STOPPED];
    for (int i = 0; i < STOPPED; i++)
        stopped[i] = submit(&request);
    struct pqb_claim alive = submit(&request);
    for (int i = 0; i < STOPPED; i++) {
        cr_assert_eq(state_of(&stopped[i]), PQB_CLAIM_GRANTED, "%d", i);
        make_older(&stopped[i], 2 * PQB_SECOND);
        tick();
    }
    cr_assert_eq(pqb_claim_take(&alive), PQB_OK);
    struct pqb_claim next = submit(&request);
    tick();
    cr_assert_neq(atomic_load(&row_of(&next)->hot), 0);
}

/* ---- deaths ---- */

static void hold_and_die(void)
{
    struct pqb_claim claim;
    expect(!support_hold(&ledger, &unlimited, 0, &claim));
    kill(getpid(), SIGKILL);
}

static void hold_one_and_die(void)
{
    struct pqb_claim claim;
    expect(!support_hold(&ledger, &request, 0, &claim));
    kill(getpid(), SIGKILL);
}

Test(tick, buries_the_dead)
{
    support_apart(hold_and_die);
    struct pqb_claim_row *row = NULL;
    for (unsigned i = 0; i < PQB_CLAIMS && !row; i++)
        if (atomic_load(&region()->map->claim[i].ctl))
            row = &region()->map->claim[i];
    cr_assert_not_null(row);
    cr_assert_eq(atomic_load(&row->ctl) & PQB_CTL_STATE, PQB_CLAIM_OPEN);
    tick();
    cr_assert_eq(atomic_load(&row->ctl) & PQB_CTL_STATE, PQB_CLAIM_FREE);
}

static int is_empty(void)
{
    uint64_t busy = 0;
    for (unsigned i = 0; i < PQB_GROUPS; i++)
        busy |= atomic_load(&header()->busy[i]);
    return !busy;
}

Test(tick, looks_again_when_its_rest_is_over)
{
    tick();
    support_apart(hold_and_die);
    cr_assert(wait_until(!pqb_tick(region(), 0, NULL) && is_empty()));
    /* A rest that ends in an hour is left over from another boot. */
    support_apart(hold_and_die);
    atomic_store(&header()->reaper_until, 1ull << 63 | (pqb_now() + 3600 * PQB_SECOND));
    cr_assert_eq(pqb_tick(region(), 0, NULL), PQB_OK);
    cr_assert(is_empty());
}

/* Who has just queued visits again for a dead holder, and for drainers that he is to watch. */
Test(tick, the_first_of_a_wait_serves_it_where_somebody_died)
{
    struct pqb_drainers drainers;
    support_apart(hold_one_and_die);
    struct pqb_claim claim = submit(&request);
    cr_assert_eq(state_of(&claim), PQB_CLAIM_WAITING);
    cr_assert_eq(pqb_tick_first(region(), 0, &drainers), PQB_OK);
    cr_assert_eq(drainers.count, 0);
    cr_assert_eq(pqb_claim_take(&claim), PQB_OK);
    row_of(&claim)->backend_pid = getpid();
    row_of(&claim)->backend_seen = 1;
    row_of(&claim)->pid_ns = 1; /* in another namespace: nobody can look */
    atomic_store(&row_of(&claim)->ctl,
                 pqb_ctl_next(atomic_load(&row_of(&claim)->ctl), PQB_CLAIM_OPEN));
    unsigned index = claim.index;
    give(&claim);
    claim = submit(&request);
    cr_assert_eq(pqb_tick_first(region(), 0, &drainers), PQB_OK);
    cr_assert_eq(drainers.count, 1);
    cr_assert_eq(drainers.drainer[0].index, index);
}

/* Its state had become GONE, and then its owner died before it could flag that. */
Test(tick, frees_what_its_owner_left_unflagged)
{
    struct pqb_claim claim, next;
    cr_assert_eq(support_hold(&ledger, &request, 0, &claim), PQB_OK);
    uint64_t ctl = atomic_load(&row_of(&claim)->ctl);
    atomic_store(&row_of(&claim)->ctl, pqb_ctl_next(ctl, PQB_CLAIM_GONE));
    pqb_claim_drop(&claim);
    cr_assert_eq(support_hold(&ledger, &request, 10000, &next), PQB_OK);
}

/* Died with the guard, having granted: nobody was woken, and the books may be half written. */
Test(tick, serves_who_was_waiting_when_a_dispatcher_died)
{
    struct pqb_claim holder;
    _Atomic int *granted = support_shared(sizeof *granted);
    cr_assert_eq(support_hold(&ledger, &request, 0, &holder), PQB_OK);
    pid_t waiter = support_fork();
    if (!waiter) {
        struct pqb_claim claim;
        expect(!support_hold(&ledger, &request, PQB_WAIT_FOREVER, &claim));
        atomic_store(granted, 1);
        support_linger();
    }
    cr_assert(wait_until(support_count(&ledger).waiting == 1));
    pid_t dispatcher = support_fork();
    if (!dispatcher) {
        struct pqb_visit visit;
        expect(!pqb_visit_begin(&visit, region(), pqb_now() + 10 * PQB_SECOND));
        uint64_t ctl = atomic_load(&row_of(&holder)->ctl);
        atomic_store(&row_of(&holder)->ctl, pqb_ctl_next(ctl, PQB_CLAIM_GONE));
        pqb_books_flag(region()->map, holder.index);
        pqb_admission_harvest(&visit.books);
        expect(visit.books.wakes == 1);
        kill(getpid(), SIGKILL);
    }
    support_reap(dispatcher);
    cr_assert(wait_until(atomic_load(granted)));
    cr_assert_eq(support_count(&ledger).open, 1);
    pqb_claim_drop(&holder);
    support_kill(waiter);
}

/* Died after the guard, before the wake-ups. */
Test(tick, serves_who_was_granted_and_never_woken)
{
    struct pqb_claim holder;
    _Atomic int *granted = support_shared(sizeof *granted);
    cr_assert_eq(support_hold(&ledger, &request, 0, &holder), PQB_OK);
    pid_t waiter = support_fork();
    if (!waiter) {
        struct pqb_claim claim;
        expect(!support_hold(&ledger, &request, PQB_WAIT_FOREVER, &claim));
        atomic_store(granted, 1);
        support_linger();
    }
    cr_assert(wait_until(support_count(&ledger).waiting == 1));
    pid_t dispatcher = support_fork();
    if (!dispatcher) {
        struct pqb_visit visit;
        expect(!pqb_visit_begin(&visit, region(), pqb_now() + 10 * PQB_SECOND));
        uint64_t ctl = atomic_load(&row_of(&holder)->ctl);
        atomic_store(&row_of(&holder)->ctl, pqb_ctl_next(ctl, PQB_CLAIM_GONE));
        pqb_books_flag(region()->map, holder.index);
        pqb_admission_harvest(&visit.books);
        pqb_guard_leave(region());
        kill(getpid(), SIGKILL);
    }
    support_reap(dispatcher);
    cr_assert(wait_until(atomic_load(granted)));
    pqb_claim_drop(&holder);
    support_kill(waiter);
}

Test(tick, looks_at_all_in_turn_however_few_at_a_time)
{
    enum { MANY = 300 };
    struct pqb_claim claim[MANY];
    pid_t child = support_fork();
    if (!child) {
        for (int i = 0; i < MANY; i++)
            expect(!support_hold(&ledger, &unlimited, 0, &claim[i]));
        kill(getpid(), SIGKILL);
    }
    support_reap(child);
    struct pqb_claim alive[MANY];
    for (int i = 0; i < MANY; i++)
        cr_assert_eq(support_hold(&ledger, &unlimited, 0, &alive[i]), PQB_OK);
    unsigned looks = 0;
    unsigned left = PQB_CLAIMS;
    while (left > MANY && looks++ < 100) {
        pqb_tick_look(region(), 10);
        left = 0;
        for (unsigned i = 0; i < PQB_CLAIMS; i++)
            left += (atomic_load(&region()->map->claim[i].ctl) & PQB_CTL_STATE) == PQB_CLAIM_OPEN;
    }
    cr_assert_eq(left, MANY);
    cr_assert_gt(looks, 1);
}

/* A tick as it is after a rest. Returns how many claims there are then. */
static unsigned tick_and_count(void)
{
    unsigned count = 0;
    atomic_store(&header()->reaper_until, 0);
    cr_assert_eq(pqb_tick(region(), 0, NULL), PQB_OK);
    for (unsigned i = 0; i < PQB_CLAIMS; i++)
        count += (atomic_load(&region()->map->claim[i].ctl) & PQB_CTL_STATE) != PQB_CLAIM_FREE;
    return count;
}

static void queue_and_die(unsigned many)
{
    pid_t child = support_fork();
    if (!child) {
        for (unsigned i = 0; i < many; i++)
            expect(!pqb_wait_submit(&ledger, &belled, &(struct pqb_claim){0}, NULL));
        kill(getpid(), SIGKILL);
    }
    support_reap(child);
}

static int has_another_of(int32_t pid, unsigned index)
{
    unsigned first = index - index % PQB_GROUP_CLAIMS;
    for (unsigned i = first; i < first + PQB_GROUP_CLAIMS; i++)
        if (atomic_load(&region()->map->claim[i].ctl) & PQB_CTL_STATE &&
            region()->map->claim[i].pid != pid)
            return 1;
    return 0;
}

/* The first ones live, and nobody is in the way. */
Test(tick, comes_to_those_who_wait_further_back_in_turn)
{
    enum { MANY = 4 * PQB_GROUP_CLAIMS };
    struct pqb_claim mine[1 + PQB_HOT];
    for (int i = 0; i <= PQB_HOT; i++)
        mine[i] = submit(&belled);
    queue_and_die(MANY);
    atomic_store(&header()->reap_cursor, mine[0].index / PQB_GROUP_CLAIMS);
    int is_alone = !has_another_of(getpid(), mine[0].index);
    unsigned left = tick_and_count(), ticks = 1;
    if (is_alone)
        cr_assert_eq(left, 1 + PQB_HOT + MANY);
    while (left > 1 + PQB_HOT && ticks++ < PQB_GROUPS)
        left = tick_and_count();
    cr_assert_eq(left, 1 + PQB_HOT, "%u are left", left);
    cr_assert_leq(ticks, 1 + MANY / PQB_GROUP_CLAIMS, "it took %u ticks", ticks);
    for (int i = 0; i <= PQB_HOT; i++)
        give(&mine[i]);
}

Test(tick, that_finds_one_dead_looks_at_all)
{
    struct pqb_claim mine = submit(&belled);
    queue_and_die(4 * PQB_GROUP_CLAIMS);
    cr_assert_eq(tick_and_count(), 1);
    give(&mine);
}

static int looked_dead(void)
{
    struct pqb_layout *map = region()->map;
    unsigned open = 0;
    for (unsigned i = 0; i < PQB_CLAIMS; i++)
        open += (atomic_load(&map->claim[i].ctl) & PQB_CTL_STATE) == PQB_CLAIM_OPEN;
    return !open;
}

Test(tick, is_done_by_one_at_a_time_who_may_die_over_it)
{
    support_apart(hold_and_die);
    uint64_t until = pqb_now() + 45 * PQB_MS;
    atomic_store(&header()->reaper_until, until);
    pqb_tick_look(region(), PQB_CLAIMS);
    if (pqb_now() < until)
        cr_assert_not(looked_dead());
    cr_assert(wait_until((pqb_tick_look(region(), PQB_CLAIMS), looked_dead())));
    cr_assert_geq(pqb_now(), until);
}

Test(tick, is_not_kept_away_by_a_time_of_another_boot)
{
    support_apart(hold_and_die);
    atomic_store(&header()->reaper_until, pqb_now() + 1000 * PQB_SECOND);
    atomic_store(&header()->reap_cursor, 0xffffffff);
    pqb_tick_look(region(), PQB_CLAIMS);
    cr_assert(looked_dead());
}

/* ---- drainers ---- */

Test(tick, lists_drainers_for_the_first_waiter)
{
    struct pqb_drainers drainers;
    struct pqb_claim claim;
    _Atomic int *ready = support_shared(sizeof *ready);
    prctl(PR_SET_NAME, "postgres");
    pid_t backend = support_fork();
    if (!backend) {
        atomic_store(ready, 1);
        support_linger();
    }
    cr_assert(wait_until(atomic_load(ready)));
    struct pqb_claim_peer peer = {.backend_pid = backend, .is_local = 1};
    cr_assert_eq(pqb_wait_acquire(&ledger, &request, 0, &claim, NULL, NULL), PQB_OK);
    cr_assert_eq(pqb_claim_open(&claim, &peer), PQB_OK);
    unsigned index = claim.index;
    cr_assert_eq(pqb_tick(region(), 0, &drainers), PQB_OK);
    cr_assert_eq(drainers.count, 0);
    give(&claim);
    cr_assert_eq(pqb_tick(region(), 0, &drainers), PQB_OK);
    cr_assert_eq(drainers.count, 1);
    cr_assert_eq(drainers.drainer[0].index, index);
    support_kill(backend);
    tick();
    cr_assert_eq(pqb_tick(region(), 0, &drainers), PQB_OK);
    cr_assert_eq(drainers.count, 0);
}

/* ---- the ledger ---- */

Test(tick, says_when_the_ledger_is_gone)
{
    struct pqb_region *old = region();
    pqb_region_pin(old);
    cr_assert_eq(pqb_tick(old, 0, NULL), PQB_OK);
    cr_assert_eq(pqb_steer_reset(ledger.path, 1, NULL), PQB_OK);
    errno = ENOTTY;
    cr_assert_eq(pqb_tick(old, 0, NULL), PQB_LOST);
    cr_assert_eq(errno, ENOTTY);
    pqb_region_unpin(old);
}

Test(tick, says_when_the_ledger_shrank)
{
    cr_assert_eq(truncate(ledger.path, 4096), 0);
    cr_assert_eq(pqb_tick(region(), 0, NULL), PQB_DAMAGED);
}

Test(tick, of_a_server_that_is_none_does_no_harm)
{
    cr_assert_eq(pqb_tick(region(), PQB_SERVERS, NULL), PQB_OK);
    cr_assert_eq(pqb_tick(region(), PQB_NIL, NULL), PQB_OK);
    cr_assert_eq(pqb_tick(region(), 5, NULL), PQB_OK);
}

Test(tick, leaves_no_descriptor_open)
{
    struct pqb_claim claim[100];
    for (int i = 0; i < 100; i++)
        cr_assert_eq(support_hold(&ledger, &unlimited, 0, &claim[i]), PQB_OK);
    tick();
    unsigned descriptors = support_descriptors();
    for (int i = 0; i < 100; i++)
        tick();
    cr_assert_eq(support_descriptors(), descriptors);
}
