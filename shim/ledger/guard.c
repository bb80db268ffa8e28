#include "ledger/guard.h"

#include "ledger/os.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#define SPINS 400 /* about the length of a visit */
#define CROWD 4   /* so many asleep: whoever spins takes the processor from the owner */
/* The owner may have died, and nobody wakes us then: one of us looks every millisecond. */
#define SLEEP_APART (1 * PQB_MS)
#define SLEEPERS_AT_MOST 32u /* that take turns; the hint counts the dead ones too */

static int guard_lock(int fd, short type)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_len = 1};
    return fcntl(fd, F_SETLK, &lock);
}

/* The descriptor of the guard's file, opened anew if the host closed it. */
static enum pqb_status guard_descriptor(struct pqb_region *region, int *out)
{
    struct stat status;
    int fd = atomic_load(&region->guard_fd1) - 1;
    if (fd >= 0 && !fstat(fd, &status) && status.st_ino == region->guard_inode &&
        status.st_dev == region->life.device) {
        *out = fd;
        return PQB_OK;
    }
    char path[PQB_LIFE_PATH + 8];
    snprintf(path, sizeof path, "%s/guard", region->life.folder);
    fd = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return errno == ENOENT ? PQB_DAMAGED : pqb_status_from_errno(errno);
    if (fstat(fd, &status) || status.st_ino != region->guard_inode) {
        pqb_close(fd);
        return PQB_DAMAGED;
    }
    fd = pqb_park(fd);
    atomic_store(&region->guard_fd1, fd + 1);
    *out = fd;
    return PQB_OK;
}

static void pause_briefly(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#else
    atomic_thread_fence(memory_order_seq_cst);
#endif
}

/* One try, and if it fails a moment's spinning and another: most visits are over by then. */
static int try_lock(struct pqb_header *header, int fd)
{
    if (!guard_lock(fd, F_WRLCK))
        return 1;
    if (atomic_load_explicit(&header->guard_sleepers, memory_order_relaxed) > CROWD)
        return 0;
    for (unsigned i = 0; i < SPINS && errno == EAGAIN; i++) {
        if (!atomic_load_explicit(&header->guard_held, memory_order_relaxed))
            return !guard_lock(fd, F_WRLCK);
        pause_briefly();
    }
    return 0;
}

/* Tries once more, and sleeps until the owner leaves, or a moment. Also if guard_held is not set:
 * an owner that was preempted just before or after must get the processor, not be asked again. */
static int lock_or_sleep(struct pqb_header *header, int fd, uint64_t deadline)
{
    uint32_t seen = atomic_load(&header->guard_word);
    uint32_t sleepers = atomic_fetch_add(&header->guard_sleepers, 1) + 1;
    uint64_t turn = SLEEP_APART * (sleepers < SLEEPERS_AT_MOST ? sleepers : SLEEPERS_AT_MOST);
    uint64_t until = pqb_now() + turn;
    int locked = !guard_lock(fd, F_WRLCK);
    if (!locked && errno == EAGAIN)
        pqb_futex_wait(&header->guard_word, seen, until < deadline ? until : deadline, 1);
    atomic_fetch_sub(&header->guard_sleepers, 1);
    return locked;
}

enum pqb_status pqb_guard_enter(struct pqb_region *region, uint64_t deadline, int *died)
{
    struct pqb_header *header = &region->map->header;
    int fd, saved = errno;
    enum pqb_status status = guard_descriptor(region, &fd);
    while (!status && !try_lock(header, fd)) {
        if (errno != EAGAIN && errno != EACCES && errno != EINTR)
            status = pqb_status_from_errno(errno);
        else if (!deadline || pqb_now() >= deadline)
            status = PQB_BUSY;
        else if (lock_or_sleep(header, fd, deadline))
            break;
    }
    if (status == PQB_DAMAGED && pqb_region_check(region) == PQB_LOST)
        status = PQB_LOST; /* its lock files went with it */
    if (!status && atomic_load(&header->retired)) {
        guard_lock(fd, F_UNLCK);
        status = PQB_LOST;
    }
    if (!status) {
        *died = atomic_exchange(&header->dirty, PQB_DIRTY_INSIDE) != 0;
        atomic_store_explicit(&header->guard_held, 1, memory_order_relaxed);
    }
    errno = saved;
    return status;
}

void pqb_guard_leave(struct pqb_region *region)
{
    struct pqb_header *header = &region->map->header;
    int fd = atomic_load(&region->guard_fd1) - 1, saved = errno;
    struct stat status;
    atomic_store(&header->guard_held, 0);
    if (!fstat(fd, &status) && status.st_ino == region->guard_inode &&
        status.st_dev == region->life.device) {
        atomic_fetch_and(&header->dirty, ~PQB_DIRTY_INSIDE);
        guard_lock(fd, F_UNLCK);
    } else {
        /* The host closed our descriptor, and with it the lock went: somebody else may be inside
         * by now. Who enters after him rebuilds. */
        atomic_fetch_or(&header->dirty, PQB_DIRTY_SUSPECT);
    }
    /* Pairs with lock_or_sleep, which reads the word, counts itself, and then tries the lock. */
    atomic_fetch_add(&header->guard_word, 1);
    if (atomic_load(&header->guard_sleepers))
        pqb_futex_wake(&header->guard_word, 1, 1);
    errno = saved;
}
