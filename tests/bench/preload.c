/*
 * What libpqbudget.so costs a program that it is preloaded into: its calls, its start, its memory,
 * and node-postgres its queries; those of pgbench are in queries.py. Every figure is taken in
 * turns, without and with, in short rounds, and compared within the round.
 *
 *   preload execs                          needs nothing
 *   preload calls                          a server, as PGHOST and the like say
 *   preload memory                         the same
 *   preload pool NODE SCRIPT               the same, with pgbench's tables; NODE_PATH leads to what
 *                                          the script requires
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

/* ---- programs that last ---- */

#define MOST_FIGURES 4

/* What one of them does in a round, how often it warms up first, and how many figures it says. */
struct lasting {
    char *const *command;
    unsigned times, warm_up, figures, rounds;
};

/* Both at work in turns. No two starts of a program are alike (where its memory lies, what a
 * compiler at run time makes of it), so there are several. */
static void compare_lasting(struct pair *pair, const struct lasting *work)
{
    unsigned starts = measure_is_quick() ? 3 : 10;
    for (unsigned start = 0; start < starts; start++) {
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
        pair_show(&pair[i], what, "ns");
        pair_free(&pair[i]);
    }
}

static void measure_pool(char *node, char *script)
{
    struct pair pair[MOST_FIGURES] = {0};
    char *command[] = {node, script, NULL};
    compare_lasting(pair, &(struct lasting){.command = command,
                                            .times = 200,
                                            .warm_up = measure_is_quick() ? 1500 : 5000,
                                            .figures = 2,
                                            .rounds = measure_is_quick() ? 15 : 30});
    char what[160];
    snprintf(what, sizeof what, "node-postgres, a pool of 5, `SELECT` by key%s", followed());
    pair_show(&pair[0], what, "/s");
    snprintf(what, sizeof what, "node-postgres, processor time of a query%s", followed());
    pair_show(&pair[1], what, "µs");
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
    unsigned rounds = measure_is_quick() ? 50 : 500;
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
    pair_show(&pair, "`/bin/true`, from the order to its end", "µs");
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
    pair_show_more(&pair, what, "KiB");
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
    } else if (!strcmp(what, "pool") && count == 4) {
        measure_pool(arguments[2], arguments[3]);
    } else {
        measure_fail("usage: preload execs|calls|memory|pool NODE SCRIPT");
    }
    return 0;
}
