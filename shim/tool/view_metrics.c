#include "ledger/journal.h"
#include "ledger/os.h"
#include "tool/text.h"
#include "tool/view.h"

/* A label's value. What has no place in a line of text is written \x1b, byte by byte: one and the
 * same mark for all of it would make one series of two. */
static void write_label(FILE *out, const char *name, const char *value)
{
    fprintf(out, "%s=\"", name);
    for (const char *start = value; *start; start = value) {
        uint32_t character = pqb_text_next(&value);
        if (character == '"' || character == '\\')
            fprintf(out, "\\%c", (char)character);
        else if (character && character != PQB_TEXT_BAD && !pqb_text_is_control(character))
            pqb_text_put(out, character);
        else
            for (; start < value; start++)
                fprintf(out, "\\\\x%02x", (unsigned char)*start);
    }
    fputc('"', out);
}

static void write_family(FILE *out, const char *name, const char *type, const char *help)
{
    fprintf(out, "# HELP pqbudget_%s %s\n# TYPE pqbudget_%s %s\n", name, help, name, type);
}

/* Up to its value. */
static void begin_sample(FILE *out, const char *name, const struct pqb_snapshot_server *server)
{
    fprintf(out, "pqbudget_%s{", name);
    write_label(out, "server", server->key);
}

static void end_sample(FILE *out, uint64_t value)
{
    fprintf(out, "} %llu\n", (unsigned long long)value);
}

/* ---- one number of a server ---- */

static uint64_t limit_of(const struct pqb_snapshot_server *server)
{
    return server->config.limit == PQB_UNLIMITED ? UINT64_MAX : server->config.limit;
}

static uint64_t used_of(const struct pqb_snapshot_server *server)
{
    return server->used;
}

static uint64_t paused_of(const struct pqb_snapshot_server *server)
{
    return server->config.paused != 0;
}

static uint64_t granted_of(const struct pqb_snapshot_server *server)
{
    return server->granted_total;
}

static uint64_t timeouts_of(const struct pqb_snapshot_server *server)
{
    return server->timeout_total;
}

static uint64_t refused_of(const struct pqb_snapshot_server *server)
{
    return server->refused_total;
}

static uint64_t reaped_of(const struct pqb_snapshot_server *server)
{
    return server->reaped_total;
}

static uint64_t yielded_of(const struct pqb_snapshot_server *server)
{
    return server->yielded_total;
}

static const struct number {
    const char *name, *type, *help;
    uint64_t (*of)(const struct pqb_snapshot_server *server); /* UINT64_MAX: without end */
} numbers[] = {
    {"limit", "gauge", "Connections that the budget allows.", limit_of},
    {"used", "gauge", "Connections that count against the limit.", used_of},
    {"paused", "gauge", "Whether all grants are held.", paused_of},
    {"granted_total", "counter", "Connections that were granted.", granted_of},
    {"timeouts_total", "counter", "Connections that were waited for in vain.", timeouts_of},
    {"refused_total", "counter", "Connections that were refused at once.", refused_of},
    {"reaped_total", "counter", "Holders and waiters that died without giving back.", reaped_of},
    {"yielded_total", "counter", "Idle connections that gave way to who waited.", yielded_of},
};

static void write_number(const struct pqb_snapshot *snapshot, const struct number *number,
                         FILE *out)
{
    write_family(out, number->name, number->type, number->help);
    for (unsigned i = 0; i < snapshot->servers; i++) {
        uint64_t value = number->of(&snapshot->server[i]);
        begin_sample(out, number->name, &snapshot->server[i]);
        if (value == UINT64_MAX)
            fputs("} +Inf\n", out);
        else
            end_sample(out, value);
    }
}

/* ---- claims by application ---- */

#define STATES (PQB_CLAIM_DRAINING + 1)

/* Of one application in one server: how many claims are in each state. Its last row is for those
 * that have none: the ledger's table of applications was full. */
struct counts {
    unsigned of[PQB_APPS + 1][STATES];
};

static void count_claims(const struct pqb_snapshot *snapshot, unsigned server,
                         struct counts *counts)
{
    *counts = (struct counts){0};
    for (unsigned i = 0; i < snapshot->claims; i++) {
        const struct pqb_snapshot_claim *claim = &snapshot->claim[i];
        if (claim->server == server)
            counts->of[claim->app < 0 ? PQB_APPS : (unsigned)claim->app][claim->state]++;
    }
}

static void write_app(const struct pqb_snapshot_server *server, const char *app,
                      const unsigned *counts, int is_waiting, FILE *out)
{
    for (unsigned state = PQB_CLAIM_WAITING; state < STATES; state++) {
        if ((state == PQB_CLAIM_WAITING) != is_waiting)
            continue;
        begin_sample(out, is_waiting ? "waiting" : "connections", server);
        fputc(',', out);
        write_label(out, "app", app);
        if (!is_waiting) {
            fputc(',', out);
            write_label(out, "state", pqb_claim_state_name((enum pqb_claim_state)state));
        }
        end_sample(out, counts[state]);
    }
}

/* An application has all its series from the first to the last, zeros too: a gap looks like a
 * scrape that failed. */
static void write_apps(const struct pqb_snapshot *snapshot, int is_waiting, FILE *out)
{
    static struct counts counts;
    if (is_waiting)
        write_family(out, "waiting", "gauge", "Connections that are waited for.");
    else
        write_family(out, "connections", "gauge", "Connections by application and state.");
    for (unsigned i = 0; i < snapshot->servers; i++) {
        count_claims(snapshot, i, &counts);
        for (unsigned app = 0; app < snapshot->apps; app++)
            if (snapshot->app[app].server == i)
                write_app(&snapshot->server[i], snapshot->app[app].label, counts.of[app],
                          is_waiting, out);
        for (unsigned state = 0, found = 0; state < STATES && !found; state++)
            if ((found = counts.of[PQB_APPS][state]))
                write_app(&snapshot->server[i], "", counts.of[PQB_APPS], is_waiting, out);
    }
}

/* ---- waits ---- */

static void write_waits(const struct pqb_snapshot_server *server, FILE *out)
{
    static const double second = (double)PQB_SECOND;
    uint64_t count = 0;
    for (unsigned i = 0; i < PQB_WAIT_BUCKETS; i++) {
        count += server->wait_bucket[i];
        begin_sample(out, "wait_seconds_bucket", server);
        if (pqb_wait_bounds[i] == UINT64_MAX)
            fputs(",le=\"+Inf\"", out);
        else
            fprintf(out, ",le=\"%g\"", (double)pqb_wait_bounds[i] / second);
        end_sample(out, count);
    }
    begin_sample(out, "wait_seconds_sum", server);
    fprintf(out, "} %.9f\n", (double)server->wait_ns_total / second);
    begin_sample(out, "wait_seconds_count", server);
    end_sample(out, count);
}

void pqb_view_metrics(const struct pqb_snapshot *snapshot, FILE *out)
{
    for (unsigned i = 0; i < sizeof numbers / sizeof *numbers; i++)
        write_number(snapshot, &numbers[i], out);
    write_apps(snapshot, 0, out);
    write_apps(snapshot, 1, out);
    write_family(out, "wait_seconds", "histogram", "How long granted connections were waited for.");
    for (unsigned i = 0; i < snapshot->servers; i++)
        write_waits(&snapshot->server[i], out);
}
