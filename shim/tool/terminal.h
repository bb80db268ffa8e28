/* The whole terminal for ourselves: a screen beside the one with the shell's lines, and keys one by
 * one. All is as it was before when we give it back, and whoever suspends us with Ctrl-Z has it
 * back as long. */
#ifndef PQB_TOOL_TERMINAL_H
#define PQB_TOOL_TERMINAL_H

#include <stdint.h>

/* A key is the byte it sends, or one of these. */
enum {
    PQB_KEY_NONE = 0,
    PQB_KEY_ESCAPE = 0x1b,
    PQB_KEY_UP = 0x100,
    PQB_KEY_DOWN,
    PQB_KEY_PAGE_UP,
    PQB_KEY_PAGE_DOWN,
    PQB_KEY_HOME,
    PQB_KEY_END,
};

/* Are stdin and stdout a terminal that can move its cursor? */
int pqb_terminal_is_able(void);

/* Returns 0 if it can't be had, with errno. Between pqb_watch_begin and pqb_watch_end. */
int pqb_terminal_take(void);

/* Does nothing if it is not taken. May be called by the handler of a fatal signal. */
void pqb_terminal_give_back(void);

/* The next key. PQB_KEY_NONE after so long, or earlier if the watch is over or all must be drawn
 * again: the size changed, or we were suspended. */
int pqb_terminal_key(uint64_t ns);

#endif
