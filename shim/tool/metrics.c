/* pqbudget metrics: the ledger in Prometheus' text format. Reads only; never waits for anybody. */
#include "tool/look.h"
#include "tool/verbs.h"
#include "tool/view.h"

static const struct option longs[] = {PQB_CALL_OPTIONS};

static enum pqb_exit run(struct pqb_call *call)
{
    struct pqb_snapshot snapshot;
    unsigned all;
    if (pqb_call_option(call, ":h", longs) == PQB_CALL_END)
        return call->end;
    enum pqb_exit code = pqb_look_for(call, NULL, &snapshot, &all);
    if (code)
        return code;
    pqb_view_metrics(&snapshot, stdout);
    pqb_snapshot_free(&snapshot);
    return PQB_EXIT_DONE;
}

const struct pqb_verb pqb_verb_metrics = {
    .name = "metrics",
    .arguments = "",
    .summary = "Print the ledger's numbers for Prometheus",
    .help = "",
    .run = run,
};
