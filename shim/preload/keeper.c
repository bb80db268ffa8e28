#include "preload/keeper.h"

#include "ledger/tick.h"
#include "ledger/wait.h"
#include "preload/keeping.h"
#include "preload/state.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <unistd.h>

#define STACK (256u << 10)
#define FLUSH_MS 1
#define NAP_MS 10

/* The process that has a keeper. A forked child has none, whatever its parent had. */
static int32_t keeper_of;

/* Whose bell it sleeps on until that rings, as nothing is held; else NULL. Pinned as long as it
 * stands here: whoever wakes the keeper may come when that is awake already. */
static struct pqb_region *asleep_on;

/* Returns what it was before, whose pin is the caller's now. */
static struct pqb_region *sleep_on(struct pqb_region *region)
{
    struct pqb_region *before = asleep_on;
    asleep_on = region;
    if (region)
        pqb_region_pin(region);
    return before;
}

/* Until a grant rings, or the next tick; while bytes wait to be sent, until they can be. */
static void rest(const struct pqb_keeping *wait)
{
    if (wait->flush >= 0) {
        struct pollfd room = {.fd = wait->flush, .events = POLLOUT};
        poll(&room, 1, FLUSH_MS);
    } else if (wait->region && !pqb_region_check(wait->region)) {
        pqb_futex_wait(pqb_wait_bell(wait->region), wait->heard,
                       wait->is_held ? pqb_now() + PQB_TICK_HOT : PQB_FOREVER, 1);
    } else {
        poll(NULL, 0, NAP_MS); /* no ledger to sleep on just now */
    }
}

/* One round. 0 if there is nothing to keep any more: the keeper is gone then. */
static int round_of_keeping(void)
{
    struct pqb_process_hold hold;
    struct pqb_keeping wait;
    if (!pqb_state_lock_sockets(&hold))
        return 1;
    struct pqb_region *before = sleep_on(NULL);
    int is_needed = pqb_keeping_round(&wait);
    if (!is_needed)
        keeper_of = 0;
    sleep_on(is_needed && !wait.is_held ? wait.region : NULL);
    pqb_state_unlock_sockets(&hold);
    if (before)
        pqb_region_unpin(before);
    int is_usable = 1;
    for (unsigned i = 0; i < wait.servers && is_usable; i++)
        is_usable = !pqb_tick(wait.region, wait.server[i], NULL);
    if (is_needed)
        rest(&wait);
    if (wait.region)
        pqb_region_unpin(wait.region);
    return is_needed;
}

static void *keep(void *unused)
{
    (void)unused;
    while (round_of_keeping())
        ;
    return NULL;
}

void pqb_keeper_wake(void)
{
    if (keeper_of != (int32_t)getpid() || !asleep_on)
        return;
    if (pqb_region_check(asleep_on) == PQB_DAMAGED) {
        keeper_of = 0; /* it shrank, and can't be touched: there nobody wakes any more */
        return;
    }
    _Atomic uint32_t *bell = pqb_wait_bell(asleep_on);
    atomic_fetch_add(bell, 1);
    pqb_futex_wake(bell, INT_MAX, 1);
}

int pqb_keeper_start(void)
{
    pthread_attr_t attributes;
    pthread_t thread;
    int32_t pid = (int32_t)getpid();
    pqb_keeper_wake();
    if (keeper_of == pid)
        return 1;
    if (pthread_attr_init(&attributes))
        return 0;
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, STACK);
    int saved = errno; /* the caller has all signals blocked, and so has the thread */
    if (!pthread_create(&thread, &attributes, keep, NULL))
        keeper_of = pid;
    pthread_attr_destroy(&attributes);
    errno = saved;
    return keeper_of == pid;
}
