#include "ledger/os.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <stddef.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define PARK_AT_MOST 512 /* growing a process's table far beyond its size took 7 to 22 ms */

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * PQB_SECOND + (uint64_t)now.tv_nsec;
}

uint64_t pqb_now(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

uint64_t pqb_now_real(void)
{
    return clock_ns(CLOCK_REALTIME);
}

void pqb_futex_wait(_Atomic uint32_t *word, uint32_t seen, uint64_t deadline, int shared)
{
    uint64_t now = pqb_now();
    if (now >= deadline)
        return;
    uint64_t left = deadline - now;
    struct timespec limit = {
        .tv_sec = (time_t)(left / PQB_SECOND > INT_MAX ? INT_MAX : left / PQB_SECOND),
        .tv_nsec = (long)(left % PQB_SECOND),
    };
    int saved = errno;
    syscall(SYS_futex, word, shared ? FUTEX_WAIT : FUTEX_WAIT_PRIVATE, seen, &limit, NULL, 0);
    errno = saved;
}

void pqb_futex_wake(_Atomic uint32_t *word, int count, int shared)
{
    int saved = errno;
    syscall(SYS_futex, word, shared ? FUTEX_WAKE : FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0);
    errno = saved;
}

#ifdef __SANITIZE_THREAD__
int __interceptor_close(int fd); // NOLINT(bugprone-reserved-identifier)
#endif

void pqb_close(int fd)
{
    int saved = errno;
#ifdef __SANITIZE_THREAD__
    __interceptor_close(fd); /* it must know that the number is free again */
#else
    syscall(SYS_close, fd);
#endif
    errno = saved;
}

int pqb_park(int fd)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit))
        return fd;
    rlim_t floor = limit.rlim_cur / 2 < PARK_AT_MOST ? limit.rlim_cur / 2 : PARK_AT_MOST;
    if ((rlim_t)fd >= floor)
        return fd;
    int saved = errno;
    /* Past the preload's own hook: a host's descriptor may have stood at this number unnoticed. */
    int parked = (int)syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, (int)floor);
    errno = saved;
    if (parked < 0)
        return fd;
    pqb_close(fd);
    return parked;
}

uint64_t pqb_random(void)
{
    uint64_t value = 0;
    int saved = errno;
    if (getrandom(&value, sizeof value, GRND_NONBLOCK) != (ssize_t)sizeof value || !value) {
        /* splitmix64 over what differs between processes. */
        value = pqb_now() ^ ((uint64_t)getpid() << 32) ^ (uint64_t)(uintptr_t)&value;
        value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9ull;
        value = (value ^ (value >> 27)) * 0x94d049bb133111ebull;
        value = (value ^ (value >> 31)) | 1;
    }
    errno = saved;
    return value;
}

static uint64_t inode_of(const char *path)
{
    struct stat status;
    int saved = errno;
    uint64_t inode = stat(path, &status) ? 0 : status.st_ino;
    errno = saved;
    return inode;
}

uint32_t pqb_pid_namespace(void)
{
    return (uint32_t)inode_of("/proc/self/ns/pid");
}

uint64_t pqb_net_namespace(void)
{
    return inode_of("/proc/self/ns/net");
}
