/* Not a suite: what the program of the integration tests itself needs. */
#include <errno.h>
#include <string.h>

/* As in tests/unit/runner.c: Criterion's own process may leak, the tests' may not. */
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void)
{
    return strcmp(program_invocation_short_name, "boxfort-worker") != 0;
}
