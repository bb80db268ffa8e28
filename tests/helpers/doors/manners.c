/* What a library must leave as it found it. */
#include "conns.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* CONNINFO: what errno is after each call that succeeds; a run without the preload says the same.
 */
static void errno_after(void)
{
    errno = EXDEV;
    PGconn *conn = PQconnectdb(stage_argument());
    stage_say("connectdb %s", strerrorname_np(errno));
    errno = EXDEV;
    PQstatus(conn);
    PQerrorMessage(conn);
    stage_say("message %s", strerrorname_np(errno));
    errno = EXDEV;
    PQfreemem(NULL);
    PQconninfoFree(PQconninfoParse("host=h user=u", NULL));
    stage_say("parse %s", strerrorname_np(errno));
    errno = EXDEV;
    PQfinish(conn);
    stage_say("finish %s", strerrorname_np(errno));
    errno = EXDEV;
    close(dup(0));
    stage_say("close %s", strerrorname_np(errno));
}

/* What a library could change behind its host's back. */
struct habits {
    struct {
        void (*handler)(int);
        int flags;
        unsigned long mask; /* glibc leaves chance in the rest of its sets */
    } action[65];
    unsigned long mask;
    struct rlimit files;
    mode_t umask;
    int cancel_state, cancel_type, dumpable;
    char directory[512];
};

static void look(struct habits *habits)
{
    memset(habits, 0, sizeof *habits);
    for (int number = 1; number < 65; number++) {
        struct sigaction action;
        if (sigaction(number, NULL, &action))
            continue;
        habits->action[number].handler = action.sa_handler;
        habits->action[number].flags = action.sa_flags;
        memcpy(&habits->action[number].mask, &action.sa_mask, sizeof(unsigned long));
    }
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    memcpy(&habits->mask, &mask, sizeof habits->mask);
    getrlimit(RLIMIT_NOFILE, &habits->files);
    umask(habits->umask = umask(0));
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &habits->cancel_state);
    pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, &habits->cancel_type);
    habits->dumpable = prctl(PR_GET_DUMPABLE);
    if (!getcwd(habits->directory, sizeof habits->directory))
        _exit(2);
}

static struct habits before, after;

static void remember_habits(void)
{
    look(&before);
}

static void compare_habits(void)
{
    look(&after);
    stage_say("habits %s", memcmp(&before, &after, sizeof before) ? "changed" : "kept");
}

static volatile sig_atomic_t pipes;

static void count_pipe(int number)
{
    (void)number;
    pipes = pipes + 1;
}

/* SIGPIPE is counted from here on; `pipes` says how many there were. */
static void hear_pipes(void)
{
    struct sigaction action = {.sa_handler = count_pipe};
    sigemptyset(&action.sa_mask);
    sigaction(SIGPIPE, &action, NULL);
}

static void say_pipes(void)
{
    stage_say("pipes %d", (int)pipes);
}

/* Nothing more may be opened: COUNT descriptors beyond those there are. */
static void limit_descriptors(void)
{
    struct rlimit limit;
    int next = dup(0);
    close(next);
    next += atoi(stage_argument());
    limit.rlim_cur = limit.rlim_max = (rlim_t)next;
    setrlimit(RLIMIT_NOFILE, &limit);
}

const struct stage_step manner_steps[] = {
    {"errno", errno_after},
    {"habits", remember_habits},
    {"habits?", compare_habits},
    {"hearpipes", hear_pipes},
    {"pipes?", say_pipes},
    {"nofile", limit_descriptors},
    {0},
};
