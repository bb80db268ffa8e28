#include "tool/text.h"

#include <langinfo.h>
#include <locale.h>
#include <string.h>
#include <unistd.h>
#include <wchar.h>

static int locale_is_utf8;

void pqb_text_start(void)
{
    setlocale(LC_CTYPE, "");
    locale_is_utf8 = !strcmp(nl_langinfo(CODESET), "UTF-8");
    /* In a pipe it is UTF-8 whatever the locale says, and wcwidth must know it. */
    if (!locale_is_utf8)
        setlocale(LC_CTYPE, "C.UTF-8");
}

int pqb_text_is_ascii_only(FILE *out)
{
    return !locale_is_utf8 && isatty(fileno(out));
}

/* Length of the sequence that begins with this byte, and the bits of it that count; 0 = none does.
 */
static unsigned sequence_of(unsigned char first, uint32_t *bits)
{
    if (first >= 0xc2 && first <= 0xdf) {
        *bits = first & 0x1fu;
        return 2;
    }
    if (first >= 0xe0 && first <= 0xef) {
        *bits = first & 0x0fu;
        return 3;
    }
    if (first >= 0xf0 && first <= 0xf4) {
        *bits = first & 0x07u;
        return 4;
    }
    return 0;
}

uint32_t pqb_text_next(const char **at)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned char *bytes = (const unsigned char *)*at;
    uint32_t character;
    if (!*bytes)
        return 0;
    if (*bytes < 0x80) {
        (*at)++;
        return *bytes;
    }
    unsigned length = sequence_of(*bytes, &character), seen = 1;
    for (; seen < length && (bytes[seen] & 0xc0) == 0x80; seen++)
        character = character << 6 | (bytes[seen] & 0x3fu);
    if (length && seen == length && character >= least[length] && character <= 0x10ffff &&
        (character < 0xd800 || character > 0xdfff)) {
        *at += length;
        return character;
    }
    if (seen < length && !bytes[seen]) {
        *at += seen;
        return 0;
    }
    (*at)++;
    return PQB_TEXT_BAD;
}

void pqb_text_put(FILE *out, uint32_t character)
{
    if (character < 0x80) {
        fputc((int)character, out);
        return;
    }
    if (character < 0x800) {
        fputc((int)(0xc0 | character >> 6), out);
    } else {
        if (character < 0x10000) {
            fputc((int)(0xe0 | character >> 12), out);
        } else {
            fputc((int)(0xf0 | character >> 18), out);
            fputc((int)(0x80 | (character >> 12 & 0x3f)), out);
        }
        fputc((int)(0x80 | (character >> 6 & 0x3f)), out);
    }
    fputc((int)(0x80 | (character & 0x3f)), out);
}

int pqb_text_is_control(uint32_t character)
{
    return character < 0x20 || (character >= 0x7f && character < 0xa0) || character == 0xad ||
           character == 0x61c || character == 0x180e ||    /* as those of the next line */
           (character >= 0x200b && character <= 0x200f) || /* invisible, direction marks */
           (character >= 0x2028 && character <= 0x202e) || /* line ends, overrides */
           (character >= 0x2060 && character <= 0x206f) || /* isolates */
           character == 0xfeff || (character >= 0xfff9 && character <= 0xfffb) ||
           (character >= 0xe0000 && character <= 0xe0fff);
}

/* What is shown for a character, and how wide that is. */
static uint32_t shown(uint32_t character, int ascii_only, unsigned *columns)
{
    int width = character < 0x7f ? 1 : wcwidth((wchar_t)character);
    if (pqb_text_is_control(character) || character == PQB_TEXT_BAD || width < 0 ||
        (ascii_only && character > 0x7e)) {
        *columns = 1;
        return '?';
    }
    *columns = (unsigned)width;
    return character;
}

unsigned pqb_text_width(const char *text)
{
    unsigned sum = 0, columns;
    for (uint32_t character; (character = pqb_text_next(&text)); sum += columns)
        shown(character, 0, &columns);
    return sum;
}

unsigned pqb_text_print(FILE *out, const char *text, unsigned columns, int ascii_only)
{
    int is_cut = columns != PQB_TEXT_ALL && pqb_text_width(text) > columns;
    unsigned room = is_cut && columns ? columns - 1 : columns, used = 0, width;
    for (uint32_t character; (character = pqb_text_next(&text)); used += width) {
        character = shown(character, ascii_only, &width);
        if (columns != PQB_TEXT_ALL && used + width > room)
            break;
        pqb_text_put(out, character);
    }
    if (is_cut && columns) {
        pqb_text_put(out, ascii_only ? '~' : 0x2026);
        used++;
    }
    return used;
}

void pqb_text_copy(char *to, const char *field, unsigned capacity)
{
    size_t length = strnlen(field, capacity);
    memcpy(to, field, length);
    to[length] = 0;
}
