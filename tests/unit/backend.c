/* backend.c: recognising a server's process and noticing that it has gone. Its name is what counts,
 * so that children of this test can play one. */
#include "ledger/backend.h"
#include "support/support.h"
#include "unit/clocks.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(backend, .timeout = 60);

/* A child named `name` whose parent, this process, is named `parent`. */
static pid_t play(const char *parent, const char *name)
{
    _Atomic int *named = support_shared(sizeof *named);
    prctl(PR_SET_NAME, parent);
    pid_t child = support_fork();
    if (!child) {
        prctl(PR_SET_NAME, name);
        atomic_store(named, 1);
        support_linger();
    }
    cr_assert(wait_until(atomic_load(named)));
    return child;
}

Test(backend, is_a_postgres_below_a_postgres)
{
    pid_t pid = play("postgres", "postgres");
    errno = ENOTTY;
    uint64_t start = pqb_backend_start(pid);
    cr_assert_neq(start, 0);
    cr_assert_eq(pqb_backend_start(pid), start);
    cr_assert_eq(errno, ENOTTY);
    support_kill(pid);
}

Test(backend, is_not_a_postgres_below_something_else)
{
    pid_t pid = play("node", "postgres");
    cr_assert_eq(pqb_backend_start(pid), 0);
    support_kill(pid);
}

Test(backend, is_not_something_else_below_a_postgres)
{
    pid_t pid = play("postgres", "sh");
    cr_assert_eq(pqb_backend_start(pid), 0);
    support_kill(pid);
}

Test(backend, is_read_past_blanks_and_parentheses_in_names)
{
    pid_t pid = play("postgres", "postgres) R 1 (");
    cr_assert_neq(pqb_backend_start(pid), 0);
    support_kill(pid);
}

Test(backend, is_nobody_with_an_impossible_pid)
{
    errno = ENOTTY;
    cr_assert_eq(pqb_backend_start(0), 0);
    cr_assert_eq(pqb_backend_start(1), 0);
    cr_assert_eq(pqb_backend_start(-5), 0);
    cr_assert_eq(pqb_backend_start(0x7fffffff), 0);
    cr_assert_eq(errno, ENOTTY);
}

Test(backend, that_runs_is_watched)
{
    pid_t pid = play("postgres", "postgres");
    uint64_t start = pqb_backend_start(pid);
    cr_assert_not(pqb_backend_has_exited(pid, start));
    int fd = pqb_backend_watch(pid, start);
    cr_assert_geq(fd, 0);
    struct pollfd poll_for = {.fd = fd, .events = POLLIN};
    cr_assert_eq(poll(&poll_for, 1, 0), 0);
    kill(pid, SIGKILL);
    cr_assert_eq(poll(&poll_for, 1, 20000), 1);
    close(fd);
    support_reap(pid);
}

Test(backend, that_exited_is_gone_also_as_a_zombie)
{
    siginfo_t info;
    pid_t pid = play("postgres", "postgres");
    uint64_t start = pqb_backend_start(pid);
    kill(pid, SIGKILL);
    cr_assert_eq(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    unsigned descriptors = support_descriptors();
    cr_assert(pqb_backend_has_exited(pid, start));
    cr_assert_eq(pqb_backend_watch(pid, start), PQB_BACKEND_GONE);
    support_reap(pid);
    cr_assert(pqb_backend_has_exited(pid, start));
    cr_assert_eq(support_descriptors(), descriptors);
}

Test(backend, that_started_later_is_another_process)
{
    pid_t pid = play("postgres", "postgres");
    uint64_t start = pqb_backend_start(pid);
    cr_assert(pqb_backend_has_exited(pid, start - 1));
    cr_assert_not(pqb_backend_has_exited(pid, start));
    support_kill(pid);
}

Test(backend, leaves_no_descriptor_open)
{
    pid_t pid = play("postgres", "postgres");
    uint64_t start = pqb_backend_start(pid);
    unsigned descriptors = support_descriptors();
    for (int i = 0; i < 100; i++) {
        cr_assert_not(pqb_backend_has_exited(pid, start));
        cr_assert_eq(pqb_backend_start(pid), start);
    }
    cr_assert_eq(support_descriptors(), descriptors);
    support_kill(pid);
}

/* Whom nobody has recognised yet is looked at closely, of the others it is enough that they are. */
static void start_before_the_connection(void)
{
    pid_t pid = play("postgres", "postgres"), other = play("postgres", "sh");
    uint64_t start = pqb_backend_start(pid), by = 0;
    cr_assert_eq(pqb_backend_started_by(other, 7), 0);
    cr_assert_eq(pqb_backend_started_by(0x7fffffff, 7), 0);
    errno = ENOTTY;
    cr_assert_eq(pqb_backend_started_by(pid, 7), start);
    /* A second may have gone by in between. */
    cr_assert(wait_until((by = pqb_backend_started_by(other, 7)) != 0 ||
                         !pqb_backend_started_by(pid, 7)));
    cr_assert_geq(by, start);
    cr_assert_eq(pqb_backend_started_by(other, 8), 0);
    cr_assert_eq(pqb_backend_started_by(0x7fffffff, 7), 0);
    cr_assert_eq(errno, ENOTTY);
    cr_assert_not(pqb_backend_has_exited(other, by));
    support_kill(pid);
    support_kill(other);
}

Test(backend, has_started_by_the_time_its_connection_is_made)
{
    start_before_the_connection();
}

Test(backend, has_started_by_then_whatever_time_it_is_said_to_be)
{
    atomic_store(&clocks_boot_ahead, -10);
    start_before_the_connection();
}

/* As an old kernel answers, or a container that filters what it doesn't know. */
static void forbid_pidfds(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_pidfd_open, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof filter / sizeof *filter, .filter = filter};
    expect(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    expect(!prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program));
}

static void know_the_end_without_a_pidfd(void)
{
    prctl(PR_SET_NAME, "postgres");
    pid_t pid = support_fork();
    if (!pid)
        support_linger();
    uint64_t start = pqb_backend_start(pid);
    expect(start);
    forbid_pidfds();
    errno = ENOTTY;
    expect(pqb_backend_watch(pid, start) == PQB_BACKEND_UNKNOWN);
    expect(!pqb_backend_has_exited(pid, start));
    expect(pqb_backend_has_exited(pid, start - 1));
    expect(errno == ENOTTY);
    kill(pid, SIGKILL);
    siginfo_t info;
    waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT);
    expect(pqb_backend_has_exited(pid, start)); /* a zombie */
    support_reap(pid);
    expect(pqb_backend_has_exited(pid, start));
}

Test(backend, that_exited_is_gone_also_where_pidfds_are_forbidden)
{
    cr_assert_eq(support_apart(know_the_end_without_a_pidfd), 0);
}
