/* flow.c: who is inside, who is kept out, and what the kernel says beside it. */
#include "preload/flow.h"

#include "ledger/os.h"
#include "ledger/process.h"
#include "preload/descriptor.h"
#include "support/stream.h"
#include "support/support.h"

#include <criterion/criterion.h>
#include <netinet/in.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

TestSuite(flow, .timeout = 60);

/* The descriptors' table keeps what it is given, and does not look into it. */
static struct pqb_socket *const somebody = (struct pqb_socket *)&somebody;

static int client, server;
static struct pqb_flow *flow;

static void begin(void)
{
    struct pqb_session session = pqb_session_begun();
    cr_assert(flow = pqb_flow_begin(client, &session));
    cr_assert(pqb_descriptor_set(client, somebody));
    pqb_descriptor_follow(client, flow);
}

static void end(void)
{
    pqb_descriptor_set(client, NULL);
    pqb_flow_end(flow);
}

static void on_unix(void)
{
    int pair[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    client = pair[0];
    server = pair[1];
    begin();
}

static void on_tcp(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(bind(listener, (struct sockaddr *)&address, size), 0);
    cr_assert_eq(listen(listener, 1), 0);
    cr_assert_eq(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    client = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(connect(client, (struct sockaddr *)&address, size), 0);
    server = accept(listener, NULL, NULL);
    close(listener);
    begin();
}

/* As the hooks do it. */
static void write_through(const char *bytes, size_t length)
{
    struct iovec part = {(char *)bytes, length};
    struct pqb_flow *inside = pqb_flow_enter(client, PQB_FLOW_OUT);
    cr_assert_eq(inside, flow);
    pqb_flow_leave(inside, PQB_FLOW_OUT, &part, write(client, bytes, length));
}

static void read_through(size_t length)
{
    char bytes[256];
    struct iovec part = {bytes, sizeof bytes};
    struct pqb_flow *inside = pqb_flow_enter(client, PQB_FLOW_IN);
    cr_assert_eq(inside, flow);
    ssize_t got = read(client, bytes, length);
    cr_assert_eq(got, (ssize_t)length);
    pqb_flow_leave(inside, PQB_FLOW_IN, &part, got);
}

static void answer(const char *bytes, size_t length)
{
    cr_assert_eq(write(server, bytes, length), (ssize_t)length);
}

#define QUERY BYTES("Q\0\0\0\7no\0")
#define READY BYTES("C\0\0\0\5\0Z\0\0\0\5I")

static int is_idle(void)
{
    return pqb_session_is_idle(pqb_flow_session(flow));
}

/* ---- inside ---- */

Test(flow, in_both_ways_at_once)
{
    on_unix();
    cr_assert_eq(pqb_flow_enter(client, PQB_FLOW_OUT), flow);
    cr_assert_eq(pqb_flow_enter(client, PQB_FLOW_IN), flow);
    cr_assert_not(pqb_flow_hold(flow));
    pqb_flow_leave(flow, PQB_FLOW_OUT, NULL, -1);
    cr_assert_not(pqb_flow_hold(flow));
    pqb_flow_leave(flow, PQB_FLOW_IN, NULL, 0);
    cr_assert(pqb_flow_hold(flow));
    cr_assert_not(pqb_flow_is_lost(flow));
}

Test(flow, kept_out_while_somebody_decides)
{
    on_unix();
    cr_assert(pqb_flow_hold(flow));
    cr_assert_not(pqb_flow_hold(flow));
    for (unsigned way = PQB_FLOW_IN; way <= PQB_FLOW_OUT; way++) {
        cr_assert_eq(pqb_flow_enter(client, way), PQB_FLOW_HELD);
        cr_assert_eq(pqb_flow_enter(client, way), PQB_FLOW_HELD);
    }
    pqb_flow_release(flow);
    write_through(QUERY);
    cr_assert(pqb_flow_hold(flow));
}

/* It is let alone from then on, whatever else happens. */
Test(flow, two_at_once_in_one_way)
{
    for (unsigned way = PQB_FLOW_IN; way <= PQB_FLOW_OUT; way++) {
        on_unix();
        cr_assert_eq(pqb_flow_enter(client, way), flow);
        cr_assert_null(pqb_flow_enter(client, way));
        cr_assert(pqb_flow_is_lost(flow));
        pqb_flow_leave(flow, way, NULL, -1);
        cr_assert_not(pqb_flow_hold(flow));
        cr_assert(pqb_flow_is_lost(flow));
        end();
    }
}

Test(flow, what_could_not_be_seen)
{
    on_unix();
    cr_assert_eq(pqb_flow_enter(client, PQB_FLOW_IN), flow);
    pqb_flow_lose(flow);
    pqb_flow_leave(flow, PQB_FLOW_IN, NULL, 0);
    cr_assert(pqb_flow_is_lost(flow));
    cr_assert_not(pqb_flow_hold(flow));
}

Test(flow, a_number_that_nobody_follows)
{
    on_unix();
    cr_assert_null(pqb_flow_enter(server, PQB_FLOW_OUT));
    pqb_descriptor_set(client, NULL);
    cr_assert_null(pqb_flow_enter(client, PQB_FLOW_OUT));
    cr_assert(pqb_flow_hold(flow));
}

/* ---- what passes ---- */

Test(flow, follows_the_session)
{
    on_unix();
    cr_assert(is_idle());
    write_through(QUERY);
    cr_assert_not(is_idle());
    answer(READY);
    read_through(5);
    cr_assert_not(is_idle());
    read_through(7);
    cr_assert(is_idle());
}

/* In several parts, of which not all was taken. */
Test(flow, as_much_as_was_taken)
{
    static char query[] = "Q\0\0\0\7no";
    struct iovec part[] = {{query, 0}, {query, 3}, {query + 3, 5}, {query, 8}};
    on_unix();
    pqb_flow_leave(pqb_flow_enter(client, PQB_FLOW_OUT), PQB_FLOW_OUT, part, 8);
    answer(READY);
    read_through(12);
    cr_assert(is_idle());
}

Test(flow, when_it_was_used)
{
    on_unix();
    uint64_t before = pqb_flow_used_at(flow);
    cr_assert_leq(before, pqb_now());
    pqb_flow_leave(pqb_flow_enter(client, PQB_FLOW_OUT), PQB_FLOW_OUT, NULL, -1);
    pqb_flow_leave(pqb_flow_enter(client, PQB_FLOW_IN), PQB_FLOW_IN, NULL, 0);
    cr_assert_eq(pqb_flow_used_at(flow), before);
    cr_assert(wait_until((write_through(QUERY), pqb_flow_used_at(flow) > before)));
}

/* ---- what the kernel says ---- */

Test(flow, whole)
{
    on_tcp();
    cr_assert(pqb_flow_is_whole(flow, client));
    write_through(QUERY);
    answer(READY);
    read_through(12);
    cr_assert(wait_until(pqb_flow_is_whole(flow, client)));
}

/* What was there before it began does not count. */
Test(flow, whole_from_its_beginning)
{
    on_tcp();
    end();
    cr_assert_eq(write(client, "before", 6), 6);
    answer(BYTES("before"));
    char bytes[6];
    cr_assert_eq(recv(client, bytes, 6, MSG_WAITALL), 6);
    begin();
    write_through(QUERY);
    cr_assert(wait_until(pqb_flow_is_whole(flow, client)));
}

Test(flow, not_with_something_unread)
{
    for (int is_tcp = 0; is_tcp < 2; is_tcp++) {
        (is_tcp ? on_tcp : on_unix)();
        answer(READY);
        cr_assert(wait_until(!pqb_flow_is_whole(flow, client)));
        read_through(12);
        cr_assert(pqb_flow_is_whole(flow, client));
        end();
    }
}

Test(flow, not_behind_the_end)
{
    for (int is_tcp = 0; is_tcp < 2; is_tcp++) {
        (is_tcp ? on_tcp : on_unix)();
        shutdown(server, SHUT_WR);
        cr_assert(wait_until(!pqb_flow_is_whole(flow, client)));
        end();
    }
}

/* Past the hooks: the kernel counts it, of TCP. */
Test(flow, not_what_passed_elsewhere)
{
    on_tcp();
    cr_assert_eq(syscall(SYS_write, client, "x", 1), 1);
    cr_assert_not(pqb_flow_is_whole(flow, client));
    char byte;
    cr_assert_eq(read(server, &byte, 1), 1);
    cr_assert_not(pqb_flow_is_whole(flow, client));
    end();
    on_tcp();
    answer("x", 1);
    cr_assert_eq(syscall(SYS_read, client, &byte, 1), 1);
    cr_assert_not(pqb_flow_is_whole(flow, client));
}

Test(flow, not_while_the_other_end_has_not_read)
{
    char full[4096] = "";
    on_unix();
    cr_assert_eq(write(client, full, sizeof full), (ssize_t)sizeof full);
    cr_assert_not(pqb_flow_is_whole(flow, client));
    cr_assert_eq(recv(server, full, sizeof full, MSG_WAITALL), (ssize_t)sizeof full);
    cr_assert(pqb_flow_is_whole(flow, client));
}

/* ---- its end ---- */

/* Not before he has left. */
Test(flow, ended_with_somebody_inside)
{
    on_unix();
    struct pqb_flow *first = flow;
    cr_assert_eq(pqb_flow_enter(client, PQB_FLOW_IN), first);
    end();
    begin();
    cr_assert_neq(flow, first);
    struct pqb_flow *second = flow;
    end();
    pqb_flow_leave(first, PQB_FLOW_IN, NULL, 0);
    begin();
    cr_assert(flow == first || flow == second);
    struct pqb_flow *third = flow;
    begin();
    cr_assert_neq(flow, third);
    cr_assert(flow == first || flow == second);
    pqb_flow_end(third);
}

/* As good as new. */
Test(flow, used_again)
{
    on_unix();
    struct pqb_flow *first = flow;
    write_through(QUERY);
    pqb_flow_lose(flow);
    end();
    begin();
    cr_assert_eq(flow, first);
    cr_assert(is_idle());
    cr_assert_not(pqb_flow_is_lost(flow));
    cr_assert(pqb_flow_hold(flow));
}

Test(flow, shared_with_a_child)
{
    pqb_process_on_fork(NULL); /* from then on it counts; the ledger does it when it is opened */
    on_unix();
    cr_assert_not(pqb_flow_is_shared(flow));
    pid_t child = support_fork();
    if (!child)
        _exit(0);
    support_reap(child);
    cr_assert(pqb_flow_is_shared(flow));
    end();
    begin();
    cr_assert_not(pqb_flow_is_shared(flow));
}

/* ---- all at once ---- */

#define ROUNDS 20000

/* A client that asks one query after the other, and whose every query is answered by itself. */
static void *ask_often(void *unused)
{
    struct iovec out = {(char *)"Q\0\0\0\7no", 8}, in = {(char *)"C\0\0\0\5\0Z\0\0\0\5I", 12};
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct pqb_flow *inside;
        while ((inside = pqb_flow_enter(client, PQB_FLOW_OUT)) == PQB_FLOW_HELD)
            sched_yield();
        pqb_flow_leave(inside, PQB_FLOW_OUT, &out, 8);
        while ((inside = pqb_flow_enter(client, PQB_FLOW_IN)) == PQB_FLOW_HELD)
            sched_yield();
        pqb_flow_leave(inside, PQB_FLOW_IN, &in, 12);
    }
    return unused;
}

/* Whoever decides sees it before a query, or behind its answer, or in between: never half of it. */
Test(flow, decided_about_while_it_is_used)
{
    pthread_t thread;
    on_unix();
    cr_assert_eq(pthread_create(&thread, NULL, ask_often, NULL), 0);
    while (pthread_tryjoin_np(thread, NULL)) {
        if (!pqb_flow_hold(flow))
            continue;
        const struct pqb_session *session = pqb_flow_session(flow);
        uint32_t open = session->client.asked + 1 - session->server.answered;
        cr_assert_leq(open, 1);
        cr_assert_eq(is_idle(), open == 0);
        pqb_flow_release(flow);
        sched_yield();
    }
    cr_assert(is_idle());
    cr_assert_not(pqb_flow_is_lost(flow));
}
