#include "tool/view_plan.h"

#include "tool/json.h"
#include "tool/table.h"
#include "tool/text.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>

#define MIB (1024 * 1024.0)

static const char *const verdicts[] = {
    "fits",
    "tight: less is left than the headroom",
    "no headroom: nothing is left for a migration, psql or the next deploy",
    "over: more than the server has; who comes last gets \"too many clients already\"",
};

static const char *pooler_text(const struct pqb_sizing *sizing)
{
    switch (sizing->pooler) {
    case PQB_SIZING_ONE_EACH:
        return "some have one connection each and wait for themselves: PgBouncer (pool_mode = "
               "transaction) lets instances share";
    case PQB_SIZING_TOO_MANY:
        return "there are more instances than connections: only a pooler that lets them share, "
               "such "
               "as PgBouncer (pool_mode = transaction), serves them all";
    default:
        return NULL;
    }
}

/* ---- for people ---- */

static const struct pqb_column columns[] = {
    {"APP", 0, 8},   {"REPLICAS", 1, 0}, {"NOW", 1, 0},
    {"TOTAL", 1, 0}, {"PLAN", 1, 0},     {"TOTAL", 1, 0},
};
static const struct pqb_column plain_columns[] = {
    {"APP", 0, 8}, {"REPLICAS", 1, 0}, {"PLAN", 1, 0}, {"TOTAL", 1, 0}};

static void print_number(struct pqb_cell *cell, uint64_t number)
{
    snprintf(cell->text, sizeof cell->text, "%" PRIu64, number);
}

static void fill_row(const void *context, unsigned row, struct pqb_cell *cells)
{
    const struct pqb_sizing *sizing = context;
    const struct pqb_sizing_app *app = &sizing->app[row];
    snprintf(cells->text, sizeof cells->text, "%s", app->name);
    cells++;
    print_number(cells++, app->replicas);
    if (sizing->has_present) {
        print_number(cells++, app->present);
        print_number(cells++, (uint64_t)app->replicas * app->present);
    }
    print_number(cells++, app->share);
    print_number(cells, (uint64_t)app->replicas * app->share);
}

static void print_line(const struct pqb_screen *screen, enum pqb_style style, FILE *out,
                       const char *title, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

static void print_line(const struct pqb_screen *screen, enum pqb_style style, FILE *out,
                       const char *title, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    fprintf(out, "%-8s ", title);
    fputs(pqb_screen_on(screen, style), out);
    pqb_text_print(out, text, PQB_TEXT_ALL, screen->ascii_only);
    fprintf(out, "%s\n", pqb_screen_off(screen, style));
}

static void print_sum(const struct pqb_view_plan *plan, const struct pqb_sizing_sum *sum,
                      const char *title, const struct pqb_screen *screen, FILE *out)
{
    static const enum pqb_style styles[] = {PQB_GOOD, PQB_WARN, PQB_BAD, PQB_BAD};
    print_line(screen, styles[sum->verdict], out, title, "%" PRIu64 " of %u, %" PRId64 " left: %s",
               sum->total, plan->sizing.max_connections, sum->left, verdicts[sum->verdict]);
}

static void print_advice(const struct pqb_view_plan *plan, const struct pqb_screen *screen,
                         FILE *out)
{
    const struct pqb_sizing *sizing = &plan->sizing;
    if (sizing->pooler != PQB_SIZING_TOO_MANY)
        print_line(screen, PQB_PLAIN, out, "budget:", "limit %u, reserve %u, slack %u; %s%s",
                   sizing->limit, sizing->reserve, sizing->slack,
                   plan->applied ? "set for " : "--apply sets it",
                   plan->applied ? plan->applied : "");
    if (plan->cores)
        print_line(screen, PQB_PLAIN, out, "cores:",
                   "%u%s; a pool of (%u x 2) + 1 = %u keeps them busy, more only wait for them",
                   plan->cores, plan->cores_are_here ? " on this machine" : "", plan->cores,
                   pqb_sizing_of_cores(plan->cores));
    else
        print_line(screen, PQB_DIM, out, "cores:", "of another machine; say how many by --cores");
    print_line(screen, PQB_PLAIN, out, "memory:",
               "%" PRIu64 " x %swork_mem of %.4g MB = %.0f MB, if each sorts one thing at a time",
               sizing->plan.total, plan->asked_server ? "" : "a ", (double)plan->work_mem / MIB,
               (double)sizing->plan.total * (double)plan->work_mem / MIB);
    if (sizing->pooler)
        print_line(screen, PQB_WARN, out, "pooler:", "%s", pooler_text(sizing));
}

void pqb_view_plan_text(const struct pqb_view_plan *plan, const struct pqb_screen *screen,
                        FILE *out)
{
    const struct pqb_sizing *sizing = &plan->sizing;
    struct pqb_table table = {
        .columns = sizing->has_present ? sizeof columns / sizeof *columns
                                       : sizeof plain_columns / sizeof *plain_columns,
        .rows = sizing->apps,
        .column = sizing->has_present ? columns : plain_columns,
        .fill = fill_row,
        .context = sizing,
    };
    if (sizing->reserved == PQB_SIZING_UNTOLD)
        print_line(screen, PQB_PLAIN, out, "server:", "max_connections %u as given, %u kept free",
                   sizing->max_connections, sizing->kept);
    else
        print_line(screen, PQB_PLAIN, out,
                   "server:", "max_connections %u, %u kept free, of these %u for superusers",
                   sizing->max_connections, sizing->kept, sizing->reserved);
    fputc('\n', out);
    pqb_table_print(&table, screen, out);
    fputc('\n', out);
    if (sizing->has_present)
        print_sum(plan, &sizing->present, "now:", screen, out);
    print_sum(plan, &sizing->plan, "plan:", screen, out);
    print_advice(plan, screen, out);
}

/* ---- for .env files ---- */

void pqb_view_plan_env(const struct pqb_view_plan *plan, FILE *out)
{
    for (unsigned i = 0; i < plan->sizing.apps; i++) {
        const struct pqb_sizing_app *app = &plan->sizing.app[i];
        fputs("# ", out);
        pqb_text_print(out, app->name, PQB_TEXT_ALL, 0);
        fprintf(out, ", %u x %u connections\nDATABASE_URL='", app->replicas, app->share);
        pqb_url_print(out, plan->url, app->share, app->name);
        fputs("'\n", out);
    }
}

/* ---- for programs ---- */

static void write_known(struct pqb_json *json, const char *key, int is_known, uint64_t value)
{
    if (is_known)
        pqb_json_number(json, key, value);
    else
        pqb_json_null(json, key);
}

static void write_url(struct pqb_json *json, const struct pqb_url *url,
                      const struct pqb_sizing_app *app)
{
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);
    if (!out)
        return;
    pqb_url_print(out, url, app->share, app->name);
    if (!fclose(out))
        pqb_json_text(json, "database_url", text);
    free(text);
}

static void write_app(struct pqb_json *json, const struct pqb_view_plan *plan,
                      const struct pqb_sizing_app *app)
{
    int has_present = plan->sizing.has_present;
    pqb_json_open(json, NULL, '{');
    pqb_json_text(json, "app", app->name);
    pqb_json_number(json, "replicas", app->replicas);
    pqb_json_number(json, "weight", app->weight);
    write_known(json, "present", has_present, app->present);
    pqb_json_number(json, "connections", app->share);
    pqb_json_number(json, "total", (uint64_t)app->replicas * app->share);
    if (plan->url)
        write_url(json, plan->url, app);
    pqb_json_close(json, '}');
}

static void write_sum(struct pqb_json *json, const char *key, const struct pqb_sizing_sum *sum)
{
    pqb_json_open(json, key, '{');
    pqb_json_number(json, "total", sum->total);
    pqb_json_integer(json, "left", sum->left);
    pqb_json_text(json, "verdict", pqb_sizing_name(sum->verdict));
    pqb_json_close(json, '}');
}

static void write_text(struct pqb_json *json, const char *key, const char *text)
{
    if (text)
        pqb_json_text(json, key, text);
    else
        pqb_json_null(json, key);
}

void pqb_view_plan_json(const struct pqb_view_plan *plan, FILE *out)
{
    const struct pqb_sizing *sizing = &plan->sizing;
    struct pqb_json json = {.out = out};
    pqb_json_open(&json, NULL, '{');
    pqb_json_text(&json, "source", plan->asked_server ? "server" : "given");
    write_text(&json, "server", plan->server);
    pqb_json_number(&json, "max_connections", sizing->max_connections);
    write_known(&json, "reserved", sizing->reserved != PQB_SIZING_UNTOLD, sizing->reserved);
    pqb_json_number(&json, "headroom", sizing->kept);
    pqb_json_number(&json, "instances", sizing->instances);
    pqb_json_open(&json, "apps", '[');
    for (unsigned i = 0; i < sizing->apps; i++)
        write_app(&json, plan, &sizing->app[i]);
    pqb_json_close(&json, ']');
    if (sizing->has_present)
        write_sum(&json, "present", &sizing->present);
    else
        pqb_json_null(&json, "present");
    write_sum(&json, "plan", &sizing->plan);
    pqb_json_open(&json, "budget", '{');
    pqb_json_number(&json, "limit", sizing->limit);
    pqb_json_number(&json, "reserve", sizing->reserve);
    pqb_json_number(&json, "slack", sizing->slack);
    pqb_json_close(&json, '}');
    write_text(&json, "applied", plan->applied);
    write_known(&json, "cores", plan->cores > 0, plan->cores);
    write_known(&json, "core_pool", plan->cores > 0, pqb_sizing_of_cores(plan->cores));
    pqb_json_number(&json, "work_mem", plan->work_mem);
    pqb_json_number(&json, "memory", plan->work_mem * sizing->plan.total);
    write_text(&json, "pooler", pooler_text(sizing));
    pqb_json_close(&json, '}');
    fputc('\n', out);
}
