#include "support/support.h"

#include "ledger/snapshot.h"

#include <dirent.h>
#include <fcntl.h>
#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

void support_nap(void)
{
    usleep(1000);
}

void support_ledger_name(char name[64])
{
    static unsigned count;
    snprintf(name, 64, "test.%d.%u", (int)getpid(), ++count);
}

void support_ledger_open(struct pqb_ledger *ledger)
{
    struct pqb_error error = {{0}};
    char name[64];
    support_ledger_name(name);
    if (pqb_ledger_open(ledger, name, 1, &error)) {
        fprintf(stderr, "%s\n", error.text);
        exit(1);
    }
}

static void remove_all(const char *path, const char *suffix)
{
    char pattern[PQB_REGION_PATH + 8];
    glob_t found;
    snprintf(pattern, sizeof pattern, "%s%s", path, suffix);
    if (!glob(pattern, 0, NULL, &found))
        for (size_t i = 0; i < found.gl_pathc; i++)
            remove(found.gl_pathv[i]);
    globfree(&found);
}

void support_ledger_end(struct pqb_ledger *ledger)
{
    struct pqb_region *region = atomic_load(&ledger->region);
    enum pqb_status removed = pqb_region_remove(ledger->path, region, NULL);
    (void)removed; /* the test may have done it itself */
    pqb_ledger_close(ledger);
    /* Lock files of ledgers that the test removed by hand: the ledger's next maker would sweep
     * them. */
    remove_all(ledger->path, "~*/*");
    remove_all(ledger->path, "~*");
}

pid_t support_fork(void)
{
    pid_t parent = getpid();
    pid_t child = fork();
    if (child)
        return child;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    return 0;
}

void support_linger(void)
{
    alarm(200);
    for (;;)
        pause();
}

void support_unexpected(const char *file, int line, const char *condition)
{
    dprintf(2, "%s:%d: not so: %s\n", file, line, condition);
    _exit(1);
}

int support_apart(void (*body)(void))
{
    pid_t child = support_fork();
    if (!child) {
        body();
        _exit(0);
    }
    return support_reap(child);
}

void support_close_all(void)
{
    syscall(SYS_close_range, 3, ~0u, 0); /* musl has no function for it */
}

int support_reap(pid_t pid)
{
    int status = -1;
    waitpid(pid, &status, 0);
    return status;
}

int support_kill(pid_t pid)
{
    kill(pid, SIGKILL);
    return support_reap(pid);
}

const char *support_built(const char *file)
{
    static char path[4096];
    const char *build = getenv("PQB_TEST_BUILD");
    snprintf(path, sizeof path, "%s/%s", build ? build : "build/release", file);
    return path;
}

unsigned support_descriptors(void)
{
    unsigned count = 0;
    DIR *directory = opendir("/proc/self/fd");
    while (directory && readdir(directory))
        count++;
    if (directory)
        closedir(directory);
    return count;
}

void *support_shared(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        exit(1);
    return memory;
}

struct support_counts support_count(struct pqb_ledger *ledger)
{
    struct support_counts counts = {0};
    struct pqb_region *region;
    struct pqb_snapshot snapshot;
    if (pqb_ledger_region(ledger, &region, NULL) || pqb_snapshot_take(region, &snapshot))
        exit(1);
    for (unsigned i = 0; i < snapshot.claims; i++) {
        enum pqb_claim_state state = snapshot.claim[i].state;
        counts.waiting += state == PQB_CLAIM_WAITING;
        counts.granted += state == PQB_CLAIM_GRANTED;
        counts.connecting += state == PQB_CLAIM_CONNECTING;
        counts.open += state == PQB_CLAIM_OPEN;
        counts.draining += state == PQB_CLAIM_DRAINING;
    }
    for (unsigned i = 0; i < snapshot.servers; i++)
        counts.used += snapshot.server[i].used;
    pqb_snapshot_free(&snapshot);
    pqb_region_unpin(region);
    return counts;
}

enum pqb_status support_hold(struct pqb_ledger *ledger, const struct pqb_claim_request *request,
                             long long wait_ms, struct pqb_claim *claim)
{
    static const struct pqb_claim_peer unseen;
    enum pqb_status status = pqb_wait_acquire(ledger, request, wait_ms, claim, NULL, NULL);
    return status ? status : pqb_claim_open(claim, &unseen);
}

int32_t support_guard_owner(const struct pqb_region *region)
{
    char path[PQB_LIFE_PATH + 8];
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};
    snprintf(path, sizeof path, "%s/guard", region->life.folder);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    int is_held = fd >= 0 && !fcntl(fd, F_GETLK, &lock) && lock.l_type != F_UNLCK;
    close(fd);
    return is_held ? lock.l_pid : 0;
}

pid_t support_raw_clone(int bound)
{
    pid_t parent = getpid();
    pid_t child = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (child)
        return child;
    if (bound) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(1);
    }
    return 0;
}
