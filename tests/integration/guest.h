/* A program that runs under the preload, with an environment of its own. What it says comes line by
 * line; what it complains of is kept. Killed with the test, should it outlive it. */
#ifndef PQB_INTEGRATION_GUEST_H
#define PQB_INTEGRATION_GUEST_H

#include <stddef.h>
#include <sys/types.h>

struct guest {
    pid_t pid;
    int to, from, complaints; /* complaints: a file that its stderr goes to */
    size_t begin, end;
    char buffer[16384];
};

/* Words, closed with NULL. */
#define WORDS(...) ((const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})

/* Starts a program of the build ("helpers/doors") or of the system (a path with a slash at its
 * front). Its environment: where the server is, LD_PRELOAD, PQBUDGET_LEDGER, and over these what is
 * in `environment`; "NAME" alone takes a variable away. */
struct guest *guest_start(const char *const *environment, const char *program,
                          const char *const *arguments);

/* The most usual one. */
#define guest_doors(environment, ...) guest_start(environment, "helpers/doors", WORDS(__VA_ARGS__))
#define NOTHING WORDS()

/* The next line of its stdout, without its end; "(silence)" if there comes none. Valid until the
 * next call. */
const char *guest_line(struct guest *guest);

/* Lets it go on that has said "ready". */
void guest_go(struct guest *guest);

/* Ends its stdin, waits for its end and returns its exit status, or 1000 + the signal that killed
 * it. */
int guest_end(struct guest *guest);

/* All it has written to stderr. */
const char *guest_complaints(struct guest *guest);

/* Kills and reaps it. */
void guest_kill(struct guest *guest);

/* Kills whoever is left. */
void guest_kill_all(void);

/* What guests get as LD_PRELOAD; `build` NULL is the flavour under test. */
const char *guest_preload(const char *build);

#endif
