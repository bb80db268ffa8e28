/* The few things the ledger asks of the kernel that libc has no plain call for. */
#ifndef PQB_LEDGER_OS_H
#define PQB_LEDGER_OS_H

#include <stdatomic.h>
#include <stdint.h>
#include <sys/types.h>

#define PQB_MS 1000000ull
#define PQB_SECOND 1000000000ull
#define PQB_FOREVER UINT64_MAX /* as a deadline */

uint64_t pqb_now(void);      /* CLOCK_MONOTONIC in ns */
uint64_t pqb_now_real(void); /* CLOCK_REALTIME in ns */

/* Sleeps while *word is `seen`, at most until `deadline` (of pqb_now). Spurious returns are normal.
 * `shared` says whether other processes map the word. Not a cancellation point. */
void pqb_futex_wait(_Atomic uint32_t *word, uint32_t seen, uint64_t deadline, int shared);
void pqb_futex_wake(_Atomic uint32_t *word, int count, int shared);

/* close(2) without passing through anybody's hook of it. Keeps errno. */
void pqb_close(int fd);

/* Moves a descriptor out of the range where programs expect theirs, close-on-exec, and returns the
 * new number; the old one if that can't be done. */
int pqb_park(int fd);

/* 64 random bits, never 0. Never blocks: early in the boot it makes do with less. */
uint64_t pqb_random(void);

/* Inode of this process's pid or network namespace, 0 if /proc won't say. */
uint32_t pqb_pid_namespace(void);
uint64_t pqb_net_namespace(void);

#endif
