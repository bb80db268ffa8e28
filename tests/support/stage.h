/* A program that is told on its command line what to do, step by step, says on stdout how each
 * went, and stands still where it is told to: so a test can look at the ledger between two steps.
 * Needs neither libpq nor Criterion. */
#ifndef PQB_TESTS_STAGE_H
#define PQB_TESTS_STAGE_H

struct stage_step {
    const char *name;
    void (*take)(void);
};

/* Takes the steps that `arguments` name, to its end. Each table ends with a step without a name.
 * Returns the program's exit status: 2 after an unknown step. */
int stage_play(const struct stage_step *const *tables, char **arguments);

/* For steps: the next word of the command line; ends the program if there is none. */
const char *stage_argument(void);

/* The words up to the next "." in `words`, closed with NULL; returns how many. */
unsigned stage_arguments(const char **words, unsigned capacity);

/* All words that are left, closed with NULL, and no step is taken any more. */
char **stage_rest(void);

/* A forked child takes those within "{" and "}", its parent skips them. */
void stage_skip_block(void);

/* One line on stdout, at once; line feeds within it become "|". */
void stage_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Says "ready" and waits for a line on stdin, or its end. */
void stage_await(void);

#endif
