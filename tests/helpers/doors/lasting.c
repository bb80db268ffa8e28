/* What a program does with a connection, and while it has one. */
#include "conns.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void show(void)
{
    conns_report(conns_current());
}

static void message(void)
{
    stage_say("%s", PQerrorMessage(conns_current()));
}

static void query(void)
{
    char answer[1024];
    conns_ask(conns_current(), stage_argument(), answer, sizeof answer);
    stage_say("%s", answer);
}

static void say(void)
{
    stage_say("%s", stage_argument());
}

/* The environment as the program sees it later. */
static void set_environment(void)
{
    const char *name = stage_argument();
    setenv(name, stage_argument(), 1);
}

/* What the kernel knows of this process, in lines that name `word`. */
static void count_lines(const char *file)
{
    const char *word = stage_argument();
    char line[4096];
    unsigned lines = 0;
    FILE *from = fopen(file, "r");
    while (from && fgets(line, sizeof line, from))
        lines += strstr(line, word) != NULL;
    if (from)
        fclose(from);
    stage_say("%u", lines);
}

static void maps(void)
{
    count_lines("/proc/self/maps");
}

static void leave(void)
{
    _exit(atoi(stage_argument()));
}

static char *conninfo_at_exit;

static void connect_at_exit(void)
{
    PGconn *conn = PQconnectdb(conninfo_at_exit);
    conns_report(conn);
    stage_await();
    PQfinish(conn);
    free(conninfo_at_exit);
}

static void at_exit(void)
{
    conninfo_at_exit = strdup(stage_argument());
    atexit(connect_at_exit);
}

const struct stage_step lasting_steps[] = {
    {"show", show},         {"message", message},
    {"query", query},       {"say", say},
    {"pause", stage_await}, {"setenv", set_environment},
    {"maps", maps},         {"_exit", leave},
    {"atexit", at_exit},    {0},
};
