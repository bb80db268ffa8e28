/*
 * A program that is not linked with libpq: it loads what brings it, in each way that is in use.
 *
 *   loader STEP [ARGUMENT]…
 */
#include "loader.h"

int main(int argc, char **argv)
{
    static const struct stage_step *const tables[] = {loading_steps, calling_steps, cancel_steps,
                                                      NULL};
    (void)argc;
    return stage_play(tables, argv + 1);
}
