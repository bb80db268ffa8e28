#include "preload/holding.h"

#include "ledger/os.h"
#include "preload/answer.h"
#include "preload/connection.h"
#include "preload/descriptor.h"
#include "preload/keeper.h"
#include "preload/libc.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

/* A client that has connected writes at once. */
#define SILENCE (250 * PQB_MS)

/* The server has closed it meanwhile (a restart, its authentication_timeout). Before the client has
 * written, connect() may not have been called yet, and poll says POLLHUP. */
static int is_broken(const struct pqb_socket *socket, int fd)
{
    struct pollfd look = {.fd = fd, .events = POLLRDHUP};
    return socket->state == PQB_SOCKET_HELD && poll(&look, 1, 0) == 1 &&
           (look.revents & (POLLRDHUP | POLLHUP | POLLERR));
}

/* A front-door connection is told; its claim stays with it. */
static void tell(struct pqb_socket *socket, int outcome)
{
    struct pqb_connection *connection = socket->connection;
    if (!connection)
        return;
    connection->hold.outcome = outcome;
    if (outcome == PQB_HOLD_REFUSED && (connection->hold.why = malloc(sizeof socket->refusal)))
        *connection->hold.why = socket->refusal;
}

static void granted(struct pqb_socket *socket, int fd)
{
    tell(socket, PQB_HOLD_GRANTED);
    socket->was_held = 1;
    pqb_socket_start(socket, fd);
}

static void refused(struct pqb_socket *socket, int fd)
{
    tell(socket, PQB_HOLD_REFUSED);
    pqb_answer_refuse(socket, fd);
}

/* Its socket is connected while it waits. 0 if too many do. */
static int may_connect(struct pqb_socket *socket)
{
    struct pqb_ask ask = pqb_socket_ask(socket);
    return pqb_budget_may_connect(&ask, pqb_socket_claim(socket), &socket->deadline,
                                  &socket->refusal);
}

/* The ledger was given up: into the queue of the new one. Or it was busy before. */
static void ask_anew(struct pqb_socket *socket, int fd)
{
    struct pqb_claim *claim = pqb_socket_claim(socket);
    struct pqb_ask ask = pqb_socket_ask(socket);
    pqb_claim_give(claim, PQB_END_CLOSED);
    switch (pqb_budget_submit(&ask, claim, &socket->deadline, &socket->refusal)) {
    case PQB_VERDICT_GO:
    case PQB_VERDICT_UNCOUNTED:
        granted(socket, fd);
        break;
    case PQB_VERDICT_REFUSED:
        refused(socket, fd);
        break;
    case PQB_VERDICT_WAIT:
        if (!socket->deferred && !may_connect(socket))
            refused(socket, fd);
        break;
    }
}

/* Has its claim been granted? The ledger may have shrunk, or been replaced, since the last round,
 * or not be entered yet. */
static enum pqb_status take(struct pqb_socket *socket)
{
    struct pqb_claim *claim = pqb_socket_claim(socket);
    enum pqb_status status = claim->region ? pqb_region_check(claim->region) : PQB_LOST;
    return status ? status : pqb_claim_take(claim);
}

/* What came of asking for its claim; what is held goes out with it. */
static void step_waiting(struct pqb_socket *socket, int fd, enum pqb_status status)
{
    if (!status) {
        granted(socket, fd);
    } else if (is_broken(socket, fd)) {
        pqb_socket_end_claim(socket);
        pqb_socket_enter(socket, PQB_SOCKET_DONE);
    } else if (status != PQB_WAITING) {
        ask_anew(socket, fd);
    } else if (pqb_now() >= socket->deadline) {
        struct pqb_ask ask = pqb_socket_ask(socket);
        pqb_budget_refuse(&ask, pqb_socket_claim(socket), socket->asked_at, &socket->refusal);
        refused(socket, fd);
    }
}

/* ---- putting a connect off ---- */

void pqb_holding_defer(struct pqb_socket *socket)
{
    int yes = 1;
    if (setsockopt(socket->fd, IPPROTO_TCP, TCP_FASTOPEN_NO_COOKIE, &yes, sizeof yes) ||
        setsockopt(socket->fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &yes, sizeof yes))
        return;
    socket->deferred = PQB_DEFERRED;
    socket->silent_until = pqb_now() + SILENCE;
    pqb_keeper_start();
}

void pqb_holding_undefer(struct pqb_socket *socket)
{
    int no = 0;
    if (socket->deferred == PQB_DEFERRED)
        setsockopt(socket->fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &no, sizeof no);
    socket->deferred = PQB_NOT_DEFERRED;
}

int pqb_holding_is_put_off(int fd)
{
    struct sockaddr_storage unused;
    socklen_t size = sizeof unused;
    return libc_getpeername(fd, (struct sockaddr *)&unused, &size) && errno == ENOTCONN;
}

/* It was accepted a moment ago, so a server is there, and has been told nothing: the connection is
 * dissolved, and made anew when its turn comes. The client, who is in one of our hooks, sees
 * nothing of it. Where the kernel won't put it off, it connects again at once, and not even a
 * blocking socket may wait for that here. */
static void part(struct pqb_socket *socket)
{
    static const struct sockaddr nowhere = {.sa_family = AF_UNSPEC};
    const struct sockaddr *address = (const struct sockaddr *)&socket->address;
    int error, flags = libc_fcntl(socket->fd, F_GETFL, NULL);
    socklen_t size = sizeof error;
    if (address->sa_family == AF_UNIX || flags < 0 || pqb_holding_is_put_off(socket->fd) ||
        libc_connect(socket->fd, &nowhere, sizeof nowhere))
        return;
    getsockopt(socket->fd, SOL_SOCKET, SO_ERROR, &error, &size); /* ECONNRESET, by ourselves */
    pqb_holding_defer(socket);
    libc_fcntl(socket->fd, F_SETFL, (void *)(intptr_t)(flags | O_NONBLOCK));
    if (libc_connect(socket->fd, address, socket->address_length) ||
        !pqb_holding_is_put_off(socket->fd))
        pqb_holding_undefer(socket);
    libc_fcntl(socket->fd, F_SETFL, (void *)(intptr_t)flags);
}

void pqb_holding_wait(struct pqb_socket *socket)
{
    if (socket->state == PQB_SOCKET_FIRST && !socket->deferred &&
        pqb_budget_is_to_part(pqb_socket_claim(socket), socket->deadline))
        part(socket);
    if (!socket->deferred && !may_connect(socket)) {
        refused(socket, socket->fd);
        return;
    }
    pqb_socket_enter(socket, PQB_SOCKET_HELD);
    if (pqb_keeper_start())
        return;
    struct pqb_ask ask = pqb_socket_ask(socket);
    pqb_budget_refuse(&ask, pqb_socket_claim(socket), socket->asked_at, &socket->refusal);
    refused(socket, socket->fd);
}

static int is_undecided(const struct pqb_socket *socket)
{
    size_t whole;
    const struct pqb_bytes *held = &socket->held;
    return !socket->connection && held->length &&
           pqb_protocol_first(held->at, held->length, &whole) == PQB_PACKET_MORE;
}

/* The client has written nothing for too long, or stopped too early: some other protocol, in which
 * it is the server who speaks now. */
static void step_silent(struct pqb_socket *socket, int fd)
{
    socket->silent_until = 0;
    if (is_undecided(socket)) {
        pqb_socket_release(socket, fd);
        return;
    }
    pqb_socket_connect(socket, fd);
    if (socket->connection && !may_connect(socket))
        refused(socket, fd);
}

/* ---- for the front door ---- */

int pqb_holding_waits(const struct pqb_socket *socket)
{
    return socket->state == PQB_SOCKET_HELD ||
           (socket->state == PQB_SOCKET_FIRST && socket->connection);
}

int pqb_holding_begin(struct pqb_socket *socket, struct pqb_connection *connection)
{
    socket->connection = connection;
    socket->asked_at = connection->hold.asked_at;
    socket->deadline = connection->hold.deadline;
    if (socket->address.ss_family == AF_UNIX) {
        if (!may_connect(socket)) {
            tell(socket, PQB_HOLD_REFUSED);
            return 0;
        }
    } else if (!socket->deferred) {
        socket->silent_until = pqb_now() + SILENCE; /* it may part when it writes */
    }
    pqb_keeper_start();
    return 1;
}

void pqb_holding_end(struct pqb_socket *socket)
{
    if (socket->deferred)
        pqb_socket_connect(socket, socket->fd);
    socket->connection = NULL;
    pqb_socket_enter(socket, PQB_SOCKET_DONE);
}

/* ---- the step ---- */

/* Whether the keeper has something to do for it: also to see that a client whose turn has come
 * while it closed the socket, past every hook, is there no more. */
static int is_kept(const struct pqb_socket *socket)
{
    return pqb_holding_waits(socket) || socket->state == PQB_SOCKET_STARTING ||
           (socket->was_held &&
            (socket->state == PQB_SOCKET_LOGIN || socket->state == PQB_SOCKET_ASKED)) ||
           (socket->state == PQB_SOCKET_FIRST && socket->silent_until) ||
           (socket->state == PQB_SOCKET_REFUSED && socket->deferred);
}

static int is_silent(const struct pqb_socket *socket)
{
    return socket->state == PQB_SOCKET_FIRST && socket->silent_until &&
           pqb_now() >= socket->silent_until;
}

/* It waits as before. That is looked at by its number, which the keeper has just checked, and not
 * by a descriptor of our own: a thousand may wait in one process. */
static int is_unchanged(const struct pqb_socket *socket)
{
    return pqb_now() < socket->deadline && !is_silent(socket) &&
           (socket->deferred == PQB_DEFERRED || !is_broken(socket, socket->fd));
}

static void step(struct pqb_socket *socket, int fd, enum pqb_status status)
{
    if (socket->state == PQB_SOCKET_STARTING)
        pqb_socket_start(socket, fd);
    else if (socket->state == PQB_SOCKET_REFUSED)
        pqb_answer_wake(socket, fd);
    else if (pqb_holding_waits(socket))
        step_waiting(socket, fd, status);
    if (is_silent(socket))
        step_silent(socket, fd);
}

/* No number is free for a descriptor of our own: in the next round, and not another's turn. */
static void put_off(struct pqb_socket *socket, enum pqb_status status)
{
    if (status || !pqb_holding_waits(socket))
        return;
    tell(socket, PQB_HOLD_GRANTED);
    socket->was_held = 1;
    pqb_socket_enter(socket, PQB_SOCKET_STARTING);
}

int pqb_holding_step(struct pqb_socket *socket, int *flush_fd)
{
    if (socket->pid != (int32_t)getpid() || !is_kept(socket))
        return 0;
    enum pqb_status status = pqb_holding_waits(socket) ? take(socket) : PQB_OK;
    if (status == PQB_WAITING && is_unchanged(socket))
        return 1;
    int fd = pqb_socket_hold_on(socket);
    if (fd < 0 && errno != EBADF) {
        put_off(socket, status);
        return 1;
    }
    if (fd < 0) {
        pqb_socket_end_claim(socket);
        pqb_socket_enter(socket, PQB_SOCKET_DONE);
        return 0;
    }
    step(socket, fd, status);
    pqb_close(fd);
    if (socket->state == PQB_SOCKET_STARTING || socket->state == PQB_SOCKET_REFUSED)
        *flush_fd = socket->fd;
    return is_kept(socket);
}
