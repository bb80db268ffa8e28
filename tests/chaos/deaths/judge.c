#include "chaos/deaths/judge.h"

#include "ledger/ending.h"
#include "ledger/snapshot.h"
#include "ledger/steer.h"
#include "ledger/tick.h"
#include "support/audit.h"
#include "support/support.h"

#include <arpa/inet.h>
#include <fnmatch.h>
#include <libpq-fe.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static PGconn *server;
static FILE *server_log;
static char auxiliaries[4096]; /* processes of the server that are nobody's, " 12 34 " */
static struct pqb_ledger ledger;
static struct pqb_region *region;
static struct person holder[JUDGE_LIMIT], next[JUDGE_LIMIT];
static unsigned holders, nexts, wanted;
static struct login {
    unsigned index;
    uint32_t generation;
} login[JUDGE_LIMIT]; /* what the dying one has begun */
static unsigned logins;
static char holder_steps[64];
static char finding[512];

__attribute__((format(printf, 1, 2))) static int find(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    if (!*finding)
        vsnprintf(finding, sizeof finding, format, arguments);
    va_end(arguments);
    return 0;
}

const char *judge_finding(void)
{
    return finding;
}

static void give_up(const char *what, const char *why)
{
    fprintf(stderr, "deaths: %s: %s\n", what, why);
    exit(3);
}

/* ---- the server ---- */

/* The first value that the query gives. Valid until the next call. */
static const char *ask(const char *query)
{
    static char answer[4096];
    PGresult *result = PQexec(server, query);
    if (PQresultStatus(result) != PGRES_TUPLES_OK && PQresultStatus(result) != PGRES_COMMAND_OK)
        give_up(query, PQerrorMessage(server));
    snprintf(answer, sizeof answer, "%s", PQntuples(result) ? PQgetvalue(result, 0, 0) : "");
    PQclear(result);
    return answer;
}

static unsigned connected(void)
{
    return (unsigned)atoi(ask("select count(*) from pg_stat_activity where usename = 'deaths'"));
}

/* The server's processes, " 12 34 ". The kernel may leave one out while others end. */
static void list_processes(char *list, size_t capacity)
{
    static int postmaster;
    char path[64], before[4096] = "";
    if (!postmaster)
        postmaster = atoi(ask("select split_part(pg_read_file('postmaster.pid'), E'\\n', 1)"));
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", postmaster, postmaster);
    do {
        FILE *file = fopen(path, "re");
        if (!file)
            give_up(path, "cannot be read");
        snprintf(list, capacity, "%s", before);
        size_t length = fread(before + 1, 1, sizeof before - 2, file);
        *before = ' ';
        before[length + 1] = 0;
        fclose(file);
    } while (strcmp(list, before) != 0);
}

/* What it has refused since the last call is more than it may have been asked for. */
static int server_has_refused(void)
{
    char line[1024];
    while (fgets(line, sizeof line, server_log))
        if (strstr(line, "too many clients") || strstr(line, "connection slots are reserved"))
            return 1;
    clearerr(server_log);
    return 0;
}

void judge_meet_server(void)
{
    char path[256];
    const char *folder = getenv("PQB_POSTGRES_DIR");
    if (!folder)
        give_up("no server", "run me beside scripts/with-postgres");
    server = PQconnectdb("application_name=judge");
    if (PQstatus(server) != CONNECTION_OK)
        give_up("no server", PQerrorMessage(server));
    ask("create role deaths login");
    /* Ours is one more, and so many nobody but a superuser may have. */
    if (atoi(ask("select current_setting('max_connections')::int - 1 - "
                 "current_setting('superuser_reserved_connections')::int")) != JUDGE_LIMIT)
        give_up("max_connections", "the server is to take 2 of the clients");
    list_processes(auxiliaries, sizeof auxiliaries);
    snprintf(path, sizeof path, "%s/log", folder);
    server_log = fopen(path, "re");
    if (!server_log)
        give_up(path, "cannot be read");
    server_has_refused();
    setenv("PGUSER", "deaths", 1);
    setenv("PQBUDGET_PORTS", PQport(server), 1);
    setenv("PQBUDGET_FAIL", "closed", 1);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
}

/* What was connected to it before, it has accepted when it answers this. */
static int server_answers(const struct sockaddr *address, socklen_t length)
{
    static const char request[] = {0, 0, 0, 8, 4, (char)0xd2, 0x16, 0x2f};
    char answer;
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int answers = fd >= 0 && !connect(fd, address, length) &&
                  write(fd, request, sizeof request) == sizeof request && read(fd, &answer, 1) == 1;
    if (fd >= 0)
        close(fd);
    return answers;
}

static int server_has_accepted_all(void)
{
    struct sockaddr_in in = {.sin_family = AF_INET,
                             .sin_port = htons((in_port_t)atoi(PQport(server))),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    snprintf(un.sun_path, sizeof un.sun_path, "%.80s/.s.PGSQL.%.5s", getenv("PQB_POSTGRES_DIR"),
             PQport(server));
    return server_answers((struct sockaddr *)&in, sizeof in) &&
           server_answers((struct sockaddr *)&un, sizeof un);
}

/* It has no process but its own, ours, and those of the next clients that have logged in. */
static int server_has_forgotten(void)
{
    char processes[4096], known[4096], *rest = processes;
    list_processes(processes, sizeof processes);
    snprintf(known, sizeof known, "%s",
             ask("select ' ' || string_agg(pid || ' ', '') from pg_stat_activity "
                 "where usename is distinct from 'deaths' or application_name = 'next'"));
    for (char *pid; (pid = strsep(&rest, " "));) {
        char word[16];
        snprintf(word, sizeof word, " %.12s ", pid);
        if (*pid && !strstr(auxiliaries, word) && !strstr(known, word))
            return 0;
    }
    return 1;
}

/* ---- the ledger ---- */

static void list_claims(char *words, size_t capacity)
{
    struct pqb_snapshot snapshot;
    size_t at = 0;
    *words = 0;
    if (pqb_snapshot_take(region, &snapshot))
        return;
    for (unsigned i = 0; i < snapshot.claims && at < capacity; i++)
        at += (size_t)snprintf(words + at, capacity - at, " %s of pid %d, backend %d;",
                               pqb_claim_state_name(snapshot.claim[i].state), snapshot.claim[i].pid,
                               snapshot.claim[i].backend_pid);
    pqb_snapshot_free(&snapshot);
}

static int find_claims(const char *what)
{
    char words[400];
    list_claims(words, sizeof words);
    return find("%s; %u connected; claims:%s", what, connected(), words);
}

static int nobody_waits_as(pid_t pid)
{
    struct pqb_snapshot snapshot;
    unsigned found = 0;
    if (pqb_snapshot_take(region, &snapshot))
        return 0;
    for (unsigned i = 0; i < snapshot.claims; i++)
        found += snapshot.claim[i].pid == pid && (snapshot.claim[i].state == PQB_CLAIM_WAITING ||
                                                  snapshot.claim[i].state == PQB_CLAIM_GRANTED);
    pqb_snapshot_free(&snapshot);
    return !found;
}

/* So many connections, which are those of the server, and nothing else on the books. */
static int agrees(unsigned count)
{
    struct pqb_snapshot snapshot;
    char query[256] = "select count(*) from pg_stat_activity where pid in (0";
    size_t at = strlen(query);
    if (pqb_snapshot_take(region, &snapshot))
        return find("no snapshot");
    int agrees = snapshot.claims == count;
    for (unsigned i = 0; i < snapshot.claims && agrees; i++) {
        agrees = snapshot.claim[i].state == PQB_CLAIM_OPEN;
        at +=
            (size_t)snprintf(query + at, sizeof query - at, ", %d", snapshot.claim[i].backend_pid);
    }
    agrees = agrees && snapshot.server[0].used == count && !snapshot.server[0].draining &&
             !snapshot.server[0].waiting;
    pqb_snapshot_free(&snapshot);
    snprintf(query + at, sizeof query - at, ")");
    return agrees && connected() == count && (unsigned)atoi(ask(query)) == count;
}

/* At rest. */
static int audit(void)
{
    char words[400];
    (void)!pqb_tick(region, PQB_NIL, NULL);
    return !audit_books(region->map, words, sizeof words) || find("lost: the books: %s", words);
}

/* For those who drain by the clock alone. */
static void let_time_pass(void)
{
    uint64_t past = pqb_now() - PQB_SECOND;
    for (unsigned i = 0; i < PQB_CLAIMS; i++) {
        struct pqb_claim_row *row = &region->map->claim[i];
        uint64_t ctl = atomic_load(&row->ctl);
        if (pqb_ctl_state(ctl) == PQB_CLAIM_DRAINING && !row->backend_seen)
            atomic_store(&row->drain_until, pqb_ending_stamp(ctl, past));
    }
}

static void configure(void)
{
    char key[64], folder[256];
    struct pqb_steer change = pqb_steer_nothing;
    struct pqb_error error = {{0}};
    snprintf(key, sizeof key, "localhost:%s", PQport(server));
    snprintf(folder, sizeof folder, "%s:%s", getenv("PQB_POSTGRES_DIR"), PQport(server));
    change.server = key;
    change.make = 1;
    change.limit = JUDGE_LIMIT;
    change.reserve = change.slack = 0;
    change.wait_ms = change.drain_ms = 60000;
    change.aliases = 1;
    change.alias[0] = folder;
    if (pqb_steer_apply(region, &change, &error))
        give_up("the ledger", error.text);
}

/* ---- those who hold, and those who come next ---- */

static int never_over(void)
{
    unsigned count = connected();
    return count <= JUDGE_LIMIT || find("over: %u connections", count);
}

#define until(condition) wait_until((never_over(), condition))

static void start_one(struct person *person)
{
    person_start(person, &(struct casting){.app = "next", .steps = holder_steps});
}

static int have_spoken(const struct person *person, unsigned count)
{
    unsigned spoken = 0;
    for (unsigned i = 0; i < count; i++) {
        const char *words = person_words(&person[i]);
        spoken += strstr(words, "ready\n") != NULL;
    }
    return spoken == count;
}

static int are_in(const struct person *person, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (fnmatch("ok postgres deaths next *\nready\n", person_words(&person[i]), 0))
            return find("stuck, or over: one of the next says \"%.200s\"",
                        person_words(&person[i]));
    return 1;
}

/* They end, as they are told. */
static int have_ended(struct person *person, unsigned count)
{
    int well = 1;
    for (unsigned i = 0; i < count; i++) {
        int status = 0;
        person_let_go(&person[i]);
        if (!until(waitpid(person[i].pid, &status, WNOHANG) == person[i].pid)) {
            well = find("stuck: one who is to close his connection does not end");
            support_kill(person[i].pid);
        } else if (status) {
            well = find("one who is to close his connection ends with %#x", (unsigned)status);
        }
        person_close(&person[i]);
    }
    return well;
}

static int take_slots(void)
{
    for (; holders < wanted; holders++)
        start_one(&holder[holders]);
    return (until(have_spoken(holder, holders)) && are_in(holder, holders) &&
            until(agrees(holders))) ||
           find_claims("stuck: the slots that are to be held cannot be had");
}

int judge_open(const char *host, unsigned held)
{
    *finding = 0;
    support_ledger_open(&ledger);
    region = atomic_load(&ledger.region);
    setenv("PQBUDGET_LEDGER", ledger.path, 1);
    configure();
    snprintf(holder_steps, sizeof holder_steps, "doors connectdb host=%s pause finish", host);
    wanted = held;
    return take_slots();
}

void judge_give_way(void)
{
    if (holders)
        person_let_go(&holder[holders - 1]);
}

static int has_claim(pid_t pid)
{
    int has = 0;
    for (unsigned i = 0; i < PQB_CLAIMS && !has; i++) {
        const struct pqb_claim_row *row = &region->map->claim[i];
        has = pqb_ctl_state(atomic_load(&row->ctl)) != PQB_CLAIM_FREE && row->pid == pid;
    }
    return has;
}

/* They have what is free, and wait for the rest; but for whom the client stands in the way, who was
 * stopped inside the guard. */
static int have_come(pid_t client)
{
    int32_t inside = support_guard_owner(region);
    if (inside && getpgid(inside) == client)
        return 1;
    for (unsigned i = 0; i < nexts; i++)
        if (!has_claim(next[i].pid))
            return 0;
    return 1;
}

static int gather(unsigned count, pid_t client)
{
    while (nexts < count)
        start_one(&next[nexts++]);
    return until(have_come(client)) || find_claims("stuck: the next ones do not come");
}

int judge_follow(pid_t client)
{
    return gather(1, client);
}

int judge_prepare(pid_t client, pid_t dying)
{
    int well = gather(JUDGE_LIMIT, client);
    for (unsigned i = 0; i < PQB_CLAIMS && logins < JUDGE_LIMIT; i++) {
        const struct pqb_claim_row *row = &region->map->claim[i];
        uint64_t ctl = atomic_load(&row->ctl);
        if (row->pid == dying && pqb_ctl_state(ctl) == PQB_CLAIM_CONNECTING)
            login[logins++] = (struct login){i, pqb_ctl_generation(ctl)};
    }
    return well;
}

/* While nobody knew whether the server had forgotten him, a slot that he logged in with was nobody
 * else's; or he was in, and then it is known. */
static int logins_are_kept(void)
{
    for (unsigned i = 0; i < logins; i++) {
        const struct pqb_claim_row *row = &region->map->claim[login[i].index];
        uint64_t ctl = atomic_load(&row->ctl);
        int is_kept = pqb_ctl_state(ctl) != PQB_CLAIM_FREE && pqb_ctl_state(ctl) != PQB_CLAIM_GONE;
        if (pqb_ctl_generation(ctl) != login[i].generation || !(is_kept || row->backend_seen))
            return find_claims("over: a slot was given away in the midst of its login");
    }
    return 1;
}

/* The limit's worth of new clients gets in, as the others go. */
static int get_in(void)
{
    if (!server_has_accepted_all() || !until(server_has_forgotten()))
        return find_claims("the server does not come to rest");
    if (!logins_are_kept())
        return 0;
    if (!until((let_time_pass(), have_spoken(next, JUDGE_LIMIT))))
        return find_claims("stuck: the next ones do not get in");
    return are_in(next, JUDGE_LIMIT) &&
           (until(agrees(JUDGE_LIMIT)) || find_claims("lost: the next ones are in")) && audit();
}

/* Who has inherited its socket, does not wait in its place. */
static int waits_no_more(pid_t dead, struct trace *left)
{
    trace_is_over(left); /* they go on meanwhile */
    return nobody_waits_as(dead);
}

static int left_ones_end(struct trace *left, pid_t dead, struct person *client)
{
    int well = 1;
    if (!until(waits_no_more(dead, left)))
        well = find_claims("lost: the dead one waits on");
    person_let_go(client);
    for (unsigned i = 0; i < holders; i++)
        person_let_go(&holder[i]);
    if (until(trace_is_over(left)))
        return well;
    trace_end(left);
    return find("stuck: those whom the dead one has left behind do not end");
}

int judge_settle(struct trace *left, pid_t dead, struct person *client)
{
    while (nexts < JUDGE_LIMIT)
        start_one(&next[nexts++]);
    int well = left_ones_end(left, dead, client);
    well &= have_ended(holder, holders);
    well = well && get_in();
    nexts = logins = 0;
    holders = wanted;
    memcpy(holder, next, wanted * sizeof *next);
    well &= have_ended(next + wanted, JUDGE_LIMIT - wanted);
    well = well && (until(agrees(wanted)) || find_claims("lost: some of the next have gone"));
    if (server_has_refused())
        well = find("over: the server had no slot for somebody");
    return well && !*finding;
}

int judge_close(void)
{
    int well = have_ended(holder, holders) &&
               (until(agrees(0)) || find_claims("lost: all have gone")) && audit();
    holders = 0;
    support_ledger_end(&ledger);
    return well && !*finding;
}
