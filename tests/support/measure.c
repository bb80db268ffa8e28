#include "support/measure.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void series_add(struct series *series, double sample)
{
    if (series->count == series->room) {
        series->room = series->room ? 2 * series->room : 64;
        series->at = realloc(series->at, series->room * sizeof *series->at);
        if (!series->at)
            measure_fail("no memory");
    }
    series->at[series->count++] = sample;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

double series_part(struct series *series, double part)
{
    if (!series->count)
        return NAN;
    qsort(series->at, series->count, sizeof *series->at, compare);
    unsigned rank = (unsigned)ceil(part * series->count);
    return series->at[rank ? rank - 1 : 0];
}

double series_median(struct series *series)
{
    return series_part(series, 0.5);
}

void series_free(struct series *series)
{
    free(series->at);
    *series = (struct series){0};
}

/* The line that the row becomes, and how long it is so far. */
static char row[4096];
static size_t used;

static void add(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void add(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(row + used, sizeof row - used, format, arguments);
    va_end(arguments);
    if (length < 0 || used + (size_t)length >= sizeof row)
        measure_fail("a row too long: %s", row);
    used += (size_t)length;
}

/* Our own words: what JSON would want escaped is not in them, but for quotes. */
static void add_text(const char *name, const char *text)
{
    add("\"%s\": \"", name);
    for (; *text; text++)
        add("%s%c", strchr("\"\\", *text) ? "\\" : "", *text);
    add("\"");
}

static void add_cell(const char *column, const char *unit)
{
    add("%s{", row[used - 1] == '[' ? "" : ", ");
    add_text("column", column);
    if (unit) {
        add(", ");
        add_text("unit", unit);
    }
}

static void add_figure(const char *name, double figure)
{
    if (!isfinite(figure))
        measure_fail("no figure: %s", row);
    add(", \"%s\": %.6g", name, figure);
}

void measure_row(const char *table, const char *name, ...)
{
    va_list arguments;
    char text[256];
    va_start(arguments, name);
    vsnprintf(text, sizeof text, name, arguments);
    va_end(arguments);
    used = 0;
    add("{");
    add_text("table", table);
    add(", ");
    add_text("name", text);
    add(", \"cells\": [");
}

void measure_spread(const char *column, struct series *series, const char *unit)
{
    add_cell(column, unit);
    add_figure("median", series_median(series));
    add_figure("low", series_part(series, 0.25));
    add_figure("high", series_part(series, 0.75));
    add("}");
}

void measure_delay(const char *column, struct series *series, const char *unit)
{
    add_cell(column, unit);
    add_figure("p50", series_median(series));
    add_figure("p99", series_part(series, 0.99));
    add("}");
}

void measure_value(const char *column, double value, const char *unit)
{
    add_cell(column, unit);
    add_figure("value", value);
    add("}");
}

void measure_text(const char *column, const char *text)
{
    add_cell(column, NULL);
    add(", ");
    add_text("text", text);
    add("}");
}

void measure_end(void)
{
    add("]}");
    puts(row);
    fflush(stdout);
}

void measure_fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("bench: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

int measure_is_quick(void)
{
    const char *quick = getenv("QUICK");
    return quick && *quick && strcmp(quick, "0");
}
