/* life.c: a lock lives exactly as long as the last copy of its description. */
#include "ledger/life.h"
#include "ledger/process.h"
#include "support/support.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static struct pqb_ledger ledger;
static struct pqb_life *life;
static struct pqb_layout *map;

#define GROUP 3

static void open_ledger(void)
{
    support_ledger_open(&ledger);
    life = &atomic_load(&ledger.region)->life;
    map = atomic_load(&ledger.region)->map;
}

static void end_ledger(void)
{
    support_ledger_end(&ledger);
}

TestSuite(life, .init = open_ledger, .fini = end_ledger, .timeout = 60);

struct taken {
    unsigned index;
    uint32_t generation;
};

static enum pqb_status take_of(uint64_t candidates, struct taken *taken)
{
    struct pqb_process self;
    struct pqb_process_hold hold;
    enum pqb_status status = pqb_process_self(&self);
    if (!status)
        status = pqb_process_lock(&hold, PQB_FOREVER);
    if (status)
        return status;
    status = pqb_life_take(life, map, GROUP, candidates, &taken->index, &taken->generation);
    pqb_process_unlock(&hold);
    return status;
}

static struct taken take(void)
{
    struct taken taken = {PQB_NIL, 0};
    cr_assert_eq(take_of(~0ull, &taken), PQB_OK);
    return taken;
}

static void give(struct taken taken)
{
    struct pqb_process_hold hold;
    if (pqb_process_lock(&hold, PQB_FOREVER))
        _exit(98);
    pqb_life_give(life, taken.index, taken.generation, 1);
    pqb_process_unlock(&hold);
}

static int is_locked(unsigned index)
{
    int fd;
    if (pqb_life_probe_open(life, GROUP, &fd))
        return -1;
    int locked = pqb_life_probe(fd, index);
    close(fd);
    return locked;
}

static void publish(struct taken taken, enum pqb_claim_state state)
{
    atomic_store(&map->claim[taken.index].ctl, (uint64_t)taken.generation << 32 | state);
}

static int descriptor_of(struct taken taken)
{
    return (int)(uint32_t)atomic_load(&life->slot[taken.index].held) - 1;
}

Test(life, begins_with_taking_and_ends_with_giving)
{
    struct taken taken = take();
    cr_assert_eq(taken.index / PQB_GROUP_CLAIMS, GROUP);
    cr_assert_eq(is_locked(taken.index), 1);
    give(taken);
    cr_assert_eq(is_locked(taken.index), 0);
}

Test(life, is_taken_among_the_candidates_only)
{
    struct taken taken;
    cr_assert_eq(take_of(1ull << 63, &taken), PQB_OK);
    cr_assert_eq(taken.index % PQB_GROUP_CLAIMS, 63);
    cr_assert_eq(take_of(0, &taken), PQB_WAITING);
}

Test(life, of_one_claim_is_had_once)
{
    struct taken first = take(), second;
    uint64_t same = 1ull << first.index % PQB_GROUP_CLAIMS;
    cr_assert_eq(take_of(same, &second), PQB_WAITING);
    cr_assert_eq(is_locked(first.index), 1);
    pid_t child = support_fork();
    if (!child)
        _exit(take_of(same, &second) != PQB_WAITING);
    cr_assert_eq(support_reap(child), 0);
    cr_assert_eq(take_of(same | same << 1, &second), PQB_OK);
    cr_assert_eq(second.index, first.index + 1);
    give(second);
    give(first);
    cr_assert_eq(take_of(same, &second), PQB_OK);
}

Test(life, is_not_taken_of_a_claim_in_use)
{
    struct taken first = take(), second;
    publish(first, PQB_CLAIM_OPEN);
    give(first);
    cr_assert_eq(take_of(1ull << first.index % PQB_GROUP_CLAIMS, &second), PQB_WAITING);
    cr_assert_eq(is_locked(first.index), 0);
}

Test(life, has_another_generation_each_time)
{
    struct taken first = take();
    publish(first, PQB_CLAIM_FREE);
    give(first);
    struct taken second = take();
    cr_assert_eq(second.index, first.index);
    cr_assert_eq(second.generation, first.generation + 1);
}

Test(life, generations_wrap)
{
    struct taken first = {GROUP * PQB_GROUP_CLAIMS, 0xffffffff};
    publish(first, PQB_CLAIM_FREE);
    struct taken second = take();
    cr_assert_eq(second.generation, 0);
    give(second);
    cr_assert_eq(is_locked(second.index), 0);
}

Test(life, takes_no_more_descriptors_the_thousandth_time)
{
    unsigned descriptors = 0;
    for (int i = 0; i < 1000; i++) {
        struct taken taken = take();
        give(taken);
        if (!i)
            descriptors = support_descriptors();
    }
    cr_assert_eq(support_descriptors(), descriptors);
}

Test(life, keeps_a_few_descriptions_and_no_more)
{
    struct taken taken[20];
    unsigned descriptors = support_descriptors();
    for (int i = 0; i < 20; i++)
        taken[i] = take();
    for (int i = 0; i < 20; i++)
        give(taken[i]);
    cr_assert_leq(support_descriptors(), descriptors + PQB_LIFE_POOL);
}

Test(life, keeps_errno)
{
    struct taken taken = take();
    errno = ENOTTY;
    pqb_life_give(life, taken.index, taken.generation, 0);
    pqb_life_give(life, taken.index, taken.generation, 0);
    pqb_life_drop(life, taken.index, taken.generation);
    cr_assert_eq(errno, ENOTTY);
}

/* ---- deaths ---- */

/* A child that takes, and then waits to be killed. */
static pid_t holder(struct taken *taken)
{
    struct taken *shared = support_shared(sizeof *shared);
    shared->index = PQB_NIL;
    pid_t child = support_fork();
    if (!child) {
        struct taken mine;
        if (take_of(~0ull, &mine))
            _exit(1);
        shared->generation = mine.generation;
        *(volatile unsigned *)&shared->index = mine.index;
        support_linger();
    }
    cr_assert(wait_until(*(volatile unsigned *)&shared->index != PQB_NIL));
    *taken = *shared;
    return child;
}

Test(life, ends_with_the_process)
{
    struct taken taken;
    pid_t child = holder(&taken);
    cr_assert_eq(is_locked(taken.index), 1);
    support_kill(child);
    cr_assert_eq(is_locked(taken.index), 0);
}

Test(life, ends_with_the_process_also_if_nobody_reaps_it)
{
    siginfo_t info;
    struct taken taken;
    pid_t child = holder(&taken);
    kill(child, SIGKILL);
    cr_assert_eq(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0);
    cr_assert_eq(is_locked(taken.index), 0);
    support_reap(child);
}

Test(life, goes_on_while_the_process_is_stopped)
{
    int status;
    struct taken taken;
    pid_t child = holder(&taken);
    kill(child, SIGSTOP);
    waitpid(child, &status, WUNTRACED);
    cr_assert_eq(is_locked(taken.index), 1);
    support_kill(child);
}

Test(life, ends_with_exec)
{
    struct taken *taken = support_shared(sizeof *taken);
    int ends[2];
    cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
    pid_t child = support_fork();
    if (!child) {
        if (take_of(~0ull, taken))
            _exit(1);
        execlp("sleep", "sleep", "1000", (char *)NULL);
        _exit(2);
    }
    close(ends[1]);
    char byte;
    cr_assert_eq(read(ends[0], &byte, 1), 0); /* closed by exec */
    cr_assert_eq(is_locked(taken->index), 0);
    cr_assert_eq(kill(child, 0), 0);
    support_kill(child);
}

/* ---- forks ---- */

/* A child that lives until it is killed, forked in either way, after it has done `first`. */
static pid_t bystander(int raw, void (*first)(struct taken), struct taken taken)
{
    _Atomic int *ready = support_shared(sizeof *ready);
    pid_t child = raw ? support_raw_clone(1) : support_fork();
    if (!child) {
        if (first)
            first(taken);
        atomic_store(ready, 1);
        support_linger();
    }
    if (!wait_until(atomic_load(ready)))
        _exit(97);
    return child;
}

/* A process that takes, publishes `state`, forks in either way and dies: is the lock held by the
 * child? */
static int lives_on_in_child(int raw, enum pqb_claim_state state)
{
    struct taken *taken = support_shared(sizeof *taken);
    _Atomic pid_t *child = support_shared(sizeof *child);
    pid_t parent = support_fork();
    if (!parent) {
        if (take_of(~0ull, taken))
            _exit(1);
        publish(*taken, state);
        pid_t pid = raw ? support_raw_clone(0) : fork();
        if (!pid)
            support_linger();
        atomic_store(child, pid);
        kill(getpid(), SIGKILL);
    }
    support_reap(parent);
    /* A child closes its copies some time after its parent came out of fork. */
    int locked =
        state == PQB_CLAIM_OPEN ? is_locked(taken->index) : !wait_until(!is_locked(taken->index));
    cr_assert_eq(kill(atomic_load(child), 0), 0);
    kill(atomic_load(child), SIGKILL);
    cr_assert(wait_until(!is_locked(taken->index)));
    return locked;
}

Test(life, of_a_connected_claim_goes_on_in_the_child)
{
    cr_assert(lives_on_in_child(0, PQB_CLAIM_OPEN));
    cr_assert(lives_on_in_child(1, PQB_CLAIM_OPEN));
}

Test(life, of_an_unconnected_claim_is_the_parents_alone)
{
    cr_assert_not(lives_on_in_child(0, PQB_CLAIM_FREE)); /* taken, not yet published */
    cr_assert_not(lives_on_in_child(0, PQB_CLAIM_WAITING));
    cr_assert_not(lives_on_in_child(0, PQB_CLAIM_GRANTED));
    cr_assert_not(lives_on_in_child(0, PQB_CLAIM_CONNECTING));
}

Test(life, given_in_the_parent_is_over_for_both)
{
    struct taken taken = take();
    publish(taken, PQB_CLAIM_OPEN);
    pid_t child = bystander(0, NULL, taken);
    give(taken);
    cr_assert_eq(is_locked(taken.index), 0);
    support_kill(child);
}

Test(life, given_in_the_child_is_over_for_both)
{
    struct taken taken = take();
    publish(taken, PQB_CLAIM_OPEN);
    pid_t child = bystander(0, give, taken);
    cr_assert_eq(is_locked(taken.index), 0);
    support_kill(child);
    give(taken);
}

static void drop(struct taken taken)
{
    pqb_life_drop(life, taken.index, taken.generation);
}

Test(life, dropped_in_the_child_goes_on_in_the_parent)
{
    struct taken taken = take();
    publish(taken, PQB_CLAIM_OPEN);
    pid_t child = bystander(0, drop, taken);
    cr_assert_eq(is_locked(taken.index), 1);
    give(taken);
    cr_assert_eq(is_locked(taken.index), 0);
    support_kill(child);
}

Test(life, dropped_in_the_parent_goes_on_in_the_child)
{
    struct taken taken = take();
    publish(taken, PQB_CLAIM_OPEN);
    pid_t child = bystander(0, NULL, taken);
    drop(taken);
    cr_assert_eq(is_locked(taken.index), 1);
    support_kill(child);
    cr_assert_eq(is_locked(taken.index), 0);
}

/* Freed for its dead owner by somebody else, and a child of that owner still has a copy. */
Test(life, that_a_child_still_has_keeps_its_index_from_others)
{
    struct taken taken = take(), other;
    publish(taken, PQB_CLAIM_OPEN);
    pid_t child = bystander(0, NULL, taken);
    drop(taken);
    publish(taken, PQB_CLAIM_FREE);
    cr_assert_eq(take_of(1ull << taken.index % PQB_GROUP_CLAIMS, &other), PQB_WAITING);
    support_kill(child);
    cr_assert_eq(take_of(1ull << taken.index % PQB_GROUP_CLAIMS, &other), PQB_OK);
}

static int pooled(void)
{
    int count = 0;
    for (unsigned i = 0; i < PQB_LIFE_POOL; i++)
        count += life->pool[i].fd1 != 0;
    return count;
}

static void expect_empty_pool(struct taken unused)
{
    (void)unused;
    if (pooled())
        _exit(1);
}

Test(life, a_description_that_lived_through_a_fork_is_not_used_again)
{
    struct taken taken = take();
    give(taken);
    cr_assert_eq(pooled(), 1);
    int before = life->pool[0].fd1 - 1, witness = dup(before);
    cr_assert_gt(lseek(witness, 0, SEEK_CUR), 0);
    off_t tag = lseek(witness, 0, SEEK_CUR);
    pid_t child = bystander(0, expect_empty_pool, taken);
    struct taken again;
    cr_assert_eq(take_of(2, &again), PQB_OK);
    /* The offset is the description's: untouched means that another one was taken. */
    cr_assert_eq(lseek(witness, 0, SEEK_CUR), tag);
    cr_assert_eq(is_locked(again.index), 1);
    support_kill(child);
}

Test(life, held_through_a_fork_is_not_kept_for_the_next_claim)
{
    struct taken taken = take();
    publish(taken, PQB_CLAIM_OPEN);
    pid_t child = bystander(0, NULL, taken);
    give(taken);
    cr_assert_eq(pooled(), 0);
    support_kill(child);
}

/* Both have the same description in their pool. Would both use it, each would be granted the lock
 * of a byte that the other has. */
Test(life, a_raw_clone_child_uses_descriptions_of_its_own)
{
    struct taken *mine = support_shared(sizeof *mine), parents;
    _Atomic int *stage = support_shared(sizeof *stage);
    give(take());
    cr_assert_eq(pooled(), 1);
    pid_t child = support_raw_clone(1);
    if (!child) {
        if (take_of(1, mine))
            _exit(1);
        atomic_store(stage, 1);
        if (!wait_until(atomic_load(stage) == 2))
            _exit(2);
        give(*mine);
        _exit(0);
    }
    cr_assert(wait_until(atomic_load(stage) == 1));
    cr_assert_eq(take_of(1, &parents), PQB_WAITING);
    cr_assert_eq(take_of(3, &parents), PQB_OK);
    cr_assert_neq(parents.index, mine->index);
    atomic_store(stage, 2);
    cr_assert_eq(support_reap(child), 0);
    cr_assert_eq(is_locked(parents.index), 1);
    cr_assert_eq(is_locked(mine->index), 0);
}

/* ---- a host that closes what it does not know ---- */

static void closed_by_host(void)
{
    struct taken taken;
    expect(!take_of(~0ull, &taken));
    support_close_all();
    expect(is_locked(taken.index) == 0);
    give(taken);
}

Test(life, ends_when_the_host_closes_its_descriptor)
{
    cr_assert_eq(support_apart(closed_by_host), 0);
}

Test(life, a_late_give_back_leaves_the_hosts_descriptor_alone)
{
    int ends[2];
    struct taken taken = take();
    int fd = descriptor_of(taken);
    cr_assert_eq(pipe(ends), 0);
    cr_assert_eq(dup2(ends[1], fd), fd);
    give(taken);
    cr_assert_eq(write(fd, "x", 1), 1);
    cr_assert_eq(pooled(), 0);
}

static void refill_the_number(void (*end)(struct taken))
{
    struct taken first, second;
    expect(!take_of(~0ull, &first));
    int fd = descriptor_of(first);
    publish(first, PQB_CLAIM_OPEN);
    support_close_all();
    expect(!take_of(~0ull << (first.index % PQB_GROUP_CLAIMS + 1), &second));
    expect(descriptor_of(second) == fd); /* the number is ours again */
    end(first);
    expect(is_locked(second.index) == 1);
    expect(descriptor_of(second) == fd);
    give(second);
    expect(is_locked(second.index) == 0);
}

static void refill_and_give(void)
{
    refill_the_number(give);
}

static void refill_and_drop(void)
{
    refill_the_number(drop);
}

Test(life, a_late_give_back_leaves_a_claim_alone_that_has_its_number_now)
{
    cr_assert_eq(support_apart(refill_and_give), 0);
}

Test(life, a_late_drop_leaves_a_claim_alone_that_has_its_number_now)
{
    cr_assert_eq(support_apart(refill_and_drop), 0);
}

static void refill_index_and_number(void)
{
    struct taken first, second;
    expect(!take_of(~0ull, &first));
    int fd = descriptor_of(first);
    support_close_all();
    publish(first, PQB_CLAIM_FREE); /* somebody buried it */
    expect(!take_of(~0ull, &second));
    expect(second.index == first.index && descriptor_of(second) == fd);
    give(first);
    expect(is_locked(second.index) == 1);
    give(second);
    expect(is_locked(second.index) == 0);
}

Test(life, a_late_give_back_leaves_a_claim_alone_that_has_its_index_and_number_now)
{
    cr_assert_eq(support_apart(refill_index_and_number), 0);
}

Test(life, a_pooled_descriptor_that_the_host_closed_is_not_used)
{
    int ends[2];
    give(take());
    int fd = life->pool[0].fd1 - 1;
    cr_assert_eq(pipe(ends), 0);
    cr_assert_eq(dup2(ends[1], fd), fd);
    struct taken taken = take();
    cr_assert_eq(is_locked(taken.index), 1);
    cr_assert_neq(descriptor_of(taken), fd);
    cr_assert_eq(write(fd, "x", 1), 1);
}

Test(life, closing_all_leaves_what_is_not_ours)
{
    int ends[2];
    struct taken taken = take(), other;
    give(take());
    cr_assert_eq(take_of(~0ull, &other), PQB_OK);
    int fd = descriptor_of(taken);
    cr_assert_eq(pipe(ends), 0);
    cr_assert_eq(dup2(ends[1], fd), fd);
    pqb_life_close(life);
    cr_assert_eq(write(fd, "x", 1), 1);
    cr_assert_eq(is_locked(other.index), 0);
}

/* ---- failures ---- */

Test(life, says_so_when_there_is_no_descriptor)
{
    struct rlimit limit, none;
    struct taken taken;
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = limit;
    none.rlim_cur = 0;
    setrlimit(RLIMIT_NOFILE, &none);
    enum pqb_status status = take_of(~0ull, &taken);
    setrlimit(RLIMIT_NOFILE, &limit);
    cr_assert_eq(status, PQB_NO_DESCRIPTOR);
    cr_assert_eq(take_of(~0ull, &taken), PQB_OK);
}

Test(life, refuses_lock_files_that_are_not_the_ledgers)
{
    char path[PQB_LIFE_PATH + 8];
    struct taken taken;
    snprintf(path, sizeof path, "%s/%03u", life->folder, GROUP);
    cr_assert_eq(unlink(path), 0);
    cr_assert_eq(take_of(~0ull, &taken), PQB_DAMAGED);
    close(open(path, O_RDWR | O_CREAT | O_EXCL, 0600));
    cr_assert_eq(take_of(~0ull, &taken), PQB_DAMAGED);
}
