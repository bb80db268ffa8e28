/*
 * chaos: many processes that claim, wait, hold and die.
 *
 *   chaos [--deaths N] [--processes P] [--limit L] [--seed S]
 *
 * The master starts workers, and stops and kills them at random points; often on purpose whoever
 * is inside the ledger's guard. A worker claims, holds, forks children that keep or close their
 * copies, execs itself, becomes a daemon, closes all its descriptors, leaves waits by siglongjmp,
 * uses threads and the bell, lets grants lie, gives way or does not, and steers.
 *
 *  never over   The judge is a server made of a Unix socket, and knows nothing of the ledger: a
 * holder is connected to it from its grant until it gives back, which it does only when the judge
 *               has acknowledged the end. The kernel releases a dying process's socket and life
 *               lock in no fixed order, so a connection does not count while all its owners are
 *               doomed: they say so before they let go, and the master says so before it kills. It
 *               counts again when it is still there two seconds later.
 *               The observer, beside it, looks at snapshots: used <= limit in each consistent one.
 *  never stuck  The observer: a free slot and a running waiter that nothing but lack of room could
 * hold back coexist for three seconds without a grant only while the guard's owner is stopped. fair
 * The observer: on the server where only room and pauses hold anybody back, nobody is granted while
 * an older ticket waits. never lost   When everybody is dead, one visitor finds nothing in use;
 * books that agree with the claims; every slot of the limit; no descriptor and no file left over.
 *
 * Everything is reproducible from the seed but for the moments the scheduler chooses.
 */
#include "ledger/journal.h"
#include "ledger/snapshot.h"
#include "ledger/steer.h"
#include "ledger/tick.h"
#include "ledger/wait.h"
#include "ledger/yield.h"
#include "support/audit.h"
#include "support/support.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define PEOPLE 1024
#define SERVERS 3
#define HELD 3
#define FINDINGS 8
#define GRACE (2 * PQB_SECOND)
#define STUCK (3 * PQB_SECOND)
#define LIAR "liar" /* application of those who don't do what a waiter must */

/* ---- what all processes share, beside the ledger ---- */

struct person {
    _Atomic int32_t pid; /* 0 = nobody; emptied by the master when it has reaped him */
    _Atomic uint32_t generation;
    _Atomic uint64_t doomed_at;  /* set before he is killed, or lets go */
    _Atomic uint64_t stopped_at; /* 0 = runs */
    _Atomic uint64_t continued_at;
};

enum tally {
    GRANTS,
    TIMEOUTS,
    BUSY,
    FORKS,
    EXECS,
    DAEMONS,
    CLOSED_ALL,
    JUMPS,
    THREADS,
    BELLS,
    LIES,
    STEERED,
    LOST_OPENS,
    EXITS,
    GIVEN_BY_CHILD,
    YIELDED,
    DECLINED,
    ASKED_IN_VAIN,
    UNANSWERED,
    DIED_YIELDING,
    TALLIES
};

static const char *const tally_names[TALLIES] = {"grants",
                                                 "timeouts",
                                                 "guard busy",
                                                 "children forked",
                                                 "execs",
                                                 "daemons",
                                                 "closed every descriptor",
                                                 "longjmps out of a wait",
                                                 "threads",
                                                 "bell users",
                                                 "grants left lying",
                                                 "changes of configuration",
                                                 "claims lost while connecting",
                                                 "exits without giving back",
                                                 "given back by a child",
                                                 "gave way",
                                                 "asked to, and declined",
                                                 "asked for nobody any more",
                                                 "asked to, and did not answer",
                                                 "died giving way"};

struct shared {
    _Atomic uint32_t ending;
    uint32_t limit[SERVERS];
    char ledger[64];
    char folder[64];
    struct person person[PEOPLE];
    _Atomic uint64_t tally[TALLIES];
    _Atomic uint64_t longest_wait;
    _Atomic uint32_t connected[SERVERS]; /* the judge's count, and the most it saw */
    _Atomic uint32_t most[SERVERS];
    _Atomic uint64_t connections;
    _Atomic uint64_t samples, inconsistent, recoveries, taken_back, died;
    _Atomic uint64_t longest_idle; /* a free slot and an eligible waiter */
    _Atomic uint32_t findings;
    char finding[FINDINGS][400];
};

static struct shared *shared;
static struct pqb_ledger ledger;

static void add(enum tally tally)
{
    atomic_fetch_add(&shared->tally[tally], 1);
}

static void raise_to(_Atomic uint64_t *most, uint64_t value)
{
    uint64_t seen = atomic_load(most);
    while (value > seen && !atomic_compare_exchange_weak(most, &seen, value))
        ;
}

__attribute__((format(printf, 1, 2))) static void find(const char *format, ...)
{
    uint32_t number = atomic_fetch_add(&shared->findings, 1);
    if (number >= FINDINGS)
        return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(shared->finding[number], sizeof shared->finding[number], format, arguments);
    va_end(arguments);
    dprintf(2, "\nfinding: %s\n", shared->finding[number]);
}

static void fail(const char *what)
{
    fprintf(stderr, "chaos: %s: %s\n", what, strerror(errno));
    exit(3);
}

static void shared_open(const char *folder, int create)
{
    char path[128];
    snprintf(path, sizeof path, "%s/shared", folder);
    int fd = open(path, O_RDWR | O_CLOEXEC | (create ? O_CREAT | O_EXCL : 0), 0600);
    if (fd < 0 || (create && ftruncate(fd, sizeof *shared)))
        fail(path);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (shared == MAP_FAILED)
        fail("mmap");
    close(fd);
}

/* splitmix64, for each process its own. */
static uint64_t seed;

static uint64_t draw(uint64_t below)
{
    uint64_t value = seed += 0x9e3779b97f4a7c15ull;
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9ull;
    value = (value ^ (value >> 27)) * 0x94d049bb133111ebull;
    return (value ^ (value >> 31)) % below;
}

static void nap_us(uint64_t microseconds)
{
    usleep((useconds_t)microseconds);
}

/* ---- people ---- */

static unsigned my_slot;
static uint32_t my_generation;

static void person_enter(void)
{
    for (unsigned slot = 0; slot < PEOPLE; slot++) {
        struct person *person = &shared->person[slot];
        int32_t nobody = 0;
        if (!atomic_compare_exchange_strong(&person->pid, &nobody, (int32_t)getpid()))
            continue;
        my_slot = slot;
        atomic_store(&person->stopped_at, 0);
        atomic_store(&person->continued_at, 0);
        my_generation = atomic_fetch_add(&person->generation, 1) + 1;
        atomic_store(&person->doomed_at, 0);
        if (atomic_load(&shared->ending))
            _exit(0);
        return;
    }
    _exit(0);
}

static struct person *person_of(int32_t pid)
{
    for (unsigned slot = 0; slot < PEOPLE; slot++)
        if (atomic_load(&shared->person[slot].pid) == pid)
            return &shared->person[slot];
    return NULL;
}

static unsigned people_alive(void)
{
    unsigned count = 0;
    for (unsigned slot = 0; slot < PEOPLE; slot++)
        count +=
            atomic_load(&shared->person[slot].pid) && !atomic_load(&shared->person[slot].doomed_at);
    return count;
}

/* ---- the judge ---- */

enum word { HELLO = 'h', WELCOME = 'w', BYE = 'b', ACKNOWLEDGED = 'k', DOOMED = 'd', OWNER = 'o' };

struct message {
    uint32_t kind;
    uint32_t server;
    uint32_t slot;
    uint32_t generation;
};

#define OWNERS 6
#define CONNECTIONS 1024

struct connection {
    int fd;
    int counted, asks; /* asks: its hello was read, and is to be answered */
    unsigned server, owners;
    struct {
        uint32_t slot, generation;
        uint64_t doomed_at;
    } owner[OWNERS];
};

static struct connection connection[CONNECTIONS];
static unsigned connections;

static void connection_end(unsigned i)
{
    close(connection[i].fd);
    if (connection[i].counted)
        atomic_fetch_sub(&shared->connected[connection[i].server], 1);
    connection[i] = connection[--connections];
}

/* When the last of its owners was doomed; 0 if one is not. */
static uint64_t doomed_since(struct connection *one, uint64_t now)
{
    uint64_t latest = 0;
    for (unsigned i = 0; i < one->owners; i++) {
        const struct person *person = &shared->person[one->owner[i].slot];
        uint64_t doomed = atomic_load(&person->doomed_at);
        if (one->owner[i].doomed_at)
            doomed = one->owner[i].doomed_at;
        else if (atomic_load(&person->generation) != one->owner[i].generation)
            doomed = one->owner[i].doomed_at = now;
        else if (doomed)
            one->owner[i].doomed_at = doomed;
        if (!doomed)
            return 0;
        if (doomed > latest)
            latest = doomed;
    }
    return latest;
}

static void add_owner(struct connection *one, const struct message *message)
{
    unsigned at = one->owners < OWNERS ? one->owners++ : OWNERS - 1;
    one->owner[at].slot = message->slot % PEOPLE;
    one->owner[at].generation = message->generation;
    one->owner[at].doomed_at = 0;
}

static void doom_owner(struct connection *one, const struct message *message)
{
    for (unsigned i = 0; i < one->owners; i++)
        if (one->owner[i].slot == message->slot &&
            one->owner[i].generation == message->generation && !one->owner[i].doomed_at)
            one->owner[i].doomed_at = pqb_now();
}

/* Reads all that one connection has to say. Returns 0 if that was its end. */
static int hear(unsigned i)
{
    struct connection *one = &connection[i];
    struct message message;
    for (;;) {
        ssize_t got = recv(one->fd, &message, sizeof message, MSG_DONTWAIT);
        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            return 1;
        if (got != sizeof message)
            break;
        switch (message.kind) {
        case HELLO:
            one->server = message.server % SERVERS;
            one->asks = 1;
            add_owner(one, &message);
            break;
        case OWNER:
            add_owner(one, &message);
            break;
        case DOOMED:
            doom_owner(one, &message);
            break;
        case BYE: {
            char answer = ACKNOWLEDGED;
            if (one->counted)
                atomic_fetch_sub(&shared->connected[one->server], 1);
            one->counted = 0;
            (void)!send(one->fd, &answer, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
            connection_end(i);
            return 0;
        }
        default:
            find("the judge was told nonsense");
        }
    }
    connection_end(i);
    return 0;
}

static void hear_all(void)
{
    struct pollfd polled[CONNECTIONS];
    for (unsigned i = 0; i < connections; i++)
        polled[i] = (struct pollfd){.fd = connection[i].fd, .events = POLLIN};
    unsigned count = connections;
    if (poll(polled, count, 0) <= 0)
        return;
    /* From the end, since the last one moves into the place of one that ends. */
    for (unsigned i = count; i-- > 0;)
        if (polled[i].revents)
            hear(i);
}

static void judge_over(unsigned server, uint64_t now)
{
    char list[300] = "";
    unsigned count = 0;
    size_t at = 0;
    for (unsigned i = 0; i < connections; i++) {
        struct connection *one = &connection[i];
        if (!one->counted || one->server != server)
            continue;
        uint64_t since = doomed_since(one, now);
        if (since && now - since < GRACE)
            continue;
        count++;
        if (at < sizeof list - 40)
            at += (size_t)snprintf(list + at, sizeof list - at, " %d%s",
                                   atomic_load(&shared->person[one->owner[0].slot].pid),
                                   since ? "(doomed long ago)" : "");
    }
    if (count > atomic_load(&shared->most[server]))
        atomic_store(&shared->most[server], count);
    if (count > shared->limit[server])
        find("over: %u connections to server %u, whose limit is %u: pids%s", count, server,
             shared->limit[server], list);
}

static void welcome(void)
{
    uint64_t now = pqb_now();
    unsigned changed = 0;
    char answer = WELCOME;
    for (unsigned i = 0; i < connections; i++) {
        struct connection *one = &connection[i];
        if (!one->asks)
            continue;
        one->asks = 0;
        one->counted = 1;
        changed |= 1u << one->server;
        atomic_fetch_add(&shared->connected[one->server], 1);
        atomic_fetch_add(&shared->connections, 1);
        (void)!send(one->fd, &answer, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    for (unsigned server = 0; server < SERVERS; server++)
        if (changed >> server & 1)
            judge_over(server, now);
}

static int judge_socket(int listening)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s/judge", shared->folder);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (listening ? bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 1000)
                  : connect(fd, (struct sockaddr *)&address, sizeof address)) {
        close(fd);
        return -1;
    }
    return fd;
}

static _Noreturn void judge(int listener)
{
    struct rlimit limit = {4096, 4096};
    setrlimit(RLIMIT_NOFILE, &limit);
    prctl(PR_SET_NAME, "chaos-judge");
    for (;;) {
        struct pollfd polled[CONNECTIONS + 1];
        for (unsigned i = 0; i < connections; i++)
            polled[i] = (struct pollfd){.fd = connection[i].fd, .events = POLLIN};
        polled[connections] = (struct pollfd){.fd = listener, .events = POLLIN};
        unsigned count = connections;
        if (poll(polled, count + 1, 1000) < 0 && errno != EINTR)
            fail("poll");
        for (int fd; polled[count].revents && connections < CONNECTIONS &&
                     (fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0;)
            connection[connections++] = (struct connection){.fd = fd};
        hear_all();
        /* Whoever made room for a hello that we have just read spoke before it: hear him first. */
        hear_all();
        welcome();
    }
}

/* ---- a worker's side ---- */

struct held {
    struct pqb_claim claim;
    int socket; /* -1 = none */
    unsigned server;
    int has_copies; /* it was held across a fork */
};

static int say(int socket, enum word kind, unsigned server)
{
    struct message message = {kind, server, my_slot, my_generation};
    ssize_t sent;
    do
        sent = send(socket, &message, sizeof message, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent == sizeof message;
}

static int hear_back(int socket)
{
    char answer = 0;
    ssize_t got;
    do
        got = recv(socket, &answer, 1, 0);
    while (got < 0 && errno == EINTR);
    return got == 1 ? answer : 0;
}

static const char *const keys[SERVERS] = {"chaos-a:5432", "chaos-b:5432", "chaos-c:5432"};
static const char *const labels[] = {"web", "bot", "job"};

static struct pqb_claim_request request_for(unsigned server, int is_liar)
{
    return (struct pqb_claim_request){
        .server = keys[server],
        .app = is_liar ? LIAR : labels[draw(3)],
        .process_cap = draw(4) ? 0 : 2,
        .door = draw(2) ? PQB_DOOR_LIBPQ : PQB_DOOR_SOCKET,
    };
}

/* From CONNECTING on: connects to the judge, opens. Gives up if it can't. */
static void connect_and_open(struct held *held)
{
    static const struct pqb_claim_peer peer = {.user = "chaos", .database = "chaos"};
    held->socket = judge_socket(0);
    int said = held->socket >= 0 && say(held->socket, HELLO, held->server);
    int heard = said && hear_back(held->socket) == WELCOME;
    enum pqb_status status = heard ? pqb_claim_open(&held->claim, &peer) : PQB_SYSTEM;
    if (!status) {
        add(GRANTS);
        return;
    }
    if (!atomic_load(&shared->ending)) {
        add(LOST_OPENS);
        find("a grant could not be used: socket %d, said %d, heard %d, open %s", held->socket, said,
             heard, pqb_status_text(status));
    }
    if (held->socket >= 0)
        close(held->socket);
    pqb_claim_give(&held->claim, PQB_END_CLOSED);
    held->socket = -1;
}

static int is_held(const struct held *held)
{
    return held->claim.region != NULL;
}

static void note_failure(enum pqb_status status, const char *what)
{
    if (status == PQB_TIMED_OUT)
        add(TIMEOUTS);
    else if (status == PQB_BUSY)
        add(BUSY);
    else if (status && !atomic_load(&shared->ending))
        find("%s: %s", what, pqb_status_text(status));
}

static void acquire(struct held *held, unsigned server, long long wait_ms)
{
    struct pqb_claim_request request = request_for(server, 0);
    uint64_t start = pqb_now();
    *held = (struct held){.socket = -1, .server = server};
    enum pqb_status status = pqb_wait_acquire(&ledger, &request, wait_ms, &held->claim, NULL, NULL);
    if (status) {
        note_failure(status, "acquire");
        return;
    }
    raise_to(&shared->longest_wait, pqb_now() - start);
    connect_and_open(held);
}

/* Closes at the judge first, and gives back when it has acknowledged that. */
static void give(struct held *held)
{
    if (!is_held(held))
        return;
    if (held->socket >= 0) {
        if (say(held->socket, BYE, held->server))
            hear_back(held->socket);
        close(held->socket);
    }
    held->socket = -1;
    pqb_claim_give(&held->claim, PQB_END_CLOSED);
}

static void doom(const struct held *held, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (is_held(&held[i]) && held[i].socket >= 0)
            say(held[i].socket, DOOMED, held[i].server);
}

static _Noreturn void leave_for_good(void)
{
    atomic_store(&shared->person[my_slot].doomed_at, pqb_now());
    _exit(0);
}

static struct held mine[HELD];
static _Noreturn void worker_loop(void);

static void hold_a_while(void)
{
    if (draw(3))
        nap_us(draw(4000));
    else if (!draw(20))
        nap_us(draw(80000));
}

/* Nobody answers for it, unless this process happens to give way with others. */
static void offer_and_be_deaf(const struct held *held)
{
    if (is_held(held) && !draw(4))
        pqb_yield_offer(&held->claim, 1 + (uint32_t)draw(20));
}

static void act_claim(void)
{
    unsigned wanted = 1 + (unsigned)draw(HELD);
    for (unsigned i = 0; i < wanted; i++)
        if (!is_held(&mine[i]))
            acquire(&mine[i], (unsigned)draw(SERVERS), (long long)draw(draw(8) ? 400 : 3000));
    for (unsigned i = 0; i < HELD; i++)
        offer_and_be_deaf(&mine[i]);
    hold_a_while();
    for (unsigned i = 0; i < HELD; i++)
        if (draw(8)) /* now and then it goes on holding it */
            give(&mine[i]);
}

static void hold_something(void)
{
    for (unsigned i = 0; i < HELD; i++)
        if (is_held(&mine[i]))
            return;
    acquire(&mine[0], (unsigned)draw(SERVERS), 300);
}

/* A child, with copies of whatever is held. */
static void act_fork(void)
{
    if (people_alive() > 100)
        return;
    hold_something();
    seed++;
    for (unsigned i = 0; i < HELD; i++)
        mine[i].has_copies = 1;
    pid_t pid = fork();
    if (pid < 0)
        return;
    if (pid) {
        add(FORKS);
        hold_a_while();
        return;
    }
    person_enter();
    seed ^= (uint64_t)getpid() << 20;
    unsigned way = (unsigned)draw(4);
    for (unsigned i = 0; i < HELD; i++) {
        if (!is_held(&mine[i]))
            continue;
        if (way < 2 && mine[i].socket >= 0)
            say(mine[i].socket, OWNER, mine[i].server);
    }
    if (way == 1 && !draw(3))
        nap_us(draw(300000)); /* it keeps its copies for longer than its parent may live */
    if (way == 0 && !draw(3)) {
        for (unsigned i = 0; i < HELD; i++)
            if (is_held(&mine[i])) {
                add(GIVEN_BY_CHILD);
                give(&mine[i]);
            }
    }
    /* Closes its copies, one way or the other. */
    for (unsigned i = 0; i < HELD; i++) {
        if (!is_held(&mine[i]))
            continue;
        if (way < 2 && mine[i].socket >= 0)
            say(mine[i].socket, DOOMED, mine[i].server);
        if (mine[i].socket >= 0)
            close(mine[i].socket);
        mine[i].socket = -1;
        pqb_claim_drop(&mine[i].claim);
    }
    if (draw(2))
        worker_loop();
    for (unsigned i = 0; i < 3; i++)
        act_claim();
    doom(mine, HELD);
    leave_for_good();
}

static void act_exec(void)
{
    char slot[16], generation[16], start[24];
    snprintf(slot, sizeof slot, "%u", my_slot);
    snprintf(generation, sizeof generation, "%u", my_generation);
    snprintf(start, sizeof start, "%llu", (unsigned long long)draw(UINT64_MAX));
    add(EXECS);
    hold_something();
    doom(mine, HELD);
    execl("/proc/self/exe", "chaos", "--worker", shared->folder, slot, generation, start,
          (char *)0);
    find("exec: %s", strerror(errno));
}

static void act_daemonize(void)
{
    add(DAEMONS);
    hold_something();
    for (unsigned i = 0; i < HELD; i++)
        mine[i].has_copies = 1;
    for (int i = 0; i < 2; i++) {
        pid_t pid = fork();
        if (pid) {
            if (pid < 0)
                return;
            doom(mine, HELD); /* the child says it, too, when it has become an owner */
            leave_for_good();
        }
        person_enter();
        for (unsigned k = 0; k < HELD; k++)
            if (is_held(&mine[k]) && mine[k].socket >= 0)
                say(mine[k].socket, OWNER, mine[k].server);
        if (!i)
            setsid();
    }
    seed ^= (uint64_t)getpid() << 20;
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* its parent is the master by now, or soon */
    /* It may go on with what its grandparent held: give works from a child for all. */
    hold_a_while();
    for (unsigned k = 0; k < HELD; k++)
        give(&mine[k]);
}

static void act_close_all(void)
{
    add(CLOSED_ALL);
    hold_something();
    doom(mine, HELD);
    syscall(SYS_close_range, 3u, ~0u, 0u);
    /* Some numbers are soon others'. */
    if (draw(2))
        for (unsigned i = 0; i < 4; i++)
            (void)!open("/dev/null", O_RDONLY | O_CLOEXEC);
    for (unsigned i = 0; i < HELD; i++) {
        mine[i].socket = -1;
        if (!is_held(&mine[i]))
            continue;
        /* The connection did not end where a child has a copy of it. */
        if (mine[i].has_copies || draw(2))
            pqb_claim_drop(&mine[i].claim);
        else
            pqb_claim_give(&mine[i].claim, PQB_END_CLOSED);
    }
    syscall(SYS_close_range, 3u, 9u, 0u);
}

static sigjmp_buf back;
static volatile sig_atomic_t armed;

static void on_alarm(int signal_number)
{
    (void)signal_number;
    if (armed) {
        armed = 0;
        siglongjmp(back, 1);
    }
}

static int is_taken_up(const struct pqb_claim *claim)
{
    uint64_t ctl = atomic_load(&claim->region->map->claim[claim->index].ctl);
    return ctl >> 32 == claim->generation && (ctl & PQB_CTL_STATE) == PQB_CLAIM_CONNECTING;
}

static void act_jump(void)
{
    static struct held held;
    struct sigaction action = {.sa_handler = on_alarm};
    sigaction(SIGALRM, &action, NULL);
    held = (struct held){.socket = -1, .server = (unsigned)draw(SERVERS)};
    if (!sigsetjmp(back, 1)) {
        struct itimerval timer = {.it_value.tv_usec = 1 + (suseconds_t)draw(8000)};
        struct pqb_claim_request request = request_for(held.server, 0);
        armed = 1;
        setitimer(ITIMER_REAL, &timer, NULL);
        enum pqb_status status = pqb_wait_acquire(&ledger, &request, 500, &held.claim, NULL, NULL);
        armed = 0;
        if (status)
            note_failure(status, "acquire under an alarm");
    } else {
        add(JUMPS);
    }
    struct itimerval off = {0};
    setitimer(ITIMER_REAL, &off, NULL);
    /* It may have been taken up in the very moment; else the claim is this thread's next wait's. */
    if (is_held(&held) && is_taken_up(&held.claim)) {
        connect_and_open(&held);
        give(&held);
    } else if (!draw(3)) {
        nap_us(draw(3000)); /* what it left waiting is granted, perhaps, and nobody takes it up */
    }
}

static void *thread_body(void *argument)
{
    uint64_t state = (uint64_t)(uintptr_t)argument;
    for (unsigned i = 0; i < 5 && !atomic_load(&shared->ending); i++) {
        struct held held = {.socket = -1};
        struct pqb_claim_request request;
        state = state * 6364136223846793005ull + 1442695040888963407ull;
        held.server = (unsigned)(state >> 40) % SERVERS;
        request = (struct pqb_claim_request){.server = keys[held.server],
                                             .app = labels[(state >> 50) % 3]};
        enum pqb_status status =
            pqb_wait_acquire(&ledger, &request, (long long)(state >> 55), &held.claim, NULL, NULL);
        if (status) {
            note_failure(status, "acquire in a thread");
            continue;
        }
        connect_and_open(&held);
        nap_us((state >> 45) % 2000);
        give(&held);
    }
    return NULL;
}

static void act_threads(void)
{
    pthread_t thread[3];
    unsigned count = 0;
    add(THREADS);
    for (unsigned i = 0; i < 3; i++)
        count += !pthread_create(&thread[count], NULL, thread_body, (void *)(uintptr_t)draw(~0ull));
    for (unsigned i = 0; i < count; i++)
        pthread_join(thread[i], NULL);
}

static unsigned row_of(const struct pqb_claim *claim)
{
    return claim->region->map->claim[claim->index].server;
}

static void act_bell(void)
{
    struct held held[4];
    unsigned open_count = 0, waiting = 0;
    uint64_t until = pqb_now() + draw(300) * PQB_MS;
    add(BELLS);
    for (unsigned i = 0; i < 4; i++) {
        held[i] = (struct held){.socket = -1, .server = (unsigned)draw(SERVERS)};
        struct pqb_claim_request request = request_for(held[i].server, 0);
        request.rings_bell = 1;
        enum pqb_status status = pqb_wait_submit(&ledger, &request, &held[i].claim, NULL);
        if (status)
            note_failure(status, "submit with a bell");
        waiting += !status;
    }
    while (waiting && pqb_now() < until) {
        _Atomic uint32_t *bell = NULL;
        uint32_t seen = 0;
        for (unsigned i = 0; i < 4; i++)
            if (is_held(&held[i]) && !bell) {
                bell = pqb_wait_bell(held[i].claim.region);
                seen = atomic_load(bell);
            }
        unsigned took = 0;
        for (unsigned i = 0; i < 4; i++) {
            if (!is_held(&held[i]) || held[i].socket >= 0)
                continue;
            enum pqb_status status = pqb_claim_take(&held[i].claim);
            if (!status) {
                connect_and_open(&held[i]);
                took++;
                waiting--;
                open_count++;
            } else if (status == PQB_WAITING) {
                (void)!pqb_tick(held[i].claim.region, row_of(&held[i].claim), NULL);
            } else {
                find("a waiting claim with a bell was lost");
                waiting--;
            }
        }
        if (!took && bell)
            pqb_futex_wait(bell, seen, pqb_now() + PQB_TICK_HOT, 1);
        if (open_count > 1)
            for (unsigned i = 0; i < 4; i++)
                if (held[i].socket >= 0)
                    give(&held[i]);
    }
    for (unsigned i = 0; i < 4; i++) {
        if (held[i].socket >= 0)
            give(&held[i]);
        else if (is_held(&held[i]))
            pqb_claim_give(&held[i].claim, PQB_END_TIMED_OUT);
    }
}

static _Noreturn void die(void)
{
    atomic_store(&shared->person[my_slot].doomed_at, pqb_now());
    for (;;)
        kill(getpid(), SIGKILL);
}

/* One who was asked: gives way, says no, does not answer, or dies over it. */
static void answer(struct held *held, const struct pqb_yield_wish *wish)
{
    switch (draw(8)) {
    case 0:
        add(UNANSWERED);
        return;
    case 1:
        add(DECLINED);
        pqb_yield_tell(&held->claim, PQB_SESSION_ACTIVE, pqb_now());
        pqb_yield_decline(&held->claim);
        return;
    case 2:
        add(DECLINED);
        pqb_yield_decline(&held->claim); /* though it is idle */
        return;
    case 3:
        if (draw(2))
            break;
        add(DIED_YIELDING);
        if (draw(2))
            pqb_yield_accept(&held->claim, wish, PQB_MS);
        die();
    default:
        break;
    }
    if (!pqb_yield_has_others(&held->claim)) {
        add(DECLINED);
        pqb_yield_decline(&held->claim);
        return;
    }
    pqb_yield_accept(&held->claim, wish, PQB_MS);
    add(YIELDED);
    give(held);
}

/* What who is rung does: brings all his rows up to date, then answers. */
static void look_who_is_asked(struct held *held, unsigned count, uint64_t idle_since)
{
    struct pqb_yield_wish wish;
    for (unsigned i = 0; i < count; i++)
        if (is_held(&held[i]))
            pqb_yield_tell(&held[i].claim,
                           draw(6) ? PQB_SESSION_IDLE : 1 + (unsigned)draw(PQB_SESSION_PINNED + 9),
                           idle_since);
    for (unsigned i = 0; i < count; i++) {
        if (!is_held(&held[i]))
            continue;
        enum pqb_yield_answer_due due = pqb_yield_is_asked(&held[i].claim, &wish);
        if (due == PQB_YIELD_ASKED)
            answer(&held[i], &wish);
        else if (due == PQB_YIELD_IN_VAIN) {
            add(ASKED_IN_VAIN);
            pqb_yield_decline(&held[i].claim);
        }
    }
}

/* Holds several, leaves them idle, and gives way. */
static void act_yield(void)
{
    struct held held[3];
    unsigned server = (unsigned)draw(SERVERS), count = 0;
    for (unsigned i = 0; i < 3; i++) {
        acquire(&held[i], server, 200);
        count += is_held(&held[i]) ? 1 : 0;
        if (is_held(&held[i]))
            pqb_yield_offer(&held[i].claim, 1 + (uint32_t)draw(5));
    }
    uint64_t since = pqb_now(), until = since + draw(200) * PQB_MS;
    struct pqb_region *region = atomic_load(&ledger.region);
    while (count > 1 && pqb_now() < until && !atomic_load(&shared->ending)) {
        _Atomic uint32_t *bell = pqb_wait_bell(region);
        uint32_t seen = atomic_load(bell);
        look_who_is_asked(held, 3, since);
        pqb_futex_wait(bell, seen, pqb_now() + 20 * PQB_MS, 1);
    }
    for (unsigned i = 0; i < 3; i++)
        give(&held[i]);
}

/* Asks and does not look. */
static void act_lie(void)
{
    struct held held = {.socket = -1, .server = (unsigned)draw(SERVERS)};
    struct pqb_claim_request request = request_for(held.server, 1);
    enum pqb_status status = pqb_wait_submit(&ledger, &request, &held.claim, NULL);
    add(LIES);
    if (status) {
        note_failure(status, "submit");
        return;
    }
    nap_us(draw(draw(4) ? 30000 : 2500000));
    status = pqb_claim_take(&held.claim);
    if (!status) {
        connect_and_open(&held);
        give(&held);
    } else {
        if (status != PQB_WAITING)
            note_failure(status, "take after a long while");
        pqb_claim_give(&held.claim, PQB_END_CLOSED);
    }
}

static void act_steer(void)
{
    struct pqb_steer change = pqb_steer_nothing;
    unsigned server = (unsigned)draw(SERVERS);
    change.server = keys[server];
    if (server == 0) {
        change.apps = 1;
        change.app[0] = (struct pqb_steer_app){"web", 3 + (uint32_t)draw(4), (uint32_t)draw(3)};
        change.reserve = (long long)draw(3);
    } else if (server == 1) {
        change.logins = (long long)draw(4); /* less slack would be a lower limit */
    } else {
        change.paused = (long long)draw(2);
    }
    struct pqb_region *region;
    if (pqb_ledger_region(&ledger, &region, NULL))
        return;
    struct pqb_error error = {{0}};
    enum pqb_status status = pqb_steer_apply(region, &change, &error);
    pqb_region_unpin(region);
    if (status && status != PQB_BUSY && !atomic_load(&shared->ending))
        find("steer: %s", error.text);
    add(STEERED);
}

static _Noreturn void worker_loop(void)
{
    for (unsigned i = 0; i < HELD; i++)
        if (!is_held(&mine[i]))
            mine[i].socket = -1;
    while (!atomic_load(&shared->ending)) {
        switch (draw(32)) {
        case 0:
        case 1:
            act_fork();
            break;
        case 2:
            act_exec();
            break;
        case 3:
            act_daemonize();
            break;
        case 4:
            act_close_all();
            break;
        case 5:
        case 6:
        case 7:
            act_jump();
            break;
        case 8:
        case 9:
            act_threads();
            break;
        case 10:
        case 11:
        case 12:
            act_bell();
            break;
        case 13:
            act_lie();
            break;
        case 14:
            act_steer();
            break;
        case 16:
        case 17:
            act_yield();
            break;
        case 15:
            if (draw(4))
                break;
            add(EXITS);
            hold_something();
            doom(mine, HELD);
            leave_for_good();
        default:
            act_claim();
        }
        if (getppid() == 1)
            break; /* the master is gone */
    }
    doom(mine, HELD);
    leave_for_good();
}

static _Noreturn void worker_start(uint64_t start)
{
    struct pqb_error error = {{0}};
    seed = start;
    signal(SIGPIPE, SIG_IGN);
    if (pqb_ledger_open(&ledger, shared->ledger, 1, &error)) {
        if (!atomic_load(&shared->ending))
            find("open: %s", error.text);
        leave_for_good();
    }
    worker_loop();
}

/* ---- the observer ---- */

static int is_stopped(int32_t pid)
{
    const struct person *person = pid ? person_of(pid) : NULL;
    return person && (atomic_load(&person->stopped_at) || atomic_load(&person->doomed_at));
}

/* Has he been running all that time? */
static int has_run_since(int32_t pid, uint64_t since)
{
    const struct person *person = person_of(pid);
    return person && !atomic_load(&person->stopped_at) && !atomic_load(&person->doomed_at) &&
           atomic_load(&person->continued_at) < since;
}

static unsigned server_number(const char *key)
{
    for (unsigned i = 0; i < SERVERS; i++)
        if (!strcmp(keys[i], key))
            return i;
    return SERVERS;
}

/* Slots that this application's claims could have in general, whatever else is charged where. */
static int surely_has_room(const struct pqb_snapshot *snapshot,
                           const struct pqb_snapshot_claim *claim)
{
    const struct pqb_snapshot_server *server = &snapshot->server[claim->server];
    uint64_t taken = server->used + server->config.reserve;
    for (unsigned i = 0; i < snapshot->apps; i++)
        if (snapshot->app[i].server == claim->server && (int)i != claim->app)
            taken += snapshot->app[i].min;
    return taken < server->config.limit;
}

static int is_eligible(const struct pqb_layout *map, const struct pqb_snapshot *snapshot,
                       const struct pqb_snapshot_claim *claim, unsigned logging_in)
{
    const struct pqb_snapshot_server *server = &snapshot->server[claim->server];
    const struct pqb_snapshot_app *app = claim->app < 0 ? NULL : &snapshot->app[claim->app];
    uint32_t cap = map->claim[claim->index].process_cap, held = 0;
    for (unsigned i = 0; i < snapshot->claims; i++)
        held += snapshot->claim[i].process == claim->process &&
                snapshot->claim[i].server == claim->server &&
                snapshot->claim[i].state != PQB_CLAIM_WAITING;
    return claim->state == PQB_CLAIM_WAITING && !server->config.paused && app &&
           strcmp(app->label, LIAR) && app->used < app->limit && (!cap || held < cap) &&
           (!server->config.logins || logging_in < server->config.logins) &&
           surely_has_room(snapshot, claim);
}

struct watch {
    uint64_t idle_since, granted;
};

static void watch_server(const struct pqb_layout *map, const struct pqb_snapshot *snapshot,
                         unsigned number, struct watch *watch, int excused)
{
    const struct pqb_snapshot_server *server = &snapshot->server[number];
    uint64_t now = pqb_now(), since = watch->idle_since ? watch->idle_since : now;
    const struct pqb_snapshot_claim *waiter = NULL;
    unsigned logging_in = 0;
    for (unsigned i = 0; i < snapshot->claims; i++)
        logging_in += snapshot->claim[i].server == number &&
                      (snapshot->claim[i].state == PQB_CLAIM_GRANTED ||
                       snapshot->claim[i].state == PQB_CLAIM_CONNECTING);
    for (unsigned i = 0; i < snapshot->claims && !waiter; i++)
        if (snapshot->claim[i].server == number && now - since <= snapshot->claim[i].age_ns &&
            is_eligible(map, snapshot, &snapshot->claim[i], logging_in) &&
            has_run_since(snapshot->claim[i].pid, since))
            waiter = &snapshot->claim[i];
    if (!waiter || excused || server->granted_total != watch->granted) {
        *watch = (struct watch){0, server->granted_total};
        return;
    }
    watch->idle_since = since;
    raise_to(&shared->longest_idle, now - since);
    if (now - since < STUCK)
        return;
    find("stuck: server %s has %u of %u in use, and pid %d (claim %u) waits since %.1f s, for %.1f "
         "s "
         "without a grant to anybody",
         server->key, server->used, server->config.limit, waiter->pid, waiter->index,
         (double)waiter->age_ns / 1e9, (double)(now - since) / 1e9);
    watch->idle_since = 0;
}

/* The last server has no reserve, no damper and no applications with limits. */
static void watch_fairness(const struct pqb_layout *map, const struct pqb_snapshot *snapshot,
                           unsigned number)
{
    uint64_t oldest = UINT64_MAX, youngest = 0;
    for (unsigned i = 0; i < snapshot->claims; i++) {
        const struct pqb_snapshot_claim *claim = &snapshot->claim[i];
        const struct pqb_claim_row *row = &map->claim[claim->index];
        if (claim->server != number)
            continue;
        if (claim->state != PQB_CLAIM_WAITING) {
            if (claim->ticket > youngest)
                youngest = claim->ticket;
            continue;
        }
        /* `waited` is set by a grant: it let one lie, and that was taken back. */
        uint64_t ctl = atomic_load(&row->ctl);
        if (row->process_cap || row->waited || row->ticket != claim->ticket ||
            (ctl & (PQB_CTL_STATE | PQB_CTL_SKIPPED)) != PQB_CLAIM_WAITING)
            continue;
        if (claim->ticket < oldest)
            oldest = claim->ticket;
    }
    if (oldest < youngest)
        find("unfair: ticket %llu was granted, %llu waits", (unsigned long long)youngest,
             (unsigned long long)oldest);
}

static void watch_events(const struct pqb_layout *map)
{
    static uint64_t next = 1;
    uint64_t latest = pqb_journal_latest(map);
    if (latest >= next + PQB_EVENTS)
        next = latest - PQB_EVENTS + 1;
    for (; next <= latest; next++) {
        struct pqb_event event;
        if (!pqb_journal_read(map, next, &event))
            continue;
        if (event.kind == PQB_EVENT_RECOVERED)
            atomic_fetch_add(&shared->recoveries, 1);
        else if (event.kind == PQB_EVENT_TAKEN_BACK)
            atomic_fetch_add(&shared->taken_back, 1);
        else if (event.kind == PQB_EVENT_DIED)
            atomic_fetch_add(&shared->died, 1);
    }
}

static _Noreturn void observer(void)
{
    struct watch watch[SERVERS] = {{0, 0}};
    prctl(PR_SET_NAME, "chaos-observer");
    struct pqb_region *region = atomic_load(&ledger.region);
    while (!atomic_load(&shared->ending)) {
        struct pqb_snapshot snapshot;
        enum pqb_status status = pqb_snapshot_take(region, &snapshot);
        if (status) {
            find("snapshot: %s", pqb_status_text(status));
            _exit(1);
        }
        atomic_fetch_add(&shared->samples, 1);
        if (!snapshot.consistent)
            atomic_fetch_add(&shared->inconsistent, 1);
        int excused = is_stopped(support_guard_owner(region));
        for (unsigned i = 0; i < snapshot.servers && snapshot.consistent; i++) {
            unsigned number = server_number(snapshot.server[i].key);
            if (number == SERVERS) {
                find("a server nobody asked for: %.40s", snapshot.server[i].key);
                continue;
            }
            if (snapshot.server[i].used > shared->limit[number])
                find("over in a snapshot: %u of %u on %s", snapshot.server[i].used,
                     shared->limit[number], keys[number]);
            if (snapshot.server[i].config.limit != shared->limit[number])
                find("the limit of %s became %u", keys[number], snapshot.server[i].config.limit);
            watch_server(region->map, &snapshot, i, &watch[number], excused);
            if (number == SERVERS - 1)
                watch_fairness(region->map, &snapshot, i);
        }
        watch_events(region->map);
        pqb_snapshot_free(&snapshot);
        nap_us(2000);
    }
    _exit(0);
}

/* ---- cleaning up when the master is gone ---- */

static int is_ours(int32_t pid)
{
    char path[64], exe[512] = "", self[512] = "";
    snprintf(path, sizeof path, "/proc/%d/exe", pid);
    return readlink(path, exe, sizeof exe - 1) > 0 &&
           readlink("/proc/self/exe", self, sizeof self - 1) > 0 && !strcmp(exe, self);
}

static unsigned kill_everybody(int check)
{
    unsigned killed = 0;
    for (unsigned slot = 0; slot < PEOPLE; slot++) {
        struct person *person = &shared->person[slot];
        int32_t pid = atomic_load(&person->pid);
        if (pid <= 0 || (check && !is_ours(pid)))
            continue;
        if (!atomic_load(&person->doomed_at))
            atomic_store(&person->doomed_at, pqb_now());
        killed += !kill(pid, SIGKILL);
    }
    return killed;
}

static void remove_folder(void)
{
    char path[128];
    static const char *const names[] = {"shared", "judge"};
    for (unsigned i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", shared->folder, names[i]);
        unlink(path);
    }
    rmdir(shared->folder);
}

/* Reads the pipe whose other end only the master has. */
static _Noreturn void sentinel(int from)
{
    char word;
    setsid();
    prctl(PR_SET_NAME, "chaos-sentinel");
    signal(SIGTERM, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    ssize_t got;
    do
        got = read(from, &word, 1);
    while (got < 0 && errno == EINTR);
    if (got == 1)
        _exit(0);
    atomic_store(&shared->ending, 1);
    uint64_t until = pqb_now() + 5 * PQB_SECOND;
    while (kill_everybody(1) && pqb_now() < until)
        nap_us(20000);
    struct pqb_region *region = atomic_load(&ledger.region);
    (void)!pqb_region_remove(ledger.path, region, NULL);
    remove_folder();
    _exit(0);
}

/* ---- the master ---- */

static unsigned long deaths_wanted = 10000, deaths;
static unsigned processes = 40;
static int pipe_end = -1;
static unsigned serial;

static void start_worker(void)
{
    uint64_t start = draw(UINT64_MAX) + serial++;
    pid_t pid = support_fork();
    if (pid)
        return;
    close(pipe_end);
    person_enter();
    worker_start(start);
}

static void reap(void)
{
    int status;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
        struct person *person = person_of((int32_t)pid);
        if (!person)
            continue;
        deaths += WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
        if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL)
            find("pid %d died of signal %d", (int)pid, WTERMSIG(status));
        if (!atomic_load(&person->doomed_at))
            atomic_store(&person->doomed_at, pqb_now());
        atomic_store(&person->pid, 0);
    }
}

static struct person *anybody(void)
{
    for (unsigned tries = 0; tries < 20 * PEOPLE; tries++) {
        struct person *person = &shared->person[draw(PEOPLE)];
        if (atomic_load(&person->pid) && !atomic_load(&person->doomed_at))
            return person;
    }
    return NULL;
}

static void person_stop(struct person *person)
{
    atomic_store(&person->stopped_at, pqb_now());
    kill(atomic_load(&person->pid), SIGSTOP);
}

static void person_continue(struct person *person)
{
    kill(atomic_load(&person->pid), SIGCONT);
    atomic_store(&person->continued_at, pqb_now());
    atomic_store(&person->stopped_at, 0);
}

static void person_kill(struct person *person)
{
    atomic_store(&person->doomed_at, pqb_now());
    kill(atomic_load(&person->pid), SIGKILL);
}

/* Catches somebody inside the guard: stopped there, he can be killed there. */
static struct person *somebody_inside(const struct pqb_region *region)
{
    for (unsigned tries = 0; tries < 3000; tries++) {
        int32_t pid = support_guard_owner(region);
        struct person *person = pid ? person_of(pid) : NULL;
        if (person && !atomic_load(&person->doomed_at) && !atomic_load(&person->stopped_at))
            return person;
    }
    return NULL;
}

static void strike(const struct pqb_region *region)
{
    struct person *person = draw(3) ? NULL : somebody_inside(region);
    if (!person)
        person = anybody();
    if (!person)
        return;
    if (draw(5) || atomic_load(&person->stopped_at)) {
        if (draw(2) && !atomic_load(&person->stopped_at))
            person_stop(person); /* and dead a moment later, wherever that was */
        person_kill(person);
    } else {
        person_stop(person);
    }
}

/* Lets the stopped go on: some soon, some when their grants were taken back. */
static void release(const struct pqb_region *region)
{
    uint64_t now = pqb_now();
    int32_t inside = support_guard_owner(region);
    for (unsigned slot = 0; slot < PEOPLE; slot++) {
        struct person *person = &shared->person[slot];
        uint64_t since = atomic_load(&person->stopped_at);
        if (!since || atomic_load(&person->doomed_at) || !atomic_load(&person->pid))
            continue;
        uint64_t least = slot % 16 ? 100 * PQB_MS : 1500 * PQB_MS;
        if (atomic_load(&person->pid) == inside)
            least = 30 * PQB_MS;
        if (now - since > least)
            person_continue(person);
    }
}

static void resume_servers(struct pqb_region *region)
{
    static uint64_t next;
    if (pqb_now() < next)
        return;
    next = pqb_now() + 300 * PQB_MS;
    /* The guard's owner may be stopped, and only the master lets him go on. */
    if (support_fork())
        return;
    close(pipe_end);
    person_enter();
    struct pqb_steer change = pqb_steer_nothing;
    change.server = keys[2];
    change.paused = 0;
    (void)!pqb_steer_apply(region, &change, NULL);
    leave_for_good();
}

static void progress(void)
{
    static uint64_t next;
    if (!isatty(2) || pqb_now() < next)
        return;
    next = pqb_now() + 200 * PQB_MS;
    fprintf(stderr, "\r%lu of %lu deaths, %u alive, %llu grants, %llu recoveries, %u findings ",
            deaths, deaths_wanted, people_alive(),
            (unsigned long long)atomic_load(&shared->tally[GRANTS]),
            (unsigned long long)atomic_load(&shared->recoveries), atomic_load(&shared->findings));
}

static void configure(struct pqb_region *region)
{
    for (unsigned server = 0; server < SERVERS; server++) {
        struct pqb_steer change = pqb_steer_nothing;
        struct pqb_error error = {{0}};
        change.server = keys[server];
        change.make = 1;
        change.limit = shared->limit[server];
        change.reserve = server ? 0 : 2;
        change.drain_ms = server == 1 ? 20 : 0;
        change.slack = server == 1 ? 2 : 0;
        change.logins = server == 1 ? 2 : 0;
        if (!server) {
            change.apps = 2;
            change.app[0] = (struct pqb_steer_app){"web", 6, 2};
            change.app[1] = (struct pqb_steer_app){"bot", 5, 0};
        }
        if (pqb_steer_apply(region, &change, &error)) {
            fprintf(stderr, "chaos: %s\n", error.text);
            exit(3);
        }
    }
}

static void rampage(struct pqb_region *region)
{
    while (deaths < deaths_wanted && atomic_load(&shared->findings) < FINDINGS) {
        reap();
        for (unsigned alive = people_alive(); alive < processes; alive++)
            start_worker();
        strike(region);
        release(region);
        resume_servers(region);
        progress();
        nap_us(draw(16000));
    }
}

static void end_everybody(void)
{
    uint64_t until = pqb_now() + 30 * PQB_SECOND;
    atomic_store(&shared->ending, 1);
    for (;;) {
        kill_everybody(0);
        reap();
        unsigned left = 0;
        for (unsigned slot = 0; slot < PEOPLE; slot++)
            left += atomic_load(&shared->person[slot].pid) != 0;
        if (!left)
            return;
        if (pqb_now() > until) {
            find("%u processes do not end", left);
            return;
        }
        nap_us(1000);
    }
}

/* ---- the end: nothing may be lost ---- */

static int is_empty(struct pqb_region *region, unsigned *used, unsigned *waiting)
{
    struct pqb_snapshot snapshot;
    *used = *waiting = 0;
    if (pqb_snapshot_take(region, &snapshot))
        return 0;
    for (unsigned i = 0; i < snapshot.servers; i++) {
        *used += snapshot.server[i].used + snapshot.server[i].draining;
        *waiting += snapshot.server[i].waiting;
    }
    pqb_snapshot_free(&snapshot);
    return !*used && !*waiting;
}

static void check_capacity(struct pqb_region *region, unsigned server)
{
    struct pqb_claim claim[256];
    struct pqb_claim_request request = {.server = keys[server], .app = "last"};
    struct pqb_steer change = pqb_steer_nothing;
    unsigned got = 0;
    change.server = keys[server];
    change.reserve = change.paused = change.logins = 0;
    if (!server) {
        change.apps = 1;
        change.app[0] = (struct pqb_steer_app){"web", PQB_UNLIMITED, 0};
    }
    struct pqb_error error = {{0}};
    if (pqb_steer_apply(region, &change, &error))
        find("at the end: %s", error.text);
    while (got < 255 && !pqb_wait_acquire(&ledger, &request, 0, &claim[got], NULL, NULL))
        got++;
    if (got != shared->limit[server])
        find("at the end %u can be had on %s, whose limit is %u", got, keys[server],
             shared->limit[server]);
    while (got)
        pqb_claim_give(&claim[--got], PQB_END_CLOSED);
}

/* Each of them is counted before it is given back. */
static void check_yields(struct pqb_region *region)
{
    uint64_t counted = 0, given = atomic_load(&shared->tally[YIELDED]);
    for (unsigned i = 0; i < PQB_SERVERS; i++)
        counted += atomic_load(&region->map->server[i].yielded_total);
    if (counted < given)
        find("lost: %llu gave way, %llu are counted", (unsigned long long)given,
             (unsigned long long)counted);
    if (!given && deaths_wanted >= 500)
        find("nobody gave way");
}

static void check_nothing_lost(struct pqb_region *region)
{
    unsigned used = 0, waiting = 0;
    char words[400];
    if (!wait_until(is_empty(region, &used, &waiting)))
        find("lost: when everybody is dead, %u are in use and %u wait", used, waiting);
    for (unsigned server = 0; server < SERVERS; server++) {
        check_capacity(region, server);
        (void)!pqb_tick(region, server, NULL);
    }
    if (audit_books(region->map, words, sizeof words))
        find("the books: %s", words);
    if (!is_empty(region, &used, &waiting))
        find("lost: at the very end, %u are in use and %u wait", used, waiting);
}

static unsigned files_left(void)
{
    char start[128];
    unsigned count = 0;
    snprintf(start, sizeof start, "pqbudget.%u.%s", (unsigned)geteuid(), shared->ledger);
    DIR *directory = opendir("/dev/shm");
    for (struct dirent *entry; directory && (entry = readdir(directory));)
        count += !strncmp(entry->d_name, start, strlen(start));
    if (directory)
        closedir(directory);
    return count;
}

static void report(uint64_t start, uint64_t chosen)
{
    printf("  %-32s %llu\n", "seed", (unsigned long long)chosen);
    printf("  %-32s %.1f s\n", "time", (double)(pqb_now() - start) / 1e9);
    printf("  %-32s %lu\n", "deaths", deaths);
    for (unsigned i = 0; i < TALLIES; i++)
        printf("  %-32s %llu\n", tally_names[i],
               (unsigned long long)atomic_load(&shared->tally[i]));
    printf("  %-32s %llu\n", "dead found in the ledger",
           (unsigned long long)atomic_load(&shared->died));
    printf("  %-32s %llu\n", "grants taken back",
           (unsigned long long)atomic_load(&shared->taken_back));
    printf("  %-32s %llu\n", "recoveries of the books",
           (unsigned long long)atomic_load(&shared->recoveries));
    printf("  %-32s %llu (%llu of them inconsistent)\n", "samples",
           (unsigned long long)atomic_load(&shared->samples),
           (unsigned long long)atomic_load(&shared->inconsistent));
    printf("  %-32s %.3f s\n", "longest wait that was granted",
           (double)atomic_load(&shared->longest_wait) / 1e9);
    printf("  %-32s %.3f s\n", "longest idle slot with a waiter",
           (double)atomic_load(&shared->longest_idle) / 1e9);
    for (unsigned i = 0; i < SERVERS; i++)
        printf("  most connections to %-12s %u of %u\n", keys[i], atomic_load(&shared->most[i]),
               shared->limit[i]);
}

static const char *option(int count, char **arguments, const char *name)
{
    for (int i = 1; i + 1 < count; i++)
        if (!strcmp(arguments[i], name))
            return arguments[i + 1];
    return NULL;
}

static unsigned long number_of(int count, char **arguments, const char *name,
                               unsigned long otherwise)
{
    const char *value = option(count, arguments, name);
    return value ? strtoul(value, NULL, 10) : otherwise;
}

static void on_end(int signal_number)
{
    _exit(128 + signal_number); /* the sentinel does the rest */
}

/* Tells the findings of one kind: a test passes when there is none. */
static unsigned verdict(const char *name, const char *prefixes)
{
    unsigned bad = 0;
    for (unsigned i = 0; i < FINDINGS && i < atomic_load(&shared->findings); i++) {
        char first[16];
        snprintf(first, sizeof first, "%.4s", shared->finding[i]);
        int known = strstr("over stuc lost unfa", first) != NULL;
        if (*prefixes ? strstr(prefixes, first) != NULL : !known)
            bad++;
    }
    printf("  %-5s %s\n", bad ? "FAIL" : "ok", name);
    return bad;
}

int main(int count, char **arguments)
{
    if (count == 6 && !strcmp(arguments[1], "--worker")) {
        shared_open(arguments[2], 0);
        my_slot = (unsigned)strtoul(arguments[3], NULL, 10) % PEOPLE;
        my_generation = (uint32_t)strtoul(arguments[4], NULL, 10);
        worker_start(strtoull(arguments[5], NULL, 10));
    }
    for (int i = 1; i < count; i += 2)
        if (i + 1 == count ||
            (strcmp(arguments[i], "--deaths") && strcmp(arguments[i], "--seed") &&
             strcmp(arguments[i], "--processes") && strcmp(arguments[i], "--limit"))) {
            fprintf(stderr, "usage: chaos [--deaths N] [--processes P] [--limit L] [--seed S]\n");
            return 2;
        }
    uint64_t start = pqb_now();
    deaths_wanted = number_of(count, arguments, "--deaths", deaths_wanted);
    processes = (unsigned)number_of(count, arguments, "--processes", processes);
    uint64_t chosen =
        number_of(count, arguments, "--seed", (unsigned long)(pqb_random() % 1000000));
    seed = chosen;
    printf("  chaos: seed %llu\n", (unsigned long long)chosen);
    fflush(stdout);

    char folder[64];
    snprintf(folder, sizeof folder, "/tmp/chaos.%d.XXXXXX", (int)getpid());
    if (!mkdtemp(folder))
        fail(folder);
    shared_open(folder, 1);
    snprintf(shared->folder, sizeof shared->folder, "%s", folder);
    snprintf(shared->ledger, sizeof shared->ledger, "chaos.%d", (int)getpid());
    shared->limit[0] = (uint32_t)number_of(count, arguments, "--limit", 10);
    shared->limit[1] = 5;
    shared->limit[2] = 3;
    if (shared->limit[0] < 6)
        shared->limit[0] = 6;

    struct pqb_error error = {{0}};
    if (pqb_ledger_open(&ledger, shared->ledger, 1, &error)) {
        fprintf(stderr, "chaos: %s\n", error.text);
        remove_folder();
        return 3;
    }
    struct pqb_region *region = atomic_load(&ledger.region);
    int ends[2];
    if (pipe2(ends, O_CLOEXEC))
        fail("pipe");
    pipe_end = ends[1];
    if (!fork()) {
        close(ends[1]);
        sentinel(ends[0]);
    }
    close(ends[0]);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    signal(SIGTERM, on_end);
    signal(SIGINT, on_end);
    signal(SIGHUP, on_end);
    configure(region);
    unsigned descriptors = support_descriptors();
    int listener = judge_socket(1);
    if (listener < 0)
        fail("the judge's socket");
    pid_t judge_pid = support_fork();
    if (!judge_pid) {
        close(pipe_end);
        fcntl(listener, F_SETFL, O_NONBLOCK);
        judge(listener);
    }
    close(listener);
    pid_t observer_pid = support_fork();
    if (!observer_pid) {
        close(pipe_end);
        observer();
    }

    rampage(region);
    end_everybody();
    support_reap(observer_pid);
    check_nothing_lost(region);
    check_yields(region);
    support_kill(judge_pid);
    if (support_descriptors() > descriptors + PQB_LIFE_POOL + 3)
        find("lost: %u descriptors became %u", descriptors, support_descriptors());
    support_ledger_end(&ledger);
    if (files_left())
        find("lost: %u files are left over", files_left());
    if (isatty(2))
        fprintf(stderr, "\r\033[K");
    report(start, chosen);
    unsigned passed = 0, failed = 0;
    const char *const tests[][2] = {{"never over", "over"},
                                    {"never stuck", "stuc"},
                                    {"fair", "unfa"},
                                    {"never lost", "lost"},
                                    {"nothing else went wrong", ""}};
    for (unsigned i = 0; i < sizeof tests / sizeof *tests; i++) {
        unsigned bad = verdict(tests[i][0], tests[i][1]);
        passed += !bad;
        failed += bad != 0;
    }
    for (unsigned i = 0; i < FINDINGS && i < atomic_load(&shared->findings); i++)
        printf("        %s\n", shared->finding[i]);
    (void)!write(pipe_end, "q", 1);
    remove_folder();
    printf("%u passed, %u failed\n", passed, failed);
    return failed != 0;
}
