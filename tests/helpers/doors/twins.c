/* What libpq makes of a program's parameters, in every form they can have: said line by line, so
 * that a run under the preload can be compared with a run without. */
#include "conns.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void say_text(const char *name, const char *text)
{
    char line[16384];
    size_t length = 0;
    for (; *text && length + 5 < sizeof line; text++)
        length += (size_t)snprintf(line + length, 5,
                                   (unsigned char)*text < ' ' || *text == 127 ? "\\x%02x" : "%c",
                                   (unsigned char)*text);
    line[length] = 0;
    stage_say("  %s=%s", name, line);
}

/* All that a PGconn was given, but for what the preload adds. */
static void tell(const char *form, const char *what, PGconn *conn)
{
    stage_say("%s", form);
    say_text("given", what);
    if (!conn)
        return;
    stage_say("  status %d", PQstatus(conn));
    say_text("message", PQerrorMessage(conn));
    PQconninfoOption *options = PQconninfo(conn);
    for (PQconninfoOption *option = options; option && option->keyword; option++)
        if (option->val && strcmp(option->keyword, "fallback_application_name"))
            say_text(option->keyword, option->val);
    PQconninfoFree(options);
    PQfinish(conn);
}

/* ---- by hand ---- */

#define CLOSED "host=127.0.0.1 port=1 "

static const char *const strings[] = {
    "",
    " ",
    "application_name=here",
    CLOSED,
    CLOSED "dbname=''",
    CLOSED "user='' password='' options='' application_name='' sslmode=''",
    CLOSED "password='it\\'s \\\\ a secret' user='  blanks '",
    CLOSED "options='-c a.b=x\\\\ y -c \"q\"' dbname='quo\"te'",
    CLOSED "application_name='two\nlines\tand\ra bell \a'",
    CLOSED "dbname='postgresql://10.0.0.1:1/not_expanded'",
    CLOSED "dbname='a=b c=d'",
    CLOSED "fallback_application_name=mine",
    CLOSED "fallback_application_name=''",
    CLOSED "host=127.0.0.2",
    CLOSED "service=one",
    CLOSED "passfile=/nowhere",
    "service=one",
    "service=none_of_that_name",
    "service=''",
    "host='' port=''",
    "host=/no/such/directory",
    "host='@abstract' port=1",
    "hostaddr=127.0.0.1 port=1",
    "host=name hostaddr=127.0.0.1 port=1",
    "host=127.0.0.1,127.0.0.2 port=1",
    "host=127.0.0.1,127.0.0.2 port=1,2",
    "host=127.0.0.1 port=1,2",
    "hostaddr=127.0.0.1,127.0.0.2 host=name port=1",
    "host=127.0.0.1 port=0",
    "host=127.0.0.1 port=70000",
    "host=127.0.0.1 port=abc",
    "host=127.0.0.1 port='1 '",
    CLOSED "sslmode=bogus",
    CLOSED "sslmode=require",
    CLOSED "connect_timeout=abc",
    CLOSED "connect_timeout=' 3 '",
    CLOSED "target_session_attrs=read-write",
    CLOSED "target_session_attrs=bogus",
    CLOSED "client_encoding=auto",
    CLOSED "replication=database",
    CLOSED "unknown=x",
    CLOSED "unknown=''",
    "host",
    "=",
    "host='unterminated",
    "host=x\\",
    "postgresql://",
    "postgres://127.0.0.1:1",
    "postgresql://us%20er:p%3A%40w@127.0.0.1:1/d%2Fb?application_name=a%0Ab&options=-c%20a.b%3Dc",
    "postgresql://127.0.0.1:1,127.0.0.2:2/x?target_session_attrs=any",
    "postgresql://[::1]:1/x",
    "postgresql://%2Fno%2Fsuch:1/x",
    "postgresql:///x?host=/no/such&port=1",
    "postgresql://127.0.0.1:1/x?ssl=true",
    "postgresql://127.0.0.1:1/x?sslmode=disable&sslmode=require",
    "postgresql://127.0.0.1:1/x?host=127.0.0.2",
    "postgresql://127.0.0.1:1/?user=&password=",
    "postgresql://127.0.0.1:1/x?bogus=1",
    "postgresql://127.0.0.1:1/x%zz",
    "http://127.0.0.1:1/x",
};

static void tell_strings(void)
{
    for (unsigned i = 0; i < sizeof strings / sizeof *strings; i++)
        tell("string", strings[i], PQconnectdb(strings[i]));
    for (unsigned i = 0; i < sizeof strings / sizeof *strings; i++)
        tell("login", strings[i],
             PQsetdbLogin("127.0.0.1", "1", "-c a.b=c\\ d", NULL, strings[i], "me", "it's"));
    for (unsigned i = 0; i < sizeof strings / sizeof *strings; i++)
        tell("bare login", strings[i], PQsetdbLogin("", NULL, "", "", strings[i], NULL, ""));
    for (int expand = 0; expand < 2; expand++)
        for (unsigned i = 0; i < sizeof strings / sizeof *strings; i++) {
            const char *const keyword[] = {"user", "host", "dbname", "password", "dbname", NULL};
            const char *const value[] = {"me", "127.0.0.1", strings[i], NULL, "port=2", NULL};
            tell(expand ? "expanded" : "arrays", strings[i],
                 PQconnectdbParams(keyword, value, expand));
        }
}

static void tell_arrays(void)
{
    static const char *const pairs[][9] = {
        {"port", "1", "host", "127.0.0.1", "host", "", NULL},
        {"port", "1", "host", "127.0.0.1", "host", "127.0.0.2", NULL},
        {"port", "1", "host", "127.0.0.1", "dbname", "", "dbname", "host=x"},
        {"port", "1", "host", "127.0.0.1", "dbname", "host=127.0.0.2", "host", ""},
        {"dbname", "host=127.0.0.2 port=1", "host", "127.0.0.1", NULL},
        {"host", "127.0.0.1", "dbname", "host='' port=1", NULL},
        {"host", "127.0.0.1", "port", "1", "host x", "y", NULL},
        {"host", "127.0.0.1", "port", "1", "x='1' user", "y", NULL},
        {"host", "127.0.0.1", "port", "1", "Host", "127.0.0.2", NULL},
        {"host", "127.0.0.1", "port", "1", "", "y", NULL},
        {"host", "127.0.0.1", "port", "1", "unknown", "", NULL},
        {NULL},
    };
    for (unsigned i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        const char *keyword[5] = {NULL}, *value[5] = {NULL};
        char name[8];
        for (unsigned k = 0; k < 4 && pairs[i][2 * k]; k++) {
            keyword[k] = pairs[i][2 * k];
            value[k] = pairs[i][2 * k + 1];
        }
        snprintf(name, sizeof name, "%u", i);
        tell("pairs", name, PQconnectdbParams(keyword, value, 1));
    }
}

/* ---- by chance ---- */

static uint64_t seed;

static unsigned chance(unsigned below)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(seed >> 33) % below;
}

static char *some_text(char *to, unsigned longest)
{
    static const char odd[] = "'\\\"= ,&?%:/@#\n\t\x01\x7f\xc3\xa4$;-+";
    unsigned length = chance(longest);
    for (unsigned i = 0; i < length; i++)
        to[i] = (char)(chance(2) ? odd[chance(sizeof odd - 1)] : (int)('a' + chance(26)));
    to[length] = 0;
    return to;
}

/* COUNT: as many calls with random values, the same ones each time. */
static void tell_random(void)
{
    static const char *const names[] = {"user",     "password",         "dbname",
                                        "options",  "application_name", "sslcert",
                                        "passfile", "client_encoding",  "krbsrvname"};
    for (unsigned left = (unsigned)atoi(stage_argument()); left; left--) {
        static char text[9][3000];
        const char *keyword[12] = {"host", "port"}, *value[12] = {"127.0.0.1", "1"};
        unsigned count = 2;
        for (unsigned i = 0; i < 9; i++)
            if (chance(2)) {
                keyword[count] = names[i];
                value[count++] = some_text(text[i], chance(20) ? 20 : 2900);
            }
        tell("random", "", PQconnectdbParams(keyword, value, (int)chance(2)));
        tell("random login", "",
             PQsetdbLogin(value[0], value[1], text[3], NULL, text[2], text[0], text[1]));
    }
}

const struct stage_step twin_steps[] = {
    {"strings", tell_strings},
    {"pairs", tell_arrays},
    {"random", tell_random},
    {0},
};
