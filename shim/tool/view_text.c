#include "conninfo/value.h"
#include "tool/table.h"
#include "tool/text.h"
#include "tool/view.h"

#include <string.h>

#define BAR 10

static const struct pqb_column app_columns[] = {
    {"APP", 0, 8}, {"LIMIT", 1, 0}, {"MIN", 1, 0}, {"USED", 1, 0}, {"WAITING", 1, 0},
};

static const struct pqb_column claim_columns[] = {
    {"STATE", 0, 0}, {"APP", 0, 6}, {"PID", 1, 0},  {"BACKEND", 1, 0}, {"DATABASE", 0, 6},
    {"USER", 0, 6},  {"AGE", 1, 0}, {"WAIT", 1, 0}, {"SESSION", 0, 8}, {"COMMAND", 0, 7},
};

enum {
    CLAIM_STATE,
    CLAIM_APP,
    CLAIM_PID,
    CLAIM_BACKEND,
    CLAIM_DATABASE,
    CLAIM_USER,
    CLAIM_AGE,
    CLAIM_WAIT,
    CLAIM_SESSION,
    CLAIM_COMMAND
};

/* Some of a snapshot's rows: those that follow the first, or those that the list names. */
struct part {
    const struct pqb_snapshot *snapshot;
    unsigned first, count;
    const unsigned *list;
};

static void print_limited(struct pqb_cell *cell, uint32_t limit)
{
    pqb_value_print_limit(cell->text, sizeof cell->text, limit);
}

static void print_text(struct pqb_cell *cell, const char *text)
{
    snprintf(cell->text, sizeof cell->text, "%s", text);
}

/* The ledger has the beginning of it, which may end with a blank. */
static void print_command(struct pqb_cell *cell, const char *command)
{
    print_text(cell, command);
    for (size_t end = strlen(cell->text); end && cell->text[end - 1] == ' '; end--)
        cell->text[end - 1] = 0;
}

static void print_number(struct pqb_cell *cell, int64_t number)
{
    snprintf(cell->text, sizeof cell->text, "%lld", (long long)number);
}

static unsigned nth_app(const struct part *part, unsigned row)
{
    const struct pqb_snapshot *snapshot = part->snapshot;
    for (unsigned i = 0; i < snapshot->apps; i++)
        if (snapshot->app[i].server == part->first && !row--)
            return i;
    return 0;
}

static void fill_app(const void *context, unsigned row, struct pqb_cell *cells)
{
    const struct part *part = context;
    const struct pqb_snapshot_app *app = &part->snapshot->app[nth_app(part, row)];
    print_text(&cells[0], app->label);
    print_limited(&cells[1], app->limit);
    print_number(&cells[2], app->min);
    print_number(&cells[3], app->used);
    print_number(&cells[4], app->waiting);
    if (app->waiting)
        cells[4].style = PQB_WARN;
}

static enum pqb_style style_of(enum pqb_claim_state state)
{
    switch (state) {
    case PQB_CLAIM_WAITING:
        return PQB_WARN;
    case PQB_CLAIM_OPEN:
        return PQB_GOOD;
    case PQB_CLAIM_DRAINING:
        return PQB_DIM;
    default:
        return PQB_PLAIN;
    }
}

int pqb_view_is_idle(const struct pqb_snapshot_claim *claim)
{
    return pqb_session_name(claim->session) &&
           (claim->session == PQB_SESSION_IDLE || claim->session >= PQB_SESSION_PINNED);
}

/* "idle 31s"; nothing of a session that nobody follows. */
static void print_session(struct pqb_cell *cell, const struct pqb_snapshot_claim *claim)
{
    const char *name = pqb_session_name(claim->session);
    char idle[16];
    if (!name)
        return;
    pqb_value_print_age(idle, sizeof idle, claim->idle_ns);
    if (pqb_view_is_idle(claim))
        snprintf(cell->text, sizeof cell->text, "%s %s", name, idle);
    else
        print_text(cell, name);
}

static void fill_claim(const void *context, unsigned row, struct pqb_cell *cells)
{
    const struct part *part = context;
    const struct pqb_snapshot *snapshot = part->snapshot;
    const struct pqb_snapshot_claim *claim =
        &snapshot->claim[part->list ? part->list[row] : part->first + row];
    print_text(&cells[CLAIM_STATE], pqb_claim_state_name(claim->state));
    cells[CLAIM_STATE].style = style_of(claim->state);
    print_text(&cells[CLAIM_APP], claim->app < 0 ? "" : snapshot->app[claim->app].label);
    print_number(&cells[CLAIM_PID], claim->pid);
    if (claim->backend_pid > 0)
        print_number(&cells[CLAIM_BACKEND], claim->backend_pid);
    else
        print_text(&cells[CLAIM_BACKEND], "-");
    print_text(&cells[CLAIM_DATABASE], claim->database);
    print_text(&cells[CLAIM_USER], claim->user);
    pqb_value_print_age(cells[CLAIM_AGE].text, sizeof cells->text, claim->age_ns);
    pqb_value_print_age(cells[CLAIM_WAIT].text, sizeof cells->text, claim->wait_ns);
    print_session(&cells[CLAIM_SESSION], claim);
    print_command(&cells[CLAIM_COMMAND], claim->command);
}

/* A line that is no wider than the screen. */
static void print_line(const struct pqb_screen *screen, enum pqb_style style, const char *text,
                       FILE *out)
{
    fputs(pqb_screen_on(screen, style), out);
    pqb_text_print(out, text, screen->columns, screen->ascii_only);
    fprintf(out, "%s\n", pqb_screen_off(screen, style));
}

enum pqb_style pqb_view_style(const struct pqb_snapshot_server *server)
{
    if (server->config.paused)
        return PQB_BAD;
    if (server->waiting)
        return PQB_WARN;
    return PQB_GOOD;
}

void pqb_view_bar(char *to, unsigned width, uint32_t used, uint32_t limit)
{
    uint64_t full = limit ? (uint64_t)used * width / limit : width;
    if (!full && used)
        full = 1;
    if (full > width)
        full = width;
    *to = '[';
    memset(to + 1, '#', full);
    memset(to + 1 + full, '-', width - full);
    memcpy(to + 1 + width, "]", 2);
}

void pqb_view_header(const struct pqb_snapshot_server *server, unsigned width,
                     const struct pqb_screen *screen, FILE *out)
{
    char bar[PQB_VIEW_BAR] = "", rest[PQB_VIEW_BAR + 128], of[32] = " used, no limit";
    enum pqb_style style = pqb_view_style(server);
    if (server->config.limit != PQB_UNLIMITED) {
        pqb_view_bar(bar, width, server->used, server->config.limit);
        snprintf(of, sizeof of, " of %u used", server->config.limit);
    }
    int length = snprintf(rest, sizeof rest, "%s%s%s%u%s, %u waiting, %u draining", bar,
                          *bar ? "  " : "", server->config.paused ? "PAUSED  " : "", server->used,
                          of, server->waiting, server->draining);
    unsigned room = screen->columns;
    if (room != PQB_TEXT_ALL)
        room = room > (unsigned)length + 10 ? room - (unsigned)length - 2 : 8;
    fputs(pqb_screen_on(screen, PQB_BOLD), out);
    unsigned used = pqb_text_print(out, server->key, room, screen->ascii_only) + 2;
    fprintf(out, "%s  %s", pqb_screen_off(screen, PQB_BOLD), pqb_screen_on(screen, style));
    room = screen->columns == PQB_TEXT_ALL ? PQB_TEXT_ALL
           : screen->columns > used        ? screen->columns - used
                                           : 0;
    pqb_text_print(out, rest, room, screen->ascii_only);
    fprintf(out, "%s\n", pqb_screen_off(screen, style));
}

static void print_details(const struct pqb_snapshot_server *server, const struct pqb_screen *screen,
                          FILE *out)
{
    char line[256], wait[24], drain[24], logins[24];
    const struct pqb_server_config *config = &server->config;
    pqb_value_print_time(wait, sizeof wait, config->wait_ms);
    pqb_value_print_time(drain, sizeof drain, config->drain_ms);
    pqb_value_print_limit(logins, sizeof logins, config->logins ? config->logins : PQB_UNLIMITED);
    snprintf(line, sizeof line, "  peak %u, reserve %u, slack %u, wait %s, logins %s, drain %s",
             server->peak, config->reserve, config->slack, wait, logins, drain);
    print_line(screen, PQB_PLAIN, line, out);
    snprintf(line, sizeof line,
             "  granted %llu, timed out %llu, refused %llu, died %llu, gave way %llu",
             (unsigned long long)server->granted_total, (unsigned long long)server->timeout_total,
             (unsigned long long)server->refused_total, (unsigned long long)server->reaped_total,
             (unsigned long long)server->yielded_total);
    print_line(screen, PQB_PLAIN, line, out);
}

static void print_apps(const struct pqb_snapshot *snapshot, unsigned number,
                       const struct pqb_screen *screen, FILE *out)
{
    struct part part = {.snapshot = snapshot, .first = number};
    for (unsigned i = 0; i < snapshot->apps; i++)
        part.count += snapshot->app[i].server == number;
    if (!part.count)
        return;
    struct pqb_table table = {.columns = sizeof app_columns / sizeof *app_columns,
                              .rows = part.count,
                              .column = app_columns,
                              .fill = fill_app,
                              .context = &part};
    fputc('\n', out);
    pqb_table_print(&table, screen, out);
}

static void print_part(const struct part *part, const struct pqb_screen *screen, FILE *out)
{
    struct pqb_table table = {.columns = sizeof claim_columns / sizeof *claim_columns,
                              .rows = part->count,
                              .column = claim_columns,
                              .rare = CLAIM_SESSION,
                              .fill = fill_claim,
                              .context = part};
    pqb_table_print(&table, screen, out);
}

void pqb_view_claims(const struct pqb_snapshot *snapshot, const unsigned *list, unsigned count,
                     const struct pqb_screen *screen, FILE *out)
{
    struct part part = {.snapshot = snapshot, .list = list, .count = count};
    print_part(&part, screen, out);
}

/* A server's claims lie together: the snapshot is sorted that way. */
static void print_claims(const struct pqb_snapshot *snapshot, unsigned number,
                         const struct pqb_screen *screen, FILE *out)
{
    struct part part = {.snapshot = snapshot};
    while (part.first < snapshot->claims && snapshot->claim[part.first].server != number)
        part.first++;
    while (part.first + part.count < snapshot->claims &&
           snapshot->claim[part.first + part.count].server == number)
        part.count++;
    if (!part.count)
        return;
    fputc('\n', out);
    print_part(&part, screen, out);
}

void pqb_view_text(const struct pqb_snapshot *snapshot, unsigned only,
                   const struct pqb_screen *screen, FILE *out)
{
    char line[PQB_REGION_PATH + 80];
    snprintf(line, sizeof line, "ledger %s%s", snapshot->path,
             snapshot->consistent ? "" : " (changing so fast that the counts may not agree)");
    print_line(screen, PQB_DIM, line, out);
    if (!snapshot->servers)
        print_line(screen, PQB_PLAIN, "no server yet: nothing has connected", out);
    for (unsigned i = 0; i < snapshot->servers; i++) {
        if (only != PQB_VIEW_ALL && only != i)
            continue;
        fputc('\n', out);
        pqb_view_header(&snapshot->server[i], BAR, screen, out);
        print_details(&snapshot->server[i], screen, out);
        print_apps(snapshot, i, screen, out);
        print_claims(snapshot, i, screen, out);
    }
}
