#include "chaos/deaths/people.h"

#include "support/support.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <unistd.h>

#define WORDS 64

static void give_up(const char *what)
{
    perror(what);
    exit(3);
}

static void split(char *steps, char **words)
{
    static char socket_host[256];
    unsigned count = 0;
    snprintf(socket_host, sizeof socket_host, "host=%s", getenv("PQB_POSTGRES_DIR"));
    for (char *word; (word = strsep(&steps, " ")) && count < WORDS - 1;)
        words[count++] = strcmp(word, "host=unix") ? word : socket_host;
    words[count] = NULL;
}

static void become(const struct casting *casting, int in, int out)
{
    char steps[1024], program[64], *words[WORDS];
    snprintf(steps, sizeof steps, "%s", casting->steps);
    split(steps, words);
    snprintf(program, sizeof program, "helpers/%s", words[0]);
    setenv("PQBUDGET_APP", casting->app, 1);
    setenv("LD_PRELOAD", realpath(support_built("libpqbudget.so"), NULL), 1);
    if (casting->wait)
        setenv("PQBUDGET_WAIT", casting->wait, 1);
    dup2(in, STDIN_FILENO);
    dup2(out, STDOUT_FILENO);
    dup2(out, STDERR_FILENO);
    close_range(3, ~0u, 0);
    if (casting->is_traced && (setpgid(0, 0) || ptrace(PTRACE_TRACEME, 0, 0, 0) || raise(SIGSTOP)))
        _exit(3);
    execv(support_built(program), words);
    _exit(127);
}

void person_start(struct person *person, const struct casting *casting)
{
    int in[2];
    person->said = memfd_create("said", MFD_CLOEXEC);
    if (person->said < 0 || pipe2(in, O_CLOEXEC))
        give_up("a person's voice");
    person->to = in[1];
    person->pid = support_fork();
    if (!person->pid)
        become(casting, in[0], person->said);
    if (person->pid < 0)
        give_up("fork");
    close(in[0]);
}

const char *person_words(const struct person *person)
{
    static char words[4096];
    ssize_t length = pread(person->said, words, sizeof words - 1, 0);
    words[length > 0 ? length : 0] = 0;
    return words;
}

void person_go_on(const struct person *person)
{
    if (write(person->to, "\n", 1) != 1)
        give_up("a person's stdin");
}

void person_let_go(struct person *person)
{
    if (person->to >= 0)
        close(person->to);
    person->to = -1;
}

void person_close(struct person *person)
{
    person_let_go(person);
    close(person->said);
    *person = (struct person){.to = -1, .said = -1};
}
