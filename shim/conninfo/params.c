#include "conninfo/params.h"

#include "conninfo/buffer.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* gcc 12's analyser loses sight of what is put into a list. */
#if defined __GNUC__ && !defined __clang__
#pragma GCC diagnostic ignored "-Wanalyzer-malloc-leak"
#endif

static enum pqb_status reserve(struct pqb_params *params)
{
    if (params->count < params->room)
        return PQB_OK;
    size_t room = params->room ? params->room * 2 : 16;
    if (room > SIZE_MAX / sizeof *params->list)
        return PQB_NO_MEMORY;
    struct pqb_param *list = realloc(params->list, room * sizeof *list);
    if (!list)
        return PQB_NO_MEMORY;
    params->list = list;
    params->room = room;
    return PQB_OK;
}

enum pqb_status pqb_params_add(struct pqb_params *params, const char *keyword, const char *value)
{
    char *copy = strdup(value);
    char *name = copy && !reserve(params) ? strdup(keyword) : NULL;
    if (!name) {
        pqb_buffer_free(copy);
        return PQB_NO_MEMORY;
    }
    params->list[params->count].keyword = name;
    params->list[params->count++].value = copy;
    return PQB_OK;
}

enum pqb_status pqb_params_set(struct pqb_params *params, const char *keyword, const char *value)
{
    char *copy = strdup(value);
    if (!copy)
        return PQB_NO_MEMORY;
    for (size_t i = params->count; i-- > 0;)
        if (!strcmp(params->list[i].keyword, keyword)) {
            pqb_buffer_free(params->list[i].value);
            params->list[i].value = copy;
            return PQB_OK;
        }
    pqb_buffer_free(copy);
    return pqb_params_add(params, keyword, value);
}

const char *pqb_params_get(const struct pqb_params *params, const char *keyword)
{
    for (size_t i = params ? params->count : 0; i-- > 0;)
        if (!strcmp(params->list[i].keyword, keyword))
            return params->list[i].value;
    return NULL;
}

void pqb_params_clear(struct pqb_params *params)
{
    for (size_t i = 0; i < params->count; i++) {
        pqb_buffer_free(params->list[i].keyword);
        pqb_buffer_free(params->list[i].value);
    }
    free(params->list);
    *params = (struct pqb_params){NULL, 0, 0};
}

char *pqb_params_print(const struct pqb_params *params)
{
    struct pqb_buffer buffer = {NULL, 0, 0, 0};
    for (size_t i = 0; i < params->count; i++) {
        if (i)
            pqb_buffer_add_char(&buffer, ' ');
        pqb_buffer_add(&buffer, params->list[i].keyword);
        pqb_buffer_add(&buffer, "='");
        for (const char *c = params->list[i].value; *c; c++) {
            if (*c == '\'' || *c == '\\')
                pqb_buffer_add_char(&buffer, '\\');
            pqb_buffer_add_char(&buffer, *c);
        }
        pqb_buffer_add_char(&buffer, '\'');
    }
    return pqb_buffer_take(&buffer);
}

const struct pqb_keyword *pqb_keywords_find(const struct pqb_keywords *known, const char *keyword)
{
    for (size_t i = 0; i < known->count; i++)
        if (!strcmp(known->list[i].keyword, keyword))
            return &known->list[i];
    return NULL;
}

const char *pqb_keywords_environment(const struct pqb_keywords *known, const char *keyword)
{
    const struct pqb_keyword *found = pqb_keywords_find(known, keyword);
    return found ? found->environment : NULL;
}
