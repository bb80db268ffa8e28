/* Not a suite: what the program of the unit tests itself needs. */
#include <errno.h>
#include <string.h>

/* Criterion's own process loses an entry of its queue of timeouts now and then. The tests have
 * processes of their own, and there every leak counts. */
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void)
{
    return strcmp(program_invocation_short_name, "boxfort-worker") != 0;
}
