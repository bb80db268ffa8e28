#include "support/stage.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char **next;

const char *stage_argument(void)
{
    if (!*next) {
        dprintf(STDERR_FILENO, "a step lacks its argument\n");
        _exit(2);
    }
    return *next++;
}

unsigned stage_arguments(const char **words, unsigned capacity)
{
    unsigned count = 0;
    const char *word;
    while (strcmp(word = stage_argument(), "."))
        if (count + 1 < capacity)
            words[count++] = word;
    words[count] = NULL;
    return count;
}

char **stage_rest(void)
{
    char **rest = next;
    while (*next)
        next++;
    return rest;
}

void stage_skip_block(void)
{
    for (int depth = 1; depth;) {
        const char *word = stage_argument();
        depth += !strcmp(word, "{") - !strcmp(word, "}");
    }
}

/* write(2), so that a forked child never repeats what its parent had buffered. */
void stage_say(const char *format, ...)
{
    char line[4096];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line - 1, format, arguments);
    va_end(arguments);
    size_t length = strlen(line);
    while (length && line[length - 1] == '\n')
        length--;
    for (size_t i = 0; i < length; i++)
        if (line[i] == '\n')
            line[i] = '|';
    line[length++] = '\n';
    if (write(STDOUT_FILENO, line, length) < 0)
        _exit(3);
}

void stage_await(void)
{
    char byte = 0;
    stage_say("ready");
    while (byte != '\n' && read(STDIN_FILENO, &byte, 1) > 0)
        ;
}

static const struct stage_step *find(const struct stage_step *const *tables, const char *name)
{
    for (; *tables; tables++)
        for (const struct stage_step *step = *tables; step->name; step++)
            if (!strcmp(step->name, name))
                return step;
    return NULL;
}

int stage_play(const struct stage_step *const *tables, char **arguments)
{
    next = arguments;
    while (*next) {
        const char *name = *next++;
        if (!strcmp(name, "}"))
            _exit(0); /* the end of a forked child's block */
        const struct stage_step *step = find(tables, name);
        if (!step) {
            dprintf(STDERR_FILENO, "unknown step '%s'\n", name);
            return 2;
        }
        step->take();
    }
    return 0;
}
