/* Doing something again and again until somebody says stop: Ctrl-C, Ctrl-\, SIGTERM, SIGHUP.
 */
#ifndef PQB_TOOL_WATCH_H
#define PQB_TOOL_WATCH_H

#include <signal.h>
#include <stdint.h>

/* From now on those signals stop the watch instead of the program. With `hide`, the terminal's
 * cursor is gone until the end, whatever that is. */
void pqb_watch_begin(int hide);
void pqb_watch_end(void);

/* How long from one time to the next: 50 ms to an hour. Returns 0 if the text says anything else.
 */
#define PQB_WATCH_MS 1000
int pqb_watch_interval(const char *text, long long *ms);

/* Has it been stopped? */
int pqb_watch_is_over(void);

/* Stops it, as those signals do. */
void pqb_watch_stop(void);

/* Sleeps, and wakes early if it is stopped. */
void pqb_watch_sleep(uint64_t ns);

/* For the handler of a fatal signal: is the cursor gone, and what brings it back? */
extern volatile sig_atomic_t pqb_watch_hides;
#define PQB_WATCH_SHOW "\033[?25h"

#endif
