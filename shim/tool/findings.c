#include "tool/findings.h"

#include "conninfo/value.h"
#include "ledger/os.h"
#include "tool/health.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define WHO_MOST 3 /* examples in one finding */
#define CONNECTING_LONG (10 * PQB_SECOND)
#define DRAINING_LONG (10 * PQB_SECOND)

const char *pqb_level_name(enum pqb_level level)
{
    static const char *const names[] = {"info", "warning", "critical"};
    return names[level];
}

enum pqb_level pqb_findings_level(const struct pqb_findings *findings)
{
    enum pqb_level worst = PQB_LEVEL_INFO;
    for (unsigned i = 0; i < findings->count; i++)
        if (findings->one[i].level > worst)
            worst = findings->one[i].level;
    return worst;
}

/* ---- counting ---- */

static void count_state(struct pqb_census *census, const struct pqb_case *one)
{
    const struct pqb_backend *backend = one->backend;
    int in_transaction = !strncmp(backend->state, "idle in transaction", 19);
    int is_idle = !strcmp(backend->state, "idle");
    census->idle += (unsigned)is_idle;
    census->in_transaction += (unsigned)in_transaction;
    census->active += !is_idle && !in_transaction && *backend->state;
    if (is_idle) {
        census->idle_kept += one->claim && one->claim->session == PQB_SESSION_UNTOLD;
        census->idle_long += backend->state_ms >= PQB_CENSUS_IDLE_MS;
        if (backend->state_ms > census->idle_longest_ms)
            census->idle_longest_ms = backend->state_ms;
    }
    if (in_transaction) {
        census->in_transaction_long += backend->state_ms >= PQB_CENSUS_TRANSACTION_MS;
        if (backend->state_ms > census->in_transaction_longest_ms)
            census->in_transaction_longest_ms = backend->state_ms;
    }
}

struct pqb_census pqb_census_of(const struct pqb_checkup *checkup)
{
    struct pqb_census census = {0};
    for (unsigned i = 0; i < checkup->cases; i++) {
        const struct pqb_case *one = &checkup->one[i];
        census.kind[pqb_why_words(one->why)->kind]++;
        census.why[one->why]++;
        census.hidden += (unsigned)one->backend->is_hidden;
        census.nameless += one->backend->pid && !*one->backend->name;
        count_state(&census, one);
    }
    return census;
}

/* ---- saying ---- */

static struct pqb_finding *add(struct pqb_findings *findings, const char *id, enum pqb_level level,
                               unsigned count, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* There is always room: there are fewer rules than places. */
static struct pqb_finding *add(struct pqb_findings *findings, const char *id, enum pqb_level level,
                               unsigned count, const char *format, ...)
{
    struct pqb_finding *finding = &findings->one[findings->count++];
    va_list arguments;
    *finding = (struct pqb_finding){.id = id, .level = level, .count = count};
    va_start(arguments, format);
    vsnprintf(finding->text, sizeof finding->text, format, arguments);
    va_end(arguments);
    return finding;
}

#define REMEDY(finding, ...) snprintf((finding)->remedy, sizeof(finding)->remedy, __VA_ARGS__)

static const char *age(long long ms, char text[16])
{
    pqb_value_print_age(text, 16, (uint64_t)ms * PQB_MS);
    return text;
}

/* "is" after one, "are" after more. */
static const char *are(unsigned count)
{
    return count == 1 ? "is" : "are";
}

static const char *s(unsigned count)
{
    return count == 1 ? "" : "s";
}

/* ---- the ledger itself ---- */

static void check_ledger(const struct pqb_checkup *checkup, struct pqb_findings *findings)
{
    struct pqb_finding *finding;
    if (checkup->ledger_status == PQB_ABSENT) {
        finding = add(findings, "no_ledger", PQB_LEVEL_WARNING, 1,
                      "there is no ledger %s: nothing here is under pqbudget", checkup->path);
        REMEDY(finding, "start a program by pqbudget-run, or name another ledger with --ledger");
    } else if (checkup->ledger_status) {
        finding = add(findings, "ledger", PQB_LEVEL_CRITICAL, 1, "the ledger can't be used: %s",
                      checkup->ledger_error.text);
        if (checkup->ledger_status == PQB_NO_ACCESS) /* the others say what to do themselves */
            REMEDY(finding, "run the doctor as the ledger's user, or name another by --ledger");
    } else if (checkup->row == PQB_NIL && !checkup->server_status) {
        finding = add(findings, "unknown_server", PQB_LEVEL_INFO, 1,
                      "the ledger knows no server %s: no program under pqbudget has connected to "
                      "it by that name",
                      checkup->server);
        REMEDY(finding,
               "\"pqbudget status\" lists what it knows; \"pqbudget set --server KEY "
               "--alias %.160s\" joins two names",
               checkup->server);
    }
}

/* Beside the tool, or where `make install` puts it. */
static int has_library(void)
{
    static const char *const places[] = {"/" PQB_PROGRAM_LIBRARY, "/../lib/" PQB_PROGRAM_LIBRARY};
    char folder[4096], path[4096 + 64];
    ssize_t length = readlink("/proc/self/exe", folder, sizeof folder - 1);
    if (length <= 0)
        return 1; /* can't tell */
    folder[length] = 0;
    *strrchr(folder, '/') = 0;
    for (unsigned i = 0; i < sizeof places / sizeof *places; i++) {
        snprintf(path, sizeof path, "%s%s", folder, places[i]);
        if (!access(path, R_OK))
            return 1;
    }
    return 0;
}

static void check_library(const struct pqb_checkup *checkup, struct pqb_findings *findings)
{
    struct pqb_finding *finding;
    unsigned replaced = 0;
    if (!has_library()) {
        finding = add(findings, "not_installed", PQB_LEVEL_WARNING, 1,
                      "there is no " PQB_PROGRAM_LIBRARY " beside this tool, nor in ../lib");
        REMEDY(finding, "\"make install\" puts both where they belong");
    }
    for (unsigned i = 0; i < checkup->programs; i++)
        replaced += (unsigned)checkup->program[i].is_replaced;
    if (!replaced)
        return;
    finding =
        add(findings, "old_library", PQB_LEVEL_WARNING, replaced,
            "%u program%s still run%s a " PQB_PROGRAM_LIBRARY " that has been replaced or removed",
            replaced, s(replaced), replaced == 1 ? "s" : "");
    REMEDY(finding, "start %s again", replaced == 1 ? "it" : "them");
}

/* ---- the limit ---- */

static unsigned available(const struct pqb_checkup *checkup)
{
    const struct pqb_activity *activity = &checkup->activity;
    return activity->max_connections - activity->reserved;
}

static void check_limit(const struct pqb_checkup *checkup, const struct pqb_census *census,
                        struct pqb_findings *findings)
{
    const struct pqb_snapshot_server *server = pqb_checkup_server(checkup);
    struct pqb_finding *finding;
    if (!server || checkup->server_status || checkup->activity.is_pooled)
        return;
    unsigned limit = server->config.limit, most = available(checkup);
    unsigned others = checkup->activity.backends - census->kind[PQB_KIND_MANAGED];
    unsigned room = most > others ? most - others : 0;
    if (limit == PQB_UNLIMITED)
        finding =
            add(findings, "no_limit", PQB_LEVEL_WARNING, 1,
                "the ledger sets no limit; the server has %u connections for ordinary roles", most);
    else if (limit > most)
        finding = add(findings, "limit_too_high", PQB_LEVEL_CRITICAL, limit - most,
                      "the limit %u is above what the server has for ordinary roles: %u of %u, %u "
                      "reserved",
                      limit, most, checkup->activity.max_connections, checkup->activity.reserved);
    else if (limit > room)
        finding = add(findings, "crowded", PQB_LEVEL_WARNING, limit - room,
                      "the limit %u and %u connection%s outside the ledger are more than the %u "
                      "that the server has for ordinary roles",
                      limit, others, s(others), most);
    else
        return;
    REMEDY(finding, "pqbudget set --server %.160s --limit %u", server->key, room ? room : 1);
}

/* Somebody waits, or soon will. */
static int is_tight(const struct pqb_checkup *checkup)
{
    const struct pqb_health_bars bars = PQB_HEALTH_BARS;
    const struct pqb_snapshot_server *server = pqb_checkup_server(checkup);
    return server && (server->waiting ||
                      (uint64_t)server->used * 100 >= (uint64_t)server->config.limit * bars.warn);
}

static void check_use(const struct pqb_checkup *checkup, struct pqb_findings *findings)
{
    const struct pqb_health_bars bars = PQB_HEALTH_BARS;
    unsigned most = checkup->activity.max_connections, total = checkup->activity.total;
    unsigned percent = most ? total * 100 / most : 0;
    if (checkup->server_status || percent < bars.warn)
        return;
    struct pqb_finding *finding =
        add(findings, "nearly_full", percent >= bars.crit ? PQB_LEVEL_CRITICAL : PQB_LEVEL_WARNING,
            total, "%u of %u connections are in use (%u %%)", total, most, percent);
    REMEDY(finding, "\"pqbudget plan\" works out what each program can have");
}

/* ---- who is not in it ---- */

static void name_case(const struct pqb_case *one, unsigned count, char *to, size_t capacity)
{
    const struct pqb_program *program = one->program;
    int length;
    if (program)
        length = snprintf(to, capacity, "%s (pid %d, uid %u)", program->name, program->pid,
                          program->uid);
    else if (one->uid >= 0)
        length = snprintf(to, capacity, "uid %u", (unsigned)one->uid);
    else if (*one->backend->client_text)
        length = snprintf(to, capacity, "%s", one->backend->client_text);
    else if (one->backend->pid)
        length =
            snprintf(to, capacity, "backend %d of %.40s", one->backend->pid, one->backend->user);
    else
        length = snprintf(to, capacity, "a Unix socket");
    if (count > 1 && (size_t)length < capacity)
        snprintf(to + length, capacity - (size_t)length, " x%u", count);
}

static int is_same(const struct pqb_case *one, const struct pqb_case *other)
{
    if (one->why != other->why || one->program != other->program || one->uid != other->uid)
        return 0;
    return one->program || one->uid >= 0 ||
           (*one->backend->client_text &&
            !strcmp(one->backend->client_text, other->backend->client_text));
}

/* "node (pid 12, uid 1000) x5, psql (pid 13, uid 0), 10.0.0.5 x2 and 3 more" */
static void name_them(const struct pqb_checkup *checkup, enum pqb_why why, unsigned total,
                      char *text, size_t capacity)
{
    unsigned named = 0, told = 0;
    size_t length = 0;
    for (unsigned i = 0; i < checkup->cases && told < WHO_MOST; i++) {
        unsigned count = 0, is_known = 0;
        char who[96];
        if (checkup->one[i].why != why)
            continue;
        for (unsigned j = 0; j < i && !is_known; j++)
            is_known = (unsigned)is_same(&checkup->one[j], &checkup->one[i]);
        if (is_known)
            continue;
        for (unsigned j = i; j < checkup->cases; j++)
            count += j == i || is_same(&checkup->one[j], &checkup->one[i]);
        name_case(&checkup->one[i], count, who, sizeof who);
        length += (size_t)snprintf(text + length, capacity - length, "%s%s", told ? ", " : "", who);
        named += count;
        told++;
    }
    if (named < total)
        snprintf(text + length, capacity - length, " and %u more", total - named);
}

/* What comes from elsewhere, or hides, is no fault by itself; whether there is room for it is
 * another rule's. */
static enum pqb_level level_of(const struct pqb_why_words *words)
{
    return words->kind == PQB_KIND_REMOTE ? PQB_LEVEL_INFO : PQB_LEVEL_WARNING;
}

static void check_outsiders(const struct pqb_checkup *checkup, const struct pqb_census *census,
                            struct pqb_findings *findings)
{
    for (unsigned why = 0; why < PQB_WHYS; why++) {
        const struct pqb_why_words *words = pqb_why_words((enum pqb_why)why);
        unsigned count = census->why[why];
        char who[320];
        if (!count || !words->text)
            continue;
        name_them(checkup, (enum pqb_why)why, count, who, sizeof who);
        struct pqb_finding *finding = add(findings, words->id, level_of(words), count,
                                          "%u connection%s %s not in the ledger: %s: %s", count,
                                          s(count), are(count), who, words->text);
        REMEDY(finding, "%s", words->remedy);
    }
}

static void check_hidden(const struct pqb_checkup *checkup, const struct pqb_census *census,
                         struct pqb_findings *findings)
{
    if (!census->hidden)
        return;
    struct pqb_finding *finding =
        add(findings, "hidden_rows", PQB_LEVEL_INFO, census->hidden,
            "the server hides the state and address of %u connection%s of other roles from %s",
            census->hidden, s(census->hidden), checkup->activity.role);
    REMEDY(finding, "GRANT pg_read_all_stats TO \"%s\"", checkup->activity.role);
}

static void check_view(const struct pqb_checkup *checkup, struct pqb_findings *findings)
{
    struct pqb_finding *finding;
    if (!checkup->server_status && !checkup->has_sockets)
        add(findings, "no_sockets", PQB_LEVEL_WARNING, 1, "no process can be found: %s",
            checkup->sockets_error.text);
    if (checkup->server_status || !checkup->activity.is_pooled)
        return;
    finding = add(findings, "pooled", PQB_LEVEL_WARNING, 1,
                  "%s is a pooler, not the server itself: its connections to the server are "
                  "what is listed, and no claim of a program can be found among them",
                  checkup->server);
    REMEDY(finding, "give the doctor the server's own address");
}

/* ---- what the connections do ---- */

static void check_states(const struct pqb_checkup *checkup, const struct pqb_census *census,
                         struct pqb_findings *findings)
{
    struct pqb_finding *finding;
    char longest[16];
    if (census->nameless) {
        finding = add(findings, "nameless", PQB_LEVEL_WARNING, census->nameless,
                      "%u connection%s %s no application_name", census->nameless,
                      s(census->nameless), census->nameless == 1 ? "has" : "have");
        REMEDY(finding, "under pqbudget they get one, by PQBUDGET_APP if it is set; over TLS a "
                        "driver must give it itself");
    }
    if (census->in_transaction_long) {
        finding =
            add(findings, "idle_in_transaction", PQB_LEVEL_WARNING, census->in_transaction_long,
                "%u connection%s idle in a transaction for more than a minute, the longest "
                "for %s",
                census->in_transaction_long, census->in_transaction_long == 1 ? " is" : "s are",
                age(census->in_transaction_longest_ms, longest));
        REMEDY(finding, "PQBUDGET_FORCE=\"options='-c "
                        "idle_in_transaction_session_timeout=60s'\" ends such");
    }
    if (census->idle_long) {
        finding = add(findings, "idle_long", PQB_LEVEL_INFO, census->idle_long,
                      "%u connection%s idle for more than 5 minutes, the longest for %s",
                      census->idle_long, census->idle_long == 1 ? " is" : "s are",
                      age(census->idle_longest_ms, longest));
        REMEDY(finding, "make the pools smaller, or let them close what is idle%s",
               census->idle_kept && is_tight(checkup)
                   ? "; with PQBUDGET_YIELD=30s (pqbudget-run -y 30s) it gives way to who waits"
                   : "");
    }
}

/* ---- the ledger's side ---- */

struct tally {
    unsigned count;
    uint64_t longest_ns;
};

static void tally_up(struct tally *tally, uint64_t ns)
{
    tally->count++;
    if (ns > tally->longest_ns)
        tally->longest_ns = ns;
}

static void check_queue(const struct pqb_checkup *checkup, const struct pqb_census *census,
                        struct pqb_findings *findings)
{
    const struct pqb_snapshot_server *server = pqb_checkup_server(checkup);
    struct tally waiting = {0};
    char longest[16];
    if (!server)
        return;
    for (unsigned i = 0; i < checkup->alone; i++) {
        const struct pqb_snapshot_claim *claim = &checkup->snapshot.claim[checkup->claim[i]];
        if (claim->state == PQB_CLAIM_WAITING)
            tally_up(&waiting, claim->wait_ns);
    }
    if (server->config.paused) {
        struct pqb_finding *finding = add(findings, "paused", PQB_LEVEL_WARNING, 1,
                                          "the ledger holds all grants: it is paused");
        REMEDY(finding, "pqbudget resume --server %.160s", server->key);
    }
    if (!waiting.count)
        return;
    struct pqb_finding *finding =
        add(findings, "waiting", PQB_LEVEL_WARNING, waiting.count,
            "%u wait%s for a connection now, the longest for %s", waiting.count,
            waiting.count == 1 ? "s" : "", age((long long)(waiting.longest_ns / PQB_MS), longest));
    REMEDY(finding,
           "see above who holds them idle%s; \"pqbudget set --limit\" makes room where the "
           "server has it",
           census->idle_kept ? ": by \"pqbudget-run -y 30s\" (PQBUDGET_YIELD) they give way" : "");
}

static void say_claims(struct pqb_findings *findings, const struct tally *tally, const char *id,
                       enum pqb_level level, const char *what, const char *remedy)
{
    char longest[16];
    if (!tally->count)
        return;
    struct pqb_finding *finding =
        add(findings, id, level, tally->count, "%u claim%s %s, the longest for %s", tally->count,
            s(tally->count), what, age((long long)(tally->longest_ns / PQB_MS), longest));
    REMEDY(finding, "%s", remedy);
}

static void check_claims(const struct pqb_checkup *checkup, struct pqb_findings *findings)
{
    struct tally lost = {0}, connecting = {0}, draining = {0}, unmatched = {0};
    for (unsigned i = 0; i < checkup->alone; i++) {
        const struct pqb_snapshot_claim *claim = &checkup->snapshot.claim[checkup->claim[i]];
        if (checkup->is_lost[i])
            tally_up(&lost, claim->state_ns);
        else if (claim->state == PQB_CLAIM_OPEN && claim->backend_pid <= 0)
            tally_up(&unmatched, claim->state_ns);
        else if ((claim->state == PQB_CLAIM_GRANTED || claim->state == PQB_CLAIM_CONNECTING) &&
                 claim->state_ns > CONNECTING_LONG)
            tally_up(&connecting, claim->state_ns);
        else if (claim->state == PQB_CLAIM_DRAINING && claim->state_ns > DRAINING_LONG)
            tally_up(&draining, claim->state_ns);
    }
    say_claims(findings, &lost, "lost_claims", PQB_LEVEL_WARNING,
               "of open connections that the server does not have",
               "the server ended them, or their programs leaked them: end or restart who holds "
               "them");
    if (!checkup->server_status)
        say_claims(findings, &unmatched, "unmatched_claims", PQB_LEVEL_INFO,
                   "whose backend nobody knows: a driver over TLS, or through a forwarder",
                   "they are among the connections that are said not to be in the ledger");
    say_claims(findings, &connecting, "connecting_long", PQB_LEVEL_WARNING, "not connected yet",
               "look whether the server answers; a connect_timeout ends such");
    say_claims(findings, &draining, "draining_long", PQB_LEVEL_INFO,
               "closed, but the server's process is still there",
               "client_connection_check_interval (PostgreSQL 14) ends the busy ones at once");
}

/* Claims of this server's connections that another row counts: two names, two budgets. */
static void check_names(const struct pqb_checkup *checkup, struct pqb_findings *findings)
{
    unsigned elsewhere = 0, row = PQB_NIL;
    for (unsigned i = 0; i < checkup->cases; i++) {
        const struct pqb_snapshot_claim *claim = checkup->one[i].claim;
        if (claim && claim->server != checkup->row) {
            row = claim->server;
            elsewhere++;
        }
    }
    if (!elsewhere)
        return;
    const char *other = checkup->snapshot.server[row].key;
    struct pqb_finding *finding =
        add(findings, "two_names", PQB_LEVEL_WARNING, elsewhere,
            "%u connection%s %s counted under another name, %.120s, which has a limit of its own",
            elsewhere, s(elsewhere), are(elsewhere), other);
    if (checkup->row == PQB_NIL)
        REMEDY(finding, "pqbudget set --server %.140s --alias %.140s", other, checkup->server);
    else
        REMEDY(finding, "pqbudget set --server %.140s --alias %.140s",
               checkup->snapshot.server[checkup->row].key, other);
}

/* The worst first; else as they were found. */
static void sort_by_level(struct pqb_findings *findings)
{
    for (unsigned i = 1; i < findings->count; i++) {
        struct pqb_finding moved = findings->one[i];
        unsigned to = i;
        for (; to && findings->one[to - 1].level < moved.level; to--)
            findings->one[to] = findings->one[to - 1];
        findings->one[to] = moved;
    }
}

void pqb_findings_make(const struct pqb_checkup *checkup, const struct pqb_census *census,
                       struct pqb_findings *findings)
{
    findings->count = 0;
    check_ledger(checkup, findings);
    check_library(checkup, findings);
    check_view(checkup, findings);
    check_use(checkup, findings);
    check_limit(checkup, census, findings);
    check_outsiders(checkup, census, findings);
    check_hidden(checkup, census, findings);
    check_names(checkup, findings);
    check_states(checkup, census, findings);
    check_queue(checkup, census, findings);
    check_claims(checkup, findings);
    sort_by_level(findings);
}
