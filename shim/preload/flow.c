#include "preload/flow.h"

#include "ledger/os.h"
#include "ledger/process.h"
#include "preload/descriptor.h"

#include <errno.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>

#define HELD 4u
#define LOST 8u

/* What passed, in bytes. */
struct count {
    uint64_t in, out;
};

struct pqb_flow {
    _Atomic unsigned inside;  /* PQB_FLOW_…, HELD, LOST */
    _Atomic uint64_t used_at; /* 0 = something was written since, nobody knows when */
    struct pqb_session session;
    struct count seen;  /* here */
    struct count start; /* in the kernel, when this began */
    int is_counted;     /* by the kernel */
    uint32_t forks;
    struct pqb_flow *next; /* of those that ended */
};

static struct pqb_flow *ended;

/* The coarse clock: nowhere a system call, and a few milliseconds don't matter. */
static uint64_t now(void)
{
    struct timespec time = {0};
    clock_gettime(CLOCK_MONOTONIC_COARSE, &time);
    return (uint64_t)time.tv_sec * PQB_SECOND + (uint64_t)time.tv_nsec;
}

/* ---- for the hooks ---- */

struct pqb_flow *pqb_flow_enter(int fd, unsigned way)
{
    struct pqb_flow *flow = pqb_descriptor_flow(fd);
    if (!flow)
        return NULL;
    unsigned before = atomic_fetch_or(&flow->inside, way);
    if (before & HELD) {
        if (!(before & way))
            atomic_fetch_and(&flow->inside, ~way);
        return PQB_FLOW_HELD;
    }
    if (before & way) {
        pqb_flow_lose(flow);
        return NULL;
    }
    if (pqb_descriptor_flow(fd) == flow)
        return flow;
    atomic_fetch_and(&flow->inside, ~way); /* it has ended in between */
    return NULL;
}

static void follow(struct pqb_flow *flow, unsigned way, const struct iovec *part, size_t length)
{
    for (; length; part++) {
        size_t here = part->iov_len < length ? part->iov_len : length;
        if (way == PQB_FLOW_IN)
            pqb_session_read(&flow->session, part->iov_base, here);
        else
            pqb_session_wrote(&flow->session, part->iov_base, here);
        length -= here;
    }
}

void pqb_flow_leave(struct pqb_flow *flow, unsigned way, const struct iovec *part, ssize_t result)
{
    if (result > 0) {
        *(way == PQB_FLOW_IN ? &flow->seen.in : &flow->seen.out) += (size_t)result;
        follow(flow, way, part, (size_t)result);
        /* An answer follows a query: the clock is looked at once for both. */
        atomic_store_explicit(&flow->used_at, way == PQB_FLOW_IN ? now() : 0, memory_order_relaxed);
    }
    atomic_fetch_and(&flow->inside, ~way);
}

/* ---- what the kernel counts ---- */

/* 0 if it does not. */
static int count_of(int fd, struct count *count)
{
    struct tcp_info info = {0};
    socklen_t size = sizeof info;
    int waiting = 0, unsent = 0, saved = errno;
    int is_counted = !getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) &&
                     size >= offsetof(struct tcp_info, tcpi_segs_out) &&
                     !ioctl(fd, SIOCINQ, &waiting) && !ioctl(fd, SIOCOUTQ, &unsent);
    errno = saved;
    /* Its count of what arrived at the other end has the connection's opening in it. */
    *count = (struct count){info.tcpi_bytes_received - (unsigned)waiting,
                            info.tcpi_bytes_acked + (unsigned)unsent};
    return is_counted;
}

/* All that was written has arrived, nothing waits to be read, and it has not ended. */
static int is_quiet(int fd)
{
    struct pollfd look = {.fd = fd, .events = POLLIN | POLLRDHUP};
    int unsent = 0, saved = errno;
    int is_quiet = !ioctl(fd, SIOCOUTQ, &unsent) && !unsent && !poll(&look, 1, 0);
    errno = saved;
    return is_quiet;
}

int pqb_flow_is_whole(const struct pqb_flow *flow, int fd)
{
    struct count count;
    if (!is_quiet(fd))
        return 0;
    return !flow->is_counted ||
           (count_of(fd, &count) && count.in - flow->start.in == flow->seen.in &&
            count.out - flow->start.out == flow->seen.out);
}

/* ---- beginning and ending ---- */

/* One that nobody is inside of any more. */
static struct pqb_flow *take_ended(void)
{
    for (struct pqb_flow **link = &ended; *link; link = &(*link)->next) {
        struct pqb_flow *flow = *link;
        unsigned none = atomic_load(&flow->inside) & LOST;
        if (!atomic_compare_exchange_strong(&flow->inside, &none, 0))
            continue;
        *link = flow->next;
        return flow;
    }
    return NULL;
}

struct pqb_flow *pqb_flow_begin(int fd, const struct pqb_session *session)
{
    struct pqb_flow *flow = take_ended();
    if (!flow && !(flow = calloc(1, sizeof *flow)))
        return NULL;
    flow->session = *session;
    flow->seen = (struct count){0};
    flow->is_counted = count_of(fd, &flow->start);
    flow->forks = pqb_process_forks();
    atomic_store(&flow->used_at, now());
    return flow;
}

void pqb_flow_end(struct pqb_flow *flow)
{
    flow->next = ended;
    ended = flow;
}

/* ---- deciding ---- */

int pqb_flow_hold(struct pqb_flow *flow)
{
    unsigned nobody = 0;
    return atomic_compare_exchange_strong(&flow->inside, &nobody, HELD);
}

void pqb_flow_release(struct pqb_flow *flow)
{
    atomic_fetch_and(&flow->inside, ~HELD);
}

int pqb_flow_is_lost(const struct pqb_flow *flow)
{
    return (atomic_load(&flow->inside) & LOST) != 0;
}

void pqb_flow_lose(struct pqb_flow *flow)
{
    atomic_fetch_or(&flow->inside, LOST);
}

uint64_t pqb_flow_used_at(struct pqb_flow *flow)
{
    uint64_t unknown = 0;
    atomic_compare_exchange_strong(&flow->used_at, &unknown, now());
    return atomic_load(&flow->used_at);
}

const struct pqb_session *pqb_flow_session(const struct pqb_flow *flow)
{
    return &flow->session;
}

void pqb_flow_is_alone(struct pqb_flow *flow)
{
    flow->forks = pqb_process_forks();
}

int pqb_flow_is_counted(const struct pqb_flow *flow)
{
    return flow->is_counted;
}

int pqb_flow_is_shared(const struct pqb_flow *flow)
{
    return flow->forks != pqb_process_forks();
}
