#include "preload/answer.h"

#include "ledger/os.h"
#include "preload/keeper.h"
#include "preload/libc.h"

#include <errno.h>
#include <string.h>

/* Silence of a client that is to write first, after which it reads the end. */
#define SILENCE (1 * PQB_SECOND)

/* Answers what the client has written so far. */
void pqb_answer_write(struct pqb_socket *socket)
{
    struct pqb_bytes *held = &socket->held;
    char error[2048];
    size_t whole = 0, length = 0;
    if (socket->has_ended)
        pqb_bytes_free(held);
    switch (held->length ? pqb_protocol_first(held->at, held->length, &whole) : PQB_PACKET_MORE) {
    case PQB_PACKET_MORE:
        return;
    case PQB_PACKET_SSL:
    case PQB_PACKET_GSS:
        pqb_bytes_add(&socket->answer, "N", 1);
        pqb_bytes_drop(held, 8);
        if (held->length)
            pqb_answer_write(socket);
        return;
    case PQB_PACKET_STARTUP:
        if (held->length < whole)
            return;
        length = pqb_protocol_error(error, sizeof error, "53300", "sorry, too many clients already",
                                    socket->refusal.detail, socket->refusal.hint);
        socket->is_told = 1;
        break;
    case PQB_PACKET_TLS:
        memcpy(error, pqb_protocol_tls_alert, PQB_TLS_ALERT_BYTES);
        length = PQB_TLS_ALERT_BYTES;
        break;
    default:
        break;
    }
    pqb_bytes_add(&socket->answer, error, length);
    pqb_bytes_free(held);
    socket->has_ended = 1;
}

void pqb_answer_end(struct pqb_socket *socket, int fd)
{
    char error[2048];
    size_t length = pqb_protocol_error(error, sizeof error, "57P05",
                                       "terminating connection due to idle-session timeout",
                                       socket->refusal.detail, socket->refusal.hint);
    pqb_bytes_add(&socket->answer, error, length);
    socket->has_ended = socket->is_told = 1;
    pqb_socket_enter(socket, PQB_SOCKET_REFUSED);
    pqb_answer_wake(socket, fd);
}

void pqb_answer_wake(struct pqb_socket *socket, int fd)
{
    if (pqb_socket_connect(socket, fd) == EAGAIN)
        pqb_keeper_start();
    else
        libc_shutdown(fd, SHUT_RD); /* not both ways: libuv would report the end before the error */
}

void pqb_answer_refuse(struct pqb_socket *socket, int fd)
{
    pqb_socket_enter(socket, PQB_SOCKET_REFUSED);
    socket->silent_since = 0;
    pqb_answer_write(socket);
    pqb_answer_wake(socket, fd);
}

int pqb_answer_read(struct pqb_socket *socket, const struct iovec *part, int parts, int flags,
                    ssize_t *result)
{
    struct pqb_bytes *bytes = &socket->answer;
    size_t given = 0, left = bytes->length - bytes->gone;
    if (socket->state != PQB_SOCKET_REFUSED)
        return 0;
    int is_discarding = flags & MSG_TRUNC && socket->address.ss_family != AF_UNIX;
    for (int i = 0; i < parts && left; i++) {
        size_t length = part[i].iov_len < left ? part[i].iov_len : left;
        if (!is_discarding)
            memcpy(part[i].iov_base, bytes->at + bytes->gone + given, length);
        given += length;
        left -= length;
    }
    if (!(flags & MSG_PEEK))
        bytes->gone += given;
    if (given || !socket->silent_since) /* who has not looked, stopped or starved, is not silent */
        socket->silent_since = pqb_now();
    *result = (ssize_t)given;
    if (!given && !socket->has_ended && pqb_now() < socket->silent_since + SILENCE) {
        errno = EAGAIN; /* it is to write first */
        *result = -1;
    }
    return 1;
}
