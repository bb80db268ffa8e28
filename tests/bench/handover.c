/*
 * How long until a held client's startup packet is on the wire, once a slot came free. The client
 * is another process, under the preload, and asynchronous: it has connected, has written its packet
 * as far as it knows, and waits for the answer. The server is a listener of ours: no time but the
 * hand-over's.
 *
 *   handover                  prints the rows
 *   handover side | libpq     such a client: connects once for every line it reads
 */
#include "support/measure.h"
#include "support/pair.h"
#include "support/support.h"
#include "support/wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define WAIT_MS 30000

/* ---- the clients ---- */

/* Sleeps until the socket is ready, as an event loop does. */
static void await(int loop, int fd, uint32_t events)
{
    struct epoll_event event = {.events = events};
    if (epoll_ctl(loop, EPOLL_CTL_MOD, fd, &event) && epoll_ctl(loop, EPOLL_CTL_ADD, fd, &event))
        measure_fail("epoll");
    if (epoll_wait(loop, &event, 1, WAIT_MS) != 1)
        measure_fail("the client waited in vain");
}

static void connect_by_side_door(int loop)
{
    struct sockaddr_in server = wire_address();
    char byte;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (connect(fd, (struct sockaddr *)&server, sizeof server) && errno != EINPROGRESS)
        measure_fail("the client can't connect");
    await(loop, fd, EPOLLOUT);
    if (!wire_start(fd))
        measure_fail("the client can't write");
    await(loop, fd, EPOLLIN);
    if (read(fd, &byte, 1) != 0)
        measure_fail("the client was answered by somebody else");
    close(fd);
}

static void connect_by_libpq(int loop)
{
    PGconn *conn = PQconnectStart("gssencmode=disable sslmode=disable");
    PostgresPollingStatusType next = PGRES_POLLING_WRITING;
    while (next == PGRES_POLLING_WRITING || next == PGRES_POLLING_READING) {
        await(loop, PQsocket(conn), next == PGRES_POLLING_WRITING ? EPOLLOUT : EPOLLIN);
        next = PQconnectPoll(conn);
    }
    PQfinish(conn);
}

static int be_a_client(const char *door)
{
    char line[8];
    int loop = epoll_create1(EPOLL_CLOEXEC);
    while (fgets(line, sizeof line, stdin)) {
        if (!strcmp(door, "libpq"))
            connect_by_libpq(loop);
        else
            connect_by_side_door(loop);
        puts("1"); /* the answer of a pair_worker */
        fflush(stdout);
    }
    return 0;
}

/* ---- the server, and whoever holds the slot ---- */

/* On any port; PGPORT says which. */
static int listen_somewhere(void)
{
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof own;
    char port[16];
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;
    if (setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &yes, sizeof yes) ||
        bind(fd, (struct sockaddr *)&own, length) || listen(fd, 16) ||
        getsockname(fd, (struct sockaddr *)&own, &length))
        measure_fail("cannot listen");
    snprintf(port, sizeof port, "%u", ntohs(own.sin_port));
    setenv("PGPORT", port, 1);
    setenv("PGHOST", "127.0.0.1", 1);
    setenv("PGUSER", "bench", 1);
    return fd;
}

/* The kernel's clock, as it stamps packets. */
static uint64_t clock_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * PQB_SECOND + (uint64_t)now.tv_nsec;
}

/* When the bytes that are there came to the socket: not when we were woken for them. */
static uint64_t arrival(int fd)
{
    char packet[1024];
    union {
        char room[CMSG_SPACE(sizeof(struct timespec))];
        struct cmsghdr align;
    } control;
    struct iovec part = {packet, sizeof packet};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.room,
                             .msg_controllen = sizeof control};
    struct timespec stamp;
    if (recvmsg(fd, &message, 0) <= 0)
        measure_fail("the client has gone");
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    if (!head || head->cmsg_type != SCM_TIMESTAMPNS)
        measure_fail("the kernel stamps no packets");
    memcpy(&stamp, CMSG_DATA(head), sizeof stamp);
    return (uint64_t)stamp.tv_sec * PQB_SECOND + (uint64_t)stamp.tv_nsec;
}

/* When the client's first bytes came. It is connected already, or connects only now. */
static uint64_t await_packet(int listener)
{
    struct pollfd ready = {.fd = listener, .events = POLLIN};
    uint64_t came = 0;
    while (!came) {
        if (poll(&ready, 1, WAIT_MS) != 1)
            measure_fail("no packet reaches the server");
        if (ready.fd == listener)
            ready.fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        else
            came = arrival(ready.fd);
    }
    close(ready.fd);
    return came;
}

/* One slot, and what it takes to hold it: what a client of that server would. */
struct slot {
    struct pqb_ledger ledger;
    struct pqb_server_config config;
    struct pqb_claim_request request;
    char key[32];
};

static void slot_make(struct slot *slot)
{
    struct pqb_error error = {{0}};
    slot->config = (struct pqb_server_config){.limit = 1, .wait_ms = WAIT_MS};
    snprintf(slot->key, sizeof slot->key, "localhost:%s", getenv("PGPORT"));
    slot->request = (struct pqb_claim_request){.server = slot->key,
                                               .app = "bench",
                                               .defaults = &slot->config,
                                               .network = pqb_net_namespace()};
    if (pqb_ledger_open(&slot->ledger, pair_ledger(), 1, &error))
        measure_fail("%s", error.text);
}

/* µs from giving back to the packet's arrival. */
static double hand_over(struct slot *slot, struct pair_worker *client, int listener)
{
    struct pqb_claim held;
    double answer;
    if (support_hold(&slot->ledger, &slot->request, WAIT_MS, &held))
        measure_fail("the slot never came back");
    pair_worker_order(client, 1);
    if (!wait_until(support_count(&slot->ledger).waiting == 1))
        measure_fail("the client is not held");
    usleep(500 + (useconds_t)(pqb_random() % 10000)); /* at any moment between two ticks */
    uint64_t given = clock_now();
    pqb_claim_give(&held, PQB_END_CLOSED);
    uint64_t came = await_packet(listener);
    pair_worker_hear(client, &answer, 1);
    return (double)(came - given) / 1e3;
}

static void measure_door(char *door, const char *what, struct slot *slot, int listener)
{
    struct pair_worker client;
    struct series series = {0};
    unsigned times = measure_is_quick() ? 200 : 2000;
    char path[512];
    char *command[] = {path, door, NULL};
    snprintf(path, sizeof path, "%s", support_built("bench/handover"));
    pair_worker_start(&client, command, PAIR_PRELOADED);
    for (unsigned i = 0; i <= times; i++) {
        double sample = hand_over(slot, &client, listener);
        if (i) /* the first one warms up */
            series_add(&series, sample);
    }
    pair_worker_end(&client);
    measure_row("wakes", "%s", what);
    measure_delay("pqbudget", &series, "µs");
    measure_end();
    series_free(&series);
}

int main(int count, char **arguments)
{
    char side[] = "side", libpq[] = "libpq";
    struct slot slot;
    if (count > 1)
        return be_a_client(arguments[1]);
    int listener = listen_somewhere();
    pair_prepare();
    slot_make(&slot);
    measure_door(side, "slot given back → a held socket's startup packet is on the wire", &slot,
                 listener);
    measure_door(libpq, "slot given back → a held `PQconnectStart`'s startup packet is on the wire",
                 &slot, listener);
    support_ledger_end(&slot.ledger);
    return 0;
}
