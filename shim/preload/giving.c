#include "preload/giving.h"

#include "ledger/os.h"
#include "ledger/yield.h"
#include "preload/answer.h"
#include "preload/connection.h"
#include "preload/descriptor.h"
#include "preload/flow.h"
#include "preload/keeper.h"
#include "preload/kin.h"
#include "preload/libc.h"
#include "preload/log.h"
#include "preload/settings.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

_Static_assert((int)PQB_PINS == (int)PQB_SESSION_PINS, "a reason to stay without its name");

int pqb_giving_is_on(void)
{
    return pqb_settings()->yield_ms != PQB_YIELD_OFF;
}

int pqb_giving_may_be_asked(const struct pqb_socket *socket)
{
    return socket->flow && socket->pid == (int32_t)getpid();
}

void pqb_giving_begin(struct pqb_socket *socket)
{
    const struct pqb_claim *claim = pqb_socket_claim(socket);
    if (pqb_giving_is_on() && !socket->flow && claim->region && pqb_keeper_start() &&
        pqb_socket_follow(socket))
        pqb_yield_offer(claim, pqb_settings()->yield_ms);
}

/* ---- what other processes have ---- */

#define COPIES 256                  /* sockets, that are looked for at once */
#define LOOK_AGAIN (1 * PQB_SECOND) /* where a child has some */

static uint64_t inode_of(const struct pqb_socket *socket)
{
    struct stat status;
    return fstat(socket->fd, &status) ? 0 : status.st_ino;
}

/* Where the kernel does not count, a child may have said something and be gone. */
static int may_be_copied(const struct pqb_socket *socket)
{
    return pqb_giving_may_be_asked(socket) && pqb_flow_is_shared(socket->flow) &&
           pqb_flow_is_counted(socket->flow);
}

/* No fork comes in between: it needs the lock that we have. */
void pqb_giving_look_for_copies(void)
{
    static uint64_t look_at;
    struct pqb_kin_socket copied[COPIES];
    struct pqb_socket *socket, *of[COPIES];
    unsigned count = 0;
    for (socket = pqb_sockets_first(); socket && count < COPIES; socket = socket->next)
        if (may_be_copied(socket)) {
            copied[count].inode = inode_of(socket);
            of[count++] = socket;
        }
    if (!count || pqb_now() < look_at)
        return;
    pqb_kin_look(copied, count);
    for (unsigned i = 0; i < count; i++)
        if (!copied[i].is_shared && copied[i].inode)
            pqb_flow_is_alone(of[i]->flow);
        else
            look_at = pqb_now() + LOOK_AGAIN;
}

/* ---- what it is doing ---- */

static unsigned state_of(const struct pqb_session *session)
{
    enum pqb_pin pin = pqb_session_pin(session);
    if (session->server.is_over || session->client.is_over)
        return PQB_SESSION_UNSEEN;
    if (!pqb_session_is_idle(session))
        return pqb_session_is_in_transaction(session) ? PQB_SESSION_TRANSACTION
                                                      : PQB_SESSION_ACTIVE;
    return pin ? (unsigned)PQB_SESSION_PINNED + pin : (unsigned)PQB_SESSION_IDLE;
}

/* Nobody is inside the flow. */
static unsigned look(const struct pqb_flow *flow)
{
    return pqb_flow_is_shared(flow) ? (unsigned)PQB_SESSION_SHARED
                                    : state_of(pqb_flow_session(flow));
}

void pqb_giving_tell(struct pqb_socket *socket)
{
    struct pqb_flow *flow = socket->flow;
    unsigned session = PQB_SESSION_ACTIVE;
    uint64_t idle_since = pqb_now();
    if (pqb_flow_hold(flow)) {
        session = look(flow);
        if (session == PQB_SESSION_IDLE || session >= PQB_SESSION_PINNED)
            idle_since = pqb_flow_used_at(flow);
        pqb_flow_release(flow);
    } else if (pqb_flow_is_lost(flow)) {
        session = PQB_SESSION_UNSEEN;
    }
    socket->is_news = pqb_yield_tell(pqb_socket_claim(socket), session, idle_since);
}

/* ---- giving way ---- */

static void explain(struct pqb_socket *socket, const struct pqb_yield_wish *wish, uint64_t idle)
{
    struct pqb_refusal *why = &socket->refusal;
    snprintf(
        why->detail, sizeof why->detail,
        "pqbudget: this connection to %s was idle for %.1f s while %s (pid %d) waited for one; "
        "it gave way.",
        socket->server, (double)idle / (double)PQB_SECOND, *wish->app ? wish->app : "another",
        (int)wish->pid);
    pqb_refusal_make_plain(why);
    snprintf(why->hint, sizeof why->hint,
             "Connections that are idle for %.1f s (PQBUDGET_YIELD) give way while others wait. A "
             "pool that is no longer needed should be closed.",
             (double)pqb_settings()->yield_ms / 1000.0);
}

/* Nobody else is inside: from here on what the client writes goes nowhere, and it reads why. */
static int part_with(struct pqb_socket *socket, int fd, const struct pqb_yield_wish *wish,
                     uint64_t idle)
{
    static const char terminate[PQB_GOODBYE_BYTES] = {'X', 0, 0, 0, 4};
    struct pqb_claim *claim = pqb_socket_claim(socket);
    if (libc_send(fd, terminate, sizeof terminate, MSG_DONTWAIT | MSG_NOSIGNAL) !=
        (ssize_t)sizeof terminate)
        return 0;
    explain(socket, wish, idle);
    pqb_log(PQB_LOG_INFO, "gave way: %s", socket->refusal.detail);
    pqb_answer_end(socket, fd);
    pqb_yield_accept(claim, wish, idle);
    pqb_claim_give(claim, PQB_END_CLOSED);
    return 1;
}

static int may_part(struct pqb_socket *socket, uint64_t idle)
{
    return look(socket->flow) == PQB_SESSION_IDLE && idle / PQB_MS >= pqb_settings()->yield_ms &&
           pqb_yield_has_others(pqb_socket_claim(socket));
}

static int gives_way(struct pqb_socket *socket, const struct pqb_yield_wish *wish)
{
    struct pqb_flow *flow = socket->flow;
    if (!pqb_flow_hold(flow))
        return 0;
    uint64_t now = pqb_now(), since = pqb_flow_used_at(flow), idle = now > since ? now - since : 0;
    int fd = may_part(socket, idle) ? pqb_socket_hold_on(socket) : -1, is_given = 0;
    if (fd >= 0 && pqb_flow_is_whole(flow, fd))
        is_given = part_with(socket, fd, wish, idle);
    if (fd >= 0)
        pqb_close(fd);
    pqb_flow_release(flow);
    return is_given;
}

/* What the ledger was told looked as if it could go, and it can't. It is asked again when it would
 * have been idle for long enough once more. */
static void put_off(struct pqb_socket *socket)
{
    pqb_yield_tell(pqb_socket_claim(socket), PQB_SESSION_ACTIVE, pqb_now());
}

void pqb_giving_answer(struct pqb_socket *socket)
{
    struct pqb_yield_wish wish;
    const struct pqb_claim *claim = pqb_socket_claim(socket);
    switch (pqb_yield_is_asked(claim, &wish)) {
    case PQB_YIELD_NOT_ASKED:
        return;
    case PQB_YIELD_ASKED:
        /* Known better now, there may be one that is idle longer. */
        if (!socket->is_news && gives_way(socket, &wish))
            return;
        if (!socket->is_news)
            put_off(socket);
        break;
    case PQB_YIELD_IN_VAIN:
        break;
    }
    pqb_yield_decline(claim);
}
