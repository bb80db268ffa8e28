#include "guest.h"

#include "ground.h"
#include "support/support.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define GUESTS 64
#define SILENCE "(silence)"

static struct guest guests[GUESTS];
static unsigned count;

static void give_up(const char *what)
{
    perror(what);
    abort();
}

const char *guest_preload(const char *build)
{
    static char value[4096];
    const char *sanitizer = getenv("PQB_TEST_SANITIZER"); /* insists on being the first */
    char file[256];
    snprintf(file, sizeof file, build ? "../%s/libpqbudget.so" : "%slibpqbudget.so",
             build ? build : "");
    snprintf(value, sizeof value, "%s%s%s", sanitizer ? sanitizer : "",
             sanitizer && *sanitizer ? ":" : "", support_built(file));
    return value;
}

/* Variables that a guest gets from the test's own environment. */
static const char *const inherited[] = {
    "PATH",          "PGHOST",       "PGPORT", "PGUSER",         "PGDATABASE", "ASAN_OPTIONS",
    "UBSAN_OPTIONS", "TSAN_OPTIONS", "TMPDIR", "PQBUDGET_YIELD", NULL,
};

struct environment {
    char *entry[64];
    unsigned used;
};

static void put(struct environment *environment, const char *entry)
{
    size_t name = strcspn(entry, "=");
    unsigned i = 0;
    while (i < environment->used &&
           (strncmp(environment->entry[i], entry, name) || environment->entry[i][name] != '='))
        i++;
    if (i < environment->used)
        free(environment->entry[i]);
    if (entry[name] == '=')
        environment->entry[i] = strdup(entry);
    else if (i < environment->used)
        environment->entry[i] = strdup("_=");
    else
        return;
    if (i == environment->used)
        environment->used++;
    environment->entry[environment->used] = NULL;
}

static void put_value(struct environment *environment, const char *name, const char *value)
{
    char entry[8192];
    snprintf(entry, sizeof entry, "%s=%s", name, value);
    put(environment, entry);
}

static void make_environment(struct environment *environment, const char *const *given)
{
    put(environment, "LC_ALL=C");
    put(environment, "HOME=/nonexistent");
    for (const char *const *name = inherited; *name; name++)
        if (getenv(*name))
            put_value(environment, *name, getenv(*name));
    put_value(environment, "LD_PRELOAD", guest_preload(NULL));
    put_value(environment, "PQBUDGET_LEDGER", ground_ledger_name());
    for (; *given; given++)
        put(environment, *given);
}

static void become(struct guest *guest, const int in[2], const int out[2], pid_t parent,
                   const char *path, char **arguments, char **environment)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(126);
    dup2(in[0], STDIN_FILENO);
    dup2(out[1], STDOUT_FILENO);
    dup2(guest->complaints, STDERR_FILENO);
    close_range(3, ~0u, 0);
    execve(path, arguments, environment);
    dprintf(STDERR_FILENO, "%s: cannot be started\n", path);
    _exit(127);
}

struct guest *guest_start(const char *const *given, const char *program,
                          const char *const *arguments)
{
    static struct environment environment;
    int in[2], out[2];
    char path[4096], *words[64] = {path};
    pid_t parent = getpid();
    if (count == GUESTS)
        abort();
    struct guest *guest = &guests[count++];
    snprintf(path, sizeof path, "%s", *program == '/' ? program : support_built(program));
    for (unsigned i = 0; arguments[i] && i < 62; i++)
        words[i + 1] = (char *)arguments[i];
    make_environment(&environment, given);
    guest->complaints = memfd_create("complaints", MFD_CLOEXEC);
    if (guest->complaints < 0 || pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC))
        give_up("pipe");
    guest->pid = fork();
    if (guest->pid < 0)
        give_up("fork");
    if (!guest->pid)
        become(guest, in, out, parent, path, words, environment.entry);
    close(in[0]);
    close(out[1]);
    guest->to = in[1];
    guest->from = out[0];
    for (unsigned i = 0; i < environment.used; i++)
        free(environment.entry[i]);
    environment.used = 0;
    return guest;
}

/* Cuts the next line out of what was read. */
static const char *cut(struct guest *guest)
{
    char *line = guest->buffer + guest->begin;
    char *end = memchr(line, '\n', guest->end - guest->begin);
    if (!end)
        return NULL;
    *end = 0;
    guest->begin = (size_t)(end + 1 - guest->buffer);
    return line;
}

const char *guest_line(struct guest *guest)
{
    const char *line;
    while (!(line = cut(guest))) {
        memmove(guest->buffer, guest->buffer + guest->begin, guest->end - guest->begin);
        guest->end -= guest->begin;
        guest->begin = 0;
        struct pollfd input = {.fd = guest->from, .events = POLLIN};
        size_t room = sizeof guest->buffer - guest->end;
        ssize_t got = -1;
        if (room && poll(&input, 1, 60000) > 0)
            got = read(guest->from, guest->buffer + guest->end, room);
        if (got <= 0)
            return SILENCE;
        guest->end += (size_t)got;
    }
    return line;
}

void guest_go(struct guest *guest)
{
    if (write(guest->to, "\n", 1) != 1)
        give_up("a guest's stdin");
}

static void close_stdin(struct guest *guest)
{
    if (guest->to >= 0)
        close(guest->to);
    guest->to = -1;
}

int guest_end(struct guest *guest)
{
    int status = 0;
    close_stdin(guest);
    if (!wait_until(waitpid(guest->pid, &status, WNOHANG) == guest->pid)) {
        guest_kill(guest);
        return -1;
    }
    guest->pid = 0;
    return WIFSIGNALED(status) ? 1000 + WTERMSIG(status) : WEXITSTATUS(status);
}

const char *guest_complaints(struct guest *guest)
{
    static char text[65536];
    ssize_t got = pread(guest->complaints, text, sizeof text - 1, 0);
    text[got > 0 ? got : 0] = 0;
    return text;
}

void guest_kill(struct guest *guest)
{
    if (guest->pid > 0)
        support_kill(guest->pid);
    guest->pid = 0;
}

void guest_kill_all(void)
{
    while (count) {
        struct guest *guest = &guests[--count];
        guest_kill(guest);
        close_stdin(guest);
        close(guest->from);
        close(guest->complaints);
        memset(guest, 0, sizeof *guest);
    }
}
