/* Processes that come out of this one. */
#include "conns.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* { STEP… }, taken by the child. */
static void fork_child(void)
{
    if (strcmp(stage_argument(), "{"))
        _exit(2);
    pid_t child = fork();
    if (child < 0)
        _exit(2);
    if (child)
        stage_skip_block();
}

static void wait_child(void)
{
    int status = -1;
    wait(&status);
    if (WIFSIGNALED(status))
        stage_say("child was killed by signal %d", WTERMSIG(status));
    else
        stage_say("child %d", WEXITSTATUS(status));
}

/* The rest of the steps, in a fresh copy of this program. */
static void exec_again(void)
{
    char **rest = stage_rest();
    char *arguments[64] = {(char *)"doors"};
    for (unsigned i = 0; i < 62 && rest[i]; i++)
        arguments[i + 1] = rest[i];
    execv("/proc/self/exe", arguments);
    _exit(2);
}

static void become_daemon(void)
{
    if (daemon(1, 1))
        _exit(2);
}

/* What runtimes do between vfork and exec: every descriptor they don't know is closed. */
static void spawn(void)
{
    pid_t child = vfork();
    if (!child) {
        for (int fd = 3; fd < 1024; fd++)
            close(fd);
        execl("/bin/true", "true", (char *)NULL);
        _exit(127);
    }
    wait_child();
}

static void spawn_and_leave(void)
{
    pid_t child = vfork();
    if (!child) {
        close_range(3, ~0u, 0);
        _exit(0);
    }
    wait_child();
}

const struct stage_step family_steps[] = {
    {"fork", fork_child},
    {"wait", wait_child},
    {"exec", exec_again},
    {"daemon", become_daemon},
    {"spawn", spawn},
    {"vfork", spawn_and_leave},
    {0},
};
