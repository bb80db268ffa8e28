/* trace.c: which process and which claim is behind a connection, where the tables are known. */
#include "tool/trace.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(trace, .timeout = 60);

#define MOST 8
#define SERVER 3 /* in the snapshot */

static struct pqb_sockets_tcp tcp[2 * MOST];
static struct pqb_sockets_local local[2 * MOST];
static struct pqb_sockets_owner owner[4 * MOST];
static struct pqb_sockets sockets = {.tcp = tcp, .local = local, .owner = owner};
static struct pqb_backend backend[MOST];
static struct pqb_activity activity = {
    .port = 5432, .folders = "/run/pg, /tmp", .backend = backend};
static struct pqb_snapshot_claim claim[MOST];
static struct pqb_snapshot snapshot = {.claim = claim};
static struct pqb_trace *trace;

/* ---- the machine ---- */

static int by_local(const void *left, const void *right)
{
    const struct pqb_address *a = &((const struct pqb_sockets_tcp *)left)->local;
    const struct pqb_address *b = &((const struct pqb_sockets_tcp *)right)->local;
    int order = (int)a->family - b->family;
    if (!order)
        order = memcmp(a->word, b->word, sizeof a->word);
    return order ? order : (int)a->port - b->port;
}

static int by_inode(const void *left, const void *right)
{
    const struct pqb_sockets_owner *a = left, *b = right;
    int order = (a->inode > b->inode) - (a->inode < b->inode);
    return order ? order : a->pid - b->pid;
}

static void owns(int32_t pid, uint32_t inode)
{
    owner[sockets.owners++] = (struct pqb_sockets_owner){inode, pid};
    qsort(owner, sockets.owners, sizeof *owner, by_inode);
}

/* A socket from one address to another; its inode says which process has it: pid x 10 and more. */
static void end(const char *from, unsigned port, const char *to, unsigned to_port, uint32_t inode)
{
    tcp[sockets.tcps++] = (struct pqb_sockets_tcp){.local = pqb_address_of(from, port),
                                                   .remote = pqb_address_of(to, to_port),
                                                   .inode = inode,
                                                   .uid = 7};
    qsort(tcp, sockets.tcps, sizeof *tcp, by_local);
    owns((int32_t)inode / 10, inode);
}

static void at_unix(const char *name, uint32_t peer)
{
    struct pqb_sockets_local *socket = &local[sockets.locals++];
    *socket = (struct pqb_sockets_local){.inode = 9000 + peer, .peer = peer};
    snprintf(socket->name, sizeof socket->name, "%s", name);
    owns((int32_t)peer / 10, peer);
}

/* ---- the server ---- */

static void own_connection(const char *from, const char *to, unsigned to_port, int is_here)
{
    activity.own = pqb_address_of(from, 60000);
    activity.own_peer = pqb_address_of(to, to_port);
    end(from, 60000, to, to_port, 11);
    if (is_here)
        end(to, to_port, from, 60000, 22);
}

static struct pqb_backend *add_backend(int32_t pid)
{
    struct pqb_backend *added = &backend[activity.backends++];
    *added = (struct pqb_backend){.pid = pid};
    return added;
}

static void from_tcp(int32_t pid, const char *address, unsigned port)
{
    struct pqb_backend *added = add_backend(pid);
    added->client = pqb_address_of(address, port);
    snprintf(added->client_text, sizeof added->client_text, "%s", address);
}

static void from_unix(int32_t pid)
{
    add_backend(pid)->is_unix = 1;
}

/* ---- the ledger ---- */

static struct pqb_snapshot_claim *add_claim(unsigned server, int32_t pid, int32_t backend_pid)
{
    struct pqb_snapshot_claim *added = &claim[snapshot.claims++];
    *added = (struct pqb_snapshot_claim){
        .state = PQB_CLAIM_OPEN, .server = server, .pid = pid, .backend_pid = backend_pid};
    return added;
}

static void place(struct pqb_snapshot_claim *at, const char *from, unsigned port, unsigned to_port)
{
    struct pqb_address address = pqb_address_of(from, port);
    at->socket_cookie = 1;
    at->socket_place.family = address.family;
    at->socket_place.local_port = htons((uint16_t)port);
    at->socket_place.remote_port = htons((uint16_t)to_port);
    memcpy(at->socket_place.local, address.word, sizeof address.word);
}

/* ---- the answers ---- */

static void follow(void)
{
    trace = pqb_trace_all(&activity, &sockets, &snapshot, SERVER);
    cr_assert_not_null(trace);
}

static void is(unsigned number, int32_t pid, int is_far, unsigned claim_number)
{
    cr_expect_eq(trace[number].pid, pid, "backend %u: pid %d", number, trace[number].pid);
    cr_expect_eq(trace[number].is_far, is_far, "backend %u", number);
    cr_expect_eq(trace[number].claim, claim_number, "backend %u: claim %u", number,
                 trace[number].claim);
}
#define NONE PQB_TRACE_NONE

Test(trace, by_the_clients_port)
{
    own_connection("127.0.0.1", "127.0.0.1", 5432, 1);
    end("127.0.0.1", 40000, "127.0.0.1", 5432, 500);
    end("::1", 40000, "::1", 5432, 510);
    from_tcp(900, "127.0.0.1", 40000);
    from_tcp(901, "::1", 40000);
    from_tcp(902, "127.0.0.1", 40001);
    follow();
    is(0, 50, 0, NONE);
    is(1, 51, 0, NONE);
    is(2, 0, 0, NONE);
    cr_expect_eq(trace[0].uid, 7);
    cr_expect_eq(trace[2].uid, -1);
}

/* Another server's clients may have the same addresses and ports as this one's. */
Test(trace, tells_servers_apart)
{
    own_connection("127.0.0.1", "127.0.0.1", 5432, 1);
    end("127.0.0.1", 40000, "127.0.0.1", 5433, 500);
    end("127.0.0.1", 40000, "127.0.0.1", 5432, 510);
    end("127.0.0.1", 40001, "127.0.0.2", 5432, 520);
    end("127.0.0.1", 40001, "127.0.0.1", 5432, 530);
    end("127.0.0.1", 40002, "127.0.0.3", 5432, 540);
    end("127.0.0.1", 40002, "127.0.0.2", 5432, 550);
    for (unsigned i = 0; i < 3; i++)
        from_tcp(900 + (int32_t)i, "127.0.0.1", 40000 + i);
    follow();
    is(0, 51, 0, NONE);
    is(1, 53, 0, NONE);
    is(2, 0, 0, NONE); /* nothing tells which it is, so nobody is accused */
}

/* In a container whose port is another one here: what it calls its loopback is not ours. */
Test(trace, behind_a_mapped_port)
{
    own_connection("127.0.0.1", "127.0.0.1", 15432, 0);
    end("127.0.0.1", 40000, "127.0.0.1", 15432, 500);
    from_tcp(900, "127.0.0.1", 40000);
    from_tcp(901, "192.0.2.9", 40000);
    from_unix(902);
    follow();
    for (unsigned i = 0; i < 3; i++)
        is(i, 0, 1, NONE);
}

Test(trace, from_elsewhere)
{
    own_connection("127.0.0.1", "127.0.0.1", 5432, 1);
    from_tcp(900, "192.0.2.9", 40000);
    from_tcp(901, "2001:db8::9", 40000);
    add_backend(902)->is_hidden = 1;
    follow();
    is(0, 0, 1, NONE);
    is(1, 0, 1, NONE);
    is(2, 0, 0, NONE);
}

/* ---- Unix sockets, where the server's own descriptors are not for us to see ---- */

Test(trace, one_program_at_the_unix_sockets)
{
    at_unix("/tmp/.s.PGSQL.5432", 500);
    at_unix("/run/pg/.s.PGSQL.5432", 501);
    at_unix("/run/pg/.s.PGSQL.5433", 610);
    at_unix("/other/.s.PGSQL.5432", 620);
    from_unix(900);
    from_unix(901);
    follow();
    is(0, 50, 0, NONE);
    is(1, 50, 0, NONE);
}

Test(trace, one_program_beside_those_of_the_ledger)
{
    at_unix("/tmp/.s.PGSQL.5432", 500);
    at_unix("/tmp/.s.PGSQL.5432", 510);
    at_unix("/tmp/.s.PGSQL.5432", 520);
    for (int32_t pid = 900; pid < 903; pid++)
        from_unix(pid);
    add_claim(SERVER, 50, 902);
    add_claim(SERVER, 52, 900);
    follow();
    is(0, 52, 0, 1);
    is(1, 51, 0, NONE);
    is(2, 50, 0, 0);
}

Test(trace, of_two_programs_nobody_is_accused)
{
    at_unix("/tmp/.s.PGSQL.5432", 500);
    at_unix("/tmp/.s.PGSQL.5432", 510);
    from_unix(900);
    from_unix(901);
    follow();
    is(0, 0, 0, NONE);
    is(1, 0, 0, NONE);
}

Test(trace, nor_where_one_came_meanwhile)
{
    at_unix("/tmp/.s.PGSQL.5432", 500);
    at_unix("/tmp/.s.PGSQL.5432", 501);
    from_unix(900);
    follow();
    is(0, 0, 0, NONE);
}

/* ---- claims ---- */

Test(trace, claims_by_their_backend)
{
    own_connection("127.0.0.1", "127.0.0.1", 5432, 1);
    end("127.0.0.1", 40000, "127.0.0.1", 5432, 500);
    from_tcp(900, "127.0.0.1", 40000);
    from_tcp(901, "127.0.0.1", 40001);
    from_tcp(902, "127.0.0.1", 40002);
    add_claim(SERVER + 1, 50, 900); /* the same server by another name */
    add_claim(SERVER + 1, 51, 901); /* another server's backend has that pid too */
    add_claim(SERVER, 52, 902);     /* whose process can't be seen: the claim names it */
    follow();
    is(0, 50, 0, 0);
    is(1, 0, 0, NONE);
    is(2, 52, 0, 2);
}

Test(trace, claims_by_their_socket)
{
    own_connection("127.0.0.1", "127.0.0.1", 5432, 1);
    at_unix("/tmp/.s.PGSQL.5432", 530);
    from_tcp(900, "127.0.0.1", 40000);
    from_tcp(901, "127.0.0.1", 40001);
    from_unix(902);
    place(add_claim(SERVER, 50, 0), "127.0.0.1", 40001, 5432);
    place(add_claim(SERVER, 51, 0), "127.0.0.1", 40000, 5432);
    place(add_claim(SERVER, 52, 0), "127.0.0.1", 40000, 5433); /* another server's */
    backend[2].inode = 530;
    claim[3] = (struct pqb_snapshot_claim){.state = PQB_CLAIM_OPEN, .server = SERVER, .pid = 53};
    claim[3].socket_cookie = 1;
    claim[3].socket_place.family = AF_UNIX;
    claim[3].socket_place.local[0] = 530;
    snapshot.claims = 4;
    follow();
    is(0, 51, 0, 1);
    is(1, 50, 0, 0);
    is(2, 53, 0, 3);
}

/* Connecting, or through a door that sees no backend's pid: the process has one, each claim once.
 */
Test(trace, claims_by_their_process)
{
    own_connection("127.0.0.1", "127.0.0.1", 5432, 1);
    for (unsigned i = 0; i < 3; i++) {
        end("127.0.0.1", 40000 + i, "127.0.0.1", 5432, 500 + i);
        from_tcp(900 + (int32_t)i, "127.0.0.1", 40000 + i);
    }
    add_claim(SERVER, 50, 0);
    add_claim(SERVER, 50, 0)->state = PQB_CLAIM_WAITING;
    add_claim(SERVER, 50, 0)->state = PQB_CLAIM_CONNECTING;
    add_claim(SERVER, 51, 0);
    follow();
    is(0, 50, 0, 0);
    is(1, 50, 0, 2);
    is(2, 50, 0, NONE);
}

/* A forked child has its parent's sockets; the claim knows who made the connection. */
Test(trace, the_holder_is_the_claims)
{
    own_connection("127.0.0.1", "127.0.0.1", 5432, 1);
    end("127.0.0.1", 40000, "127.0.0.1", 5432, 500);
    owns(60, 500);
    from_tcp(900, "127.0.0.1", 40000);
    add_claim(SERVER, 60, 900);
    follow();
    is(0, 60, 0, 0);
}

Test(trace, of_nothing)
{
    follow();
    cr_assert(pqb_trace_is_here(&activity, &sockets));
}
