#include "preload/socket.h"

#include "conninfo/server.h"
#include "ledger/wait.h"
#include "ledger/yield.h"
#include "preload/connection.h"
#include "preload/descriptor.h"
#include "preload/flow.h"
#include "preload/keeper.h"
#include "preload/libc.h"
#include "preload/log.h"
#include "preload/peer.h"
#include "preload/settings.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct pqb_socket *first_socket;

struct pqb_socket *pqb_sockets_first(void)
{
    return first_socket;
}

struct pqb_claim *pqb_socket_claim(struct pqb_socket *socket)
{
    return socket->connection ? &socket->connection->claim : &socket->own_claim;
}

/* ---- making and forgetting ---- */

struct pqb_socket *pqb_socket_new(int fd, const char *server, const struct sockaddr *address,
                                  socklen_t length)
{
    struct pqb_socket *socket = calloc(1, sizeof *socket);
    if (!socket || !(socket->server = strdup(server)) || length > sizeof socket->address) {
        if (socket)
            free(socket->server);
        free(socket);
        return NULL;
    }
    memcpy(&socket->address, address, length);
    socket->address_length = length;
    socket->fd = fd;
    socket->cookie = pqb_descriptor_cookie(fd);
    socket->numbers = 1;
    socket->pid = (int32_t)getpid();
    socket->next = first_socket;
    if (first_socket)
        first_socket->previous = socket;
    first_socket = socket;
    return socket;
}

void pqb_socket_end_claim(struct pqb_socket *socket)
{
    int is_held = socket->state == PQB_SOCKET_HELD || socket->state == PQB_SOCKET_STARTING;
    if (is_held && socket->pid != (int32_t)getpid())
        pqb_claim_drop(&socket->own_claim);
    else
        pqb_claim_give(&socket->own_claim, PQB_END_CLOSED);
}

int pqb_socket_hold_on(const struct pqb_socket *socket)
{
    int fd = libc_fcntl(socket->fd, F_DUPFD_CLOEXEC, (void *)(STDERR_FILENO + 1L));
    if (fd >= 0 && pqb_descriptor_cookie(fd) != socket->cookie) {
        pqb_close(fd);
        fd = -1;
        errno = EBADF;
    }
    return fd;
}

/* No number leads to it any more; the keeper looks whether others are followed. */
static void end_flow(struct pqb_flow *flow)
{
    if (!flow)
        return;
    pqb_flow_end(flow);
    pqb_keeper_wake();
}

void pqb_socket_free(struct pqb_socket *socket)
{
    /* It has looked for an answer, and went. Who left before gave up by himself. */
    if (socket->state == PQB_SOCKET_REFUSED && !socket->is_told && socket->silent_since)
        pqb_log(PQB_LOG_WARN, "refused a client that could not be told, as it insists on TLS: %s",
                socket->refusal.detail);
    pqb_claim_closed(&socket->own_claim);
    if (socket->previous)
        socket->previous->next = socket->next;
    else
        first_socket = socket->next;
    if (socket->next)
        socket->next->previous = socket->previous;
    end_flow(socket->flow);
    pqb_bytes_free(&socket->held);
    pqb_bytes_free(&socket->answer);
    free(socket->server);
    free(socket);
}

/* The goodbye of a front-door connection, the front door sees to. */
static unsigned of_open(const struct pqb_socket *socket)
{
    unsigned what = socket->flow ? PQB_WATCH_FLOW | PQB_WATCH_WRITES | PQB_WATCH_READS : 0;
    return socket->connection ? what : what | PQB_WATCH_WRITES | PQB_WATCH_GOODBYE;
}

/* Not one that is being closed: it may be another's by now. */
static void watch_number(const struct pqb_socket *socket, int fd, unsigned what)
{
    if (pqb_descriptor_socket(fd) != socket)
        return;
    pqb_descriptor_follow(fd, socket->flow);
    pqb_descriptor_watch(fd, what);
}

/* What its numbers are watched for, by its state. */
static void watch(struct pqb_socket *socket)
{
    unsigned what = PQB_WATCH_END;
    switch (socket->state) {
    case PQB_SOCKET_FIRST:
    case PQB_SOCKET_TLS:
        what |= PQB_WATCH_WRITES;
        break;
    case PQB_SOCKET_OPEN:
        what |= of_open(socket);
        break;
    case PQB_SOCKET_HELD:
    case PQB_SOCKET_STARTING:
    case PQB_SOCKET_ASKED:
    case PQB_SOCKET_LOGIN:
    case PQB_SOCKET_REFUSED:
        what |= PQB_WATCH_WRITES | PQB_WATCH_READS;
        break;
    case PQB_SOCKET_OPAQUE:
    case PQB_SOCKET_DONE:
        break;
    }
    watch_number(socket, socket->fd, what);
    for (int fd = socket->numbers > 1 ? pqb_descriptor_next(0, PQB_DESCRIPTORS) : -1; fd >= 0;
         fd = pqb_descriptor_next(fd + 1, PQB_DESCRIPTORS))
        watch_number(socket, fd, what);
}

void pqb_socket_enter(struct pqb_socket *socket, enum pqb_socket_state state)
{
    struct pqb_flow *flow = state == PQB_SOCKET_OPEN ? NULL : socket->flow;
    if (flow)
        socket->flow = NULL;
    socket->state = state;
    watch(socket);
    end_flow(flow);
}

int pqb_socket_follow(struct pqb_socket *socket)
{
    socket->flow = pqb_flow_begin(socket->fd, &socket->session);
    if (socket->flow)
        pqb_socket_enter(socket, PQB_SOCKET_OPEN);
    return socket->flow != NULL;
}

/* ---- sending ---- */

/* Sends what is held, as far as it goes at once, on a descriptor that is certain to be the
 * socket's. 0 = all of it is sent; EAGAIN; or why the socket is broken. */
static int flush(struct pqb_socket *socket, int fd)
{
    struct pqb_bytes *held = &socket->held;
    while (held->gone < held->length) {
        ssize_t sent = libc_send(fd, held->at + held->gone, held->length - held->gone,
                                 MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0) /* not connected yet, or no room */
            return errno == EWOULDBLOCK || errno == EALREADY || errno == EINPROGRESS ||
                           errno == ENOTCONN
                       ? EAGAIN
                       : errno;
        held->gone += (size_t)sent;
    }
    pqb_bytes_free(held);
    return 0;
}

int pqb_socket_connect(struct pqb_socket *socket, int fd)
{
    struct pollfd look = {.fd = fd, .events = POLLOUT};
    if (socket->deferred == PQB_NOT_DEFERRED)
        return 0;
    if (socket->deferred == PQB_DEFERRED) {
        socket->deferred = PQB_DEFERRED_ENDS;
        libc_send(fd, "", 0, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    if (poll(&look, 1, 0) != 1)
        return EAGAIN;
    socket->deferred = PQB_NOT_DEFERRED;
    /* Which error it is, is not asked for: it is told once, and that shall be to the client. */
    return look.revents & (POLLERR | POLLHUP | POLLNVAL) ? ECONNREFUSED : 0;
}

int pqb_socket_flush(struct pqb_socket *socket, int fd)
{
    int failure = pqb_socket_connect(socket, fd);
    return failure ? failure : flush(socket, fd);
}

/* From now on its claim lasts as long as it does, whoever has it and however he closes it. */
static void bind_claim(struct pqb_socket *socket, int fd)
{
    if (socket->own_claim.region)
        pqb_claim_socket(&socket->own_claim, fd, socket->cookie);
}

/* Encrypted from here on: that it is open, and nothing else, can be told. */
void pqb_socket_veil(struct pqb_socket *socket)
{
    struct pqb_claim_peer unknown = {0};
    pqb_socket_enter(socket, PQB_SOCKET_OPAQUE);
    if (socket->own_claim.region && pqb_claim_open(&socket->own_claim, &unknown))
        pqb_log(PQB_LOG_INFO, "the ledger was given up while this process connected to %s",
                socket->server);
    if (pqb_settings()->yield_ms != PQB_YIELD_OFF)
        pqb_yield_tell(&socket->own_claim, PQB_SESSION_UNSEEN, pqb_now());
}

/* What comes after the first packet has been sent. */
static void sent_first(struct pqb_socket *socket, int fd, enum pqb_packet packet)
{
    bind_claim(socket, fd);
    socket->has_asked_gss = packet == PQB_PACKET_GSS;
    if (socket->connection)
        pqb_socket_enter(socket, PQB_SOCKET_DONE); /* the front door sees to the rest */
    else if (packet == PQB_PACKET_SSL || packet == PQB_PACKET_GSS)
        pqb_socket_enter(socket, PQB_SOCKET_ASKED);
    else if (packet == PQB_PACKET_TLS && socket->is_late)
        pqb_socket_enter(socket, PQB_SOCKET_TLS);
    else if (packet == PQB_PACKET_STARTUP)
        pqb_socket_enter(socket, PQB_SOCKET_LOGIN);
    else
        pqb_socket_veil(socket);
}

struct pqb_ask pqb_socket_ask(const struct pqb_socket *socket)
{
    const struct pqb_connection *connection = socket->connection;
    return (struct pqb_ask){.server = socket->server,
                            .door = connection ? PQB_DOOR_LIBPQ : PQB_DOOR_SOCKET,
                            .is_pooled = connection ? connection->is_pooled
                                                    : pqb_server_is_pooler(socket->server),
                            .cap = connection ? connection->cap : 0,
                            .wait = connection ? connection->wait : PQB_WAIT_SERVER};
}

void pqb_socket_start(struct pqb_socket *socket, int fd)
{
    size_t whole = 0;
    enum pqb_packet packet = pqb_protocol_first(socket->held.at, socket->held.length, &whole);
    if (socket->held.length > whole)
        socket->session.client.is_over = 1; /* what it wrote behind it is not looked at */
    int failure = pqb_socket_flush(socket, fd);
    if (!failure) {
        sent_first(socket, fd, packet);
        if (socket->is_shut && !libc_shutdown(fd, SHUT_WR))
            pqb_socket_shut(socket);
    } else if (failure == EAGAIN) {
        pqb_socket_enter(socket, PQB_SOCKET_STARTING);
        pqb_keeper_start();
    } else {
        /* The client meets the error itself at its next read or write. */
        pqb_socket_end_claim(socket);
        pqb_socket_enter(socket, PQB_SOCKET_DONE);
    }
}

int pqb_socket_release(struct pqb_socket *socket, int fd)
{
    int failure = pqb_socket_flush(socket, fd);
    pqb_socket_end_claim(socket);
    if (failure == EAGAIN) {
        pqb_socket_enter(socket, PQB_SOCKET_STARTING);
        pqb_keeper_start();
        return 0;
    }
    pqb_socket_enter(socket, PQB_SOCKET_DONE);
    return 1;
}

void pqb_socket_let_go(struct pqb_socket *socket)
{
    if (socket->state == PQB_SOCKET_FIRST)
        pqb_socket_release(socket, socket->fd);
}

int pqb_socket_shut_later(struct pqb_socket *socket)
{
    if (socket->state != PQB_SOCKET_HELD && socket->state != PQB_SOCKET_STARTING)
        return 0;
    socket->is_shut = 1;
    return 1;
}

void pqb_socket_shut(struct pqb_socket *socket)
{
    if (socket->state != PQB_SOCKET_ASKED && socket->state != PQB_SOCKET_TLS &&
        socket->state != PQB_SOCKET_LOGIN && socket->state != PQB_SOCKET_OPEN &&
        socket->state != PQB_SOCKET_OPAQUE)
        return;
    pqb_socket_end_claim(socket);
    pqb_socket_enter(socket, PQB_SOCKET_DONE);
}

/* ---- logging in ---- */

static void opened(struct pqb_socket *socket)
{
    struct pqb_peer peer;
    pqb_peer_of(socket->fd, &peer);
    struct pqb_claim_peer claim_peer = {
        .backend_pid = socket->session.server.backend_pid,
        .is_local = peer.is_local,
        .place = &peer.place,
        .user = socket->user,
        .database = socket->database,
        .application_name = socket->session.server.application_name,
    };
    pqb_socket_enter(socket, PQB_SOCKET_OPEN);
    bind_claim(socket, socket->fd); /* if it could not be asked for when it was still connecting */
    if (socket->own_claim.region && !pqb_claim_open(&socket->own_claim, &claim_peer))
        pqb_budget_learn(&socket->own_claim, socket->server, &peer, claim_peer.backend_pid);
}

void pqb_socket_said(struct pqb_socket *socket, const struct iovec *part, size_t length)
{
    /* The server has answered before this came to be looked at. */
    if (socket->state != PQB_SOCKET_LOGIN && socket->flow)
        pqb_flow_lose(socket->flow);
    for (; socket->state == PQB_SOCKET_LOGIN && length; part++) {
        size_t here = part->iov_len < length ? part->iov_len : length;
        pqb_session_wrote(&socket->session, part->iov_base, here);
        length -= here;
    }
}

void pqb_socket_heard(struct pqb_socket *socket, const struct iovec *part, int parts, size_t length)
{
    if (socket->state != PQB_SOCKET_LOGIN)
        return;
    unsigned seen = length ? 0 : PQB_SEEN_LOST;
    for (int i = 0; i < parts && length; i++) {
        size_t here = part[i].iov_len < length ? part[i].iov_len : length;
        seen |= pqb_protocol_scan(&socket->session.server, part[i].iov_base, here);
        length -= here;
    }
    if (seen & PQB_SEEN_READY)
        opened(socket);
    else if (seen & PQB_SEEN_LOST)
        pqb_socket_veil(socket);
}
