/* Signals, while libpq is at work. */
#include "conns.h"

#include <setjmp.h>
#include <signal.h>
#include <string.h>

static sigjmp_buf escape;
static PGcancel *to_cancel;
static volatile sig_atomic_t cancelled;

static void jump(int number)
{
    (void)number;
    siglongjmp(escape, 1);
}

static void on_signal(int number, void (*handler)(int))
{
    struct sigaction action = {.sa_handler = handler};
    sigemptyset(&action.sa_mask);
    sigaction(number, &action, NULL);
}

/* CONNINFO: DBI's idiom. SIGALRM leaves the call, and what it had is lost. */
static void jump_out(void)
{
    const char *conninfo = stage_argument();
    on_signal(SIGALRM, jump);
    if (sigsetjmp(escape, 1)) {
        stage_say("escaped");
    } else {
        stage_say("going");
        PGconn *conn = PQconnectdb(conninfo);
        on_signal(SIGALRM, SIG_IGN);
        stage_say("returned");
        conns_push(conn);
    }
    on_signal(SIGALRM, SIG_DFL);
}

/* As psql does it. */
static void cancel_in_handler(int number)
{
    char error[256];
    (void)number;
    cancelled = PQcancel(to_cancel, error, sizeof error);
}

/* QUERY: SIGINT cancels it. */
static void query_until_interrupt(void)
{
    char answer[512];
    to_cancel = PQgetCancel(conns_current());
    on_signal(SIGINT, cancel_in_handler);
    stage_say("going");
    conns_ask(conns_current(), stage_argument(), answer, sizeof answer);
    on_signal(SIGINT, SIG_DFL);
    PQfreeCancel(to_cancel);
    stage_say("cancelled %d %s", (int)cancelled, answer);
}

/* CONNINFO: a process that hears a signal without leaving: the wait must go on. */
static volatile sig_atomic_t heard;

static void hear(int number)
{
    (void)number;
    heard = heard + 1;
}

static void connect_through_signals(void)
{
    on_signal(SIGALRM, hear);
    stage_say("going");
    PGconn *conn = PQconnectdb(stage_argument());
    stage_say("heard %d", heard > 0);
    conns_push(conn);
    conns_report(conn);
    on_signal(SIGALRM, SIG_DFL);
}

const struct stage_step signal_steps[] = {
    {"jump", jump_out},
    {"interrupt", query_until_interrupt},
    {"hear", connect_through_signals},
    {0},
};
