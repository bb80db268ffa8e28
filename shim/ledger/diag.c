#include "ledger/diag.h"

#include "ledger/os.h"

#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

struct question {
    struct nlmsghdr header;
    union {
        struct inet_diag_req_v2 tcp;
        struct unix_diag_req local;
    };
};

/* As much of it as is looked at; the rest is cut off. */
union reply {
    char bytes[1024];
    struct nlmsghdr header;
    struct {
        struct nlmsghdr before;
        struct nlmsgerr error;
    };
    struct {
        struct nlmsghdr before_tcp;
        struct inet_diag_msg tcp;
    };
    struct {
        struct nlmsghdr before_done;
        int32_t done;
    };
};

union address {
    struct sockaddr any;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    struct sockaddr_un local;
    struct sockaddr_storage storage;
};

/* ---- asking ---- */

static uint64_t cookie_of(int fd)
{
    uint64_t cookie = 0;
    socklen_t size = sizeof cookie;
    return getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &size) ? 0 : cookie;
}

/* Before Linux 5.14 by its inode. All processes of a machine see it by the same of the two. */
static uint64_t network_of(int fd)
{
    uint64_t cookie = 0;
    socklen_t size = sizeof cookie;
    struct stat status;
    if (!getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &size))
        return cookie;
    return stat("/proc/thread-self/ns/net", &status) ? 0 : status.st_ino;
}

static int is_open(struct pqb_diag *diag)
{
    if (diag->fd1)
        return diag->fd1 > 0;
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_SOCK_DIAG);
    diag->fd1 = -1;
    if (fd < 0)
        return 0;
    diag->cookie = cookie_of(fd);
    diag->network = network_of(fd);
    if (!diag->cookie || !diag->network) {
        pqb_close(fd);
        return 0;
    }
    diag->fd1 = fd + 1;
    return 1;
}

void pqb_diag_close(struct pqb_diag *diag)
{
    /* A host that closes what it does not know may have put something else there. */
    int saved = errno;
    if (diag->fd1 > 0 && cookie_of(diag->fd1 - 1) == diag->cookie)
        pqb_close(diag->fd1 - 1);
    errno = saved;
    *diag = (struct pqb_diag){0};
}

/* Sends the question and reads the answer, which the kernel has ready when the call returns. By
 * system calls: send and recv may be hooked, and the number still be marked for what was there
 * before. 0, or why there is none. */
static int exchange(struct pqb_diag *diag, struct question *question, size_t length,
                    union reply *reply)
{
    int fd = diag->fd1 - 1;
    if (cookie_of(fd) != diag->cookie)
        return EBADF;
    question->header.nlmsg_len = (uint32_t)(sizeof question->header + length);
    question->header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
    question->header.nlmsg_flags |= NLM_F_REQUEST;
    question->header.nlmsg_seq = ++diag->questions;
    if (syscall(SYS_sendto, fd, question, (size_t)question->header.nlmsg_len,
                MSG_DONTWAIT | MSG_NOSIGNAL, NULL, 0) < 0)
        return errno;
    ssize_t got;
    do {
        memset(reply, 0, sizeof *reply);
        got = syscall(SYS_recvfrom, fd, reply, sizeof *reply, MSG_DONTWAIT, NULL, NULL);
        if (got < 0)
            return errno;
    } while (got && reply->header.nlmsg_seq != diag->questions);
    if ((size_t)got < sizeof reply->header + sizeof(int32_t))
        return EPROTO;
    return reply->header.nlmsg_type == NLMSG_ERROR ? -reply->error.error : 0;
}

static void split(uint64_t cookie, uint32_t half[2])
{
    half[0] = (uint32_t)cookie;
    half[1] = (uint32_t)(cookie >> 32);
}

static void ask_for_tcp(struct question *question, uint64_t cookie,
                        const struct pqb_socket_place *place)
{
    struct inet_diag_sockid *id = &question->tcp.id;
    question->tcp.sdiag_family = (uint8_t)place->family;
    question->tcp.sdiag_protocol = IPPROTO_TCP;
    question->tcp.idiag_states = ~0u;
    id->idiag_sport = place->local_port;
    id->idiag_dport = place->remote_port;
    memcpy(id->idiag_src, place->local, sizeof id->idiag_src);
    memcpy(id->idiag_dst, place->remote, sizeof id->idiag_dst);
    split(cookie, id->idiag_cookie);
}

static enum pqb_diag_answer look_up(struct pqb_diag *diag, uint64_t cookie,
                                    const struct pqb_socket_place *place)
{
    struct question question = {0};
    union reply reply = {{0}};
    int is_tcp = place->family != AF_UNIX;
    size_t length = is_tcp ? sizeof question.tcp : sizeof question.local;
    if (is_tcp) {
        ask_for_tcp(&question, cookie, place);
    } else {
        question.local.sdiag_family = AF_UNIX;
        question.local.udiag_states = ~0u;
        question.local.udiag_ino = place->local[0];
        split(cookie, question.local.udiag_cookie);
    }
    int failure = exchange(diag, &question, length, &reply);
    if (failure == ENOENT || failure == ESTALE) /* none there, or another one */
        return PQB_DIAG_GONE;
    if (failure || reply.header.nlmsg_type != SOCK_DIAG_BY_FAMILY)
        return PQB_DIAG_UNKNOWN;
    /* Closed by all, and the kernel still says goodbye to the other end: it has no inode. */
    return is_tcp && !reply.tcp.idiag_inode ? PQB_DIAG_GONE : PQB_DIAG_EXISTS;
}

/* A kernel that has no sock_diag for this family (a module that can't be loaded any more) says
 * ENOENT to everything. It is found out by a question that has another answer. */
static int can_tell(struct pqb_diag *diag, const struct pqb_socket_place *place)
{
    struct question question = {0};
    union reply reply = {{0}};
    if (place->family == AF_UNIX) { /* inode 0 makes no sense */
        question.local.sdiag_family = AF_UNIX;
        return exchange(diag, &question, sizeof question.local, &reply) == EINVAL;
    }
    /* A list of all in no state at all: it is empty. */
    question.header.nlmsg_flags = NLM_F_DUMP;
    question.tcp.sdiag_family = (uint8_t)place->family;
    question.tcp.sdiag_protocol = IPPROTO_TCP;
    return !exchange(diag, &question, sizeof question.tcp, &reply) &&
           reply.header.nlmsg_type == NLMSG_DONE && !reply.done;
}

/* The figures of TCP stand in an attribute behind the answer; which others do, varies. */
static int tcp_info_of(const union reply *reply, struct tcp_info *info)
{
    size_t length = reply->header.nlmsg_len, at = sizeof reply->before_tcp + sizeof reply->tcp;
    struct nlattr attribute;
    length = length < sizeof *reply ? length : sizeof *reply;
    for (; at + sizeof attribute <= length; at += (size_t)NLA_ALIGN(attribute.nla_len)) {
        memcpy(&attribute, &reply->bytes[at], sizeof attribute);
        if (attribute.nla_len < sizeof attribute || attribute.nla_len > length - at)
            return 0;
        size_t size = attribute.nla_len - sizeof attribute;
        if (attribute.nla_type == INET_DIAG_INFO &&
            size >= offsetof(struct tcp_info, tcpi_last_ack_recv)) {
            memcpy(info, &reply->bytes[at + sizeof attribute],
                   size < sizeof *info ? size : sizeof *info);
            return 1;
        }
    }
    return 0;
}

static int look_up_info(struct pqb_diag *diag, uint64_t cookie,
                        const struct pqb_socket_place *place, struct tcp_info *info)
{
    struct question question = {0};
    union reply reply = {{0}};
    ask_for_tcp(&question, cookie, place);
    question.tcp.idiag_ext = 1 << (INET_DIAG_INFO - 1);
    return !exchange(diag, &question, sizeof question.tcp, &reply) &&
           reply.header.nlmsg_type == SOCK_DIAG_BY_FAMILY && reply.tcp.idiag_inode &&
           tcp_info_of(&reply, info);
}

static int is_family(unsigned family)
{
    return family == AF_INET || family == AF_INET6 || family == AF_UNIX;
}

enum pqb_diag_answer pqb_diag_ask(struct pqb_diag *diag, uint64_t cookie,
                                  const struct pqb_socket_place *place)
{
    int saved = errno;
    enum pqb_diag_answer answer = PQB_DIAG_UNKNOWN;
    if (cookie && is_family(place->family) && is_open(diag) && place->network == diag->network) {
        answer = look_up(diag, cookie, place);
        /* Asked once more before it is believed: a Unix socket that is just being bound to a name
         * moves within the kernel's table, and a walk along it may miss it. What is gone stays
         * gone: cookies are never used again. */
        if (answer == PQB_DIAG_GONE)
            answer = can_tell(diag, place) ? look_up(diag, cookie, place) : PQB_DIAG_UNKNOWN;
    }
    errno = saved;
    return answer;
}

int pqb_diag_idle(struct pqb_diag *diag, uint64_t cookie, const struct pqb_socket_place *place,
                  uint64_t *ns)
{
    int saved = errno;
    struct tcp_info info;
    int is_known = cookie && (place->family == AF_INET || place->family == AF_INET6) &&
                   is_open(diag) && place->network == diag->network &&
                   look_up_info(diag, cookie, place, &info);
    if (is_known)
        *ns = PQB_MS * (info.tcpi_last_data_sent < info.tcpi_last_data_recv
                            ? info.tcpi_last_data_sent
                            : info.tcpi_last_data_recv);
    errno = saved;
    return is_known;
}

/* ---- finding ---- */

/* One end of a TCP connection; 0 if it is none. What is IPv4 on the wire is so in the kernel's
 * table as well. */
static uint16_t end_of(const union address *address, uint32_t to[4], uint16_t *port)
{
    switch (address->any.sa_family) {
    case AF_INET:
        to[0] = address->in.sin_addr.s_addr;
        *port = address->in.sin_port;
        return AF_INET;
    case AF_INET6:
        memcpy(to, &address->in6.sin6_addr, 4 * sizeof *to);
        *port = address->in6.sin6_port;
        if (!IN6_IS_ADDR_V4MAPPED(&address->in6.sin6_addr))
            return AF_INET6;
        to[0] = to[3];
        memset(&to[1], 0, 3 * sizeof *to);
        return AF_INET;
    default:
        return 0;
    }
}

static int place_of(int fd, struct pqb_socket_place *place)
{
    union address own = {0}, its = {0};
    socklen_t length = sizeof own, its_length = sizeof its;
    struct stat status;
    *place = (struct pqb_socket_place){0};
    /* By a system call: the hook of getpeername may say what the kernel does not know yet. */
    if (getsockname(fd, &own.any, &length) || syscall(SYS_getpeername, fd, &its, &its_length) ||
        own.any.sa_family != its.any.sa_family)
        return 0;
    if (own.any.sa_family == AF_UNIX) {
        if (fstat(fd, &status) || status.st_ino > UINT32_MAX)
            return 0;
        place->family = AF_UNIX;
        place->local[0] = (uint32_t)status.st_ino;
        return 1;
    }
    place->family = end_of(&its, place->remote, &place->remote_port);
    return place->family && end_of(&own, place->local, &place->local_port);
}

int pqb_diag_towards(int fd, const struct sockaddr *address, socklen_t length,
                     struct pqb_socket_place *place)
{
    union address its = {0};
    int saved = errno;
    *place = (struct pqb_socket_place){0};
    memcpy(&its, address, length < sizeof its ? length : sizeof its);
    place->family = end_of(&its, place->remote, &place->remote_port);
    place->network = place->family ? network_of(fd) : 0;
    errno = saved;
    return place->network != 0;
}

int pqb_diag_find(struct pqb_diag *diag, int fd, uint64_t *cookie, struct pqb_socket_place *place)
{
    int saved = errno, is_found = 0;
    *cookie = cookie_of(fd);
    if (*cookie && is_open(diag) && place_of(fd, place)) {
        place->network = diag->network;
        is_found = pqb_diag_ask(diag, *cookie, place) == PQB_DIAG_EXISTS;
    }
    errno = saved;
    return is_found;
}
