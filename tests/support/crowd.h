/*
 * A crowd: processes that come and go, and are stopped and killed at random by their master, who
 * started them. What they share lies in a file in a folder of its own, and beside it whatever the
 * program adds: its board. Nobody outlives the master, however he ends.
 */
#ifndef PQB_TESTS_CROWD_H
#define PQB_TESTS_CROWD_H

#include "ledger/wait.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define CROWD_MOST 1024
#define CROWD_FINDINGS 8

struct person {
    _Atomic int32_t pid; /* 0 = nobody; emptied by the master when it has reaped him */
    _Atomic uint32_t generation;
    _Atomic uint64_t doomed_at;  /* set before he is killed, or lets go */
    _Atomic uint64_t stopped_at; /* 0 = runs */
    _Atomic uint64_t continued_at;
};

struct crowd {
    _Atomic uint32_t ending; /* everybody is to go */
    char folder[64];
    char ledger[64];
    char program[256]; /* what the people run, if not the master's own */
    struct person person[CROWD_MOST];
    _Atomic uint32_t findings;
    char finding[CROWD_FINDINGS][400];
};

extern struct crowd *crowd;

/* By the master: makes the folder. Returns the board, zeroed; ends the program if that fails. */
void *crowd_make(const char *name, size_t board_size);
/* By a process that was exec'd: the board of the crowd in that folder. */
void *crowd_join(const char *folder, size_t board_size);
/* By the master: from now on, should it be killed, the others and the ledger go as well. It adopts
 * orphans. SIGTERM, SIGINT and SIGHUP end it. */
void crowd_guard(struct pqb_ledger *ledger);
/* By a child of the master's that does not exec: closes what only the master may have. */
void crowd_leave_master(void);
/* By the master, at the end: removes the folder. */
void crowd_close(void);

/* ---- by each of the people ---- */

extern unsigned crowd_slot; /* who I am */
extern uint32_t crowd_generation;

/* Becomes one of them; ends the process when the crowd is ending. */
void crowd_enter(void);
/* After an exec: is the one that it was before. */
void crowd_remain(unsigned slot, uint32_t generation);
void crowd_leave(void) __attribute__((noreturn));

/* ---- by the master ---- */

unsigned crowd_alive(void); /* those who are not doomed */
struct person *crowd_person(int32_t pid);
struct person *crowd_anybody(void); /* alive; NULL if there is none */
void crowd_stop(struct person *person);
void crowd_continue(struct person *person);
void crowd_kill(struct person *person);
unsigned crowd_kill_all(void);
/* Reaps who has ended; returns how many of them were killed by SIGKILL. Another signal is a
 * finding. */
unsigned crowd_reap(void);
/* Catches somebody inside the guard: stopped there, he can be killed there. */
struct person *crowd_inside(const struct pqb_region *region);
/* Stops or kills somebody, now and then one who is inside the guard. */
void crowd_strike(const struct pqb_region *region);
/* Lets the stopped go on: some soon, some when their grants were taken back. */
void crowd_release(const struct pqb_region *region);
/* Is he who is inside the guard stopped, or dead? */
int crowd_guard_sleeps(const struct pqb_region *region);
/* Has he been running all that time? */
int crowd_has_run_since(int32_t pid, uint64_t since);

/* ---- findings, by anybody ---- */

void find(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Prints the verdict on each kind of finding, which is told by its first word, and the findings
 * themselves. The last kind has no word: whatever is left. Returns the exit status. */
struct crowd_kind {
    const char *name, *word;
};
int crowd_verdict(const struct crowd_kind *kind);

#endif
