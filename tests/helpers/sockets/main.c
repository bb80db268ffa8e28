/*
 * A program that speaks PostgreSQL's protocol by plain system calls, in every way there is, and in
 * every odd one.
 *
 *   sockets STEP [ARGUMENT]…
 *
 * The steps stand in the files beside this one, and use the current descriptor. A step that goes
 * well says nothing unless it is asked for an answer.
 */
#include "sockets.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int current = -1;

long number(void)
{
    return strtol(stage_argument(), NULL, 10);
}

void check_errno(const char *call)
{
    if (errno != UNTOUCHED)
        stage_say("%s changed errno to %s", call, strerrorname_np(errno));
}

void give_up(const char *what)
{
    stage_say("%s: %s", what, strerror(errno));
    _exit(2);
}

static void pause_here(void)
{
    stage_await();
}

static void say(void)
{
    stage_say("%s", stage_argument());
}

static const struct stage_step common_steps[] = {
    {"pause", pause_here},
    {"say", say},
    {0},
};

int main(int argc, char **argv)
{
    static const struct stage_step *const tables[] = {
        common_steps,  connecting_steps, writing_steps, reading_steps, watching_steps,
        copying_steps, many_steps,       session_steps, NULL,
    };
    (void)argc;
    return stage_play(tables, argv + 1);
}
