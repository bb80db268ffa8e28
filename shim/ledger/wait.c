#include "ledger/wait.h"

#include "ledger/admission.h"
#include "ledger/backend.h"
#include "ledger/ending.h"
#include "ledger/guard.h"
#include "ledger/process.h"
#include "ledger/registry.h"
#include "ledger/tick.h"
#include "ledger/visit.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* The claim this thread waits for, if it does. A signal handler may leave the wait by siglongjmp
 * (DBI's alarm idiom); the thread's next wait finds the claim here and gives it up. */
static __thread struct pqb_claim in_wait __attribute__((tls_model("initial-exec")));
static __thread uint64_t in_wait_process __attribute__((tls_model("initial-exec")));

/* ---- the ledger of a process ---- */

enum pqb_status pqb_ledger_open(struct pqb_ledger *ledger, const char *name, int create,
                                struct pqb_error *error)
{
    struct pqb_region *region;
    memset(ledger, 0, sizeof *ledger);
    enum pqb_status status = pqb_region_path(name, ledger->path, error);
    if (!status)
        status = pqb_region_open(ledger->path, create, &region, error);
    if (!status)
        atomic_store(&ledger->region, region);
    return status;
}

void pqb_ledger_close(struct pqb_ledger *ledger)
{
    struct pqb_region *region = atomic_exchange(&ledger->region, NULL);
    if (region)
        pqb_region_unpin(region);
}

/* Pins what is mapped. Under the process lock, so that nobody unmaps it in between. */
static enum pqb_status pin_present(struct pqb_ledger *ledger, struct pqb_region **region)
{
    struct pqb_process_hold hold;
    enum pqb_status status = pqb_process_lock(&hold, pqb_now() + PQB_GUARD_PATIENCE);
    if (status)
        return status;
    *region = atomic_load(&ledger->region);
    if (*region)
        pqb_region_pin(*region);
    if (pqb_process_unlock(&hold) && *region && !pqb_region_check(*region))
        pqb_visit_serve(*region);
    return PQB_OK;
}

enum pqb_status pqb_ledger_region(struct pqb_ledger *ledger, struct pqb_region **region,
                                  struct pqb_error *error)
{
    enum pqb_status status = pin_present(ledger, region);
    if (status)
        return pqb_fail(error, status, "%s: %s", ledger->path, pqb_status_text(status));
    if (*region && !pqb_region_check(*region))
        return PQB_OK;
    struct pqb_region *old = *region, *fresh;
    status = pqb_region_open(ledger->path, 1, &fresh, error);
    if (!status) {
        pqb_region_pin(fresh); /* once for the ledger, once for the caller */
        if (atomic_compare_exchange_strong(&ledger->region, region, fresh)) {
            if (old)
                pqb_region_unpin(old);
        } else {
            pqb_region_unpin(fresh); /* another thread was first */
        }
        *region = fresh;
    }
    if (old)
        pqb_region_unpin(old);
    return status;
}

/* ---- waiting ---- */

_Atomic uint32_t *pqb_wait_bell(struct pqb_region *region)
{
    struct pqb_process self = {0};
    if (pqb_process_self(&self))
        self.id = 0;
    return &region->map->header.bell[self.id % PQB_BELLS];
}

static enum pqb_status submit(struct pqb_ledger *ledger, const struct pqb_process *self,
                              const struct pqb_claim_request *request, struct pqb_claim *claim,
                              struct pqb_error *error)
{
    struct pqb_region *region;
    enum pqb_status status = pqb_ledger_region(ledger, &region, error);
    if (status)
        return status;
    status = pqb_claim_submit(region, self, request, &ledger->hints, pqb_now() + PQB_GUARD_PATIENCE,
                              claim);
    pqb_region_unpin(region);
    if (status)
        pqb_fail(error, status, "%s: %s", ledger->path, pqb_status_text(status));
    return status;
}

enum pqb_status pqb_wait_submit(struct pqb_ledger *ledger, const struct pqb_claim_request *request,
                                struct pqb_claim *claim, struct pqb_error *error)
{
    struct pqb_process self;
    *claim = (struct pqb_claim){0};
    enum pqb_status status = pqb_process_self(&self);
    if (status)
        return pqb_fail(error, status, "%s: %s", ledger->path, pqb_status_text(status));
    do
        status = submit(ledger, &self, request, claim, error);
    while (status == PQB_LOST); /* the ledger was replaced between opening and queueing */
    return status;
}

static struct pqb_claim_row *row_of(const struct pqb_claim *claim)
{
    return &claim->region->map->claim[claim->index];
}

static int is_same(const struct pqb_claim *a, const struct pqb_claim *b)
{
    return a->region == b->region && a->index == b->index && a->generation == b->generation;
}

static int is_process(uint64_t id)
{
    struct pqb_process self;
    return !pqb_process_self(&self) && self.id == id;
}

/* To be asked whenever signals were let in: a handler that took a claim gave this one up; one that
 * forked left its child in the parent's wait. */
static int is_ours_still(const struct pqb_claim *claim)
{
    return is_same(&in_wait, claim) && is_process(in_wait_process);
}

/* Here and after watching drainers a waiting thread can be interrupted, or left by a siglongjmp. */
static void sleep_on(_Atomic uint32_t *word, uint32_t seen, uint64_t until,
                     struct pqb_process_hold *hold)
{
    pqb_process_loud(hold);
    pqb_futex_wait(word, seen, until, 1);
    pqb_process_quiet(hold);
}

static int end_drainer(struct pqb_layout *map, const struct pqb_drainers *drainers, unsigned i)
{
    return pqb_ending_step(map, drainers->drainer[i].index, drainers->drainer[i].ctl, pqb_now(), 0);
}

/* Sleeps until a young drainer's backend exits (most do within 3 ms) or a short slice is over: a
 * grant by somebody else is seen at its end only. With none but old ones, whose backends are busy
 * and may be for a minute, it sleeps as others do, and the ticks notice. */
static void watch_drainers(const struct pqb_claim *claim, uint32_t seen,
                           const struct pqb_drainers *drainers, uint64_t until,
                           struct pqb_process_hold *hold)
{
    struct pqb_layout *map = claim->region->map;
    struct pollfd watched[PQB_TICK_DRAINERS];
    unsigned which[PQB_TICK_DRAINERS], count = 0, gone = 0;
    uint64_t now = pqb_now(), slice = PQB_TICK_HOT;
    struct pqb_process self;
    if (pqb_process_self(&self))
        return;
    for (unsigned i = 0; i < drainers->count; i++) {
        const struct pqb_claim_row *row = &map->claim[drainers->drainer[i].index];
        uint64_t age = now > drainers->drainer[i].since ? now - drainers->drainer[i].since : 0;
        if (!row->backend_seen || row->pid_ns != self.pid_ns || age >= 20 * PQB_MS)
            continue;
        slice = 2 * PQB_MS;
        int fd = pqb_backend_watch(row->backend_pid, 0); /* too young for its pid to be reused */
        if (fd == PQB_BACKEND_GONE)
            gone += (unsigned)end_drainer(map, drainers, i);
        if (fd < 0)
            continue;
        watched[count] = (struct pollfd){.fd = fd, .events = POLLIN};
        which[count++] = i;
    }
    if (now + slice < until)
        until = now + slice;
    if (!gone && !count) {
        sleep_on(&row_of(claim)->word, seen, until, hold);
        return;
    }
    if (!gone && now < until) {
        uint64_t left = until - now;
        struct timespec limit = {.tv_sec = (time_t)(left / PQB_SECOND),
                                 .tv_nsec = (long)(left % PQB_SECOND)};
        ppoll(watched, count, &limit, NULL);
    }
    for (unsigned i = 0; i < count; i++) {
        if (watched[i].revents & POLLIN)
            end_drainer(map, drainers, which[i]);
        pqb_close(watched[i].fd);
    }
    /* Only now are signals let in: a handler that leaves by a longjmp would leave the descriptors.
     */
    pqb_process_loud(hold);
    pqb_process_quiet(hold);
}

/* Waits for a claim that is queued: PQB_OK, PQB_TIMED_OUT, PQB_LOST or a failure. */
static enum pqb_status wait_for(const struct pqb_claim *claim, uint64_t deadline,
                                struct pqb_process_hold *hold)
{
    struct pqb_claim_row *row = row_of(claim);
    struct pqb_drainers drainers = {0};
    for (int is_first = 1;; is_first = 0) {
        uint32_t seen = atomic_load(&row->word); /* before the state: a grant changes both */
        enum pqb_status status = pqb_claim_take(claim);
        if (status != PQB_WAITING)
            return status;
        if (pqb_now() >= deadline)
            pqb_tick_look(claim->region, PQB_TICK_PROBES); /* nobody is refused for the dead */
        /* Also before the first sleep: a slot may be free but for a dead holder. */
        int is_head = atomic_load(&row->hot) == 1;
        status = (is_first ? pqb_tick_first : pqb_tick)(claim->region, row->server,
                                                        is_head ? &drainers : NULL);
        if (status)
            return status;
        if (atomic_load(&row->word) != seen)
            continue;
        uint64_t now = pqb_now();
        if (now >= deadline)
            return PQB_TIMED_OUT;
        unsigned place = atomic_load(&row->hot);
        atomic_store(&row->tick, place ? pqb_admission_tick(now) : 0);
        uint64_t until = now + (place ? PQB_TICK_HOT : PQB_TICK_COLD);
        if (until > deadline)
            until = deadline;
        if (is_head && place == 1 && drainers.count)
            watch_drainers(claim, seen, &drainers, until, hold);
        else
            sleep_on(&row->word, seen, until, hold);
        if (!is_ours_still(claim))
            return PQB_LOST;
        /* Before the map is touched again: it may have shrunk under our sleep. */
        status = pqb_region_check(claim->region);
        if (status)
            return status;
    }
}

/* A wait that this thread left by a siglongjmp, or that a signal handler of it interrupts now. */
static void abandon_earlier_wait(uint64_t process)
{
    struct pqb_claim earlier = in_wait;
    in_wait = (struct pqb_claim){0};
    if (!earlier.region)
        return;
    if (in_wait_process == process)
        pqb_claim_give(&earlier, PQB_END_CLOSED);
    else
        pqb_claim_drop(&earlier); /* forked out of a wait: it is the parent's */
}

/* A thread that ends in its wait (cancelled, or by pthread_exit in a handler), or after it left one
 * by a longjmp, has nobody else to give the claim up. */
static pthread_key_t at_thread_exit;
static int has_key;

static void thread_ends(void *unused)
{
    struct pqb_process self;
    (void)unused;
    if (!pqb_process_self(&self))
        abandon_earlier_wait(self.id);
}

static void make_key(void)
{
    has_key = !pthread_key_create(&at_thread_exit, thread_ends);
}

static void watch_thread(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    static __thread int is_watched __attribute__((tls_model("initial-exec")));
    if (is_watched)
        return;
    pthread_once(&once, make_key);
    is_watched = has_key && !pthread_setspecific(at_thread_exit, &in_wait);
}

/* Until a claim is queued there is no server's row to ask how long to wait. */
static uint64_t deadline_of(const struct pqb_server_config *config, long long wait_ms,
                            uint64_t start)
{
    if (wait_ms == PQB_WAIT_SERVER)
        wait_ms = config->wait_ms == PQB_UNLIMITED ? PQB_WAIT_FOREVER : (long long)config->wait_ms;
    return wait_ms < 0 || (uint64_t)wait_ms > (PQB_FOREVER - start) / PQB_MS
               ? PQB_FOREVER
               : start + (uint64_t)wait_ms * PQB_MS;
}

static unsigned obstacle_of(const struct pqb_claim *claim)
{
    enum pqb_booked pool;
    return pqb_admission_obstacle(claim->region->map, row_of(claim), &pool);
}

/* One queueing and its wait. PQB_LOST: to be done again. */
static enum pqb_status acquire_once(struct pqb_ledger *ledger, const struct pqb_process *self,
                                    const struct pqb_claim_request *request, long long wait_ms,
                                    uint64_t start, struct pqb_claim *claim, unsigned *obstacle,
                                    struct pqb_error *error, struct pqb_process_hold *hold)
{
    const struct pqb_server_config *defaults =
        request->defaults ? request->defaults : &pqb_server_defaults;
    enum pqb_status status = submit(ledger, self, request, claim, error);
    if (status)
        return status == PQB_BUSY && pqb_now() < deadline_of(defaults, wait_ms, start) ? PQB_LOST
                                                                                       : status;
    struct pqb_server_config config = pqb_claim_config(claim);
    in_wait = *claim;
    status = wait_for(claim, deadline_of(&config, wait_ms, start), hold);
    if (!is_same(&in_wait, claim)) {
        *claim = (struct pqb_claim){0};
        status = PQB_LOST;
    } else if (status == PQB_LOST && !is_process(self->id)) {
        pqb_claim_drop(claim);
    }
    in_wait = (struct pqb_claim){0};
    if (status == PQB_TIMED_OUT && !pqb_claim_take(claim))
        status = PQB_OK; /* granted in the last moment */
    if (status == PQB_TIMED_OUT && obstacle)
        *obstacle = obstacle_of(claim);
    if (status)
        pqb_claim_give(claim, status != PQB_TIMED_OUT ? PQB_END_CLOSED
                              : wait_ms               ? PQB_END_TIMED_OUT
                                                      : PQB_END_REFUSED);
    return status;
}

enum pqb_status pqb_wait_acquire(struct pqb_ledger *ledger, const struct pqb_claim_request *request,
                                 long long wait_ms, struct pqb_claim *claim, unsigned *obstacle,
                                 struct pqb_error *error)
{
    uint64_t start = pqb_now();
    struct pqb_process self;
    struct pqb_process_hold hold;
    struct pqb_claim mine = {0};
    int saved = errno;
    *claim = (struct pqb_claim){0};
    pqb_error_write(error, "%s", "");
    enum pqb_status status = pqb_process_self(&self);
    if (status)
        return pqb_fail(error, status, "%s: %s", ledger->path, pqb_status_text(status));
    pqb_process_quiet(&hold);
    watch_thread();
    abandon_earlier_wait(self.id);
    do {
        in_wait_process = self.id;
        status =
            acquire_once(ledger, &self, request, wait_ms, start, &mine, obstacle, error, &hold);
    } while (status == PQB_LOST && !(status = pqb_process_self(&self)));
    if (!status)
        *claim = mine; /* before a signal can make us leave by a longjmp */
    pqb_process_loud(&hold);
    if (status && error && !*error->text)
        pqb_fail(error, status, "%s: %s", ledger->path, pqb_status_text(status));
    errno = saved;
    return status;
}
