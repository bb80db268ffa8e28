#include "conninfo/merge.h"

#include "conninfo/buffer.h"
#include "conninfo/options.h"
#include "conninfo/server.h"

#include <stdio.h>
#include <string.h>

#define NAME_LONGEST 63

/* What libpq will find for a keyword, but for what is compiled in. */
static const char *effective(const struct pqb_merge *merge, const struct pqb_params *params,
                             const char *keyword)
{
    const char *value = pqb_params_get(params, keyword);
    if (!value)
        value = pqb_params_get(merge->service, keyword);
    if (!value)
        value = pqb_keywords_environment(merge->known, keyword);
    return value;
}

static const char *said(const struct pqb_merge *merge, const char *keyword)
{
    return effective(merge, merge->program, keyword);
}

const char *pqb_merge_service(const struct pqb_merge *merge)
{
    const char *service = pqb_params_get(merge->force, "service");
    if (!service)
        service = pqb_params_get(merge->program, "service");
    if (!service)
        service = pqb_keywords_environment(merge->known, "service");
    if (!service)
        service = pqb_params_get(merge->defaults, "service");
    return service && *service ? service : NULL;
}

/* An address leads elsewhere than the program's host does: where one of the two is said, both are.
 */
static int is_said(const struct pqb_merge *merge, const char *keyword)
{
    if (!strcmp(keyword, "hostaddr") || !strcmp(keyword, "host"))
        return said(merge, "host") || said(merge, "hostaddr");
    return said(merge, keyword) != NULL;
}

static enum pqb_status fill(const struct pqb_merge *merge, struct pqb_params *result)
{
    enum pqb_status status = PQB_OK;
    size_t count = merge->defaults && !merge->service_is_hidden ? merge->defaults->count : 0;
    for (size_t i = 0; i < count && !status; i++) {
        const struct pqb_param *param = &merge->defaults->list[i];
        if (strcmp(param->keyword, "options") != 0 && !is_said(merge, param->keyword))
            status = pqb_params_set(result, param->keyword, param->value);
    }
    return status;
}

static enum pqb_status force(const struct pqb_merge *merge, struct pqb_params *result)
{
    enum pqb_status status = PQB_OK;
    size_t count = merge->force ? merge->force->count : 0;
    for (size_t i = 0; i < count && !status; i++) {
        const struct pqb_param *param = &merge->force->list[i];
        if (strcmp(param->keyword, "options") != 0)
            status = pqb_params_set(result, param->keyword, param->value);
    }
    /* An address of the program's would beat the host that is forced. */
    if (!status && pqb_params_get(merge->force, "host") &&
        !pqb_params_get(merge->force, "hostaddr") && effective(merge, result, "hostaddr"))
        status = pqb_params_set(result, "hostaddr", "");
    return status;
}

static int is_pooled(const struct pqb_merge *merge, const struct pqb_params *result)
{
    char key[512];
    if (merge->pooler >= 0)
        return merge->pooler;
    return !pqb_merge_key(merge, result, key, sizeof key) && pqb_server_is_pooler(key);
}

/* Puts the four parts together: defaults, what foreign parameters asked for, the program's, the
 * forced. */
static enum pqb_status merge_options(const struct pqb_merge *merge, struct pqb_params *result)
{
    const char *first = pqb_params_get(merge->defaults, "options");
    const char *last = pqb_params_get(merge->force, "options");
    const char *settings = merge->settings ? merge->settings : "";
    const char *own = said(merge, "options");
    int is_own = pqb_params_get(merge->program, "options") != NULL;
    own = own ? own : "";
    if (!first && !last && !*settings)
        return PQB_OK;
    if (is_pooled(merge, result) || !pqb_options_is_whole(own) || merge->service_is_hidden ||
        !pqb_keywords_find(merge->known, "options"))
        return *settings ? PQB_REFUSED : PQB_OK;

    /* In front of the program's when they are of the same string, behind PGOPTIONS and a service.
     */
    const char *parts[] = {first, is_own ? settings : own, is_own ? own : settings, last};
    struct pqb_buffer buffer = {NULL, 0, 0, 0};
    int has_news = 0;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        const char *part = parts[i];
        size_t before = buffer.length;
        int is_there = part != own && part && pqb_options_contains(own, part);
        if (part && part == last)
            is_there = buffer.length ? pqb_options_ends_with(buffer.bytes, part) : 0;
        if (part && !is_there)
            pqb_options_add(&buffer, part);
        has_news |= part != own && buffer.length > before;
    }
    /* As they are, if nothing is added. */
    char *options = pqb_buffer_take(&buffer);
    enum pqb_status status = options ? PQB_OK : PQB_NO_MEMORY;
    if (!status && has_news)
        status = pqb_params_set(result, "options", options);
    pqb_buffer_free(options);
    return status;
}

/* ` [123]` at the end of a name, ours or that of a process whose name was handed on. */
static size_t length_without_tag(const char *name)
{
    size_t length = strlen(name), end = length;
    if (!end || name[end - 1] != ']')
        return length;
    for (end--; end && name[end - 1] >= '0' && name[end - 1] <= '9';)
        end--;
    if (end < 2 || end == length - 1 || name[end - 1] != '[' || name[end - 2] != ' ')
        return length;
    return end - 2;
}

static enum pqb_status tag(const struct pqb_merge *merge, const char *name,
                           struct pqb_params *result)
{
    char tagged[NAME_LONGEST + 1], suffix[32];
    int tail = snprintf(suffix, sizeof suffix, " [%ld]", merge->pid);
    size_t length = length_without_tag(name), room = NAME_LONGEST - (size_t)tail;
    if (length > room)
        length = room;
    /* Not in the middle of a character. */
    while (length && length == room && ((unsigned char)name[length] & 0xc0) == 0x80)
        length--;
    snprintf(tagged, sizeof tagged, "%.*s%s", (int)length, name, suffix);
    return pqb_params_set(result, "application_name", tagged);
}

static enum pqb_status name_application(const struct pqb_merge *merge, struct pqb_params *result)
{
    struct pqb_buffer found = {NULL, 0, 0, 0};
    const char *label = merge->label ? merge->label : "";
    const char *name = effective(merge, result, "application_name");
    const char *fallback = pqb_params_get(result, "fallback_application_name");
    const char *options = effective(merge, result, "options");
    enum pqb_status status = PQB_OK;
    if (!*label || merge->naming == PQB_NAMING_OFF ||
        !pqb_keywords_find(merge->known, "fallback_application_name"))
        return PQB_OK;

    int in_options = options && pqb_options_find(options, "application_name", &found);
    switch (merge->naming) {
    case PQB_NAMING_OFF:
        break;
    case PQB_NAMING_FORCE:
        if (!pqb_params_get(merge->force, "application_name"))
            status = pqb_params_set(result, "application_name", label);
        break;
    case PQB_NAMING_TAG:
        /* What the server is sent beats what options say. */
        if (!name || !*name)
            name = fallback && *fallback ? fallback : NULL;
        if (!name && in_options && found.length)
            name = found.bytes;
        status = tag(merge, name ? name : label, result);
        break;
    case PQB_NAMING_FILL:
        if (!(fallback && *fallback) && !name && !in_options &&
            !pqb_params_get(merge->force, "fallback_application_name"))
            status = pqb_params_set(result, "fallback_application_name", label);
        break;
    }
    if (found.is_failed)
        status = PQB_NO_MEMORY;
    pqb_buffer_clear(&found);
    return status;
}

static enum pqb_status copy(const struct pqb_params *from, struct pqb_params *to)
{
    enum pqb_status status = PQB_OK;
    for (size_t i = 0; from && i < from->count && !status; i++)
        status = pqb_params_set(to, from->list[i].keyword, from->list[i].value);
    return status;
}

enum pqb_status pqb_merge_params(const struct pqb_merge *merge, struct pqb_params *result)
{
    *result = (struct pqb_params){NULL, 0, 0};
    enum pqb_status status = copy(merge->program, result);
    if (!status)
        status = fill(merge, result);
    if (!status)
        status = force(merge, result);
    if (!status)
        status = merge_options(merge, result);
    if (!status)
        status = name_application(merge, result);
    if (status)
        pqb_params_clear(result);
    return status;
}

int pqb_merge_key(const struct pqb_merge *merge, const struct pqb_params *result, char *key,
                  size_t size)
{
    const char *port = effective(merge, result, "port");
    if (!port || !*port)
        port = merge->default_port;
    return pqb_server_key(key, size, effective(merge, result, "host"),
                          effective(merge, result, "hostaddr"), port);
}
