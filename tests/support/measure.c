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

static const char *text_or_dash(const char *text)
{
    return *text ? text : "–";
}

static const char *verdict(int has_bar, int is_met)
{
    return !has_bar ? "–" : is_met ? "met" : "**missed**";
}

void measure_print(const struct measure_row *row)
{
    printf("| %s |", row->what);
    for (unsigned kind = 0; kind < MEASURE_KINDS; kind++)
        printf(" %s |", text_or_dash(row->cell[kind]));
    printf(" %s | %s | %s |\n", text_or_dash(row->ratio), text_or_dash(row->bar),
           verdict(row->has_bar, row->is_met));
    fflush(stdout);
}

void measure_print_pair(const struct measure_pair *pair)
{
    printf("| %s | %s | %s | %s | %s | %s |\n", pair->what, text_or_dash(pair->direct),
           text_or_dash(pair->preloaded), text_or_dash(pair->compared), text_or_dash(pair->bar),
           verdict(pair->has_bar, pair->is_met));
    fflush(stdout);
}

/* Three digits that mean something. */
static const char *number(char text[24], double value)
{
    double size = fabs(value);
    snprintf(text, 24, "%.*f", size < 1 ? 3 : size < 10 ? 2 : size < 100 ? 1 : 0, value);
    return text;
}

void measure_spread(char cell[96], struct series *series, const char *unit)
{
    char middle[24], low[24], high[24];
    snprintf(cell, 96, "%s%s (%s–%s)", number(middle, series_median(series)), unit,
             number(low, series_part(series, 0.25)), number(high, series_part(series, 0.75)));
}

void measure_ratio(char ratio[96], struct series series[MEASURE_KINDS])
{
    size_t used = 0;
    ratio[0] = 0;
    for (unsigned kind = 1; kind < MEASURE_KINDS; kind++) {
        char text[24] = "–";
        if (series[kind].count)
            number(text, series_median(&series[0]) / series_median(&series[kind]));
        used += (size_t)snprintf(ratio + used, 96 - used, kind > 1 ? ", %s" : "%s", text);
    }
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
