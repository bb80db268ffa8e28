#include "conninfo/grammar.h"

#include "conninfo/buffer.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum pqb_status pqb_pieces_add(struct pqb_pieces *pieces, char *keyword, char *value, size_t begin,
                               size_t end)
{
    if (pieces->count == pieces->room) {
        size_t room = pieces->room ? pieces->room * 2 : 16;
        struct pqb_piece *list = NULL;
        if (room <= SIZE_MAX / sizeof *list)
            list = realloc(pieces->list, room * sizeof *list);
        if (!list) {
            pqb_buffer_free(keyword);
            pqb_buffer_free(value);
            return PQB_NO_MEMORY;
        }
        pieces->list = list;
        pieces->room = room;
    }
    pieces->list[pieces->count++] = (struct pqb_piece){keyword, value, begin, end};
    return keyword ? PQB_OK : PQB_NO_MEMORY;
}

void pqb_pieces_clear(struct pqb_pieces *pieces)
{
    for (size_t i = 0; i < pieces->count; i++) {
        pqb_buffer_free(pieces->list[i].keyword);
        pqb_buffer_free(pieces->list[i].value);
    }
    free(pieces->list);
    *pieces = (struct pqb_pieces){NULL, 0, 0};
}

/* ---- URI, as conninfo_uri_parse_options() reads it ---- */

static const char *until(const char *at, const char *stops)
{
    return at + strcspn(at, stops);
}

/* The question mark, or the end of the text; NULL if a bracket is wrong. */
static const char *find_query(const char *text)
{
    const char *at = until(text, "@/");
    at = *at == '@' ? at + 1 : text;
    for (;;) {
        if (*at == '[') {
            const char *address = at + 1;
            at = until(address, "]");
            if (!*at || at == address)
                return NULL;
            at++;
            if (*at && !strchr(":/?,", *at))
                return NULL;
        } else {
            at = until(at, ":/?,");
        }
        if (*at == ':')
            at = until(at + 1, "/?,");
        if (*at != ',')
            return until(at, "?");
        at++;
    }
}

static int digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* PQB_INVALID for a percent sign without its two digits, or a zero byte. */
static enum pqb_status decode(const char *at, const char *end, char **decoded)
{
    struct pqb_buffer buffer = {NULL, 0, 0, 0};
    for (; at < end; at++) {
        char c = *at;
        if (c == '%') {
            int high = end - at > 2 ? digit_of(at[1]) : -1, low = high < 0 ? -1 : digit_of(at[2]);
            int byte = high * 16 + low;
            if (low < 0 || !byte) {
                pqb_buffer_clear(&buffer);
                return PQB_INVALID;
            }
            c = (char)(unsigned char)byte;
            at += 2;
        }
        pqb_buffer_add_char(&buffer, c);
    }
    *decoded = pqb_buffer_take(&buffer);
    return *decoded ? PQB_OK : PQB_NO_MEMORY;
}

enum pqb_status pqb_grammar_uri(const char *text, struct pqb_pieces *pieces, size_t *query)
{
    const char *at = find_query(text), *end;
    if (!at)
        return PQB_INVALID;
    at += *at == '?';
    *query = (size_t)(at - text);
    for (; *at; at = *end ? end + 1 : end) {
        char *keyword = NULL, *value = NULL;
        end = until(at, "&");
        const char *equals = memchr(at, '=', (size_t)(end - at));
        enum pqb_status status = decode(at, equals ? equals : end, &keyword);
        if (!status && equals)
            status = decode(equals + 1, end, &value);
        if (status) {
            pqb_buffer_free(keyword);
            return status;
        }
        status = pqb_pieces_add(pieces, keyword, value, (size_t)(at - text), (size_t)(end - text));
        if (status)
            return status;
    }
    return PQB_OK;
}

/* ---- keyword = value, as conninfo_parse() reads it ---- */

static const char *skip_blanks(const char *at)
{
    while (pqb_buffer_is_blank(*at))
        at++;
    return at;
}

/* Where the value ends; NULL if a quote is missing. */
static const char *take_value(const char *at, struct pqb_buffer *value)
{
    int quoted = *at == '\'';
    for (at += quoted; quoted || (*at && !pqb_buffer_is_blank(*at)); at++) {
        if (*at == '\\') {
            if (!*++at) {
                at--;
                continue;
            }
        } else if (quoted && *at == '\'') {
            return at + 1;
        } else if (!*at) {
            return NULL;
        }
        pqb_buffer_add_char(value, *at);
    }
    return at;
}

enum pqb_status pqb_grammar_pairs(const char *text, struct pqb_pieces *pieces)
{
    const char *at = skip_blanks(text);
    while (*at) {
        struct pqb_buffer keyword = {NULL, 0, 0, 0}, value = {NULL, 0, 0, 0};
        const char *begin = at;
        while (*at && *at != '=' && !pqb_buffer_is_blank(*at))
            at++;
        const char *end = at;
        at = skip_blanks(at);
        if (*at != '=')
            return PQB_INVALID;
        at = take_value(skip_blanks(at + 1), &value);
        if (!at) {
            pqb_buffer_clear(&value);
            return PQB_INVALID;
        }
        pqb_buffer_add_bytes(&keyword, begin, (size_t)(end - begin));
        char *name = pqb_buffer_take(&keyword), *text_of_value = pqb_buffer_take(&value);
        enum pqb_status status = pqb_pieces_add(pieces, name, text_of_value, (size_t)(begin - text),
                                                (size_t)(at - text));
        if (status || !text_of_value)
            return PQB_NO_MEMORY;
        at = skip_blanks(at);
    }
    return PQB_OK;
}
