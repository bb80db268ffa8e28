#include "tool/view_doctor.h"

#include "conninfo/value.h"
#include "ledger/os.h"
#include "tool/json.h"
#include "tool/table.h"
#include "tool/text.h"

#include <pwd.h>
#include <stdlib.h>
#include <string.h>

/* ---- for people: lines of connections that have the same behind them ---- */

struct line {
    const struct pqb_case *first;
    unsigned count, idle, in_transaction;
    long long longest_ms; /* idle, in a transaction or not */
    int has_one_name;
};

struct lines {
    unsigned count;
    struct line *line;
};

static const char *app_of(const struct pqb_case *one)
{
    return one->backend->name;
}

static int compare_numbers(long long one, long long other)
{
    return (one > other) - (one < other);
}

static int32_t pid_of(const struct pqb_case *one)
{
    return one->program ? one->program->pid : one->claim ? one->claim->pid : 0;
}

/* Orders them so that those of one line lie together. */
static int compare_cases(const struct pqb_case *one, const struct pqb_case *other)
{
    int order = compare_numbers(pqb_why_words(one->why)->kind, pqb_why_words(other->why)->kind);
    if (!order)
        order = compare_numbers(pid_of(one), pid_of(other));
    if (!order)
        order = compare_numbers(one->why, other->why);
    if (!order)
        order = compare_numbers(one->uid, other->uid);
    if (!order)
        order = strcmp(one->backend->client_text, other->backend->client_text);
    /* Where nobody is seen, who they say they are is all there is. */
    if (!order && !pid_of(one)) {
        order = strcmp(one->backend->user, other->backend->user);
        if (!order)
            order = strcmp(app_of(one), app_of(other));
    }
    return order;
}

static int by_line(const void *left, const void *right)
{
    const struct pqb_case *const *a = left, *const *b = right;
    int order = compare_cases(*a, *b);
    return order ? order : compare_numbers((*a)->backend->pid, (*b)->backend->pid);
}

static void add_case(struct line *line, const struct pqb_case *one)
{
    const struct pqb_backend *backend = one->backend;
    int in_transaction = !strncmp(backend->state, "idle in", 7);
    line->count++;
    line->idle += in_transaction || !strcmp(backend->state, "idle");
    line->in_transaction += (unsigned)in_transaction;
    line->has_one_name &= !strcmp(app_of(line->first), app_of(one));
    if (!strncmp(backend->state, "idle", 4) && backend->state_ms > line->longest_ms)
        line->longest_ms = backend->state_ms;
}

static int make_lines(const struct pqb_checkup *checkup, struct lines *lines)
{
    const struct pqb_case **list = calloc(checkup->cases + 1u, sizeof *list);
    *lines = (struct lines){.line = calloc(checkup->cases + 1u, sizeof *lines->line)};
    if (!list || !lines->line) {
        free(list);
        free(lines->line);
        return 0;
    }
    for (unsigned i = 0; i < checkup->cases; i++)
        list[i] = &checkup->one[i];
    qsort(list, checkup->cases, sizeof *list, by_line);
    for (unsigned i = 0; i < checkup->cases; i++) {
        if (!i || compare_cases(list[i], list[i - 1]))
            lines->line[lines->count++] =
                (struct line){.first = list[i], .has_one_name = 1, .longest_ms = -1};
        add_case(&lines->line[lines->count - 1], list[i]);
    }
    free(list);
    return 1;
}

static const struct pqb_column columns[] = {
    {"KIND", 0, 0},  {"PID", 1, 0},     {"OWNER", 0, 6}, {"CONNS", 1, 0}, {"IDLE", 1, 0},
    {"IN TX", 1, 0}, {"LONGEST", 1, 0}, {"ROLE", 0, 6},  {"NAME", 0, 8},  {"COMMAND", 0, 7},
};

enum { KIND, PID, OWNER, CONNS, IDLE, IN_TX, LONGEST, ROLE, NAME, COMMAND };

static void print_text(struct pqb_cell *cell, const char *text)
{
    snprintf(cell->text, sizeof cell->text, "%.*s", (int)sizeof cell->text - 1, text);
}

static void print_owner(struct pqb_cell *cell, uint32_t uid)
{
    const struct passwd *entry = getpwuid(uid);
    if (entry)
        print_text(cell, entry->pw_name);
    else
        snprintf(cell->text, sizeof cell->text, "%u", uid);
}

static void print_command(struct pqb_cell *cell, const struct pqb_case *one)
{
    if (one->program && one->program->is_there)
        print_text(cell, one->program->command);
    else if (one->claim)
        print_text(cell, one->claim->command);
    else if (one->backend->is_unix)
        print_text(cell, "through a Unix socket");
    else if (*one->backend->client_text)
        snprintf(cell->text, sizeof cell->text, "from %s", one->backend->client_text);
    else
        print_text(cell, "-");
}

static void fill_line(const void *context, unsigned row, struct pqb_cell *cells)
{
    static const enum pqb_style styles[PQB_KINDS] = {PQB_GOOD, PQB_WARN, PQB_PLAIN, PQB_WARN};
    const struct line *line = &((const struct lines *)context)->line[row];
    const struct pqb_case *one = line->first;
    enum pqb_kind kind = pqb_why_words(one->why)->kind;
    for (unsigned i = PID; i <= COMMAND; i++)
        print_text(&cells[i], "-");
    print_text(&cells[KIND], pqb_kind_name(kind));
    cells[KIND].style = styles[kind];
    if (pid_of(one))
        snprintf(cells[PID].text, sizeof cells->text, "%d", pid_of(one));
    if (one->uid >= 0)
        print_owner(&cells[OWNER], (uint32_t)one->uid);
    snprintf(cells[CONNS].text, sizeof cells->text, "%u", line->count);
    snprintf(cells[IDLE].text, sizeof cells->text, "%u", line->idle);
    snprintf(cells[IN_TX].text, sizeof cells->text, "%u", line->in_transaction);
    if (line->in_transaction)
        cells[IN_TX].style = PQB_WARN;
    if (line->longest_ms >= 0)
        pqb_value_print_age(cells[LONGEST].text, sizeof cells->text,
                            (uint64_t)line->longest_ms * PQB_MS);
    if (one->backend->pid)
        print_text(&cells[ROLE], one->backend->user);
    if (*app_of(one))
        print_text(&cells[NAME], line->has_one_name ? app_of(one) : "(several)");
    print_command(&cells[COMMAND], one);
}

static void print_line(const struct pqb_screen *screen, enum pqb_style style, const char *text,
                       FILE *out)
{
    fputs(pqb_screen_on(screen, style), out);
    pqb_text_print(out, text, PQB_TEXT_ALL, screen->ascii_only);
    fprintf(out, "%s\n", pqb_screen_off(screen, style));
}

static void print_head(const struct pqb_view_doctor *view, const struct pqb_screen *screen,
                       FILE *out)
{
    char line[PQB_SERVER_KEY_SIZE + 160], limit[24];
    const struct pqb_checkup *checkup = view->checkup;
    const struct pqb_activity *activity = &checkup->activity;
    const struct pqb_snapshot_server *server = pqb_checkup_server(checkup);
    if (!checkup->server_status) {
        snprintf(line, sizeof line,
                 "server %s  %u of %u connections in use, %u reserved for superusers; PostgreSQL "
                 "%s",
                 checkup->server, activity->total, activity->max_connections, activity->reserved,
                 activity->version);
    } else {
        snprintf(line, sizeof line,
                 "server %s  can't be asked; %u connections are seen at its sockets",
                 checkup->server, checkup->cases);
    }
    print_line(screen, PQB_BOLD, line, out);
    print_line(screen, PQB_DIM, checkup->path, out);
    if (!server)
        return;
    pqb_value_print_limit(limit, sizeof limit, server->config.limit);
    snprintf(line, sizeof line, "ledger %s  %u used of a limit of %s, %u waiting, %u draining",
             server->key, server->used, limit, server->waiting, server->draining);
    print_line(screen, PQB_BOLD, line, out);
}

static void print_findings(const struct pqb_findings *findings, const struct pqb_screen *screen,
                           FILE *out)
{
    static const enum pqb_style styles[] = {PQB_DIM, PQB_WARN, PQB_BAD};
    for (unsigned i = 0; i < findings->count; i++) {
        const struct pqb_finding *finding = &findings->one[i];
        enum pqb_style style = styles[finding->level];
        fprintf(out, "%s%s:%s ", pqb_screen_on(screen, style), pqb_level_name(finding->level),
                pqb_screen_off(screen, style));
        print_line(screen, PQB_PLAIN, finding->text, out);
        if (!*finding->remedy)
            continue;
        fputs("    ", out);
        print_line(screen, PQB_PLAIN, finding->remedy, out);
    }
}

int pqb_view_doctor_text(const struct pqb_view_doctor *view, const struct pqb_screen *screen,
                         FILE *out)
{
    struct lines lines;
    if (!make_lines(view->checkup, &lines))
        return 0;
    print_head(view, screen, out);
    if (lines.count) {
        struct pqb_table table = {.columns = sizeof columns / sizeof *columns,
                                  .rows = lines.count,
                                  .column = columns,
                                  .fill = fill_line,
                                  .context = &lines};
        fputc('\n', out);
        pqb_table_print(&table, screen, out);
    }
    fputc('\n', out);
    print_findings(view->findings, screen, out);
    if (!view->checkup->server_status && pqb_findings_level(view->findings) == PQB_LEVEL_INFO)
        print_line(screen, PQB_GOOD, "nothing is wrong", out);
    free(lines.line);
    return 1;
}

/* ---- for programs ---- */

static void write_text(struct pqb_json *json, const char *key, const char *text)
{
    if (text && *text)
        pqb_json_text(json, key, text);
    else
        pqb_json_null(json, key);
}

static void write_age(struct pqb_json *json, const char *key, long long ms)
{
    if (ms < 0)
        pqb_json_null(json, key);
    else
        pqb_json_seconds(json, key, (uint64_t)ms * PQB_MS);
}

static void write_server(struct pqb_json *json, const struct pqb_checkup *checkup)
{
    const struct pqb_activity *activity = &checkup->activity;
    pqb_json_open(json, "server", '{');
    pqb_json_text(json, "server", checkup->server);
    write_text(json, "error", checkup->server_status ? checkup->server_error.text : NULL);
    if (!checkup->server_status) {
        pqb_json_text(json, "version", activity->version);
        pqb_json_text(json, "role", activity->role);
        pqb_json_number(json, "max_connections", activity->max_connections);
        pqb_json_number(json, "reserved", activity->reserved);
        pqb_json_truth(json, "pooled", activity->is_pooled);
    }
    pqb_json_close(json, '}');
}

static void write_ledger(struct pqb_json *json, const struct pqb_checkup *checkup)
{
    const struct pqb_snapshot_server *server = pqb_checkup_server(checkup);
    pqb_json_open(json, "ledger", '{');
    pqb_json_text(json, "path", checkup->path);
    write_text(json, "error", checkup->ledger_status ? checkup->ledger_error.text : NULL);
    pqb_json_truth(json, "knows_server", server != NULL);
    if (server) {
        pqb_json_text(json, "server", server->key);
        pqb_json_limit(json, "limit", server->config.limit);
        pqb_json_number(json, "used", server->used);
        pqb_json_number(json, "waiting", server->waiting);
        pqb_json_number(json, "draining", server->draining);
        pqb_json_truth(json, "paused", server->config.paused != 0);
    }
    pqb_json_close(json, '}');
}

static void write_census(struct pqb_json *json, const struct pqb_checkup *checkup,
                         const struct pqb_census *census)
{
    pqb_json_open(json, "connections", '{');
    pqb_json_number(json, "total", checkup->activity.total);
    for (unsigned kind = 0; kind < PQB_KINDS; kind++)
        pqb_json_number(json, pqb_kind_name((enum pqb_kind)kind), census->kind[kind]);
    /* Not looked at: they came while it did. */
    pqb_json_number(json, "passing", checkup->activity.total - checkup->cases);
    pqb_json_number(json, "hidden", census->hidden);
    pqb_json_number(json, "nameless", census->nameless);
    pqb_json_number(json, "idle", census->idle);
    pqb_json_number(json, "idle_in_transaction", census->in_transaction);
    pqb_json_number(json, "active", census->active);
    pqb_json_close(json, '}');
}

static void write_program(struct pqb_json *json, const struct pqb_program *program)
{
    if (!program || !program->is_there) {
        pqb_json_null(json, "process");
        return;
    }
    pqb_json_open(json, "process", '{');
    pqb_json_number(json, "pid", (uint64_t)program->pid);
    pqb_json_text(json, "name", program->name);
    pqb_json_text(json, "command", program->command);
    pqb_json_close(json, '}');
}

static void write_claim(struct pqb_json *json, const char *key, const struct pqb_checkup *checkup,
                        const struct pqb_snapshot_claim *claim, const int *is_lost)
{
    if (!claim) {
        pqb_json_null(json, key);
        return;
    }
    pqb_json_open(json, key, '{');
    pqb_json_text(json, "server", checkup->snapshot.server[claim->server].key);
    pqb_json_text(json, "app", claim->app < 0 ? "" : checkup->snapshot.app[claim->app].label);
    pqb_json_text(json, "state", pqb_claim_state_name(claim->state));
    pqb_json_text(json, "door", pqb_door_name(claim->door));
    pqb_json_pid(json, "pid", claim->pid);
    pqb_json_pid(json, "backend_pid", claim->backend_pid);
    pqb_json_text(json, "command", claim->command);
    pqb_json_seconds(json, "state_s", claim->state_ns);
    if (is_lost)
        pqb_json_truth(json, "lost", *is_lost);
    pqb_json_close(json, '}');
}

static void write_case(struct pqb_json *json, const struct pqb_checkup *checkup,
                       const struct pqb_case *one)
{
    const struct pqb_backend *backend = one->backend;
    const struct pqb_why_words *words = pqb_why_words(one->why);
    pqb_json_open(json, NULL, '{');
    pqb_json_pid(json, "pid", backend->pid);
    pqb_json_text(json, "kind", pqb_kind_name(words->kind));
    write_text(json, "why", one->why ? words->id : NULL);
    write_program(json, one->program);
    if (one->uid >= 0)
        pqb_json_number(json, "uid", (uint64_t)one->uid);
    else
        pqb_json_null(json, "uid");
    write_claim(json, "claim", checkup, one->claim, NULL);
    pqb_json_text(json, "database", backend->database);
    pqb_json_text(json, "user", backend->user);
    pqb_json_text(json, "application_name", backend->name);
    pqb_json_truth(json, "hidden", backend->is_hidden);
    write_text(json, "state", backend->state);
    pqb_json_truth(json, "unix_socket", backend->is_unix);
    write_text(json, "client_address", backend->client_text);
    if (backend->client.family)
        pqb_json_number(json, "client_port", backend->client.port);
    else
        pqb_json_null(json, "client_port");
    write_age(json, "age_s", backend->age_ms);
    write_age(json, "state_s", backend->state_ms);
    pqb_json_close(json, '}');
}

static void write_finding(struct pqb_json *json, const struct pqb_finding *finding)
{
    pqb_json_open(json, NULL, '{');
    pqb_json_text(json, "id", finding->id);
    pqb_json_text(json, "level", pqb_level_name(finding->level));
    pqb_json_number(json, "count", finding->count);
    pqb_json_text(json, "text", finding->text);
    write_text(json, "remedy", finding->remedy);
    pqb_json_close(json, '}');
}

void pqb_view_doctor_json(const struct pqb_view_doctor *view, FILE *out)
{
    const struct pqb_checkup *checkup = view->checkup;
    struct pqb_json json = {.out = out};
    pqb_json_open(&json, NULL, '{');
    write_server(&json, checkup);
    write_ledger(&json, checkup);
    write_census(&json, checkup, view->census);
    pqb_json_open(&json, "backends", '[');
    for (unsigned i = 0; i < checkup->cases; i++)
        write_case(&json, checkup, &checkup->one[i]);
    pqb_json_close(&json, ']');
    pqb_json_open(&json, "claims", '[');
    for (unsigned i = 0; i < checkup->alone; i++) {
        int is_lost = checkup->is_lost[i];
        write_claim(&json, NULL, checkup, &checkup->snapshot.claim[checkup->claim[i]], &is_lost);
    }
    pqb_json_close(&json, ']');
    pqb_json_open(&json, "findings", '[');
    for (unsigned i = 0; i < view->findings->count; i++)
        write_finding(&json, &view->findings->one[i]);
    pqb_json_close(&json, ']');
    pqb_json_close(&json, '}');
    fputc('\n', out);
}
