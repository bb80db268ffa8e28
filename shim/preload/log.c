#include "preload/log.h"

#include "ledger/os.h"
#include "ledger/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static _Atomic enum pqb_log_level most = PQB_LOG_WARN;
static const char *_Atomic log_file;

void pqb_log_to(enum pqb_log_level level, const char *file)
{
    most = level;
    log_file = file;
}

/* A daemon that closed its stderr may have a client's connection at that number by now. A Unix
 * socket is what service managers give as stderr. */
static int is_log_like(int fd)
{
    int domain;
    socklen_t size = sizeof domain;
    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size))
        return errno == ENOTSOCK;
    return domain == AF_UNIX;
}

/* The signal that a write which failed with this raises. */
static int signal_for(int error)
{
    return error == EPIPE ? SIGPIPE : error == EFBIG ? SIGXFSZ : 0;
}

static void write_line(int fd, const char *line, size_t length)
{
    struct pollfd room = {.fd = fd, .events = POLLOUT};
    if (poll(&room, 1, 0) != 1 || !(room.revents & POLLOUT))
        return;
    struct pqb_process_hold hold;
    sigset_t pending, raised;
    pqb_process_quiet(&hold);
    sigpending(&pending);
    int number = write(fd, line, length) < 0 ? signal_for(errno) : 0;
    if (number && !sigismember(&pending, number)) {
        struct timespec at_once = {0};
        sigemptyset(&raised);
        sigaddset(&raised, number);
        sigtimedwait(&raised, NULL, &at_once);
    }
    pqb_process_loud(&hold);
}

void pqb_log(enum pqb_log_level level, const char *format, ...)
{
    static const char *const names[] = {"error", "warning", "info", "debug"};
    if (level > most)
        return;
    int saved = errno;
    char line[1024];
    const char *file = log_file;
    int start = file
                    ? snprintf(line, sizeof line, "pqbudget[%d]: %s: ", (int)getpid(), names[level])
                    : snprintf(line, sizeof line, "pqbudget: %s: ", names[level]);
    va_list values;
    va_start(values, format);
    int written = vsnprintf(line + start, sizeof line - (size_t)start - 1, format, values);
    va_end(values);
    size_t length = written < 0 ? (size_t)start : strlen(line);
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)line[i] < ' ' || line[i] == 127)
            line[i] = '?'; /* of a name that somebody chose to upset a terminal */
    line[length++] = '\n';
    int fd =
        file ? open(file, O_WRONLY | O_APPEND | O_CREAT | O_NOCTTY | O_NONBLOCK | O_CLOEXEC, 0600)
             : STDERR_FILENO;
    if (fd >= 0 && (file || is_log_like(fd)))
        write_line(fd, line, length);
    if (file && fd >= 0)
        pqb_close(fd);
    errno = saved;
}
