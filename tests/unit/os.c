/* os.c: clocks, futexes, descriptors. */
#include "ledger/os.h"
#include "support/support.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

TestSuite(os, .timeout = 60);

static int is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static void limit_descriptors(rlim_t count)
{
    struct rlimit limit;
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = count;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

Test(os, clocks_advance)
{
    uint64_t monotonic = pqb_now(), real = pqb_now_real();
    cr_assert(wait_until(pqb_now() > monotonic && pqb_now_real() > real));
    cr_assert_gt(real, 1600000000 * PQB_SECOND);
}

Test(os, park_moves_a_descriptor_out_of_the_way_and_closes_it_on_exec)
{
    limit_descriptors(1024);
    int low = open("/dev/null", O_RDONLY);
    int parked = pqb_park(low);
    cr_assert_geq(parked, 512);
    cr_assert_not(is_open(low));
    cr_assert(fcntl(parked, F_GETFD) & FD_CLOEXEC);
    cr_assert_eq(pqb_park(parked), parked);
}

Test(os, park_goes_no_further_than_half_the_limit)
{
    limit_descriptors(64);
    int parked = pqb_park(open("/dev/null", O_RDONLY));
    cr_assert_geq(parked, 32);
    cr_assert_lt(parked, 64);
}

Test(os, park_keeps_the_low_descriptor_when_there_is_no_other)
{
    limit_descriptors(64);
    int low = open("/dev/null", O_RDONLY | O_CLOEXEC), last = low;
    while (last >= 0)
        last = open("/dev/null", O_RDONLY | O_CLOEXEC);
    errno = 0;
    cr_assert_eq(pqb_park(low), low);
    cr_assert(is_open(low));
    cr_assert_eq(errno, 0);
}

Test(os, close_keeps_errno)
{
    errno = ENOTTY;
    pqb_close(-1);
    cr_assert_eq(errno, ENOTTY);
}

Test(os, futex_wait_ends_at_its_deadline)
{
    _Atomic uint32_t word = 7;
    uint64_t deadline = pqb_now() + 20 * PQB_MS;
    errno = ENOTTY;
    while (pqb_now() < deadline)
        pqb_futex_wait(&word, 7, deadline, 0);
    pqb_futex_wait(&word, 7, deadline, 0); /* a deadline that has passed does not sleep */
    cr_assert_eq(errno, ENOTTY);
}

Test(os, futex_wait_does_not_sleep_on_another_value)
{
    _Atomic uint32_t word = 7;
    pqb_futex_wait(&word, 8, PQB_FOREVER, 1);
}

Test(os, futex_wakes_across_processes)
{
    _Atomic uint32_t *word = support_shared(sizeof *word);
    pid_t child = support_fork();
    if (!child) {
        while (!atomic_load(word))
            pqb_futex_wait(word, 0, PQB_FOREVER, 1);
        _exit(0);
    }
    atomic_store(word, 1);
    pqb_futex_wake(word, 1, 1);
    cr_assert_eq(support_reap(child), 0);
}

Test(os, random_numbers_differ_and_are_never_zero)
{
    uint64_t last = 0;
    for (int i = 0; i < 1000; i++) {
        uint64_t next = pqb_random();
        cr_assert_neq(next, 0);
        cr_assert_neq(next, last);
        last = next;
    }
}

Test(os, pid_namespace_is_known)
{
    cr_assert_neq(pqb_pid_namespace(), 0);
}
