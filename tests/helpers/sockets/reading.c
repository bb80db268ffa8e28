/* What the server says, or we in its place, and by which calls it is read. */
#include "sockets.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

ssize_t __read_chk(int fd, void *to, size_t size, size_t room);
ssize_t __recv_chk(int fd, void *to, size_t size, size_t room, int flags);
ssize_t __recvfrom_chk(int fd, void *to, size_t size, size_t room, int flags, struct sockaddr *from,
                       socklen_t *length);

static FILE *stream;

static ssize_t by_recv(int fd, char *to, size_t size)
{
    return recv(fd, to, size, 0);
}

static ssize_t by_recvfrom(int fd, char *to, size_t size)
{
    struct sockaddr_storage from;
    socklen_t length = sizeof from;
    return recvfrom(fd, to, size, 0, (struct sockaddr *)&from, &length);
}

static ssize_t by_read(int fd, char *to, size_t size)
{
    return read(fd, to, size);
}

/* Byte by byte, with empty parts between. */
static int divide(char *to, size_t size, struct iovec *part)
{
    int parts = 0;
    for (; size && parts < 64; size--) {
        part[parts++] = (struct iovec){to, 0};
        part[parts++] = (struct iovec){to++, 1};
    }
    return parts;
}

static ssize_t by_readv(int fd, char *to, size_t size)
{
    struct iovec part[64];
    return readv(fd, part, divide(to, size, part));
}

static ssize_t by_recvmsg(int fd, char *to, size_t size)
{
    struct iovec part[64];
    char beside[64];
    struct msghdr whole = {.msg_iov = part,
                           .msg_iovlen = (size_t)divide(to, size, part),
                           .msg_control = beside,
                           .msg_controllen = sizeof beside};
    ssize_t got = recvmsg(fd, &whole, 0);
    if (got >= 0 && (whole.msg_controllen || whole.msg_flags & (MSG_TRUNC | MSG_CTRUNC)))
        stage_say("more than bytes");
    return got;
}

static ssize_t by_recvmmsg(int fd, char *to, size_t size)
{
    struct iovec part = {to, size};
    struct mmsghdr one = {.msg_hdr = {.msg_iov = &part, .msg_iovlen = 1}};
    return recvmmsg(fd, &one, 1, 0, NULL) == 1 ? (ssize_t)one.msg_len : -1;
}

static ssize_t by_read_chk(int fd, char *to, size_t size)
{
    return __read_chk(fd, to, size, size);
}

static ssize_t by_recv_chk(int fd, char *to, size_t size)
{
    return __recv_chk(fd, to, size, size, 0);
}

static ssize_t by_recvfrom_chk(int fd, char *to, size_t size)
{
    return __recvfrom_chk(fd, to, size, size, 0, NULL, NULL);
}

static ssize_t by_waitall(int fd, char *to, size_t size)
{
    return recv(fd, to, size, MSG_WAITALL);
}

/* What is looked at first is what is read then. */
static ssize_t by_peek(int fd, char *to, size_t size)
{
    char seen[65536];
    ssize_t there = recv(fd, seen, size < sizeof seen ? size : sizeof seen, MSG_PEEK);
    ssize_t got = there < 0 ? -1 : recv(fd, to, size, 0);
    if (got >= 0 && (got < there || memcmp(seen, to, (size_t)there)))
        stage_say("looked at something else");
    return got;
}

static ssize_t by_stream(int fd, char *to, size_t size)
{
    if (!stream && !(stream = fdopen(fd, "r")))
        give_up("fdopen");
    size_t got = fread(to, 1, size, stream);
    return got || !ferror(stream) ? (ssize_t)got : -1;
}

static const struct way {
    const char *name;
    ssize_t (*call)(int fd, char *to, size_t size);
} ways[] = {
    {"read", by_read},         {"recv", by_recv},         {"recvfrom", by_recvfrom},
    {"readv", by_readv},       {"recvmsg", by_recvmsg},   {"recvmmsg", by_recvmmsg},
    {"read_chk", by_read_chk}, {"recv_chk", by_recv_chk}, {"recvfrom_chk", by_recvfrom_chk},
    {"waitall", by_waitall},   {"peek", by_peek},         {"stream", by_stream},
};
static const struct way *way = ways;

static void reading(void)
{
    const char *name = stage_argument();
    for (unsigned i = 0; i < sizeof ways / sizeof *ways; i++)
        if (!strcmp(ways[i].name, name)) {
            way = &ways[i];
            return;
        }
    give_up(name);
}

/* 1; 0 at the end; -1 with errno. A socket that does not block is waited for. */
static int read_all(int fd, char *to, size_t size)
{
    while (size) {
        struct pollfd look = {.fd = fd, .events = POLLIN};
        errno = UNTOUCHED;
        ssize_t got = way->call(fd, to, size);
        if (got < 0 && errno == EAGAIN && fcntl(fd, F_GETFL) & O_NONBLOCK &&
            poll(&look, 1, 20000) == 1)
            continue;
        if (got <= 0)
            return (int)got;
        if (way->call != by_stream)
            check_errno(way->name);
        to += got;
        size -= (size_t)got;
    }
    return 1;
}

static const char *failure(int result)
{
    return result ? strerrorname_np(errno) : "end";
}

/* The field of an ErrorResponse. */
static const char *field(const char *body, size_t length, char name)
{
    const char *at = body;
    while (at < body + length && *at && *at != name)
        at += strlen(at) + 1;
    return at < body + length && *at ? at + 1 : "?";
}

const char *hear_outcome(int fd)
{
    static char body[65536], row[64], text[256];
    char head[5];
    uint32_t length;
    *row = 0;
    for (;;) {
        int result = read_all(fd, head, sizeof head);
        if (result <= 0)
            return failure(result);
        memcpy(&length, head + 1, 4);
        length = ntohl(length) - 4;
        if (length >= sizeof body)
            return "no such protocol";
        result = read_all(fd, body, length);
        if (result <= 0)
            return failure(result);
        body[length] = 0;
        if (*head == 'D')
            snprintf(row, sizeof row, " %.60s", body + 6);
        if (*head == 'Z') {
            snprintf(text, sizeof text, "ok%s", row);
            return text;
        }
        if (*head == 'E') {
            snprintf(text, sizeof text, "%s", field(body, length, 'C'));
            result = read_all(fd, head, 1);
            snprintf(text + strlen(text), sizeof text - strlen(text), " %s",
                     result > 0 ? "and more" : failure(result));
            return text;
        }
    }
}

static void hear(void)
{
    stage_say("%s", hear_outcome(current));
}

/* The answer to a request for TLS. */
static void hear_byte(void)
{
    char byte[2] = "";
    int result = read_all(current, byte, 1);
    stage_say("%s", result > 0 ? byte : failure(result));
}

/* What is thrown away unread, and how the rest goes on. */
static void discard(void)
{
    size_t size = (size_t)number();
    ssize_t gone = recv(current, NULL, size, MSG_TRUNC);
    stage_say("%zd", gone);
}

/* What comes back from a service that says what it hears, once it has nothing more to hear. */
static void echoed(void)
{
    char text[4096];
    size_t length = 0;
    ssize_t got;
    shutdown(current, SHUT_WR);
    while ((got = read(current, text, sizeof text)) > 0)
        length += (size_t)got;
    stage_say("%zu bytes", length);
}

static void end_stream(void)
{
    if (fclose(stream))
        stage_say("fclose: %s", strerrorname_np(errno));
}

const struct stage_step reading_steps[] = {
    {"reading", reading},
    {"hear", hear},
    {"byte", hear_byte},
    {"discard", discard},
    {"fclose", end_stream},
    {"echoed", echoed},
    {0},
};
