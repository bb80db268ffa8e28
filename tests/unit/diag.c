/* diag.c: real sockets, closed by every road there is. */
#include "ledger/diag.h"
#include "ledger/claim.h"
#include "ledger/os.h"
#include "ledger/tick.h"
#include "ledger/wait.h"
#include "support/support.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(diag, .timeout = 120);

enum kind { TCP4, TCP6, MAPPED, LOCAL, KINDS };

/* The two ends of a connection, and how the kernel knows the client's. */
struct pair {
    int client, server;
    uint64_t cookie;
    struct pqb_socket_place place;
};

union any_address {
    struct sockaddr any;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    struct sockaddr_un local;
};

static socklen_t address_of(enum kind kind, union any_address *address, int connects)
{
    memset(address, 0, sizeof *address);
    switch (kind) {
    case TCP4:
        address->in.sin_family = AF_INET;
        address->in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        return sizeof address->in;
    case TCP6:
        address->in6.sin6_family = AF_INET6;
        address->in6.sin6_addr = in6addr_loopback;
        return sizeof address->in6;
    case MAPPED:
        address->in6.sin6_family = AF_INET6;
        inet_pton(AF_INET6, connects ? "::ffff:127.0.0.1" : "::", &address->in6.sin6_addr);
        return sizeof address->in6;
    default: /* the kernel gives it an abstract name */
        address->local.sun_family = AF_UNIX;
        return sizeof address->any.sa_family;
    }
}

static enum pqb_diag_answer ask(const struct pair *pair)
{
    struct pqb_diag diag = {0};
    enum pqb_diag_answer answer = pqb_diag_ask(&diag, pair->cookie, &pair->place);
    pqb_diag_close(&diag);
    return answer;
}

#define exists(pair) (ask(pair) == PQB_DIAG_EXISTS)
#define is_gone(pair) (ask(pair) == PQB_DIAG_GONE)

static int find(struct pair *pair)
{
    struct pqb_diag diag = {0};
    int is_found = pqb_diag_find(&diag, pair->client, &pair->cookie, &pair->place);
    pqb_diag_close(&diag);
    return is_found;
}

static struct pair connected(enum kind kind)
{
    union any_address address, at;
    socklen_t length = address_of(kind, &address, 0), size = sizeof at;
    struct pair pair;
    int listener = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0), zero = 0;
    if (kind == MAPPED)
        setsockopt(listener, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof zero);
    expect(!bind(listener, &address.any, length) && !listen(listener, 1));
    expect(!getsockname(listener, &at.any, &size));
    if (kind == MAPPED) {
        address_of(kind, &address, 1);
        at.in6.sin6_addr = address.in6.sin6_addr;
    }
    pair.client = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    expect(!connect(pair.client, &at.any, size));
    pair.server = accept(listener, NULL, NULL);
    expect(pair.server >= 0);
    close(listener);
    expect(find(&pair));
    expect(exists(&pair));
    return pair;
}

/* For how long nothing passed; 0 if that is not known. */
static uint64_t idle_of(const struct pair *pair)
{
    struct pqb_diag diag = {0};
    uint64_t idle = 0;
    (void)!pqb_diag_idle(&diag, pair->cookie, &pair->place, &idle);
    pqb_diag_close(&diag);
    return idle;
}

static void each_kind(void (*body)(enum kind))
{
    for (enum kind kind = 0; kind < KINDS; kind++)
        body(kind);
}

/* ---- the clock ---- */

static void left_alone(enum kind kind)
{
    struct pair pair = connected(kind);
    char byte;
    if (kind == LOCAL) {
        cr_assert_eq(idle_of(&pair), 0);
    } else {
        cr_assert(wait_until(idle_of(&pair) > 300 * PQB_MS));
        /* One byte, either way, and its time begins anew. */
        for (int i = 0; i < 2; i++) {
            int from = i ? pair.server : pair.client, to = i ? pair.client : pair.server;
            cr_assert(wait_until(write(from, "x", 1) == 1 && read(to, &byte, 1) == 1 &&
                                 idle_of(&pair) < 300 * PQB_MS));
        }
    }
    close(pair.client);
    cr_assert_eq(idle_of(&pair), 0);
    close(pair.server);
}

Test(diag, left_alone)
{
    each_kind(left_alone);
}

/* ---- the roads ---- */

static void closed_at_once(enum kind kind)
{
    struct pair pair = connected(kind);
    syscall(SYS_close, pair.client);
    cr_assert(is_gone(&pair), "kind %d", (int)kind);
    /* Over TCP the server's end is open, and the kernel keeps a socket for the goodbye. */
    close(pair.server);
    cr_assert(is_gone(&pair), "kind %d", (int)kind);
}

Test(diag, closed_past_every_hook)
{
    each_kind(closed_at_once);
}

static void duplicated(enum kind kind)
{
    struct pair pair = connected(kind);
    int other = dup(pair.client);
    close(pair.client);
    cr_assert(exists(&pair));
    cr_assert_geq(dup2(STDIN_FILENO, other), 0); /* something else is put there */
    cr_assert(is_gone(&pair));
    close(other);
    close(pair.server);
}

Test(diag, a_duplicate_keeps_it)
{
    each_kind(duplicated);
}

static void inherited(enum kind kind)
{
    struct pair pair = connected(kind);
    int go[2];
    cr_assert_eq(pipe(go), 0);
    pid_t child = support_fork();
    if (!child) {
        char byte;
        close(go[1]);
        _exit(read(go[0], &byte, 1) != 0);
    }
    close(go[0]);
    close(pair.client);
    cr_assert(exists(&pair));
    close(go[1]);
    cr_assert_eq(support_reap(child), 0);
    cr_assert(wait_until(is_gone(&pair)));
    close(pair.server);
}

Test(diag, a_forked_child_keeps_it)
{
    each_kind(inherited);
}

static void passed_on(enum kind kind)
{
    struct pair pair = connected(kind);
    int way[2], received;
    char byte = 0, control[CMSG_SPACE(sizeof received)] = {0};
    struct iovec part = {&byte, 1};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof control};
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, way), 0);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof received);
    memcpy(CMSG_DATA(head), &pair.client, sizeof pair.client);
    cr_assert_eq(sendmsg(way[0], &message, 0), 1);
    close(pair.client);
    cr_assert(exists(&pair)); /* in no process at all: it is on its way */
    cr_assert_eq(recvmsg(way[1], &message, 0), 1);
    head = CMSG_FIRSTHDR(&message);
    cr_assert_not_null(head);
    memcpy(&received, CMSG_DATA(head), sizeof received);
    cr_assert(exists(&pair));
    close(received);
    cr_assert(is_gone(&pair));
    close(way[0]);
    close(way[1]);
    close(pair.server);
}

Test(diag, one_that_was_passed_on_exists)
{
    each_kind(passed_on);
}

/* Half closed by either side it is still there, until nobody has it open, or both have ended. */
static void half_closed(enum kind kind)
{
    struct pair pair = connected(kind);
    shutdown(pair.client, SHUT_WR);
    cr_assert(exists(&pair));
    close(pair.client);
    cr_assert(is_gone(&pair));
    close(pair.server);
    pair = connected(kind);
    close(pair.server);
    cr_assert(exists(&pair));
    close(pair.client);
    cr_assert(is_gone(&pair));
}

Test(diag, half_closed_exists)
{
    each_kind(half_closed);
}

/* A TCP connection that both sides have ended is over, though the program still has its socket. */
Test(diag, over_on_both_sides_is_gone)
{
    struct pair pair = connected(TCP4);
    shutdown(pair.client, SHUT_RDWR);
    cr_assert(exists(&pair));
    close(pair.server);
    cr_assert(wait_until(is_gone(&pair)));
    close(pair.client);
}

/* Addresses and ports come again; the cookie does not. */
Test(diag, another_socket_in_its_place_is_another)
{
    struct pair pair = connected(TCP4), other = connected(TCP4);
    struct pair mixed = other;
    mixed.cookie = pair.cookie;
    cr_assert(is_gone(&mixed));
    mixed = other;
    mixed.place.remote_port ^= 1;
    cr_assert(is_gone(&mixed));
    cr_assert(exists(&pair));
    cr_assert(exists(&other));
}

/* A Unix socket moves in the kernel's table when it is given a name. */
Test(diag, never_gone_while_it_is_bound)
{
    for (unsigned i = 0; i < 200; i++) {
        struct pair pair = connected(LOCAL);
        pid_t child = support_fork();
        if (!child) {
            union any_address address;
            socklen_t length = address_of(LOCAL, &address, 0);
            _exit(bind(pair.client, &address.any, length) != 0);
        }
        int status;
        do
            cr_assert(exists(&pair));
        while (waitpid(child, &status, WNOHANG) != child);
        cr_assert_eq(status, 0);
        close(pair.client);
        cr_assert(is_gone(&pair));
        close(pair.server);
    }
}

/* ---- what is not asked ---- */

Test(diag, nothing_is_known_of_what_is_not_connected)
{
    struct pair pair = {.client = socket(AF_INET, SOCK_STREAM, 0)};
    cr_assert_not(find(&pair));
    pair.client = STDIN_FILENO;
    cr_assert_not(find(&pair));
    pair.client = -1;
    cr_assert_not(find(&pair));
}

Test(diag, another_namespace_is_not_asked)
{
    struct pair pair = connected(TCP4);
    pair.place.network++;
    cr_assert_eq(ask(&pair), PQB_DIAG_UNKNOWN);
    close(pair.client);
    cr_assert_eq(ask(&pair), PQB_DIAG_UNKNOWN);
}

Test(diag, who_has_gone_to_another_namespace_knows_nothing)
{
    struct pair pair = connected(TCP4), local = connected(LOCAL);
    pid_t child = support_fork();
    if (!child) {
        if (unshare(CLONE_NEWNET) && unshare(CLONE_NEWUSER | CLONE_NEWNET))
            _exit(77);
        expect(ask(&pair) == PQB_DIAG_UNKNOWN);
        expect(ask(&local) == PQB_DIAG_UNKNOWN);
        expect(find(&pair) == 0); /* it is not of the namespace that is asked about */
        _exit(0);
    }
    int status = support_reap(child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        cr_skip_test("no namespaces here");
    cr_assert_eq(status, 0);
}

Test(diag, nonsense_is_answered)
{
    struct pair pair = connected(TCP4);
    pair.place.family = 77;
    cr_assert_eq(ask(&pair), PQB_DIAG_UNKNOWN);
    pair.place.family = 0;
    cr_assert_eq(ask(&pair), PQB_DIAG_UNKNOWN);
    pair.cookie = 0;
    cr_assert_eq(ask(&pair), PQB_DIAG_UNKNOWN);
    /* No inode: the kernel calls the question wrong. */
    struct pair none = {.cookie = 1, .place = {.family = AF_UNIX, .network = pair.place.network}};
    cr_assert_eq(ask(&none), PQB_DIAG_UNKNOWN);
}

/* Nothing of ours stays open, and a host that takes our number away is not written to. */
Test(diag, leaves_nothing_and_touches_nothing)
{
    struct pair pair = connected(TCP4);
    unsigned before = support_descriptors();
    struct pqb_diag diag = {0};
    int innocent[2];
    char byte;
    errno = 42;
    cr_assert_eq(pqb_diag_ask(&diag, pair.cookie, &pair.place), PQB_DIAG_EXISTS);
    cr_assert_eq(support_descriptors(), before + 1);
    cr_assert_eq(errno, 42);
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, innocent), 0);
    cr_assert_eq(dup2(innocent[0], diag.fd1 - 1), diag.fd1 - 1);
    cr_assert_eq(pqb_diag_ask(&diag, pair.cookie, &pair.place), PQB_DIAG_UNKNOWN);
    cr_assert_lt(recv(innocent[1], &byte, 1, MSG_DONTWAIT), 0);
    int taken = diag.fd1 - 1;
    pqb_diag_close(&diag);
    cr_assert_eq(close(taken), 0); /* it is the host's */
    close(innocent[0]);
    close(innocent[1]);
    cr_assert_eq(support_descriptors(), before);
}

/* ---- claims ---- */

static struct pqb_ledger ledger;

static void open_ledger(void)
{
    support_ledger_open(&ledger);
}

static void end_ledger(void)
{
    support_ledger_end(&ledger);
}

TestSuite(diag_claims, .init = open_ledger, .fini = end_ledger, .timeout = 120);

static const struct pqb_server_config one = {.limit = 1};
static const struct pqb_claim_request request = {
    .server = "localhost:5432", .app = "test", .defaults = &one, .door = PQB_DOOR_SOCKET};

static struct pqb_claim hold(const struct pair *pair, int is_open, int32_t backend_pid)
{
    struct pqb_claim claim;
    struct pqb_claim_peer peer = {.backend_pid = backend_pid, .is_local = 0};
    expect(!pqb_wait_acquire(&ledger, &request, 0, &claim, NULL, NULL));
    if (pair)
        pqb_claim_socket(&claim, pair->client, pair->cookie);
    if (is_open)
        expect(!pqb_claim_open(&claim, &peer));
    return claim;
}

static int can_have_one(void)
{
    struct pqb_claim claim;
    if (pqb_wait_acquire(&ledger, &request, 0, &claim, NULL, NULL))
        return 0;
    pqb_claim_give(&claim, PQB_END_CLOSED);
    return 1;
}

static struct pqb_claim_row *row_of(const struct pqb_claim *claim)
{
    return &claim->region->map->claim[claim->index];
}

static void closed_while_held(enum kind kind)
{
    for (int is_open = 0; is_open <= 1; is_open++) {
        struct pair pair = connected(kind);
        struct pqb_claim claim = hold(&pair, is_open, 0);
        cr_assert_not(can_have_one());
        syscall(SYS_close, pair.client);
        cr_assert(can_have_one());
        pqb_claim_give(&claim, PQB_END_CLOSED);
        close(pair.server);
    }
    cr_assert_eq(atomic_load(&ledger.region)->map->server[0].reaped_total, 0);
}

Test(diag_claims, what_is_closed_past_us_is_free_for_others)
{
    each_kind(closed_while_held);
}

Test(diag_claims, an_unknown_socket_is_not_asked_for)
{
    struct pair pair = connected(TCP4);
    struct pqb_claim claim = hold(NULL, 1, 0);
    close(pair.client);
    cr_assert_not(can_have_one());
    pqb_claim_give(&claim, PQB_END_CLOSED);
    cr_assert(can_have_one());
}

/* The host has put another socket at the number. */
Test(diag_claims, another_socket_is_not_taken_for_it)
{
    struct pair pair = connected(TCP4), other = connected(TCP4);
    struct pqb_claim claim = hold(NULL, 1, 0);
    pqb_claim_socket(&claim, other.client, pair.cookie);
    close(other.client);
    cr_assert_not(can_have_one());
    pqb_claim_give(&claim, PQB_END_CLOSED);
}

Test(diag_claims, a_waiter_elsewhere_gets_it)
{
    struct pair pair = connected(TCP4);
    struct pqb_claim claim = hold(&pair, 1, 0);
    struct pqb_claim next;
    int *is_waiting = support_shared(sizeof *is_waiting);
    pid_t child = support_fork();
    if (!child) {
        close(pair.client);
        *is_waiting = 1;
        expect(!pqb_wait_acquire(&ledger, &request, 20000, &next, NULL, NULL));
        _exit(0);
    }
    cr_assert(wait_until(support_count(&ledger).waiting == 1));
    cr_assert(exists(&pair));
    syscall(SYS_close, pair.client);
    cr_assert_eq(support_reap(child), 0);
    pqb_claim_give(&claim, PQB_END_CLOSED);
}

/* Its backend still counts. */
Test(diag_claims, drains_while_its_backend_lives)
{
    struct pair pair = connected(TCP4);
    struct pqb_claim claim = hold(&pair, 1, 0);
    row_of(&claim)->backend_pid = getpid();
    row_of(&claim)->backend_seen = 1;
    syscall(SYS_close, pair.client);
    pqb_tick_look(claim.region, PQB_CLAIMS);
    cr_assert_eq(pqb_ctl_state(atomic_load(&row_of(&claim)->ctl)), PQB_CLAIM_DRAINING);
    pqb_claim_give(&claim, PQB_END_CLOSED);
}

/* Of another server's nobody is asked who waits here. */
Test(diag_claims, a_tick_asks_for_its_own_server)
{
    struct pair pair = connected(TCP4);
    struct pqb_claim claim = hold(&pair, 1, 0);
    unsigned server = row_of(&claim)->server;
    syscall(SYS_close, pair.client);
    cr_assert_eq(pqb_tick(claim.region, server + 1, NULL), PQB_OK);
    cr_assert_eq(pqb_ctl_state(atomic_load(&row_of(&claim)->ctl)), PQB_CLAIM_OPEN);
    cr_assert(wait_until(pqb_tick(claim.region, server, NULL) == PQB_OK &&
                         pqb_ctl_state(atomic_load(&row_of(&claim)->ctl)) != PQB_CLAIM_OPEN));
    pqb_claim_give(&claim, PQB_END_CLOSED);
}

/* However many are open, each one comes to its turn. */
/* What it has written may have reached the server, which goes on with the login. */
Test(diag_claims, given_up_in_the_midst_of_its_login_drains_for_its_time)
{
    static const struct pqb_server_config slow = {.limit = 1, .drain_ms = 60000};
    struct pqb_claim_request asked = request;
    asked.defaults = &slow;
    for (int raw = 0; raw < 2; raw++) {
        struct pair pair = connected(TCP4);
        struct pqb_claim claim;
        asked.server = raw ? "raw:5432" : "closed:5432";
        cr_assert_eq(pqb_wait_acquire(&ledger, &asked, 0, &claim, NULL, NULL), PQB_OK);
        pqb_claim_socket(&claim, pair.client, pair.cookie);
        unsigned server = row_of(&claim)->server;
        if (raw) {
            syscall(SYS_close, pair.client);
            cr_assert_eq(pqb_tick(claim.region, server, NULL), PQB_OK);
        } else {
            close(pair.client);
            pqb_claim_closed(&claim);
        }
        cr_assert(wait_until(support_count(&ledger).draining == (unsigned)raw + 1));
    }
}

Test(diag_claims, comes_round_to_all)
{
    static const struct pqb_server_config endless = {.limit = PQB_UNLIMITED};
    struct pqb_claim_request many = request;
    struct pair pair[300];
    struct pqb_claim claim[300];
    struct pqb_claim_peer peer = {0};
    many.server = "many:5432";
    many.defaults = &endless;
    for (unsigned i = 0; i < 300; i++) {
        pair[i] = connected(LOCAL);
        cr_assert_eq(pqb_wait_acquire(&ledger, &many, 0, &claim[i], NULL, NULL), PQB_OK);
        pqb_claim_socket(&claim[i], pair[i].client, pair[i].cookie);
        cr_assert_eq(pqb_claim_open(&claim[i], &peer), PQB_OK);
    }
    unsigned server = row_of(&claim[0])->server;
    for (unsigned i = 0; i < 300; i += 2)
        syscall(SYS_close, pair[i].client);
    cr_assert(wait_until(pqb_tick(claim[0].region, server, NULL) == PQB_OK &&
                         support_count(&ledger).used == 150));
    for (unsigned i = 1; i < 300; i += 2)
        cr_assert_eq(pqb_ctl_state(atomic_load(&row_of(&claim[i])->ctl)), PQB_CLAIM_OPEN);
}

/* ---- closed in one process ---- */

Test(diag_claims, closed_for_good_is_given_back)
{
    struct pair pair = connected(TCP4);
    struct pqb_claim claim = hold(&pair, 1, 0);
    close(pair.client);
    pqb_claim_closed(&claim);
    cr_assert_null(claim.region);
    cr_assert_eq(support_count(&ledger).used, 0);
}

Test(diag_claims, a_child_keeps_it_counted)
{
    struct pair pair = connected(TCP4);
    struct pqb_claim claim = hold(&pair, 1, 0);
    int go[2];
    cr_assert_eq(pipe(go), 0);
    pid_t child = support_fork();
    if (!child) {
        char byte;
        close(go[1]);
        expect(read(go[0], &byte, 1) == 0);
        close(pair.client);
        pqb_claim_closed(&claim);
        expect(support_count(&ledger).used == 0);
        _exit(0);
    }
    close(pair.client);
    pqb_claim_closed(&claim);
    cr_assert_null(claim.region);
    cr_assert_not(can_have_one());
    close(go[0]);
    close(go[1]);
    cr_assert_eq(support_reap(child), 0);
    cr_assert_eq(atomic_load(&ledger.region)->map->server[0].reaped_total, 0);
}

/* A duplicate that nobody knows of has no life lock; the kernel knows of it all the same. */
Test(diag_claims, a_duplicate_keeps_it_counted)
{
    struct pair pair = connected(TCP6);
    struct pqb_claim claim = hold(&pair, 1, 0);
    int other = dup(pair.client);
    close(pair.client);
    pqb_claim_closed(&claim);
    pqb_tick_look(atomic_load(&ledger.region), PQB_CLAIMS);
    cr_assert_not(can_have_one());
    close(other);
    cr_assert(can_have_one());
}

/* Where the kernel says nothing, the life lock decides: a child that has a copy of it has the
 * socket. */
Test(diag_claims, unknown_is_left_to_the_life_lock)
{
    struct pqb_claim alone = hold(NULL, 1, 0);
    pqb_claim_closed(&alone);
    cr_assert_eq(support_count(&ledger).used, 0);
    struct pqb_claim shared = hold(NULL, 1, 0);
    pid_t child = support_fork();
    if (!child)
        support_linger();
    pqb_claim_closed(&shared);
    cr_assert_not(can_have_one());
    support_kill(child);
    cr_assert(can_have_one());
}

/* The holder dies; who was passed the socket goes on. */
Test(diag_claims, outlives_its_holder_while_somebody_has_its_socket)
{
    struct pair pair = connected(LOCAL);
    pid_t child = support_fork();
    if (!child) {
        hold(&pair, 1, 0);
        _exit(0);
    }
    cr_assert_eq(support_reap(child), 0);
    cr_assert_not(can_have_one());
    cr_assert_eq(support_count(&ledger).open, 1);
    close(pair.client);
    cr_assert(can_have_one());
    cr_assert_eq(atomic_load(&ledger.region)->map->server[0].reaped_total, 1);
}
