/*
 * Figures of a benchmark: series of samples, and the rows that they end up in. A row is one line of
 * JSON on stdout; tests/bench/report.py makes the tables, knows the bars and judges.
 */
#ifndef PQB_TESTS_MEASURE_H
#define PQB_TESTS_MEASURE_H

/* Samples of one thing; starts zeroed. */
struct series {
    double *at;
    unsigned count, room;
};

void series_add(struct series *series, double sample);
/* The sample that `part` of all are not above: 0.5 is the median. Sorts the series; NaN if empty.
 */
double series_part(struct series *series, double part);
double series_median(struct series *series);
void series_free(struct series *series);

/* What takes turns in a row about limits: see support/gate.h. */
enum measure_kind { MEASURE_PQBUDGET, MEASURE_POSIX, MEASURE_SYSV, MEASURE_KINDS };

/* Begins a row of the table `table`; its name is its own there. */
void measure_row(const char *table, const char *name, ...) __attribute__((format(printf, 2, 3)));
/* Its cells, each in a column of its own. A series must have samples. */
void measure_spread(const char *column, struct series *series, const char *unit); /* quartiles */
void measure_delay(const char *column, struct series *series, const char *unit);  /* p50, p99 */
void measure_value(const char *column, double value, const char *unit);
void measure_text(const char *column, const char *text);
/* The row is complete, and printed. */
void measure_end(void);

/* Ends the program: this can't be measured here. */
void measure_fail(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* 1 if the quick run was asked for: QUICK=1. */
int measure_is_quick(void);

#endif
