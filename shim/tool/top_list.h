/* The list of claims in `top`: which of them, in which order. */
#ifndef PQB_TOOL_TOP_LIST_H
#define PQB_TOOL_TOP_LIST_H

#include "ledger/snapshot.h"

enum pqb_top_show { PQB_TOP_ALL = 0, PQB_TOP_QUEUE, PQB_TOP_HOLDERS, PQB_TOP_SHOWS };
enum pqb_top_sort {
    PQB_TOP_AGE = 0,
    PQB_TOP_WAIT,
    PQB_TOP_APP,
    PQB_TOP_DATABASE,
    PQB_TOP_USER,
    PQB_TOP_PID,
    PQB_TOP_SORTS
};

#define PQB_TOP_FILTER 64

struct pqb_top_wish {
    unsigned only; /* number of the one server in the snapshot, PQB_NIL = all */
    enum pqb_top_show show;
    enum pqb_top_sort sort; /* of holders: those who wait stand in their order, and first */
    int is_reversed;
    char filter[PQB_TOP_FILTER]; /* "" = everything */
};

struct pqb_top_list {
    unsigned *claim; /* numbers in the snapshot; room for all */
    unsigned count;
    unsigned waiting, holding; /* also of what is not shown now, but not of what the filter hides */
};

/* "age", "wait", … */
const char *pqb_top_sort_name(enum pqb_top_sort sort);

void pqb_top_list_make(const struct pqb_snapshot *snapshot, const struct pqb_top_wish *wish,
                       struct pqb_top_list *list);

#endif
