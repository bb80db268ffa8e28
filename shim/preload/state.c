#include "preload/state.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE 5 /* seconds */

__thread struct pqb_thread pqb_thread __attribute__((tls_model("initial-exec")));

/* In the order in which they are taken. */
static pthread_mutex_t mutexes[2] = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER};
#define SOCKETS 0
#define TABLES 1

static _Atomic int has_fork_handlers;
static __thread int is_forking[2] __attribute__((tls_model("initial-exec")));

#if defined __GLIBC__ && !defined __SANITIZE_THREAD__
#define CLOCK CLOCK_MONOTONIC
#else
#define CLOCK CLOCK_REALTIME /* musl knows no other here, nor does gcc's thread sanitizer */
#define pthread_mutex_clocklock(mutex, clock, until) pthread_mutex_timedlock(mutex, until)
#endif

/* Second by second: one of them is over at once when the process goes on that was stopped. Not by
 * the wall clock, which somebody may set; and by the kernel's word, since another preload
 * (libfaketime) may answer for libc, and the kernel does not go by that. */
static int take(unsigned which)
{
    struct timespec until;
    if (!pthread_mutex_trylock(&mutexes[which]))
        return 1;
    for (unsigned seconds = 0; seconds < PATIENCE; seconds++) {
        syscall(SYS_clock_gettime, CLOCK, &until);
        until.tv_sec++;
        if (!pthread_mutex_clocklock(&mutexes[which], CLOCK, &until))
            return 1;
    }
    return 0;
}

/* The tables must not be half changed in a child. Nobody keeps the locks for long; not to be had,
 * one belongs to a thread that is not here. The program's own fork handlers may run while they are
 * held, and close connections. */
static void before_fork(void)
{
    for (unsigned i = 0; i < 2; i++)
        is_forking[i] = take(i);
}

static void after_fork(void)
{
    for (unsigned i = 2; i-- > 0;) {
        if (is_forking[i])
            pthread_mutex_unlock(&mutexes[i]);
        is_forking[i] = 0;
    }
}

static int lock(unsigned which, struct pqb_process_hold *hold)
{
    if (!atomic_load(&has_fork_handlers) && !atomic_exchange(&has_fork_handlers, 1)) {
        pqb_process_watch_forks(); /* the ledger's lock comes behind these two */
        pthread_atfork(before_fork, after_fork, after_fork);
    }
    pqb_process_quiet(hold);
    if (is_forking[which] || take(which))
        return 1;
    pqb_process_loud(hold);
    return 0;
}

static void unlock(unsigned which, const struct pqb_process_hold *hold)
{
    if (!is_forking[which])
        pthread_mutex_unlock(&mutexes[which]);
    pqb_process_loud(hold);
}

int pqb_state_lock(struct pqb_process_hold *hold)
{
    return lock(TABLES, hold);
}

void pqb_state_unlock(const struct pqb_process_hold *hold)
{
    unlock(TABLES, hold);
}

int pqb_state_lock_sockets(struct pqb_process_hold *hold)
{
    return lock(SOCKETS, hold);
}

void pqb_state_unlock_sockets(const struct pqb_process_hold *hold)
{
    unlock(SOCKETS, hold);
}
