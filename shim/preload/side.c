#include "preload/side.h"

#include "conninfo/server.h"
#include "ledger/diag.h"
#include "ledger/wait.h"
#include "preload/answer.h"
#include "preload/budget.h"
#include "preload/connection.h"
#include "preload/descriptor.h"
#include "preload/flow.h"
#include "preload/giving.h"
#include "preload/holding.h"
#include "preload/libc.h"
#include "preload/opening.h"
#include "preload/ports.h"
#include "preload/settings.h"
#include "preload/socket.h"
#include "preload/state.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#define NAP_MS 10

/* ---- which descriptor is which socket ---- */

/* The number is not the socket's any more. NULL if it has others left, of which it then goes by
 * one. */
static struct pqb_socket *take_away(int fd, struct pqb_socket *socket)
{
    pqb_descriptor_set(fd, NULL);
    if (!--socket->numbers)
        return socket;
    for (int at = pqb_descriptor_next(0, PQB_DESCRIPTORS); at >= 0 && socket->fd == fd;
         at = pqb_descriptor_next(at + 1, PQB_DESCRIPTORS))
        if (pqb_descriptor_socket(at) == socket)
            socket->fd = at;
    return NULL;
}

static void forget_at(int fd, struct pqb_socket *socket)
{
    if (take_away(fd, socket))
        pqb_socket_free(socket);
}

/* The socket at this number, if it still is there; what was closed behind our back is forgotten.
 * With the lock held. */
static struct pqb_socket *socket_at(int fd)
{
    struct pqb_socket *socket = pqb_descriptor_socket(fd);
    if (!socket)
        return NULL;
    if (pqb_descriptor_cookie(fd) == socket->cookie) {
        socket->fd = fd; /* of all its numbers, one that is certain to be there */
        return socket;
    }
    forget_at(fd, socket);
    return NULL;
}

void pqb_side_sweep(void)
{
    for (int fd = pqb_descriptor_next(0, PQB_DESCRIPTORS); fd >= 0;
         fd = pqb_descriptor_next(fd + 1, PQB_DESCRIPTORS))
        socket_at(fd);
}

/* A vfork child has its parent's memory, and none of its sockets. */
static int is_borrowed(void)
{
    struct pqb_process self;
    return pqb_process_self(&self) == PQB_BORROWED;
}

static int lock(struct pqb_process_hold *hold)
{
    return !is_borrowed() && pqb_state_lock_sockets(hold);
}

/* ---- connecting ---- */

static uint16_t port_of(const struct sockaddr *address, socklen_t length)
{
    if (address->sa_family == AF_INET && length >= sizeof(struct sockaddr_in))
        return ntohs(((const struct sockaddr_in *)(const void *)address)->sin_port);
    if (address->sa_family == AF_INET6 && length >= sizeof(struct sockaddr_in6))
        return ntohs(((const struct sockaddr_in6 *)(const void *)address)->sin6_port);
    return 0;
}

/* Whether a server may be there, and its name. */
static int is_candidate(int fd, const struct sockaddr *address, socklen_t length, char *key,
                        size_t size)
{
    int type;
    socklen_t type_size = sizeof type;
    if (!address || length < sizeof address->sa_family)
        return 0;
    if (address->sa_family != AF_UNIX && !pqb_ports_has(port_of(address, length)))
        return 0;
    return !pqb_server_key_of_address(key, size, address, length) && pqb_budget_is_on() &&
           (pqb_settings()->doors & PQB_DOORS_SOCKET) &&
           !getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_size) && type == SOCK_STREAM;
}

static void forget(int fd, uint64_t cookie)
{
    struct pqb_process_hold hold;
    if (!lock(&hold))
        return;
    struct pqb_socket *socket = pqb_descriptor_socket(fd);
    if (socket && socket->cookie == cookie && socket->state == PQB_SOCKET_FIRST) {
        pqb_holding_undefer(socket);
        forget_at(fd, socket);
    }
    pqb_state_unlock_sockets(&hold);
}

/* Whether connecting is better put off. */
static int is_to_defer(int fd, const char *key, const struct sockaddr *address, socklen_t length,
                       const struct pqb_connection *held_for)
{
    struct pqb_socket_place place;
    struct pqb_ask ask = {.server = key, .wait = PQB_WAIT_SERVER, .door = PQB_DOOR_SOCKET};
    return pqb_diag_towards(fd, address, length, &place) &&
           pqb_budget_defers(&ask, held_for ? &held_for->claim : NULL, &place);
}

/* A connect that is to be looked at. */
struct attempt {
    uint64_t cookie; /* 0 = it is not */
    int is_deferred;
};

static struct attempt begin(int fd, const char *key, const struct sockaddr *address,
                            socklen_t length, struct pqb_connection *held_for, int defers)
{
    struct pqb_process_hold hold;
    struct attempt attempt = {0};
    if (!lock(&hold))
        return attempt;
    pqb_side_sweep();
    struct pqb_socket *socket = pqb_socket_new(fd, key, address, length);
    if (socket && pqb_descriptor_set(fd, socket)) {
        pqb_descriptor_watch(fd, PQB_WATCH_WRITES | PQB_WATCH_END);
        if (defers)
            pqb_holding_defer(socket);
        if (held_for && !pqb_holding_begin(socket, held_for))
            forget_at(fd, socket);
        else
            attempt = (struct attempt){socket->cookie, socket->deferred != PQB_NOT_DEFERRED};
    } else if (socket) {
        pqb_socket_free(socket);
    }
    pqb_state_unlock_sockets(&hold);
    return attempt;
}

/* The kernel has put nothing off, as it may: the connect is under way, or made. */
static void was_not_deferred(int fd, uint64_t cookie)
{
    struct pqb_process_hold hold;
    if (!lock(&hold))
        return;
    struct pqb_socket *socket = pqb_descriptor_socket(fd);
    if (socket && socket->cookie == cookie)
        pqb_holding_undefer(socket);
    pqb_state_unlock_sockets(&hold);
}

static int connect_first(int fd, const char *key, const struct sockaddr *address, socklen_t length,
                         struct pqb_connection *held_for)
{
    int saved = errno, defers = is_to_defer(fd, key, address, length, held_for);
    struct attempt attempt = begin(fd, key, address, length, held_for, defers);
    if (held_for && pqb_side_outcome(held_for) == PQB_HOLD_REFUSED) {
        errno = EUSERS; /* too many wait */
        return -1;
    }
    errno = saved;
    int result = libc_connect(fd, address, length);
    saved = errno;
    if (attempt.cookie && result && errno != EINPROGRESS && errno != EINTR && errno != EALREADY)
        forget(fd, attempt.cookie);
    else if (attempt.is_deferred && (result || !pqb_holding_is_put_off(fd)))
        was_not_deferred(fd, attempt.cookie);
    errno = saved;
    return result;
}

/* Whether the socket at this number may go on as it is, being connected to this address again: the
 * program asks whether it is connected by now. */
static int is_same_attempt(const struct pqb_socket *socket, const struct sockaddr *address,
                           socklen_t length)
{
    return (socket->state == PQB_SOCKET_FIRST || socket->state == PQB_SOCKET_HELD ||
            socket->state == PQB_SOCKET_STARTING) &&
           length == socket->address_length && !memcmp(address, &socket->address, length);
}

/* It was connected before, or tried to be: to this address, or to another one, or (AF_UNSPEC) shall
 * not be any more. */
static int connect_again(int fd, const char *key, const struct sockaddr *address, socklen_t length)
{
    struct pqb_process_hold hold;
    int result = libc_connect(fd, address, length), saved = errno, is_new = 0;
    if ((!result || errno == EINPROGRESS) && lock(&hold)) {
        struct pqb_socket *socket = socket_at(fd);
        is_new = !socket || !is_same_attempt(socket, address, length);
        if (socket && is_new)
            forget_at(fd, socket);
        pqb_state_unlock_sockets(&hold);
    }
    if (is_new && key)
        begin(fd, key, address, length, NULL, 0);
    errno = saved;
    return result;
}

static int is_known(int fd)
{
    struct pqb_process_hold hold;
    int saved = errno;
    if (!pqb_descriptor_is_watched(fd, PQB_WATCH_END) || !lock(&hold))
        return 0;
    int is_there = socket_at(fd) != NULL;
    pqb_state_unlock_sockets(&hold);
    errno = saved;
    return is_there;
}

int pqb_side_connect(int fd, const struct sockaddr *address, socklen_t length,
                     struct pqb_connection *held_for)
{
    char key[PQB_KEY_BYTES];
    if (held_for) {
        switch (pqb_side_outcome(held_for)) {
        case PQB_HOLD_WAITS:
            return connect_first(fd, held_for->server, address, length, held_for);
        case PQB_HOLD_REFUSED: /* its time was up at an earlier address */
            errno = EUSERS;
            return -1;
        default: /* a second address, or without TLS */
            return pqb_side_connect_known(fd, address, length, held_for);
        }
    }
    int is_one = is_candidate(fd, address, length, key, sizeof key);
    if (is_known(fd))
        return connect_again(fd, is_one ? key : NULL, address, length);
    return is_one ? connect_first(fd, key, address, length, NULL)
                  : libc_connect(fd, address, length);
}

/* ---- what the front door holds, or has ---- */

static void put_down(int fd, const char *key, const struct sockaddr *address, socklen_t length)
{
    struct pqb_process_hold hold;
    if (!lock(&hold))
        return;
    pqb_side_sweep();
    struct pqb_socket *socket = pqb_socket_new(fd, key, address, length);
    if (socket && pqb_descriptor_set(fd, socket))
        pqb_socket_enter(socket, PQB_SOCKET_DONE);
    else if (socket)
        pqb_socket_free(socket);
    pqb_state_unlock_sockets(&hold);
}

int pqb_side_connect_known(int fd, const struct sockaddr *address, socklen_t length,
                           const struct pqb_connection *connection)
{
    int result = libc_connect(fd, address, length), saved = errno;
    if (pqb_giving_is_on() && (!result || errno == EINPROGRESS) && !is_known(fd))
        put_down(fd, connection->server, address, length);
    errno = saved;
    return result;
}

void pqb_side_follow(struct pqb_connection *connection, int fd)
{
    struct pqb_process_hold hold;
    if (!lock(&hold))
        return;
    struct pqb_socket *socket = socket_at(fd);
    if (socket && socket->state == PQB_SOCKET_DONE &&
        (!socket->connection || socket->connection == connection)) {
        socket->connection = connection;
        socket->session = pqb_session_begun();
        pqb_giving_begin(socket);
    }
    pqb_state_unlock_sockets(&hold);
}

int pqb_side_outcome(struct pqb_connection *connection)
{
    struct pqb_process_hold hold;
    if (!lock(&hold))
        return PQB_HOLD_WAITS;
    int outcome = connection->hold.outcome;
    pqb_state_unlock_sockets(&hold);
    return outcome;
}

int pqb_side_release(struct pqb_connection *connection)
{
    struct pqb_process_hold hold;
    if (!lock(&hold))
        return connection->pid != (int32_t)getpid(); /* a child has no keeper yet */
    for (struct pqb_socket *socket = pqb_sockets_first(); socket; socket = socket->next)
        if (socket->connection == connection)
            pqb_holding_end(socket);
    pqb_state_unlock_sockets(&hold);
    return 1;
}

/* ---- asked for its peer ---- */

int pqb_side_peer(int fd, struct sockaddr *address, socklen_t *length)
{
    struct pqb_process_hold hold;
    int is_known = 0, saved = errno;
    if (!address || !length || !lock(&hold))
        return 0;
    const struct pqb_socket *socket = socket_at(fd);
    if (socket && socket->deferred) {
        socklen_t size = socket->address_length;
        memcpy(address, &socket->address, *length < size ? *length : size);
        *length = size;
        is_known = 1;
    }
    pqb_state_unlock_sockets(&hold);
    errno = saved;
    return is_known;
}

/* ---- writing and reading ---- */

/* Queries don't pay for the goodbye at the end: a write that can't be one is told from it before
 * the lock and the question whose socket this is (0.5 µs, a hundredth of a short query). */
static int is_a_query(int fd, const struct iovec *part, int parts)
{
    size_t length = 0;
    if (!pqb_descriptor_is_watched(fd, PQB_WATCH_GOODBYE))
        return pqb_descriptor_is_watched(fd, PQB_WATCH_FLOW);
    for (int i = 0; i < parts && length <= PQB_GOODBYE_BYTES; i++)
        length += part[i].iov_len;
    return length != PQB_GOODBYE_BYTES;
}

static int write_once(int fd, const struct iovec *part, int parts, int is_plain, ssize_t *result)
{
    struct pqb_process_hold hold;
    int is_handled = 0, saved = errno;
    if (!lock(&hold))
        return 0;
    struct pqb_socket *socket = socket_at(fd);
    if (socket && socket->state == PQB_SOCKET_FIRST && !is_plain)
        pqb_socket_release(socket, socket->fd);
    else if (socket)
        is_handled = pqb_opening_write(socket, part, parts, result);
    if (!is_handled || *result >= 0)
        errno = saved;
    pqb_state_unlock_sockets(&hold);
    return is_handled;
}

static int may_block(int fd, int flags)
{
    int status = libc_fcntl(fd, F_GETFL, NULL);
    return !(flags & MSG_DONTWAIT) && status >= 0 && !(status & O_NONBLOCK);
}

int pqb_side_write(int fd, const struct iovec *part, int parts, int flags, int is_plain,
                   ssize_t *result)
{
    int saved = errno;
    if (is_a_query(fd, part, parts))
        return 0;
    is_plain &= !(flags & (MSG_OOB | MSG_ZEROCOPY));
    int is_handled = write_once(fd, part, parts, is_plain, result);
    /* So much is held that no more is taken. */
    while (is_handled && *result < 0 && errno == EAGAIN && may_block(fd, flags)) {
        poll(NULL, 0, NAP_MS);
        errno = saved;
        is_handled = write_once(fd, part, parts, is_plain, result);
    }
    return is_handled;
}

void pqb_side_have_written(int fd, const struct iovec *part, ssize_t result)
{
    struct pqb_process_hold hold;
    int saved = errno;
    if (result <= 0 || !pqb_descriptor_is_watched(fd, PQB_WATCH_READS) || !pqb_giving_is_on() ||
        !lock(&hold))
        return;
    struct pqb_socket *socket = socket_at(fd);
    if (socket)
        pqb_socket_said(socket, part, (size_t)result);
    pqb_state_unlock_sockets(&hold);
    errno = saved;
}

int pqb_side_wait(void)
{
    struct pqb_process_hold hold;
    if (!lock(&hold))
        return 0;
    pqb_state_unlock_sockets(&hold);
    return 1;
}

int pqb_side_read(int fd, const struct iovec *part, int parts, int flags, ssize_t *result)
{
    struct pqb_process_hold hold;
    int is_handled = 0, saved = errno;
    if (pqb_descriptor_is_watched(fd, PQB_WATCH_FLOW) || !lock(&hold))
        return 0;
    struct pqb_socket *socket = socket_at(fd);
    if (socket)
        is_handled = pqb_answer_read(socket, part, parts, flags, result);
    if (!is_handled || *result >= 0)
        errno = saved;
    pqb_state_unlock_sockets(&hold);
    return is_handled;
}

static void hear(struct pqb_socket *socket, const struct iovec *part, int parts, size_t length)
{
    int was_open = socket->state == PQB_SOCKET_OPEN;
    pqb_socket_heard(socket, part, parts, length);
    if (!was_open && socket->state == PQB_SOCKET_OPEN)
        pqb_giving_begin(socket);
}

ssize_t pqb_side_have_read(int fd, const struct iovec *part, int parts, int flags, ssize_t result)
{
    struct pqb_process_hold hold;
    int saved = errno;
    if ((flags & MSG_PEEK && result > 0) || !lock(&hold))
        return result;
    struct pqb_socket *socket = socket_at(fd);
    if (socket && result > 0)
        hear(socket, part, parts, flags & MSG_TRUNC ? 0 : (size_t)result);
    else if (!socket || !pqb_answer_read(socket, part, parts, flags, &result) || result >= 0)
        errno = saved;
    pqb_state_unlock_sockets(&hold);
    return result;
}

/* ---- the end ---- */

struct pqb_socket *pqb_side_closing(int fd)
{
    struct pqb_process_hold hold;
    int saved = errno;
    if (!lock(&hold))
        return NULL;
    struct pqb_socket *socket = socket_at(fd);
    if (socket && socket->numbers == 1)
        pqb_socket_let_go(socket);
    if (socket)
        socket = take_away(fd, socket);
    pqb_state_unlock_sockets(&hold);
    errno = saved;
    return socket;
}

void pqb_side_closed(struct pqb_socket *socket)
{
    struct pqb_process_hold hold;
    int saved = errno;
    if (socket && lock(&hold)) {
        pqb_socket_free(socket);
        pqb_state_unlock_sockets(&hold);
    }
    errno = saved;
}

int pqb_side_shutdown(int fd, int how)
{
    struct pqb_process_hold hold;
    int is_ours = 0, saved = errno;
    if (!lock(&hold))
        return 0;
    struct pqb_socket *socket = socket_at(fd);
    if (socket && socket->state == PQB_SOCKET_REFUSED) {
        socket->has_ended = 1;
        is_ours = how == SHUT_WR; /* its read side is shut, and nothing was sent */
    } else if (socket && how == SHUT_WR && pqb_socket_shut_later(socket)) {
        is_ours = 1;
    } else if (socket && how != SHUT_RD) {
        pqb_socket_let_go(socket);
        is_ours = !libc_shutdown(fd, how);
        if (is_ours)
            pqb_socket_shut(socket);
    }
    pqb_state_unlock_sockets(&hold);
    errno = saved;
    return is_ours;
}

void pqb_side_duplicated(int fd, int to)
{
    struct pqb_process_hold hold;
    int saved = errno;
    if (!lock(&hold))
        return;
    struct pqb_socket *socket = socket_at(fd), *earlier = pqb_descriptor_socket(to);
    if (earlier)
        forget_at(to, earlier); /* closed behind our back, or it could not be given anew */
    if (socket && pqb_descriptor_set(to, socket)) {
        socket->numbers++;
        pqb_descriptor_follow(to, socket->flow);
        pqb_descriptor_watch(to, pqb_descriptor_marks[fd]);
    }
    pqb_state_unlock_sockets(&hold);
    errno = saved;
}
