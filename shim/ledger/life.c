#include "ledger/life.h"

#include "ledger/os.h"
#include "ledger/process.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* 43 bits: ext4's largest offset is 2^44, for a ledger that is kept on a disk. */
static int64_t tag_of(unsigned index, uint32_t generation)
{
    return ((int64_t)(generation & 0x1fffffffu) << 14) | (int64_t)index;
}

static int is_ours(const struct pqb_life *life, int fd, unsigned group, int64_t tag)
{
    struct stat status;
    return !fstat(fd, &status) && status.st_ino == life->inode[group] &&
           status.st_dev == life->device && lseek(fd, 0, SEEK_CUR) == tag;
}

static int byte_lock(int fd, int command, short type, unsigned byte)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = (off_t)byte, .l_len = 1};
    return fcntl(fd, command, &lock);
}

static enum pqb_status group_open(const struct pqb_life *life, unsigned group, int *fd)
{
    char path[PQB_LIFE_PATH + 8];
    struct stat status;
    snprintf(path, sizeof path, "%s/%03u", life->folder, group);
    int opened = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (opened < 0)
        return errno == ENOENT ? PQB_DAMAGED : pqb_status_from_errno(errno);
    if (fstat(opened, &status) || status.st_ino != life->inode[group] ||
        status.st_dev != life->device) {
        pqb_close(opened);
        return PQB_DAMAGED;
    }
    *fd = opened;
    return PQB_OK;
}

int pqb_life_ready_group(const struct pqb_life *life)
{
    for (unsigned i = 0; i < PQB_LIFE_POOL; i++)
        if (life->pool[i].fd1)
            return (int)life->pool[i].group;
    return -1;
}

/* A pooled description of `group` that has no copy in a child, or -1. */
static int pool_take(struct pqb_life *life, unsigned group)
{
    for (unsigned i = 0; i < PQB_LIFE_POOL; i++) {
        struct pqb_life_spare *spare = &life->pool[i];
        if (!spare->fd1 || spare->group != group)
            continue;
        int fd = spare->fd1 - 1;
        spare->fd1 = 0;
        if (!is_ours(life, fd, group, spare->tag))
            continue;
        if (spare->forks == pqb_process_forks())
            return fd;
        pqb_close(fd);
    }
    return -1;
}

static int pool_put(struct pqb_life *life, int fd, unsigned group, uint32_t forks, int64_t tag)
{
    if (forks != pqb_process_forks())
        return 0;
    for (unsigned i = 0; i < PQB_LIFE_POOL; i++) {
        if (life->pool[i].fd1)
            continue;
        life->pool[i] = (struct pqb_life_spare){fd + 1, group, forks, tag};
        return 1;
    }
    return 0;
}

/* Puts a description down for a claim. Before it is locked, so that a child forked at any moment
 * from now on finds its copy and closes it. */
static void slot_fill(struct pqb_life *life, unsigned index, uint32_t generation, int fd,
                      uint32_t forks)
{
    struct pqb_life_slot *slot = &life->slot[index];
    lseek(fd, tag_of(index, generation), SEEK_SET);
    atomic_store(&slot->forks, forks);
    atomic_store(&slot->held, (uint64_t)generation << 32 | (uint32_t)(fd + 1));
    atomic_fetch_or(&life->used[index / PQB_GROUP_CLAIMS], 1ull << index % PQB_GROUP_CLAIMS);
}

static int slot_descriptor(uint64_t held)
{
    return (int)(uint32_t)held - 1;
}

/* Empties the slot if it is this claim's still; its descriptor if that is the tagged one, or -1.
 * A late give-back may meet the index's next claim here. */
static int slot_empty(struct pqb_life *life, unsigned index, uint32_t generation)
{
    struct pqb_life_slot *slot = &life->slot[index];
    unsigned group = index / PQB_GROUP_CLAIMS;
    uint64_t bit = 1ull << index % PQB_GROUP_CLAIMS, held = atomic_load(&slot->held);
    int fd = slot_descriptor(held);
    if (held >> 32 != generation || fd < 0 ||
        !atomic_compare_exchange_strong(&slot->held, &held, held >> 32 << 32))
        return -1;
    atomic_fetch_and(&life->used[group], ~bit);
    if ((uint32_t)atomic_load(&slot->held)) /* filled anew meanwhile */
        atomic_fetch_or(&life->used[group], bit);
    return is_ours(life, fd, group, tag_of(index, generation)) ? fd : -1;
}

enum pqb_status pqb_life_take(struct pqb_life *life, const struct pqb_layout *map, unsigned group,
                              uint64_t candidates, unsigned *index, uint32_t *generation)
{
    uint32_t forks = pqb_process_forks();
    int fd = pool_take(life, group);
    if (fd < 0) {
        enum pqb_status status = group_open(life, group, &fd);
        if (status)
            return status;
        fd = pqb_park(fd);
    }
    for (; candidates; candidates &= candidates - 1) {
        unsigned byte = (unsigned)__builtin_ctzll(candidates);
        *index = group * PQB_GROUP_CLAIMS + byte;
        uint64_t old = atomic_load(&life->slot[*index].held);
        if ((uint32_t)old &&
            is_ours(life, slot_descriptor(old), group, tag_of(*index, (uint32_t)(old >> 32))))
            continue; /* freed for us by somebody; our descriptor is still to be given back */
        const struct pqb_claim_row *claim = &map->claim[*index];
        *generation = (uint32_t)(atomic_load(&claim->ctl) >> 32) + 1;
        slot_fill(life, *index, *generation, fd, forks);
        if (!byte_lock(fd, F_OFD_SETLK, F_WRLCK, byte)) {
            uint64_t ctl = atomic_load(&claim->ctl);
            if ((ctl & PQB_CTL_STATE) == PQB_CLAIM_FREE &&
                (uint32_t)(ctl >> 32) + 1 == *generation && forks == pqb_process_forks())
                return PQB_OK;
            byte_lock(fd, F_OFD_SETLK, F_UNLCK, byte);
        }
        slot_empty(life, *index, *generation);
    }
    pqb_close(fd);
    return PQB_WAITING;
}

void pqb_life_give(struct pqb_life *life, unsigned index, uint32_t generation, int may_pool)
{
    unsigned group = index / PQB_GROUP_CLAIMS;
    uint32_t forks = atomic_load(&life->slot[index].forks);
    int saved = errno;
    int fd = slot_empty(life, index, generation);
    if (fd >= 0) {
        byte_lock(fd, F_OFD_SETLK, F_UNLCK, index % PQB_GROUP_CLAIMS);
        if (!may_pool || !pool_put(life, fd, group, forks, tag_of(index, generation)))
            pqb_close(fd);
    }
    errno = saved;
}

void pqb_life_drop(struct pqb_life *life, unsigned index, uint32_t generation)
{
    int saved = errno;
    int fd = slot_empty(life, index, generation);
    if (fd >= 0)
        pqb_close(fd);
    errno = saved;
}

int pqb_life_is_shared(const struct pqb_life *life, unsigned index, uint32_t generation)
{
    const struct pqb_life_slot *slot = &life->slot[index];
    return atomic_load(&slot->held) >> 32 == generation &&
           atomic_load(&slot->forks) != pqb_process_forks();
}

enum pqb_status pqb_life_probe_open(const struct pqb_life *life, unsigned group, int *fd)
{
    return group_open(life, group, fd);
}

int pqb_life_probe(int fd, unsigned index)
{
    struct flock lock = {
        .l_type = F_WRLCK,
        .l_whence = SEEK_SET,
        .l_start = (off_t)(index % PQB_GROUP_CLAIMS),
        .l_len = 1,
    };
    if (fcntl(fd, F_OFD_GETLK, &lock))
        return -1;
    return lock.l_type != F_UNLCK;
}

static void pool_close(struct pqb_life *life)
{
    for (unsigned i = 0; i < PQB_LIFE_POOL; i++) {
        struct pqb_life_spare *spare = &life->pool[i];
        if (spare->fd1 && is_ours(life, spare->fd1 - 1, spare->group, spare->tag))
            pqb_close(spare->fd1 - 1);
        spare->fd1 = 0;
    }
}

static int is_connected(const struct pqb_layout *map, unsigned index, uint32_t generation)
{
    uint64_t ctl = atomic_load(&map->claim[index].ctl);
    return ctl >> 32 == generation && (ctl & PQB_CTL_STATE) == PQB_CLAIM_OPEN;
}

/* Calls pqb_life_drop on each descriptor, but for connected claims if `map` is given. */
static void drop_all(struct pqb_life *life, const struct pqb_layout *map)
{
    for (unsigned group = 0; group < PQB_GROUPS; group++) {
        uint64_t used = atomic_load(&life->used[group]);
        for (; used; used &= used - 1) {
            unsigned index = group * PQB_GROUP_CLAIMS + (unsigned)__builtin_ctzll(used);
            uint32_t generation = (uint32_t)(atomic_load(&life->slot[index].held) >> 32);
            if (!map || !is_connected(map, index, generation))
                pqb_life_drop(life, index, generation);
        }
    }
}

void pqb_life_after_fork(struct pqb_life *life, const struct pqb_layout *map)
{
    int saved = errno;
    pool_close(life);
    drop_all(life, map);
    errno = saved;
}

void pqb_life_close(struct pqb_life *life)
{
    pool_close(life);
    drop_all(life, NULL);
}
