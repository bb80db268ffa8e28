#include "preload/opening.h"

#include "conninfo/server.h"
#include "ledger/os.h"
#include "preload/answer.h"
#include "preload/budget.h"
#include "preload/holding.h"
#include "preload/keeper.h"
#include "preload/libc.h"
#include "preload/startup.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* A client that writes more before it is answered does not speak PostgreSQL. */
#define HELD_MOST 65536u

/* Nor does one that stops within the first eight bytes of its packet. */
#define UNDECIDED (1 * PQB_SECOND)

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
    if (length && pqb_bytes_add(&fresh, changed, length) &&
        pqb_bytes_add(&fresh, held->at + whole, held->length - whole)) {
        pqb_bytes_free(held);
        *held = fresh;
        return;
    }
    pqb_bytes_free(&fresh);
}

/* Asks for a claim for what is held. */
static void take(struct pqb_socket *socket)
{
    struct pqb_ask ask = pqb_socket_ask(socket);
    socket->asked_at = pqb_now();
    socket->pid = (int32_t)getpid(); /* a child may speak first on what its parent connected */
    socket->is_late = 0;
    socket->deadline = 0;
    switch (pqb_budget_submit(&ask, &socket->own_claim, &socket->deadline, &socket->refusal)) {
    case PQB_VERDICT_GO:
    case PQB_VERDICT_UNCOUNTED:
        pqb_socket_start(socket, socket->fd);
        break;
    case PQB_VERDICT_WAIT:
        pqb_holding_wait(socket);
        break;
    case PQB_VERDICT_REFUSED:
        pqb_answer_refuse(socket, socket->fd);
        break;
    }
}

/* A process that has a connection may want to cancel what runs there, and a cancel over TLS begins
 * as a connection does. What it is, is seen by the first record of data. 0 if it can be no cancel.
 */
static int pass_for_now(struct pqb_socket *socket, enum pqb_packet packet)
{
    struct pqb_ask ask = pqb_socket_ask(socket);
    if (!pqb_budget_holds(&ask))
        return 0;
    socket->is_late = 1;
    if (packet == PQB_PACKET_TLS)
        pqb_protocol_tls(&socket->tls, socket->held.at, socket->held.length);
    pqb_socket_start(socket, socket->fd);
    return 1;
}

/* More of the first packet has come into `held`. */
static void decide(struct pqb_socket *socket)
{
    size_t whole = 0;
    enum pqb_packet packet = pqb_protocol_first(socket->held.at, socket->held.length, &whole);
    switch (packet) {
    case PQB_PACKET_MORE:
        socket->silent_until = pqb_now() + UNDECIDED;
        pqb_keeper_start();
        break;
    case PQB_PACKET_STARTUP:
        if (socket->held.length < whole)
            break;
        if (!read_startup(socket, whole)) {
            pqb_socket_release(socket, socket->fd);
            break;
        }
        rewrite_startup(socket, whole);
        take(socket);
        break;
    case PQB_PACKET_SSL:
    case PQB_PACKET_TLS:
        if (!pass_for_now(socket, packet))
            take(socket);
        break;
    case PQB_PACKET_GSS: /* none of the clients known here cancels over GSS */
        take(socket);
        break;
    case PQB_PACKET_CANCEL:
    case PQB_PACKET_OTHER:
        pqb_socket_release(socket, socket->fd);
        break;
    }
}

/* Keeps what there is room for. 0 if that is nothing. */
static size_t keep(struct pqb_socket *socket, const struct iovec *part, int parts)
{
    struct pqb_bytes *held = &socket->held;
    size_t before = held->length;
    for (int i = 0; i < parts && held->length < HELD_MOST; i++) {
        size_t room = HELD_MOST - held->length;
        if (!pqb_bytes_add(held, part[i].iov_base, part[i].iov_len < room ? part[i].iov_len : room))
            break;
    }
    return held->length - before;
}

static int write_held(struct pqb_socket *socket, const struct iovec *part, int parts,
                      ssize_t *result)
{
    *result = (ssize_t)keep(socket, part, parts);
    if (!*result && pqb_parts_length(part, parts)) {
        errno = EAGAIN;
        *result = -1;
    } else if (socket->state == PQB_SOCKET_REFUSED) {
        pqb_answer_write(socket);
        pqb_answer_wake(socket, socket->fd); /* once more, for who waits for edges */
    }
    return 1;
}

static int write_first(struct pqb_socket *socket, const struct iovec *part, int parts,
                       ssize_t *result)
{
    if (socket->connection) {
        pqb_holding_wait(socket);
        return write_held(socket, part, parts, result);
    }
    char begin[8];
    size_t whole = 0, length = pqb_bytes_peek(&socket->held, part, parts, begin, sizeof begin);
    enum pqb_packet packet = pqb_protocol_first(begin, length, &whole);
    if (packet == PQB_PACKET_OTHER || packet == PQB_PACKET_CANCEL)
        return pqb_socket_release(socket, socket->fd) ? 0 : write_held(socket, part, parts, result);
    write_held(socket, part, parts, result);
    decide(socket);
    return 1;
}

/* The record of data that was found is a cancel, or asks for a claim. */
static void decide_data(struct pqb_socket *socket)
{
    if (pqb_protocol_tls_is_cancel(&socket->tls))
        pqb_socket_release(socket, socket->fd);
    else
        take(socket);
}

/* What can't be followed any more does not go on. Never seen: a handshake is a few kilobytes, for
 * which there is room. */
static int break_off(struct pqb_socket *socket, int why, ssize_t *result)
{
    pqb_socket_enter(socket, PQB_SOCKET_DONE);
    libc_shutdown(socket->fd, SHUT_RDWR);
    errno = why;
    *result = -1;
    return 1;
}

/* The records of a client whose claim is asked for late: the handshake passes, the first data does
 * not. Both may come in one call, and a record's header in pieces, which are kept. */
static int write_tls(struct pqb_socket *socket, const struct iovec *part, int parts,
                     ssize_t *result)
{
    struct pqb_bytes *held = &socket->held;
    if (!pqb_bytes_add_parts(held, part, parts))
        return break_off(socket, ENOBUFS, result);
    size_t passing = pqb_protocol_tls(&socket->tls, held->at, held->length);
    ssize_t passed =
        passing ? libc_send(socket->fd, held->at, passing, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;
    if (passed != (ssize_t)passing)
        return break_off(socket, passed < 0 && errno != EAGAIN ? errno : ENOBUFS, result);
    *result = (ssize_t)pqb_parts_length(part, parts);
    pqb_bytes_drop(held, passing);
    if (socket->tls.is_lost)
        pqb_socket_release(socket, socket->fd);
    else if (socket->tls.data)
        decide_data(socket);
    return 1;
}

/* The server has agreed to GSS. */
static int write_gss(struct pqb_socket *socket, const struct iovec *part, int parts,
                     ssize_t *result)
{
    if (!socket->is_late) {
        if (!pqb_socket_flush(socket, socket->fd))
            pqb_socket_veil(socket);
        return 0;
    }
    if (!pqb_bytes_add_parts(&socket->held, part, parts))
        return break_off(socket, ENOBUFS, result);
    *result = (ssize_t)pqb_parts_length(part, parts);
    take(socket);
    return 1;
}

/* After the server's answer to a request for TLS: a ClientHello, or the startup packet in plain. */
static int write_asked(struct pqb_socket *socket, const struct iovec *part, int parts,
                       ssize_t *result)
{
    size_t whole = 0;
    char begin[8];
    size_t seen = pqb_bytes_peek(&socket->held, part, parts, begin, sizeof begin);
    enum pqb_packet packet = pqb_protocol_first(begin, seen, &whole);
    switch (packet) {
    case PQB_PACKET_GSS: /* TLS was declined */
    case PQB_PACKET_SSL: /* GSS was declined */
        socket->has_asked_gss = packet == PQB_PACKET_GSS;
        pqb_socket_flush(socket, socket->fd); /* it began in pieces: for so few there is room */
        return 0;
    case PQB_PACKET_TLS:
        if (socket->is_late) {
            pqb_socket_enter(socket, PQB_SOCKET_TLS);
            return write_tls(socket, part, parts, result);
        }
        if (!pqb_socket_flush(socket, socket->fd)) /* a ClientHello that began in pieces */
            pqb_socket_veil(socket);
        return 0;
    case PQB_PACKET_OTHER:
        if (socket->has_asked_gss)
            return write_gss(socket, part, parts, result);
        /* fall through */
    case PQB_PACKET_CANCEL:
        pqb_socket_release(socket, socket->fd);
        return 0;
    case PQB_PACKET_MORE:
    case PQB_PACKET_STARTUP:
        break;
    }
    write_held(socket, part, parts, result);
    if (!whole || socket->held.length < whole)
        return 1;
    if (!read_startup(socket, whole)) {
        pqb_socket_release(socket, socket->fd);
        return 1;
    }
    rewrite_startup(socket, whole);
    if (socket->is_late)
        take(socket);
    else
        pqb_socket_start(socket, socket->fd);
    return 1;
}

/* The client says goodbye: the server's process goes now, whatever becomes of the socket. */
static int write_open(struct pqb_socket *socket, const struct iovec *part, int parts,
                      ssize_t *result)
{
    static const char terminate[5] = {'X', 0, 0, 0, 4};
    char begin[5];
    struct pqb_bytes nothing = {0};
    if (pqb_parts_length(part, parts) != 5 ||
        pqb_bytes_peek(&nothing, part, parts, begin, 5) != 5 || memcmp(begin, terminate, 5) != 0)
        return 0;
    *result = libc_send(socket->fd, begin, 5, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (*result != 5)
        return 0; /* the client's own write meets the error */
    pqb_socket_end_claim(socket);
    pqb_socket_enter(socket, PQB_SOCKET_DONE);
    return 1;
}

int pqb_opening_write(struct pqb_socket *socket, const struct iovec *part, int parts,
                      ssize_t *result)
{
    switch (socket->state) {
    case PQB_SOCKET_FIRST:
        return write_first(socket, part, parts, result);
    case PQB_SOCKET_TLS:
        return write_tls(socket, part, parts, result);
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
