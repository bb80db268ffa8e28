/*
 * Life locks: the kernel's record of which claims are somebody's.
 *
 * A claim's life lock is an open-file-description write lock on the claim's byte of a lock file,
 * through a description that exists for this claim alone. It vanishes exactly when the last copy of
 * that descriptor does, just as the connection's socket: on exit, SIGKILL, exec; and a forked
 * child that has a copy keeps it.
 *
 * Locking the byte is the allocation of a claim. Giving it back is F_UNLCK and then close: close
 * alone would leave the byte to a child's copy. Because the host may have closed our number and
 * the kernel may have given it to something else, or even to another claim of ours, a description
 * is tagged by its file offset, and is touched only if file and tag both match.
 */
#ifndef PQB_LEDGER_LIFE_H
#define PQB_LEDGER_LIFE_H

#include "ledger/layout.h"
#include "ledger/status.h"

#define PQB_LIFE_POOL                                                                              \
    4 /* unlocked descriptions kept for the next claim: saves an open and a close */
#define PQB_LIFE_PATH 4096

struct pqb_life_slot {
    _Atomic uint64_t held;  /* generation << 32 | descriptor + 1; low half 0 = none */
    _Atomic uint32_t forks; /* pqb_process_forks() when the description was opened */
};

struct pqb_life_spare {
    int32_t fd1;
    uint32_t group;
    uint32_t forks;
    int64_t tag;
};

/* What one process holds in one ledger. Starts zeroed, then `folder`, `device`, `inode` are set.
 * The pool belongs to the process lock; a slot to the owner of its claim. */
struct pqb_life {
    const char *folder;
    uint64_t device;
    uint64_t inode[PQB_GROUPS];
    struct pqb_life_spare pool[PQB_LIFE_POOL];
    _Atomic uint64_t used[PQB_GROUPS]; /* bit set: that slot has a descriptor */
    struct pqb_life_slot slot[PQB_CLAIMS];
};

/* The group whose description is at hand, or -1. */
int pqb_life_ready_group(const struct pqb_life *life);

/* Takes one of `candidates` in `group`: a claim that is FREE and whose byte nobody holds. Its next
 * generation is the claim's from now on. Under the process lock. PQB_WAITING if there is none. */
enum pqb_status pqb_life_take(struct pqb_life *life, const struct pqb_layout *map, unsigned group,
                              uint64_t candidates, unsigned *index, uint32_t *generation)
    __attribute__((warn_unused_result));

/* Unlocks and closes, or pools (`may_pool`, only under the process lock). Does nothing if the
 * descriptor is no longer the one that was tagged. */
void pqb_life_give(struct pqb_life *life, unsigned index, uint32_t generation, int may_pool);

/* Closes this process's copy and leaves the lock to the other copies. */
void pqb_life_drop(struct pqb_life *life, unsigned index, uint32_t generation);

/* May another process have a copy: was it inherited, or has this process forked since it was taken?
 */
int pqb_life_is_shared(const struct pqb_life *life, unsigned index, uint32_t generation);

/* Opens a fresh description of `group` to ask through. Whoever asks through a description that
 * holds locks is not told of them. */
enum pqb_status pqb_life_probe_open(const struct pqb_life *life, unsigned group, int *fd)
    __attribute__((warn_unused_result));

/* 1 if the claim's byte is locked by somebody, 0 if it certainly is not, -1 if that can't be told.
 */
int pqb_life_probe(int fd, unsigned index);

/* In a forked child: closes the pool, and the copies of claims that are not connected. Only
 * async-signal-safe calls. `map` tells the states; it may be of a ledger that is gone. */
void pqb_life_after_fork(struct pqb_life *life, const struct pqb_layout *map);

/* Closes every descriptor of this process's, leaving locks to other copies. */
void pqb_life_close(struct pqb_life *life);

#endif
