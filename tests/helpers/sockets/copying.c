/* More than one descriptor for a socket, more than one process, and numbers that go to others. */
#include "sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int other = -1, behind = -1;

static void copied(int fd, const char *call)
{
    if (fd < 0)
        stage_say("%s: %s", call, strerrorname_np(errno));
    else
        check_errno(call);
    other = fd;
}

/* A second number, by one of the calls that give one. */
static void copy(void)
{
    const char *call = stage_argument();
    errno = UNTOUCHED;
    if (!strcmp(call, "dup"))
        copied(dup(current), call);
    else if (!strcmp(call, "dup2"))
        copied(dup2(current, 40), call);
    else if (!strcmp(call, "dup3"))
        copied(dup3(current, 40, O_CLOEXEC), call);
    else if (!strcmp(call, "F_DUPFD"))
        copied(fcntl(current, F_DUPFD, 40), call);
    else if (!strcmp(call, "F_DUPFD_CLOEXEC"))
        copied(fcntl(current, F_DUPFD_CLOEXEC, 40), call);
    else
        give_up(call);
}

static void turn(void)
{
    int fd = current;
    current = other;
    other = fd;
}

static void close_it(void)
{
    errno = UNTOUCHED;
    if (close(current))
        stage_say("close: %s", strerrorname_np(errno));
    else
        check_errno("close");
}

static void close_raw(void)
{
    if (syscall(SYS_close, current))
        give_up("close");
}

/* This number and all behind it, which are ours and the preload's. */
static void close_all(void)
{
    const char *call = stage_argument();
    errno = UNTOUCHED;
    if (!strcmp(call, "closefrom"))
        closefrom(current);
    else if (close_range((unsigned)current, ~0u, 0))
        stage_say("close_range: %s", strerrorname_np(errno));
    check_errno(call);
}

static _Atomic int is_looking, is_over;

/* Opens a file again and again, and keeps the one that gets our number, as the lowest that is free.
 */
static void *get_number(void *kept)
{
    for (int fd = -1; !is_over && fd != current; is_looking = 1) {
        syscall(SYS_close, fd);
        fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        *(int *)kept = fd == current;
    }
    return NULL;
}

/* So many connections, one after the other: its number alone is closed by close_range, while
 * another thread waits for it. */
static void close_alone(void)
{
    const char *kind = stage_argument();
    long lost = 0;
    for (long count = number(); count; count--) {
        pthread_t thread;
        int kept = 0;
        is_looking = is_over = 0;
        current = socket_for(kind);
        if (connect_to(current, kind) || pthread_create(&thread, NULL, get_number, &kept))
            give_up("closealone");
        while (!is_looking)
            sched_yield();
        if (close_range((unsigned)current, (unsigned)current, 0))
            stage_say("close_range: %s", strerrorname_np(errno));
        is_over = 1;
        pthread_join(thread, NULL);
        lost += kept && fcntl(current, F_GETFD) < 0;
        syscall(SYS_close, current);
    }
    stage_say("%ld lost", lost);
}

/* Only what lies far above it. */
static void close_others(void)
{
    closefrom(current + 64);
}

static void over(void)
{
    const char *call = stage_argument();
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    errno = UNTOUCHED;
    if ((!strcmp(call, "dup2") ? dup2(null, current) : dup3(null, current, 0)) != current)
        give_up(call);
    check_errno(call);
    close(null);
}

/* Nothing can be put over it from where nothing is. */
static void over_from_nowhere(void)
{
    int result = dup2(-1, current);
    stage_say("%s", result < 0 ? strerrorname_np(errno) : "done");
}

/* Somebody who has nothing to do with it gets its number, as the lowest that is free. For a moment
 * the keeper may have something there; what is below stays taken. */
static void innocent(void)
{
    int pair[2];
    struct stat status;
    if (!fstat(current, &status) && S_ISCHR(status.st_mode)) /* what over() has put there */
        syscall(SYS_close, current);
    do
        if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
            give_up("socketpair");
    while (pair[0] < current && pair[1] != current);
    while (pair[0] != current && pair[1] != current) {
        syscall(SYS_close, pair[1]);
        syscall(SYS_close, pair[0]);
        if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
            give_up("socketpair");
    }
    int far = pair[0] == current ? pair[1] : pair[0];
    behind = fcntl(far, F_DUPFD, 60);
    syscall(SYS_close, far);
}

/* It can talk, and hears what was said to it and nothing else. */
static void harmed(void)
{
    char text[64];
    int there = -1;
    ssize_t got = 0;
    if (ioctl(behind, FIONREAD, &there) || there)
        stage_say("it was sent %d bytes", there);
    if ((got = write(current, "hello", 5)) != 5)
        stage_say("it cannot talk: %zd %s", got, strerrorname_np(errno));
    else if ((got = read(behind, text, sizeof text)) != 5)
        stage_say("it is not heard: %zd", got);
    else if (write(behind, "you", 3) != 3 || (got = read(current, text, sizeof text)) != 3)
        stage_say("it does not hear: %zd %s", got, strerrorname_np(errno));
    else
        stage_say("unharmed");
}

/* No number is free from here on; and again as it was. */
static struct rlimit numbers;

static void exhaust(void)
{
    int lowest = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (lowest < 0 || close(lowest) || getrlimit(RLIMIT_NOFILE, &numbers))
        give_up("exhaust");
    struct rlimit none = {(rlim_t)lowest, numbers.rlim_max};
    if (setrlimit(RLIMIT_NOFILE, &none))
        give_up("exhaust");
}

static void relent(void)
{
    if (setrlimit(RLIMIT_NOFILE, &numbers))
        give_up("relent");
}

/* { STEP… }, taken by the child. */
static void fork_child(void)
{
    stage_argument();
    pid_t child = fork();
    if (child < 0)
        give_up("fork");
    if (child)
        stage_skip_block();
}

static void wait_child(void)
{
    int status = -1;
    wait(&status);
    stage_say("child %d", WIFSIGNALED(status) ? 1000 + WTERMSIG(status) : WEXITSTATUS(status));
}

static void leave(void)
{
    _exit(0);
}

/* What runtimes do to start a program. */
static void spawn(void)
{
    pid_t child = vfork();
    if (!child) {
        for (int fd = 3; fd < 100; fd++)
            close(fd);
        execl("/proc/self/exe", "sockets", (char *)NULL); /* with no step: it ends */
        _exit(127);
    }
    wait_child();
}

const struct stage_step copying_steps[] = {
    {"copy", copy},
    {"turn", turn},
    {"close", close_it},
    {"rawclose", close_raw},
    {"closeall", close_all},
    {"closealone", close_alone},
    {"closeothers", close_others},
    {"over", over},
    {"overfromnowhere", over_from_nowhere},
    {"innocent", innocent},
    {"harmed", harmed},
    {"exhaust", exhaust},
    {"relent", relent},
    {"fork", fork_child},
    {"wait", wait_child},
    {"leave", leave},
    {"spawn", spawn},
    {0},
};
