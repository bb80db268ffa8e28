/* Programs under the preload: each is told its steps, and what it says is kept. */
#ifndef PQB_DEATHS_PEOPLE_H
#define PQB_DEATHS_PEOPLE_H

#include <sys/types.h>

struct person {
    pid_t pid;
    int to;   /* its stdin */
    int said; /* a file: its stdout and stderr */
};

/* What is said of it, and how it is to be. */
struct casting {
    const char *app;   /* its label, and so the name of its connections */
    const char *steps; /* the helper program, and its words; "host=unix" stands for the socket */
    const char *wait;  /* PQBUDGET_WAIT; NULL = as the server's row says */
    int is_traced;     /* it asks for that, stops before it becomes the program, and is a group */
};

/* Ends the program if that fails. */
void person_start(struct person *person, const struct casting *casting);

/* All it has said so far. Valid until the next call. */
const char *person_words(const struct person *person);

/* Lets it go on that has said "ready". */
void person_go_on(const struct person *person);

/* Ends its stdin, and with that every pause of it. */
void person_let_go(struct person *person);

/* Puts away what is left of one that is not there any more. */
void person_close(struct person *person);

#endif
