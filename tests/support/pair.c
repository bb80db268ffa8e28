#include "support/pair.h"

#include "support/support.h"

#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char **environment[PAIR_BOTH];
static char ledger[256];

void pair_free(struct pair *pair)
{
    series_free(&pair->series[PAIR_DIRECT]);
    series_free(&pair->series[PAIR_PRELOADED]);
    series_free(&pair->compared);
}

static void show(struct pair *pair, const char *name, const char *unit, const char *comparison,
                 const char *compared_unit)
{
    measure_row("programs", "%s", name);
    measure_spread("direct", &pair->series[PAIR_DIRECT], unit);
    measure_spread("pqbudget", &pair->series[PAIR_PRELOADED], unit);
    measure_spread(comparison, &pair->compared, compared_unit);
    measure_end();
}

void pair_show(struct pair *pair, const char *name, const char *unit)
{
    show(pair, name, unit, "pqbudget ÷ direct", "×");
}

void pair_show_more(struct pair *pair, const char *name, const char *unit)
{
    show(pair, name, unit, "pqbudget − direct", unit);
}

const char *pair_ledger(void)
{
    return ledger;
}

void pair_prepare(void)
{
    const char *folder = getenv("PQB_BENCH_DIR"), *library = support_built("libpqbudget.so");
    const char *port = getenv("PGPORT");
    char name[64];
    unsigned count = 0;
    while (environ[count])
        count++;
    for (unsigned way = 0; way < PAIR_BOTH; way++) {
        environment[way] = calloc(count + 5, sizeof **environment);
        if (!environment[way])
            measure_fail("no memory");
        memcpy(environment[way], environ, count * sizeof *environ);
    }
    support_ledger_name(name);
    snprintf(ledger, sizeof ledger, "%s%s%s", folder ? folder : "", folder ? "/" : "", name);
    char **added = environment[PAIR_PRELOADED] + count;
    if (access(library, R_OK) || asprintf(&added[0], "LD_PRELOAD=%s", library) < 0 ||
        asprintf(&added[1], "PQBUDGET_LEDGER=%s", ledger) < 0 ||
        asprintf(&added[2], "PQBUDGET_LIMIT=50") < 0 ||
        (port && asprintf(&added[3], "PQBUDGET_PORTS=%s", port) < 0))
        measure_fail("cannot preload %s", library);
}

/* A pipe, whose end `theirs` becomes the program's descriptor of that number. Returns our end. */
static int make_pipe(posix_spawn_file_actions_t *actions, int theirs, int *to_close)
{
    int end[2];
    if (pipe2(end, O_CLOEXEC))
        measure_fail("no pipe");
    posix_spawn_file_actions_adddup2(actions, end[theirs], theirs);
    *to_close = end[theirs];
    return end[!theirs];
}

pid_t pair_start(char *const *command, unsigned way, int *in, int *out)
{
    posix_spawn_file_actions_t actions;
    int to_close[2] = {-1, -1};
    pid_t pid;
    if (posix_spawn_file_actions_init(&actions))
        measure_fail("no memory");
    if (in)
        *in = make_pipe(&actions, STDIN_FILENO, &to_close[0]);
    if (out)
        *out = make_pipe(&actions, STDOUT_FILENO, &to_close[1]);
    if (posix_spawnp(&pid, command[0], &actions, NULL, command, environment[way]))
        measure_fail("cannot run %s", command[0]);
    posix_spawn_file_actions_destroy(&actions);
    if (in)
        close(to_close[0]);
    if (out)
        close(to_close[1]);
    return pid;
}

void pair_worker_start(struct pair_worker *worker, char *const *command, unsigned way)
{
    int in, out;
    worker->pid = pair_start(command, way, &in, &out);
    worker->orders = fdopen(in, "w");
    worker->figures = fdopen(out, "r");
    if (!worker->orders || !worker->figures)
        measure_fail("no memory");
}

void pair_worker_order(struct pair_worker *worker, unsigned times)
{
    fprintf(worker->orders, "%u\n", times);
    fflush(worker->orders);
}

void pair_worker_hear(struct pair_worker *worker, double *figure, unsigned figures)
{
    unsigned said = 0;
    while (said < figures && fscanf(worker->figures, "%lf", &figure[said]) == 1)
        said++;
    if (said < figures)
        measure_fail("a program has ended instead of working");
}

void pair_worker_ask(struct pair_worker *worker, unsigned times, double *figure, unsigned figures)
{
    pair_worker_order(worker, times);
    pair_worker_hear(worker, figure, figures);
}

void pair_worker_end(struct pair_worker *worker)
{
    fclose(worker->orders);
    support_kill(worker->pid);
    fclose(worker->figures);
}
