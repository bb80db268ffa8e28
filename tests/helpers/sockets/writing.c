/* What is said, and by which calls. */
#include "sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define ROOM (1u << 20)
#define PARTS 1024

/* What is to be said next. */
static char outgoing[ROOM];
static size_t outgoing_length;

static void add(const void *bytes, size_t length)
{
    if (outgoing_length + length > ROOM)
        give_up("too much to say");
    memcpy(outgoing + outgoing_length, bytes, length);
    outgoing_length += length;
}

static void put_number(char *to, size_t value)
{
    for (int i = 0; i < 4; i++)
        to[i] = (char)(value >> (24 - 8 * i));
}

size_t make_startup(char *to)
{
    const char *parameter[] = {"user", getenv("PGUSER"), "database", "postgres"};
    size_t length = 8;
    for (unsigned i = 0; i < 4; i++)
        length += (size_t)sprintf(to + length, "%s", parameter[i]) + 1;
    to[length++] = 0;
    put_number(to, length);
    put_number(to + 4, 3 << 16);
    return length;
}

static void startup(void)
{
    char packet[STARTUP_ROOM];
    size_t length = make_startup(packet);
    add(packet, length);
}

static void ssl(void)
{
    static const char request[] = {0, 0, 0, 8, 4, (char)0xd2, 0x16, 0x2f};
    add(request, sizeof request);
}

static void message(char type, const char *text)
{
    char head[5] = {type};
    size_t length = strlen(text) + 1;
    put_number(head + 1, length + 4);
    add(head, sizeof head);
    add(text, length);
}

static void query(void)
{
    message('Q', "select 'still here'");
}

/* A query of about so many bytes, which gives back how many they were. */
static void sized(void)
{
    size_t length = (size_t)number();
    char *text = malloc(length + 64), *at = text;
    at += sprintf(at, "select length('");
    memset(at, 'x', length);
    strcpy(at + length, "')");
    message('Q', text);
    free(text);
}

static void terminate(void)
{
    static const char goodbye[] = {'X', 0, 0, 0, 4};
    add(goodbye, sizeof goodbye);
}

/* In hexadecimal. */
static void bytes(void)
{
    for (const char *digit = stage_argument(); *digit; digit += 2) {
        unsigned value;
        if (sscanf(digit, "%2x", &value) != 1)
            give_up("no byte");
        char byte = (char)value;
        add(&byte, 1);
    }
}

/* ---- calls ---- */

/* Into parts of `size` bytes, each with an empty one before it; as much as fits. */
static int divide(char *from, size_t length, size_t size, struct iovec *part)
{
    int parts = 0;
    while (length && parts + 2 <= PARTS) {
        size_t here = length < size ? length : size;
        part[parts++] = (struct iovec){from, 0};
        part[parts++] = (struct iovec){from, here};
        from += here;
        length -= here;
    }
    return parts;
}

static ssize_t by_write(char *from, size_t length, size_t size)
{
    return write(current, from, length < size ? length : size);
}

static ssize_t by_send(char *from, size_t length, size_t size)
{
    return send(current, from, length < size ? length : size, MSG_NOSIGNAL);
}

static ssize_t by_sendto(char *from, size_t length, size_t size)
{
    return sendto(current, from, length < size ? length : size, 0, NULL, 0);
}

static ssize_t by_writev(char *from, size_t length, size_t size)
{
    struct iovec part[PARTS];
    return writev(current, part, divide(from, length, size, part));
}

static ssize_t by_sendmsg(char *from, size_t length, size_t size)
{
    struct iovec part[PARTS];
    struct msghdr whole = {.msg_iov = part};
    whole.msg_iovlen = (size_t)divide(from, length, size, part);
    return sendmsg(current, &whole, 0);
}

/* Each part a message of its own. */
static ssize_t by_sendmmsg(char *from, size_t length, size_t size)
{
    struct iovec part[PARTS];
    struct mmsghdr list[PARTS];
    int parts = divide(from, length, size, part);
    for (int i = 0; i < parts; i++)
        list[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &part[i], .msg_iovlen = 1}};
    int sent = sendmmsg(current, list, (unsigned)parts, 0);
    ssize_t all = sent < 0 ? -1 : 0;
    for (int i = 0; i < sent; i++)
        all += list[i].msg_len;
    return all;
}

static ssize_t by_zerocopy(char *from, size_t length, size_t size)
{
    int on = 1;
    setsockopt(current, SOL_SOCKET, SO_ZEROCOPY, &on, sizeof on);
    return send(current, from, length < size ? length : size, MSG_ZEROCOPY);
}

/* With something beside the bytes that changes nothing. */
static ssize_t by_ancillary(char *from, size_t length, size_t size)
{
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(sizeof(struct ucred))];
    } beside = {.head = {.cmsg_len = CMSG_LEN(sizeof(struct ucred)),
                         .cmsg_level = SOL_SOCKET,
                         .cmsg_type = SCM_CREDENTIALS}};
    struct ucred self = {getpid(), getuid(), getgid()};
    struct iovec part = {from, length < size ? length : size};
    struct msghdr whole = {.msg_iov = &part,
                           .msg_iovlen = 1,
                           .msg_control = &beside,
                           .msg_controllen = sizeof beside.room};
    memcpy(CMSG_DATA(&beside.head), &self, sizeof self);
    return sendmsg(current, &whole, 0);
}

static const struct way {
    const char *name;
    ssize_t (*call)(char *from, size_t length, size_t size);
} ways[] = {
    {"write", by_write},       {"send", by_send},           {"sendto", by_sendto},
    {"writev", by_writev},     {"sendmsg", by_sendmsg},     {"sendmmsg", by_sendmmsg},
    {"zerocopy", by_zerocopy}, {"ancillary", by_ancillary},
};

static const struct way *way_named(const char *name)
{
    for (unsigned i = 0; i < sizeof ways / sizeof *ways; i++)
        if (!strcmp(ways[i].name, name))
            return &ways[i];
    give_up(name);
}

/* Says `length` bytes of what is to be said, however often it takes. */
static void say_by(const struct way *way, size_t length, size_t size)
{
    size_t gone = 0;
    while (gone < length) {
        struct pollfd room = {.fd = current, .events = POLLOUT};
        errno = UNTOUCHED;
        ssize_t sent = way->call(outgoing + gone, length - gone, size);
        if (sent >= 0) {
            check_errno(way->name);
            gone += (size_t)sent;
        } else if (errno != EAGAIN || !(fcntl(current, F_GETFL) & O_NONBLOCK) ||
                   poll(&room, 1, 20000) != 1) {
            stage_say("%s: %s", way->name, strerrorname_np(errno));
            break;
        }
    }
    memmove(outgoing, outgoing + length, outgoing_length - length);
    outgoing_length -= length;
}

/* All of it by this call, in parts of so many bytes. */
static void by(void)
{
    const struct way *way = way_named(stage_argument());
    say_by(way, outgoing_length, (size_t)number());
}

/* Only its first bytes. */
static void cut(void)
{
    say_by(&ways[0], (size_t)number(), ROOM);
}

/* One call more than there is room for: what it says it has sent is what has been sent. */
static void overfill(void)
{
    struct iovec part[2] = {
        {outgoing, outgoing_length / 2},
        {outgoing + outgoing_length / 2, outgoing_length - outgoing_length / 2}};
    struct mmsghdr list[2] = {{.msg_hdr = {.msg_iov = &part[0], .msg_iovlen = 1}},
                              {.msg_hdr = {.msg_iov = &part[1], .msg_iovlen = 1}}};
    int sent = sendmmsg(current, list, 2, MSG_DONTWAIT);
    stage_say("%d %s", sent,
              sent > 0 && list[sent - 1].msg_len < list[sent - 1].msg_hdr.msg_iov->iov_len
                  ? "cut short"
                  : "whole");
    size_t gone = 0;
    for (int i = 0; i < sent; i++)
        gone += list[i].msg_len;
    memmove(outgoing, outgoing + gone, outgoing_length - gone);
    outgoing_length -= gone;
    say_by(&ways[0], outgoing_length, ROOM);
}

static void urgent(void)
{
    errno = UNTOUCHED;
    if (send(current, "!", 1, MSG_OOB) != 1)
        stage_say("urgent: %s", strerrorname_np(errno));
    else
        check_errno("urgent");
}

static void shut(void)
{
    errno = UNTOUCHED;
    if (shutdown(current, SHUT_WR))
        stage_say("shutdown: %s", strerrorname_np(errno));
    else
        check_errno("shutdown");
}

const struct stage_step writing_steps[] = {
    {"startup", startup},     {"ssl", ssl},       {"query", query}, {"sized", sized},
    {"terminate", terminate}, {"bytes", bytes},   {"by", by},       {"cut", cut},
    {"overfill", overfill},   {"urgent", urgent}, {"shut", shut},   {0},
};
