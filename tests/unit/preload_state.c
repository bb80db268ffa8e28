/* preload/state.c: the marks of a thread, and the lock of what a process keeps. */
#include "preload/state.h"
#include "support/support.h"
#include "unit/clocks.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

TestSuite(preload_state, .timeout = 120);

static struct pqb_libpq *one_libpq = (void *)1, *another_libpq = (void *)2;

Test(preload_state, marks_nest)
{
    struct pqb_thread outer =
        pqb_thread_enter((struct pqb_thread){.inside = one_libpq, .refuses = 1});
    struct pqb_thread inner = pqb_thread_enter((struct pqb_thread){.inside = another_libpq});
    cr_assert_eq(pqb_thread.inside, another_libpq);
    cr_assert_eq(pqb_thread.refuses, 0);
    pqb_thread_leave(inner);
    cr_assert_eq(pqb_thread.inside, one_libpq);
    cr_assert_eq(pqb_thread.refuses, 1);
    pqb_thread_leave(outer);
    cr_assert_null(pqb_thread.inside);
    cr_assert_eq(pqb_thread.refuses, 0);
}

static void *mark_of_thread(void *unused)
{
    (void)unused;
    return pqb_thread.inside;
}

Test(preload_state, a_mark_is_its_threads)
{
    pthread_t thread;
    void *inside = one_libpq;
    pqb_thread_enter((struct pqb_thread){.inside = one_libpq, .refuses = 1});
    pthread_create(&thread, NULL, mark_of_thread, NULL);
    pthread_join(thread, &inside);
    cr_assert_null(inside);
}

static unsigned shared_count;

static void *count_up(void *unused)
{
    for (unsigned i = 0; i < 20000; i++) {
        struct pqb_process_hold hold;
        if (!pqb_state_lock(&hold))
            return (void *)1;
        shared_count++;
        pqb_state_unlock(&hold);
    }
    return unused;
}

static void count_together(void)
{
    pthread_t thread[4];
    void *bad = NULL;
    for (unsigned i = 0; i < 4; i++)
        pthread_create(&thread[i], NULL, count_up, NULL);
    for (unsigned i = 0; i < 4; i++) {
        pthread_join(thread[i], &bad);
        cr_assert_null(bad);
    }
    cr_assert_eq(shared_count, 80000);
}

Test(preload_state, one_thread_at_a_time)
{
    count_together();
}

Test(preload_state, the_wall_clock_ends_no_wait)
{
    atomic_store(&clocks_wall_ahead, -86400);
    count_together();
}

/* A handler that interrupted here could come back for the lock, or leave with it by a longjmp. */
Test(preload_state, signals_and_cancellation_wait)
{
    struct pqb_process_hold hold;
    sigset_t before, within, after;
    int cancellation, ignored;
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    cr_assert(pqb_state_lock(&hold));
    pthread_sigmask(SIG_SETMASK, NULL, &within);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancellation);
    pqb_state_unlock(&hold);
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    cr_assert(sigismember(&within, SIGALRM) && sigismember(&within, SIGINT));
    cr_assert_not(sigismember(&within, SIGSEGV));
    cr_assert_eq(cancellation, PTHREAD_CANCEL_DISABLE);
    for (int i = 1; i < SIGRTMIN; i++)
        cr_assert_eq(sigismember(&before, i), sigismember(&after, i), "signal %d", i);
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &ignored);
    cr_assert_eq(ignored, PTHREAD_CANCEL_ENABLE);
}

static _Atomic int is_over;

static void *lock_until_over(void *unused)
{
    struct pqb_process_hold hold;
    while (!is_over)
        if (pqb_state_lock(&hold))
            pqb_state_unlock(&hold);
    return unused;
}

/* 0 = the lock was there. */
static int try_lock(void)
{
    struct pqb_process_hold hold;
    if (!pqb_state_lock(&hold))
        return 1;
    pqb_state_unlock(&hold);
    return 0;
}

Test(preload_state, a_child_forked_amid_threads_has_it_free)
{
    pthread_t thread[3];
    for (unsigned i = 0; i < 3; i++)
        pthread_create(&thread[i], NULL, lock_until_over, NULL);
    cr_assert_eq(try_lock(), 0); /* the handlers are there */
    for (unsigned i = 0; i < 100; i++) {
        pid_t child = support_fork();
        if (!child)
            _exit(try_lock());
        cr_assert_eq(support_reap(child), 0);
    }
    is_over = 1;
    for (unsigned i = 0; i < 3; i++)
        pthread_join(thread[i], NULL);
}

static _Atomic unsigned locked_before, locked_after, locked_in_child;

static void handler_before(void)
{
    locked_before += !try_lock();
}

static void handler_after(void)
{
    locked_after += !try_lock();
}

static void handler_in_child(void)
{
    locked_in_child += !try_lock();
}

/* Handlers that were there before ours run while we hold the lock for the fork. */
Test(preload_state, the_programs_own_fork_handlers_may_close_connections)
{
    pthread_atfork(handler_before, handler_after, handler_in_child);
    cr_assert_eq(try_lock(), 0);
    pid_t child = support_fork();
    if (!child)
        _exit(locked_in_child == 1 && !try_lock() ? 0 : 1);
    cr_assert_eq(support_reap(child), 0);
    cr_assert_eq(locked_before, 1);
    cr_assert_eq(locked_after, 1);
    cr_assert_eq(try_lock(), 0);
}

/* The thread that has it is not in the child: it is told so, then and also at a fork of its own. */
Test(preload_state, a_raw_clone_child_does_not_hang)
{
    struct pqb_process_hold hold;
    cr_assert(pqb_state_lock(&hold));
    pid_t child = support_raw_clone(1);
    if (!child) {
        if (!try_lock())
            _exit(1);
        pid_t grandchild = fork();
        if (!grandchild)
            _exit(0);
        _exit(grandchild < 0 || support_reap(grandchild) != 0);
    }
    cr_assert_eq(support_reap(child), 0);
    pqb_state_unlock(&hold);
    cr_assert_eq(try_lock(), 0);
}
