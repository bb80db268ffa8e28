/* The arithmetic of connections: so many instances, one server. Pure functions. */
#ifndef PQB_TOOL_SIZING_H
#define PQB_TOOL_SIZING_H

#include <stdint.h>

#define PQB_SIZING_APPS 64
#define PQB_SIZING_MOST 100000u /* of instances, connections, weights: products fit everywhere */
#define PQB_SIZING_UNTOLD 0xffffffffu

struct pqb_sizing_app {
    const char *name;
    uint32_t replicas, weight;
    uint32_t present; /* connections each instance has now, or PQB_SIZING_UNTOLD */
    uint32_t share;   /* that it is to have */
};

/* How a total stands to what the server has. */
enum pqb_sizing_verdict {
    PQB_SIZING_FITS = 0,
    PQB_SIZING_TIGHT,       /* less is left than the headroom */
    PQB_SIZING_NO_HEADROOM, /* nothing is left for an ordinary role */
    PQB_SIZING_OVER,        /* more than the server has */
};

struct pqb_sizing_sum {
    uint64_t total;
    int64_t left; /* negative: so many are too many */
    enum pqb_sizing_verdict verdict;
};

enum pqb_sizing_pooler {
    PQB_SIZING_NO_POOLER = 0,
    PQB_SIZING_ONE_EACH, /* some instance would have a single connection */
    PQB_SIZING_TOO_MANY, /* more instances than connections */
};

struct pqb_sizing {
    /* What is asked. */
    uint32_t max_connections;
    uint32_t reserved; /* of these, for superusers and the like; PQB_SIZING_UNTOLD */
    uint32_t headroom; /* connections, or percent of max_connections */
    int headroom_is_percent;
    unsigned apps;
    struct pqb_sizing_app app[PQB_SIZING_APPS];

    /* The answer. */
    uint32_t instances;
    uint32_t kept; /* the headroom in connections */
    int has_present;
    struct pqb_sizing_sum present, plan;
    uint32_t limit, reserve, slack; /* of a budget that admits every planned connection */
    enum pqb_sizing_pooler pooler;
};

/* Works it out. Each instance gets what is to be had, in proportion to its weight, rounded down,
 * but at least one. */
void pqb_sizing_solve(struct pqb_sizing *sizing);

/* "fits", "tight", "no_headroom", "over". */
const char *pqb_sizing_name(enum pqb_sizing_verdict verdict);

/* The size of a pool that keeps a server's cores busy: (cores x 2) + 1. */
uint32_t pqb_sizing_of_cores(uint32_t cores);

#endif
