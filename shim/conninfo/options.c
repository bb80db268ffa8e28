#include "conninfo/options.h"

#include <string.h>

/* A word as it is written, its escapes still in it. */
struct word {
    const char *begin, *end;
};

/* As pg_split_opts() of the server does it, but that a last backslash alone is no word. False
 * behind the last. */
static int next_word(const char **at, struct word *word)
{
    while (pqb_buffer_is_blank(**at))
        (*at)++;
    word->begin = *at;
    while (**at && !pqb_buffer_is_blank(**at))
        *at += **at == '\\' && (*at)[1] ? 2 : 1;
    word->end = *at;
    return word->begin < word->end && !(*word->begin == '\\' && !word->begin[1]);
}

/* The byte at `at`, which moves behind it; 0 at the end. A backslash that nothing follows says
 * nothing. */
static char next_byte(const char **at, const char *end)
{
    if (*at < end && **at == '\\')
        (*at)++;
    if (*at == end)
        return 0;
    return *(*at)++;
}

static int is_same(struct word a, struct word b)
{
    char c;
    do {
        c = next_byte(&a.begin, a.end);
        if (c != next_byte(&b.begin, b.end))
            return 0;
    } while (c);
    return 1;
}

int pqb_options_is_whole(const char *options)
{
    size_t length = strlen(options), end = length;
    while (end && options[end - 1] == '\\')
        end--;
    return (length - end) % 2 == 0;
}

void pqb_options_add(struct pqb_buffer *buffer, const char *options)
{
    size_t length = strlen(options) - !pqb_options_is_whole(options), blanks = 0;
    while (blanks < length && pqb_buffer_is_blank(options[blanks]))
        blanks++;
    if (blanks == length)
        return;
    if (buffer->length)
        pqb_buffer_add_char(buffer, ' ');
    pqb_buffer_add_bytes(buffer, options, length);
}

void pqb_options_add_setting(struct pqb_buffer *buffer, const char *name, const char *value)
{
    if (buffer->length)
        pqb_buffer_add_char(buffer, ' ');
    pqb_buffer_add(buffer, "-c ");
    pqb_buffer_add(buffer, name);
    pqb_buffer_add_char(buffer, '=');
    for (; *value; value++) {
        if (pqb_buffer_is_blank(*value) || *value == '\\')
            pqb_buffer_add_char(buffer, '\\');
        pqb_buffer_add_char(buffer, *value);
    }
}

/* Where `part` stops standing at `options`; NULL if it does not stand there. */
static const char *behind(const char *options, const char *part)
{
    struct word wanted, word;
    while (next_word(&part, &wanted))
        if (!next_word(&options, &word) || !is_same(word, wanted))
            return NULL;
    return options;
}

static int is_inside(const char *options, const char *part, int at_end)
{
    struct word word;
    do {
        const char *rest = behind(options, part);
        if (rest && (!at_end || !next_word(&rest, &word)))
            return 1;
    } while (next_word(&options, &word));
    return 0;
}

int pqb_options_contains(const char *options, const char *part)
{
    return is_inside(options, part, 0);
}

int pqb_options_ends_with(const char *options, const char *part)
{
    return is_inside(options, part, 1);
}

static char folded(char c)
{
    if (c >= 'A' && c <= 'Z')
        c += 'a' - 'A';
    if (c == '-')
        c = '_';
    return c;
}

/* Adds the value, if the word is name=value. The server takes a dash for an underscore. */
static int take_setting(struct word word, const char *name, struct pqb_buffer *value)
{
    const char *at = word.begin;
    char c;
    for (; *name; name++)
        if (folded(next_byte(&at, word.end)) != *name)
            return 0;
    if (next_byte(&at, word.end) != '=')
        return 0;
    pqb_buffer_clear(value);
    while ((c = next_byte(&at, word.end)))
        pqb_buffer_add_char(value, c);
    return 1;
}

int pqb_options_find(const char *options, const char *name, struct pqb_buffer *value)
{
    struct word word;
    int found = 0;
    while (next_word(&options, &word)) {
        if (word.end - word.begin < 2 || *word.begin != '-')
            continue;
        /* -c name=value, -cname=value, --name=value */
        int is_setting = word.begin[1] == 'c' || word.begin[1] == '-';
        if (is_setting && word.begin[1] == 'c' && word.end - word.begin == 2) {
            if (!next_word(&options, &word))
                break;
        } else {
            word.begin += 2;
        }
        if (is_setting && take_setting(word, name, value))
            found = 1;
    }
    return found;
}
