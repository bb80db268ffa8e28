/*
 * What libpqbudget.so costs a program that it is preloaded into: its queries, its connections, its
 * start, its memory. Every figure is taken in turns, without and with, in short rounds, and
 * compared within the round.
 *
 *   preload execs                          needs nothing
 *   preload calls                          a server, as PGHOST and the like say
 *   preload memory                         the same
 *   preload queries PGBENCH                the same, with pgbench's tables
 *   preload connects PGBENCH ROAD HOST     the same; ROAD is what the table calls the way to HOST
 *   preload pool NODE SCRIPT               the same; NODE_PATH leads to what the script requires
 */
#include "support/pair.h"
#include "support/support.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* In an environment with PQBUDGET_YIELD every connection is followed. */
static const char *followed(void)
{
    return getenv("PQBUDGET_YIELD") ? ", `PQBUDGET_YIELD` on" : "";
}

/* ---- queries and connections: pgbench ---- */

#define ROUND_S 0.2

/* Transactions per second. */
static double run_pgbench(char *const *command, unsigned way)
{
    int out, status;
    char line[256];
    double speed = 0;
    pid_t pid = pair_start(command, way, NULL, &out);
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
        size = (long)(run_pgbench(command, tries % PAIR_BOTH) * ROUND_S / clients) + 10;
    }
    snprintf(transactions, 24, "%ld", size);
    for (unsigned round = 0; round < rounds; round++) {
        double speed[PAIR_BOTH];
        for (unsigned turn = 0; turn < PAIR_BOTH; turn++) {
            unsigned way = (turn + round) % PAIR_BOTH;
            speed[way] = run_pgbench(command, way);
            series_add(&pair->series[way], speed[way]);
        }
        series_add(&pair->compared, speed[PAIR_PRELOADED] / speed[PAIR_DIRECT]);
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
    snprintf(what, sizeof what, "`pgbench -S -M prepared`, %u client%s%s: transactions per second",
             clients, clients > 1 ? "s" : "", followed());
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

/* ---- programs that last ---- */

#define MOST_FIGURES 4

/* What one of them does in a round, how often it warms up first, and how many figures it says. */
struct lasting {
    char *const *command;
    unsigned times, warm_up, figures, rounds;
};

#define STARTS 10

/* Both at work in turns. No two starts of a program are alike (where its memory lies, what a
 * compiler at run time makes of it), so there are several. */
static void compare_lasting(struct pair *pair, const struct lasting *work)
{
    for (unsigned start = 0; start < STARTS; start++) {
        struct pair_worker worker[PAIR_BOTH];
        double figure[PAIR_BOTH][MOST_FIGURES];
        for (unsigned way = 0; way < PAIR_BOTH; way++) {
            pair_worker_start(&worker[way], work->command, way);
            pair_worker_ask(&worker[way], work->warm_up, figure[way], work->figures);
        }
        for (unsigned round = 0; round < work->rounds; round++) {
            for (unsigned turn = 0; turn < PAIR_BOTH; turn++) {
                unsigned way = (turn + round + start) % PAIR_BOTH;
                pair_worker_ask(&worker[way], work->times, figure[way], work->figures);
            }
            for (unsigned i = 0; i < work->figures; i++) {
                for (unsigned way = 0; way < PAIR_BOTH; way++)
                    series_add(&pair[i].series[way], figure[way][i]);
                series_add(&pair[i].compared, figure[PAIR_PRELOADED][i] / figure[PAIR_DIRECT][i]);
            }
        }
        for (unsigned way = 0; way < PAIR_BOTH; way++)
            pair_worker_end(&worker[way]);
    }
}

/* Whoever is started from now on shares one processor with us, who sleep while they work. */
static void share_a_processor(void)
{
    cpu_set_t all, one;
    unsigned last = CPU_SETSIZE - 1;
    if (sched_getaffinity(0, sizeof all, &all))
        return;
    while (last > 0 && !CPU_ISSET(last, &all))
        last--;
    CPU_ZERO(&one);
    CPU_SET(last, &one);
    sched_setaffinity(0, sizeof one, &one); /* where it can't be had, it is measured without */
}

static void measure_calls(char *connections, const char *where)
{
    static const char *const name[] = {"write()` to a pipe", "read()` from a pipe",
                                       "send()` to a socket", "recv()` from a socket"};
    struct pair pair[MOST_FIGURES] = {0};
    char path[512], what[160];
    char *command[] = {path, connections, NULL};
    snprintf(path, sizeof path, "%s", support_built("bench/calls"));
    compare_lasting(pair, &(struct lasting){.command = command,
                                            .times = 10,
                                            .warm_up = 100,
                                            .figures = MOST_FIGURES,
                                            .rounds = measure_is_quick() ? 50 : 500});
    for (unsigned i = 0; i < MOST_FIGURES; i++) {
        snprintf(what, sizeof what, "`%s, one byte, %s", name[i], where);
        pair_judge(&pair[i], what, " ns", " ×", "≤ 1.05", series_median(&pair[i].compared) <= 1.05);
        pair_free(&pair[i]);
    }
}

static void measure_pool(char *node, char *script)
{
    struct pair pair[MOST_FIGURES] = {0};
    char *command[] = {node, script, NULL};
    compare_lasting(pair, &(struct lasting){.command = command,
                                            .times = 200,
                                            .warm_up = 5000,
                                            .figures = 2,
                                            .rounds = measure_is_quick() ? 40 : 400});
    char what[160];
    snprintf(what, sizeof what, "node-postgres, a pool of 5, `SELECT` by key%s: queries per second",
             followed());
    pair_judge(&pair[0], what, "", " ×", "≥ 0.99", series_median(&pair[0].compared) >= 0.99);
    pair_judge(&pair[1], "the same: processor time of node per query", " µs", " ×", "", 0);
    pair_free(&pair[0]);
    pair_free(&pair[1]);
}

/* ---- the start of a program ---- */

/* µs from the order to the end of a program that does nothing. */
static double time_exec(char *const *command, unsigned way)
{
    int status;
    uint64_t begin = pqb_now();
    pid_t pid = pair_start(command, way, NULL, NULL);
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
        struct series one[PAIR_BOTH] = {0};
        for (unsigned i = 0; i < 40; i++)
            series_add(&one[i % PAIR_BOTH], time_exec(command, i % PAIR_BOTH));
        for (unsigned way = 0; way < PAIR_BOTH && round; way++) /* the first one warms up */
            series_add(&pair.series[way], series_median(&one[way]));
        if (round)
            series_add(&pair.compared,
                       series_median(&one[PAIR_PRELOADED]) / series_median(&one[PAIR_DIRECT]));
        series_free(&one[PAIR_DIRECT]);
        series_free(&one[PAIR_PRELOADED]);
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
    pid_t pid = pair_start(command, way, NULL, &out);
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
    pid_t pid[IDLE][PAIR_BOTH];
    FILE *said[IDLE][PAIR_BOTH];
    for (unsigned i = 0; i < IDLE; i++)
        for (unsigned way = 0; way < PAIR_BOTH; way++)
            pid[i][way] = start_idle(size, way, &said[i][way]);
    for (unsigned i = 0; i < IDLE; i++) {
        double kib[PAIR_BOTH];
        for (unsigned way = 0; way < PAIR_BOTH; way++) {
            kib[way] = private_of(pid[i][way]);
            series_add(&pair.series[way], kib[way]);
        }
        series_add(&pair.compared, kib[PAIR_PRELOADED] - kib[PAIR_DIRECT]);
    }
    for (unsigned i = 0; i < IDLE; i++)
        for (unsigned way = 0; way < PAIR_BOTH; way++) {
            support_kill(pid[i][way]);
            fclose(said[i][way]);
        }
    pair_judge(&pair, what, " KiB", " KiB more", "≤ 64 KiB", series_median(&pair.compared) <= 64);
    pair_free(&pair);
}

int main(int count, char **arguments)
{
    const char *what = count > 1 ? arguments[1] : "";
    pair_prepare();
    if (!strcmp(what, "execs") && count == 2) {
        measure_execs();
    } else if (!strcmp(what, "calls") && count == 2) {
        char none[] = "0", some[] = "4";
        share_a_processor();
        measure_calls(none, "in a program that never connected");
        measure_calls(some, "in one that holds 4 connections");
    } else if (!strcmp(what, "memory") && count == 2) {
        char what_some[160];
        snprintf(what_some, sizeof what_some,
                 "private memory of a program that holds a connection%s", followed());
        if (!*followed())
            measure_idle(0, "private memory of a program that never connected");
        measure_idle(1, what_some);
    } else if (!strcmp(what, "queries") && count == 3) {
        measure_queries(arguments[2], 1);
        measure_queries(arguments[2], 8);
    } else if (!strcmp(what, "connects") && count == 5) {
        measure_connects(arguments[2], arguments[3], arguments[4]);
    } else if (!strcmp(what, "pool") && count == 4) {
        measure_pool(arguments[2], arguments[3]);
    } else {
        measure_fail("usage: preload execs|calls|memory|queries PGBENCH|connects PGBENCH ROAD HOST|"
                     "pool NODE SCRIPT");
    }
    return 0;
}
