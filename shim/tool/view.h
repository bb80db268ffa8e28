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

/* Instead of it, where there is nothing to show: no ledger, for example. */
void pqb_view_json_failure(const char *path, const char *why, FILE *out);

/* Prometheus' text format. */
void pqb_view_metrics(const struct pqb_snapshot *snapshot, FILE *out);

/* Is it known for how long the claim's session has been idle? Not while it is doing something, or
 * nobody can tell. */
int pqb_view_is_idle(const struct pqb_snapshot_claim *claim);

/* Parts of the text. A bar of so many columns and its two brackets: `to` has room for PQB_VIEW_BAR.
 */
#define PQB_VIEW_BAR_WIDTH 40
#define PQB_VIEW_BAR (PQB_VIEW_BAR_WIDTH + 3)
void pqb_view_bar(char *to, unsigned width, uint32_t used, uint32_t limit);
enum pqb_style pqb_view_style(const struct pqb_snapshot_server *server);

/* "host:port  [##--------]  20 of 85 used, 3 waiting, 1 draining" */
void pqb_view_header(const struct pqb_snapshot_server *server, unsigned width,
                     const struct pqb_screen *screen, FILE *out);

/* Those of the claims that the list names, in its order. */
void pqb_view_claims(const struct pqb_snapshot *snapshot, const unsigned *list, unsigned count,
                     const struct pqb_screen *screen, FILE *out);

#endif
