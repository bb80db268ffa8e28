/*
 * A program linked with libpq that opens connections in every way there is, and in every wrong one.
 *
 *   doors STEP [ARGUMENT]…
 *
 * The steps stand in the files beside this one. What a step opens becomes the current connection,
 * and a step that needs one takes the current one.
 */
#include "conns.h"

int main(int argc, char **argv)
{
    static const struct stage_step *const tables[] = {
        opening_steps, lasting_steps, aside_steps, null_steps,    family_steps, crowd_steps,
        signal_steps,  manner_steps,  twin_steps,  session_steps, NULL,
    };
    (void)argc;
    return stage_play(tables, argv + 1);
}
