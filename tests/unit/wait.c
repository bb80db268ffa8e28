/* wait.c: waiting, and all that may befall a thread or process that waits. */
#include "ledger/wait.h"
#include "ledger/admission.h"
#include "ledger/snapshot.h"
#include "ledger/steer.h"
#include "ledger/tick.h"
#include "support/support.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/time.h>
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

TestSuite(wait, .init = open_ledger, .fini = end_ledger, .timeout = 120);

static const struct pqb_server_config one = {.limit = 1, .wait_ms = 60};
static const struct pqb_claim_request request = {
    .server = "localhost:5432", .app = "test", .defaults = &one};
static const struct pqb_claim_request belled = {
    .server = "localhost:5432", .app = "test", .defaults = &one, .rings_bell = 1};

static enum pqb_status hold(struct pqb_claim *claim, long long wait_ms)
{
    return support_hold(&ledger, &request, wait_ms, claim);
}

static void give(struct pqb_claim *claim)
{
    pqb_claim_give(claim, PQB_END_CLOSED);
}

static unsigned waiting(void)
{
    return support_count(&ledger).waiting;
}

static unsigned used(void)
{
    return support_count(&ledger).used;
}

/* A child that waits for ever, holds what it got, and gives it back at SIGTERM. */
static volatile sig_atomic_t told_to_give;

static void tell_to_give(int number)
{
    (void)number;
    told_to_give = 1;
}

static pid_t start_waiter(_Atomic int *granted)
{
    pid_t child = support_fork();
    if (!child) {
        struct pqb_claim claim;
        sigset_t term, open;
        sigemptyset(&term);
        sigaddset(&term, SIGTERM);
        signal(SIGTERM, tell_to_give);
        sigprocmask(SIG_BLOCK, &term, &open);
        expect(!hold(&claim, PQB_WAIT_FOREVER));
        atomic_fetch_add(granted, 1);
        while (!told_to_give)
            sigsuspend(&open);
        give(&claim);
        _exit(0);
    }
    return child;
}

/* One that gets a slot at once. */
static pid_t holder_of(_Atomic int *granted)
{
    pid_t child = start_waiter(granted);
    cr_assert(wait_until(atomic_load(granted) == 1));
    return child;
}

static pid_t waiter(_Atomic int *granted)
{
    unsigned before = waiting();
    pid_t child = start_waiter(granted);
    cr_assert(wait_until(waiting() == before + 1));
    return child;
}

static int release(pid_t child)
{
    kill(child, SIGTERM);
    return support_reap(child);
}

/* ---- how long ---- */

Test(wait, of_zero_does_not_wait)
{
    struct pqb_claim claim, more;
    struct pqb_error error;
    unsigned obstacle = 99;
    cr_assert_eq(hold(&claim, 0), PQB_OK);
    cr_assert_eq(pqb_wait_acquire(&ledger, &request, 0, &more, &obstacle, &error), PQB_TIMED_OUT);
    cr_assert_eq(obstacle, PQB_OBSTACLE_ROOM);
    cr_assert_str_neq(error.text, "");
    cr_assert_null(more.region);
    cr_assert_eq(waiting(), 0);
}

static void assert_waits(long long wait_ms, uint64_t at_least)
{
    struct pqb_claim more;
    uint64_t start = pqb_now();
    cr_assert_eq(pqb_wait_acquire(&ledger, &request, wait_ms, &more, NULL, NULL), PQB_TIMED_OUT);
    cr_assert_geq(pqb_now() - start, at_least);
    cr_assert_eq(waiting(), 0);
}

Test(wait, lasts_as_long_as_was_asked_or_as_the_server_says)
{
    struct pqb_claim claim;
    cr_assert_eq(hold(&claim, 0), PQB_OK);
    assert_waits(30, 30 * PQB_MS);
    assert_waits(PQB_WAIT_SERVER, 60 * PQB_MS);
}

Test(wait, is_counted_by_how_it_ended)
{
    struct pqb_claim claim, more;
    struct pqb_snapshot snapshot;
    cr_assert_eq(hold(&claim, 0), PQB_OK);
    cr_assert_eq(hold(&more, 0), PQB_TIMED_OUT);
    cr_assert_eq(hold(&more, 1), PQB_TIMED_OUT);
    cr_assert_eq(hold(&more, 1), PQB_TIMED_OUT);
    cr_assert_eq(pqb_snapshot_take(atomic_load(&ledger.region), &snapshot), PQB_OK);
    cr_assert_eq(snapshot.server[0].refused_total, 1);
    cr_assert_eq(snapshot.server[0].timeout_total, 2);
    cr_assert_eq(snapshot.server[0].granted_total, 1);
    pqb_snapshot_free(&snapshot);
}

Test(wait, for_ever_lasts_until_it_is_granted)
{
    struct pqb_claim claim;
    _Atomic int *granted = support_shared(sizeof *granted);
    cr_assert_eq(hold(&claim, 0), PQB_OK);
    pid_t child = waiter(granted);
    uint64_t start = pqb_now();
    cr_assert(wait_until(pqb_now() > start + 200 * PQB_MS)); /* beyond the server's 60 */
    cr_assert_eq(waiting(), 1);
    give(&claim);
    cr_assert(wait_until(atomic_load(granted) == 1));
    cr_assert_eq(release(child), 0);
    cr_assert_eq(used(), 0);
}

Test(wait, of_ages_is_for_ever)
{
    struct pqb_claim claim, more;
    cr_assert_eq(hold(&claim, 0), PQB_OK);
    pid_t child = support_fork();
    if (!child) {
        expect(!hold(&more, 0x7fffffffffffffffll));
        _exit(0);
    }
    cr_assert(wait_until(waiting() == 1));
    uint64_t start = pqb_now();
    cr_assert(wait_until(pqb_now() > start + 50 * PQB_MS));
    cr_assert_eq(waiting(), 1);
    give(&claim);
    cr_assert_eq(support_reap(child), 0);
}

Test(wait, is_served_in_order)
{
    enum { MANY = 12 };
    struct pqb_claim claim;
    pid_t child[MANY];
    _Atomic int *granted = support_shared(MANY * sizeof *granted);
    cr_assert_eq(hold(&claim, 0), PQB_OK);
    for (int i = 0; i < MANY; i++)
        child[i] = waiter(&granted[i]);
    give(&claim);
    for (int i = 0; i < MANY; i++) {
        cr_assert(wait_until(atomic_load(&granted[i]) == 1), "waiter %d", i);
        for (int later = i + 1; later < MANY; later++)
            cr_assert_eq(atomic_load(&granted[later]), 0);
        cr_assert_eq(release(child[i]), 0);
    }
    cr_assert_eq(used(), 0);
}

/* ---- deaths ---- */

Test(wait, ends_when_the_holder_is_killed)
{
    _Atomic int *granted = support_shared(sizeof *granted);
    pid_t holder = holder_of(granted);
    pid_t child = waiter(granted);
    kill(holder, SIGKILL); /* and is not reaped */
    cr_assert(wait_until(atomic_load(granted) == 2));
    support_reap(holder);
    cr_assert_eq(release(child), 0);
}

Test(wait, of_a_killed_one_is_passed_on)
{
    struct pqb_claim claim;
    _Atomic int *granted = support_shared(sizeof *granted);
    cr_assert_eq(hold(&claim, 0), PQB_OK);
    pid_t first = waiter(granted), second = waiter(granted);
    support_kill(first);
    give(&claim);
    cr_assert(wait_until(atomic_load(granted) == 1));
    cr_assert_eq(release(second), 0);
}

/* Stopped at the head of the queue: granted, taken back after a second, and served in its turn when
 * it lives again. */
Test(wait, of_a_stopped_one_is_passed_over_until_it_goes_on)
{
    int status;
    struct pqb_claim claim;
    _Atomic int *granted = support_shared(2 * sizeof *granted);
    cr_assert_eq(hold(&claim, 0), PQB_OK);
    pid_t stopped = waiter(&granted[0]), next = waiter(&granted[1]);
    kill(stopped, SIGSTOP);
    waitpid(stopped, &status, WUNTRACED);
    give(&claim);
    cr_assert(wait_until(atomic_load(&granted[1]) == 1));
    cr_assert_eq(atomic_load(&granted[0]), 0);
    cr_assert_eq(waiting(), 1);
    kill(stopped, SIGCONT);
    cr_assert_eq(release(next), 0);
    cr_assert(wait_until(atomic_load(&granted[0]) == 1));
    cr_assert_eq(release(stopped), 0);
    cr_assert_eq(used(), 0);
}

/* ---- signals ---- */

static volatile sig_atomic_t signals;

static void count_signal(int number)
{
    (void)number;
    signals++;
}

static void handle(int number, void (*handler)(int), int flags)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
    sigaction(number, &action, NULL);
}

static void every(int ms)
{
    struct itimerval interval = {.it_interval.tv_usec = ms * 1000, .it_value.tv_usec = ms * 1000};
    setitimer(ITIMER_REAL, &interval, NULL);
}

static void once_in(int ms)
{
    struct itimerval interval = {.it_value.tv_usec = ms * 1000};
    setitimer(ITIMER_REAL, &interval, NULL);
}

static void wait_under_fire(int flags)
{
    struct pqb_claim claim, more;
    handle(SIGALRM, count_signal, flags);
    cr_assert_eq(hold(&claim, 0), PQB_OK);
    every(1);
    uint64_t start = pqb_now();
    errno = ENOTTY;
    cr_assert_eq(hold(&more, 100), PQB_TIMED_OUT);
    cr_assert_eq(errno, ENOTTY);
    cr_assert_geq(pqb_now() - start, 100 * PQB_MS);
    cr_assert_gt(signals, 10);
    every(0);
    give(&claim);
    cr_assert_eq(hold(&more, 0), PQB_OK);
}

Test(wait, is_not_ended_by_signals)
{
    wait_under_fire(0);
}

Test(wait, is_not_ended_by_signals_with_restart)
{
    wait_under_fire(SA_RESTART);
}

static sigjmp_buf before;

static void leave(int number)
{
    (void)number;
    siglongjmp(before, 1);
}

static volatile int rounds;

Test(wait, left_by_a_longjmp_is_given_up_by_the_next)
{
    struct pqb_claim claim, more;
    static volatile unsigned descriptors;
    handle(SIGALRM, leave, 0);
    cr_assert_eq(hold(&claim, 0), PQB_OK);
    sigsetjmp(before, 1);
    if (++rounds <= 30) {
        if (rounds == 10)
            descriptors = support_descriptors();
        once_in(3);
        enum pqb_status status = hold(&more, PQB_WAIT_FOREVER);
        cr_assert_fail("granted or ended: %d", (int)status);
    }
    cr_assert_eq(waiting(), 1); /* the last one, so far */
    cr_assert_leq(support_descriptors(), descriptors);
    give(&claim);
    cr_assert_eq(hold(&more, 5000), PQB_OK);
    cr_assert_eq(waiting(), 0);
    cr_assert_eq(used(), 1);
    give(&more);
    cr_assert_eq(used(), 0);
}

/* The head of the queue watches drainers: signals must reach it there too. */
Test(wait, can_be_left_while_drainers_are_watched)
{
    struct pqb_claim claim, more;
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
    struct pqb_claim_row *row = &claim.region->map->claim[claim.index];
    give(&claim);
    cr_assert_eq(support_count(&ledger).draining, 1);
    /* Only young drainers are watched; under load there is always one. */
    pid_t rejuvenator = support_fork();
    if (!rejuvenator)
        for (;;) {
            atomic_store(&row->changed_at, pqb_now());
            support_nap();
        }
    static volatile unsigned descriptors;
    handle(SIGALRM, leave, 0);
    sigsetjmp(before, 1);
    if (++rounds <= 20) {
        if (rounds == 5)
            descriptors = support_descriptors();
        once_in(5);
        enum pqb_status status = hold(&more, PQB_WAIT_FOREVER);
        cr_assert_fail("granted or ended: %d", (int)status);
    }
    cr_assert_leq(support_descriptors(), descriptors);
    support_kill(rejuvenator);
    support_kill(backend);
    cr_assert_eq(hold(&more, 5000), PQB_OK);
}

static struct pqb_claim in_handler;
static volatile sig_atomic_t handler_status = -1;
static const struct pqb_server_config other_config = {.limit = 1};
static const struct pqb_claim_request other = {
    .server = "other:5432", .app = "test", .defaults = &other_config};

static void take_and_give(int number)
{
    (void)number;
    handler_status = (sig_atomic_t)support_hold(&ledger, &other, 1000, &in_handler);
    give(&in_handler);
}

Test(wait, goes_on_after_a_handler_that_took_and_gave_a_claim)
{
    _Atomic int *granted = support_shared(sizeof *granted);
    struct pqb_claim claim, more;
    handle(SIGALRM, take_and_give, 0);
    cr_assert_eq(hold(&claim, 0), PQB_OK);
    cr_assert_eq(support_hold(&ledger, &other, 0, &more), PQB_OK);
    give(&more);
    every(5);
    cr_assert_eq(hold(&more, 100), PQB_TIMED_OUT);
    cr_assert_eq(handler_status, PQB_OK);
    /* And in another process, until it is granted. */
    pid_t child = support_fork();
    if (!child) {
        every(5);
        expect(!hold(&more, PQB_WAIT_FOREVER));
        every(0);
        atomic_store(granted, 1);
        expect(handler_status == PQB_OK);
        give(&more);
        _exit(0);
    }
    every(0);
    uint64_t start = pqb_now();
    cr_assert(wait_until(pqb_now() > start + 100 * PQB_MS));
    give(&claim);
    cr_assert_eq(support_reap(child), 0);
    cr_assert_eq(atomic_load(granted), 1);
    cr_assert_eq(used() + waiting(), 0);
}

static volatile pid_t forked;

static void fork_in_handler(int number)
{
    (void)number;
    if (!forked)
        forked = fork();
}

/* The child comes back from the handler into its parent's wait: it queues for itself. */
Test(wait, that_a_handler_forked_goes_on_in_both)
{
    struct pqb_claim claim, more;
    _Atomic int *granted = support_shared(sizeof *granted);
    cr_assert_eq(hold(&claim, 0), PQB_OK);
    pid_t child = support_fork();
    if (!child) {
        handle(SIGUSR1, fork_in_handler, 0);
        pid_t me = getpid();
        expect(!hold(&more, PQB_WAIT_FOREVER));
        expect(used() == 1);
        atomic_fetch_add(granted, 1);
        give(&more);
        if (getpid() != me)
            _exit(0);
        expect(!support_reap(forked));
        _exit(0);
    }
    cr_assert(wait_until(waiting() == 1));
    kill(child, SIGUSR1);
    cr_assert(wait_until(waiting() == 2));
    give(&claim);
    cr_assert_eq(support_reap(child), 0);
    cr_assert_eq(atomic_load(granted), 2);
    cr_assert(wait_until(used() + waiting() == 0));
}

/* ---- threads ---- */

static struct pqb_claim of_thread;

static void *wait_in_thread(void *type)
{
    if (type)
        pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
    enum pqb_status status = hold(&of_thread, PQB_WAIT_FOREVER);
    if (!status)
        give(&of_thread);
    pthread_testcancel();
    return NULL;
}

Test(wait, of_a_cancelled_thread_loses_no_slot)
{
    struct pqb_claim claim;
    pthread_t thread;
    void *result;
    cr_assert_eq(hold(&claim, 0), PQB_OK);
    pthread_create(&thread, NULL, wait_in_thread, NULL);
    cr_assert(wait_until(waiting() == 1));
    pthread_cancel(thread);
    give(&claim); /* a deferred cancellation comes after the wait */
    pthread_join(thread, &result);
    cr_assert_eq(result, PTHREAD_CANCELED);
    cr_assert_eq(hold(&claim, 5000), PQB_OK);
    cr_assert_eq(used(), 1);
    cr_assert_eq(waiting(), 0);
}

/* AddressSanitizer takes the frames that a thread abandoned for those of its destructors. */
#ifndef __SANITIZE_ADDRESS__

Test(wait, of_a_thread_cancelled_at_once_is_given_up)
{
    struct pqb_claim claim;
    pthread_t thread;
    static int asynchronous;
    cr_assert_eq(hold(&claim, 0), PQB_OK);
    for (int i = 0; i < 10; i++) {
        pthread_create(&thread, NULL, wait_in_thread, &asynchronous);
        cr_assert(wait_until(waiting() == 1));
        pthread_cancel(thread);
        pthread_join(thread, NULL);
        cr_assert_eq(waiting(), 0);
    }
    give(&claim);
    cr_assert_eq(hold(&claim, 0), PQB_OK);
}

static void end_thread(int number)
{
    (void)number;
    pthread_exit(NULL);
}

Test(wait, of_a_thread_that_a_handler_ended_is_given_up)
{
    struct pqb_claim claim;
    pthread_t thread;
    handle(SIGUSR1, end_thread, 0);
    cr_assert_eq(hold(&claim, 0), PQB_OK);
    pthread_create(&thread, NULL, wait_in_thread, NULL);
    cr_assert(wait_until(waiting() == 1));
    pthread_kill(thread, SIGUSR1);
    pthread_join(thread, NULL);
    cr_assert_eq(waiting(), 0);
}

#endif

static const struct pqb_server_config five = {.limit = 5};
static const struct pqb_claim_request crowded = {
    .server = "crowded:5432", .app = "test", .defaults = &five};
static _Atomic int held, most, failures;

static void *come_and_go(void *unused)
{
    (void)unused;
    for (int i = 0; i < 40; i++) {
        struct pqb_claim claim;
        if (support_hold(&ledger, &crowded, PQB_WAIT_FOREVER, &claim)) {
            atomic_fetch_add(&failures, 1);
            continue;
        }
        int now = atomic_fetch_add(&held, 1) + 1, seen = atomic_load(&most);
        while (now > seen && !atomic_compare_exchange_weak(&most, &seen, now))
            ;
        if (i % 8 == 0)
            support_nap();
        atomic_fetch_sub(&held, 1);
        give(&claim);
    }
    return NULL;
}

Test(wait, of_fifty_threads_is_never_over_and_all_come_through)
{
    pthread_t thread[50];
    unsigned descriptors = support_descriptors();
    for (int i = 0; i < 50; i++)
        cr_assert_eq(pthread_create(&thread[i], NULL, come_and_go, NULL), 0);
    for (int i = 0; i < 50; i++)
        pthread_join(thread[i], NULL);
    cr_assert_eq(atomic_load(&failures), 0);
    cr_assert_leq(atomic_load(&most), 5);
    cr_assert_eq(used() + waiting(), 0);
    cr_assert_leq(support_descriptors(), descriptors + PQB_LIFE_POOL + 1);
}

Test(wait, of_fifty_processes_is_never_over_and_all_come_through)
{
    struct shared {
        _Atomic int held, over;
    } *shared = support_shared(sizeof *shared);
    pid_t child[50];
    for (int i = 0; i < 50; i++) {
        child[i] = support_fork();
        if (child[i])
            continue;
        for (int n = 0; n < 20; n++) {
            struct pqb_claim claim;
            expect(!support_hold(&ledger, &crowded, PQB_WAIT_FOREVER, &claim));
            if (atomic_fetch_add(&shared->held, 1) >= 5)
                atomic_store(&shared->over, 1);
            atomic_fetch_sub(&shared->held, 1);
            give(&claim);
        }
        _exit(0);
    }
    for (int i = 0; i < 50; i++)
        cr_assert_eq(support_reap(child[i]), 0);
    cr_assert_eq(atomic_load(&shared->over), 0);
    cr_assert_eq(used() + waiting(), 0);
}

/* ---- many claims on one thread ---- */

Test(wait, of_many_claims_on_one_thread_rings_the_bell)
{
    enum { MANY = 40 };
    struct pqb_claim claim[MANY], first;
    int taken = 0;
    cr_assert_eq(hold(&first, 0), PQB_OK);
    for (int i = 0; i < MANY; i++)
        cr_assert_eq(pqb_wait_submit(&ledger, &belled, &claim[i], NULL), PQB_OK);
    cr_assert_eq(waiting(), MANY);
    _Atomic uint32_t *bell = pqb_wait_bell(claim[0].region);
    uint32_t rung = atomic_load(bell);
    give(&first);
    cr_assert_neq(atomic_load(bell), rung);
    while (taken < MANY) {
        rung = atomic_load(bell);
        enum pqb_status status = pqb_claim_take(&claim[taken]);
        if (status == PQB_WAITING) {
            pqb_futex_wait(bell, rung, pqb_now() + PQB_TICK_HOT, 1);
            cr_assert_eq(pqb_tick(claim[taken].region, 0, NULL), PQB_OK);
            continue;
        }
        cr_assert_eq(status, PQB_OK);
        if (taken + 1 < MANY)
            cr_assert_eq(pqb_claim_take(&claim[taken + 1]), PQB_WAITING);
        give(&claim[taken++]);
    }
    cr_assert_eq(used() + waiting(), 0);
}

Test(wait, of_a_bell_is_heard_from_another_process)
{
    struct pqb_claim claim;
    _Atomic int *granted = support_shared(sizeof *granted);
    pid_t holder = holder_of(granted);
    cr_assert_eq(pqb_wait_submit(&ledger, &belled, &claim, NULL), PQB_OK);
    _Atomic uint32_t *bell = pqb_wait_bell(claim.region);
    uint32_t rung = atomic_load(bell);
    kill(holder, SIGTERM);
    while (atomic_load(bell) == rung) /* without any tick of ours */
        pqb_futex_wait(bell, rung, PQB_FOREVER, 1);
    cr_assert_eq(pqb_claim_take(&claim), PQB_OK);
    support_reap(holder);
}

/* ---- the ledger goes ---- */

static void replace_while_waiting(enum pqb_status (*replace)(void))
{
    struct pqb_claim claim;
    _Atomic int *granted = support_shared(sizeof *granted);
    cr_assert_eq(hold(&claim, 0), PQB_OK);
    pid_t child[6];
    for (int i = 0; i < 6; i++)
        child[i] = waiter(granted);
    cr_assert_eq(replace(), PQB_OK);
    /* In the new ledger nothing is held: they are served one after the other. */
    cr_assert(wait_until(atomic_load(granted) >= 1));
    cr_assert(wait_until(waiting() == 5));
    cr_assert_eq(used(), 1);
    give(&claim);
    for (int i = 0; i < 6; i++)
        kill(child[i], SIGTERM);
    for (int i = 0; i < 6; i++)
        cr_assert_eq(support_reap(child[i]), 0);
    cr_assert_eq(atomic_load(granted), 6);
    cr_assert(wait_until(used() + waiting() == 0));
}

static enum pqb_status reset_by_force(void)
{
    return pqb_steer_reset(ledger.path, 1, NULL);
}

Test(wait, goes_on_in_the_new_ledger_after_a_reset)
{
    replace_while_waiting(reset_by_force);
}

static enum pqb_status unlink_by_hand(void)
{
    return unlink(ledger.path) ? PQB_SYSTEM : PQB_OK;
}

Test(wait, goes_on_in_the_new_ledger_after_somebody_removed_it)
{
    replace_while_waiting(unlink_by_hand);
}

Test(wait, ends_when_the_ledger_is_truncated)
{
    struct pqb_claim claim, more;
    cr_assert_eq(hold(&claim, 0), PQB_OK);
    pid_t child = support_fork();
    if (!child)
        _exit(hold(&more, PQB_WAIT_FOREVER) != PQB_DAMAGED);
    cr_assert(wait_until(waiting() == 1));
    cr_assert_eq(truncate(ledger.path, 0), 0);
    int status = support_reap(child);
    /* Truncation under a mapping is SIGBUS by nature, if it hits between two looks. */
    cr_assert(status == 0 || (WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS));
}

/* ---- draining ---- */

Test(wait, ends_as_soon_as_the_backend_has_gone)
{
    struct pqb_claim claim;
    _Atomic int *granted = support_shared(sizeof *granted);
    prctl(PR_SET_NAME, "postgres");
    for (int i = 0; i < 5; i++) {
        _Atomic int *ready = support_shared(sizeof *ready);
        atomic_store(granted, 0);
        pid_t backend = support_fork();
        if (!backend) {
            atomic_store(ready, 1);
            support_linger();
        }
        cr_assert(wait_until(atomic_load(ready)));
        struct pqb_claim_peer peer = {.backend_pid = backend, .is_local = 1};
        cr_assert_eq(pqb_wait_acquire(&ledger, &request, 0, &claim, NULL, NULL), PQB_OK);
        cr_assert_eq(pqb_claim_open(&claim, &peer), PQB_OK);
        give(&claim);
        pid_t child = waiter(granted);
        cr_assert_eq(support_count(&ledger).draining, 1);
        kill(backend, SIGKILL); /* and stays a zombie */
        uint64_t start = pqb_now();
        cr_assert(wait_until(atomic_load(granted) == 1));
        cr_assert_lt(pqb_now() - start, 2 * PQB_SECOND); /* far below a cold tick and the ceiling */
        cr_assert_eq(release(child), 0);
        support_reap(backend);
    }
}
