#include "tool/terminal.h"

#include "ledger/os.h"
#include "tool/watch.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

/* What comes with an Escape that begins a sequence comes at once, even through ssh. */
#define SEQUENCE_NS (50 * PQB_MS)

#define ENTER "\033[?1049h\033[?25l\033[2J"
#define LEAVE "\033[0m\033[?25h\033[?1049l"

static struct termios before;
static volatile sig_atomic_t is_taken, must_suspend, must_redraw;

static unsigned char typed[256];
static size_t typed_at, typed_end;

int pqb_terminal_is_able(void)
{
    const char *kind = getenv("TERM");
    return isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && kind && *kind && strcmp(kind, "dumb");
}

static void on_signal(int number)
{
    if (number == SIGTSTP)
        must_suspend = 1;
    else
        must_redraw = 1;
}

static void handle(int number, void (*handler)(int))
{
    /* A write that is under way goes on afterwards; ppoll never does. */
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(number, &action, NULL);
}

static int enter(void)
{
    struct termios keys = before;
    keys.c_lflag &= ~(tcflag_t)(ICANON | ECHO | IEXTEN);
    keys.c_iflag &= ~(tcflag_t)IXON; /* Ctrl-S would stop us in the middle of a write */
    /* Ctrl-C may take away what poll() has seen. */
    keys.c_cc[VMIN] = 0;
    keys.c_cc[VTIME] = 0;
    is_taken = 1;
    if (tcsetattr(STDIN_FILENO, TCSANOW, &keys))
        return 0;
    return write(STDOUT_FILENO, ENTER, sizeof ENTER - 1) > 0;
}

int pqb_terminal_take(void)
{
    if (tcgetattr(STDIN_FILENO, &before))
        return 0;
    handle(SIGTSTP, on_signal);
    handle(SIGCONT, on_signal);
    handle(SIGWINCH, on_signal);
    return enter();
}

void pqb_terminal_give_back(void)
{
    if (!is_taken)
        return;
    is_taken = 0;
    (void)!write(STDOUT_FILENO, LEAVE, sizeof LEAVE - 1);
    tcsetattr(STDIN_FILENO, TCSANOW, &before);
}

static void suspend(void)
{
    must_suspend = 0;
    pqb_terminal_give_back();
    handle(SIGTSTP, SIG_DFL);
    raise(SIGTSTP);
    handle(SIGTSTP, on_signal);
    must_redraw = 1; /* also if nothing could stop us: without a shell above there is no going on */
}

/* What poll() says of the input within so long. */
static int wait_for_input(uint64_t ns)
{
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    struct timespec limit = {.tv_sec = (time_t)(ns / PQB_SECOND),
                             .tv_nsec = (long)(ns % PQB_SECOND)};
    sigset_t all, mask;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &mask);
    if (!pqb_watch_is_over() && !must_suspend && !must_redraw)
        ppoll(&input, 1, &limit, &mask);
    sigprocmask(SIG_SETMASK, &mask, NULL);
    return input.revents;
}

/* The next byte, -1 if none comes within so long. */
static int next_byte(uint64_t ns)
{
    if (typed_at == typed_end) {
        int events = wait_for_input(ns);
        ssize_t count = events ? read(STDIN_FILENO, typed, sizeof typed) : 0;
        if (count < 0 || (count == 0 && (events & ~POLLIN)))
            pqb_watch_stop(); /* nobody is there any more */
        if (count <= 0)
            return -1;
        typed_at = 0;
        typed_end = (size_t)count;
    }
    return typed[typed_at++];
}

static int key_of_number(int number)
{
    switch (number) {
    case 1:
    case 7:
        return PQB_KEY_HOME;
    case 4:
    case 8:
        return PQB_KEY_END;
    case 5:
        return PQB_KEY_PAGE_UP;
    case 6:
        return PQB_KEY_PAGE_DOWN;
    default:
        return PQB_KEY_NONE;
    }
}

/* What follows an Escape: nothing, or "[A", "OA", "[5~", "[1;5A". */
static int next_sequence(void)
{
    int byte = next_byte(SEQUENCE_NS), number = 0, in_first = 1;
    if (byte < 0)
        return PQB_KEY_ESCAPE;
    if (byte != '[' && byte != 'O')
        return PQB_KEY_NONE;
    while ((byte = next_byte(SEQUENCE_NS)) >= 0x20 && byte < 0x40) {
        in_first = in_first && byte >= '0' && byte <= '9';
        if (in_first && number < 1000)
            number = 10 * number + byte - '0';
    }
    switch (byte) {
    case 'A':
        return PQB_KEY_UP;
    case 'B':
        return PQB_KEY_DOWN;
    case 'H':
        return PQB_KEY_HOME;
    case 'F':
        return PQB_KEY_END;
    case '~':
        return key_of_number(number);
    default:
        return PQB_KEY_NONE;
    }
}

int pqb_terminal_key(uint64_t ns)
{
    int byte = next_byte(ns);
    if (must_suspend)
        suspend();
    if (must_redraw) {
        /* After a SIGSTOP it may be the shell's; entering what we have is harmless. */
        must_redraw = 0;
        enter();
    }
    if (byte < 0)
        return PQB_KEY_NONE;
    return byte == PQB_KEY_ESCAPE ? next_sequence() : byte;
}
