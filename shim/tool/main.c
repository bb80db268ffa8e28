/* pqbudget: looks at the ledger and steers it. */
#include "tool/terminal.h"
#include "tool/text.h"
#include "tool/verbs.h"
#include "tool/watch.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define VERSION "0.1.0"

static const struct pqb_verb *const verbs[] = {
    &pqb_verb_status, &pqb_verb_top,
    &pqb_verb_set,    &pqb_verb_pause,
    &pqb_verb_resume, &pqb_verb_events,
    &pqb_verb_health, &pqb_verb_metrics,
    &pqb_verb_plan,   &pqb_verb_doctor,
    &pqb_verb_serve,  &pqb_verb_reset,
    &pqb_verb_run,    NULL,
};

static const struct pqb_verb *find_verb(const char *name)
{
    const struct pqb_verb *const *verb = verbs;
    while (*verb && strcmp((*verb)->name, name))
        verb++;
    return *verb;
}

static enum pqb_exit unknown_verb(const char *name)
{
    return pqb_report(PQB_EXIT_USAGE, "unknown command '%.80s'; \"pqbudget help\" lists them",
                      name);
}

static enum pqb_exit run_help(struct pqb_call *call);

static const struct pqb_verb verb_help = {
    .name = "help",
    .arguments = "[COMMAND]",
    .summary = "Say what there is, or what a command does",
    .help = "",
    .run = run_help,
};

static void print_overview(void)
{
    printf("usage: pqbudget [--ledger NAME] COMMAND [OPTION]...\n\n"
           "Shows and steers the connection budget that programs under pqbudget share.\n\n");
    for (const struct pqb_verb *const *verb = verbs; *verb; verb++)
        printf("  %-9s %s\n", (*verb)->name, (*verb)->summary);
    printf("  %-9s %s\n\n", verb_help.name, verb_help.summary);
    printf("The ledger is $PQBUDGET_LEDGER, else \"default\": a name, or an absolute path.\n"
           "Exit status: 0 done, 1 the answer is no, 2 wrong usage, 3 could not tell.\n");
}

static enum pqb_exit run_help(struct pqb_call *call)
{
    if (call->argc < 2) {
        print_overview();
        return PQB_EXIT_DONE;
    }
    const char *name = call->argv[1];
    const struct pqb_verb *verb =
        !strcmp(name, "help") || !strcmp(name, "--help") ? &verb_help : find_verb(name);
    if (call->argc > 2)
        return pqb_call_misused(call, "unexpected argument '%.80s'", call->argv[2]);
    if (!verb)
        return unknown_verb(name);
    pqb_call_help(verb);
    return PQB_EXIT_DONE;
}

/* The options before the verb. Returns -1 if there is a verb at argv[*at]. */
static int take_options(int argc, char **argv, int *at, const char **ledger)
{
    int i = 1;
    for (; i < argc && *argv[i] == '-'; i++) {
        const char *value = NULL;
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
            print_overview();
            return PQB_EXIT_DONE;
        }
        if (!strcmp(argv[i], "--version")) {
            printf("pqbudget %s (ledger version %u)\n", VERSION, PQB_LAYOUT_VERSION);
            return PQB_EXIT_DONE;
        }
        if (!strncmp(argv[i], "--ledger=", 9))
            value = argv[i] + 9;
        else if (!strcmp(argv[i], "--ledger") && i + 1 < argc)
            value = argv[++i];
        else if (!strcmp(argv[i], "--ledger"))
            value = "";
        else
            return (int)pqb_report(PQB_EXIT_USAGE,
                                   "unknown option '%.80s'; \"pqbudget help\" lists what there is",
                                   argv[i]);
        enum pqb_exit code = pqb_call_name_ledger(ledger, value);
        if (code)
            return (int)code;
    }
    if (i >= argc)
        return (int)pqb_report(PQB_EXIT_USAGE, "no command; \"pqbudget help\" lists them");
    *at = i;
    return -1;
}

/* A descriptor that the caller closed must not become the ledger's. */
static void fill_standard_descriptors(void)
{
    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFD) < 0)
            /* The wrong way round, so that using it fails as it should. */
            (void)!open("/dev/null", (fd ? O_RDONLY : O_WRONLY) | O_CLOEXEC);
}

/* Somebody cut the ledger short between our looking at its size and our reading it. */
static void on_truncation(int number)
{
    static const char text[] =
        "pqbudget: the ledger was truncated while it was read; remove it with "
        "\"pqbudget reset --force\"\n";
    (void)number;
    pqb_terminal_give_back(); /* NOLINT(bugprone-signal-handler): write and tcsetattr may be called
                               */
    if (pqb_watch_hides)
        (void)!write(STDOUT_FILENO, PQB_WATCH_SHOW, sizeof PQB_WATCH_SHOW - 1);
    (void)!write(STDERR_FILENO, text, sizeof text - 1);
    _exit(PQB_EXIT_UNKNOWN);
}

int main(int argc, char **argv)
{
    int at = 0, answer;
    struct pqb_call call = {0};
    fill_standard_descriptors();
    call.ignored_pipe = signal(SIGPIPE, SIG_IGN) == SIG_IGN;
    signal(SIGBUS, on_truncation);
    pqb_text_start();

    answer = take_options(argc, argv, &at, &call.ledger);
    if (answer >= 0)
        return (int)pqb_report_end((enum pqb_exit)answer);
    call.verb = strcmp(argv[at], "help") ? find_verb(argv[at]) : &verb_help;
    if (!call.verb)
        return (int)unknown_verb(argv[at]);
    call.argc = argc - at;
    call.argv = argv + at;
    return (int)pqb_report_end(call.verb->run(&call));
}
