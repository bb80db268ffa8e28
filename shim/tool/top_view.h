/* What `top` draws: bars above, the list of claims below, as many lines as the terminal has. */
#ifndef PQB_TOOL_TOP_VIEW_H
#define PQB_TOOL_TOP_VIEW_H

#include "tool/screen.h"
#include "tool/top_list.h"

struct pqb_top_view {
    struct pqb_top_wish wish;
    unsigned scroll; /* how many of the list lie above what is seen */
    unsigned page;   /* how many are seen */
    int is_typing;   /* the filter is being typed */
    int is_held;     /* the picture stands still */
};

/* Puts `scroll` and `page` right. `list` has room for all of the snapshot's claims. */
void pqb_top_view_draw(struct pqb_top_view *view, const struct pqb_snapshot *snapshot,
                       struct pqb_top_list *list, const struct pqb_screen *screen, FILE *out);

/* Where there is no snapshot, the reason. */
void pqb_top_view_fail(const struct pqb_top_view *view, const char *ledger, const char *reason,
                       const struct pqb_screen *screen, FILE *out);

#endif
