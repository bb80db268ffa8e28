/*
 * What libpqbudget.so costs a program that it is preloaded into: its queries, its connections, its
 * start, its memory. Every figure is taken in turns, without and with, in short rounds, and
 * compared within the round.
 *
 *   preload execs                          needs nothing
 *   preload memory                         a server, as PGHOST and the like say
 *   preload queries PGBENCH                the same, with pgbench's tables
 *   preload connects PGBENCH ROAD HOST     the same; ROAD is what the table calls the way to HOST
 */
#include "support/measure.h"
#include "support/support.h"

#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Index of everything that is measured twice. */
enum { DIRECT, PRELOADED, BOTH };

static char **environment[BOTH];

static void make_environments(void)
{
    const char *folder = getenv("PQB_BENCH_DIR"), *library = support_built("libpqbudget.so");
    char name[64], ledger[256];
    unsigned count = 0;
    while (environ[count])
        count++;
    for (unsigned way = 0; way < BOTH; way++) {
        environment[way] = calloc(count + 4, sizeof **environment);
        if (!environment[way])
            measure_fail("no memory");
        memcpy(environment[way], environ, count * sizeof *environ);
    }
    support_ledger_name(name);
    snprintf(ledger, sizeof ledger, "%s%s%s", folder ? folder : "", folder ? "/" : "", name);
    char **added = environment[PRELOADED] + count;
    if (access(library, R_OK) || asprintf(&added[0], "LD_PRELOAD=%s", library) < 0 ||
        asprintf(&added[1], "PQBUDGET_LEDGER=%s", ledger) < 0 ||
        asprintf(&added[2], "PQBUDGET_LIMIT=50") < 0)
        measure_fail("cannot preload %s", library);
}

/* Starts it; *out, if wanted, reads what it writes to stdout. */
static pid_t start(char *const *command, unsigned way, int *out)
{
    posix_spawn_file_actions_t actions;
    int pipe_fds[2] = {-1, -1};
    pid_t pid;
    if ((out && pipe2(pipe_fds, O_CLOEXEC)) || posix_spawn_file_actions_init(&actions))
        measure_fail("no pipe");
    if (out)
        posix_spawn_file_actions_adddup2(&actions, pipe_fds[1], STDOUT_FILENO);
    if (posix_spawn(&pid, command[0], &actions, NULL, command, environment[way]))
        measure_fail("cannot run %s", command[0]);
    posix_spawn_file_actions_destroy(&actions);
    if (out) {
        close(pipe_fds[1]);
        *out = pipe_fds[0];
    }
    return pid;
}

/* The figures of one row: those of each way, and of each round the two compared. */
struct pair {
    struct series series[BOTH], compared;
};

static void pair_free(struct pair *pair)
{
    series_free(&pair->series[DIRECT]);
    series_free(&pair->series[PRELOADED]);
    series_free(&pair->compared);
}

static void pair_judge(struct pair *pair, const char *what, const char *unit,
                       const char *compared_unit, const char *bar, int is_met)
{
    struct measure_pair row = {.has_bar = 1, .is_met = is_met};
    snprintf(row.what, sizeof row.what, "%s", what);
    snprintf(row.bar, sizeof row.bar, "%s", bar);
    measure_spread(row.direct, &pair->series[DIRECT], unit);
    measure_spread(row.preloaded, &pair->series[PRELOADED], unit);
    measure_spread(row.compared, &pair->compared, compared_unit);
    measure_print_pair(&row);
}

/* ---- queries and connections: pgbench ---- */

#define ROUND_S 0.2

/* Transactions per second. */
static double run_pgbench(char *const *command, unsigned way)
{
    int out, status;
    char line[256];
    double speed = 0;
    pid_t pid = start(command, way, &out);
    FILE *lines = fdopen(out, "r");
    while (lines && fgets(line, sizeof line, lines))
        sscanf(line, "tps = %lf", &speed);
    if (lines)
        fclose(lines);
    if (waitpid(pid, &status, 0) != pid || status || speed <= 0)
        measure_fail("pgbench failed");
    return speed;
}

/* Many short rounds, the order turned each time: what else the machine does then falls on both. */
static void compare_pgbench(struct pair *pair, char **command, char *transactions, unsigned clients)
{
    unsigned rounds = measure_is_quick() ? 15 : 201;
    long size = 100;
    for (unsigned tries = 0; tries < 3; tries++) {
        snprintf(transactions, 24, "%ld", size);
        size = (long)(run_pgbench(command, tries % BOTH) * ROUND_S / clients) + 10;
    }
    snprintf(transactions, 24, "%ld", size);
    for (unsigned round = 0; round < rounds; round++) {
        double speed[BOTH];
        for (unsigned turn = 0; turn < BOTH; turn++) {
            unsigned way = (turn + round) % BOTH;
            speed[way] = run_pgbench(command, way);
            series_add(&pair->series[way], speed[way]);
        }
        series_add(&pair->compared, speed[PRELOADED] / speed[DIRECT]);
    }
}

static void measure_queries(char *pgbench, unsigned clients)
{
    struct pair pair = {0};
    char what[160], number[24], transactions[24];
    char *command[] = {
        pgbench, "-n",         "-S", "-M", "prepared", "-c", number, "-j", clients > 1 ? "2" : "1",
        "-t",    transactions, NULL};
    snprintf(number, sizeof number, "%u", clients);
    compare_pgbench(&pair, command, transactions, clients);
    snprintf(what, sizeof what, "`pgbench -S -M prepared`, %u client%s: transactions per second",
             clients, clients > 1 ? "s" : "");
    pair_judge(&pair, what, "", " ×", "≥ 0.99", series_median(&pair.compared) >= 0.99);
    pair_free(&pair);
}

static void measure_connects(char *pgbench, const char *road, char *host)
{
    struct pair pair = {0};
    char what[160], transactions[24];
    char *command[] = {pgbench, "-n", "-S", "-C", "-h", host, "-t", transactions, NULL};
    compare_pgbench(&pair, command, transactions, 1);
    snprintf(what, sizeof what, "`pgbench -S -C`, %s: connections per second", road);
    pair_judge(&pair, what, "", " ×", "≥ 0.98", series_median(&pair.compared) >= 0.98);
    pair_free(&pair);
}

/* ---- the start of a program ---- */

/* µs from the order to the end of a program that does nothing. */
static double time_exec(char *const *command, unsigned way)
{
    int status;
    uint64_t begin = pqb_now();
    pid_t pid = start(command, way, NULL);
    if (waitpid(pid, &status, 0) != pid || status)
        measure_fail("%s failed", command[0]);
    return (double)(pqb_now() - begin) / 1e3;
}

static void measure_execs(void)
{
    char *command[] = {"/bin/true", NULL};
    struct pair pair = {0};
    unsigned rounds = measure_is_quick() ? 100 : 500;
    for (unsigned round = 0; round <= rounds; round++) {
        struct series one[BOTH] = {0};
        for (unsigned i = 0; i < 40; i++)
            series_add(&one[i % BOTH], time_exec(command, i % BOTH));
        for (unsigned way = 0; way < BOTH && round; way++) /* the first one warms up */
            series_add(&pair.series[way], series_median(&one[way]));
        if (round)
            series_add(&pair.compared,
                       series_median(&one[PRELOADED]) / series_median(&one[DIRECT]));
        series_free(&one[DIRECT]);
        series_free(&one[PRELOADED]);
    }
    pair_judge(&pair, "`/bin/true`, from the order to its end", " µs", " ×", "≤ 1.10",
               series_median(&pair.compared) <= 1.10);
    pair_free(&pair);
}

/* ---- memory ---- */

#define IDLE 4 /* at once, so that what they share is not taken for their own */

/* KiB that only this process has, but for the ledger: it is one file, whoever touched which page.
 */
static double private_of(pid_t pid)
{
    char path[64], line[512];
    unsigned long all = 0, kib;
    int is_ledger = 0;
    snprintf(path, sizeof path, "/proc/%d/smaps", (int)pid);
    FILE *maps = fopen(path, "r");
    while (maps && fgets(line, sizeof line, maps)) {
        unsigned long from, to;
        if (sscanf(line, "%lx-%lx", &from, &to) == 2)
            is_ledger = strstr(line, "/dev/shm/") != NULL;
        else if (!is_ledger && (sscanf(line, "Private_Clean: %lu", &kib) == 1 ||
                                sscanf(line, "Private_Dirty: %lu", &kib) == 1))
            all += kib;
    }
    if (!maps || !all)
        measure_fail("cannot read %s", path);
    fclose(maps);
    return (double)all;
}

/* A pool of `size` connections, once it has them. */
static pid_t start_idle(unsigned size, unsigned way, FILE **said)
{
    char path[512], number[24], line[256] = "";
    char *command[] = {path, "--rounds", "0", "--size", number, NULL};
    unsigned open = 0;
    int out;
    snprintf(path, sizeof path, "%s", support_built("helpers/pool"));
    snprintf(number, sizeof number, "%u", size);
    pid_t pid = start(command, way, &out);
    *said = fdopen(out, "r");
    while (*said && strcmp(line, "idle\n") != 0 && fgets(line, sizeof line, *said))
        open += !strcmp(line, "open\n");
    if (open != size || strcmp(line, "idle\n") != 0)
        measure_fail("an idle program is not: %s", line);
    return pid;
}

/* With 0 connections they never connect. */
static void measure_idle(unsigned size, const char *what)
{
    struct pair pair = {0};
    pid_t pid[IDLE][BOTH];
    FILE *said[IDLE][BOTH];
    for (unsigned i = 0; i < IDLE; i++)
        for (unsigned way = 0; way < BOTH; way++)
            pid[i][way] = start_idle(size, way, &said[i][way]);
    for (unsigned i = 0; i < IDLE; i++) {
        double kib[BOTH];
        for (unsigned way = 0; way < BOTH; way++) {
            kib[way] = private_of(pid[i][way]);
            series_add(&pair.series[way], kib[way]);
        }
        series_add(&pair.compared, kib[PRELOADED] - kib[DIRECT]);
    }
    for (unsigned i = 0; i < IDLE; i++)
        for (unsigned way = 0; way < BOTH; way++) {
            support_kill(pid[i][way]);
            fclose(said[i][way]);
        }
    pair_judge(&pair, what, " KiB", " KiB more", "≤ 64 KiB", series_median(&pair.compared) <= 64);
    pair_free(&pair);
}

int main(int count, char **arguments)
{
    const char *what = count > 1 ? arguments[1] : "";
    make_environments();
    if (!strcmp(what, "execs") && count == 2) {
        measure_execs();
    } else if (!strcmp(what, "memory") && count == 2) {
        measure_idle(0, "private memory of a program that never connected");
        measure_idle(1, "private memory of a program that holds a connection");
    } else if (!strcmp(what, "queries") && count == 3) {
        measure_queries(arguments[2], 1);
        measure_queries(arguments[2], 8);
    } else if (!strcmp(what, "connects") && count == 5) {
        measure_connects(arguments[2], arguments[3], arguments[4]);
    } else {
        measure_fail("usage: preload execs|memory|queries PGBENCH|connects PGBENCH ROAD HOST");
    }
    return 0;
}
