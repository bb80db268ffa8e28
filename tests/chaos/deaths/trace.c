#include "chaos/deaths/trace.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define AT_CALL (SIGTRAP | 0x80)

static const long options = PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE |
                            PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC;

void trace_begin(struct trace *trace, pid_t pid)
{
    int status;
    *trace = (struct trace){.family = pid, .stopped = pid};
    waitpid(pid, &status, 0);
    ptrace(PTRACE_SETOPTIONS, pid, 0, options);
}

static void interrupt(int signal_number)
{
    (void)signal_number;
}

/* Calls that wait come back with EINTR, after a minute and then every second. */
static void limit_waiting(int seconds)
{
    struct sigaction action = {.sa_handler = interrupt};
    struct itimerval timer = {{1, 0}, {seconds, 0}};
    if (!seconds)
        timer.it_interval.tv_sec = 0;
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &timer, NULL);
}

/* What a thread that stopped is to be given: ptrace's own signals are nobody's, and so is the one
 * that new threads and children begin with. */
static long signal_for(int status)
{
    int number = WSTOPSIG(status);
    int is_ours = status >> 16 || number == SIGTRAP || number == AT_CALL || number == SIGSTOP;
    return is_ours ? 0 : number;
}

static void note_child(struct trace *trace, pid_t parent, int status)
{
    unsigned long child;
    int event = status >> 16;
    if ((event == PTRACE_EVENT_FORK || event == PTRACE_EVENT_VFORK) && !trace->child &&
        !ptrace(PTRACE_GETEVENTMSG, parent, 0, &child))
        trace->child = (pid_t)child;
}

static void note_stop(struct trace *trace, pid_t tid)
{
    struct __ptrace_syscall_info info = {0};
    long *call = &trace->calls[tid % 64];
    trace->stopped = tid;
    ptrace(PTRACE_GET_SYSCALL_INFO, tid, sizeof info, &info);
    trace->is_before = info.op == PTRACE_SYSCALL_INFO_ENTRY;
    if (trace->is_before)
        *call = (long)info.entry.nr;
    trace->call = *call;
}

/* The next thread that stops at a system call; the others are sent on. */
static int wait_for_stop(struct trace *trace)
{
    for (;;) {
        int status;
        pid_t tid = waitpid(-trace->family, &status, __WALL);
        if (tid < 0)
            return errno == ECHILD ? 0 : -1;
        if (!WIFSTOPPED(status) && tid == trace->family)
            return 0;
        if (!WIFSTOPPED(status))
            continue;
        if (WSTOPSIG(status) == AT_CALL) {
            note_stop(trace, tid);
            return 1;
        }
        note_child(trace, tid, status);
        ptrace(PTRACE_SYSCALL, tid, 0, signal_for(status));
    }
}

int trace_next(struct trace *trace)
{
    if (trace->stopped)
        ptrace(PTRACE_SYSCALL, trace->stopped, 0, 0);
    trace->stopped = 0;
    limit_waiting(60);
    int result = wait_for_stop(trace);
    limit_waiting(0);
    return result;
}

int trace_is_in(const struct trace *trace, pid_t process)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task/%d", (int)process, (int)trace->stopped);
    return !access(path, F_OK);
}

int trace_only_looks(const struct trace *trace)
{
    static const long calls[] = {
        SYS_brk,
        SYS_clock_nanosleep,
        SYS_fstat,
        SYS_getdents64,
        SYS_getpeername,
        SYS_getpid,
        SYS_getrandom,
        SYS_getsockname,
        SYS_getsockopt,
        SYS_gettid,
        SYS_madvise,
        SYS_mprotect,
        SYS_munmap,
        SYS_newfstatat,
        SYS_ppoll,
        SYS_pread64,
        SYS_prlimit64,
        SYS_readlinkat,
        SYS_restart_syscall,
        SYS_rt_sigaction,
        SYS_rt_sigprocmask,
        SYS_sched_yield,
        SYS_uname,
#ifdef SYS_poll
        SYS_poll,
        SYS_stat,
        SYS_access,
        SYS_readlink,
#endif
    };
    for (unsigned i = 0; i < sizeof calls / sizeof *calls; i++)
        if (calls[i] == trace->call)
            return 1;
    return 0;
}

void trace_describe(const struct trace *trace, char *words, size_t capacity)
{
    snprintf(words, capacity, "%s system call %ld%s", trace->is_before ? "before" : "after",
             trace->call, trace->stopped == trace->family ? "" : " of another thread or the child");
}

void trace_kill(struct trace *trace, pid_t process)
{
    int is_bystander = !trace_is_in(trace, process);
    kill(process, SIGKILL);
    if (is_bystander)
        ptrace(PTRACE_DETACH, trace->stopped, 0, 0);
    trace->stopped = 0;
}

int trace_is_over(struct trace *trace)
{
    int status;
    pid_t tid;
    while ((tid = waitpid(-trace->family, &status, __WALL | WNOHANG)) > 0)
        if (WIFSTOPPED(status))
            ptrace(PTRACE_DETACH, tid, 0, signal_for(status));
    return tid < 0 && errno == ECHILD;
}

void trace_end(struct trace *trace)
{
    killpg(trace->family, SIGKILL);
    while (waitpid(-trace->family, NULL, __WALL) > 0)
        ;
}
