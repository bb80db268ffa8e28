/* What stdout is: a terminal of some size, with or without colour, or a pipe or file of any width.
 */
#ifndef PQB_TOOL_SCREEN_H
#define PQB_TOOL_SCREEN_H

#include <stdio.h>

enum pqb_style { PQB_PLAIN = 0, PQB_BOLD, PQB_DIM, PQB_GOOD, PQB_WARN, PQB_BAD };

struct pqb_screen {
    int is_terminal;
    int has_colour;
    int ascii_only;
    unsigned columns; /* PQB_TEXT_ALL in a pipe */
    unsigned rows;
};

struct pqb_screen pqb_screen_look(void);

/* What turns a style on or off: nothing without colour. */
const char *pqb_screen_on(const struct pqb_screen *screen, enum pqb_style style);
const char *pqb_screen_off(const struct pqb_screen *screen, enum pqb_style style);

/* On a terminal: from the top, each line over the old one, as many as there is room for. What
 * follows the last line's end is a footer, which is always drawn. */
void pqb_screen_draw(const struct pqb_screen *screen, const char *frame);

#endif
