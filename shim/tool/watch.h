/* Doing something again and again until somebody says stop: Ctrl-C, SIGTERM, SIGHUP. */
#ifndef PQB_TOOL_WATCH_H
#define PQB_TOOL_WATCH_H

#include <signal.h>
#include <stdint.h>

/* From now on those signals stop the watch instead of the program. With `hide`, the terminal's
 * cursor is gone until the end, whatever that is. */
void pqb_watch_begin(int hide);
void pqb_watch_end(void);

/* Has it been stopped? */
int pqb_watch_is_over(void);

/* Sleeps, and wakes early if it is stopped. */
void pqb_watch_sleep(uint64_t ns);

/* For the handler of a fatal signal: is the cursor gone, and what brings it back? */
extern volatile sig_atomic_t pqb_watch_hides;
#define PQB_WATCH_SHOW "\033[?25h"

#endif
