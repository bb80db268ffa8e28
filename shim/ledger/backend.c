#include "ledger/backend.h"

#include "ledger/os.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

struct process_facts {
    char name[32];
    char state;
    int32_t parent;
    uint64_t start;
};

/* Reads /proc/<pid>/stat. The name in it may hold blanks and parentheses: the last ")" ends it. */
static int process_facts(int32_t pid, struct process_facts *facts)
{
    char path[32], text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t got = pread(fd, text, sizeof text - 1, 0);
    pqb_close(fd);
    if (got <= 0)
        return 0;
    text[got] = 0;
    char *begin = strchr(text, '('), *end = strrchr(text, ')');
    if (!begin || !end || end < begin)
        return 0;
    *end = 0;
    snprintf(facts->name, sizeof facts->name, "%s", begin + 1);
    /* Fields 3 (state), 4 (parent) and 22 (start time): blanks stand between them. */
    const char *field = end;
    for (unsigned number = 3; number <= 22; number++) {
        if (!(field = strchr(field + 1, ' ')))
            return 0;
        if (number == 3)
            facts->state = field[1];
        else if (number == 4)
            facts->parent = (int32_t)strtol(field, NULL, 10);
    }
    facts->start = strtoull(field, NULL, 10);
    return 1;
}

static int is_postgres(const char *name)
{
    return !strncmp(name, "postgres", 8) || !strncmp(name, "postmaster", 10);
}

/* The postmaster that was looked up last: as long as it has children, its pid is its own. */
static int is_postmaster(int32_t pid)
{
    static _Atomic int32_t known;
    struct process_facts facts;
    if (pid == atomic_load(&known))
        return 1;
    if (!process_facts(pid, &facts) || !is_postgres(facts.name))
        return 0;
    atomic_store(&known, pid);
    return 1;
}

uint64_t pqb_backend_start(int32_t pid)
{
    struct process_facts facts;
    int saved = errno;
    int seen = pid > 1 && process_facts(pid, &facts) && is_postgres(facts.name) &&
               is_postmaster(facts.parent);
    errno = saved;
    return seen ? facts.start : 0;
}

/* Clock ticks since the machine was started, as /proc has them: by the kernel's word, as another
 * preload (libfaketime) may answer for libc. One that is behind would make every backend a later
 * one. */
static uint64_t ticks(void)
{
    struct timespec since = {0};
    syscall(SYS_clock_gettime, CLOCK_BOOTTIME, &since);
    uint64_t rate = (uint64_t)sysconf(_SC_CLK_TCK);
    return (uint64_t)since.tv_sec * rate + (uint64_t)since.tv_nsec * rate / PQB_SECOND;
}

uint64_t pqb_backend_started_by(int32_t pid, uint64_t server)
{
    /* The server whose backends are seen here, and the second in which one was. */
    static _Atomic uint64_t known;
    uint64_t now = server << 16 | (uint16_t)(pqb_now() / PQB_SECOND), start;
    int saved = errno;
    if (atomic_load(&known) == now && pid > 1 && (!kill(pid, 0) || errno == EPERM))
        start = ticks();
    else if ((start = pqb_backend_start(pid)))
        atomic_store(&known, now);
    errno = saved;
    return start;
}

int pqb_backend_postmaster(int32_t pid, char name[PQB_POSTMASTER_BYTES])
{
    struct process_facts backend, parent;
    int saved = errno;
    int seen = pid > 1 && process_facts(pid, &backend) && is_postgres(backend.name) &&
               process_facts(backend.parent, &parent) && is_postgres(parent.name);
    if (seen)
        snprintf(name, PQB_POSTMASTER_BYTES, "postmaster %d since %llu in %u", backend.parent,
                 (unsigned long long)parent.start, pqb_pid_namespace());
    errno = saved;
    return seen;
}

static int has_exited(int pidfd)
{
    struct pollfd poll_for = {.fd = pidfd, .events = POLLIN};
    return poll(&poll_for, 1, 0) > 0 && (poll_for.revents & POLLIN);
}

/* Where there is no pidfd to be had: an old kernel, a container's filter, no descriptor left. A pid
 * that nobody has is sure, whatever /proc hides; a zombie and another's start time only it tells.
 */
static int is_gone_without_pidfd(int32_t pid, uint64_t start)
{
    struct process_facts facts;
    if (pid > 0 && kill(pid, 0) && errno == ESRCH)
        return 1;
    return process_facts(pid, &facts) &&
           (facts.state == 'Z' || facts.state == 'X' || (start && facts.start > start));
}

int pqb_backend_watch(int32_t pid, uint64_t start)
{
    int saved = errno;
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    int result = pidfd;
    struct process_facts facts;
    if (pidfd < 0) {
        result = errno == ESRCH || is_gone_without_pidfd(pid, start) ? PQB_BACKEND_GONE
                                                                     : PQB_BACKEND_UNKNOWN;
    } else if (has_exited(pidfd) || (start && process_facts(pid, &facts) && facts.start > start)) {
        pqb_close(pidfd);
        result = PQB_BACKEND_GONE;
    }
    errno = saved;
    return result;
}

int pqb_backend_has_exited(int32_t pid, uint64_t start)
{
    int pidfd = pqb_backend_watch(pid, start);
    if (pidfd >= 0)
        pqb_close(pidfd);
    return pidfd == PQB_BACKEND_GONE;
}
