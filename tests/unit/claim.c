/* claim.c: taking and giving back, by whatever kind of process, however it ends. */
#include "ledger/claim.h"
#include "ledger/admission.h"
#include "ledger/ending.h"
#include "ledger/snapshot.h"
#include "ledger/steer.h"
#include "ledger/tick.h"
#include "support/support.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <malloc.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
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

TestSuite(claim, .init = open_ledger, .fini = end_ledger, .timeout = 120);

static const struct pqb_server_config five = {.limit = 5, .wait_ms = 8000};
static const struct pqb_claim_request request = {
    .server = "localhost:5432", .app = "test", .defaults = &five};

static const struct pqb_server_config endless = {.limit = PQB_UNLIMITED};
static const struct pqb_claim_request unlimited = {
    .server = "many:5432", .app = "test", .defaults = &endless};

static enum pqb_status hold(struct pqb_claim *claim)
{
    return support_hold(&ledger, &request, 0, claim);
}

static unsigned used(void)
{
    return support_count(&ledger).used;
}

static struct pqb_region *region(void)
{
    return atomic_load(&ledger.region);
}

static struct pqb_claim_row *row_of(const struct pqb_claim *claim)
{
    return &claim->region->map->claim[claim->index];
}

static enum pqb_claim_state state_of(const struct pqb_claim *claim)
{
    return (enum pqb_claim_state)(atomic_load(&row_of(claim)->ctl) & PQB_CTL_STATE);
}

static void allow_descriptors(rlim_t count)
{
    struct rlimit limit;
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = count;
    if (limit.rlim_max < count)
        limit.rlim_max = count;
    if (setrlimit(RLIMIT_NOFILE, &limit))
        cr_skip_test("this machine allows too few descriptors");
}

/* ---- one process, one claim ---- */

Test(claim, is_counted_until_given_back)
{
    struct pqb_claim claim;
    cr_assert_eq(pqb_wait_acquire(&ledger, &request, 0, &claim, NULL, NULL), PQB_OK);
    cr_assert_eq(used(), 1);
    pqb_claim_give(&claim, PQB_END_CLOSED);
    cr_assert_eq(used(), 0);
}

Test(claim, is_refused_when_all_are_taken)
{
    struct pqb_claim claim[5], sixth;
    unsigned obstacle;
    for (int i = 0; i < 5; i++)
        cr_assert_eq(pqb_wait_acquire(&ledger, &request, 0, &claim[i], NULL, NULL), PQB_OK);
    cr_assert_eq(pqb_wait_acquire(&ledger, &request, 0, &sixth, &obstacle, NULL), PQB_TIMED_OUT);
    cr_assert_eq(obstacle, PQB_OBSTACLE_ROOM);
    cr_assert_eq(used(), 5);
    for (int i = 0; i < 5; i++)
        pqb_claim_give(&claim[i], PQB_END_CLOSED);
}

/* `localhost` is another server in another network namespace, also under one ledger. */
Test(claim, of_another_network_is_another_servers)
{
    struct pqb_claim_request here = request, there = request;
    struct pqb_claim one, other, third;
    const struct pqb_layout *map = region()->map;
    here.network = 1001;
    there.network = 1002;
    cr_assert_eq(support_hold(&ledger, &here, 0, &one), PQB_OK);
    cr_assert_eq(support_hold(&ledger, &there, 0, &other), PQB_OK);
    cr_assert_str_eq(map->server[map->claim[one.index].server].key, "localhost:5432");
    cr_assert_str_eq(map->server[map->claim[other.index].server].key, "localhost:5432@net:1002");
    pqb_claim_give(&one, PQB_END_CLOSED);
    pqb_claim_give(&other, PQB_END_CLOSED);

    /* A namespace that is gone leaves the plain name to the next one. */
    there.network = 1003;
    cr_assert_eq(support_hold(&ledger, &there, 0, &third), PQB_OK);
    cr_assert_str_eq(map->server[map->claim[third.index].server].key, "localhost:5432");
    pqb_claim_give(&third, PQB_END_CLOSED);
}

Test(claim, goes_through_its_states)
{
    static const struct pqb_claim_peer unseen;
    struct pqb_claim claim;
    cr_assert_eq(pqb_wait_submit(&ledger, &request, &claim, NULL), PQB_OK);
    cr_assert_eq(state_of(&claim), PQB_CLAIM_GRANTED);
    cr_assert_eq(pqb_claim_open(&claim, &unseen), PQB_LOST); /* not taken up yet */
    cr_assert_eq(pqb_claim_take(&claim), PQB_OK);
    cr_assert_eq(state_of(&claim), PQB_CLAIM_CONNECTING);
    cr_assert_eq(pqb_claim_open(&claim, &unseen), PQB_OK);
    cr_assert_eq(state_of(&claim), PQB_CLAIM_OPEN);
    struct pqb_claim_row *row = row_of(&claim);
    pqb_claim_give(&claim, PQB_END_CLOSED);
    cr_assert_null(claim.region);
    cr_assert_neq(atomic_load(&row->ctl) & PQB_CTL_STATE, PQB_CLAIM_OPEN);
    cr_assert_eq(used(), 0);
}

Test(claim, is_given_back_in_every_state)
{
    struct pqb_claim all[5], waiting, granted, connecting;
    for (int i = 0; i < 5; i++)
        cr_assert_eq(hold(&all[i]), PQB_OK);
    cr_assert_eq(pqb_wait_submit(&ledger, &request, &waiting, NULL), PQB_OK);
    cr_assert_eq(state_of(&waiting), PQB_CLAIM_WAITING);
    pqb_claim_give(&waiting, PQB_END_CLOSED);
    for (int i = 0; i < 5; i++)
        pqb_claim_give(&all[i], PQB_END_CLOSED);
    cr_assert_eq(pqb_wait_submit(&ledger, &request, &granted, NULL), PQB_OK);
    pqb_claim_give(&granted, PQB_END_CLOSED);
    cr_assert_eq(pqb_wait_acquire(&ledger, &request, 0, &connecting, NULL, NULL), PQB_OK);
    pqb_claim_give(&connecting, PQB_END_CLOSED);
    struct support_counts counts = support_count(&ledger);
    cr_assert_eq(counts.used + counts.waiting, 0);
}

Test(claim, may_be_given_or_dropped_twice)
{
    struct pqb_claim claim;
    cr_assert_eq(hold(&claim), PQB_OK);
    struct pqb_claim copy = claim;
    pqb_region_pin(claim.region); /* the copy's, as it were */
    pqb_claim_give(&claim, PQB_END_CLOSED);
    pqb_claim_give(&claim, PQB_END_CLOSED);
    pqb_claim_drop(&claim);
    struct pqb_claim next;
    cr_assert_eq(hold(&next), PQB_OK);
    while (next.index != copy.index) {
        pqb_claim_give(&next, PQB_END_CLOSED);
        cr_assert_eq(hold(&next), PQB_OK);
    }
    pqb_claim_give(&copy, PQB_END_CLOSED); /* late: the index is another claim's */
    cr_assert_eq(used(), 1);
    pqb_claim_give(&next, PQB_END_CLOSED);
}

Test(claim, that_was_freed_by_somebody_is_lost)
{
    static const struct pqb_claim_peer unseen;
    struct pqb_claim claim;
    cr_assert_eq(pqb_wait_acquire(&ledger, &request, 0, &claim, NULL, NULL), PQB_OK);
    uint64_t ctl = atomic_load(&row_of(&claim)->ctl);
    cr_assert(pqb_ending_bury(region()->map, claim.index, ctl, pqb_now()));
    cr_assert_eq(pqb_claim_open(&claim, &unseen), PQB_LOST);
    cr_assert_eq(pqb_claim_take(&claim), PQB_LOST);
    pqb_claim_give(&claim, PQB_END_CLOSED);
    cr_assert_eq(used(), 0);
}

Test(claim, tells_people_who_holds_it)
{
    char user[100];
    memset(user, 'u', sizeof user);
    user[99] = 0;
    struct pqb_claim_peer peer = {
        .backend_pid = 4711, .user = user, .database = "db", .application_name = NULL};
    struct pqb_claim claim;
    struct pqb_snapshot snapshot;
    cr_assert_eq(pqb_wait_acquire(&ledger, &request, 0, &claim, NULL, NULL), PQB_OK);
    cr_assert_eq(pqb_claim_open(&claim, &peer), PQB_OK);
    cr_assert_eq(pqb_snapshot_take(region(), &snapshot), PQB_OK);
    cr_assert_eq(snapshot.claims, 1);
    const struct pqb_snapshot_claim *seen = &snapshot.claim[0];
    cr_assert_eq(seen->pid, getpid());
    cr_assert_eq(seen->backend_pid, 4711);
    cr_assert_eq(strlen(seen->user), 40);
    cr_assert_str_eq(seen->database, "db");
    cr_assert_str_eq(seen->application_name, "");
    cr_assert_str_neq(seen->command, "");
    cr_assert_str_eq(snapshot.app[seen->app].label, "test");
    cr_assert_str_eq(snapshot.server[seen->server].key, "localhost:5432");
    pqb_snapshot_free(&snapshot);
    pqb_claim_give(&claim, PQB_END_CLOSED);
}

static void use_everything(void)
{
    struct pqb_claim claim[5], sixth;
    struct pqb_region *mapped;
    unsigned obstacle;
    struct pqb_error error;
    expect(freopen("/dev/null", "r", stdin));
    int out = open(".", O_TMPFILE | O_RDWR, 0600);
    if (out < 0)
        out = fileno(tmpfile());
    dup2(out, 1);
    dup2(out, 2);
#define quietly(call)                                                                              \
    (errno = ENOTTY, (call), errno != ENOTTY ? dprintf(2, "errno: %s\n", #call) : 0)
    struct pqb_ledger again;
    quietly(pqb_ledger_close((expect(!pqb_ledger_open(&again, ledger.path, 1, &error)), &again)));
    for (int i = 0; i < 5; i++)
        quietly(expect(!hold(&claim[i])));
    quietly(
        expect(pqb_wait_acquire(&ledger, &request, 3, &sixth, &obstacle, &error) == PQB_TIMED_OUT));
    quietly(expect(!pqb_wait_submit(&ledger, &request, &sixth, &error)));
    quietly(expect(pqb_claim_take(&sixth) == PQB_WAITING));
    quietly(pqb_claim_give(&claim[0], PQB_END_CLOSED));
    quietly(expect(!pqb_claim_take(&sixth)));
    quietly(pqb_claim_drop(&claim[1]));
    quietly(support_count(&ledger));
    quietly(expect(!pqb_tick(region(), 0, NULL)));
    quietly(expect(!pqb_ledger_region(&ledger, &mapped, &error)));
    quietly(pqb_region_unpin(mapped));
    quietly(pqb_claim_give(&sixth, PQB_END_TIMED_OUT));
    _exit(lseek(out, 0, SEEK_END) != 0);
}

Test(claim, prints_nothing_and_keeps_errno)
{
    cr_assert_eq(support_apart(use_everything), 0);
}

/* ---- many ---- */

Test(claim, ten_thousand_are_held_by_one_process)
{
    enum { MANY = 10000 };
    static struct pqb_claim claim[MANY];
    allow_descriptors(MANY + 200);
    unsigned descriptors = support_descriptors();
    for (int i = 0; i < MANY; i++)
        cr_assert_eq(support_hold(&ledger, &unlimited, 0, &claim[i]), PQB_OK, "claim %d", i);
    cr_assert_eq(support_count(&ledger).open, MANY);
    for (int i = 0; i < MANY; i++)
        pqb_claim_give(&claim[i], PQB_END_CLOSED);
    cr_assert_eq(used(), 0);
    cr_assert_leq(support_descriptors(), descriptors + PQB_LIFE_POOL + 1);
}

/* Holds `count` claims until it is killed. */
static pid_t holder_of(unsigned count)
{
    _Atomic int *ready = support_shared(sizeof *ready);
    pid_t child = support_fork();
    if (!child) {
        struct pqb_claim claim;
        for (unsigned i = 0; i < count; i++)
            expect(!support_hold(&ledger, &unlimited, 0, &claim));
        atomic_store(ready, 1);
        support_linger();
    }
    cr_assert(wait_until(atomic_load(ready)), "holding %u claims", count);
    return child;
}

/* The hundred holders are all inside at once. */
Test(claim, ten_thousand_are_held_by_many_processes)
{
    pid_t child[100];
    for (int i = 0; i < 100; i++)
        child[i] = holder_of(100);
    cr_assert_eq(support_count(&ledger).open, 10000);
    for (int i = 0; i < 100; i++)
        support_kill(child[i]);
    cr_assert(wait_until(used() == 0));
}

Test(claim, a_full_table_says_so_until_one_is_given_back)
{
    struct pqb_claim last, more;
    allow_descriptors(PQB_CLAIMS + 200);
    pid_t child = holder_of(PQB_CLAIMS - 1);
    cr_assert_eq(support_hold(&ledger, &unlimited, 0, &last), PQB_OK);
    unsigned descriptors = support_descriptors();
    for (int i = 0; i < 20; i++)
        cr_assert_eq(pqb_wait_submit(&ledger, &unlimited, &more, NULL), PQB_FULL);
    cr_assert_leq(support_descriptors(), descriptors + 1);
    pqb_claim_give(&last, PQB_END_CLOSED);
    cr_assert_eq(support_hold(&ledger, &unlimited, 0, &more), PQB_OK);
    support_kill(child);
}

Test(claim, a_table_full_of_the_dead_has_room)
{
    struct pqb_claim claim;
    allow_descriptors(PQB_CLAIMS + 200);
    support_kill(holder_of(PQB_CLAIMS));
    cr_assert_eq(support_hold(&ledger, &unlimited, 0, &claim), PQB_OK);
    cr_assert_eq(used(), 1);
}

Test(claim, without_a_descriptor_left_says_so_and_recovers)
{
    struct pqb_claim claim[200], more;
    int count = 0;
    enum pqb_status status = PQB_OK;
    allow_descriptors(100);
    cr_assert_eq(hold(&claim[count++]), PQB_OK); /* opens the guard */
    while (!status && count < 200) {
        status = support_hold(&ledger, &unlimited, 0, &claim[count]);
        count += !status;
    }
    cr_assert_eq(status, PQB_NO_DESCRIPTOR);
    for (int i = 0; i < 50; i++)
        cr_assert_eq(support_hold(&ledger, &unlimited, 0, &more), PQB_NO_DESCRIPTOR);
    pqb_claim_give(&claim[--count], PQB_END_CLOSED);
    cr_assert_eq(support_hold(&ledger, &unlimited, 0, &claim[count++]), PQB_OK);
    allow_descriptors(400);
    cr_assert_eq(used(), (unsigned)count);
    for (int i = 0; i < 20; i++)
        cr_assert_eq(support_hold(&ledger, &unlimited, 0, &claim[count++]), PQB_OK);
    while (count)
        pqb_claim_give(&claim[--count], PQB_END_CLOSED);
    cr_assert_eq(used(), 0);
}

Test(claim, ten_thousand_one_after_the_other_leak_nothing)
{
    struct pqb_claim claim, another;
    unsigned descriptors = 0;
    size_t bytes = 0;
    for (int i = 0; i < 10000; i++) {
        cr_assert_eq(hold(&claim), PQB_OK);
        cr_assert_eq(hold(&another), PQB_OK);
        pqb_claim_give(&claim, PQB_END_CLOSED);
        pqb_claim_give(&another, PQB_END_CLOSED);
        if (i == 100) {
            descriptors = support_descriptors();
            bytes = mallinfo2().uordblks;
        }
    }
    size_t after = mallinfo2().uordblks;
    cr_assert_eq(support_descriptors(), descriptors);
    cr_assert_eq(after, bytes);
    cr_assert_eq(used(), 0);
}

/* ---- forks ---- */

static const struct pqb_server_config two = {.limit = 2, .reserve = 1};
static const struct pqb_claim_request reserved = {
    .server = "reserved:5432", .app = "test", .defaults = &two};

static void take_as_newcomer(void)
{
    struct pqb_claim claim, second;
    expect(!support_hold(&ledger, &reserved, 0, &claim));
    expect(row_of(&claim)->pid == (int32_t)getpid());
    expect(support_hold(&ledger, &reserved, 0, &second) == PQB_TIMED_OUT);
}

Test(claim, a_forked_child_is_a_newcomer)
{
    struct pqb_claim claim, second;
    cr_assert_eq(support_hold(&ledger, &reserved, 0, &claim), PQB_OK);
    cr_assert_eq(support_hold(&ledger, &reserved, 0, &second), PQB_TIMED_OUT);
    cr_assert_eq(support_apart(take_as_newcomer), 0);
    cr_assert_eq(used(), 1);
}

enum how { BY_FORK, BY_RAW_CLONE };

/* A process that takes a claim up to `state`, makes a child and is killed. The child lives on. */
static pid_t orphan_of_holder(enum how how, enum pqb_claim_state state)
{
    static const struct pqb_claim_peer unseen;
    _Atomic pid_t *left = support_shared(sizeof *left);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    pid_t child = support_fork();
    if (!child) {
        struct pqb_claim claim;
        expect(!pqb_wait_submit(&ledger, &request, &claim, NULL));
        if (state >= PQB_CLAIM_CONNECTING)
            expect(!pqb_claim_take(&claim));
        if (state >= PQB_CLAIM_OPEN)
            expect(!pqb_claim_open(&claim, &unseen));
        expect(state_of(&claim) == state);
        pid_t grandchild = how == BY_FORK ? fork() : support_raw_clone(0);
        if (!grandchild) {
            atomic_store(left, getpid());
            support_linger();
        }
        expect(wait_until(atomic_load(left)));
        kill(getpid(), SIGKILL);
    }
    int status = support_reap(child);
    cr_assert(WIFSIGNALED(status));
    return atomic_load(left);
}

Test(claim, an_open_one_is_counted_while_a_forked_child_lives)
{
    pid_t orphan = orphan_of_holder(BY_FORK, PQB_CLAIM_OPEN);
    for (int i = 0; i < 10; i++)
        cr_assert_eq(used(), 1);
    support_kill(orphan);
    cr_assert(wait_until(used() == 0));
}

Test(claim, an_unconnected_one_dies_with_its_owner_not_with_the_owners_child)
{
    for (enum pqb_claim_state state = PQB_CLAIM_GRANTED; state <= PQB_CLAIM_CONNECTING; state++) {
        pid_t orphan = orphan_of_holder(BY_FORK, state);
        cr_assert(wait_until(used() == 0), "state %d", state);
        cr_assert_eq(kill(orphan, 0), 0);
        support_kill(orphan);
    }
}

Test(claim, a_waiting_one_dies_with_its_owner_not_with_the_owners_child)
{
    struct pqb_claim all[5];
    for (int i = 0; i < 5; i++)
        cr_assert_eq(hold(&all[i]), PQB_OK);
    pid_t orphan = orphan_of_holder(BY_FORK, PQB_CLAIM_WAITING);
    cr_assert(wait_until(support_count(&ledger).waiting == 0));
    cr_assert_eq(kill(orphan, 0), 0);
    support_kill(orphan);
}

Test(claim, a_raw_clone_child_keeps_an_open_one_and_wedges_nobody)
{
    struct pqb_claim claim[4], more;
    pid_t orphan = orphan_of_holder(BY_RAW_CLONE, PQB_CLAIM_OPEN);
    for (int i = 0; i < 4; i++)
        cr_assert_eq(hold(&claim[i]), PQB_OK);
    cr_assert_eq(hold(&more), PQB_TIMED_OUT);
    support_kill(orphan);
    cr_assert_eq(support_hold(&ledger, &request, 10000, &more), PQB_OK);
}

/* Both go on, with what they had of each other's descriptions. */
Test(claim, a_raw_clone_child_and_its_parent_go_on_side_by_side)
{
    _Atomic int *stage = support_shared(sizeof *stage);
    struct pqb_claim held, claim, mine[2];
    cr_assert_eq(hold(&held), PQB_OK);
    cr_assert_eq(hold(&claim), PQB_OK);
    pqb_claim_give(&claim, PQB_END_CLOSED); /* leaves a description in the pool */
    pid_t child = support_raw_clone(1);
    if (!child) {
        expect(!hold(&mine[0]) && !hold(&mine[1]));
        atomic_store(stage, 1);
        expect(wait_until(atomic_load(stage) == 2));
        expect(!hold(&claim));
        pqb_claim_give(&mine[0], PQB_END_CLOSED);
        atomic_store(stage, 3);
        support_linger();
    }
    cr_assert(wait_until(atomic_load(stage) == 1));
    cr_assert_eq(used(), 3);
    cr_assert_eq(hold(&claim), PQB_OK);
    cr_assert_eq(used(), 4);
    atomic_store(stage, 2);
    cr_assert(wait_until(atomic_load(stage) == 3));
    cr_assert_eq(used(), 4);
    support_kill(child);
    cr_assert(wait_until(used() == 2));
    pqb_claim_give(&held, PQB_END_CLOSED);
    pqb_claim_give(&claim, PQB_END_CLOSED);
    cr_assert_eq(used(), 0);
}

static struct pqb_claim inherited;

static void give_inherited(void)
{
    pqb_claim_give(&inherited, PQB_END_CLOSED);
}

static void drop_inherited(void)
{
    pqb_claim_drop(&inherited);
}

static void leave_inherited(void)
{
}

Test(claim, given_in_a_forked_child_is_free_for_both)
{
    cr_assert_eq(hold(&inherited), PQB_OK);
    cr_assert_eq(support_apart(give_inherited), 0);
    cr_assert_eq(used(), 0);
    struct pqb_claim all[5];
    for (int i = 0; i < 5; i++)
        cr_assert_eq(hold(&all[i]), PQB_OK);
    pqb_claim_give(&inherited, PQB_END_CLOSED);
    cr_assert_eq(used(), 5);
}

Test(claim, dropped_or_forgotten_in_a_forked_child_is_the_parents_still)
{
    cr_assert_eq(hold(&inherited), PQB_OK);
    cr_assert_eq(support_apart(drop_inherited), 0);
    cr_assert_eq(used(), 1);
    cr_assert_eq(support_apart(leave_inherited), 0);
    cr_assert_eq(used(), 1);
    pqb_claim_give(&inherited, PQB_END_CLOSED);
    cr_assert_eq(used(), 0);
}

Test(claim, given_in_the_parent_is_free_though_a_child_lives)
{
    cr_assert_eq(hold(&inherited), PQB_OK);
    pid_t child = support_fork();
    if (!child)
        support_linger();
    pqb_claim_give(&inherited, PQB_END_CLOSED);
    cr_assert_eq(used(), 0);
    /* And what is taken now is the parent's alone. */
    cr_assert_eq(hold(&inherited), PQB_OK);
    pqb_claim_give(&inherited, PQB_END_CLOSED);
    support_kill(child);
}

/* Everything a parent takes after a fork must die with it, whatever descriptions the child has. */
Test(claim, taken_after_a_fork_dies_with_the_parent)
{
    _Atomic pid_t *left = support_shared(sizeof *left);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    pid_t child = support_fork();
    if (!child) {
        struct pqb_claim claim[5];
        for (int i = 0; i < 5; i++)
            expect(!hold(&claim[i]));
        for (int i = 0; i < 5; i++)
            pqb_claim_give(&claim[i], PQB_END_CLOSED); /* fills the pool */
        pid_t grandchild = fork();
        if (!grandchild)
            support_linger();
        atomic_store(left, grandchild);
        for (int i = 0; i < 5; i++)
            expect(!hold(&claim[i]));
        kill(getpid(), SIGKILL);
    }
    support_reap(child);
    cr_assert(wait_until(used() == 0));
    cr_assert_eq(kill(atomic_load(left), 0), 0);
    support_kill(atomic_load(left));
}

static enum pqb_status in_vfork;

Test(claim, a_vfork_child_changes_nothing)
{
    static struct pqb_claim claim, more;
    cr_assert_eq(hold(&claim), PQB_OK);
    unsigned descriptors = support_descriptors();
    pid_t child = vfork();
    if (!child) {
        in_vfork = pqb_wait_acquire(&ledger, &request, 0, &more, NULL, NULL);
        if (in_vfork == PQB_BORROWED)
            in_vfork = pqb_wait_submit(&ledger, &request, &more, NULL);
        pqb_claim_give(&claim, PQB_END_CLOSED);
        pqb_claim_drop(&claim);
        _exit(0);
    }
    support_reap(child);
    cr_assert_eq(in_vfork, PQB_BORROWED);
    cr_assert_not_null(claim.region);
    cr_assert_eq(used(), 1);
    cr_assert_eq(support_descriptors(), descriptors);
    pqb_claim_give(&claim, PQB_END_CLOSED);
    cr_assert_eq(used(), 0);
}

/* ---- exec, daemon, closefrom ---- */

Test(claim, exec_gives_everything_back)
{
    pid_t child = support_fork();
    if (!child) {
        struct pqb_claim claim[3];
        expect(!hold(&claim[0]) && !hold(&claim[1]));
        expect(!pqb_wait_submit(&ledger, &request, &claim[2], NULL));
        execlp("sleep", "sleep", "1000", (char *)NULL);
        _exit(2);
    }
    cr_assert(wait_until(used() == 3) || used() == 0);
    cr_assert(wait_until(used() == 0));
    cr_assert_eq(kill(child, 0), 0);
    support_kill(child);
}

Test(claim, exec_leaves_no_descriptor_to_the_next_program)
{
    pid_t child = support_fork();
    if (!child) {
        struct pqb_claim claim[2];
        expect(!hold(&claim[0]) && !hold(&claim[1]));
        pqb_claim_give(&claim[1], PQB_END_CLOSED);
        execlp("sh", "sh", "-c", "! ls -l /proc/self/fd | grep -q pqbudget", (char *)NULL);
        _exit(2);
    }
    cr_assert_eq(support_reap(child), 0);
}

Test(claim, daemon_gives_nothing_back)
{
    _Atomic pid_t *left = support_shared(sizeof *left);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    pid_t child = support_fork();
    if (!child) {
        struct pqb_claim claim;
        expect(!hold(&claim));
        expect(!daemon(1, 1));
        atomic_store(left, getpid());
        support_linger();
    }
    cr_assert_eq(support_reap(child), 0);
    for (int i = 0; i < 10; i++)
        cr_assert_eq(used(), 1);
    cr_assert(wait_until(atomic_load(left)));
    support_kill(atomic_load(left));
    cr_assert(wait_until(used() == 0));
}

static void close_all_and_go_on(void)
{
    struct pqb_claim first, second, third;
    expect(!hold(&first));
    expect(!pqb_wait_acquire(&ledger, &request, 0, &third, NULL, NULL));
    support_close_all();
    expect(wait_until(used() == 0)); /* with the descriptors, its sockets are closed too */
    expect(!hold(&second));
    pqb_claim_give(&first, PQB_END_CLOSED);
    pqb_claim_drop(&third);
    expect(used() == 1);
    expect(support_count(&ledger).open == 1);
    pqb_claim_give(&second, PQB_END_CLOSED);
    expect(used() == 0);
}

Test(claim, closing_all_descriptors_frees_what_was_held_and_nothing_else)
{
    cr_assert_eq(support_apart(close_all_and_go_on), 0);
}

static void close_all_and_fill_with_pipes(void)
{
    struct pqb_claim held[3], pooled;
    int ends[2], last = 0;
    char byte = 'x';
    for (int i = 0; i < 3; i++)
        expect(!hold(&held[i]));
    expect(!hold(&pooled));
    pqb_claim_give(&pooled, PQB_END_CLOSED);
    support_close_all();
    expect(!pipe(ends));
    for (int fd = 500; fd < 600; fd++)
        expect((last = dup2(ends[1], fd)) == fd);
    for (int i = 0; i < 3; i++)
        pqb_claim_give(&held[i], PQB_END_CLOSED);
    expect(used() == 0);
    expect(!hold(&held[0]));
    pqb_claim_give(&held[0], PQB_END_CLOSED);
    for (int fd = 500; fd < 600; fd++)
        expect(write(fd, &byte, 1) == 1);
}

Test(claim, never_closes_a_descriptor_that_is_the_hosts)
{
    cr_assert_eq(support_apart(close_all_and_fill_with_pipes), 0);
}

/* ---- deaths ---- */

static pid_t holder(const struct pqb_claim_request *asked, int32_t backend)
{
    _Atomic int *ready = support_shared(sizeof *ready);
    pid_t child = support_fork();
    if (!child) {
        struct pqb_claim claim;
        struct pqb_claim_peer peer = {.backend_pid = backend, .is_local = backend != 0};
        expect(!pqb_wait_acquire(&ledger, asked, 0, &claim, NULL, NULL));
        expect(!pqb_claim_open(&claim, &peer));
        atomic_store(ready, 1);
        support_linger();
    }
    cr_assert(wait_until(atomic_load(ready)));
    return child;
}

Test(claim, of_a_killed_process_is_free_though_nobody_reaped_it)
{
    siginfo_t info;
    pid_t child = holder(&request, 0);
    cr_assert_eq(used(), 1);
    kill(child, SIGKILL);
    cr_assert_eq(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0);
    cr_assert(wait_until(used() == 0));
    support_reap(child);
}

Test(claim, of_a_stopped_process_stays_counted)
{
    int status;
    struct pqb_claim all[4], more;
    pid_t child = holder(&request, 0);
    kill(child, SIGSTOP);
    waitpid(child, &status, WUNTRACED);
    for (int i = 0; i < 4; i++)
        cr_assert_eq(hold(&all[i]), PQB_OK);
    cr_assert_eq(support_hold(&ledger, &request, 100, &more), PQB_TIMED_OUT);
    cr_assert_eq(used(), 5);
    support_kill(child);
    cr_assert_eq(support_hold(&ledger, &request, 10000, &more), PQB_OK);
}

/* ---- draining ---- */

static const struct pqb_server_config one = {.limit = 1, .drain_ms = 300};
static const struct pqb_claim_request single = {
    .server = "single:5432", .app = "test", .defaults = &one};

/* A child that /proc calls a backend of a postgres. */
static pid_t play_backend(void)
{
    _Atomic int *ready = support_shared(sizeof *ready);
    prctl(PR_SET_NAME, "postgres");
    pid_t child = support_fork();
    if (!child) {
        prctl(PR_SET_NAME, "postgres");
        atomic_store(ready, 1);
        support_linger();
    }
    cr_assert(wait_until(atomic_load(ready)));
    return child;
}

static enum pqb_status hold_backend(const struct pqb_claim_request *asked, pid_t backend,
                                    struct pqb_claim *claim)
{
    struct pqb_claim_peer peer = {.backend_pid = backend, .is_local = 1};
    enum pqb_status status = pqb_wait_acquire(&ledger, asked, 0, claim, NULL, NULL);
    return status ? status : pqb_claim_open(claim, &peer);
}

Test(claim, of_an_unseen_backend_is_free_at_once_after_a_clean_close)
{
    struct pqb_claim claim;
    cr_assert_eq(support_hold(&ledger, &single, 0, &claim), PQB_OK);
    pqb_claim_give(&claim, PQB_END_CLOSED);
    cr_assert_eq(support_hold(&ledger, &single, 0, &claim), PQB_OK);
}

Test(claim, of_a_backend_that_is_not_a_postgres_is_free_at_once)
{
    struct pqb_claim claim;
    prctl(PR_SET_NAME, "node");
    cr_assert_eq(hold_backend(&single, getpid(), &claim), PQB_OK);
    pqb_claim_give(&claim, PQB_END_CLOSED);
    cr_assert_eq(used(), 0);
}

Test(claim, of_an_unseen_backend_drains_for_its_time_after_a_death)
{
    struct pqb_claim claim;
    pid_t child = holder(&single, 0);
    support_kill(child);
    uint64_t died = pqb_now();
    cr_assert_eq(support_count(&ledger).draining, 1);
    cr_assert_eq(support_hold(&ledger, &single, 10000, &claim), PQB_OK);
    cr_assert_geq(pqb_now() - died, 290 * PQB_MS);
}

Test(claim, that_is_left_in_the_midst_of_its_login_drains_for_its_time)
{
    struct pqb_claim claim;
    cr_assert_eq(pqb_wait_acquire(&ledger, &single, 0, &claim, NULL, NULL), PQB_OK);
    uint64_t left = pqb_now();
    pqb_claim_give(&claim, PQB_END_LEFT);
    cr_assert_eq(support_count(&ledger).draining, 1);
    cr_assert_eq(support_hold(&ledger, &single, 10000, &claim), PQB_OK);
    cr_assert_geq(pqb_now() - left, 290 * PQB_MS);
}

/* Its first backend is gone, and the second one not known yet. */
Test(claim, that_is_left_or_dies_as_it_is_connected_anew_drains_for_its_time)
{
    for (int dies = 0; dies < 2; dies++) {
        struct pqb_claim claim;
        _Atomic int *ready = support_shared(sizeof *ready);
        pid_t backend = play_backend(), child = dies ? support_fork() : -1;
        if (child <= 0) {
            expect(!hold_backend(&single, backend, &claim));
            pqb_claim_reset(&claim);
            if (!child) {
                atomic_store(ready, 1);
                support_linger();
            }
        }
        cr_assert(!dies || wait_until(atomic_load(ready)));
        support_kill(backend);
        uint64_t left = pqb_now();
        if (dies)
            support_kill(child);
        else
            pqb_claim_give(&claim, PQB_END_LEFT);
        cr_assert_eq(support_count(&ledger).draining, 1);
        cr_assert_eq(support_hold(&ledger, &single, 10000, &claim), PQB_OK);
        cr_assert_geq(pqb_now() - left, 290 * PQB_MS);
        pqb_claim_give(&claim, PQB_END_CLOSED);
    }
}

Test(claim, that_never_connected_is_free_at_once)
{
    struct pqb_claim claim;
    cr_assert_eq(pqb_wait_acquire(&ledger, &single, 0, &claim, NULL, NULL), PQB_OK);
    pqb_claim_give(&claim, PQB_END_CLOSED);
    cr_assert_eq(used(), 0);
}

Test(claim, of_an_unseen_backend_is_free_at_once_after_a_death_with_drain_0)
{
    struct pqb_claim claim[5];
    for (int i = 0; i < 5; i++)
        support_kill(holder(&request, 0));
    for (int i = 0; i < 5; i++)
        cr_assert_eq(hold(&claim[i]), PQB_OK);
}

Test(claim, drains_until_its_backend_has_exited)
{
    struct pqb_claim claim, next;
    pid_t backend = play_backend();
    cr_assert_eq(hold_backend(&single, backend, &claim), PQB_OK);
    pqb_claim_give(&claim, PQB_END_CLOSED);
    for (int i = 0; i < 10; i++)
        cr_assert_eq(support_count(&ledger).draining, 1);
    cr_assert_eq(support_hold(&ledger, &single, 50, &next), PQB_TIMED_OUT);
    kill(backend, SIGKILL);
    siginfo_t info;
    waitid(P_PID, (id_t)backend, &info, WEXITED | WNOWAIT);
    cr_assert(wait_until(used() == 0)); /* a zombie has exited */
    cr_assert_eq(support_hold(&ledger, &single, 0, &next), PQB_OK);
    support_reap(backend);
}

/* What PQreset does. */
Test(claim, opened_anew_drains_until_its_second_backend_has_exited)
{
    struct pqb_claim claim;
    struct pqb_snapshot snapshot;
    pid_t first = play_backend(), second = play_backend();
    struct pqb_claim_peer peer = {.backend_pid = second, .is_local = 1, .user = "other"};
    cr_assert_eq(hold_backend(&single, first, &claim), PQB_OK);
    cr_assert_eq(pqb_claim_open(&claim, &peer), PQB_OK);
    cr_assert_eq(pqb_snapshot_take(region(), &snapshot), PQB_OK);
    cr_assert_eq(snapshot.claims, 1);
    cr_assert_eq(snapshot.claim[0].state, PQB_CLAIM_OPEN);
    cr_assert_eq(snapshot.claim[0].backend_pid, second);
    cr_assert_str_eq(snapshot.claim[0].user, "other");
    pqb_snapshot_free(&snapshot);
    support_kill(first);
    struct pqb_claim again = claim;
    pqb_claim_give(&claim, PQB_END_CLOSED);
    for (int i = 0; i < 10; i++)
        cr_assert_eq(support_count(&ledger).draining, 1);
    cr_assert_eq(pqb_claim_open(&again, &peer), PQB_LOST);
    support_kill(second);
    cr_assert(wait_until(used() == 0));
}

Test(claim, drains_also_when_its_holder_died)
{
    struct pqb_claim next;
    pid_t backend = play_backend();
    support_kill(holder(&single, backend));
    uint64_t died = pqb_now();
    /* Longer than an unseen backend would be counted. */
    cr_assert(wait_until(pqb_now() > died + 400 * PQB_MS));
    cr_assert_eq(support_count(&ledger).draining, 1);
    cr_assert_eq(support_hold(&ledger, &single, 0, &next), PQB_TIMED_OUT);
    support_kill(backend);
    cr_assert_eq(support_hold(&ledger, &single, 10000, &next), PQB_OK);
}

Test(claim, does_not_drain_for_another_process_with_its_backends_pid)
{
    struct pqb_claim claim;
    pid_t backend = play_backend();
    cr_assert_eq(hold_backend(&single, backend, &claim), PQB_OK);
    row_of(&claim)->backend_start--;
    pqb_claim_give(&claim, PQB_END_CLOSED);
    cr_assert(wait_until(used() == 0));
    support_kill(backend);
}

/* PQreset keeps its claim and gets another backend: once more, and then a third one that nobody
 * sees. */
Test(claim, opened_anew_drains_for_the_new_backend_and_counts_once)
{
    struct pqb_claim claim;
    pid_t first = play_backend(), second = play_backend();
    struct pqb_claim_peer anew = {.backend_pid = second, .is_local = 1, .user = "v"};
    cr_assert_eq(hold_backend(&single, first, &claim), PQB_OK);
    cr_assert_eq(pqb_claim_open(&claim, &anew), PQB_OK);
    cr_assert_eq(used(), 1);
    cr_assert_eq(support_count(&ledger).open, 1);
    cr_assert_eq(row_of(&claim)->backend_pid, second);
    cr_assert_str_eq(row_of(&claim)->user, "v");
    support_kill(first);
    pqb_claim_give(&claim, PQB_END_CLOSED);
    cr_assert_eq(support_count(&ledger).draining, 1);
    support_kill(second);
    cr_assert(wait_until(used() == 0));

    first = play_backend();
    anew = (struct pqb_claim_peer){.backend_pid = first};
    cr_assert_eq(hold_backend(&single, first, &claim), PQB_OK);
    cr_assert_eq(pqb_claim_open(&claim, &anew), PQB_OK);
    pqb_claim_give(&claim, PQB_END_CLOSED);
    cr_assert_eq(used(), 0);
    support_kill(first);
}

/* The damper must not take it for one that logs in for ever. */
Test(claim, opened_anew_is_not_logging_in)
{
    static const struct pqb_server_config damped = {.limit = 2, .logins = 1};
    struct pqb_claim_request wanted = single;
    struct pqb_claim claim, next;
    struct pqb_claim_peer peer = {0};
    wanted.defaults = &damped;
    cr_assert_eq(support_hold(&ledger, &wanted, 0, &claim), PQB_OK);
    cr_assert_eq(pqb_claim_open(&claim, &peer), PQB_OK);
    cr_assert_eq(support_hold(&ledger, &wanted, 0, &next), PQB_OK);
    pqb_claim_give(&next, PQB_END_CLOSED);
    pqb_claim_give(&claim, PQB_END_CLOSED);
    cr_assert_eq(used(), 0);
}

Test(claim, drains_no_longer_than_the_ceiling)
{
    struct pqb_claim claim, next;
    pid_t backend = play_backend();
    cr_assert_eq(hold_backend(&single, backend, &claim), PQB_OK);
    struct pqb_claim_row *row = row_of(&claim);
    pqb_claim_give(&claim, PQB_END_CLOSED);
    cr_assert_eq(support_hold(&ledger, &single, 0, &next), PQB_TIMED_OUT);
    uint64_t stamp = atomic_load(&row->drain_until), ctl = atomic_load(&row->ctl), now = pqb_now();
    cr_assert_gt(stamp, pqb_ending_stamp(ctl, now + PQB_DRAIN_CEILING - 20 * PQB_SECOND));
    cr_assert_leq(stamp, pqb_ending_stamp(ctl, now + PQB_DRAIN_CEILING));
    atomic_store(&row->drain_until, pqb_ending_stamp(ctl, now));
    cr_assert_eq(support_hold(&ledger, &single, 10000, &next), PQB_OK);
    support_kill(backend);
}

Test(claim, drains_no_longer_than_the_ceiling_whatever_the_clock_of_another_boot_said)
{
    struct pqb_claim claim, next;
    pid_t backend = play_backend();
    cr_assert_eq(hold_backend(&single, backend, &claim), PQB_OK);
    struct pqb_claim_row *row = row_of(&claim);
    pqb_claim_give(&claim, PQB_END_CLOSED);
    uint64_t ctl = atomic_load(&row->ctl);
    atomic_store(&row->drain_until, pqb_ending_stamp(ctl, pqb_now() + 10 * PQB_DRAIN_CEILING));
    cr_assert_eq(support_hold(&ledger, &single, 10000, &next), PQB_OK);
    support_kill(backend);
}

/* Somebody who buried the row's last claim was held up between looking and writing: found by the
 * model. What he writes then must not end the draining of its next claim. */
Test(claim, drains_whatever_a_late_hand_says_of_an_earlier_one)
{
    struct pqb_claim claim, next;
    pid_t backend = play_backend();
    cr_assert_eq(hold_backend(&single, backend, &claim), PQB_OK);
    struct pqb_claim_row *row = row_of(&claim);
    pqb_claim_give(&claim, PQB_END_CLOSED);
    uint64_t ctl = atomic_load(&row->ctl), earlier = ctl - (1ull << 32);
    atomic_store(&row->drain_until, pqb_ending_stamp(earlier, pqb_now() - PQB_SECOND));
    cr_assert_eq(support_hold(&ledger, &single, 50, &next), PQB_TIMED_OUT);
    cr_assert_eq(atomic_load(&row->ctl), ctl);
    cr_assert_eq(atomic_load(&row->drain_until) >> 32, ctl >> 32);
    support_kill(backend);
    cr_assert_eq(support_hold(&ledger, &single, 10000, &next), PQB_OK);
}

/* ---- the ledger goes ---- */

Test(claim, of_a_ledger_that_was_reset_is_given_back_without_harm)
{
    struct pqb_claim before, after;
    cr_assert_eq(hold(&before), PQB_OK);
    cr_assert_eq(pqb_steer_reset(ledger.path, 0, NULL), PQB_REFUSED);
    cr_assert_eq(pqb_steer_reset(ledger.path, 1, NULL), PQB_OK);
    cr_assert_eq(hold(&after), PQB_OK);
    cr_assert_neq(after.region, before.region);
    cr_assert_eq(used(), 1);
    pqb_claim_give(&before, PQB_END_CLOSED);
    cr_assert_eq(used(), 1);
    pqb_claim_give(&after, PQB_END_CLOSED);
    cr_assert_eq(used(), 0);
}

Test(claim, of_a_ledger_that_was_unlinked_is_given_back_without_harm)
{
    struct pqb_claim before, after;
    cr_assert_eq(hold(&before), PQB_OK);
    cr_assert_eq(unlink(ledger.path), 0);
    cr_assert_eq(hold(&after), PQB_OK);
    cr_assert_eq(used(), 1);
    pqb_claim_give(&before, PQB_END_CLOSED);
    pqb_claim_give(&after, PQB_END_CLOSED);
    cr_assert_eq(used(), 0);
}

Test(claim, of_a_ledger_that_shrank_is_given_back_without_harm)
{
    struct pqb_claim claim, more;
    cr_assert_eq(hold(&claim), PQB_OK);
    unsigned descriptors = support_descriptors();
    cr_assert_eq(truncate(ledger.path, 100), 0);
    cr_assert_eq(hold(&more), PQB_DAMAGED);
    pqb_claim_give(&claim, PQB_END_CLOSED);
    cr_assert_leq(support_descriptors(), descriptors);
}

/* Says of itself that it was reset, and is there all the same: no reason to try for ever. */
Test(claim, of_a_ledger_that_is_retired_and_not_removed_is_a_failure)
{
    struct pqb_claim claim;
    struct pqb_error error;
    atomic_store(&region()->map->header.retired, 1);
    cr_assert_eq(pqb_wait_acquire(&ledger, &request, PQB_WAIT_FOREVER, &claim, NULL, &error),
                 PQB_DAMAGED);
    cr_assert_not_null(strstr(error.text, "reset"));
    cr_assert_eq(pqb_wait_submit(&ledger, &request, &claim, NULL), PQB_DAMAGED);
    cr_assert_eq(pqb_steer_reset(ledger.path, 1, NULL), PQB_OK);
    cr_assert_eq(hold(&claim), PQB_OK);
}

static void replace_for_a_while(void)
{
    for (int i = 0; i < 200; i++)
        if (pqb_steer_reset(ledger.path, 1, NULL) != PQB_OK)
            support_nap();
}

Test(claim, can_be_had_while_somebody_resets_the_ledger_over_and_over)
{
    int status;
    pid_t child = support_fork();
    if (!child) {
        replace_for_a_while();
        _exit(0);
    }
    while (!waitpid(child, &status, WNOHANG)) {
        struct pqb_claim claim;
        struct pqb_error error = {{0}};
        enum pqb_status result = pqb_wait_acquire(&ledger, &request, 1000, &claim, NULL, &error);
        cr_assert_eq(result, PQB_OK, "%s", error.text);
        pqb_claim_give(&claim, PQB_END_CLOSED);
    }
}

Test(claim, ledgers_that_come_and_go_leave_nothing_behind)
{
    struct pqb_claim claim;
    unsigned descriptors = 0;
    for (int i = 0; i < 20; i++) {
        cr_assert_eq(hold(&claim), PQB_OK);
        cr_assert_eq(pqb_steer_reset(ledger.path, 1, NULL), PQB_OK);
        pqb_claim_give(&claim, PQB_END_CLOSED);
        if (i == 2)
            descriptors = support_descriptors();
    }
    cr_assert_eq(support_descriptors(), descriptors);
}

/* ---- other namespaces, other users, other word sizes ---- */

/* Becomes process 2 or so of a new pid namespace, where this process is seen by nobody. */
static int enter_namespace(void)
{
    if (!unshare(CLONE_NEWPID))
        return 1;
    return !unshare(CLONE_NEWUSER | CLONE_NEWPID);
}

static void compete_in_namespace(_Atomic int *stage, int place)
{
    struct pqb_claim claim[5], more;
    int count = place ? 3 : 2;
    expect(getpid() == 1);
    for (int i = 0; i < count; i++)
        expect(!hold(&claim[i]));
    atomic_fetch_add(stage, 1);
    expect(wait_until(atomic_load(stage) >= 2));
    expect(hold(&more) == PQB_TIMED_OUT);
    atomic_fetch_add(stage, 1);
    if (!place)
        support_linger();
    /* The other one is killed: that is noticed here. */
    expect(!support_hold(&ledger, &request, 20000, &more));
}

Test(claim, two_pid_namespaces_share_one_limit_and_see_each_others_deaths)
{
    _Atomic int *stage = support_shared(sizeof *stage);
    _Atomic pid_t *inner = support_shared(2 * sizeof *inner);
    pid_t outer[2];
    for (int place = 0; place < 2; place++) {
        outer[place] = support_fork();
        if (outer[place])
            continue;
        if (!enter_namespace())
            _exit(77);
        pid_t pid = fork();
        if (!pid) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            compete_in_namespace(stage, place);
            _exit(0);
        }
        atomic_store(&inner[place], pid);
        int status = support_reap(pid);
        _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 0);
    }
    if (!wait_until(atomic_load(stage) == 4)) {
        int status = support_kill(outer[0]);
        if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
            cr_skip_test("no pid namespaces here");
        cr_assert_fail("the two do not compete");
    }
    support_kill(outer[0]); /* and its child with it */
    cr_assert_eq(support_reap(outer[1]), 0);
    cr_assert(wait_until(used() == 0));
}

static char shared_folder[64];

static void use_as_another_user(void)
{
    struct pqb_ledger theirs;
    struct pqb_claim claim[5];
    struct pqb_error error = {{0}};
    char path[128];
    gid_t group = 4242;
    snprintf(path, sizeof path, "%s/ledger", shared_folder);
    expect(!setgroups(1, &group) && !setgid(4243) && !setuid(4244));
    enum pqb_status status = pqb_ledger_open(&theirs, path, 1, &error);
    if (status)
        dprintf(2, "%s\n", error.text);
    expect(!status);
    for (int i = 0; i < 4; i++)
        expect(!support_hold(&theirs, &request, 0, &claim[i]));
    expect(support_hold(&theirs, &request, 0, &claim[4]) == PQB_TIMED_OUT);
    kill(getpid(), SIGKILL);
}

Test(claim, a_group_shares_a_ledger_at_a_path)
{
    struct pqb_ledger ours;
    struct pqb_claim claim[5];
    char path[128];
    if (geteuid())
        cr_skip_test("needs root");
    snprintf(shared_folder, sizeof shared_folder, "/dev/shm/test.group.%d", (int)getpid());
    snprintf(path, sizeof path, "%s/ledger", shared_folder);
    cr_assert_eq(mkdir(shared_folder, 0770), 0);
    cr_assert_eq(chown(shared_folder, 0, 4242), 0);
    cr_assert_eq(chmod(shared_folder, 02770), 0);
    cr_assert_eq(pqb_ledger_open(&ours, path, 1, NULL), PQB_OK);
    cr_assert_eq(support_hold(&ours, &request, 0, &claim[0]), PQB_OK);
    int status = support_apart(use_as_another_user);
    cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    for (int i = 1; i < 5; i++)
        cr_assert_eq(support_hold(&ours, &request, 10000, &claim[i]), PQB_OK);
    cr_assert_eq(pqb_steer_reset(path, 1, NULL), PQB_OK);
    pqb_ledger_close(&ours);
    cr_assert_eq(rmdir(shared_folder), 0);
}

static int run_peer(const char *path)
{
    pid_t child = support_fork();
    if (!child) {
        execl(support_built("helpers32/peer"), "peer", path, (char *)NULL);
        _exit(127);
    }
    return support_reap(child);
}

Test(claim, a_peer_of_another_word_size_is_refused_and_changes_nothing)
{
    struct pqb_claim claim;
    if (access(support_built("helpers32/peer"), X_OK))
        cr_skip_test("no 32-bit programs here");
    cr_assert_eq(hold(&claim), PQB_OK);
    void *before = malloc(PQB_LEDGER_BYTES);
    memcpy(before, region()->map, PQB_LEDGER_BYTES);
    cr_assert_eq(run_peer(ledger.path), 0);
    cr_assert_eq(memcmp(before, region()->map, PQB_LEDGER_BYTES), 0);
    free(before);
}

/* The library loads into 32-bit programs too: those share a ledger among themselves. */
Test(claim, a_peer_of_another_word_size_can_have_a_ledger_of_its_own)
{
    if (access(support_built("helpers32/peer"), X_OK))
        cr_skip_test("no 32-bit programs here");
    cr_assert_eq(run_peer(NULL), 0);
}
