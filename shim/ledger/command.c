#include "ledger/command.h"

#include <string.h>

/* What must not be seen of an argument. More than the password is hidden where it is not certain
 * where that ends. NULL = nothing. */
static char *password_of(char *argument, int is_cut, char **end)
{
    static const char key[] = "password=", scheme[] = "://";
    char *named = strcasestr(argument, key), *url = strstr(argument, scheme);
    char *colon = url ? strchr(url + strlen(scheme), ':') : NULL;
    *end = argument + strlen(argument);
    if (colon && (!named || colon < named)) {
        char *at = strrchr(colon, '@');
        if (at && !named)
            *end = at;
        if (at || is_cut)
            return colon + 1;
    }
    return named ? named + strlen(key) : NULL;
}

size_t pqb_command_show(char *line, size_t length)
{
    size_t shown = 0;
    char *last = line + length;
    *last = 0;
    for (char *argument = line; argument < last;) {
        size_t whole = strlen(argument);
        char *next = argument + whole + 1, *end;
        char *password = password_of(argument, next > last, &end);
        if (password && password < end) {
            *password = '*';
            memmove(password + 1, end, strlen(end) + 1);
            whole = strlen(argument);
        }
        memmove(line + shown, argument, whole);
        shown += whole;
        line[shown++] = ' ';
        argument = next;
    }
    while (shown && line[shown - 1] == ' ')
        shown--;
    line[shown] = 0;
    return shown;
}
