#include "ledger/region.h"

#include "ledger/files.h"
#include "ledger/os.h"
#include "ledger/process.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SHM_FOLDER "/dev/shm"
#define NAME_BYTES 64
#define OPEN_TRIES 20

static struct pqb_region *_Atomic regions;

enum pqb_status pqb_region_path(const char *name, char path[PQB_REGION_PATH],
                                struct pqb_error *error)
{
    if (!name || !*name)
        name = "default";
    size_t length = strlen(name);
    if (*name == '/') {
        if (length >= PQB_REGION_PATH)
            return pqb_fail(error, PQB_INVALID, "the ledger's path is too long (%zu bytes)",
                            length);
        memcpy(path, name, length + 1);
        return PQB_OK;
    }
    for (size_t i = 0; i < length; i++)
        if (!isalnum((unsigned char)name[i]) && !strchr("._-", name[i]))
            length = 0;
    /* Nor a file that hides, or an option whose own value was forgotten. */
    if (!length || length > NAME_BYTES || *name == '.' || *name == '-')
        return pqb_fail(error, PQB_INVALID,
                        "\"%.70s\" is no name for a ledger: use up to %d letters, digits, \".\", "
                        "\"_\", \"-\", or an absolute path",
                        name, NAME_BYTES);
    snprintf(path, PQB_REGION_PATH, SHM_FOLDER "/pqbudget.%u.%s", (unsigned)geteuid(), name);
    return PQB_OK;
}

enum pqb_status pqb_region_remove(const char *path, const struct pqb_region *region,
                                  struct pqb_error *error)
{
    if (unlink(path)) {
        enum pqb_status status = pqb_status_from_errno(errno);
        return pqb_fail(error, status, "cannot remove %s: %s", pqb_files_shown(path),
                        strerror(errno));
    }
    if (region)
        pqb_files_remove(region->life.folder);
    return PQB_OK;
}

static int in_group(gid_t group)
{
    if (group == getegid())
        return 1;
    gid_t groups[256];
    int count = getgroups(256, groups);
    for (int i = 0; i < count; i++)
        if (groups[i] == group)
            return 1;
    return 0;
}

/* Whose file is it, and may it be trusted with this process? */
static enum pqb_status check_file(const char *path, const struct stat *status,
                                  struct pqb_error *error)
{
    if (!S_ISREG(status->st_mode))
        return pqb_fail(error, PQB_FOREIGN,
                        "%s is not a regular file; remove it, or use another --ledger",
                        pqb_files_shown(path));
    int is_shared = pqb_files_are_shared(path, status->st_gid);
    if (status->st_uid != geteuid() && !(is_shared && in_group(status->st_gid)))
        return pqb_fail(error, PQB_FOREIGN,
                        "%s belongs to user %u, not to you; use another --ledger",
                        pqb_files_shown(path), (unsigned)status->st_uid);
    if (status->st_mode & (is_shared ? 07 : 077))
        return pqb_fail(error, PQB_FOREIGN, "%s is open to others (mode %03o); chmod %s it",
                        pqb_files_shown(path), (unsigned)status->st_mode & 0777,
                        is_shared ? "o=" : "600");
    if (status->st_nlink != 1)
        return pqb_fail(error, PQB_FOREIGN, "%s has %lu names instead of one; remove it",
                        pqb_files_shown(path), (unsigned long)status->st_nlink);
    return PQB_OK;
}

static enum pqb_status check_identity(const char *path, const struct stat *status, ssize_t got,
                                      const struct pqb_identity *identity, struct pqb_error *error)
{
    static const char remedy[] = "remove it with \"pqbudget reset --force\"";
    if (got < (ssize_t)offsetof(struct pqb_identity, size) || identity->magic != PQB_MAGIC)
        return pqb_fail(error, PQB_DAMAGED, "%s is not a ledger; %s", pqb_files_shown(path),
                        remedy);
    if (identity->word_bits != sizeof(void *) * CHAR_BIT)
        return pqb_fail(error, PQB_WORDSIZE,
                        "%s was made by a %u-bit process, this one has %u; use another --ledger",
                        pqb_files_shown(path), identity->word_bits,
                        (unsigned)sizeof(void *) * CHAR_BIT);
    if (identity->version != PQB_LAYOUT_VERSION)
        return pqb_fail(error, PQB_VERSION,
                        "%s has layout version %u, this pqbudget needs %u; end its users, then %s",
                        pqb_files_shown(path), identity->version, PQB_LAYOUT_VERSION, remedy);
    if (got != (ssize_t)sizeof *identity || (uint64_t)status->st_size != PQB_LEDGER_BYTES)
        return pqb_fail(error, PQB_DAMAGED, "%s is truncated (%lld bytes of %zu); %s",
                        pqb_files_shown(path), (long long)status->st_size, PQB_LEDGER_BYTES,
                        remedy);
    if (identity->size != PQB_LEDGER_BYTES || identity->checksum != pqb_files_checksum(identity))
        return pqb_fail(error, PQB_DAMAGED, "%s is damaged (checksum); %s", pqb_files_shown(path),
                        remedy);
    return PQB_OK;
}

/* The lock files must be those the ledger was made with. */
static enum pqb_status check_locks(const char *path, const char *folder,
                                   const struct pqb_identity *identity, struct pqb_error *error)
{
    char guard[PQB_LIFE_PATH + 8];
    struct stat status;
    snprintf(guard, sizeof guard, "%s/guard", folder);
    if (!lstat(guard, &status) && status.st_ino == identity->guard_inode &&
        status.st_dev == identity->locks_device)
        return PQB_OK;
    if (errno == EACCES)
        return pqb_fail(error, PQB_NO_ACCESS, "no permission for the lock files %s", folder);
    return pqb_fail(error, PQB_DAMAGED,
                    "the lock files of %s are gone; remove it with \"pqbudget reset --force\"",
                    pqb_files_shown(path));
}

/* The region of this file that the process has already, pinned. Under the process lock. */
static struct pqb_region *find_mapped(const struct stat *status, uint64_t id)
{
    for (struct pqb_region *region = atomic_load(&regions); region;
         region = atomic_load(&region->next))
        if (region->inode == status->st_ino && region->device == status->st_dev &&
            region->id == id) {
            pqb_region_pin(region);
            return region;
        }
    return NULL;
}

/* Runs in a forked child. */
static void child_forgets(void)
{
    for (struct pqb_region *region = atomic_load(&regions); region;
         region = atomic_load(&region->next))
        if (!pqb_region_check(region))
            pqb_life_after_fork(&region->life, region->map);
}

static enum pqb_status map_file(int fd, const char *path, const struct stat *status,
                                const struct pqb_identity *identity, struct pqb_region **out,
                                struct pqb_error *error)
{
    struct pqb_region *region =
        mmap(NULL, sizeof *region, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    void *map = mmap(NULL, PQB_LEDGER_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (region == MAP_FAILED || map == MAP_FAILED) {
        enum pqb_status failure = pqb_fail(error, pqb_status_from_errno(errno), "cannot map %s: %s",
                                           pqb_files_shown(path), strerror(errno));
        if (region != MAP_FAILED)
            munmap(region, sizeof *region);
        if (map != MAP_FAILED)
            munmap(map, PQB_LEDGER_BYTES);
        return failure;
    }
    region->map = map;
    region->inode = status->st_ino;
    region->device = status->st_dev;
    region->id = identity->id;
    region->guard_inode = identity->guard_inode;
    size_t length = (size_t)snprintf(region->texts, PQB_REGION_PATH, "%s", path);
    region->path = region->texts;
    region->life.folder = region->texts + length + 1;
    pqb_files_folder(path, identity->id, region->texts + length + 1);
    region->life.device = identity->locks_device;
    memcpy(region->life.inode, identity->group_inode, sizeof region->life.inode);
    atomic_store(&region->pins, 1);
    atomic_store(&region->next, atomic_load(&regions));
    atomic_store(&regions, region);
    pqb_process_on_fork(child_forgets);
    *out = region;
    return PQB_OK;
}

static int is_at(const char *path, const struct stat *file)
{
    struct stat status;
    return !stat(path, &status) && status.st_ino == file->st_ino && status.st_dev == file->st_dev;
}

static enum pqb_status open_existing(const char *path, struct pqb_region **region,
                                     struct pqb_error *error)
{
    struct stat status;
    struct pqb_identity identity = {0};
    char folder[PQB_LIFE_PATH];
    /* O_NONBLOCK: a FIFO in its place must not hang us. */
    int fd = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        enum pqb_status failure = pqb_status_from_errno(errno);
        if (failure == PQB_FOREIGN)
            return pqb_fail(error, failure,
                            "%s is a symbolic link; remove it, or use another --ledger",
                            pqb_files_shown(path));
        if (failure == PQB_ABSENT)
            return pqb_fail(error, failure, "there is no ledger %s yet", pqb_files_shown(path));
        if (errno == EISDIR || errno == ENXIO)
            return pqb_fail(error, PQB_FOREIGN,
                            "%s is not a regular file; remove it, or use another --ledger",
                            pqb_files_shown(path));
        return pqb_fail(error, failure, "cannot open %s: %s", pqb_files_shown(path),
                        strerror(errno));
    }
    enum pqb_status result = PQB_SYSTEM;
    struct pqb_process_hold hold;
    if (fstat(fd, &status)) {
        pqb_fail(error, result, "cannot stat %s: %s", pqb_files_shown(path), strerror(errno));
        goto out;
    }
    if ((result = check_file(path, &status, error)))
        goto out;
    ssize_t got = pread(fd, &identity, sizeof identity, 0);
    if ((result = check_identity(path, &status, got, &identity, error)))
        goto out;
    pqb_files_folder(path, identity.id, folder);
    if ((result = check_locks(path, folder, &identity, error)))
        goto out;
    if ((result = pqb_process_lock(&hold, pqb_now() + PQB_SECOND))) {
        pqb_fail(error, result, "cannot open %s: busy", pqb_files_shown(path));
        goto out;
    }
    *region = find_mapped(&status, identity.id);
    if (!*region)
        result = map_file(fd, path, &status, &identity, region, error);
    pqb_process_unlock(&hold);
    if (!result && atomic_load(&(*region)->map->header.retired)) {
        pqb_region_unpin(*region);
        result = pqb_fail(error, PQB_DAMAGED,
                          "%s has been given up; remove it with \"pqbudget reset --force\"", path);
    }
out:
    /* Somebody removed it while we looked: what was found wrong is of no interest. */
    if (result && !is_at(path, &status))
        result = pqb_fail(error, PQB_ABSENT, "there is no ledger %s yet", pqb_files_shown(path));
    pqb_close(fd);
    return result;
}

/* A ledger is removed before it is retired: one that is retired and still there is damaged. */
static enum pqb_status check_retired(const char *path, struct pqb_region *region,
                                     struct pqb_error *error)
{
    struct stat status;
    if (!atomic_load(&region->map->header.retired))
        return PQB_OK;
    int is_there =
        !stat(path, &status) && status.st_ino == region->inode && status.st_dev == region->device;
    pqb_region_unpin(region);
    if (!is_there)
        return pqb_fail(error, PQB_ABSENT, "there is no ledger %s yet", pqb_files_shown(path));
    return pqb_fail(error, PQB_DAMAGED,
                    "%s was given up and is still there; remove it with \"pqbudget reset --force\"",
                    pqb_files_shown(path));
}

enum pqb_status pqb_region_open(const char *path, int create, struct pqb_region **region,
                                struct pqb_error *error)
{
    int saved = errno;
    enum pqb_status result = open_existing(path, region, error);
    if (!result)
        result = check_retired(path, *region, error);
    /* Again and again: the ledger may be reset between our making it and our opening it. */
    for (int tries = 0; result == PQB_ABSENT && create && tries < OPEN_TRIES; tries++) {
        result = pqb_files_make(path, error);
        if (!result)
            result = open_existing(path, region, error);
        if (!result)
            result = check_retired(path, *region, error);
    }
    errno = saved;
    return result;
}

enum pqb_status pqb_region_check(const struct pqb_region *region)
{
    struct stat status;
    int saved = errno;
    int failed = stat(region->path, &status);
    errno = saved;
    if (failed || status.st_ino != region->inode || status.st_dev != region->device)
        return PQB_LOST;
    if ((uint64_t)status.st_size != PQB_LEDGER_BYTES)
        return PQB_DAMAGED;
    return atomic_load(&region->map->header.retired) ? PQB_LOST : PQB_OK;
}

void pqb_region_pin(struct pqb_region *region)
{
    atomic_fetch_add(&region->pins, 1);
}

static void unmap(struct pqb_region *region)
{
    struct stat status;
    int guard = atomic_load(&region->guard_fd1) - 1;
    if (guard >= 0 && !fstat(guard, &status) && status.st_ino == region->guard_inode)
        pqb_close(guard);
    pqb_life_close(&region->life);
    munmap(region->map, PQB_LEDGER_BYTES);
    munmap(region, sizeof *region);
}

void pqb_region_unpin(struct pqb_region *region)
{
    if (atomic_fetch_sub(&region->pins, 1) != 1)
        return;
    struct pqb_process_hold hold;
    if (pqb_process_lock(&hold, pqb_now() + PQB_SECOND))
        return; /* stays mapped: better than pulling it from under somebody */
    struct pqb_region *_Atomic *link = &regions;
    while (atomic_load(link) && atomic_load(link) != region)
        link = &atomic_load(link)->next;
    /* It may have been pinned anew meanwhile, or be gone already. */
    if (atomic_load(link) && !atomic_load(&region->pins)) {
        atomic_store(link, atomic_load(&region->next));
        unmap(region);
    }
    pqb_process_unlock(&hold);
}
