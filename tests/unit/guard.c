/* guard.c: one process inside at a time, whatever happens to it there. */
#include "ledger/guard.h"
#include "support/support.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static struct pqb_ledger ledger;
static struct pqb_region *region;

static enum pqb_status enter(uint64_t patience, int *died)
{
    return pqb_guard_enter(region, patience ? pqb_now() + patience : 0, died);
}

static void open_ledger(void)
{
    int died;
    support_ledger_open(&ledger);
    region = atomic_load(&ledger.region);
    /* A new ledger is dirty: its first visitor builds the books. */
    if (enter(0, &died) || !died)
        _exit(1);
    pqb_guard_leave(region);
}

static void end_ledger(void)
{
    support_ledger_end(&ledger);
}

TestSuite(guard, .init = open_ledger, .fini = end_ledger, .timeout = 60);

static int can_enter(void)
{
    int died;
    if (enter(0, &died))
        return 0;
    pqb_guard_leave(region);
    return 1;
}

static int child_can_enter(void)
{
    pid_t child = support_fork();
    if (!child)
        _exit(!can_enter());
    return support_reap(child) == 0;
}

static int descriptor(void)
{
    return atomic_load(&region->guard_fd1) - 1;
}

Test(guard, is_clean_after_an_orderly_visit)
{
    int died = 1;
    cr_assert_eq(enter(0, &died), PQB_OK);
    cr_assert_eq(died, 0);
    pqb_guard_leave(region);
}

Test(guard, keeps_other_processes_out)
{
    int died;
    cr_assert_eq(enter(0, &died), PQB_OK);
    cr_assert_not(child_can_enter());
    pqb_guard_leave(region);
    cr_assert(child_can_enter());
}

Test(guard, is_entered_by_who_waited_for_it)
{
    int died;
    _Atomic int *waits = support_shared(sizeof *waits);
    cr_assert_eq(enter(0, &died), PQB_OK);
    pid_t child = support_fork();
    if (!child) {
        atomic_store(waits, 1);
        _exit(enter(20 * PQB_SECOND, &died) != PQB_OK || died);
    }
    cr_assert(wait_until(atomic_load(waits)));
    pqb_guard_leave(region);
    cr_assert_eq(support_reap(child), 0);
}

Test(guard, gives_up_at_the_deadline_and_not_before)
{
    int died;
    cr_assert_eq(enter(0, &died), PQB_OK);
    pid_t child = support_fork();
    if (!child) {
        uint64_t start = pqb_now();
        errno = ENOTTY;
        _exit(enter(30 * PQB_MS, &died) != PQB_BUSY || pqb_now() < start + 30 * PQB_MS ||
              errno != ENOTTY);
    }
    cr_assert_eq(support_reap(child), 0);
    pqb_guard_leave(region);
}

/* ---- deaths inside ---- */

static void die_inside(void)
{
    int died;
    if (enter(0, &died))
        _exit(1);
    kill(getpid(), SIGKILL);
    support_linger();
}

static void assert_next_rebuilds_and_the_one_after_does_not(void)
{
    int died = 0;
    cr_assert_eq(enter(20 * PQB_SECOND, &died), PQB_OK);
    cr_assert_eq(died, 1);
    pqb_guard_leave(region);
    cr_assert_eq(enter(0, &died), PQB_OK);
    cr_assert_eq(died, 0);
    pqb_guard_leave(region);
}

Test(guard, tells_of_a_death_inside)
{
    pid_t child = support_fork();
    if (!child)
        die_inside();
    support_reap(child);
    assert_next_rebuilds_and_the_one_after_does_not();
}

Test(guard, is_free_again_while_the_dead_is_a_zombie)
{
    siginfo_t info;
    pid_t child = support_fork();
    if (!child)
        die_inside();
    cr_assert_eq(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0);
    assert_next_rebuilds_and_the_one_after_does_not();
    support_reap(child);
}

/* The child has a copy of every description: an open-file-description lock would stay. */
static void die_inside_and_leave_a_child(int raw)
{
    _Atomic pid_t *left = support_shared(sizeof *left);
    pid_t child = support_fork();
    if (!child) {
        int died;
        if (enter(0, &died))
            _exit(1);
        pid_t grandchild = raw ? support_raw_clone(0) : fork();
        if (!grandchild)
            support_linger();
        atomic_store(left, grandchild);
        kill(getpid(), SIGKILL);
    }
    int status = support_reap(child);
    cr_assert(WIFSIGNALED(status));
    cr_assert_eq(kill(atomic_load(left), 0), 0);
    assert_next_rebuilds_and_the_one_after_does_not();
    kill(atomic_load(left), SIGKILL);
}

Test(guard, is_not_wedged_by_a_forked_child_of_the_dead)
{
    die_inside_and_leave_a_child(0);
}

Test(guard, is_not_wedged_by_a_raw_clone_child_of_the_dead)
{
    die_inside_and_leave_a_child(1);
}

Test(guard, a_child_made_inside_is_not_inside)
{
    int died;
    cr_assert_eq(enter(0, &died), PQB_OK);
    pid_t child = support_raw_clone(1);
    if (!child)
        _exit(can_enter());
    cr_assert_eq(support_reap(child), 0);
    pqb_guard_leave(region);
    cr_assert(can_enter());
}

Test(guard, a_stopped_owner_delays_nobody_beyond_the_deadline)
{
    int died, status;
    pid_t child = support_fork();
    if (!child) {
        if (enter(0, &died))
            _exit(1);
        raise(SIGSTOP);
        pqb_guard_leave(region);
        _exit(0);
    }
    cr_assert_eq(waitpid(child, &status, WUNTRACED), child);
    cr_assert(WIFSTOPPED(status));
    cr_assert_eq(enter(30 * PQB_MS, &died), PQB_BUSY);
    kill(child, SIGCONT);
    cr_assert_eq(support_reap(child), 0);
    cr_assert_eq(enter(0, &died), PQB_OK);
    cr_assert_eq(died, 0);
    pqb_guard_leave(region);
}

/* ---- the host and our descriptor ---- */

Test(guard, is_opened_anew_when_the_host_closed_it)
{
    int died;
    close(descriptor());
    cr_assert_eq(enter(0, &died), PQB_OK);
    cr_assert_eq(died, 0);
    cr_assert_not(child_can_enter());
    pqb_guard_leave(region);
}

Test(guard, leaves_a_number_alone_that_is_the_hosts_now)
{
    int died, ends[2], fd = descriptor();
    cr_assert_eq(pipe(ends), 0);
    cr_assert_eq(dup2(ends[1], fd), fd);
    cr_assert_eq(enter(0, &died), PQB_OK);
    cr_assert_not(child_can_enter());
    pqb_guard_leave(region);
    cr_assert_neq(descriptor(), fd);
    cr_assert_eq(write(fd, "x", 1), 1);
}

Test(guard, is_rebuilt_after_it_was_closed_with_somebody_inside)
{
    int died;
    cr_assert_eq(enter(0, &died), PQB_OK);
    close(descriptor());
    pqb_guard_leave(region);
    assert_next_rebuilds_and_the_one_after_does_not();
}

Test(guard, is_rebuilt_when_two_were_inside_whoever_leaves_last)
{
    int died;
    _Atomic int *stage = support_shared(sizeof *stage);
    cr_assert_eq(enter(0, &died), PQB_OK);
    close(descriptor());
    pid_t child = support_fork();
    if (!child) {
        if (enter(0, &died))
            _exit(1);
        atomic_store(stage, 1);
        if (!wait_until(atomic_load(stage) == 2))
            _exit(2);
        pqb_guard_leave(region);
        _exit(0);
    }
    cr_assert(wait_until(atomic_load(stage) == 1));
    pqb_guard_leave(region); /* it changed things beside the child's rebuilding */
    atomic_store(stage, 2);
    cr_assert_eq(support_reap(child), 0);
    assert_next_rebuilds_and_the_one_after_does_not();
}

Test(guard, says_so_when_there_is_no_descriptor_and_works_when_there_is_one)
{
    int died;
    struct rlimit limit, none;
    close(descriptor());
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = limit;
    none.rlim_cur = 0;
    setrlimit(RLIMIT_NOFILE, &none);
    enum pqb_status status = enter(0, &died);
    setrlimit(RLIMIT_NOFILE, &limit);
    cr_assert_eq(status, PQB_NO_DESCRIPTOR);
    cr_assert(can_enter());
}

/* ---- the ledger ---- */

Test(guard, of_a_retired_ledger_is_not_entered)
{
    int died;
    atomic_store(&region->map->header.retired, 1);
    cr_assert_eq(enter(0, &died), PQB_LOST);
    atomic_store(&region->map->header.retired, 0);
    cr_assert(child_can_enter());
}

Test(guard, damaged_hints_cost_time_only)
{
    int died;
    struct pqb_header *header = &region->map->header;
    atomic_store(&header->guard_held, 1);
    atomic_store(&header->guard_sleepers, 0xffffffff);
    atomic_store(&header->guard_word, 0xffffffff);
    cr_assert_eq(enter(0, &died), PQB_OK);
    pid_t child = support_fork();
    if (!child) {
        enter(50 * PQB_MS, &died);
        _exit(0);
    }
    cr_assert_eq(support_reap(child), 0);
    pqb_guard_leave(region);
    cr_assert(child_can_enter());
}

Test(guard, admits_one_at_a_time_under_contention)
{
    struct shared {
        _Atomic unsigned inside, overlaps, visits;
    } *shared = support_shared(sizeof *shared);
    pid_t child[6];
    for (int i = 0; i < 6; i++) {
        child[i] = support_fork();
        if (child[i])
            continue;
        for (int n = 0; n < 500; n++) {
            int died;
            if (enter(20 * PQB_SECOND, &died) || died)
                _exit(1);
            if (atomic_fetch_add(&shared->inside, 1))
                atomic_fetch_add(&shared->overlaps, 1);
            atomic_fetch_add(&shared->visits, 1);
            atomic_fetch_sub(&shared->inside, 1);
            pqb_guard_leave(region);
        }
        _exit(0);
    }
    for (int i = 0; i < 6; i++)
        cr_assert_eq(support_reap(child[i]), 0);
    cr_assert_eq(atomic_load(&shared->overlaps), 0);
    cr_assert_eq(atomic_load(&shared->visits), 6 * 500);
}
