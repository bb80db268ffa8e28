/* The files of a ledger: making them so that it appears at once and complete, and removing them.
 *
 *   /dev/shm/pqbudget.<euid>.<name>        the ledger
 *   /dev/shm/pqbudget.<euid>.<name>~<id>/  its lock files: guard, 000 … 156
 *
 * The folder is named in the ledger by its random id, each lock file by its inode, so that a ledger
 * is never combined with another's locks.
 */
#ifndef PQB_LEDGER_FILES_H
#define PQB_LEDGER_FILES_H

#include "ledger/life.h"

#include <sys/types.h>

/* Makes the ledger at `path`, or leaves the one that somebody else made meanwhile. In a folder that
 * a group may write to, and nobody else, it is the group's; anywhere else its maker's. */
enum pqb_status pqb_files_make(const char *path, struct pqb_error *error)
    __attribute__((warn_unused_result));

/* True if a ledger at `path` may belong to another user of this group. */
int pqb_files_are_shared(const char *path, gid_t group);

/* The folder of the lock files. */
void pqb_files_folder(const char *path, uint64_t id, char folder[PQB_LIFE_PATH]);
void pqb_files_remove(const char *folder);

uint64_t pqb_files_checksum(const struct pqb_identity *identity);

/* Of a long path its end, so that a message has room for what is wrong. */
const char *pqb_files_shown(const char *path);

#endif
