/*
 * A program with a pool of connections, as there are many: it knows nothing of pqbudget.
 *
 *   pool [--size N] [--rounds N] [--hold MS] [--spread MS]
 *
 * Each of the --size places of the pool connects (where to, the environment says), asks a query,
 * keeps the connection idle for --hold (and up to --spread more) as pools do, asks again, and
 * closes; --rounds times over. With --rounds 0 it keeps what it has until SIGTERM. Nothing is tried
 * twice: what a place does not get is an error of its user's.
 *
 * Says a line for everything that happens: "open" for a connection, "served" for one that was used
 * and closed, "error: …" with libpq's message, "idle" when all that --rounds 0 wants is there. At
 * the end "closed". Exit status: 0, or 1 after an error.
 */
#include <getopt.h>
#include <libpq-fe.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#define MOST 64

static unsigned size = 5, rounds = 1;
static long hold_ms = 1000, spread_ms;
static _Atomic unsigned errors;
static PGconn *kept[MOST];

static const struct option longs[] = {
    {"size", required_argument, NULL, 's'},
    {"rounds", required_argument, NULL, 'r'},
    {"hold", required_argument, NULL, 'h'},
    {"spread", required_argument, NULL, 'S'},
    {0},
};

static void take_options(int argc, char **argv)
{
    for (int option; (option = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
        long number = optarg ? strtol(optarg, NULL, 10) : -1;
        if (number < 0 || (option == 's' && number > MOST))
            exit(2);
        switch (option) {
        case 's':
            size = (unsigned)number;
            break;
        case 'r':
            rounds = (unsigned)number;
            break;
        case 'h':
            hold_ms = number;
            break;
        case 'S':
            spread_ms = number;
            break;
        default:
            exit(2);
        }
    }
    if (optind < argc)
        exit(2);
}

/* The first line is the message, as a log would have it. */
static void complain(const char *message)
{
    errors++;
    printf("error: %.*s\n", (int)strcspn(message, "\n"), message);
}

static int ask(PGconn *conn)
{
    PGresult *result = PQexec(conn, "select 1");
    int good = PQresultStatus(result) == PGRES_TUPLES_OK;
    PQclear(result);
    if (!good)
        complain(PQerrorMessage(conn));
    return good;
}

/* NULL if there is none; somebody has heard why. */
static PGconn *open_one(void)
{
    PGconn *conn = PQconnectdb("");
    if (PQstatus(conn) == CONNECTION_OK) {
        if (ask(conn)) {
            puts("open");
            return conn;
        }
    } else {
        complain(PQerrorMessage(conn));
    }
    PQfinish(conn);
    return NULL;
}

static void *work(void *number)
{
    unsigned place = (unsigned)(uintptr_t)number;
    unsigned short seed[3] = {(unsigned short)place, (unsigned short)getpid(), 7};
    if (!rounds)
        kept[place] = open_one();
    for (unsigned round = 0; round < rounds; round++) {
        PGconn *conn = open_one();
        usleep((useconds_t)(hold_ms + (spread_ms ? nrand48(seed) % spread_ms : 0)) * 1000);
        if (conn && ask(conn))
            puts("served");
        PQfinish(conn);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t threads[MOST];
    sigset_t end;
    int signal_heard;
    take_options(argc, argv);
    setvbuf(stdout, NULL, _IOLBF, 0);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    sigemptyset(&end);
    sigaddset(&end, SIGTERM);
    if (!rounds)
        pthread_sigmask(SIG_BLOCK, &end, NULL);
    for (unsigned i = 0; i < size; i++)
        if (pthread_create(&threads[i], NULL, work, (void *)(uintptr_t)i))
            return 2;
    for (unsigned i = 0; i < size; i++)
        pthread_join(threads[i], NULL);
    if (!rounds) {
        puts("idle");
        sigwait(&end, &signal_heard);
    }
    for (unsigned i = 0; i < size; i++)
        PQfinish(kept[i]);
    puts("closed");
    return errors != 0;
}
