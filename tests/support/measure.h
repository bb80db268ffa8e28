/* Figures of a benchmark: a series of samples, and the rows of the table they end up in. */
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

enum measure_kind { MEASURE_PQBUDGET, MEASURE_POSIX, MEASURE_SYSV, MEASURE_KINDS };

/* A row of the table. A cell left empty is shown as a dash. */
struct measure_row {
    char what[160];
    char cell[MEASURE_KINDS][96];
    char ratio[96]; /* pqbudget's figure ÷ the others' */
    char bar[64];
    int has_bar, is_met;
};

void measure_print(const struct measure_row *row);

/* A row of the other table: the same work without the preload and with it. */
struct measure_pair {
    char what[160];
    char direct[96], preloaded[96];
    char compared[96]; /* ÷, or − where that says more */
    char bar[64];
    int has_bar, is_met;
};

void measure_print_pair(const struct measure_pair *pair);

/* "4.1 (3.9–4.6)": the median and its quartiles. */
void measure_spread(char cell[96], struct series *series, const char *unit);

/* pqbudget's median ÷ each of the others', as far as they have one. */
void measure_ratio(char ratio[96], struct series series[MEASURE_KINDS]);

/* Ends the program: this can't be measured here. */
void measure_fail(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* 1 if the quick run was asked for: QUICK=1. */
int measure_is_quick(void);

#endif
