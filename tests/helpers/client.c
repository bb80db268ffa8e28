/*
 * A program that takes claims, shows them as connections, and gives them back: what a process under
 * pqbudget does to the ledger, without a server.
 *
 *   client [OPTION]…
 *
 * It takes --count claims one after the other, says "open N" for each, holds them all for --hold,
 * and gives them back; also on SIGTERM, and at the end of stdin if that is a pipe. With --rounds it
 * has
 * --count threads instead, and each of them takes, holds, gives back, that many times: a pool at
 * work. Ends with "served N of M". Exit status: 0, or 1 if a claim was not to be had.
 */
#include "ledger/wait.h"

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
    {"connecting", no_argument, NULL, 'C'},
    {"quiet", no_argument, NULL, 'q'},
    {0},
};

/* Milliseconds, or "forever". */
static long time_of(const char *text)
{
    return text && strcmp(text, "forever") ? strtol(text, NULL, 10) : FOREVER;
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
    printf("holding %u\n", held);
    fflush(stdout);
    if (held == count)
        hold(&unblocked);
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
