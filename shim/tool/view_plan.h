/* A plan, as people and programs see it. */
#ifndef PQB_TOOL_VIEW_PLAN_H
#define PQB_TOOL_VIEW_PLAN_H

#include "tool/screen.h"
#include "tool/sizing.h"
#include "tool/url.h"

struct pqb_view_plan {
    struct pqb_sizing sizing;
    int asked_server;          /* the numbers are its own */
    const char *server;        /* as a ledger names it; NULL = nobody was asked */
    uint32_t cores;            /* 0 = not known */
    int cores_are_here;        /* they are this machine's */
    uint64_t work_mem;         /* bytes; PostgreSQL's default if nobody asked */
    const struct pqb_url *url; /* to make lines for .env files of; NULL = none are wanted */
    const char *applied;       /* the server whose budget was set so; NULL = none */
};

void pqb_view_plan_text(const struct pqb_view_plan *plan, const struct pqb_screen *screen,
                        FILE *out);
void pqb_view_plan_json(const struct pqb_view_plan *plan, FILE *out);
void pqb_view_plan_env(const struct pqb_view_plan *plan, FILE *out);

#endif
