#include "sockets.h"

#include "conninfo/server.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct guest *sockets_start(const char *const *environment, const char *format, ...)
{
    char text[2048], *rest = text, *word;
    const char *steps[62], *variables[16];
    unsigned count = 0, given = 0;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    while ((word = strsep(&rest, " ")) && count < 61)
        if (*word)
            steps[count++] = word;
    steps[count] = NULL;
    variables[given++] = ground_text("PQB_POSTGRES_DIR=%s", ground_folder());
    variables[given++] = ground_text("PQBUDGET_PORTS=%s", ground_port());
    variables[given++] = "PQBUDGET_LIMIT=1"; /* as sockets_fill makes it */
    variables[given++] = "PQBUDGET_RESERVE=0";
    while (*environment && given < 15)
        variables[given++] = *environment++;
    variables[given] = NULL;
    return guest_start(variables, "helpers/sockets", steps);
}

const char *sockets_key(const char *kind)
{
    if (strcmp(kind, "unix") != 0)
        return ground_key();
    return ground_text("%s:%s", ground_folder(), ground_port());
}

static void echo_on(int listener)
{
    for (;;) {
        char text[4096];
        ssize_t got;
        int fd = accept(listener, NULL, NULL);
        while ((got = read(fd, text, sizeof text)) > 0)
            if (write(fd, text, (size_t)got) != got)
                break;
        close(fd);
    }
}

struct echo sockets_echo(void)
{
    struct echo echo;
    int listener = ground_listener(0, &echo.port);
    echo.pid = support_fork();
    if (!echo.pid)
        echo_on(listener);
    close(listener);
    return echo;
}
