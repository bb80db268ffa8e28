#include "preload/params.h"

#include "conninfo/server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- the list ---- */

const char *pqb_params_get(const struct pqb_params *params, const char *keyword)
{
    for (unsigned i = 0; i < params->count; i++)
        if (!strcmp(params->item[i].keyword, keyword))
            return params->item[i].value;
    return NULL;
}

void pqb_params_forget(char *conninfo)
{
    if (conninfo)
        explicit_bzero(conninfo, strlen(conninfo));
    free(conninfo);
}

void pqb_params_free(struct pqb_params *params)
{
    for (unsigned i = 0; i < params->count; i++) {
        free(params->item[i].keyword);
        pqb_params_forget(params->item[i].value);
    }
    free(params->item);
    *params = (struct pqb_params){0};
}

static int grow(struct pqb_params *params)
{
    unsigned capacity = params->capacity ? 2 * params->capacity : 16;
    struct pqb_param *item = reallocarray(params->item, capacity, sizeof *item);
    if (!item)
        return 0;
    params->item = item;
    params->capacity = capacity;
    return 1;
}

int pqb_params_set(struct pqb_params *params, const char *keyword, const char *value)
{
    char *copy = strdup(value);
    if (!copy)
        return 0;
    for (unsigned i = 0; i < params->count; i++)
        if (!strcmp(params->item[i].keyword, keyword)) {
            pqb_params_forget(params->item[i].value);
            params->item[i].value = copy;
            return 1;
        }
    char *name = params->count < params->capacity || grow(params) ? strdup(keyword) : NULL;
    if (!name) {
        pqb_params_forget(copy);
        return 0;
    }
    params->item[params->count++] = (struct pqb_param){name, copy};
    return 1;
}

/* ---- what programs give ---- */

int pqb_params_of_string(struct pqb_libpq *pq, const char *conninfo, struct pqb_params *params)
{
    char *message = NULL;
    struct _PQconninfoOption *options = conninfo ? pq->PQconninfoParse(conninfo, &message) : NULL;
    int good = options != NULL;
    if (message)
        pq->PQfreemem(message);
    for (struct _PQconninfoOption *option = options; good && option->keyword; option++)
        if (option->val)
            good = pqb_params_set(params, option->keyword, option->val);
    if (options)
        pq->PQconninfoFree(options);
    return good;
}

/* libpq's own rule for what a dbname may be instead of a name. */
static int is_connection_string(const char *dbname)
{
    return !strncmp(dbname, "postgresql://", 13) || !strncmp(dbname, "postgres://", 11) ||
           strchr(dbname, '=');
}

/* In a string anything else would end the keyword, and begin another. */
static int is_word(const char *keyword)
{
    return !keyword[strspn(keyword, "abcdefghijklmnopqrstuvwxyz0123456789_")];
}

int pqb_params_of_arrays(struct pqb_libpq *pq, const char *const *keywords,
                         const char *const *values, int expand_dbname, struct pqb_params *params)
{
    int good = keywords && values;
    for (unsigned i = 0; good && keywords[i]; i++) {
        /* The first dbname alone is looked at, also if it is nothing. */
        int is_dbname = expand_dbname && !strcmp(keywords[i], "dbname") && values[i];
        if (!values[i] || !*values[i])
            good = 1;
        else if (is_dbname && is_connection_string(values[i]))
            good = pqb_params_of_string(pq, values[i], params);
        else
            good = is_word(keywords[i]) && pqb_params_set(params, keywords[i], values[i]);
        if (is_dbname)
            expand_dbname = 0;
    }
    return good;
}

static int set_unless_empty(struct pqb_params *params, const char *keyword, const char *value)
{
    return !value || !*value || pqb_params_set(params, keyword, value);
}

int pqb_params_of_login(struct pqb_libpq *pq, const char *host, const char *port,
                        const char *options, const char *dbname, const char *login,
                        const char *password, struct pqb_params *params)
{
    int good = dbname && is_connection_string(dbname) ? pqb_params_of_string(pq, dbname, params)
                                                      : set_unless_empty(params, "dbname", dbname);
    return good && set_unless_empty(params, "host", host) &&
           set_unless_empty(params, "port", port) && set_unless_empty(params, "options", options) &&
           set_unless_empty(params, "user", login) &&
           set_unless_empty(params, "password", password);
}

/* ---- what libpq is given ---- */

/* Each value may double, and has quotes, an equals sign and a blank around it. */
static size_t string_size(const struct pqb_params *params)
{
    size_t size = 1;
    for (unsigned i = 0; i < params->count; i++)
        size += strlen(params->item[i].keyword) + 2 * strlen(params->item[i].value) + 4;
    return size;
}

char *pqb_params_string(const struct pqb_params *params)
{
    char *string = malloc(string_size(params)), *at = string;
    if (!string)
        return NULL;
    for (unsigned i = 0; i < params->count; i++) {
        at = stpcpy(at, params->item[i].keyword);
        at = stpcpy(at, "='");
        for (const char *from = params->item[i].value; *from; from++) {
            if (*from == '\'' || *from == '\\')
                *at++ = '\\';
            *at++ = *from;
        }
        at = stpcpy(at, "' ");
    }
    *at = 0;
    return string;
}

/* ---- what they mean ---- */

/* The program's own, else the environment's. */
static const char *value_of(const struct pqb_params *params, const char *keyword,
                            const char *variable)
{
    const char *value = pqb_params_get(params, keyword);
    return value ? value : getenv(variable);
}

int pqb_params_server(struct pqb_libpq *pq, const struct pqb_params *params, char *key, size_t size)
{
    char usual[12];
    const char *port = value_of(params, "port", "PGPORT");
    if (!port || !*port) {
        snprintf(usual, sizeof usual, "%u", pqb_libpq_port(pq));
        port = usual;
    }
    return !pqb_server_key(key, size, value_of(params, "host", "PGHOST"),
                           value_of(params, "hostaddr", "PGHOSTADDR"), port);
}

int pqb_params_replicate(const struct pqb_params *params)
{
    static const char no[][6] = {"false", "off", "no", "0"};
    const char *value = pqb_params_get(params, "replication");
    if (!value || !*value)
        return 0;
    for (unsigned i = 0; i < sizeof no / sizeof *no; i++)
        if (!strcasecmp(value, no[i]))
            return 0;
    return 1;
}
