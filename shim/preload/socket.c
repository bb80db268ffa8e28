#include "preload/socket.h"

#include "conninfo/server.h"
#include "ledger/os.h"
#include "ledger/wait.h"
#include "preload/budget.h"
#include "preload/connection.h"
#include "preload/descriptor.h"
#include "preload/keeper.h"
#include "preload/libc.h"
#include "preload/log.h"
#include "preload/peer.h"
#include "preload/startup.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A client that writes more before it is answered does not speak PostgreSQL. */
#define HELD_MOST 65536u

#define SILENCE (1 * PQB_SECOND)

static struct pqb_socket *first_socket;

struct pqb_socket *pqb_sockets_first(void)
{
    return first_socket;
}

struct pqb_claim *pqb_socket_claim(struct pqb_socket *socket)
{
    return socket->connection ? &socket->connection->claim : &socket->own_claim;
}

/* ---- bytes ---- */

static int bytes_add(struct pqb_bytes *bytes, const void *from, size_t length)
{
    if (bytes->length + length > bytes->capacity) {
        size_t capacity = 2 * (bytes->length + length);
        char *at = realloc(bytes->at, capacity);
        if (!at)
            return 0;
        bytes->at = at;
        bytes->capacity = capacity;
    }
    memcpy(bytes->at + bytes->length, from, length);
    bytes->length += length;
    return 1;
}

static void bytes_free(struct pqb_bytes *bytes)
{
    if (bytes->at)
        explicit_bzero(bytes->at, bytes->capacity);
    free(bytes->at);
    *bytes = (struct pqb_bytes){0};
}

static size_t parts_length(const struct iovec *part, int parts)
{
    size_t length = 0;
    for (int i = 0; i < parts; i++)
        length += part[i].iov_len;
    return length;
}

static int bytes_add_parts(struct pqb_bytes *bytes, const struct iovec *part, int parts)
{
    size_t before = bytes->length;
    for (int i = 0; i < parts; i++)
        if (!bytes_add(bytes, part[i].iov_base, part[i].iov_len)) {
            bytes->length = before;
            return 0;
        }
    return 1;
}

/* The first bytes of what was held and of a write together. */
static size_t peek(const struct pqb_bytes *held, const struct iovec *part, int parts, char *to,
                   size_t size)
{
    size_t length = held->length < size ? held->length : size;
    if (length)
        memcpy(to, held->at, length);
    for (int i = 0; i < parts && length < size; i++) {
        size_t more = part[i].iov_len < size - length ? part[i].iov_len : size - length;
        memcpy(to + length, part[i].iov_base, more);
        length += more;
    }
    return length;
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

static void end_claim(struct pqb_socket *socket)
{
    int is_held = socket->state == PQB_SOCKET_HELD || socket->state == PQB_SOCKET_STARTING;
    if (is_held && socket->pid != (int32_t)getpid())
        pqb_claim_drop(&socket->own_claim);
    else
        pqb_claim_give(&socket->own_claim, PQB_END_CLOSED);
}

void pqb_socket_free(struct pqb_socket *socket)
{
    pqb_claim_closed(&socket->own_claim);
    if (socket->previous)
        socket->previous->next = socket->next;
    else
        first_socket = socket->next;
    if (socket->next)
        socket->next->previous = socket->previous;
    bytes_free(&socket->held);
    bytes_free(&socket->answer);
    free(socket->server);
    free(socket);
}

/* What its numbers are watched for, by its state. */
static void watch(struct pqb_socket *socket)
{
    unsigned what = PQB_WATCH_END;
    switch (socket->state) {
    case PQB_SOCKET_FIRST:
    case PQB_SOCKET_OPEN:
        what |= PQB_WATCH_WRITES;
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
    pqb_descriptor_watch(socket->fd, what);
    for (int fd = socket->numbers > 1 ? pqb_descriptor_next(0, PQB_DESCRIPTORS) : -1; fd >= 0;
         fd = pqb_descriptor_next(fd + 1, PQB_DESCRIPTORS))
        if (pqb_descriptor_socket(fd) == socket)
            pqb_descriptor_watch(fd, what);
}

static void enter(struct pqb_socket *socket, enum pqb_socket_state state)
{
    socket->state = state;
    watch(socket);
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
    bytes_free(held);
    return 0;
}

/* From now on its claim lasts as long as it does, whoever has it and however he closes it. */
static void bind_claim(struct pqb_socket *socket)
{
    if (socket->own_claim.region)
        pqb_claim_socket(&socket->own_claim, socket->fd, socket->cookie);
}

/* Encrypted from here on: that it is open, and nothing else, can be told. */
static void veil(struct pqb_socket *socket)
{
    struct pqb_claim_peer unknown = {0};
    enter(socket, PQB_SOCKET_OPAQUE);
    if (socket->own_claim.region && pqb_claim_open(&socket->own_claim, &unknown))
        pqb_log(PQB_LOG_INFO, "the ledger was given up while this process connected to %s",
                socket->server);
}

/* What comes after the first packet has been sent. */
static void sent_first(struct pqb_socket *socket, enum pqb_packet packet)
{
    bind_claim(socket);
    if (socket->connection)
        enter(socket, PQB_SOCKET_DONE); /* the front door sees to the rest */
    else if (packet == PQB_PACKET_SSL || packet == PQB_PACKET_GSS)
        enter(socket, PQB_SOCKET_ASKED);
    else if (packet == PQB_PACKET_STARTUP)
        enter(socket, PQB_SOCKET_LOGIN);
    else
        veil(socket);
}

static enum pqb_packet held_packet(const struct pqb_socket *socket)
{
    size_t whole;
    return pqb_protocol_first(socket->held.at, socket->held.length, &whole);
}

/* Granted: what is held goes out, or begins to. */
static void start(struct pqb_socket *socket, int fd)
{
    enum pqb_packet packet = held_packet(socket);
    int failure = flush(socket, fd);
    if (!failure) {
        sent_first(socket, packet);
    } else if (failure == EAGAIN) {
        enter(socket, PQB_SOCKET_STARTING);
        pqb_keeper_start();
    } else {
        /* The client meets the error itself at its next read or write. */
        end_claim(socket);
        enter(socket, PQB_SOCKET_DONE);
    }
}

/* ---- refusing ---- */

/* Answers what the client has written so far. */
static void answer(struct pqb_socket *socket)
{
    struct pqb_bytes *held = &socket->held;
    char error[2048];
    size_t whole = 0, length = 0;
    if (socket->has_ended)
        bytes_free(held);
    switch (held->length ? pqb_protocol_first(held->at, held->length, &whole) : PQB_PACKET_MORE) {
    case PQB_PACKET_MORE:
        return;
    case PQB_PACKET_SSL:
    case PQB_PACKET_GSS:
        bytes_add(&socket->answer, "N", 1);
        memmove(held->at, held->at + 8, held->length - 8);
        held->length -= 8;
        socket->refused_at = pqb_now();
        if (held->length)
            answer(socket);
        return;
    case PQB_PACKET_STARTUP:
        if (held->length < whole)
            return;
        length = pqb_protocol_error(error, sizeof error, "53300", "sorry, too many clients already",
                                    socket->refusal.detail, socket->refusal.hint);
        break;
    case PQB_PACKET_TLS:
        memcpy(error, pqb_protocol_tls_alert, PQB_TLS_ALERT_BYTES);
        length = PQB_TLS_ALERT_BYTES;
        break;
    default:
        break;
    }
    bytes_add(&socket->answer, error, length);
    bytes_free(held);
    socket->has_ended = 1;
}

static void refuse(struct pqb_socket *socket, int fd)
{
    enter(socket, PQB_SOCKET_REFUSED);
    socket->refused_at = pqb_now();
    answer(socket);
    /* Wakes the client. Not both ways: libuv would report the end before the error. */
    libc_shutdown(fd, SHUT_RD);
}

int pqb_socket_read(struct pqb_socket *socket, const struct iovec *part, int parts, int flags,
                    ssize_t *result)
{
    struct pqb_bytes *bytes = &socket->answer;
    size_t given = 0, left = bytes->length - bytes->gone;
    if (socket->state != PQB_SOCKET_REFUSED)
        return 0;
    for (int i = 0; i < parts && left; i++) {
        size_t length = part[i].iov_len < left ? part[i].iov_len : left;
        memcpy(part[i].iov_base, bytes->at + bytes->gone + given, length);
        given += length;
        left -= length;
    }
    if (!(flags & MSG_PEEK))
        bytes->gone += given;
    *result = (ssize_t)given;
    if (!given && !socket->has_ended && pqb_now() < socket->refused_at + SILENCE) {
        errno = EAGAIN; /* it is to write first */
        *result = -1;
    }
    return 1;
}

/* ---- deciding ---- */

static struct pqb_ask ask_of(const struct pqb_socket *socket)
{
    const struct pqb_connection *connection = socket->connection;
    return (struct pqb_ask){.server = socket->server,
                            .door = connection ? PQB_DOOR_LIBPQ : PQB_DOOR_SOCKET,
                            .is_pooled = connection ? connection->is_pooled
                                                    : pqb_server_is_pooler(socket->server),
                            .cap = connection ? connection->cap : 0,
                            .wait = connection ? connection->wait : PQB_WAIT_SERVER};
}

/* It is none of ours: what was held goes out first. */
static int release(struct pqb_socket *socket)
{
    int failure = flush(socket, socket->fd);
    end_claim(socket);
    if (failure == EAGAIN) {
        enter(socket, PQB_SOCKET_STARTING);
        pqb_keeper_start();
        return 0;
    }
    enter(socket, PQB_SOCKET_DONE);
    return 1;
}

void pqb_socket_let_go(struct pqb_socket *socket)
{
    if (socket->state == PQB_SOCKET_FIRST)
        release(socket);
}

/* A whole startup packet stands in `held`. 0 if it is not to be charged. */
static int read_startup(struct pqb_socket *socket, size_t whole)
{
    struct pqb_startup startup;
    if (!pqb_protocol_startup(socket->held.at, whole, &startup) || startup.is_replication)
        return 0;
    const char *user = startup.user ? startup.user : "";
    const char *database = startup.database && *startup.database ? startup.database : user;
    if (!strcmp(database, "pgbouncer"))
        return 0; /* a pooler's console */
    snprintf(socket->user, sizeof socket->user, "%s", user);
    snprintf(socket->database, sizeof socket->database, "%s", database);
    return 1;
}

/* Gives it a name, and whatever else is set. */
static void rewrite_startup(struct pqb_socket *socket, size_t whole)
{
    char changed[PQB_STARTUP_BYTES];
    struct pqb_bytes fresh = {0}, *held = &socket->held;
    size_t length = pqb_startup_rewrite(held->at, whole, pqb_server_is_pooler(socket->server),
                                        changed, sizeof changed);
    if (length && bytes_add(&fresh, changed, length) &&
        bytes_add(&fresh, held->at + whole, held->length - whole)) {
        bytes_free(held);
        *held = fresh;
        return;
    }
    bytes_free(&fresh);
}

/* Asks for a claim for what is held. */
static void take(struct pqb_socket *socket)
{
    struct pqb_ask ask = ask_of(socket);
    socket->asked_at = pqb_now();
    switch (pqb_budget_submit(&ask, &socket->own_claim, &socket->deadline, &socket->refusal)) {
    case PQB_VERDICT_GO:
    case PQB_VERDICT_UNCOUNTED:
        start(socket, socket->fd);
        break;
    case PQB_VERDICT_WAIT:
        enter(socket, PQB_SOCKET_HELD);
        if (!pqb_keeper_start()) {
            pqb_budget_refuse(&ask, &socket->own_claim, socket->asked_at, &socket->refusal);
            refuse(socket, socket->fd);
        }
        break;
    case PQB_VERDICT_REFUSED:
        refuse(socket, socket->fd);
        break;
    }
}

/* More of the first packet has come into `held`. */
static void decide(struct pqb_socket *socket)
{
    size_t whole = 0;
    switch (pqb_protocol_first(socket->held.at, socket->held.length, &whole)) {
    case PQB_PACKET_MORE:
        break;
    case PQB_PACKET_STARTUP:
        if (socket->held.length < whole)
            break;
        if (!read_startup(socket, whole)) {
            release(socket);
            break;
        }
        rewrite_startup(socket, whole);
        take(socket);
        break;
    case PQB_PACKET_SSL:
    case PQB_PACKET_GSS:
    case PQB_PACKET_TLS:
        take(socket);
        break;
    case PQB_PACKET_CANCEL:
    case PQB_PACKET_OTHER:
        release(socket);
        break;
    }
}

static int write_held(struct pqb_socket *socket, const struct iovec *part, int parts,
                      ssize_t *result);

static int write_first(struct pqb_socket *socket, const struct iovec *part, int parts,
                       ssize_t *result)
{
    if (socket->connection) {
        enter(socket, PQB_SOCKET_HELD);
        return write_held(socket, part, parts, result);
    }
    char begin[8];
    size_t whole = 0, length = peek(&socket->held, part, parts, begin, sizeof begin);
    size_t all = socket->held.length + parts_length(part, parts);
    enum pqb_packet packet = pqb_protocol_first(begin, length, &whole);
    if (packet == PQB_PACKET_OTHER || packet == PQB_PACKET_CANCEL || all > PQB_STARTUP_BYTES)
        return !release(socket) && bytes_add_parts(&socket->held, part, parts)
                   ? (*result = (ssize_t)parts_length(part, parts), 1)
                   : 0;
    if (!bytes_add_parts(&socket->held, part, parts))
        return release(socket), 0;
    *result = (ssize_t)parts_length(part, parts);
    decide(socket);
    return 1;
}

/* After the server's answer to a request for TLS: a ClientHello, or the startup packet in plain. */
static int write_asked(struct pqb_socket *socket, const struct iovec *part, int parts,
                       ssize_t *result)
{
    size_t whole = 0, length = parts_length(part, parts);
    char begin[8];
    size_t seen = peek(&socket->held, part, parts, begin, sizeof begin);
    enum pqb_packet packet = pqb_protocol_first(begin, seen, &whole);
    if (packet == PQB_PACKET_SSL || packet == PQB_PACKET_GSS)
        return 0; /* GSS was declined, TLS is asked for */
    if ((packet != PQB_PACKET_STARTUP && packet != PQB_PACKET_MORE) ||
        socket->held.length + length > PQB_STARTUP_BYTES ||
        !bytes_add_parts(&socket->held, part, parts)) {
        if (packet == PQB_PACKET_CANCEL || packet == PQB_PACKET_OTHER)
            release(socket);
        else if (!flush(socket, socket->fd)) /* a ClientHello that began in pieces */
            veil(socket);
        return 0;
    }
    *result = (ssize_t)length;
    if (packet == PQB_PACKET_MORE || socket->held.length < whole)
        return 1;
    if (!read_startup(socket, whole)) {
        release(socket);
        return 1;
    }
    rewrite_startup(socket, whole);
    start(socket, socket->fd);
    return 1;
}

static int write_held(struct pqb_socket *socket, const struct iovec *part, int parts,
                      ssize_t *result)
{
    size_t length = parts_length(part, parts);
    if (socket->held.length + length > HELD_MOST || !bytes_add_parts(&socket->held, part, parts)) {
        errno = EAGAIN;
        *result = -1;
        return 1;
    }
    *result = (ssize_t)length;
    if (socket->state == PQB_SOCKET_REFUSED)
        answer(socket);
    return 1;
}

/* The client says goodbye: the server's process goes now, whatever becomes of the socket. */
static int write_open(struct pqb_socket *socket, const struct iovec *part, int parts,
                      ssize_t *result)
{
    static const char terminate[5] = {'X', 0, 0, 0, 4};
    char begin[5];
    struct pqb_bytes nothing = {0};
    if (parts_length(part, parts) != 5 || peek(&nothing, part, parts, begin, 5) != 5 ||
        memcmp(begin, terminate, 5) != 0)
        return 0;
    *result = libc_send(socket->fd, begin, 5, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (*result != 5)
        return 0; /* the client's own write meets the error */
    end_claim(socket);
    enter(socket, PQB_SOCKET_DONE);
    return 1;
}

void pqb_socket_shut(struct pqb_socket *socket)
{
    if (socket->state != PQB_SOCKET_ASKED && socket->state != PQB_SOCKET_LOGIN &&
        socket->state != PQB_SOCKET_OPEN && socket->state != PQB_SOCKET_OPAQUE)
        return;
    end_claim(socket);
    enter(socket, PQB_SOCKET_DONE);
}

int pqb_socket_write(struct pqb_socket *socket, const struct iovec *part, int parts,
                     ssize_t *result)
{
    switch (socket->state) {
    case PQB_SOCKET_FIRST:
        return write_first(socket, part, parts, result);
    case PQB_SOCKET_ASKED:
        return write_asked(socket, part, parts, result);
    case PQB_SOCKET_HELD:
    case PQB_SOCKET_STARTING:
    case PQB_SOCKET_REFUSED:
        return write_held(socket, part, parts, result);
    case PQB_SOCKET_OPEN:
        return write_open(socket, part, parts, result);
    default:
        return 0;
    }
}

/* ---- logging in ---- */

static void opened(struct pqb_socket *socket)
{
    struct pqb_peer peer;
    pqb_peer_of(socket->fd, &peer);
    struct pqb_claim_peer claim_peer = {
        .backend_pid = socket->scan.backend_pid,
        .is_local = peer.is_local,
        .user = socket->user,
        .database = socket->database,
        .application_name = socket->scan.application_name,
    };
    enter(socket, PQB_SOCKET_OPEN);
    bind_claim(socket); /* if it could not be asked for when it was still connecting */
    if (socket->own_claim.region && !pqb_claim_open(&socket->own_claim, &claim_peer))
        pqb_budget_learn(&socket->own_claim, socket->server, &peer, claim_peer.backend_pid);
}

void pqb_socket_heard(struct pqb_socket *socket, const struct iovec *part, int parts, size_t length)
{
    if (socket->state != PQB_SOCKET_LOGIN)
        return;
    unsigned seen = 0;
    for (int i = 0; i < parts && length; i++) {
        size_t here = part[i].iov_len < length ? part[i].iov_len : length;
        seen |= pqb_protocol_scan(&socket->scan, part[i].iov_base, here);
        length -= here;
    }
    if (seen & PQB_SEEN_READY)
        opened(socket);
    else if (seen & PQB_SEEN_LOST)
        enter(socket, PQB_SOCKET_OPAQUE);
}

/* ---- the keeper's step ---- */

/* A descriptor of our own for the socket, if it still is what it was: its number may have been
 * closed and given to another file since. -1 if so. */
static int hold_on(const struct pqb_socket *socket)
{
    int fd = fcntl(socket->fd, F_DUPFD_CLOEXEC, 0);
    if (fd >= 0 && pqb_descriptor_cookie(fd) != socket->cookie) {
        pqb_close(fd);
        fd = -1;
    }
    return fd;
}

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
    start(socket, fd);
}

static void refused(struct pqb_socket *socket, int fd)
{
    tell(socket, PQB_HOLD_REFUSED);
    refuse(socket, fd);
}

/* The ledger was given up: into the queue of the new one. */
static void ask_anew(struct pqb_socket *socket, int fd)
{
    struct pqb_claim *claim = pqb_socket_claim(socket);
    struct pqb_ask ask = ask_of(socket);
    uint64_t unused;
    pqb_claim_give(claim, PQB_END_CLOSED);
    switch (pqb_budget_submit(&ask, claim, &unused, &socket->refusal)) {
    case PQB_VERDICT_GO:
    case PQB_VERDICT_UNCOUNTED:
        granted(socket, fd);
        break;
    case PQB_VERDICT_REFUSED:
        refused(socket, fd);
        break;
    case PQB_VERDICT_WAIT:
        break;
    }
}

/* Waits for its grant; what is held goes out with it. */
static void step_waiting(struct pqb_socket *socket, int fd)
{
    struct pqb_claim *claim = pqb_socket_claim(socket);
    /* It may have shrunk, or been replaced, since the last round. */
    enum pqb_status status = pqb_region_check(claim->region);
    if (!status)
        status = pqb_claim_take(claim);
    if (!status) {
        granted(socket, fd);
    } else if (is_broken(socket, fd)) {
        end_claim(socket);
        enter(socket, PQB_SOCKET_DONE);
    } else if (status != PQB_WAITING) {
        ask_anew(socket, fd);
    } else if (pqb_now() >= socket->deadline) {
        struct pqb_ask ask = ask_of(socket);
        pqb_budget_refuse(&ask, claim, socket->asked_at, &socket->refusal);
        refused(socket, fd);
    }
}

int pqb_socket_waits(const struct pqb_socket *socket)
{
    return socket->state == PQB_SOCKET_HELD ||
           (socket->state == PQB_SOCKET_FIRST && socket->connection);
}

void pqb_socket_hold_for(struct pqb_socket *socket, struct pqb_connection *connection)
{
    socket->connection = connection;
    socket->asked_at = connection->hold.asked_at;
    socket->deadline = connection->hold.deadline;
    pqb_keeper_start();
}

void pqb_socket_let_alone(struct pqb_socket *socket)
{
    socket->connection = NULL;
    enter(socket, PQB_SOCKET_DONE);
}

int pqb_socket_step(struct pqb_socket *socket, int *flush_fd)
{
    if (socket->pid != (int32_t)getpid() ||
        (!pqb_socket_waits(socket) && socket->state != PQB_SOCKET_STARTING))
        return 0;
    int fd = hold_on(socket);
    if (fd < 0) {
        end_claim(socket);
        enter(socket, PQB_SOCKET_DONE);
        return 0;
    }
    if (socket->state == PQB_SOCKET_STARTING)
        start(socket, fd);
    else
        step_waiting(socket, fd);
    pqb_close(fd);
    if (socket->state == PQB_SOCKET_STARTING)
        *flush_fd = socket->fd;
    return pqb_socket_waits(socket) || socket->state == PQB_SOCKET_STARTING;
}
