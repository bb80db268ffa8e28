/* process.c: who a process is after each way of making one, and the lock of its threads. */
#include "ledger/process.h"
#include "ledger/os.h"
#include "support/support.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <unistd.h>

TestSuite(process, .timeout = 60);

static struct pqb_process self_or_die(void)
{
    struct pqb_process self;
    if (pqb_process_self(&self))
        _exit(99);
    return self;
}

Test(process, is_the_same_each_time)
{
    struct pqb_process first = self_or_die(), second = self_or_die();
    cr_assert_neq(first.id, 0);
    cr_assert_eq(first.id, second.id);
    cr_assert_eq(first.pid, getpid());
    cr_assert_eq(first.pid_ns, pqb_pid_namespace());
}

static void *tell_id(void *id)
{
    *(uint64_t *)id = self_or_die().id;
    return NULL;
}

Test(process, is_the_same_for_threads_that_ask_first_at_once)
{
    pthread_t thread[16];
    uint64_t id[16] = {0};
    for (int i = 0; i < 16; i++)
        pthread_create(&thread[i], NULL, tell_id, &id[i]);
    for (int i = 0; i < 16; i++)
        pthread_join(thread[i], NULL);
    for (int i = 0; i < 16; i++)
        cr_assert_eq(id[i], self_or_die().id);
}

/* In a child: is it somebody new, with its own pid, and the same when asked again? */
static int child_is_new(uint64_t parent)
{
    struct pqb_process child = self_or_die();
    return child.id != parent && child.pid == (int32_t)getpid() && child.id == self_or_die().id;
}

Test(process, a_forked_child_is_new)
{
    uint64_t id = self_or_die().id;
    pid_t child = support_fork();
    if (!child)
        _exit(!child_is_new(id));
    cr_assert_eq(support_reap(child), 0);
    cr_assert_eq(self_or_die().id, id);
}

Test(process, a_raw_clone_child_is_new)
{
    uint64_t id = self_or_die().id;
    pid_t child = support_raw_clone(1);
    if (!child)
        _exit(!child_is_new(id));
    cr_assert_eq(support_reap(child), 0);
    cr_assert_eq(self_or_die().id, id);
}

static enum pqb_status told_in_vfork;

Test(process, a_vfork_child_keeps_its_hands_off)
{
    uint64_t id = self_or_die().id;
    struct pqb_process self = {.id = 1};
    pid_t child = vfork();
    if (!child) {
        told_in_vfork = pqb_process_self(&self);
        _exit(0);
    }
    support_reap(child);
    cr_assert_eq(told_in_vfork, PQB_BORROWED);
    cr_assert_eq(self_or_die().id, id);
}

/* ---- the lock ---- */

static _Atomic unsigned inside, overlaps, entered;

static void *enter_often(void *unused)
{
    (void)unused;
    for (int i = 0; i < 2000; i++) {
        struct pqb_process_hold hold;
        if (pqb_process_lock(&hold, PQB_FOREVER))
            return NULL;
        if (atomic_fetch_add(&inside, 1))
            atomic_fetch_add(&overlaps, 1);
        atomic_fetch_add(&entered, 1);
        atomic_fetch_sub(&inside, 1);
        pqb_process_unlock(&hold);
    }
    return NULL;
}

Test(process, the_lock_admits_one_thread_at_a_time_and_wakes_all)
{
    pthread_t thread[8];
    for (int i = 0; i < 8; i++)
        pthread_create(&thread[i], NULL, enter_often, NULL);
    for (int i = 0; i < 8; i++)
        pthread_join(thread[i], NULL);
    cr_assert_eq(atomic_load(&overlaps), 0);
    cr_assert_eq(atomic_load(&entered), 8 * 2000);
}

static void *try_lock(void *status)
{
    struct pqb_process_hold hold;
    uint64_t deadline = pqb_now() + 20 * PQB_MS;
    enum pqb_status once = pqb_process_lock(&hold, 0), later = pqb_process_lock(&hold, deadline);
    *(int *)status = once == PQB_BUSY && later == PQB_BUSY && pqb_now() >= deadline;
    return NULL;
}

Test(process, the_lock_is_refused_when_its_time_is_over)
{
    struct pqb_process_hold hold;
    pthread_t thread;
    int refused = 0;
    cr_assert_eq(pqb_process_lock(&hold, 0), PQB_OK);
    pthread_create(&thread, NULL, try_lock, &refused);
    pthread_join(thread, NULL);
    pqb_process_unlock(&hold);
    cr_assert(refused);
}

Test(process, who_unlocks_is_told_of_those_who_tried_in_vain)
{
    struct pqb_process_hold hold;
    pthread_t thread;
    int refused = 0;
    cr_assert_eq(pqb_process_lock(&hold, PQB_FOREVER), PQB_OK);
    cr_assert_eq(pqb_process_unlock(&hold), 0);
    cr_assert_eq(pqb_process_lock(&hold, PQB_FOREVER), PQB_OK);
    pthread_create(&thread, NULL, try_lock, &refused);
    pthread_join(thread, NULL);
    cr_assert_eq(pqb_process_unlock(&hold), 1);
    cr_assert_eq(pqb_process_lock(&hold, 0), PQB_OK);
    cr_assert_eq(pqb_process_unlock(&hold), 0); /* once is enough */
}

static void *lock_for_ever(void *locked)
{
    struct pqb_process_hold hold;
    if (!pqb_process_lock(&hold, 0))
        atomic_store((_Atomic int *)locked, 1);
    support_linger();
    return NULL;
}

static void raw_child_locks(void)
{
    pid_t child = support_raw_clone(1);
    if (!child) {
        struct pqb_process_hold hold;
        _exit(pqb_process_lock(&hold, 0) != PQB_OK);
    }
    cr_assert_eq(support_reap(child), 0);
}

Test(process, a_child_does_not_inherit_the_lock)
{
    static _Atomic int locked;
    pthread_t thread;
    pthread_create(&thread, NULL, lock_for_ever, &locked);
    cr_assert(wait_until(atomic_load(&locked)));
    pid_t child = support_fork();
    if (!child) {
        struct pqb_process_hold hold;
        _exit(pqb_process_lock(&hold, 0) != PQB_OK);
    }
    cr_assert_eq(support_reap(child), 0);
    raw_child_locks();
}

/* ---- signals ---- */

static volatile sig_atomic_t signals;

static void count_signal(int number)
{
    (void)number;
    signals++;
}

Test(process, signals_wait_while_it_is_quiet)
{
    struct pqb_process_hold outer, inner;
    signal(SIGUSR1, count_signal);
    pqb_process_quiet(&outer);
    pqb_process_quiet(&inner);
    raise(SIGUSR1);
    pqb_process_loud(&inner);
    cr_assert_eq(signals, 0);
    pqb_process_loud(&outer);
    cr_assert_eq(signals, 1);
}

Test(process, the_hosts_own_mask_is_restored)
{
    struct pqb_process_hold hold;
    sigset_t mine, after;
    sigemptyset(&mine);
    sigaddset(&mine, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &mine, NULL);
    pqb_process_quiet(&hold);
    pqb_process_loud(&hold);
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    cr_assert_eq(sigismember(&after, SIGUSR2), 1);
    cr_assert_eq(sigismember(&after, SIGUSR1), 0);
}

static sigjmp_buf before;
static _Atomic int landings;

static void leave_by_longjmp(int number)
{
    (void)number;
    siglongjmp(before, 1);
}

static void *shoot(void *target)
{
    for (int i = 0; i < 3000; i++) {
        int seen = atomic_load(&landings);
        pthread_kill(*(pthread_t *)target, SIGUSR1);
        while (atomic_load(&landings) == seen)
            ; /* siglongjmp() lets signals in before it has left the handler's stack */
    }
    pthread_kill(*(pthread_t *)target, SIGUSR2);
    return NULL;
}

static volatile sig_atomic_t shot_enough;

static void enough(int number)
{
    (void)number;
    shot_enough = 1;
}

/* A handler may leave at any instruction at which signals are let in. If one left between the count
 * and the mask, nothing would ever be quiet again. */
Test(process, a_longjmp_at_the_threshold_leaves_it_loud)
{
    static pthread_t me, shooter;
    struct pqb_process_hold hold;
    signal(SIGUSR1, leave_by_longjmp);
    signal(SIGUSR2, enough);
    me = pthread_self();
    if (!sigsetjmp(before, 1))
        pthread_create(&shooter, NULL, shoot, &me);
    else
        atomic_fetch_add(&landings, 1);
    while (!shot_enough) {
        pqb_process_quiet(&hold);
        pqb_process_loud(&hold);
    }
    pthread_join(shooter, NULL);
    signal(SIGUSR1, count_signal);
    pqb_process_quiet(&hold);
    raise(SIGUSR1);
    cr_assert_eq(signals, 0);
    pqb_process_loud(&hold);
    cr_assert_eq(signals, 1);
}

/* ---- forks ---- */

static volatile sig_atomic_t cleaned_up;

static void clean_up(void)
{
    cleaned_up++;
}

Test(process, a_fork_is_counted_on_both_sides_and_the_child_cleans_up_first)
{
    pqb_process_on_fork(clean_up);
    self_or_die();
    uint32_t forks = pqb_process_forks();
    pid_t child = support_fork();
    if (!child)
        _exit(pqb_process_forks() == forks || cleaned_up != 1);
    cr_assert_eq(support_reap(child), 0);
    cr_assert_neq(pqb_process_forks(), forks);
    cr_assert_eq(cleaned_up, 0);
}

Test(process, a_raw_clone_child_cleans_up_when_it_first_comes)
{
    pqb_process_on_fork(clean_up);
    self_or_die();
    uint32_t forks = pqb_process_forks();
    pid_t child = support_raw_clone(1);
    if (!child) {
        self_or_die();
        self_or_die();
        _exit(pqb_process_forks() == forks || cleaned_up != 1);
    }
    cr_assert_eq(support_reap(child), 0);
}

Test(process, forks_of_forks_clean_up_once_each)
{
    pqb_process_on_fork(clean_up);
    self_or_die();
    pid_t child = support_fork();
    if (!child) {
        self_or_die();
        pid_t grandchild = support_fork();
        if (!grandchild) {
            self_or_die();
            _exit(cleaned_up != 2);
        }
        int status = support_reap(grandchild);
        _exit(status || cleaned_up != 1);
    }
    cr_assert_eq(support_reap(child), 0);
}

static void *fork_often(void *failed)
{
    for (int i = 0; i < 50; i++) {
        pid_t child = support_fork();
        if (!child) {
            struct pqb_process_hold hold;
            _exit(pqb_process_lock(&hold, 0) != PQB_OK);
        }
        if (support_reap(child))
            atomic_store((_Atomic int *)failed, 1);
    }
    return NULL;
}

Test(process, forks_and_locks_of_many_threads_do_not_wedge)
{
    static _Atomic int failed;
    pthread_t locker[4], forker[2];
    pqb_process_on_fork(clean_up);
    for (int i = 0; i < 4; i++)
        pthread_create(&locker[i], NULL, enter_often, NULL);
    for (int i = 0; i < 2; i++)
        pthread_create(&forker[i], NULL, fork_often, &failed);
    for (int i = 0; i < 4; i++)
        pthread_join(locker[i], NULL);
    for (int i = 0; i < 2; i++)
        pthread_join(forker[i], NULL);
    cr_assert_eq(atomic_load(&failed), 0);
    cr_assert_eq(atomic_load(&overlaps), 0);
}
