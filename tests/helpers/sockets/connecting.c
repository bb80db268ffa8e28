/* Sockets before their first byte. */
#include "sockets.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

static const char *kind_of_current;

static int is_wide(const char *kind)
{
    return !strcmp(kind, "tcp6") || !strcmp(kind, "mapped");
}

int socket_for(const char *kind)
{
    int family = !strcmp(kind, "unix") ? AF_UNIX : is_wide(kind) ? AF_INET6 : AF_INET;
    int fd = socket(family, SOCK_STREAM, 0);
    if (fd < 0)
        give_up("socket");
    return fd;
}

int connect_to(int fd, const char *kind)
{
    union {
        struct sockaddr any;
        struct sockaddr_in narrow;
        struct sockaddr_in6 wide;
        struct sockaddr_un path;
    } address = {{0}};
    const char *server = getenv("PGPORT");
    if (!server)
        give_up("PGPORT");
    in_port_t port = htons((in_port_t)atoi(atoi(kind) ? kind : server));
    if (!strcmp(kind, "unix")) {
        address.path.sun_family = AF_UNIX;
        snprintf(address.path.sun_path, sizeof address.path.sun_path, "%s/.s.PGSQL.%s",
                 getenv("PQB_POSTGRES_DIR"), server);
        return connect(fd, &address.any, sizeof address.path);
    }
    if (is_wide(kind)) {
        address.wide.sin6_family = AF_INET6;
        address.wide.sin6_port = port;
        inet_pton(AF_INET6, *kind == 'm' ? "::ffff:127.0.0.1" : "::1", &address.wide.sin6_addr);
        return connect(fd, &address.any, sizeof address.wide);
    }
    address.narrow.sin_family = AF_INET;
    address.narrow.sin_port = port;
    address.narrow.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return connect(fd, &address.any, sizeof address.narrow);
}

static void make_socket(void)
{
    kind_of_current = stage_argument();
    current = socket_for(kind_of_current);
}

/* To a number that is not below this one. */
static void move_above(void)
{
    long least = number();
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = (rlim_t)least + 100;
    if (limit.rlim_max < limit.rlim_cur)
        limit.rlim_max = limit.rlim_cur;
    int fd = setrlimit(RLIMIT_NOFILE, &limit) ? -1 : fcntl(current, F_DUPFD, (int)least);
    stage_say(fd < 0 ? "not permitted" : "above");
    if (fd < 0)
        return;
    close(current);
    current = fd;
}

static void nonblock(void)
{
    if (fcntl(current, F_SETFL, O_NONBLOCK))
        give_up("F_SETFL");
}

static void wait_connected(void)
{
    struct pollfd look = {.fd = current, .events = POLLOUT};
    int error = 0;
    socklen_t size = sizeof error;
    poll(&look, 1, 20000);
    if (getsockopt(current, SOL_SOCKET, SO_ERROR, &error, &size) || error)
        stage_say("connect: %s", strerrorname_np(error ? error : errno));
}

static void connect_current(void)
{
    errno = UNTOUCHED;
    int result = connect_to(current, kind_of_current);
    if (!result)
        check_errno("connect");
    else if (errno == EINPROGRESS)
        wait_connected();
    else
        stage_say("connect: %s", strerrorname_np(errno));
}

/* Asked again whether it is connected, as some do. */
static void connect_again(void)
{
    int result = connect_to(current, kind_of_current);
    stage_say("again: %s", result ? strerrorname_np(errno) : "ok");
}

/* Connected to nothing any more, and then to this port. */
static void reconnect(void)
{
    struct sockaddr nothing = {.sa_family = AF_UNSPEC};
    kind_of_current = stage_argument();
    if (connect(current, &nothing, sizeof nothing) || connect_to(current, kind_of_current))
        give_up("reconnect");
}

static void small_buffer(void)
{
    int size = 1; /* the kernel makes the least of it that it can */
    if (setsockopt(current, SOL_SOCKET, SO_SNDBUF, &size, sizeof size))
        give_up("SO_SNDBUF");
}

/* Reads give up after so many milliseconds. */
static void read_timeout(void)
{
    long ms = number();
    struct timeval time = {ms / 1000, ms % 1000 * 1000};
    if (setsockopt(current, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time))
        give_up("SO_RCVTIMEO");
}

/* What the kernel says of it, past every hook. */
static void look_for_peer(void)
{
    struct sockaddr_storage unused;
    socklen_t size = sizeof unused;
    stage_say(syscall(SYS_getpeername, current, &unused, &size) ? "no peer" : "a peer");
}

const struct stage_step connecting_steps[] = {
    {"socket", make_socket},   {"above", move_above},
    {"nonblock", nonblock},    {"connect", connect_current},
    {"again", connect_again},  {"reconnect", reconnect},
    {"peer", look_for_peer},   {"small", small_buffer},
    {"timeout", read_timeout}, {0},
};
