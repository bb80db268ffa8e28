#include "ledger/process.h"

#include "ledger/os.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define FORK_PATIENCE (250 * PQB_MS)

#define LOCK_HELD 1u
#define LOCK_SLEPT_ON 2u
#define LOCK_MISSED 4u /* somebody tried in vain, and has gone */

/* Zeroed by the kernel in a forked child. */
struct wiped_page {
    _Atomic uint64_t id;
    _Atomic int32_t pid;
    _Atomic uint32_t pid_ns;
    _Atomic uint32_t lock;    /* LOCK_…, 0 = free */
    _Atomic uint32_t claimed; /* 1 once a thread has begun to give this process its id */
};

static struct wiped_page *_Atomic page;
static __thread unsigned quiet_depth __attribute__((tls_model("initial-exec")));
static _Atomic uint32_t forks;
static void (*_Atomic child_callback)(void);
static _Atomic uint32_t fork_hooks; /* 1 once pthread_atfork has been called */
static _Atomic uint32_t identified; /* 1 once this program has an id; not wiped */

static __thread struct pqb_process_hold fork_hold __attribute__((tls_model("initial-exec")));
static __thread int fork_locked __attribute__((tls_model("initial-exec")));

/* No other thread may be between opening a description and putting it down, or the child would
 * have a copy that nobody closes. */
static void before_fork(void)
{
    /* Before and after: what begins in between may be shared as well. */
    atomic_fetch_add(&forks, 1);
    fork_locked = !pqb_process_lock(&fork_hold, pqb_now() + FORK_PATIENCE);
}

static void after_fork_in_parent(void)
{
    atomic_fetch_add(&forks, 1);
    if (fork_locked)
        pqb_process_unlock(&fork_hold);
}

static void child_cleans_up(void)
{
    atomic_fetch_add(&forks, 1);
    void (*callback)(void) = atomic_load(&child_callback);
    if (callback)
        callback();
}

static void after_fork_in_child(void)
{
    atomic_store(&identified, 0);
    child_cleans_up();
    if (fork_locked)
        pqb_process_loud(&fork_hold); /* the lock itself was wiped */
}

/* Whoever comes without an id in a program that had one is the child of a clone() that passed by
 * libc: the page was wiped, the handlers above have not run. */
static void notice_raw_clone(void)
{
    if (atomic_exchange(&identified, 1))
        child_cleans_up();
}

uint32_t pqb_process_forks(void)
{
    return atomic_load(&forks);
}

void pqb_process_watch_forks(void)
{
    if (!atomic_exchange(&fork_hooks, 1))
        pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

void pqb_process_on_fork(void (*child)(void))
{
    atomic_store(&child_callback, child);
    pqb_process_watch_forks();
}

static struct wiped_page *page_get(void)
{
    struct wiped_page *mine = atomic_load(&page);
    if (mine)
        return mine;
    void *made =
        mmap(NULL, sizeof *mine, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (made == MAP_FAILED)
        return NULL;
    if (madvise(made, sizeof *mine, MADV_WIPEONFORK)) {
        munmap(made, sizeof *mine);
        return NULL;
    }
    if (!atomic_compare_exchange_strong(&page, &mine, made)) {
        munmap(made, sizeof *mine);
        return mine;
    }
    return made;
}

enum pqb_status pqb_process_self(struct pqb_process *self)
{
    struct wiped_page *mine = page_get();
    if (!mine)
        return PQB_NO_MEMORY;
    int32_t pid = (int32_t)getpid();
    uint64_t id = atomic_load(&mine->id);
    if (!id) {
        if (!atomic_exchange(&mine->claimed, 1))
            notice_raw_clone();
        /* First call in this process. Threads race for the number; the pid they store is the same.
         */
        atomic_store(&mine->pid, pid);
        atomic_store(&mine->pid_ns, pqb_pid_namespace());
        uint64_t fresh = pqb_random();
        if (atomic_compare_exchange_strong(&mine->id, &id, fresh))
            id = fresh;
    }
    if (atomic_load(&mine->pid) != pid)
        return PQB_BORROWED;
    *self = (struct pqb_process){.id = id, .pid = pid, .pid_ns = atomic_load(&mine->pid_ns)};
    return PQB_OK;
}

void pqb_process_quiet(struct pqb_process_hold *hold)
{
    hold->nested = quiet_depth > 0;
    if (hold->nested) {
        quiet_depth++;
        return;
    }
    sigset_t all;
    sigfillset(&all);
    /* A fault must reach the host's own handler (a JVM has one), not kill it. */
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS};
    for (unsigned i = 0; i < sizeof faults / sizeof *faults; i++)
        sigdelset(&all, faults[i]);
    pthread_sigmask(SIG_SETMASK, &all, &hold->signals);
    /* Only now: a handler that ran in between found nothing quiet, and may have left by a longjmp.
     */
    quiet_depth++;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &hold->cancellation);
}

void pqb_process_loud(const struct pqb_process_hold *hold)
{
    quiet_depth--;
    if (hold->nested)
        return;
    int ignored;
    pthread_setcancelstate(hold->cancellation, &ignored);
    pthread_sigmask(SIG_SETMASK, &hold->signals, NULL);
}

/* The last try: takes the lock, or marks it while it is held, in one step. */
static int take_or_mark(_Atomic uint32_t *lock)
{
    uint32_t seen = atomic_load(lock);
    while (!atomic_compare_exchange_weak(lock, &seen, seen ? seen | LOCK_MISSED : LOCK_HELD))
        continue;
    return !seen;
}

enum pqb_status pqb_process_lock(struct pqb_process_hold *hold, uint64_t deadline)
{
    struct wiped_page *mine = page_get();
    if (!mine)
        return PQB_NO_MEMORY;
    pqb_process_quiet(hold);
    uint32_t seen = 0;
    if (deadline && atomic_compare_exchange_strong(&mine->lock, &seen, LOCK_HELD))
        return PQB_OK;
    while (deadline && pqb_now() < deadline) {
        seen = atomic_fetch_or(&mine->lock, LOCK_HELD | LOCK_SLEPT_ON);
        if (!seen)
            return PQB_OK;
        pqb_futex_wait(&mine->lock, seen | LOCK_SLEPT_ON, deadline, 0);
    }
    if (take_or_mark(&mine->lock))
        return PQB_OK;
    pqb_process_loud(hold);
    return PQB_BUSY;
}

int pqb_process_unlock(const struct pqb_process_hold *hold)
{
    struct wiped_page *mine = atomic_load(&page);
    uint32_t was = atomic_exchange(&mine->lock, 0);
    if (was & LOCK_SLEPT_ON)
        pqb_futex_wake(&mine->lock, 1, 0);
    pqb_process_loud(hold);
    return (was & LOCK_MISSED) != 0;
}
