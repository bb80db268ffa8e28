/*
 * races: queries written in the very moment in which their connection gives way.
 *
 *   races [--races N]
 *
 * Beside a PostgreSQL (scripts/with-postgres) that takes as many connections as the limit allows,
 * and one of ours. The racers, of each kind one (board.h), want more than that together, so that
 * always somebody waits, and somebody is asked to give way as soon as he was idle for a
 * millisecond. Each then inserts a number, at the moment at which his keeper ends the connection.
 *
 *  Whole or not at all   The server's table is the judge: a number whose result was read is in it,
 *                        once; a number in whose place 57P05 and the end were read is not; there is
 *                        no third answer.
 *  Never over            The server has no connection to spare.
 *  Never stuck           Somebody inserts a number all the time.
 *  Never lost            At the end the ledger counts nothing, and the server has nobody.
 */
#include "board.h"
#include "ledger/snapshot.h"
#include "ledger/steer.h"
#include "ledger/tick.h"
#include "support/audit.h"
#include "support/support.h"

#include <getopt.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define STUCK (30 * PQB_SECOND)
#define PATIENCE 40 /* so many times the races wanted, until either side has won some */

static uint64_t wanted = 1000;
static int kind = -1; /* of this racer; the judge is none */
static struct pqb_ledger ledger;
static struct pqb_region *region;
static struct board *board;
static int board_file;
static PGconn *server;
static uint32_t limit;
static pid_t racer[KINDS];
static int findings;

#define find(...) (fprintf(stderr, "races: " __VA_ARGS__), fputc('\n', stderr), findings++)

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "races: %s: %s\n", what, why);
    exit(3);
}

/* ---- the server's side ---- */

static PGresult *ask(const char *query)
{
    PGresult *result = PQexec(server, query);
    if (PQresultStatus(result) != PGRES_TUPLES_OK && PQresultStatus(result) != PGRES_COMMAND_OK)
        fail(query, PQerrorMessage(server));
    return result;
}

static uint32_t ask_number(const char *query)
{
    PGresult *result = ask(query);
    uint32_t number = (uint32_t)strtoul(PQgetvalue(result, 0, 0), NULL, 10);
    PQclear(result);
    return number;
}

static uint32_t connected(void)
{
    return ask_number("select count(*) from pg_stat_activity where usename = 'racer'");
}

static void meet_server(void)
{
    server = PQconnectdb("");
    if (PQstatus(server) != CONNECTION_OK)
        fail("no server", PQerrorMessage(server));
    PQclear(ask("create role racer login"));
    PQclear(ask("create unlogged table races (number bigint)"));
    PQclear(ask("grant insert on races to racer"));
    /* This connection is one, and so many nobody but a superuser may have. */
    limit = ask_number("select current_setting('max_connections')::int - 1 - "
                       "current_setting('superuser_reserved_connections')::int");
    if (limit < KINDS + 1 || limit > KINDS * (LINES - 1))
        fail("max_connections", "the server is to have fewer than the racers want, and enough that "
                                "one of them has more than one");
}

/* ---- the racers ---- */

static void configure(void)
{
    struct pqb_steer change = pqb_steer_nothing;
    struct pqb_error error = {{0}};
    char key[64], alias[256];
    snprintf(key, sizeof key, "localhost:%s", PQport(server));
    snprintf(alias, sizeof alias, "%s:%s", getenv("PQB_POSTGRES_DIR"), PQport(server));
    change.server = key;
    change.make = 1;
    change.limit = limit;
    change.reserve = 0;
    change.slack = 0;
    change.aliases = 1;
    change.alias[0] = alias;
    if (pqb_steer_apply(region, &change, &error))
        fail("the ledger", error.text);
}

static void set(const char *name, const char *format, const char *one, const char *two)
{
    char text[4096];
    snprintf(text, sizeof text, format, one, two);
    setenv(name, text, 1);
}

/* Their environment is ours, but that we are not under the preload. */
static void prepare(void)
{
    static const char to[] = "host=%s port=%s sslmode=disable gssencmode=disable";
    char preload[4096];
    if (!realpath(support_built("libpqbudget.so"), preload))
        fail("no libpqbudget.so", support_built(""));
    set("PQB_RACES_TCP", to, "127.0.0.1", PQport(server));
    set("PQB_RACES_UNIX", to, getenv("PQB_POSTGRES_DIR"), PQport(server));
    setenv("PQBUDGET_LEDGER", ledger.path, 1);
    setenv("PQBUDGET_PORTS", PQport(server), 1);
    setenv("PQBUDGET_FAIL", "closed", 1);
    setenv("PQBUDGET_WAIT", "inf", 1);
    setenv("PQBUDGET_YIELD", "1ms", 1);
    setenv("PGUSER", "racer", 1);
    setenv("LD_PRELOAD", preload, 1);
}

static void start_racers(void)
{
    for (unsigned i = 0; i < KINDS; i++) {
        char number[16], file[16];
        racer[i] = support_fork();
        if (racer[i])
            continue;
        snprintf(number, sizeof number, "%u", i);
        snprintf(file, sizeof file, "%d", board_file);
        execl("/proc/self/exe", "racer", "--racer", number, "--board", file, (char *)0);
        _exit(127);
    }
}

/* A racer's own end is a finding. */
static int all_run(void)
{
    int status;
    pid_t ended = waitpid(-1, &status, WNOHANG);
    if (ended > 0)
        find("racer %d has ended, by status %d", ended, status);
    return ended <= 0;
}

static uint64_t tally(enum tally what)
{
    return atomic_load(&board->tally[what]);
}

/* A run in which one side always wins proves nothing. Which one mostly does is the machine's. */
static int each_has_won(void)
{
    return tally(RACES_RAN) >= wanted / 20 && tally(RACES_ENDED) >= wanted / 20;
}

static int is_enough(void)
{
    uint64_t races = tally(RACES);
    return races >= wanted && (each_has_won() || races >= wanted * PATIENCE);
}

/* Until they have raced so often. */
static void watch(void)
{
    uint64_t moved_at = pqb_now();
    uint32_t last = 0;
    while (all_run() && !is_enough()) {
        uint32_t now = atomic_load(&board->next);
        if (now != last)
            moved_at = pqb_now();
        else if (pqb_now() - moved_at > STUCK)
            break;
        last = now;
        usleep(10000);
    }
    if (!is_enough() && !findings)
        find("stuck: nobody has inserted anything for %d s", (int)(STUCK / PQB_SECOND));
}

static void end_racers(void)
{
    atomic_store(&board->is_over, 1);
    for (unsigned i = 0; i < KINDS; i++) {
        int status = 0;
        pid_t ended = 0;
        if (!wait_until((ended = waitpid(racer[i], &status, WNOHANG)) != 0))
            find("stuck: racer %d does not end", racer[i]);
        if (ended == racer[i] && status)
            find("racer %d has ended, by status %d", racer[i], status);
        if (!ended)
            support_kill(racer[i]);
    }
}

/* ---- judging ---- */

static void judge(uint32_t number, unsigned times)
{
    switch (atomic_load(&board->fate[number])) {
    case FATE_RAN:
        if (times != 1)
            find("query %u has run, and is there %u times", number, times);
        break;
    case FATE_ENDED:
        if (times)
            find("query %u was never sent, and is there %u times", number, times);
        break;
    case FATE_SENT:
        find("nobody has heard of query %u, which is there %u times", number, times);
        break;
    default:
        if (times)
            find("query %u was never asked, and is there %u times", number, times);
    }
}

static void judge_all(void)
{
    uint8_t *times = calloc(BOARD_ROOM, 1);
    PGresult *result = ask("select number from races");
    if (!times)
        fail("no memory", "for so many");
    for (int i = 0; i < PQntuples(result); i++) {
        unsigned long number = strtoul(PQgetvalue(result, i, 0), NULL, 10);
        if (number < BOARD_ROOM && times[number] < UINT8_MAX)
            times[number]++;
    }
    PQclear(result);
    for (uint32_t i = 0; i < BOARD_ROOM && findings < 20; i++)
        judge(i, times[i]);
    free(times);
}

static int is_empty(void)
{
    struct support_counts counts = support_count(&ledger);
    (void)!pqb_tick(region, 0, NULL);
    return !counts.used && !counts.waiting && !counts.draining && !connected();
}

/* How many gave way, as the ledger has it. */
static uint64_t check_ledger(void)
{
    char words[400];
    struct pqb_snapshot snapshot;
    if (!wait_until(is_empty()))
        find("lost: %u are in use, and the server has %u", support_count(&ledger).used,
             connected());
    if (audit_books(region->map, words, sizeof words))
        find("lost: the books: %s", words);
    if (pqb_snapshot_take(region, &snapshot))
        fail("the ledger", "no snapshot");
    uint64_t yielded = snapshot.server[0].yielded_total;
    pqb_snapshot_free(&snapshot);
    return yielded;
}

static void report(uint64_t yielded, uint64_t start)
{
    static const char *const name[TALLIES] = {
        "queries beside the races",       "races",
        "the query came first",           "the connection gave way first",
        "it was closed instead",          "a child wrote",
        "had given way before the query", "connections made once more",
    };
    printf("  %-32s %.1f s\n", "time", (double)(pqb_now() - start) / 1e9);
    printf("  %-32s %llu\n", "gave way", (unsigned long long)yielded);
    for (unsigned i = 0; i < TALLIES; i++)
        printf("  %-32s %llu\n", name[i], (unsigned long long)tally(i));
}

/* ---- */

static void take_options(int argc, char **argv)
{
    static const struct option longs[] = {{"races", required_argument, NULL, 'r'},
                                          {"racer", required_argument, NULL, 'k'},
                                          {"board", required_argument, NULL, 'b'},
                                          {0}};
    for (int option; (option = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
        unsigned long number = optarg ? strtoul(optarg, NULL, 10) : 0;
        if (option == 'r')
            wanted = number;
        else if (option == 'k')
            kind = (int)number;
        else if (option == 'b')
            board_file = (int)number;
        else
            exit(2);
    }
}

/* The racers inherit its descriptor. */
static void open_board(void)
{
    if (kind < 0 && ((board_file = memfd_create("board", 0)) < 0 ||
                     ftruncate(board_file, (off_t)sizeof *board)))
        fail("no memory", "for the board");
    board = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED, board_file, 0);
    if (board == MAP_FAILED)
        fail("no memory", "for the board");
}

int main(int argc, char **argv)
{
    uint64_t start = pqb_now();
    take_options(argc, argv);
    open_board();
    if (kind >= 0)
        return race(board, getenv("PQBUDGET_LEDGER"), (enum kind)kind);
    support_ledger_open(&ledger);
    if (pqb_ledger_region(&ledger, &region, NULL))
        fail("no ledger", ledger.path);
    meet_server();
    configure();
    prepare();
    start_racers();
    watch();
    end_racers();
    uint64_t yielded = check_ledger();
    judge_all();
    if (!findings && (!each_has_won() || yielded < wanted / 10))
        find("the races were none");
    report(yielded, start);
    PQfinish(server);
    pqb_region_unpin(region);
    support_ledger_end(&ledger);
    return findings != 0;
}
