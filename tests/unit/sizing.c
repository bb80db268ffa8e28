/* sizing.c: how many connections each instance is to have. */
#include "tool/sizing.h"

#include <criterion/criterion.h>

#define UNSAID PQB_SIZING_UNTOLD

/* max_connections, and what is kept free of them; then the applications, up to one without a name.
 */
static struct pqb_sizing solve(uint32_t max_connections, uint32_t headroom, int is_percent,
                               const struct pqb_sizing_app *app)
{
    struct pqb_sizing sizing = {.max_connections = max_connections,
                                .reserved = PQB_SIZING_UNTOLD,
                                .headroom = headroom,
                                .headroom_is_percent = is_percent};
    for (; app->name; app++)
        sizing.app[sizing.apps++] = *app;
    pqb_sizing_solve(&sizing);
    return sizing;
}

#define APPS(...)                                                                                  \
    (const struct pqb_sizing_app[])                                                                \
    {                                                                                              \
        __VA_ARGS__,                                                                               \
        {                                                                                          \
            0                                                                                      \
        }                                                                                          \
    }

#define SUM_IS(sum, total_, left_, verdict_)                                                       \
    do {                                                                                           \
        cr_expect_eq((sum).total, total_);                                                         \
        cr_expect_eq((sum).left, left_);                                                           \
        cr_expect_str_eq(pqb_sizing_name((sum).verdict), verdict_);                                \
    } while (0)

Test(sizing, three_web_and_two_bot_of_85)
{
    struct pqb_sizing sizing =
        solve(100, 15, 0, APPS({"web", 3, 1, UNSAID, 0}, {"bot", 2, 1, UNSAID, 0}));
    cr_expect_eq(sizing.app[0].share, 17);
    cr_expect_eq(sizing.app[1].share, 17);
    cr_expect_eq(sizing.instances, 5);
    cr_expect_not(sizing.has_present);
    SUM_IS(sizing.plan, 85, 15, "fits");
    cr_expect_eq(sizing.pooler, PQB_SIZING_NO_POOLER);
}

Test(sizing, the_rule_of_085)
{
    struct pqb_sizing sizing = solve(100, 15, 1, APPS({"app", 5, 1, UNSAID, 0}));
    cr_expect_eq(sizing.app[0].share, 17);
    SUM_IS(sizing.plan, 85, 15, "fits");
    sizing = solve(90, 15, 1, APPS({"app", 1, 1, UNSAID, 0})); /* 76.5 */
    cr_expect_eq(sizing.app[0].share, 76);
    cr_expect_eq(sizing.kept, 14);
}

Test(sizing, three_and_two_times_20_is_all_there_is)
{
    struct pqb_sizing sizing = solve(100, 15, 1, APPS({"web", 3, 1, 20, 0}, {"bot", 2, 1, 20, 0}));
    cr_expect(sizing.has_present);
    SUM_IS(sizing.present, 100, 0, "no_headroom");
    SUM_IS(sizing.plan, 85, 15, "fits");
}

Test(sizing, three_times_15_and_two_times_10_leave_35)
{
    struct pqb_sizing sizing = solve(100, 15, 1, APPS({"web", 3, 1, 15, 0}, {"bot", 2, 1, 10, 0}));
    SUM_IS(sizing.present, 65, 35, "fits");
}

Test(sizing, twenty_three_times_five_is_over)
{
    struct pqb_sizing sizing = solve(100, 15, 1, APPS({"dev", 23, 1, 5, 0}));
    SUM_IS(sizing.present, 115, -15, "over");
    cr_expect_eq(sizing.app[0].share, 3);
    SUM_IS(sizing.plan, 69, 31, "fits");
}

Test(sizing, less_than_the_headroom_is_tight)
{
    struct pqb_sizing sizing = solve(100, 15, 0, APPS({"web", 1, 1, 86, 0}));
    SUM_IS(sizing.present, 86, 14, "tight");
    sizing = solve(100, 15, 0, APPS({"web", 1, 1, 85, 0}));
    SUM_IS(sizing.present, 85, 15, "fits");
}

Test(sizing, one_present_size_of_several_is_none)
{
    cr_expect_not(
        solve(100, 15, 0, APPS({"web", 1, 1, 5, 0}, {"bot", 1, 1, UNSAID, 0})).has_present);
}

Test(sizing, what_superusers_have_is_not_shared_out)
{
    struct pqb_sizing sizing = {.max_connections = 100,
                                .reserved = 13,
                                .headroom = 10,
                                .apps = 1,
                                .app = {{"web", 1, 1, 87, 0}}};
    pqb_sizing_solve(&sizing);
    cr_expect_eq(sizing.app[0].share, 87);
    cr_expect_eq(sizing.kept, 13);
    SUM_IS(sizing.present, 87, 13, "no_headroom");
    sizing.app[0].present = 86;
    pqb_sizing_solve(&sizing);
    SUM_IS(sizing.present, 86, 14, "fits");
}

Test(sizing, weights_share_in_proportion)
{
    struct pqb_sizing sizing =
        solve(100, 15, 0, APPS({"web", 3, 2, UNSAID, 0}, {"bot", 2, 1, UNSAID, 0}));
    cr_expect_eq(sizing.app[0].share, 21); /* 170 / 8 */
    cr_expect_eq(sizing.app[1].share, 10);
    SUM_IS(sizing.plan, 83, 17, "fits");
}

Test(sizing, everybody_has_one_at_least)
{
    struct pqb_sizing sizing =
        solve(21, 10, 0, APPS({"web", 1, 100, UNSAID, 0}, {"bot", 10, 1, UNSAID, 0}));
    cr_expect_eq(sizing.app[0].share, 1);
    cr_expect_eq(sizing.app[1].share, 1);
    cr_expect_eq(sizing.pooler, PQB_SIZING_ONE_EACH);
    SUM_IS(sizing.plan, 11, 10, "fits");
    sizing = solve(40, 10, 0, APPS({"web", 1, 100, UNSAID, 0}, {"bot", 10, 1, UNSAID, 0}));
    cr_expect_eq(sizing.app[0].share, 20);
    SUM_IS(sizing.plan, 30, 10, "fits");
}

Test(sizing, more_instances_than_connections_want_a_pooler)
{
    struct pqb_sizing sizing = solve(100, 15, 0, APPS({"job", 120, 1, UNSAID, 0}));
    cr_expect_eq(sizing.app[0].share, 1);
    SUM_IS(sizing.plan, 120, -20, "over");
    cr_expect_eq(sizing.pooler, PQB_SIZING_TOO_MANY);
    sizing = solve(100, 15, 0, APPS({"job", 86, 1, UNSAID, 0}));
    SUM_IS(sizing.plan, 86, 14, "tight");
    cr_expect_eq(sizing.pooler, PQB_SIZING_TOO_MANY);
    sizing = solve(100, 100, 1, APPS({"job", 1, 1, UNSAID, 0}));
    cr_expect_eq(sizing.pooler, PQB_SIZING_TOO_MANY);
}

/* Whatever is asked: the budget lets all of the plan in, and is not more than ordinary roles have.
 */
Test(sizing, the_budget_admits_the_plan_and_no_more_than_there_is)
{
    struct pqb_sizing sizing = solve(100, 15, 0, APPS({"web", 5, 1, UNSAID, 0}));
    cr_expect_eq(sizing.limit, 91);
    cr_expect_eq(sizing.reserve, 6);
    cr_expect_eq(sizing.slack, 3);
    for (uint32_t most = 4; most < 130; most++)
        for (uint32_t headroom = 0; headroom <= most; headroom++)
            for (uint32_t replicas = 1; replicas < 9; replicas++) {
                sizing = solve(most, headroom, 0, APPS({"web", replicas, 1, UNSAID, 0}));
                cr_assert_eq(sizing.limit - sizing.reserve, sizing.plan.total);
                if (sizing.plan.total <= most - 3)
                    cr_assert_leq(sizing.limit + sizing.slack, most - 3);
                if (sizing.pooler != PQB_SIZING_TOO_MANY)
                    cr_assert_leq(sizing.plan.total, most - headroom);
            }
}

Test(sizing, the_largest_numbers_fit)
{
    const uint32_t most = PQB_SIZING_MOST;
    struct pqb_sizing sizing = {.max_connections = most, .reserved = 0, .apps = PQB_SIZING_APPS};
    for (unsigned i = 0; i < PQB_SIZING_APPS; i++)
        sizing.app[i] = (struct pqb_sizing_app){"app", most, most, most, 0};
    pqb_sizing_solve(&sizing);
    SUM_IS(sizing.present, 640000000000u, 100000 - 640000000000, "over");
    SUM_IS(sizing.plan, 6400000u, 100000 - 6400000, "over");
}

Test(sizing, cores)
{
    cr_expect_eq(pqb_sizing_of_cores(4), 9);
}
