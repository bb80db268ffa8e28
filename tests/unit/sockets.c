/* sockets.c: which process is at the other end of a connection. */
#include "tool/sockets.h"

#include "support/support.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

TestSuite(sockets, .timeout = 120);

static struct pqb_sockets sockets;

static void look(void)
{
    struct pqb_error error = {{0}};
    cr_assert_eq(pqb_sockets_take(&sockets, &error), PQB_OK, "%s", error.text);
}

static uint32_t inode_of(int fd)
{
    struct stat status;
    cr_assert_eq(fstat(fd, &status), 0);
    return (uint32_t)status.st_ino;
}

union address {
    struct sockaddr any;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    struct sockaddr_un local;
};

/* A connection to ourselves: the client's end, the server's in *server. */
static int connected(union address *address, socklen_t size, int *server)
{
    int listener = socket(address->any.sa_family, SOCK_STREAM, 0);
    int client = socket(address->any.sa_family, SOCK_STREAM, 0);
    cr_assert_eq(bind(listener, &address->any, size), 0);
    cr_assert_eq(listen(listener, 1), 0);
    cr_assert_eq(getsockname(listener, &address->any, &size), 0);
    cr_assert_eq(connect(client, &address->any, size), 0);
    *server = accept(listener, NULL, NULL);
    cr_assert_geq(*server, 0);
    close(listener);
    return client;
}

static unsigned port_of(int fd)
{
    union address address = {0};
    socklen_t size = sizeof address;
    cr_assert_eq(getsockname(fd, &address.any, &size), 0);
    return ntohs(address.in.sin_port); /* at the same place in both families */
}

static void finds(union address *address, socklen_t size, const char *host)
{
    int server, client = connected(address, size, &server);
    struct pqb_address local = pqb_address_of(host, port_of(client));
    const struct pqb_sockets_tcp *tcp = NULL;
    look();
    cr_assert_eq(pqb_sockets_at(&sockets, &local, &tcp), 1);
    cr_assert_eq(tcp->inode, inode_of(client));
    cr_assert_eq(tcp->uid, getuid());
    cr_assert_eq(tcp->remote.port, port_of(server));
    cr_assert_eq(pqb_sockets_opposite(&sockets, tcp)->inode, inode_of(server));
    cr_assert_eq(pqb_sockets_owner(&sockets, tcp->inode), getpid());
    cr_assert_not(tcp->is_over);
    uint32_t inode = inode_of(server);
    close(client);
    pqb_sockets_free(&sockets);
    look();
    for (unsigned i = 0; i < sockets.tcps; i++)
        cr_assert(sockets.tcp[i].inode != inode || sockets.tcp[i].is_over);
    close(server);
    pqb_sockets_free(&sockets);
}

Test(sockets, finds_both_ends_of_tcp)
{
    union address four = {.in = {.sin_family = AF_INET}};
    four.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    finds(&four, sizeof four.in, "127.0.0.1");
    union address six = {.in6 = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback}};
    finds(&six, sizeof six.in6, "::1");
}

/* Java's: a socket of the one family that speaks the other. */
Test(sockets, finds_ipv4_in_ipv6)
{
    union address mapped = {.in6 = {.sin6_family = AF_INET6}};
    cr_assert_eq(inet_pton(AF_INET6, "::ffff:127.0.0.1", &mapped.in6.sin6_addr), 1);
    finds(&mapped, sizeof mapped.in6, "127.0.0.1");
}

Test(sockets, finds_the_other_end_of_a_unix_socket)
{
    union address address = {.local = {.sun_family = AF_UNIX}};
    const struct pqb_sockets_local *found = NULL;
    snprintf(address.local.sun_path, sizeof address.local.sun_path, "/tmp/pqbudget-test.%d/",
             (int)getpid());
    cr_assert_eq(mkdir(address.local.sun_path, 0700), 0);
    strcat(address.local.sun_path, ".s.PGSQL.1");
    int server, client = connected(&address, sizeof address.local, &server);
    look();
    for (unsigned i = 0; i < sockets.locals; i++)
        if (!strcmp(sockets.local[i].name, address.local.sun_path))
            found = &sockets.local[i];
    unlink(address.local.sun_path);
    *strrchr(address.local.sun_path, '/') = 0;
    rmdir(address.local.sun_path);
    cr_assert_not_null(found);
    cr_assert_eq(found->inode, inode_of(server));
    cr_assert_eq(found->peer, inode_of(client));
    pqb_sockets_free(&sockets);
}

Test(sockets, finds_every_process_that_has_it)
{
    int pair[2];
    const struct pqb_sockets_owner *owner = NULL;
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    pid_t child = support_fork();
    if (!child)
        support_linger();
    look();
    cr_assert_eq(pqb_sockets_owners(&sockets, inode_of(pair[0]), &owner), 2);
    cr_assert(owner[0].pid == getpid() || owner[1].pid == getpid());
    cr_assert(owner[0].pid == child || owner[1].pid == child);
    pqb_sockets_free(&sockets);
    support_kill(child);
    look();
    cr_assert_eq(pqb_sockets_owners(&sockets, inode_of(pair[0]), &owner), 1);
    close(pair[0]);
    close(pair[1]);
    pqb_sockets_free(&sockets);
}

Test(sockets, of_what_has_lasted)
{
    int pair[2][2];
    const struct pqb_sockets_owner *owner;
    struct pqb_error error;
    for (unsigned i = 0; i < 2; i++)
        cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair[i]), 0);
    uint32_t lasting = inode_of(pair[0][0]), ending = inode_of(pair[1][0]);
    look();
    close(pair[1][0]);
    cr_assert_eq(pqb_sockets_last(&sockets, &error), PQB_OK);
    unsigned found = 0;
    for (unsigned i = 0; i < sockets.locals; i++) {
        found += sockets.local[i].inode == lasting;
        cr_assert_neq(sockets.local[i].inode, ending);
    }
    cr_assert_eq(found, 1);
    cr_assert_eq(pqb_sockets_owners(&sockets, lasting, &owner), 1);
    close(pair[0][0]);
    close(pair[0][1]);
    close(pair[1][1]);
    pqb_sockets_free(&sockets);
}

Test(sockets, knows_of_nobody_what_nobody_has)
{
    struct pqb_address nowhere = pqb_address_of("192.0.2.1", 1);
    const struct pqb_sockets_tcp *tcp = NULL;
    look();
    cr_assert_eq(pqb_sockets_at(&sockets, &nowhere, &tcp), 0);
    cr_assert_eq(pqb_sockets_owner(&sockets, 0), 0);
    pqb_sockets_free(&sockets);
}

Test(sockets, of_many)
{
    int pair[400][2];
    for (unsigned i = 0; i < 400; i++)
        cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair[i]), 0);
    look();
    for (unsigned i = 0; i < 400; i++)
        cr_assert_eq(pqb_sockets_owner(&sockets, inode_of(pair[i][1])), getpid());
    pqb_sockets_free(&sockets);
}

Test(address, is_here_or_elsewhere)
{
    static const struct {
        const char *text;
        int is_here;
    } cases[] = {{"127.0.0.1", 1},   {"127.9.9.9", 1}, {"::ffff:127.0.0.1", 1}, {"192.0.2.1", 0},
                 {"2001:db8::1", 0}, {"", 0},          {"nonsense", 0}};
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct pqb_address address = pqb_address_of(cases[i].text, 1);
        cr_expect_eq(pqb_address_is_here(&address), cases[i].is_here, "%s", cases[i].text);
    }
    struct pqb_address mapped = pqb_address_of("::ffff:10.0.0.1", 5);
    struct pqb_address plain = pqb_address_of("10.0.0.1", 5), other = pqb_address_of("10.0.0.1", 6);
    cr_assert(pqb_address_is(&mapped, &plain));
    cr_assert_not(pqb_address_is(&plain, &other));
}
