#include "tool/top_view.h"

#include "conninfo/value.h"
#include "tool/table.h"
#include "tool/text.h"
#include "tool/view.h"

#include <stdlib.h>
#include <string.h>

static const struct pqb_column app_columns[] = {
    {"APP", 0, 8}, {"", 0, 0}, {"USED", 1, 0}, {"LIMIT", 1, 0}, {"MIN", 1, 0}, {"WAITING", 1, 0},
};

/* The rows of the terminal, as they are shared out. */
struct space {
    unsigned bars, list;
};

/* A server's applications, who holds most first. */
struct apps {
    const struct pqb_snapshot *snapshot;
    uint32_t limit; /* what the bar of one without a limit is measured by */
    unsigned bar, count;
    unsigned list[PQB_APPS];
};

static void print_line(const struct pqb_screen *screen, enum pqb_style style, const char *text,
                       FILE *out)
{
    fputs(pqb_screen_on(screen, style), out);
    pqb_text_print(out, text, screen->columns, screen->ascii_only);
    fprintf(out, "%s\n", pqb_screen_off(screen, style));
}

static void fill_app(const void *context, unsigned row, struct pqb_cell *cells)
{
    const struct apps *apps = context;
    const struct pqb_snapshot_app *app = &apps->snapshot->app[apps->list[row]];
    uint32_t limit = app->limit < apps->limit ? app->limit : apps->limit;
    snprintf(cells[0].text, sizeof cells[0].text, "%s", app->label);
    pqb_view_bar(cells[1].text, apps->bar, app->used, limit);
    cells[1].style = app->waiting ? PQB_WARN : PQB_GOOD;
    snprintf(cells[2].text, sizeof cells[2].text, "%u", app->used);
    pqb_value_print_limit(cells[3].text, sizeof cells[3].text, app->limit);
    snprintf(cells[4].text, sizeof cells[4].text, "%u", app->min);
    snprintf(cells[5].text, sizeof cells[5].text, "%u", app->waiting);
    cells[5].style = app->waiting ? PQB_WARN : PQB_PLAIN;
}

static int compare_apps(const void *left, const void *right, void *context)
{
    const struct pqb_snapshot *snapshot = context;
    const struct pqb_snapshot_app *one = &snapshot->app[*(const unsigned *)left];
    const struct pqb_snapshot_app *other = &snapshot->app[*(const unsigned *)right];
    if (one->used != other->used)
        return one->used > other->used ? -1 : 1;
    return strcmp(one->label, other->label);
}

static void print_apps(const struct pqb_snapshot *snapshot, unsigned number, unsigned bar,
                       const struct pqb_screen *screen, FILE *out)
{
    const struct pqb_snapshot_server *server = &snapshot->server[number];
    struct apps apps = {.snapshot = snapshot, .bar = bar, .limit = server->config.limit};
    for (unsigned i = 0; i < snapshot->apps && apps.count < PQB_APPS; i++)
        if (snapshot->app[i].server == number)
            apps.list[apps.count++] = i;
    if (!apps.count)
        return;
    if (apps.limit == PQB_UNLIMITED)
        apps.limit = server->used;
    qsort_r(apps.list, apps.count, sizeof *apps.list, compare_apps, (void *)(uintptr_t)snapshot);
    struct pqb_table table = {.columns = sizeof app_columns / sizeof *app_columns,
                              .rows = apps.count,
                              .column = app_columns,
                              .fill = fill_app,
                              .context = &apps};
    pqb_table_print(&table, screen, out);
}

static unsigned bar_width(const struct pqb_screen *screen)
{
    return screen->columns >= 110  ? PQB_VIEW_BAR_WIDTH
           : screen->columns >= 72 ? PQB_VIEW_BAR_WIDTH / 2
                                   : PQB_VIEW_BAR_WIDTH / 4;
}

static void print_servers(const struct pqb_snapshot *snapshot, unsigned only,
                          const struct pqb_screen *screen, FILE *out)
{
    if (!snapshot->servers)
        print_line(screen, PQB_PLAIN, "no server yet: nothing has connected", out);
    for (unsigned i = 0; i < snapshot->servers; i++) {
        if (only != PQB_NIL && only != i)
            continue;
        pqb_view_header(&snapshot->server[i], bar_width(screen), screen, out);
        print_apps(snapshot, i, bar_width(screen), screen, out);
    }
}

static unsigned count_lines(const char *text)
{
    unsigned count = 0;
    while ((text = strchr(text, '\n'))) {
        text++;
        count++;
    }
    return count;
}

/* So many of the lines; if that is not all of them, the last one says so. */
static void print_lines(const char *text, unsigned room, const struct pqb_screen *screen, FILE *out)
{
    unsigned count = count_lines(text), shown = count <= room ? count : room ? room - 1 : 0;
    for (unsigned i = 0; i < shown; i++) {
        size_t length = strcspn(text, "\n") + 1;
        fwrite(text, 1, length, out);
        text += length;
    }
    if (shown < room && shown < count) {
        char rest[64];
        snprintf(rest, sizeof rest, "  ... and %u more lines", count - shown);
        print_line(screen, PQB_DIM, rest, out);
    }
}

/* "ledger /dev/shm/pqbudget.0.default" */
static void print_title(const struct pqb_top_view *view, const char *ledger, const char *remark,
                        const struct pqb_screen *screen, FILE *out)
{
    char line[PQB_REGION_PATH + 96];
    snprintf(line, sizeof line, "%sledger %s%s", view->is_held ? "HELD, p goes on: " : "", ledger,
             remark);
    print_line(screen, view->is_held ? PQB_WARN : PQB_DIM, line, out);
}

static void print_footer(const struct pqb_top_view *view, const struct pqb_screen *screen,
                         FILE *out)
{
    char line[PQB_TOP_FILTER + 64];
    if (view->is_typing)
        snprintf(line, sizeof line, "filter: %s_   Enter keeps it, Escape drops it",
                 view->wish.filter);
    else
        snprintf(line, sizeof line,
                 "q quit  / filter  s sort  r reverse  Tab queue, holders  "
                 "p hold  j k scroll");
    fputs(pqb_screen_on(screen, PQB_DIM), out);
    pqb_text_print(out, line, screen->columns, screen->ascii_only);
    fputs(pqb_screen_off(screen, PQB_DIM), out);
}

/* "[ALL 69]  queue 3  holders 66   1-14 by age   filter: web" */
static void print_tabs(const struct pqb_top_view *view, const struct pqb_top_list *list,
                       const struct pqb_screen *screen, FILE *out)
{
    static const char *const names[] = {"all", "queue", "holders"};
    const unsigned counts[] = {list->waiting + list->holding, list->waiting, list->holding};
    char line[PQB_TOP_FILTER + 192];
    int at = 0;
    for (unsigned i = 0; i < PQB_TOP_SHOWS; i++)
        at += snprintf(line + at, sizeof line - (size_t)at,
                       i == view->wish.show ? "[%s %u] " : " %s %u  ", names[i], counts[i]);
    unsigned last =
        view->scroll + view->page < list->count ? view->scroll + view->page : list->count;
    at += snprintf(line + at, sizeof line - (size_t)at, "  %u-%u by %s%s",
                   last ? view->scroll + 1 : 0, last, pqb_top_sort_name(view->wish.sort),
                   view->wish.is_reversed ? ", reversed" : "");
    if (*view->wish.filter)
        snprintf(line + at, sizeof line - (size_t)at, "   filter: %s", view->wish.filter);
    print_line(screen, PQB_BOLD, line, out);
}

/* The list has half of the terminal if it needs it, and whatever the bars leave. */
static struct space share_out(unsigned rows, unsigned bars, unsigned claims)
{
    struct space space = {.bars = bars};
    unsigned rest = rows > 4 ? rows - 4 : 0, half = rest / 2;
    unsigned least = claims < half ? claims : half;
    if (space.bars > rest - least)
        space.bars = rest - least;
    space.list = rest - space.bars;
    return space;
}

static void scroll_within(struct pqb_top_view *view, unsigned count, unsigned page)
{
    unsigned most = count > page ? count - page : 0;
    view->page = page;
    if (view->scroll > most)
        view->scroll = most;
}

static void print_list(const struct pqb_top_view *view, const struct pqb_snapshot *snapshot,
                       const struct pqb_top_list *list, const struct pqb_screen *screen, FILE *out)
{
    unsigned left = list->count - view->scroll, shown = left < view->page ? left : view->page;
    print_tabs(view, list, screen, out);
    pqb_view_claims(snapshot, list->claim + view->scroll, shown, screen, out);
    for (; shown < view->page; shown++)
        fputc('\n', out);
}

void pqb_top_view_draw(struct pqb_top_view *view, const struct pqb_snapshot *snapshot,
                       struct pqb_top_list *list, const struct pqb_screen *screen, FILE *out)
{
    char *bars = NULL;
    size_t length;
    FILE *memory = open_memstream(&bars, &length);
    if (!memory)
        return;
    print_servers(snapshot, view->wish.only, screen, memory);
    fclose(memory);
    pqb_top_list_make(snapshot, &view->wish, list);
    struct space space = share_out(screen->rows, count_lines(bars), list->count);
    scroll_within(view, list->count, space.list);
    print_title(view, snapshot->path,
                snapshot->consistent ? "" : " (changing so fast that the counts may not agree)",
                screen, out);
    print_lines(bars, space.bars, screen, out);
    print_list(view, snapshot, list, screen, out);
    print_footer(view, screen, out);
    free(bars);
}

void pqb_top_view_fail(const struct pqb_top_view *view, const char *ledger, const char *reason,
                       const struct pqb_screen *screen, FILE *out)
{
    print_title(view, ledger, "", screen, out);
    print_line(screen, PQB_WARN, reason, out);
    for (unsigned i = 3; i < screen->rows; i++)
        fputc('\n', out);
    print_footer(view, screen, out);
}
