#include "tool/sockets.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECTED (~0u & ~(1u << TCP_LISTEN | 1u << TCP_TIME_WAIT | 1u << TCP_CLOSE))
#define REPLY_BYTES 65536

/* ---- addresses ---- */

/* What is IPv4 on the wire is compared as such. */
static void set_address(struct pqb_address *address, unsigned family, const void *bytes,
                        unsigned port)
{
    *address = (struct pqb_address){.family = (uint16_t)family, .port = (uint16_t)port};
    memcpy(address->word, bytes, family == AF_INET ? 4 : 16);
    if (family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED((const struct in6_addr *)address->word))
        return;
    address->family = AF_INET;
    address->word[0] = address->word[3];
    memset(&address->word[1], 0, 3 * sizeof *address->word);
}

struct pqb_address pqb_address_of(const char *text, unsigned port)
{
    struct pqb_address address = {0};
    struct in6_addr bytes;
    unsigned family = strchr(text, ':') ? AF_INET6 : AF_INET;
    if (inet_pton((int)family, text, &bytes) == 1)
        set_address(&address, family, &bytes, port);
    return address;
}

static int compare_hosts(const struct pqb_address *one, const struct pqb_address *other)
{
    if (one->family != other->family)
        return one->family < other->family ? -1 : 1;
    return memcmp(one->word, other->word, sizeof one->word);
}

static int compare_addresses(const struct pqb_address *one, const struct pqb_address *other)
{
    int order = compare_hosts(one, other);
    return order ? order : (one->port > other->port) - (one->port < other->port);
}

int pqb_address_is(const struct pqb_address *one, const struct pqb_address *other)
{
    return !compare_addresses(one, other);
}

static int is_interface(const struct pqb_address *address, const struct sockaddr *its)
{
    struct pqb_address own = {0};
    if (its && its->sa_family == AF_INET)
        set_address(&own, AF_INET, &((const struct sockaddr_in *)(const void *)its)->sin_addr, 0);
    else if (its && its->sa_family == AF_INET6)
        set_address(&own, AF_INET6, &((const struct sockaddr_in6 *)(const void *)its)->sin6_addr,
                    0);
    return !compare_hosts(address, &own);
}

int pqb_address_is_here(const struct pqb_address *address)
{
    struct ifaddrs *list = NULL;
    int is_here = address->family == AF_INET && (ntohl(address->word[0]) >> 24) == 127;
    if (address->family == AF_UNSPEC || is_here || getifaddrs(&list))
        return is_here;
    for (const struct ifaddrs *at = list; at && !is_here; at = at->ifa_next)
        is_here = is_interface(address, at->ifa_addr);
    freeifaddrs(list);
    return is_here;
}

/* ---- the kernel's tables ---- */

/* Room for one more in an array that grows by doubling; NULL if there is none to be had. */
static void *grow(void *array, unsigned count, size_t size)
{
    if (count & (count - 1) || (count && count < 64))
        return array;
    return realloc(array, (count < 64 ? 64 : (size_t)count * 2) * size);
}

static int add_tcp(struct pqb_sockets *sockets, const struct nlmsghdr *message)
{
    const struct inet_diag_msg *its = NLMSG_DATA(message);
    struct pqb_sockets_tcp *tcp = grow(sockets->tcp, sockets->tcps, sizeof *tcp);
    if (!tcp)
        return 0;
    sockets->tcp = tcp;
    tcp += sockets->tcps++;
    *tcp = (struct pqb_sockets_tcp){.inode = its->idiag_inode,
                                    .uid = its->idiag_uid,
                                    .is_over = its->idiag_state != TCP_ESTABLISHED};
    set_address(&tcp->local, its->idiag_family, its->id.idiag_src, ntohs(its->id.idiag_sport));
    set_address(&tcp->remote, its->idiag_family, its->id.idiag_dst, ntohs(its->id.idiag_dport));
    return 1;
}

static void take_attribute(struct pqb_sockets_local *local, const struct rtattr *attribute)
{
    size_t length = RTA_PAYLOAD(attribute);
    if (attribute->rta_type == UNIX_DIAG_PEER && length >= sizeof local->peer)
        memcpy(&local->peer, RTA_DATA(attribute), sizeof local->peer);
    if (attribute->rta_type != UNIX_DIAG_NAME || !length || length >= sizeof local->name)
        return;
    memcpy(local->name, RTA_DATA(attribute), length);
    if (!*local->name)
        *local->name = '@'; /* abstract, as libpq and the ledger write it */
}

static int add_local(struct pqb_sockets *sockets, const struct nlmsghdr *message)
{
    const struct unix_diag_msg *its = NLMSG_DATA(message);
    struct pqb_sockets_local *local = grow(sockets->local, sockets->locals, sizeof *local);
    if (!local)
        return 0;
    sockets->local = local;
    local += sockets->locals++;
    *local = (struct pqb_sockets_local){.inode = its->udiag_ino};
    const char *at = (const char *)(its + 1), *end = (const char *)message + message->nlmsg_len;
    for (const struct rtattr *attribute; at + sizeof *attribute <= end;
         at += RTA_ALIGN(attribute->rta_len)) {
        attribute = (const void *)at;
        if (attribute->rta_len < sizeof *attribute || at + attribute->rta_len > end)
            break;
        take_attribute(local, attribute);
    }
    return 1;
}

/* A part of the answer. 1 = there is more to come, 0 = that was all; else -1 and errno. */
static int take_reply(struct pqb_sockets *sockets, const char *reply, size_t length, int is_tcp)
{
    for (const struct nlmsghdr *message = (const void *)reply; NLMSG_OK(message, length);
         message = NLMSG_NEXT(message, length)) {
        if (message->nlmsg_type == NLMSG_DONE)
            return 0;
        if (message->nlmsg_type == NLMSG_ERROR) {
            errno = -((const struct nlmsgerr *)NLMSG_DATA(message))->error;
            return -1;
        }
        if (!(is_tcp ? add_tcp(sockets, message) : add_local(sockets, message)))
            return -1;
    }
    return 1;
}

struct question {
    struct nlmsghdr header;
    union {
        struct inet_diag_req_v2 tcp;
        struct unix_diag_req local;
    };
};

static int ask(int fd, struct pqb_sockets *sockets, unsigned family)
{
    struct question question = {
        .header = {.nlmsg_type = SOCK_DIAG_BY_FAMILY, .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP}};
    int is_tcp = family != AF_UNIX, more = 1;
    size_t length = is_tcp ? sizeof question.tcp : sizeof question.local;
    if (is_tcp)
        question.tcp = (struct inet_diag_req_v2){.sdiag_family = (uint8_t)family,
                                                 .sdiag_protocol = IPPROTO_TCP,
                                                 .idiag_states = CONNECTED};
    else
        question.local = (struct unix_diag_req){.sdiag_family = AF_UNIX,
                                                .udiag_states = 1u << TCP_ESTABLISHED,
                                                .udiag_show = UDIAG_SHOW_NAME | UDIAG_SHOW_PEER};
    question.header.nlmsg_len = (uint32_t)(sizeof question.header + length);
    if (send(fd, &question, question.header.nlmsg_len, 0) < 0)
        return 0;
    char *reply = malloc(REPLY_BYTES);
    while (reply && more > 0) {
        ssize_t got = recv(fd, reply, REPLY_BYTES, 0);
        if (got < 0 && errno == EINTR)
            continue;
        more = got > 0 ? take_reply(sockets, reply, (size_t)got, is_tcp) : -1;
    }
    int failure = errno;
    free(reply);
    errno = failure;
    return reply && !more;
}

static int ask_all(struct pqb_sockets *sockets)
{
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    if (fd < 0)
        return 0;
    /* Who has no IPv6 has none of its sockets. */
    int is_told = ask(fd, sockets, AF_INET) && (ask(fd, sockets, AF_INET6) || errno == ENOENT) &&
                  ask(fd, sockets, AF_UNIX);
    int failure = errno;
    close(fd);
    errno = failure;
    return is_told;
}

/* ---- whose they are ---- */

static int add_owner(struct pqb_sockets *sockets, uint32_t inode, int32_t pid)
{
    struct pqb_sockets_owner *owner = grow(sockets->owner, sockets->owners, sizeof *owner);
    if (!owner)
        return 0;
    sockets->owner = owner;
    owner[sockets->owners++] = (struct pqb_sockets_owner){inode, pid};
    return 1;
}

static int add_descriptors(struct pqb_sockets *sockets, int32_t pid)
{
    char path[32], target[32];
    struct dirent *entry;
    int is_whole = 1;
    snprintf(path, sizeof path, "/proc/%d/fd", pid);
    DIR *folder = opendir(path);
    if (!folder)
        return 1; /* gone, or another user's */
    while (is_whole && (entry = readdir(folder))) {
        ssize_t length = readlinkat(dirfd(folder), entry->d_name, target, sizeof target - 1);
        if (length <= 0)
            continue;
        target[length] = 0;
        if (!strncmp(target, "socket:[", 8))
            is_whole = add_owner(sockets, (uint32_t)strtoul(target + 8, NULL, 10), pid);
    }
    closedir(folder);
    return is_whole;
}

static int add_processes(struct pqb_sockets *sockets)
{
    struct dirent *entry;
    int is_whole = 1;
    DIR *folder = opendir("/proc");
    while (folder && is_whole && (entry = readdir(folder))) {
        int32_t pid = (int32_t)strtol(entry->d_name, NULL, 10);
        if (pid > 0)
            is_whole = add_descriptors(sockets, pid);
    }
    if (folder)
        closedir(folder);
    return is_whole;
}

/* ---- all of it, in order ---- */

static int by_local_address(const void *left, const void *right)
{
    const struct pqb_sockets_tcp *a = left, *b = right;
    return compare_addresses(&a->local, &b->local);
}

static int by_inode(const void *left, const void *right)
{
    const struct pqb_sockets_local *a = left, *b = right;
    return (a->inode > b->inode) - (a->inode < b->inode);
}

static int by_owned_inode(const void *left, const void *right)
{
    const struct pqb_sockets_owner *a = left, *b = right;
    return (a->inode > b->inode) - (a->inode < b->inode);
}

static int by_inode_and_pid(const void *left, const void *right)
{
    const struct pqb_sockets_owner *a = left, *b = right;
    int order = by_owned_inode(a, b);
    return order ? order : (a->pid > b->pid) - (a->pid < b->pid);
}

static void sort(void *array, unsigned count, size_t size,
                 int (*compare)(const void *left, const void *right))
{
    if (count)
        qsort(array, count, size, compare);
}

static enum pqb_status fail_to_ask(struct pqb_sockets *sockets, struct pqb_error *error)
{
    enum pqb_status status = errno == ENOMEM ? PQB_NO_MEMORY : PQB_SYSTEM;
    pqb_error_write(error, "the kernel does not list its sockets: %s", strerror(errno));
    pqb_sockets_free(sockets);
    return status;
}

enum pqb_status pqb_sockets_take(struct pqb_sockets *sockets, struct pqb_error *error)
{
    *sockets = (struct pqb_sockets){0};
    errno = ENOMEM;
    if (!ask_all(sockets) || !add_processes(sockets))
        return fail_to_ask(sockets, error);
    sort(sockets->tcp, sockets->tcps, sizeof *sockets->tcp, by_local_address);
    sort(sockets->local, sockets->locals, sizeof *sockets->local, by_inode);
    sort(sockets->owner, sockets->owners, sizeof *sockets->owner, by_inode_and_pid);
    return PQB_OK;
}

void pqb_sockets_free(struct pqb_sockets *sockets)
{
    free(sockets->tcp);
    free(sockets->local);
    free(sockets->owner);
    *sockets = (struct pqb_sockets){0};
}

/* ---- finding ---- */

/* The equal ones lie together; their number, from *first on. */
static unsigned find_all(const void *array, unsigned count, size_t size, const void *wanted,
                         int (*compare)(const void *left, const void *right), const void **first)
{
    const char *begin = array, *end = begin + count * size;
    const char *hit = count ? bsearch(wanted, array, count, size, compare) : NULL;
    unsigned found = 0;
    if (!hit)
        return 0;
    while (hit > begin && !compare(hit - size, wanted))
        hit -= size;
    *first = hit;
    for (; hit < end && !compare(hit, wanted); hit += size)
        found++;
    return found;
}

unsigned pqb_sockets_at(const struct pqb_sockets *sockets, const struct pqb_address *local,
                        const struct pqb_sockets_tcp **first)
{
    struct pqb_sockets_tcp wanted = {.local = *local};
    const void *found = NULL;
    unsigned count =
        find_all(sockets->tcp, sockets->tcps, sizeof wanted, &wanted, by_local_address, &found);
    *first = found;
    return count;
}

static int has_tcp(const struct pqb_sockets *sockets, const struct pqb_sockets_tcp *wanted)
{
    const struct pqb_sockets_tcp *at;
    for (unsigned count = pqb_sockets_at(sockets, &wanted->local, &at); count--; at++)
        if (at->inode == wanted->inode && pqb_address_is(&at->remote, &wanted->remote))
            return 1;
    return 0;
}

static int has_local(const struct pqb_sockets *sockets, const struct pqb_sockets_local *wanted)
{
    const void *found = NULL;
    return find_all(sockets->local, sockets->locals, sizeof *wanted, wanted, by_inode, &found) &&
           ((const struct pqb_sockets_local *)found)->peer == wanted->peer;
}

enum pqb_status pqb_sockets_last(struct pqb_sockets *sockets, struct pqb_error *error)
{
    struct pqb_sockets later = {0};
    unsigned tcps = 0, locals = 0;
    errno = ENOMEM;
    if (!ask_all(&later))
        return fail_to_ask(&later, error);
    sort(later.tcp, later.tcps, sizeof *later.tcp, by_local_address);
    sort(later.local, later.locals, sizeof *later.local, by_inode);
    for (unsigned i = 0; i < sockets->tcps; i++)
        if (has_tcp(&later, &sockets->tcp[i]))
            sockets->tcp[tcps++] = sockets->tcp[i];
    for (unsigned i = 0; i < sockets->locals; i++)
        if (has_local(&later, &sockets->local[i]))
            sockets->local[locals++] = sockets->local[i];
    sockets->tcps = tcps;
    sockets->locals = locals;
    pqb_sockets_free(&later);
    return PQB_OK;
}

const struct pqb_sockets_tcp *pqb_sockets_opposite(const struct pqb_sockets *sockets,
                                                   const struct pqb_sockets_tcp *socket)
{
    const struct pqb_sockets_tcp *at;
    for (unsigned count = pqb_sockets_at(sockets, &socket->remote, &at); count--; at++)
        if (pqb_address_is(&at->remote, &socket->local))
            return at;
    return NULL;
}

unsigned pqb_sockets_owners(const struct pqb_sockets *sockets, uint32_t inode,
                            const struct pqb_sockets_owner **first)
{
    struct pqb_sockets_owner wanted = {.inode = inode};
    const void *found = NULL;
    unsigned count = find_all(sockets->owner, inode ? sockets->owners : 0, sizeof wanted, &wanted,
                              by_owned_inode, &found);
    *first = found;
    return count;
}

int32_t pqb_sockets_owner(const struct pqb_sockets *sockets, uint32_t inode)
{
    const struct pqb_sockets_owner *first;
    return pqb_sockets_owners(sockets, inode, &first) ? first->pid : 0;
}
