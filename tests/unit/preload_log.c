/* preload/log.c: the library's own lines, in a process that did not ask for them. */
#include "preload/log.h"
#include "support/support.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

TestSuite(preload_log, .timeout = 60);

static char text[8192];

/* Whatever can be read from it now. */
static const char *read_now(int fd)
{
    ssize_t length = recv(fd, text, sizeof text - 1, MSG_DONTWAIT);
    if (length < 0 && errno == ENOTSOCK) {
        fcntl(fd, F_SETFL, O_NONBLOCK);
        length = read(fd, text, sizeof text - 1);
    }
    text[length > 0 ? length : 0] = 0;
    return text;
}

static void become_stderr(int fd)
{
    expect(dup2(fd, 2) == 2);
}

static void to_a_pipe(void)
{
    int end[2];
    expect(!pipe2(end, O_CLOEXEC));
    become_stderr(end[1]);
    errno = EXDEV;
    pqb_log(PQB_LOG_WARN, "%s %d", "so", 7);
    expect(errno == EXDEV);
    expect(!strcmp(read_now(end[0]), "pqbudget: warning: so 7\n"));
    pqb_log(PQB_LOG_INFO, "unheard");
    pqb_log(PQB_LOG_ERROR, "heard");
    expect(!strcmp(read_now(end[0]), "pqbudget: error: heard\n"));
    pqb_log_to(PQB_LOG_ERROR, NULL);
    pqb_log(PQB_LOG_WARN, "unheard");
    expect(!*read_now(end[0]));
    pqb_log_to(PQB_LOG_DEBUG, NULL);
    pqb_log(PQB_LOG_INFO, "one");
    pqb_log(PQB_LOG_DEBUG, "two");
    expect(!strcmp(read_now(end[0]), "pqbudget: info: one\npqbudget: debug: two\n"));
}

Test(preload_log, says_its_line_by_level)
{
    cr_assert_eq(support_apart(to_a_pipe), 0);
}

static void odd_text(void)
{
    int end[2];
    char longest[3000];
    expect(!pipe2(end, O_CLOEXEC));
    become_stderr(end[1]);
    pqb_log(PQB_LOG_WARN, "a\nb\r\033[2Jc\x7f\xc3\xa4");
    expect(!strcmp(read_now(end[0]), "pqbudget: warning: a?b??[2Jc?\xc3\xa4\n"));
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = 0;
    pqb_log(PQB_LOG_WARN, "%s", longest);
    size_t length = strlen(read_now(end[0]));
    expect(length > 512 && length <= 1024);
    expect(text[length - 1] == '\n' && !memchr(text, '\n', length - 1));
    pqb_log(PQB_LOG_WARN, "%s", "");
    expect(!strcmp(read_now(end[0]), "pqbudget: warning: \n"));
}

Test(preload_log, is_one_line_without_control_characters)
{
    cr_assert_eq(support_apart(odd_text), 0);
}

static volatile sig_atomic_t signalled;

static void note(int number)
{
    signalled = number;
}

static void broken(void)
{
    int end[2];
    sigset_t pending, before, after;
    signal(SIGPIPE, note);
    expect(!pipe2(end, O_CLOEXEC));
    become_stderr(end[1]);
    close(end[0]);
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    pqb_log(PQB_LOG_ERROR, "to nobody");
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    sigpending(&pending);
    expect(!signalled && !sigismember(&pending, SIGPIPE));
    expect(sigismember(&before, SIGPIPE) == sigismember(&after, SIGPIPE));
    /* One that the host had waiting is still his. */
    sigset_t pipes;
    sigemptyset(&pipes);
    sigaddset(&pipes, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipes, NULL);
    raise(SIGPIPE);
    pqb_log(PQB_LOG_ERROR, "to nobody");
    sigpending(&pending);
    expect(sigismember(&pending, SIGPIPE));
}

Test(preload_log, raises_no_sigpipe_and_takes_none_away)
{
    cr_assert_eq(support_apart(broken), 0);
}

/* Neither waits nor writes half a line. */
static void full(void)
{
    int end[2], flags;
    char block[4096] = "";
    expect(!pipe2(end, O_CLOEXEC));
    flags = fcntl(end[1], F_GETFL);
    fcntl(end[1], F_SETFL, flags | O_NONBLOCK);
    size_t filled = 0;
    for (ssize_t more; (more = write(end[1], block, sizeof block)) > 0;)
        filled += (size_t)more;
    fcntl(end[1], F_SETFL, flags);
    become_stderr(end[1]);
    pqb_log(PQB_LOG_ERROR, "no room for this");
    for (size_t got = 0; got < filled; got += (size_t)read(end[0], block, sizeof block))
        ;
    expect(!*read_now(end[0]));
    pqb_log(PQB_LOG_ERROR, "room");
    expect(!strcmp(read_now(end[0]), "pqbudget: error: room\n"));
}

Test(preload_log, waits_for_nobody)
{
    cr_assert_eq(support_apart(full), 0);
}

static void closed(void)
{
    unsigned had = (close(2), support_descriptors());
    errno = EXDEV;
    pqb_log(PQB_LOG_ERROR, "to nobody");
    expect(errno == EXDEV && support_descriptors() == had);
}

Test(preload_log, has_no_stderr)
{
    cr_assert_eq(support_apart(closed), 0);
}

static void clients_connection(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), other[2];
    expect(!bind(listener, (struct sockaddr *)&at, sizeof at) && !listen(listener, 1));
    expect(!getsockname(listener, (struct sockaddr *)&at, &length));
    expect(!connect(fd, (struct sockaddr *)&at, sizeof at));
    int accepted = accept(listener, NULL, NULL);
    become_stderr(fd);
    pqb_log(PQB_LOG_ERROR, "into somebody's protocol");
    expect(send(2, "end", 3, 0) == 3);
    while (!*read_now(accepted))
        support_nap();
    expect(!strcmp(text, "end"));
    expect(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, other)); /* as journald gives */
    become_stderr(other[1]);
    pqb_log(PQB_LOG_ERROR, "heard");
    expect(!strcmp(read_now(other[0]), "pqbudget: error: heard\n"));
}

Test(preload_log, writes_into_no_connection_that_has_its_number)
{
    cr_assert_eq(support_apart(clients_connection), 0);
}

static void to_a_file(void)
{
    char file[] = "/tmp/preload_log.XXXXXX", wanted[256];
    int own = mkstemp(file), end[2];
    expect(own >= 0 && !pipe2(end, O_CLOEXEC));
    become_stderr(end[1]);
    unsigned had = support_descriptors();
    pqb_log_to(PQB_LOG_INFO, file);
    pqb_log(PQB_LOG_INFO, "one");
    pqb_log(PQB_LOG_WARN, "two");
    expect(support_descriptors() == had);
    snprintf(wanted, sizeof wanted, "pqbudget[%d]: info: one\npqbudget[%d]: warning: two\n",
             (int)getpid(), (int)getpid());
    expect(pread(own, text, sizeof text, 0) == (ssize_t)strlen(wanted));
    expect(!strncmp(text, wanted, strlen(wanted)));
    expect(!*read_now(end[0]));
    unlink(file);
    pqb_log_to(PQB_LOG_INFO, "/no/such/folder/log");
    errno = EXDEV;
    pqb_log(PQB_LOG_INFO, "lost");
    expect(errno == EXDEV && !*read_now(end[0]) && support_descriptors() == had);
}

Test(preload_log, into_a_file)
{
    cr_assert_eq(support_apart(to_a_file), 0);
}

/* A file that may not grow raises a signal too. */
static void limited(void)
{
    char file[] = "/tmp/preload_log.XXXXXX";
    struct rlimit none = {0, 0};
    int own = mkstemp(file);
    expect(own >= 0 && !setrlimit(RLIMIT_FSIZE, &none));
    signal(SIGXFSZ, note);
    pqb_log_to(PQB_LOG_WARN, file);
    pqb_log(PQB_LOG_WARN, "too much");
    unlink(file);
    expect(!signalled);
}

Test(preload_log, raises_no_sigxfsz)
{
    cr_assert_eq(support_apart(limited), 0);
}
