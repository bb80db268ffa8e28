/* pqbudget run: pqbudget-run, under another name. */
#include "tool/verbs.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Its exit status where nothing can be run under the library; other statuses are the command's. */
#define CANNOT_RUN ((enum pqb_exit)125)

/* Beside this program, or where the source tree has it. Never looked for along PATH. */
static int find_wrapper(char path[PATH_MAX])
{
    static const char *const places[] = {"pqbudget-run", "../../scripts/pqbudget-run"};
    char self[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    if (length < 0)
        return 0;
    self[length] = 0;
    char *slash = strrchr(self, '/');
    if (!slash)
        return 0;
    slash[1] = 0;
    for (unsigned i = 0; i < sizeof places / sizeof *places; i++)
        if (snprintf(path, PATH_MAX, "%s%s", self, places[i]) < PATH_MAX && !access(path, X_OK))
            return 1;
    return 0;
}

static enum pqb_exit run(struct pqb_call *call)
{
    char path[PATH_MAX];
    if (!find_wrapper(path))
        return pqb_report(CANNOT_RUN, "there is no pqbudget-run beside this program");
    if (call->ledger && setenv("PQBUDGET_LEDGER", call->ledger, 1))
        return pqb_report(CANNOT_RUN, "cannot set PQBUDGET_LEDGER: %s", strerror(errno));
    if (!call->ignored_pipe)
        signal(SIGPIPE, SIG_DFL);
    call->argv[0] = path;
    execv(path, call->argv);
    return pqb_report(CANNOT_RUN, "cannot run %.200s: %s", path, strerror(errno));
}

const struct pqb_verb pqb_verb_run = {
    .name = "run",
    .arguments = "[OPTION]... [--] COMMAND [ARGUMENT]...",
    .summary = "Run a command, and all that it starts, under the budget",
    .help = "  The options are those of pqbudget-run; \"pqbudget run --help\" explains them.\n",
    .run = run,
};
