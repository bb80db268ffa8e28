#include "preload/side.h"

#include "conninfo/server.h"
#include "ledger/wait.h"
#include "preload/budget.h"
#include "preload/connection.h"
#include "preload/descriptor.h"
#include "preload/libc.h"
#include "preload/ports.h"
#include "preload/settings.h"
#include "preload/socket.h"
#include "preload/state.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

/* ---- which descriptor is which socket ---- */

/* The socket at this number, if it still is there; what was closed behind our back is forgotten.
 * With the lock held. */
static struct pqb_socket *socket_at(int fd)
{
    struct pqb_socket *socket = pqb_descriptor_socket(fd);
    if (!socket || pqb_descriptor_cookie(fd) == socket->cookie)
        return socket;
    pqb_descriptor_set(fd, NULL);
    if (!--socket->numbers)
        pqb_socket_free(socket);
    return NULL;
}

/* Forgets all that was closed behind our back. */
static void sweep(void)
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
        pqb_descriptor_set(fd, NULL);
        if (!--socket->numbers)
            pqb_socket_free(socket);
    }
    pqb_state_unlock_sockets(&hold);
}

/* Returns its cookie, 0 if it is not looked at. */
static uint64_t begin(int fd, const char *key, const struct sockaddr *address, socklen_t length,
                      struct pqb_connection *held_for)
{
    struct pqb_process_hold hold;
    uint64_t cookie = 0;
    if (!lock(&hold))
        return 0;
    sweep();
    struct pqb_socket *earlier =
        pqb_descriptor_socket(fd); /* it connects again: after a failure, a refusal */
    if (earlier) {
        pqb_descriptor_set(fd, NULL);
        if (!--earlier->numbers)
            pqb_socket_free(earlier);
    }
    struct pqb_socket *socket = pqb_socket_new(fd, key, address, length);
    if (socket && pqb_descriptor_set(fd, socket)) {
        pqb_descriptor_watch(fd, PQB_WATCH_WRITES | PQB_WATCH_END);
        cookie = socket->cookie;
        if (held_for)
            pqb_socket_hold_for(socket, held_for);
    } else if (socket) {
        pqb_socket_free(socket);
    }
    pqb_state_unlock_sockets(&hold);
    return cookie;
}

int pqb_side_connect(int fd, const struct sockaddr *address, socklen_t length,
                     struct pqb_connection *held_for)
{
    char key[PQB_KEY_BYTES];
    int saved = errno;
    uint64_t cookie = 0;
    int outcome = held_for ? pqb_side_outcome(held_for) : PQB_HOLD_WAITS;
    if (outcome == PQB_HOLD_REFUSED) {
        errno = EUSERS; /* its time was up at an earlier address */
        return -1;
    }
    if (outcome == PQB_HOLD_GRANTED)
        return libc_connect(fd, address, length); /* a second address, or without TLS */
    if (held_for)
        cookie = begin(fd, held_for->server, address, length, held_for);
    else if (is_candidate(fd, address, length, key, sizeof key))
        cookie = begin(fd, key, address, length, NULL);
    errno = saved;
    int result = libc_connect(fd, address, length);
    /* EISCONN: asked again whether it is connected by now. */
    if (cookie && result && errno != EINPROGRESS && errno != EINTR && errno != EALREADY &&
        errno != EISCONN) {
        saved = errno;
        forget(fd, cookie);
        errno = saved;
    }
    return result;
}

/* ---- what the front door holds ---- */

int pqb_side_outcome(struct pqb_connection *connection)
{
    struct pqb_process_hold hold;
    if (!lock(&hold))
        return PQB_HOLD_WAITS;
    int outcome = connection->hold.outcome;
    pqb_state_unlock_sockets(&hold);
    return outcome;
}

void pqb_side_release(struct pqb_connection *connection)
{
    struct pqb_process_hold hold;
    if (!lock(&hold))
        return;
    for (struct pqb_socket *socket = pqb_sockets_first(); socket; socket = socket->next)
        if (socket->connection == connection)
            pqb_socket_let_alone(socket);
    pqb_state_unlock_sockets(&hold);
}

/* ---- writing and reading ---- */

int pqb_side_write(int fd, const struct iovec *part, int parts, int is_plain, ssize_t *result)
{
    struct pqb_process_hold hold;
    int is_handled = 0, saved = errno;
    if (!lock(&hold))
        return 0;
    struct pqb_socket *socket = socket_at(fd);
    if (socket && !is_plain)
        pqb_socket_let_go(socket);
    else if (socket)
        is_handled = pqb_socket_write(socket, part, parts, result);
    if (!is_handled || *result >= 0)
        errno = saved;
    pqb_state_unlock_sockets(&hold);
    return is_handled;
}

int pqb_side_read(int fd, const struct iovec *part, int parts, int flags, ssize_t *result)
{
    struct pqb_process_hold hold;
    int is_handled = 0, saved = errno;
    if (!lock(&hold))
        return 0;
    struct pqb_socket *socket = socket_at(fd);
    if (socket)
        is_handled = pqb_socket_read(socket, part, parts, flags, result);
    if (!is_handled || *result >= 0)
        errno = saved;
    pqb_state_unlock_sockets(&hold);
    return is_handled;
}

ssize_t pqb_side_have_read(int fd, const struct iovec *part, int parts, int flags, ssize_t result)
{
    struct pqb_process_hold hold;
    int saved = errno;
    if ((flags & MSG_PEEK && result > 0) || !lock(&hold))
        return result;
    struct pqb_socket *socket = socket_at(fd);
    if (socket && result > 0)
        pqb_socket_heard(socket, part, parts, (size_t)result);
    else if (!socket || !pqb_socket_read(socket, part, parts, flags, &result) || result >= 0)
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
    if (socket) {
        pqb_descriptor_set(fd, NULL);
        if (--socket->numbers)
            socket = NULL;
    }
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
    } else if (socket && how != SHUT_RD && !libc_shutdown(fd, how)) {
        pqb_socket_shut(socket);
        is_ours = 1;
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
    struct pqb_socket *socket = socket_at(fd);
    if (socket && pqb_descriptor_set(to, socket)) {
        socket->numbers++;
        pqb_descriptor_watch(to, pqb_descriptor_marks[fd]);
    }
    pqb_state_unlock_sockets(&hold);
    errno = saved;
}

/* ---- for the keeper ---- */

static void wait_for(struct pqb_side_wait *wait, struct pqb_socket *socket)
{
    const struct pqb_claim *claim = pqb_socket_claim(socket);
    if (!pqb_socket_waits(socket) || !claim->region || pqb_region_check(claim->region))
        return;
    if (!wait->region) {
        pqb_region_pin(wait->region = claim->region);
        wait->heard = atomic_load(pqb_wait_bell(claim->region));
    }
    unsigned server = claim->region->map->claim[claim->index].server, i = 0;
    while (i < wait->servers && wait->server[i] != server)
        i++;
    if (i == wait->servers && i < PQB_SIDE_SERVERS)
        wait->server[wait->servers++] = server;
}

int pqb_side_keep(struct pqb_side_wait *wait)
{
    int is_needed = 0;
    struct pqb_socket *next;
    *wait = (struct pqb_side_wait){.flush = -1};
    sweep();
    for (struct pqb_socket *socket = pqb_sockets_first(); socket; socket = socket->next)
        wait_for(wait, socket);
    for (struct pqb_socket *socket = pqb_sockets_first(); socket; socket = next) {
        next = socket->next;
        is_needed |= pqb_socket_step(socket, &wait->flush);
    }
    return is_needed;
}
