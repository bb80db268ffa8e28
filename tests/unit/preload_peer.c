/* preload/peer.c: who is at the other end of a socket. */
#include "preload/peer.h"
#include "support/support.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

TestSuite(preload_peer, .timeout = 60);

static struct pqb_peer peer;

static void look(int fd)
{
    memset(&peer, 0x55, sizeof peer);
    errno = EXDEV;
    pqb_peer_of(fd, &peer);
    cr_assert_eq(errno, EXDEV);
}

static void expect_nobody(int fd)
{
    look(fd);
    cr_assert_eq(peer.is_local, 0);
    cr_assert_str_eq(peer.address, "");
}

Test(preload_peer, nobody)
{
    expect_nobody(-1);
    expect_nobody(9999);
    expect_nobody(STDIN_FILENO);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    expect_nobody(fd);
    close(fd);
}

/* Connects to a listener there; returns the socket, its port in `port`. */
static int connect_to(const char *address, int family, unsigned *port)
{
    struct sockaddr_storage at = {0};
    struct sockaddr_in *four = (struct sockaddr_in *)&at;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)&at;
    socklen_t length = family == AF_INET ? sizeof *four : sizeof *six;
    at.ss_family = (sa_family_t)family;
    cr_assert_eq(inet_pton(family, address,
                           family == AF_INET ? (void *)&four->sin_addr : (void *)&six->sin6_addr),
                 1);
    int listener = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&at, length) || listen(listener, 1) ||
        getsockname(listener, (struct sockaddr *)&at, &length) ||
        connect(fd, (struct sockaddr *)&at, length))
        return -1; /* a machine without IPv6 */
    *port = ntohs(family == AF_INET ? four->sin_port : six->sin6_port);
    return fd;
}

static void expect_address(const char *host, unsigned port)
{
    char key[128];
    snprintf(key, sizeof key, "%s:%u", host, port);
    cr_assert_str_eq(peer.address, key);
}

Test(preload_peer, over_the_loopback)
{
    unsigned port;
    int fd = connect_to("127.0.0.1", AF_INET, &port);
    cr_assert_geq(fd, 0);
    look(fd);
    cr_assert(peer.is_local);
    expect_address("localhost", port);
    fd = connect_to("::1", AF_INET6, &port);
    if (fd < 0)
        return;
    look(fd);
    cr_assert(peer.is_local);
    expect_address("localhost", port);
}

/* The pair 127.0.0.1 → 127.0.0.2 is of one machine as well, but nothing says so in the addresses.
 */
Test(preload_peer, at_another_address)
{
    unsigned port;
    int fd = connect_to("127.0.0.2", AF_INET, &port);
    cr_assert_geq(fd, 0);
    look(fd);
    expect_address("127.0.0.2", port);
}

static char directory[] = "/tmp/preload_peer.XXXXXX";

static int connect_to_file(const char *name)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    snprintf(at.sun_path, sizeof at.sun_path, "%s/%s", directory, name);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(listener, (struct sockaddr *)&at, sizeof at), 0);
    cr_assert_eq(listen(listener, 1), 0);
    cr_assert_eq(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
    close(listener);
    unlink(at.sun_path);
    return fd;
}

Test(preload_peer, over_a_unix_socket)
{
    cr_assert_not_null(mkdtemp(directory));
    int named = connect_to_file(".s.PGSQL.5433"), other = connect_to_file("some.socket");
    rmdir(directory);
    look(named);
    cr_assert(peer.is_local);
    expect_address(directory, 5433);
    look(other);
    cr_assert(peer.is_local);
    cr_assert_str_eq(peer.address, "");
    int pair[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    look(pair[0]);
    cr_assert(peer.is_local);
    cr_assert_str_eq(peer.address, "");
}

/* A key longer than an address may be is left out, not cut. */
Test(preload_peer, of_a_long_name)
{
    char name[64 + 16];
    memset(name, '%', sizeof name); /* each becomes three bytes of the key */
    memcpy(name + 64, "/.s.PGSQL.1", 12);
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    memcpy(at.sun_path + 1, name, strlen(name));
    socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name));
    snprintf(at.sun_path + 1, 16, "%08x", (unsigned)getpid());
    at.sun_path[9] = '%';
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(listener, (struct sockaddr *)&at, length), 0);
    cr_assert_eq(listen(listener, 1), 0);
    cr_assert_eq(connect(fd, (struct sockaddr *)&at, length), 0);
    look(fd);
    cr_assert(peer.is_local);
    cr_assert_str_eq(peer.address, "");
}
