#include "support/support.h"

#include "ledger/region.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
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

void support_ledger_end(struct pqb_ledger *ledger)
{
    struct pqb_region *region = atomic_load(&ledger->region);
    enum pqb_status removed = pqb_region_remove(ledger->path, region, NULL);
    (void)removed; /* the test may have done it itself */
    pqb_ledger_close(ledger);
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
