#include "unit/clocks.h"

#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

_Atomic int clocks_wall_ahead, clocks_boot_ahead;

int clock_gettime(clockid_t id, struct timespec *now)
{
    if (syscall(SYS_clock_gettime, id, now))
        return -1;
    if (id == CLOCK_REALTIME)
        now->tv_sec += atomic_load(&clocks_wall_ahead);
    else if (id == CLOCK_BOOTTIME)
        now->tv_sec += atomic_load(&clocks_boot_ahead);
    return 0;
}
