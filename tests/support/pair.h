/*
 * The same work twice: by a program without the preload, and by one with it. The figures are taken
 * in turns and compared within the round, so that what else the machine does falls on both.
 */
#ifndef PQB_TESTS_PAIR_H
#define PQB_TESTS_PAIR_H

#include "support/measure.h"

#include <stdio.h>
#include <sys/types.h>

/* Index of everything that is measured twice. */
enum { PAIR_DIRECT, PAIR_PRELOADED, PAIR_BOTH };

/* The figures of one row: those of each way, and of each round the two compared. Starts zeroed. */
struct pair {
    struct series series[PAIR_BOTH], compared;
};

void pair_free(struct pair *pair);

/* Prints the row `name` of the table "programs". */
void pair_show(struct pair *pair, const char *name, const char *unit);
/* The same, where pqbudget − direct was compared instead of pqbudget ÷ direct. */
void pair_show_more(struct pair *pair, const char *name, const char *unit);

/* Both ways' environments: ours and, for the preloaded one, a ledger of its own, with PGPORT as the
 * side door's port if it is set. Before the first program is started. */
void pair_prepare(void);
const char *pair_ledger(void); /* its path or name */

/* Starts a program. Those of *in and *out that are wanted lead to its stdin and from its stdout. */
pid_t pair_start(char *const *command, unsigned way, int *in, int *out);

/* A program that lasts: for each number it reads it works that often, and answers with figures. */
struct pair_worker {
    pid_t pid;
    FILE *orders, *figures;
};

void pair_worker_start(struct pair_worker *worker, char *const *command, unsigned way);
void pair_worker_order(struct pair_worker *worker, unsigned times);
void pair_worker_hear(struct pair_worker *worker, double *figure, unsigned figures);
void pair_worker_ask(struct pair_worker *worker, unsigned times, double *figure, unsigned figures);
void pair_worker_end(struct pair_worker *worker);

#endif
