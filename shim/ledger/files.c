#include "ledger/files.h"

#include "ledger/os.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define STRAY_SECONDS 10 /* what a dead creator left is swept away when it is that old */

const char *pqb_files_shown(const char *path)
{
    size_t length = strlen(path);
    return length > 100 ? path + length - 100 : path;
}

uint64_t pqb_files_checksum(const struct pqb_identity *identity)
{
    /* FNV-1a, 64 bit. */
    uint64_t hash = 0xcbf29ce484222325ull;
    const unsigned char *bytes = (const unsigned char *)identity;
    for (size_t i = 0; i < offsetof(struct pqb_identity, checksum); i++)
        hash = (hash ^ bytes[i]) * 0x100000001b3ull;
    return hash;
}

void pqb_files_folder(const char *path, uint64_t id, char folder[PQB_LIFE_PATH])
{
    snprintf(folder, PQB_LIFE_PATH, "%s~%016llx", path, (unsigned long long)id);
}

/* The folder that `path` is in; returns the rest of `path`. */
static const char *parent_of(const char *path, char parent[PQB_LIFE_PATH])
{
    snprintf(parent, PQB_LIFE_PATH, "%s", path);
    char *slash = strrchr(parent, '/');
    const char *base = path + (slash - parent) + 1;
    slash[slash == parent] = 0;
    return base;
}

/* The folder itself: where a group shares a place, a member can put a link or another folder there
 * under its name, between any two calls that go by the name. -1 with errno. */
static int folder_open(const char *folder)
{
    return open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* ---- removing ---- */

void pqb_files_remove(const char *folder)
{
    char name[8];
    int fd = folder_open(folder);
    for (unsigned group = 0; fd >= 0 && group < PQB_GROUPS; group++) {
        snprintf(name, sizeof name, "%03u", group);
        unlinkat(fd, name, 0);
    }
    if (fd >= 0) {
        unlinkat(fd, "guard", 0);
        unlinkat(fd, "ledger", 0);
        pqb_close(fd);
    }
    rmdir(folder);
}

/* True for "<base>~<16 hex digits>". */
static int is_folder_of(const char *entry, const char *base, uint64_t *id)
{
    size_t length = strlen(base);
    if (strncmp(entry, base, length) || entry[length] != '~' ||
        strspn(entry + length + 1, "0123456789abcdef") != 16 || entry[length + 17])
        return 0;
    *id = strtoull(entry + length + 1, NULL, 16);
    return 1;
}

/* Removes folders of lock files that no ledger at `path` refers to: a creator died, or somebody
 * removed the ledger by hand. */
static void sweep(const char *path, uint64_t keep, time_t older_than)
{
    char parent[PQB_LIFE_PATH];
    const char *base = parent_of(path, parent);
    DIR *directory = opendir(parent);
    if (!directory)
        return;
    for (struct dirent *entry; (entry = readdir(directory));) {
        uint64_t id;
        struct stat status;
        char folder[PQB_LIFE_PATH];
        if (!is_folder_of(entry->d_name, base, &id) || id == keep)
            continue;
        pqb_files_folder(path, id, folder);
        if (!lstat(folder, &status) && S_ISDIR(status.st_mode) && status.st_uid == geteuid() &&
            status.st_ctime <= older_than)
            pqb_files_remove(folder);
    }
    closedir(directory);
}

/* ---- making ---- */

/* Who may use a ledger. */
struct access {
    mode_t mode;
    gid_t group; /* (gid_t)-1 = the maker's */
};

/* A folder that its group may write to is a place that a group shares: so is a ledger there. */
static struct access access_of_place(const char *path)
{
    struct stat status;
    char parent[PQB_LIFE_PATH];
    parent_of(path, parent);
    if (!stat(parent, &status) && (status.st_mode & S_IWGRP) && !(status.st_mode & S_IWOTH))
        return (struct access){0660, status.st_gid};
    return (struct access){0600, (gid_t)-1};
}

int pqb_files_are_shared(const char *path, gid_t group)
{
    struct access access = access_of_place(path);
    return access.mode == 0660 && access.group == group;
}

/* Creates a file of the mode, whatever the umask, and tells its inode. -1 with errno. */
static int make_file(int folder, const char *name, struct access access, uint64_t *inode,
                     uint64_t *device)
{
    struct stat status;
    int fd = openat(folder, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, access.mode);
    if (fd < 0)
        return -1;
    if (fchown(fd, (uid_t)-1, access.group) || fchmod(fd, access.mode) || fstat(fd, &status)) {
        pqb_close(fd);
        return -1;
    }
    *inode = status.st_ino;
    *device = status.st_dev;
    return fd;
}

/* Fills `folder` with lock files and a complete ledger. -1 with errno. */
static int make_contents(int folder, struct access access, uint64_t id)
{
    struct pqb_identity identity = {
        .magic = PQB_MAGIC,
        .version = PQB_LAYOUT_VERSION,
        .word_bits = sizeof(void *) * CHAR_BIT,
        .size = PQB_LEDGER_BYTES,
        .id = id,
    };
    char name[8];
    int fd = make_file(folder, "guard", access, &identity.guard_inode, &identity.locks_device);
    if (fd < 0)
        return -1;
    pqb_close(fd);
    for (unsigned group = 0; group < PQB_GROUPS; group++) {
        snprintf(name, sizeof name, "%03u", group);
        fd = make_file(folder, name, access, &identity.group_inode[group], &identity.locks_device);
        if (fd < 0)
            return -1;
        pqb_close(fd);
    }
    identity.checksum = pqb_files_checksum(&identity);

    uint64_t inode, device;
    fd = make_file(folder, "ledger", access, &inode, &device);
    if (fd < 0)
        return -1;
    /* Space for every byte now: a sparse file on a full tmpfs is SIGBUS in somebody's process. */
    int code = posix_fallocate(fd, 0, (off_t)PQB_LEDGER_BYTES);
    /* Dirty: the first visitor builds every list from the claims, of which there are none. */
    uint32_t dirty = 1;
    uint64_t now = pqb_now_real();
    if (!code &&
        (pwrite(fd, &identity, sizeof identity, 0) != (ssize_t)sizeof identity ||
         pwrite(fd, &dirty, sizeof dirty, offsetof(struct pqb_header, dirty)) != sizeof dirty ||
         pwrite(fd, &now, sizeof now, offsetof(struct pqb_header, created_at_ns)) != sizeof now))
        code = errno ? errno : EIO;
    pqb_close(fd);
    errno = code;
    return code ? -1 : 0;
}

/* Puts the ledger into its place unless there is one; by link and unlink where the file system
 * can't. -1 with errno. */
static int publish(int folder, const char *path)
{
    static const char name[] = "ledger";
    if (!syscall(SYS_renameat2, folder, name, AT_FDCWD, path, 1 /* RENAME_NOREPLACE */))
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return -1;
    if (linkat(folder, name, AT_FDCWD, path, 0))
        return -1;
    return unlinkat(folder, name, 0);
}

/* Makes all of it in the empty folder that bears this name now, if it is ours. -1 with errno. */
static int make_in(const char *name, struct access access, uint64_t id, const char *path)
{
    struct stat status;
    int folder = folder_open(name);
    if (folder < 0)
        return -1;
    errno = EACCES;
    int failed = fstat(folder, &status) || status.st_uid != geteuid() ||
                 fchown(folder, (uid_t)-1, access.group) ||
                 fchmod(folder, access.mode | ((access.mode & 0440) >> 2)) ||
                 make_contents(folder, access, id) || publish(folder, path);
    int code = errno;
    pqb_close(folder);
    errno = code;
    return failed ? -1 : 0;
}

enum pqb_status pqb_files_make(const char *path, struct pqb_error *error)
{
    char folder[PQB_LIFE_PATH];
    struct access access = access_of_place(path);
    uint64_t id = pqb_random();
    pqb_files_folder(path, id, folder);
    int failed = mkdir(folder, 0700);
    int code = errno;
    if (!failed) {
        failed = make_in(folder, access, id, path);
        code = errno;
        if (failed)
            pqb_files_remove(folder);
    }
    if (failed && code != EEXIST) {
        enum pqb_status status = pqb_status_from_errno(code);
        if (status == PQB_NO_SPACE)
            return pqb_fail(error, status,
                            "no space for the ledger %s (%zu KiB): free some, or set "
                            "PQBUDGET_LEDGER to a path elsewhere",
                            pqb_files_shown(path), PQB_LEDGER_BYTES / 1024);
        return pqb_fail(error, status == PQB_ABSENT ? PQB_SYSTEM : status,
                        "cannot make the ledger %s: %s", pqb_files_shown(path), strerror(code));
    }
    if (!failed)
        sweep(path, id, time(NULL) - STRAY_SECONDS);
    return PQB_OK;
}
