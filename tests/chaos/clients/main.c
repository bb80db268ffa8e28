/*
 * clients: the chaos of real clients before a real server that has no connection to spare.
 *
 *   clients [--deaths N] [--processes P] [--seed S]
 *
 * Beside a PostgreSQL (scripts/with-postgres) that takes as many of the clients' connections as the
 * limit allows, and one of ours. The clients (../client) run under the preload, and are stopped and
 * killed at random moments, often on purpose inside the ledger's guard, while the limit goes down
 * and up and the server is paused.
 *
 *  never over   The server's own refusal: it has no slot to spare. Its own count, asked all the
 *               time, beside a limit that was lowered; and the ledger's.
 *  never stuck  A free slot and a running waiter who could have it coexist for three seconds
 *               without a grant only while the guard's owner is stopped. Everybody comes to the end
 *               of what he does.
 *  never lost   When all stand still, the connections the ledger knows are those the server has;
 *               when all are gone there are none, the books agree with the claims, and the whole
 *               limit can be had at once.
 *
 * Everything is reproducible from the seed but for the moments the scheduler chooses.
 */
#include "chaos/client/board.h"
#include "ledger/snapshot.h"
#include "ledger/steer.h"
#include "ledger/tick.h"
#include "support/audit.h"
#include "support/draw.h"
#include "support/support.h"
#include "support/watch.h"

#include <libpq-fe.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EVERY (30 * PQB_MS) /* somebody is struck, on average */
#define STEERED_EVERY (400 * PQB_MS)
#define ENOUGH (60 * PQB_SECOND)
#define DRAIN_MS 1000 /* the backend of one who dies while he logs in */

static const char *const tally_names[TALLIES] = {"opened by plain sockets",
                                                 "opened by libpq",
                                                 "refused by pqbudget",
                                                 "given up while waiting",
                                                 "children forked",
                                                 "taken over by a child",
                                                 "execs",
                                                 "exits without closing",
                                                 "found given way"};

static struct pqb_ledger ledger;
static struct pqb_region *region;
static struct board *board;
static PGconn *server;
static char key[64];
static uint32_t limit;
static unsigned long deaths_wanted = 250, deaths;
static unsigned processes = 40;
static uint64_t samples, most;
static struct watch watch;

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "clients: %s: %s\n", what, why);
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
    return ask_number("select count(*) from pg_stat_activity where usename = 'chaos'");
}

static void meet_server(void)
{
    server = PQconnectdb("");
    if (PQstatus(server) != CONNECTION_OK)
        fail("no server", PQerrorMessage(server));
    PQclear(ask("create role chaos login"));
    /* This connection is one, and so many nobody but a superuser may have. */
    limit = ask_number("select current_setting('max_connections')::int - 1 - "
                       "current_setting('superuser_reserved_connections')::int");
    if (limit < 3 || limit > 50)
        fail("max_connections", "the server is to take from 3 to 50 of the clients");
}

/* ---- steering ---- */

static void configure(void)
{
    char folder[256];
    struct pqb_steer change = pqb_steer_nothing;
    struct pqb_error error = {{0}};
    snprintf(key, sizeof key, "localhost:%s", PQport(server));
    snprintf(folder, sizeof folder, "%s:%s", getenv("PQB_POSTGRES_DIR"), PQport(server));
    change.server = key;
    change.make = 1;
    change.limit = limit;
    change.reserve = 1;
    change.wait_ms = 4000;
    change.drain_ms = DRAIN_MS;
    change.slack = 0;
    change.aliases = 1;
    change.alias[0] = folder;
    if (pqb_steer_apply(region, &change, &error))
        fail("the ledger", error.text);
}

static void steer(long long new_limit, long long paused)
{
    struct pqb_steer change = pqb_steer_nothing;
    struct pqb_error error = {{0}};
    change.server = key;
    change.limit = new_limit;
    change.paused = paused;
    enum pqb_status status = pqb_steer_apply(region, &change, &error);
    if (status && status != PQB_BUSY)
        find("steering: %s", error.text);
}

/* The guard's owner may be stopped, and only the master lets him go on: this is a person, too. */
static void steer_somehow(void)
{
    static uint64_t next;
    if (pqb_now() < next)
        return;
    next = pqb_now() + STEERED_EVERY;
    long long new_limit = draw(3) ? limit : 2 + (long long)draw(limit - 2);
    long long paused = !draw(6);
    if (support_fork())
        return;
    crowd_leave_master();
    crowd_enter();
    steer(new_limit, paused);
    crowd_leave();
}

/* ---- people ---- */

static char client[4096];

static void start_client(const char *what)
{
    char slot[16], generation[16];
    if (support_fork())
        return;
    crowd_leave_master();
    crowd_enter();
    snprintf(slot, sizeof slot, "%u", crowd_slot);
    snprintf(generation, sizeof generation, "%u", crowd_generation);
    if (crowd_slot % 2)
        setenv("PQBUDGET_YIELD", "5ms", 1);
    execl(client, "client", crowd->folder, slot, generation, what, (char *)0);
    crowd_leave();
}

/* The clients' environment is ours, but that we are not under the preload. */
static void prepare_clients(void)
{
    char preload[4096];
    if (!realpath(support_built("libpqbudget.so"), preload))
        fail("no libpqbudget.so", support_built(""));
    if (!realpath(support_built("chaos/client"), client) || strlen(client) >= sizeof crowd->program)
        fail("no client", support_built(""));
    strcpy(crowd->program, client);
    setenv("PQBUDGET_LEDGER", ledger.path, 1);
    setenv("PQBUDGET_PORTS", PQport(server), 1);
    setenv("PQBUDGET_FAIL", "closed", 1);
    setenv("PGUSER", "chaos", 1);
    setenv("LD_PRELOAD", preload, 1);
}

static void start_some(void)
{
    char seed[24];
    for (unsigned alive = crowd_alive(); alive < processes; alive++) {
        snprintf(seed, sizeof seed, "%llu", (unsigned long long)draw(UINT64_MAX));
        start_client(seed);
    }
}

/* ---- looking ---- */

static unsigned the_server(const struct pqb_snapshot *snapshot)
{
    for (unsigned i = 0; i < snapshot->servers; i++)
        if (!strcmp(snapshot->server[i].key, key))
            return i;
    return UINT32_MAX;
}

/* Grants are made only below the limit, so whatever the limit was lowered to, nobody has more than
 * it or than was in use since. */
static void look(void)
{
    struct pqb_snapshot snapshot;
    static uint32_t limit_before, used_before;
    if (pqb_snapshot_take(region, &snapshot)) {
        find("no snapshot");
        return;
    }
    unsigned number = the_server(&snapshot);
    if (number == UINT32_MAX || snapshot.servers != 1)
        find("over: the ledger knows %u servers", snapshot.servers);
    if (snapshot.consistent && number != UINT32_MAX) {
        const struct pqb_snapshot_server *now = &snapshot.server[number];
        uint32_t bound = now->used > now->config.limit ? now->used : now->config.limit;
        uint32_t count = connected();
        samples++;
        most = count > most ? count : most;
        /* The limit may have been raised since. */
        if (count > bound && __atomic_load_n(&region->map->server[0].config.limit,
                                             __ATOMIC_SEQ_CST) == now->config.limit)
            find("over: %u connections, the ledger has %u of %u in use", count, now->used,
                 now->config.limit);
        if (now->used > now->config.limit && limit_before == now->config.limit &&
            now->used > used_before)
            find("over: %u of %u in use, and %u before", now->used, now->config.limit, used_before);
        limit_before = now->config.limit;
        used_before = now->used;
        watch_server(&watch, region->map, &snapshot, number, crowd_guard_sleeps(region));
    }
    pqb_snapshot_free(&snapshot);
}

static void rampage(void)
{
    uint64_t next = pqb_now();
    while (deaths < deaths_wanted && atomic_load(&crowd->findings) < CROWD_FINDINGS) {
        deaths += crowd_reap();
        start_some();
        if (pqb_now() > next) {
            crowd_strike(region);
            next = pqb_now() + draw(2 * EVERY);
        }
        crowd_release(region);
        steer_somehow();
        look();
        usleep(2000);
    }
}

/* ---- at rest ---- */

static unsigned who_does_not_rest(int is_said)
{
    unsigned count = 0;
    for (unsigned slot = 0; slot < CROWD_MOST; slot++) {
        struct person *person = &crowd->person[slot];
        if (!atomic_load(&person->pid) || atomic_load(&person->doomed_at) ||
            atomic_load(&board->person[slot].rests) == atomic_load(&person->generation))
            continue;
        count++;
        if (is_said)
            find("stuck: pid %d does not come to rest: %s for %.1f s", atomic_load(&person->pid),
                 board->person[slot].doing,
                 (double)(pqb_now() - atomic_load(&board->person[slot].since)) / 1e9);
    }
    return count;
}

static void let_all_go_on(void)
{
    for (unsigned slot = 0; slot < CROWD_MOST; slot++)
        if (atomic_load(&crowd->person[slot].stopped_at))
            crowd_continue(&crowd->person[slot]);
}

static int compare_pids(const void *one, const void *other)
{
    int32_t a = *(const int32_t *)one, b = *(const int32_t *)other;
    return (a > b) - (a < b);
}

/* The backends behind the ledger's claims, sorted, as the server would list them. */
static void list_of_ledger(char *list, size_t capacity)
{
    int32_t pid[256];
    unsigned count = 0;
    size_t at = 0;
    struct pqb_snapshot snapshot;
    *list = 0;
    (void)!pqb_tick(region, PQB_NIL, NULL);
    if (pqb_snapshot_take(region, &snapshot))
        return;
    for (unsigned i = 0; i < snapshot.claims && count < 256; i++)
        pid[count++] = snapshot.claim[i].backend_pid;
    pqb_snapshot_free(&snapshot);
    qsort(pid, count, sizeof *pid, compare_pids);
    for (unsigned i = 0; i < count && at < capacity; i++)
        at += (size_t)snprintf(list + at, capacity - at, "%s%d", i ? "," : "", pid[i]);
}

static int they_agree(char *ours, char *theirs, size_t capacity)
{
    PGresult *result = ask("select coalesce(string_agg(pid::text, ',' order by pid), '') "
                           "from pg_stat_activity where usename = 'chaos'");
    snprintf(theirs, capacity, "%s", PQgetvalue(result, 0, 0));
    PQclear(result);
    list_of_ledger(ours, capacity);
    return !strcmp(ours, theirs);
}

#define poll_until(condition)                                                                      \
    ({                                                                                             \
        uint64_t until_ = pqb_now() + ENOUGH;                                                      \
        int holds_;                                                                                \
        while (!(holds_ = (condition)) && pqb_now() < until_)                                      \
            usleep(5000);                                                                          \
        holds_;                                                                                    \
    })

/* What drains is in both lists until the server's process has gone. */
static void check_agreement(const char *when, int wants_nobody)
{
    char ours[2048], theirs[2048];
    if (!poll_until(they_agree(ours, theirs, sizeof ours) && (!wants_nobody || !*ours)))
        find("lost: %s, the ledger has the backends %s, the server %s", when, ours, theirs);
}

static void come_to_rest(void)
{
    atomic_store(&board->resting, 1);
    if (!poll_until((crowd_reap(), let_all_go_on(), who_does_not_rest(0) == 0)))
        who_does_not_rest(1);
    steer(limit, 0);
    check_agreement("at rest", 0);
}

static unsigned people_left(void)
{
    unsigned left = 0;
    crowd_reap();
    for (unsigned slot = 0; slot < CROWD_MOST; slot++)
        left += atomic_load(&crowd->person[slot].pid) != 0;
    return left;
}

static void end_all(void)
{
    atomic_store(&crowd->ending, 1);
    if (!poll_until(!people_left()))
        find("stuck: %u processes do not end", people_left());
    crowd_kill_all();
    check_agreement("when all have gone", 1);
}

/* ---- the end ---- */

static void check_books(void)
{
    char words[400];
    struct support_counts counts = support_count(&ledger);
    (void)!pqb_tick(region, 0, NULL);
    if (audit_books(region->map, words, sizeof words))
        find("lost: the books: %s", words);
    if (counts.used || counts.waiting || counts.draining)
        find("lost: at the end %u are in use, %u wait, %u drain", counts.used, counts.waiting,
             counts.draining);
}

static unsigned resting(void)
{
    crowd_reap();
    return crowd_alive() - who_does_not_rest(0);
}

/* The whole limit can be had, at once, by the clients' means. */
static void check_capacity(void)
{
    atomic_store(&crowd->ending, 0);
    for (uint32_t i = 0; i < limit; i++)
        start_client("hold");
    if (!poll_until(resting() == limit && connected() == limit))
        find("lost: at the end %u of %u can be had", connected(), limit);
    check_agreement("when the whole limit is held", 0);
    end_all();
}

static unsigned long long given_way(void)
{
    return atomic_load(&region->map->server[0].yielded_total);
}

static void report(uint64_t start)
{
    printf("  %-34s %.1f s\n", "time", (double)(pqb_now() - start) / 1e9);
    printf("  %-34s %lu\n", "deaths", deaths);
    for (unsigned i = 0; i < TALLIES; i++)
        printf("  %-34s %llu\n", tally_names[i], (unsigned long long)atomic_load(&board->tally[i]));
    printf("  %-34s %llu\n", "gave way", given_way());
    printf("  %-34s %llu\n", "samples", (unsigned long long)samples);
    printf("  %-34s %.3f s\n", "longest idle slot with a waiter", (double)watch.longest / 1e9);
    printf("  %-34s %llu of %u\n", "most connections seen", (unsigned long long)most, limit);
}

static unsigned long number_of(int count, char **arguments, const char *name,
                               unsigned long otherwise)
{
    for (int i = 1; i + 1 < count; i += 2)
        if (!strcmp(arguments[i], name))
            return strtoul(arguments[i + 1], NULL, 10);
    return otherwise;
}

int main(int count, char **arguments)
{
    static const struct crowd_kind kinds[] = {{"never over", "over"},
                                              {"never stuck", "stuck"},
                                              {"never lost", "lost"},
                                              {"nothing else went wrong", NULL},
                                              {NULL, NULL}};
    uint64_t start = pqb_now();
    setvbuf(stdout, NULL, _IOLBF, 0);
    deaths_wanted = number_of(count, arguments, "--deaths", deaths_wanted);
    processes = (unsigned)number_of(count, arguments, "--processes", processes);
    draw_seed = number_of(count, arguments, "--seed", (unsigned long)(pqb_random() % 1000000));
    printf("  clients: seed %llu\n", (unsigned long long)draw_seed);

    meet_server();
    board = crowd_make("clients", sizeof *board);
    support_ledger_open(&ledger);
    region = atomic_load(&ledger.region);
    crowd_guard(&ledger);
    configure();
    prepare_clients();
    rampage();
    come_to_rest();
    end_all();
    check_books();
    check_capacity();
    check_books();
    if (!given_way())
        find("error: nobody gave way");
    report(start);
    int status = crowd_verdict(kinds);
    support_ledger_end(&ledger);
    crowd_close();
    return status;
}
