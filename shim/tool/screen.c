#include "tool/screen.h"

#include "tool/text.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static int wants_colour(void)
{
    const char *refusal = getenv("NO_COLOR"), *kind = getenv("TERM");
    return !(refusal && *refusal) && kind && *kind && strcmp(kind, "dumb");
}

struct pqb_screen pqb_screen_look(void)
{
    struct pqb_screen screen = {.columns = PQB_TEXT_ALL, .rows = PQB_TEXT_ALL};
    struct winsize size = {0};
    if (!isatty(STDOUT_FILENO))
        return screen;
    ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
    screen.is_terminal = 1;
    screen.has_colour = wants_colour();
    screen.ascii_only = pqb_text_is_ascii_only(stdout);
    screen.columns = size.ws_col ? size.ws_col : 80;
    screen.rows = size.ws_row ? size.ws_row : 24;
    return screen;
}

const char *pqb_screen_on(const struct pqb_screen *screen, enum pqb_style style)
{
    static const char *const codes[] = {"",         "\033[1m",  "\033[2m",
                                        "\033[32m", "\033[33m", "\033[31m"};
    return screen->has_colour ? codes[style] : "";
}

const char *pqb_screen_off(const struct pqb_screen *screen, enum pqb_style style)
{
    return screen->has_colour && style != PQB_PLAIN ? "\033[0m" : "";
}
