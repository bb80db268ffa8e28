/* The ledger as people and programs see it. */
#ifndef PQB_TOOL_VIEW_H
#define PQB_TOOL_VIEW_H

#include "ledger/snapshot.h"
#include "tool/screen.h"

#define PQB_VIEW_ALL PQB_NIL

/* `only` is the number of the one server to show in the snapshot, or PQB_VIEW_ALL. */
void pqb_view_text(const struct pqb_snapshot *snapshot, unsigned only,
                   const struct pqb_screen *screen, FILE *out);
void pqb_view_json(const struct pqb_snapshot *snapshot, unsigned only, FILE *out);

/* Prometheus' text format. */
void pqb_view_metrics(const struct pqb_snapshot *snapshot, FILE *out);

#endif
