#include "tool/sizing.h"

/* superuser_reserved_connections, unless somebody changed it. */
#define RESERVED_BY_DEFAULT 3u
/* Of a budget that many are kept for who holds nothing: as PQBUDGET_RESERVE has it. */
#define RESERVE_PART 10u
/* A limit with so many to spare never met a refusal in any run. */
#define SLACK_ENOUGH 3u

const char *pqb_sizing_name(enum pqb_sizing_verdict verdict)
{
    static const char *const names[] = {"fits", "tight", "no_headroom", "over"};
    return names[verdict];
}

uint32_t pqb_sizing_of_cores(uint32_t cores)
{
    return cores * 2 + 1;
}

static uint32_t less(uint32_t from, uint32_t what)
{
    return from > what ? from - what : 0;
}

static uint32_t smaller(uint32_t one, uint32_t other)
{
    return one < other ? one : other;
}

/* What ordinary roles can have. */
static uint32_t usable(const struct pqb_sizing *sizing, uint32_t reserved_if_untold)
{
    return less(sizing->max_connections,
                sizing->reserved == PQB_SIZING_UNTOLD ? reserved_if_untold : sizing->reserved);
}

/* What is to be shared out. */
static uint32_t available(struct pqb_sizing *sizing)
{
    uint32_t rest =
        sizing->headroom_is_percent
            ? (uint32_t)((uint64_t)sizing->max_connections * less(100, sizing->headroom) / 100)
            : less(sizing->max_connections, sizing->headroom);
    rest = smaller(rest, usable(sizing, 0));
    sizing->kept = sizing->max_connections - rest;
    return rest;
}

/* Shares what is to be had among those whose share is not settled, by weight; where that is less
 * than one, one is settled. False once all that came to one at least. */
static int share_out(struct pqb_sizing *sizing, uint32_t to_be_had)
{
    uint64_t weights = 0;
    int is_settling = 0;
    for (unsigned i = 0; i < sizing->apps; i++) {
        const struct pqb_sizing_app *app = &sizing->app[i];
        if (app->share == 1)
            to_be_had = less(to_be_had, app->replicas);
        else
            weights += (uint64_t)app->replicas * app->weight;
    }
    for (unsigned i = 0; i < sizing->apps; i++) {
        struct pqb_sizing_app *app = &sizing->app[i];
        if (app->share != 1 && (uint64_t)to_be_had * app->weight < weights) {
            app->share = 1;
            is_settling = 1;
        }
    }
    for (unsigned i = 0; i < sizing->apps && !is_settling && weights; i++) {
        struct pqb_sizing_app *app = &sizing->app[i];
        if (app->share != 1)
            app->share = (uint32_t)((uint64_t)to_be_had * app->weight / weights);
    }
    return is_settling;
}

static struct pqb_sizing_sum sum_up(const struct pqb_sizing *sizing, uint64_t total)
{
    struct pqb_sizing_sum sum = {.total = total,
                                 .left = (int64_t)sizing->max_connections - (int64_t)total};
    if (total > sizing->max_connections)
        sum.verdict = PQB_SIZING_OVER;
    else if (total >= usable(sizing, 0))
        sum.verdict = PQB_SIZING_NO_HEADROOM;
    else if (total > sizing->max_connections - sizing->kept)
        sum.verdict = PQB_SIZING_TIGHT;
    return sum;
}

/* The reserve comes on top: it is not for who holds something already. */
static void make_budget(struct pqb_sizing *sizing)
{
    uint32_t planned = (uint32_t)sizing->plan.total;
    uint32_t free = less(usable(sizing, RESERVED_BY_DEFAULT), planned);
    sizing->reserve = smaller(planned / RESERVE_PART, free / 2);
    sizing->limit = planned + sizing->reserve;
    sizing->slack = smaller(SLACK_ENOUGH, free - sizing->reserve);
}

void pqb_sizing_solve(struct pqb_sizing *sizing)
{
    uint64_t present = 0, planned = 0;
    uint32_t to_be_had = available(sizing);
    sizing->instances = 0;
    sizing->pooler = PQB_SIZING_NO_POOLER;
    sizing->has_present = sizing->apps > 0;
    for (unsigned i = 0; i < sizing->apps; i++) {
        struct pqb_sizing_app *app = &sizing->app[i];
        app->share = 0;
        sizing->instances += app->replicas;
        if (app->present == PQB_SIZING_UNTOLD)
            sizing->has_present = 0;
        else
            present += (uint64_t)app->replicas * app->present;
    }
    while (share_out(sizing, to_be_had))
        ;
    for (unsigned i = 0; i < sizing->apps; i++) {
        planned += (uint64_t)sizing->app[i].replicas * sizing->app[i].share;
        if (sizing->app[i].share == 1)
            sizing->pooler = PQB_SIZING_ONE_EACH;
    }
    if (sizing->instances > to_be_had)
        sizing->pooler = PQB_SIZING_TOO_MANY;
    sizing->plan = sum_up(sizing, planned);
    if (sizing->has_present)
        sizing->present = sum_up(sizing, present);
    make_budget(sizing);
}
