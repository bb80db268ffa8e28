/*
 * A ledger as this process has it: found, checked, mapped. Everything in a process that opens the
 * same file shares one region: the guard is a lock of the whole process (guard.h).
 */
#ifndef PQB_LEDGER_REGION_H
#define PQB_LEDGER_REGION_H

#include "ledger/layout.h"
#include "ledger/life.h"
#include "ledger/status.h"

#define PQB_REGION_PATH (PQB_LIFE_PATH - 32)

struct pqb_region {
    struct pqb_layout *map;
    uint64_t device, inode, id, guard_inode;
    _Atomic int32_t guard_fd1; /* descriptor + 1; process lock */
    _Atomic uint32_t pins;
    struct pqb_region *_Atomic next; /* of this process's regions */
    const char *path;
    struct pqb_life life;
    /* The path and then the locks' folder: near each other, so that every process has a page less.
     */
    char texts[PQB_REGION_PATH + PQB_LIFE_PATH];
};

/* The path that PQBUDGET_LEDGER's value stands for: an absolute path itself, a name (letters,
 * digits, ".", "_", "-", not first a "."; at most 64) below /dev/shm. NULL or "" is `default`. */
enum pqb_status pqb_region_path(const char *name, char path[PQB_REGION_PATH],
                                struct pqb_error *error) __attribute__((warn_unused_result));

/* Maps the ledger at `path` and pins it. PQB_ABSENT if there is none and `create` is 0. */
enum pqb_status pqb_region_open(const char *path, int create, struct pqb_region **region,
                                struct pqb_error *error) __attribute__((warn_unused_result));

/* Is the mapped file still the one at its path, and whole? PQB_LOST if it was removed, replaced
 * or retired, PQB_DAMAGED if it shrank (touching the map would be SIGBUS then). One stat(2). */
enum pqb_status pqb_region_check(const struct pqb_region *region)
    __attribute__((warn_unused_result));

/* A region stays mapped while it is pinned. */
void pqb_region_pin(struct pqb_region *region);
void pqb_region_unpin(struct pqb_region *region);

/* Removes the file at `path`, whatever it is, and the lock files of `region` if it is given.
 * Processes that map the ledger go on to a new one at their next visit. */
enum pqb_status pqb_region_remove(const char *path, const struct pqb_region *region,
                                  struct pqb_error *error) __attribute__((warn_unused_result));

#endif
