/*
 * A program that takes claims, shows them as connections, and gives them back: what a process under
 * pqbudget does to the ledger, without a server.
 *
 *   client [OPTION]…
 *
 * It takes --count claims one after the other, says "open N" for each, holds them all for --hold,
 * and gives them back; also on SIGTERM, and at the end of stdin if that is a pipe. With --yield its
 * connections may be asked for while it holds them, each idle since it was opened: those that it
 * has to spare give way, unless --session says that they are doing something else (as `pqbudget
 * status` names it), which it tells when it is first asked. With --rounds it has --count threads
 * instead, and each of them takes, holds, gives back, that many times: a pool at work. Ends with
 * "served N of M". Exit status: 0, or 1 if a claim was not to be had.
 */
#include "ledger/snapshot.h"
#include "ledger/wait.h"
#include "ledger/yield.h"

#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define FOREVER (-2)

static struct pqb_ledger ledger;
static struct pqb_server_config defaults = {
    .limit = 85, .reserve = 8, .wait_ms = 8000, .drain_ms = 200};
static struct pqb_claim_request request = {
    .server = "localhost:5432", .app = "client", .defaults = &defaults};
static struct pqb_claim_peer peer = {
    .user = "user", .database = "database", .application_name = "client"};

static const char *ledger_name;
static long wait_ms = PQB_WAIT_SERVER, hold_ms = FOREVER, spread_ms;
static unsigned count = 1, rounds;
static int stays_connecting, is_quiet;
static _Atomic unsigned served;
static uint32_t yield_ms; /* 0 = they are nobody's to ask for */
static unsigned session = PQB_SESSION_IDLE;

static const struct option longs[] = {
    {"ledger", required_argument, NULL, 'L'},
    {"server", required_argument, NULL, 's'},
    {"app", required_argument, NULL, 'a'},
    {"limit", required_argument, NULL, 'l'},
    {"reserve", required_argument, NULL, 'r'},
    {"wait", required_argument, NULL, 'w'},
    {"count", required_argument, NULL, 'c'},
    {"hold", required_argument, NULL, 'h'},
    {"spread", required_argument, NULL, 'S'},
    {"rounds", required_argument, NULL, 'R'},
    {"backend", required_argument, NULL, 'b'},
    {"user", required_argument, NULL, 'u'},
    {"database", required_argument, NULL, 'd'},
    {"application-name", required_argument, NULL, 'n'},
    {"cap", required_argument, NULL, 'p'},
    {"socket", no_argument, NULL, 'k'},
    {"yield", required_argument, NULL, 'y'},
    {"session", required_argument, NULL, 'e'},
    {"connecting", no_argument, NULL, 'C'},
    {"quiet", no_argument, NULL, 'q'},
    {0},
};

/* Milliseconds, or "forever". */
static long time_of(const char *text)
{
    return text && strcmp(text, "forever") ? strtol(text, NULL, 10) : FOREVER;
}

static unsigned session_of(const char *name)
{
    for (unsigned state = 1; state < PQB_SESSION_PINNED + PQB_SESSION_PINS; state++)
        if (pqb_session_name(state) && !strcmp(pqb_session_name(state), name))
            return state;
    exit(2);
}

static void take_options(int argc, char **argv)
{
    for (int option; (option = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
        unsigned number = optarg ? (unsigned)strtoul(optarg, NULL, 10) : 0;
        switch (option) {
        case 'L':
            ledger_name = optarg;
            break;
        case 's':
            request.server = optarg;
            break;
        case 'a':
            request.app = optarg;
            break;
        case 'l':
            defaults.limit = number;
            break;
        case 'r':
            defaults.reserve = number;
            break;
        case 'w':
            wait_ms = time_of(optarg);
            break;
        case 'c':
            count = number;
            break;
        case 'h':
            hold_ms = time_of(optarg);
            break;
        case 'S':
            spread_ms = time_of(optarg);
            break;
        case 'R':
            rounds = number;
            break;
        case 'b':
            peer.backend_pid = (int32_t)number;
            peer.is_local = 1;
            break;
        case 'u':
            peer.user = optarg;
            break;
        case 'd':
            peer.database = optarg;
            break;
        case 'n':
            peer.application_name = optarg;
            break;
        case 'p':
            request.process_cap = number;
            break;
        case 'y':
            yield_ms = number;
            break;
        case 'e':
            session = session_of(optarg);
            break;
        case 'k':
            request.door = PQB_DOOR_SOCKET;
            break;
        case 'C':
            stays_connecting = 1;
            break;
        case 'q':
            is_quiet = 1;
            break;
        default:
            exit(2);
        }
    }
    if (optind < argc)
        exit(2);
}

/* Returns 0 and says why if it is not to be had. */
static int take(struct pqb_claim *claim)
{
    struct pqb_error error = {{0}};
    enum pqb_status status = pqb_wait_acquire(&ledger, &request, wait_ms, claim, NULL, &error);
    if (!status && !stays_connecting)
        status = pqb_claim_open(claim, &peer);
    if (!status)
        return 1;
    if (status == PQB_TIMED_OUT)
        printf("%s\n", wait_ms ? "timed out" : "refused");
    else
        fprintf(stderr, "client: %s\n", *error.text ? error.text : pqb_status_text(status));
    fflush(stdout);
    return 0;
}

static void wake(int number)
{
    (void)number;
}

/* From here on SIGTERM ends the holding; before, the program, as it would any. */
static void hear_sigterm(sigset_t *unblocked)
{
    struct sigaction action = {.sa_handler = wake};
    sigset_t blocked;
    sigemptyset(&action.sa_mask);
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTERM);
    sigprocmask(SIG_BLOCK, &blocked, unblocked);
    sigaction(SIGTERM, &action, NULL);
}

/* Until the time is over, SIGTERM comes, or stdin ends. */
static void hold(const sigset_t *unblocked)
{
    struct stat status;
    int hears =
        !fstat(STDIN_FILENO, &status) && (S_ISFIFO(status.st_mode) || S_ISSOCK(status.st_mode));
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    struct timespec limit = {.tv_sec = hold_ms / 1000, .tv_nsec = hold_ms % 1000 * 1000000};
    char ignored[64];
    while (ppoll(&input, (nfds_t)hears, hold_ms < 0 ? NULL : &limit, unblocked) > 0)
        if (read(STDIN_FILENO, ignored, sizeof ignored) <= 0)
            return;
}

/* ---- giving way ---- */

/* As the library's keeper does: the thread sleeps until somebody rings, and then answers for all.
 */
static struct follower {
    pthread_t thread;
    struct pqb_claim *claims;
    unsigned count;
    uint64_t opened_at;
    _Atomic uint32_t *bell;
    uint32_t heard; /* of the bell */
    _Atomic int is_over;
} follower;

static void answer(struct pqb_claim *claim)
{
    struct pqb_yield_wish wish;
    pqb_yield_tell(claim, session, follower.opened_at);
    enum pqb_yield_answer_due due = pqb_yield_is_asked(claim, &wish);
    if (due == PQB_YIELD_NOT_ASKED)
        return;
    if (due == PQB_YIELD_ASKED && session == PQB_SESSION_IDLE && pqb_yield_has_others(claim)) {
        pqb_yield_accept(claim, &wish, pqb_now() - follower.opened_at);
        pqb_claim_give(claim, PQB_END_CLOSED);
    } else {
        pqb_yield_decline(claim);
    }
}

static void *follow(void *unused)
{
    (void)unused;
    for (;;) {
        pqb_futex_wait(follower.bell, follower.heard, PQB_FOREVER, 1);
        follower.heard = atomic_load(follower.bell);
        if (follower.is_over)
            return NULL;
        for (unsigned i = 0; i < follower.count; i++)
            answer(&follower.claims[i]);
    }
}

static void begin_to_follow(struct pqb_claim *claims, unsigned held)
{
    follower.claims = claims;
    follower.count = held;
    follower.opened_at = pqb_now();
    follower.bell = pqb_wait_bell(atomic_load(&ledger.region));
    follower.heard = atomic_load(follower.bell);
    for (unsigned i = 0; i < held; i++)
        pqb_yield_offer(&claims[i], yield_ms);
    if (pthread_create(&follower.thread, NULL, follow, NULL))
        exit(1);
}

static void end_following(void)
{
    follower.is_over = 1;
    atomic_fetch_add(follower.bell, 1);
    pqb_futex_wake(follower.bell, 1, 1);
    pthread_join(follower.thread, NULL);
}

static int hold_together(void)
{
    sigset_t unblocked;
    struct pqb_claim *claims = calloc(count ? count : 1, sizeof *claims);
    unsigned held = 0;
    while (claims && held < count && take(&claims[held])) {
        held++;
        if (!is_quiet)
            printf("open %u\n", held);
    }
    hear_sigterm(&unblocked);
    if (yield_ms)
        begin_to_follow(claims, held);
    printf("holding %u\n", held);
    fflush(stdout);
    if (held == count)
        hold(&unblocked);
    if (yield_ms)
        end_following();
    for (unsigned i = 0; i < held; i++)
        pqb_claim_give(&claims[i], PQB_END_CLOSED);
    free(claims);
    return held == count;
}

static void *work(void *seed)
{
    unsigned short state[3] = {(unsigned short)(uintptr_t)seed, (unsigned short)getpid(), 7};
    for (unsigned round = 0; round < rounds; round++) {
        struct pqb_claim claim;
        if (!take(&claim))
            return NULL;
        long time = hold_ms + (spread_ms ? nrand48(state) % spread_ms : 0);
        usleep((useconds_t)time * 1000);
        pqb_claim_give(&claim, PQB_END_CLOSED);
        served++;
    }
    return NULL;
}

static int work_as_pool(void)
{
    pthread_t threads[64];
    if (count > sizeof threads / sizeof *threads)
        exit(2);
    for (unsigned i = 0; i < count; i++)
        if (pthread_create(&threads[i], NULL, work, (void *)(uintptr_t)i))
            exit(1);
    for (unsigned i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    printf("served %u of %u\n", served, count * rounds);
    return served == count * rounds;
}

int main(int argc, char **argv)
{
    struct pqb_error error = {{0}};
    struct rlimit files;
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    take_options(argc, argv);
    if (!getrlimit(RLIMIT_NOFILE, &files)) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    if (pqb_ledger_open(&ledger, ledger_name ? ledger_name : getenv("PQBUDGET_LEDGER"), 1,
                        &error)) {
        fprintf(stderr, "client: %s\n", error.text);
        return 1;
    }
    return !(rounds ? work_as_pool() : hold_together());
}
