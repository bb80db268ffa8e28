/* Keywords and their values. */
#include "fakepq.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const fakepq_keyword[FAKEPQ_KEYWORDS] = {"host",
                                                     "port",
                                                     "dbname",
                                                     "user",
                                                     "application_name",
                                                     "fallback_application_name",
                                                     "options",
                                                     "password",
                                                     "connect_timeout",
                                                     "service",
                                                     "sslmode"};
const char *const fakepq_variable[FAKEPQ_KEYWORDS] = {
    "PGHOST",    "PGPORT",     "PGDATABASE",        "PGUSER",    "PGAPPNAME", NULL,
    "PGOPTIONS", "PGPASSWORD", "PGCONNECT_TIMEOUT", "PGSERVICE", "PGSSLMODE"};

int fakepq_find(const char *keyword)
{
    for (int i = 0; i < FAKEPQ_KEYWORDS; i++)
        if (!strcmp(keyword, fakepq_keyword[i]))
            return i;
    return -1;
}

int fakepq_split(const char *conninfo, char *value[FAKEPQ_KEYWORDS], char error[512])
{
    char *words = strdup(conninfo), *next = words;
    while (next && *(next += strspn(next, " "))) {
        char *keyword = next, *equals = strchr(next, '=');
        if (!equals) {
            snprintf(error, 512, "missing \"=\" after \"%s\" in connection info string\n", next);
            break;
        }
        char end = equals[1] == '\'' ? '\'' : ' ', *text = equals + 1 + (end == '\'');
        *equals = 0;
        next = strchr(text, end);
        if (next)
            *next++ = 0;
        int found = fakepq_find(keyword);
        if (found < 0) {
            snprintf(error, 512, "invalid connection option \"%s\"\n", keyword);
            break;
        }
        free(value[found]);
        value[found] = strdup(text);
    }
    free(words);
    return !*error;
}

/* As an array that ends with a row without a keyword. */
static PQconninfoOption *as_options(char *const value[FAKEPQ_KEYWORDS])
{
    PQconninfoOption *options = calloc(FAKEPQ_KEYWORDS + 1, sizeof *options);
    for (int i = 0; options && i < FAKEPQ_KEYWORDS; i++) {
        options[i].keyword = (char *)fakepq_keyword[i];
        options[i].envvar = (char *)fakepq_variable[i];
        options[i].label = options[i].dispchar = (char *)"";
        options[i].val = value[i] ? strdup(value[i]) : NULL;
    }
    return options;
}

PQconninfoOption *PQconninfoParse(const char *conninfo, char **message)
{
    char *value[FAKEPQ_KEYWORDS] = {NULL}, error[512] = "";
    PQconninfoOption *options = NULL;
    if (fakepq_split(conninfo, value, error))
        options = as_options(value);
    if (message)
        *message = options ? NULL : strdup(error);
    for (int i = 0; i < FAKEPQ_KEYWORDS; i++)
        free(value[i]);
    return options;
}

PQconninfoOption *PQconndefaults(void)
{
    char *value[FAKEPQ_KEYWORDS];
    for (int i = 0; i < FAKEPQ_KEYWORDS; i++)
        value[i] = fakepq_variable[i] ? getenv(fakepq_variable[i]) : NULL;
    return as_options(value);
}

PQconninfoOption *PQconninfo(PGconn *conn)
{
    return conn ? as_options(conn->value) : NULL;
}

void PQconninfoFree(PQconninfoOption *options)
{
    for (PQconninfoOption *option = options; option && option->keyword; option++)
        free(option->val);
    free(options);
}

void PQfreemem(void *memory)
{
    free(memory);
}
