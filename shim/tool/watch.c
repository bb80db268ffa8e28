#include "tool/watch.h"

#include "conninfo/value.h"
#include "ledger/os.h"

#include <poll.h>
#include <stddef.h>
#include <time.h>
#include <unistd.h>

static const int stops[] = {SIGINT, SIGQUIT, SIGTERM, SIGHUP};
#define STOPS (sizeof stops / sizeof *stops)

volatile sig_atomic_t pqb_watch_hides;
static volatile sig_atomic_t is_over;

static void stop(int number)
{
    (void)number;
    is_over = 1;
}

static void say(const char *code, size_t length)
{
    if (write(STDOUT_FILENO, code, length) < 0)
        is_over = 1;
}

void pqb_watch_begin(int hide)
{
    /* Without SA_RESTART: a write that is stuck ends, too. */
    struct sigaction action = {.sa_handler = stop};
    sigemptyset(&action.sa_mask);
    for (unsigned i = 0; i < STOPS; i++)
        sigaction(stops[i], &action, NULL);
    if (hide) {
        pqb_watch_hides = 1;
        say("\033[?25l", 6);
    }
}

void pqb_watch_end(void)
{
    if (pqb_watch_hides)
        say(PQB_WATCH_SHOW, sizeof PQB_WATCH_SHOW - 1);
    pqb_watch_hides = 0;
}

int pqb_watch_interval(const char *text, long long *ms)
{
    return pqb_value_time(text, ms) && *ms >= 50 && *ms <= 3600000;
}

int pqb_watch_is_over(void)
{
    return is_over;
}

void pqb_watch_stop(void)
{
    is_over = 1;
}

void pqb_watch_sleep(uint64_t ns)
{
    sigset_t blocked, before;
    struct timespec limit = {.tv_sec = (time_t)(ns / PQB_SECOND),
                             .tv_nsec = (long)(ns % PQB_SECOND)};
    sigemptyset(&blocked);
    for (unsigned i = 0; i < STOPS; i++)
        sigaddset(&blocked, stops[i]);
    sigprocmask(SIG_BLOCK, &blocked, &before);
    if (!is_over)
        ppoll(NULL, 0, &limit, &before);
    sigprocmask(SIG_SETMASK, &before, NULL);
}
