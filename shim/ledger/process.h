/*
 * Who this process is to the ledger, and the one lock that serialises its threads.
 *
 * A process is known by a random 64-bit number on a page that the kernel wipes in a forked child,
 * however the child was made (fork, clone, a raw system call): the child is a new process. Its
 * threads' lock is on the same page, so a child never inherits a lock that nobody will release.
 * A vfork child runs in its parent's memory: it is told apart by its pid and turned away.
 */
#ifndef PQB_LEDGER_PROCESS_H
#define PQB_LEDGER_PROCESS_H

#include "ledger/status.h"

#include <signal.h>
#include <stdint.h>

struct pqb_process {
    uint64_t id;     /* never 0 */
    int32_t pid;     /* as this process sees itself */
    uint32_t pid_ns; /* 0 = unknown */
};

/* Fills *self. PQB_BORROWED in a vfork child; PQB_NO_MEMORY if the page can't be had. */
enum pqb_status pqb_process_self(struct pqb_process *self) __attribute__((warn_unused_result));

/* What a thread must restore. */
struct pqb_process_hold {
    sigset_t signals;
    int cancellation;
    int nested;
};

/* Blocks all signals but the synchronous faults, and turns cancellation off, so that nothing else
 * can run on this thread, or make it leave by a longjmp. Nests: only the outermost pair asks the
 * kernel. */
void pqb_process_quiet(struct pqb_process_hold *hold);
void pqb_process_loud(const struct pqb_process_hold *hold);

/* Quiet, and takes the lock of this process's threads. PQB_BUSY when `deadline` passed; a deadline
 * of 0 tries once. Whoever fails leaves a mark. */
enum pqb_status pqb_process_lock(struct pqb_process_hold *hold, uint64_t deadline)
    __attribute__((warn_unused_result));

/* 1 if somebody tried in vain meanwhile: what he came for is left to whoever unlocks (visit.h). */
int pqb_process_unlock(const struct pqb_process_hold *hold);

/* Counts the forks of this process that it knows of. A description that was open at one of
 * them may have a copy in a child, and is never used for a new claim. */
uint32_t pqb_process_forks(void);

/* From now on they are counted, and the lock of this process's threads is held over each. Whoever
 * has a lock that is taken before that one registers his own handlers for forks behind this. */
void pqb_process_watch_forks(void);

/* `child` is called in every child forked through libc, and in one made by a raw clone() when it
 * first comes here, where only async-signal-safe calls are
 * allowed. One function per program: the last one registered. */
void pqb_process_on_fork(void (*child)(void));

#endif
