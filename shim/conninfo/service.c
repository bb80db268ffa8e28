#include "conninfo/service.h"

#include "conninfo/buffer.h"

#include <string.h>

/* libpq refuses a file with a line of so many bytes, the newline counted. */
#define LINE_TOO_LONG 1023

/* Takes the blanks at both ends of a line off. */
static void trim(const char **line, size_t *length)
{
    while (*length && pqb_buffer_is_blank((*line)[*length - 1]))
        (*length)--;
    while (*length && pqb_buffer_is_blank(**line)) {
        (*line)++;
        (*length)--;
    }
}

static enum pqb_status copy(const char *bytes, size_t length, char **string)
{
    struct pqb_buffer buffer = {NULL, 0, 0, 0};
    pqb_buffer_add_bytes(&buffer, bytes, length);
    *string = pqb_buffer_take(&buffer);
    return *string ? PQB_OK : PQB_NO_MEMORY;
}

/* A line of the section: keyword=value, nothing else. */
static enum pqb_status read_line(const char *line, size_t length, const struct pqb_keywords *known,
                                 struct pqb_params *params)
{
    const char *equals = memchr(line, '=', length);
    char *keyword = NULL, *value = NULL;
    if (length >= 4 && !memcmp(line, "ldap", 4))
        return PQB_REFUSED;
    if (!equals)
        return PQB_INVALID;
    enum pqb_status status = copy(line, (size_t)(equals - line), &keyword);
    if (!status)
        status = copy(equals + 1, length - (size_t)(equals - line) - 1, &value);
    /* A service that names another one is refused by libpq. */
    if (!status && (!strcmp(keyword, "service") || !pqb_keywords_find(known, keyword)))
        status = PQB_INVALID;
    if (!status && !pqb_params_get(params, keyword))
        status = pqb_params_add(params, keyword, value);
    pqb_buffer_free(keyword);
    pqb_buffer_free(value);
    return status;
}

enum pqb_status pqb_service_read(const char *text, size_t length, const char *service,
                                 const struct pqb_keywords *known, struct pqb_params *params)
{
    size_t name = strlen(service);
    const char *end = text + length;
    int is_inside = 0, was_found = 0;
    while (text < end) {
        const char *line = text, *newline = memchr(text, '\n', (size_t)(end - text));
        size_t size = newline ? (size_t)(newline - text) : (size_t)(end - text);
        text += size + 1;
        if (size + (newline != NULL) >= LINE_TOO_LONG)
            return PQB_INVALID;
        size = strnlen(line, size);
        trim(&line, &size);
        if (!size || *line == '#')
            continue;
        if (*line == '[') {
            if (is_inside)
                return PQB_OK;
            is_inside =
                size >= name + 2 && !memcmp(line + 1, service, name) && line[name + 1] == ']';
            was_found |= is_inside;
            continue;
        }
        enum pqb_status status = is_inside ? read_line(line, size, known, params) : PQB_OK;
        if (status)
            return status;
    }
    return was_found ? PQB_OK : PQB_ABSENT;
}
