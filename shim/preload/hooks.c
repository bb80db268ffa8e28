/* libc's functions, as programs call them. For a descriptor that is not watched each costs one load
 * and one branch. */
#include "preload/bytes.h"
#include "preload/descriptor.h"
#include "preload/flow.h"
#include "preload/libc.h"
#include "preload/library.h"
#include "preload/side.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <unistd.h>

#define EXPORTED __attribute__((visibility("default")))

static struct iovec one_part(const void *bytes, size_t size)
{
    return (struct iovec){(void *)(uintptr_t)bytes, size};
}

/* A refused connection of the front door fails, so that libpq makes a real PGconn in CONNECTION_BAD
 * and no packet leaves; its others are charged there already. */
EXPORTED int connect(int fd, const struct sockaddr *address, socklen_t length)
{
    if (!pqb_libpq_inside(__builtin_return_address(0)))
        return pqb_side_connect(fd, address, length, NULL);
    if (pqb_thread.refuses) {
        errno = EUSERS;
        return -1;
    }
    if (pqb_thread.holds)
        return pqb_side_connect(fd, address, length, pqb_thread.holds);
    return pqb_thread.knows ? pqb_side_connect_known(fd, address, length, pqb_thread.knows)
                            : libc_connect(fd, address, length);
}

/* ---- writing ---- */

#define WATCHED(fd, what) __builtin_expect(pqb_descriptor_is_watched((fd), (what)), 0)

/* Apart, so that the way of all others is two instructions and a jump. */
#define APART static __attribute__((noinline))

/* Before the real call, 1 if it is to be made; *result otherwise. */
static int may_write(int fd, const struct iovec *part, int parts, int flags, int is_plain,
                     struct pqb_flow **flow, ssize_t *result)
{
    do {
        if (pqb_side_write(fd, part, parts, flags, is_plain, result))
            return 0;
        *flow = pqb_flow_enter(fd, PQB_FLOW_OUT);
    } while (*flow == PQB_FLOW_HELD && pqb_side_wait());
    return 1;
}

static ssize_t have_written(int fd, struct pqb_flow *flow, const struct iovec *part, ssize_t result)
{
    if (!flow)
        pqb_side_have_written(fd, part, result);
    else if (flow != PQB_FLOW_HELD)
        pqb_flow_leave(flow, PQB_FLOW_OUT, part, result);
    return result;
}

/* `call` is the real function's. */
#define WRITE(fd, part, parts, flags, is_plain, call)                                              \
    ({                                                                                             \
        ssize_t result_ = 0;                                                                       \
        struct pqb_flow *flow_ = NULL;                                                             \
        if (may_write((fd), (part), (parts), (flags), (is_plain), &flow_, &result_))               \
            result_ = have_written((fd), flow_, (part), (call));                                   \
        result_;                                                                                   \
    })

APART ssize_t write_watched(int fd, const void *from, size_t size)
{
    struct iovec part = one_part(from, size);
    return WRITE(fd, &part, 1, 0, 1, libc_write(fd, from, size));
}

EXPORTED ssize_t write(int fd, const void *from, size_t size)
{
    return WATCHED(fd, PQB_WATCH_WRITES) ? write_watched(fd, from, size)
                                         : libc_write(fd, from, size);
}

APART ssize_t writev_watched(int fd, const struct iovec *part, int parts)
{
    return parts > 0 && parts <= IOV_MAX
               ? WRITE(fd, part, parts, 0, 1, libc_writev(fd, part, parts))
               : libc_writev(fd, part, parts);
}

EXPORTED ssize_t writev(int fd, const struct iovec *part, int parts)
{
    return WATCHED(fd, PQB_WATCH_WRITES) ? writev_watched(fd, part, parts)
                                         : libc_writev(fd, part, parts);
}

APART ssize_t send_watched(int fd, const void *from, size_t size, int flags)
{
    struct iovec part = one_part(from, size);
    return WRITE(fd, &part, 1, flags, 1, libc_send(fd, from, size, flags));
}

EXPORTED ssize_t send(int fd, const void *from, size_t size, int flags)
{
    return WATCHED(fd, PQB_WATCH_WRITES) ? send_watched(fd, from, size, flags)
                                         : libc_send(fd, from, size, flags);
}

EXPORTED ssize_t sendto(int fd, const void *from, size_t size, int flags, const struct sockaddr *to,
                        socklen_t length)
{
    return WATCHED(fd, PQB_WATCH_WRITES) && !to ? send_watched(fd, from, size, flags)
                                                : libc_sendto(fd, from, size, flags, to, length);
}

static int is_simple(const struct msghdr *message)
{
    return !message->msg_controllen && message->msg_iovlen <= IOV_MAX;
}

APART ssize_t sendmsg_watched(int fd, const struct msghdr *message, int flags)
{
    return WRITE(fd, message->msg_iov, (int)message->msg_iovlen, flags, is_simple(message),
                 libc_sendmsg(fd, message, flags));
}

EXPORTED ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    return WATCHED(fd, PQB_WATCH_WRITES) && message ? sendmsg_watched(fd, message, flags)
                                                    : libc_sendmsg(fd, message, flags);
}

EXPORTED int sendmmsg(int fd, struct mmsghdr *message, unsigned messages, pqb_sendmmsg_flags flags)
{
    if (!WATCHED(fd, PQB_WATCH_WRITES) || !message)
        return libc_sendmmsg(fd, message, messages, flags);
    for (unsigned i = 0; i < messages; i++) {
        ssize_t sent = sendmsg(fd, &message[i].msg_hdr, flags);
        if (sent < 0)
            return i ? (int)i : -1;
        message[i].msg_len = (unsigned)sent;
        if ((size_t)sent <
            pqb_parts_length(message[i].msg_hdr.msg_iov, (int)message[i].msg_hdr.msg_iovlen))
            return (int)i + 1; /* as the kernel does */
    }
    return (int)messages;
}

/* ---- reading ---- */

static int may_read(int fd, const struct iovec *part, int parts, int flags, struct pqb_flow **flow,
                    ssize_t *result)
{
    do {
        if (pqb_side_read(fd, part, parts, flags, result))
            return 0;
        *flow = pqb_flow_enter(fd, PQB_FLOW_IN);
    } while (*flow == PQB_FLOW_HELD && pqb_side_wait());
    return 1;
}

/* Where nobody follows it, or could be told, it may have come to an end because we ended it. */
static ssize_t have_read(int fd, struct pqb_flow *flow, const struct iovec *part, int parts,
                         int flags, ssize_t result)
{
    if (!flow || flow == PQB_FLOW_HELD)
        return pqb_side_have_read(fd, part, parts, flags, result);
    if (flags & MSG_TRUNC)
        pqb_flow_lose(flow); /* nobody knows what it was */
    pqb_flow_leave(flow, PQB_FLOW_IN, part, flags & (MSG_PEEK | MSG_TRUNC) ? 0 : result);
    return result;
}

#define READ(fd, part, parts, flags, call)                                                         \
    ({                                                                                             \
        ssize_t result_ = 0;                                                                       \
        struct pqb_flow *flow_ = NULL;                                                             \
        if (may_read((fd), (part), (parts), (flags), &flow_, &result_))                            \
            result_ = have_read((fd), flow_, (part), (parts), (flags), (call));                    \
        result_;                                                                                   \
    })

APART ssize_t read_watched(int fd, void *to, size_t size)
{
    struct iovec part = one_part(to, size);
    return READ(fd, &part, 1, 0, libc_read(fd, to, size));
}

EXPORTED ssize_t read(int fd, void *to, size_t size)
{
    return WATCHED(fd, PQB_WATCH_READS) ? read_watched(fd, to, size) : libc_read(fd, to, size);
}

APART ssize_t readv_watched(int fd, const struct iovec *part, int parts)
{
    return parts > 0 && parts <= IOV_MAX ? READ(fd, part, parts, 0, libc_readv(fd, part, parts))
                                         : libc_readv(fd, part, parts);
}

EXPORTED ssize_t readv(int fd, const struct iovec *part, int parts)
{
    return WATCHED(fd, PQB_WATCH_READS) ? readv_watched(fd, part, parts)
                                        : libc_readv(fd, part, parts);
}

APART ssize_t recv_watched(int fd, void *to, size_t size, int flags)
{
    struct iovec part = one_part(to, size);
    return READ(fd, &part, 1, flags, libc_recv(fd, to, size, flags));
}

EXPORTED ssize_t recv(int fd, void *to, size_t size, int flags)
{
    return WATCHED(fd, PQB_WATCH_READS) ? recv_watched(fd, to, size, flags)
                                        : libc_recv(fd, to, size, flags);
}

APART ssize_t recvfrom_watched(int fd, void *to, size_t size, int flags, struct sockaddr *from,
                               socklen_t *length)
{
    struct iovec part = one_part(to, size);
    return READ(fd, &part, 1, flags, libc_recvfrom(fd, to, size, flags, from, length));
}

EXPORTED ssize_t recvfrom(int fd, void *to, size_t size, int flags, struct sockaddr *from,
                          socklen_t *length)
{
    return WATCHED(fd, PQB_WATCH_READS) ? recvfrom_watched(fd, to, size, flags, from, length)
                                        : libc_recvfrom(fd, to, size, flags, from, length);
}

EXPORTED ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
    ssize_t result;
    if (!WATCHED(fd, PQB_WATCH_READS) || !message || message->msg_iovlen > IOV_MAX)
        return libc_recvmsg(fd, message, flags);
    const struct iovec *part = message->msg_iov;
    int parts = (int)message->msg_iovlen;
    struct pqb_flow *flow = NULL;
    if (may_read(fd, part, parts, flags, &flow, &result))
        return have_read(fd, flow, part, parts, flags, libc_recvmsg(fd, message, flags));
    message->msg_controllen = 0;
    message->msg_namelen = 0;
    message->msg_flags = 0;
    return result;
}

EXPORTED ssize_t __read_chk(int fd, void *to, size_t size, size_t room);
EXPORTED ssize_t __read_chk(int fd, void *to, size_t size, size_t room)
{
    return WATCHED(fd, PQB_WATCH_READS) && size <= room ? read_watched(fd, to, size)
                                                        : libc___read_chk(fd, to, size, room);
}

EXPORTED ssize_t __recv_chk(int fd, void *to, size_t size, size_t room, int flags);
EXPORTED ssize_t __recv_chk(int fd, void *to, size_t size, size_t room, int flags)
{
    return WATCHED(fd, PQB_WATCH_READS) && size <= room
               ? recv_watched(fd, to, size, flags)
               : libc___recv_chk(fd, to, size, room, flags);
}

EXPORTED ssize_t __recvfrom_chk(int fd, void *to, size_t size, size_t room, int flags,
                                struct sockaddr *from, socklen_t *length);
EXPORTED ssize_t __recvfrom_chk(int fd, void *to, size_t size, size_t room, int flags,
                                struct sockaddr *from, socklen_t *length)
{
    return WATCHED(fd, PQB_WATCH_READS) && size <= room
               ? recvfrom_watched(fd, to, size, flags, from, length)
               : libc___recvfrom_chk(fd, to, size, room, flags, from, length);
}

/* ---- ending ---- */

APART int close_watched(int fd)
{
    struct pqb_socket *socket = pqb_side_closing(fd);
    int result = libc_close(fd);
    pqb_side_closed(socket);
    return result;
}

EXPORTED int close(int fd)
{
    return WATCHED(fd, PQB_WATCH_END) ? close_watched(fd) : libc_close(fd);
}

EXPORTED int close_range(unsigned first, unsigned last, int flags)
{
    int fd = flags || first > INT_MAX ? -1 : pqb_descriptor_next((int)first, last);
    /* Each number once: by then another thread may have a descriptor there. */
    for (; fd >= 0; fd = pqb_descriptor_next((int)first, last)) {
        if (first < (unsigned)fd && libc_close_range(first, (unsigned)fd - 1, 0))
            return -1;
        close(fd);
        first = (unsigned)fd + 1;
        if ((unsigned)fd == last)
            return 0;
    }
    return libc_close_range(first, last, flags);
}

EXPORTED void closefrom(int first)
{
    for (int fd = pqb_descriptor_next(first, UINT_MAX); fd >= 0;
         fd = pqb_descriptor_next(fd + 1, UINT_MAX))
        close(fd);
    libc_closefrom(first);
}

EXPORTED int shutdown(int fd, int how)
{
    return WATCHED(fd, PQB_WATCH_END) && pqb_side_shutdown(fd, how) ? 0 : libc_shutdown(fd, how);
}

EXPORTED int dup(int fd)
{
    int to = libc_dup(fd);
    if (to >= 0 && WATCHED(fd, PQB_WATCH_END))
        pqb_side_duplicated(fd, to);
    return to;
}

/* Python's dup, and Rust's. */
static int is_duplicating(int command)
{
    return command == F_DUPFD || command == F_DUPFD_CLOEXEC;
}

#define FCNTL(real, fd, command)                                                                   \
    ({                                                                                             \
        va_list more_;                                                                             \
        va_start(more_, command);                                                                  \
        void *argument_ = va_arg(more_, void *);                                                   \
        va_end(more_);                                                                             \
        int result_ = (real)((fd), (command), argument_);                                          \
        if (is_duplicating(command) && result_ >= 0 && WATCHED((fd), PQB_WATCH_END))               \
            pqb_side_duplicated((fd), result_);                                                    \
        result_;                                                                                   \
    })

EXPORTED int fcntl(int fd, int command, ...)
{
    return FCNTL(libc_fcntl, fd, command);
}

EXPORTED int fcntl64(int fd, int command, ...)
{
    return FCNTL(libc_fcntl64, fd, command);
}

/* What will be closed by a dup2, which does nothing if there is nothing to duplicate. */
static struct pqb_socket *closing_under(int fd, int to)
{
    return fd != to && WATCHED(to, PQB_WATCH_END) && libc_fcntl(fd, F_GETFD, NULL) >= 0
               ? pqb_side_closing(to)
               : NULL;
}

EXPORTED int dup2(int fd, int to)
{
    struct pqb_socket *socket = closing_under(fd, to);
    int result = libc_dup2(fd, to);
    pqb_side_closed(socket);
    if (result >= 0 && fd != to && WATCHED(fd, PQB_WATCH_END))
        pqb_side_duplicated(fd, to);
    return result;
}

EXPORTED int dup3(int fd, int to, int flags)
{
    struct pqb_socket *socket = flags & ~O_CLOEXEC ? NULL : closing_under(fd, to);
    int result = libc_dup3(fd, to, flags);
    pqb_side_closed(socket);
    if (result >= 0 && WATCHED(fd, PQB_WATCH_END))
        pqb_side_duplicated(fd, to);
    return result;
}

EXPORTED int getpeername(int fd, struct sockaddr *address, socklen_t *length)
{
    int saved = errno, result = libc_getpeername(fd, address, length);
    if (result && errno == ENOTCONN && WATCHED(fd, PQB_WATCH_END) &&
        pqb_side_peer(fd, address, length)) {
        errno = saved;
        return 0;
    }
    return result;
}
