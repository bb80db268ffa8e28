#include "preload/state.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#define PATIENCE 5 /* seconds */

__thread struct pqb_thread pqb_thread __attribute__((tls_model("initial-exec")));

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static _Atomic int has_fork_handlers;
static __thread int is_forking __attribute__((tls_model("initial-exec")));

static int take(void)
{
    struct timespec until;
    if (!pthread_mutex_trylock(&mutex))
        return 1;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE;
    return !pthread_mutex_timedlock(&mutex, &until);
}

/* The tables must not be half changed in a child. Nobody keeps the lock for longer than a search;
 * not to be had, it belongs to a thread that is not here. The program's own fork handlers may run
 * while it is held, and close connections. */
static void before_fork(void)
{
    is_forking = take();
}

static void after_fork(void)
{
    if (is_forking)
        pthread_mutex_unlock(&mutex);
    is_forking = 0;
}

int pqb_state_lock(struct pqb_process_hold *hold)
{
    if (!atomic_load(&has_fork_handlers) && !atomic_exchange(&has_fork_handlers, 1))
        pthread_atfork(before_fork, after_fork, after_fork);
    pqb_process_quiet(hold);
    if (is_forking || take())
        return 1;
    pqb_process_loud(hold);
    return 0;
}

void pqb_state_unlock(const struct pqb_process_hold *hold)
{
    if (!is_forking)
        pthread_mutex_unlock(&mutex);
    pqb_process_loud(hold);
}
