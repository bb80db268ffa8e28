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

void pqb_screen_draw(const struct pqb_screen *screen, const char *frame)
{
    unsigned rows = 0, left = 0;
    /* Cleared before it is written: in the last column, clearing the rest clears what stands there.
     */
    fputs("\033[H", stdout);
    for (const char *end; (end = strchr(frame, '\n')); frame = end + 1, rows++) {
        if (rows + 1 < screen->rows)
            printf("\033[K%.*s\n", (int)(end - frame), frame);
        else
            left++;
    }
    printf("\033[J%s", frame);
    if (left && !*frame)
        printf("%s... and %u more lines%s", pqb_screen_on(screen, PQB_DIM), left,
               pqb_screen_off(screen, PQB_DIM));
}
