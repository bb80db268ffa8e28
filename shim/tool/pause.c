/* pqbudget pause, resume: hold all grants of a server, and let them go. */
#include "tool/server.h"
#include "tool/verbs.h"

static const struct option longs[] = {{"server", required_argument, NULL, 's'}, PQB_CALL_OPTIONS};

static enum pqb_exit steer(struct pqb_call *call, int paused)
{
    struct pqb_steer change = pqb_steer_nothing;
    change.paused = paused;
    for (int option; (option = pqb_call_option(call, ":h", longs)) != PQB_CALL_DONE;) {
        if (option == PQB_CALL_END)
            return call->end;
        change.server = optarg;
    }
    return pqb_server_steer(call, &change, 1);
}

static enum pqb_exit run_pause(struct pqb_call *call)
{
    return steer(call, 1);
}

static enum pqb_exit run_resume(struct pqb_call *call)
{
    return steer(call, 0);
}

const struct pqb_verb pqb_verb_pause = {
    .name = "pause",
    .arguments = "[--server KEY]",
    .summary = "Hold all grants of a server: who wants a connection waits",
    .help = "  --server KEY       which server; not needed if the ledger has only one\n",
    .run = run_pause,
};

const struct pqb_verb pqb_verb_resume = {
    .name = "resume",
    .arguments = "[--server KEY]",
    .summary = "Let them go again",
    .help = "  --server KEY       which server; not needed if the ledger has only one\n",
    .run = run_resume,
};
