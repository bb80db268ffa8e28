/* Both directions of a connection, read as they pass. */
#include "preload/protocol.h"

#include <string.h>

static uint32_t word_at(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* The next header, from here or put together from pieces; NULL if it is not complete yet. */
static const uint8_t *take_header(uint8_t *had, uint8_t header[5], const uint8_t **at,
                                  const uint8_t *end)
{
    if (!*had && end - *at >= 5) {
        const uint8_t *whole = *at;
        *at += 5;
        return whole;
    }
    while (*had < 5 && *at < end)
        header[(*had)++] = *(*at)++;
    if (*had < 5)
        return NULL;
    *had = 0;
    return header;
}

static uint32_t least(uint32_t a, size_t b)
{
    return a < b ? a : (uint32_t)b;
}

/* ---- what a server sends ---- */

/* A body's greatest length. Short messages have libpq's limit, beyond which it gives up too. */
enum {
    SHORT_BODY = 30000,
    LONG_BODY = 0x3fffffff,
};

enum kind {
    NONE, /* no such message */
    SHORT,
    LONG,       /* so far they are only stepped over */
    LONG_ASIDE, /* comes unasked */
    LOOK,       /* to be looked at */
    LONG_LOOK,
};

static const uint8_t from_server[256] = {
    ['1'] = SHORT, ['2'] = SHORT,      ['3'] = SHORT, ['A'] = LONG_ASIDE, ['C'] = SHORT,
    ['D'] = LONG,  ['E'] = LONG_LOOK,  ['G'] = SHORT, ['H'] = SHORT,      ['I'] = SHORT,
    ['K'] = LOOK,  ['N'] = LONG_ASIDE, ['R'] = LOOK,  ['S'] = LOOK,       ['T'] = LONG,
    ['V'] = LONG,  ['W'] = SHORT,      ['Z'] = LOOK,  ['c'] = SHORT,      ['d'] = LONG,
    ['n'] = SHORT, ['s'] = SHORT,      ['t'] = LONG,  ['v'] = SHORT,
};

static unsigned look_at_name(struct pqb_scan *scan, const char *body, uint32_t length)
{
    static const char name[] = "application_name";
    if (length <= sizeof name || memcmp(body, name, sizeof name) != 0)
        return 0;
    const char *value = body + sizeof name;
    size_t bytes = strnlen(value, least(length - (uint32_t)sizeof name, PQB_SCAN_NAME_BYTES - 1));
    memcpy(scan->application_name, value, bytes);
    memset(scan->application_name + bytes, 0, sizeof scan->application_name - bytes);
    return PQB_SEEN_NAME;
}

/* Its SQLSTATE: the server sends severity, severity and this first. */
static unsigned look_at_error(struct pqb_scan *scan, const char *body, uint32_t length)
{
    const char *at = body, *end = body + length;
    if (scan->is_started)
        return 0;
    memset(scan->sqlstate, 0, sizeof scan->sqlstate);
    while (at < end && *at) {
        char field = *at++;
        size_t bytes = strnlen(at, (size_t)(end - at));
        if (field == 'C' && bytes == sizeof scan->sqlstate - 1) {
            memcpy(scan->sqlstate, at, bytes);
            break;
        }
        at += bytes < (size_t)(end - at) ? bytes + 1 : bytes;
    }
    return PQB_SEEN_STARTUP_ERROR;
}

/* At a whole message, of which `length` bytes are here. */
static unsigned look(struct pqb_scan *scan, uint8_t type, const uint8_t *body, uint32_t length)
{
    switch (type) {
    case 'R':
        return length >= 4 && word_at(body) == 0 ? PQB_SEEN_AUTHENTICATED : 0;
    case 'K':
        if (length < 8)
            return PQB_SEEN_LOST;
        scan->backend_pid = (int32_t)word_at(body);
        return PQB_SEEN_BACKEND;
    case 'S':
        return look_at_name(scan, (const char *)body, length);
    case 'E':
        return look_at_error(scan, (const char *)body, length);
    case 'Z':
        if (length != 1 || (*body != 'I' && *body != 'T' && *body != 'E'))
            return PQB_SEEN_LOST;
        scan->ready = *body;
        scan->answered++;
        scan->is_started = 1;
        return PQB_SEEN_READY;
    }
    return 0;
}

/* One byte, and no message, answers a request for TLS or GSS. Only very old servers send an error.
 */
static unsigned take_answer(struct pqb_scan *scan, const uint8_t **at)
{
    scan->ask = 0;
    switch (**at) {
    case 'N':
        ++*at;
        return PQB_SEEN_NO;
    case 'S':
        return PQB_SEEN_TLS;
    case 'G':
        return PQB_SEEN_GSS;
    case 'E':
        return 0;
    }
    return PQB_SEEN_LOST;
}

/* A body, or as much of it as is here. */
static unsigned take_body(struct pqb_scan *scan, const uint8_t **at, const uint8_t *end)
{
    uint32_t here = least(scan->left, (size_t)(end - *at));
    uint8_t type = scan->header[0];
    const uint8_t *body = *at;
    *at += here;
    scan->left -= here;
    if (from_server[type] < LOOK)
        return 0;
    if (!scan->kept && !scan->left)
        return look(scan, type, body, least(PQB_SCAN_KEEP, here));
    uint32_t kept = least(here, (size_t)(PQB_SCAN_KEEP - scan->kept));
    memcpy(scan->keep + scan->kept, body, kept);
    scan->kept = (uint8_t)(scan->kept + kept);
    return scan->left ? 0 : look(scan, type, scan->keep, scan->kept);
}

/* Whether a message can be so long; its length counts itself, not its type. */
static int is_possible(enum kind kind, uint32_t length)
{
    static const uint32_t most[] = {
        [SHORT] = SHORT_BODY,    [LONG] = LONG_BODY,  [LONG_ASIDE] = LONG_BODY,
        [LONG_LOOK] = LONG_BODY, [LOOK] = SHORT_BODY,
    };
    return kind != NONE && length >= 4 && length - 4 <= most[kind];
}

/* Steps over whole messages that say nothing here. Nearly all of a result is of them. */
static void skip_plain(struct pqb_scan *scan, const uint8_t **at, const uint8_t *end)
{
    const uint8_t *next = *at;
    while (end - next >= 5) {
        enum kind kind = from_server[*next];
        uint32_t length = word_at(next + 1);
        if (kind > LONG || !is_possible(kind, length) || (size_t)(end - next) - 1 < length)
            break;
        next += 1 + (size_t)length;
    }
    if (next > *at)
        scan->ready = 0;
    *at = next;
}

static unsigned take_message(struct pqb_scan *scan, const uint8_t **at, const uint8_t *end)
{
    if (!scan->had)
        skip_plain(scan, at, end);
    const uint8_t *header = take_header(&scan->had, scan->header, at, end);
    if (!header)
        return 0;
    enum kind kind = from_server[header[0]];
    uint32_t length = word_at(header + 1);
    if (!is_possible(kind, length) || (kind >= LOOK && length == 4))
        return PQB_SEEN_LOST;
    if (header[0] == 'A')
        scan->is_notified = 1;
    /* A parameter's status is looked at, but comes unasked as well. */
    if (kind != LONG_ASIDE && header[0] != 'S')
        scan->ready = 0;
    scan->header[0] = header[0];
    scan->left = length - 4;
    scan->kept = 0;
    return 0;
}

unsigned pqb_protocol_scan(struct pqb_scan *scan, const void *bytes, size_t length)
{
    const uint8_t *at = bytes, *end = at + length;
    const unsigned last = PQB_SEEN_TLS | PQB_SEEN_GSS | PQB_SEEN_LOST;
    unsigned seen = 0;
    while (at < end && !scan->is_over) {
        if (scan->left)
            seen |= take_body(scan, &at, end);
        else if (scan->ask && !scan->had)
            seen |= take_answer(scan, &at);
        else
            seen |= take_message(scan, &at, end);
        scan->is_over = (seen & last) != 0;
    }
    if (seen & PQB_SEEN_LOST)
        scan->ready = 0;
    return seen;
}

int pqb_protocol_scan_is_ready(const struct pqb_scan *scan)
{
    return scan->ready && !scan->left && !scan->had && !scan->is_over;
}

/* ---- what a client writes ---- */

static const uint8_t from_client[256] = {
    ['B'] = LONG,  ['C'] = LONG, ['D'] = LONG, ['E'] = LONG,  ['F'] = LONG,
    ['H'] = SHORT, ['P'] = LONG, ['Q'] = LONG, ['S'] = SHORT, ['X'] = SHORT,
    ['c'] = SHORT, ['d'] = LONG, ['f'] = LONG, ['p'] = LONG,
};

/* What a message of this type, which has just begun, is to those before it. */
static void note_message(struct pqb_scan_out *scan, uint8_t type)
{
    switch (type) {
    case 'F': /* a function by its number: what it does, nobody sees */
        scan->pin = PQB_PIN_UNSEEN;
        /* Fall through. */
    case 'Q':
    case 'S':
        scan->asked++;
        scan->has_synced = type == 'S';
        scan->is_begun = scan->is_copying = 0;
        break;
    case 'd':
        scan->is_copying = 1;
        break;
    case 'c':
    case 'f':
        scan->is_copying = 0;
        /* A server that copies in passes over a Sync, and answers it if it had given up before. */
        if (scan->has_synced)
            scan->pin = PQB_PIN_UNCOUNTED;
        break;
    case 'E':
        scan->has_synced = 0;
        scan->is_begun = 1;
        break;
    case 'p':
        break;
    default:
        scan->is_begun = 1;
    }
}

static void begin_message(struct pqb_scan_out *scan, uint8_t type, uint32_t length)
{
    scan->left = length;
    scan->text = PQB_TEXT_NONE;
    note_message(scan, type);
    if (scan->pin || (type != 'Q' && type != 'P'))
        return;
    scan->text = type == 'P' ? PQB_TEXT_NAME : PQB_TEXT_SQL;
    scan->statement = (struct pqb_statement){0};
}

/* On in a body with SQL: of a Parse, behind the name. */
static void take_text(struct pqb_scan_out *scan, const char *at, size_t length)
{
    const char *nul = memchr(at, 0, length);
    if (scan->text == PQB_TEXT_NAME) {
        if (!nul)
            return;
        scan->text = PQB_TEXT_SQL;
        length -= (size_t)(nul + 1 - at);
        at = nul + 1;
        nul = memchr(at, 0, length);
    }
    enum pqb_pin pin = pqb_statement_read(&scan->statement, at, nul ? (size_t)(nul - at) : length);
    if (nul && !pin)
        pin = pqb_statement_end(&scan->statement);
    if (nul || pin)
        scan->text = PQB_TEXT_NONE;
    scan->pin = (uint8_t)pin;
}

unsigned pqb_protocol_scan_out(struct pqb_scan_out *scan, const void *bytes, size_t length)
{
    const uint8_t *at = bytes, *end = at + length;
    unsigned wrote = 0;
    while (at < end && !scan->is_over) {
        uint32_t here = least(scan->left, (size_t)(end - at));
        if (here && scan->text)
            take_text(scan, (const char *)at, here);
        at += here;
        scan->left -= here;
        const uint8_t *header = at < end ? take_header(&scan->had, scan->header, &at, end) : NULL;
        if (!header)
            break;
        uint8_t type = header[0];
        enum kind kind = from_client[type];
        uint32_t size = word_at(header + 1);
        if (kind == NONE || size < 4 || size - 4 > (kind == LONG ? LONG_BODY : 0))
            wrote |= PQB_WROTE_LOST;
        else if (type == 'X')
            wrote |= PQB_WROTE_TERMINATE;
        else
            begin_message(scan, type, size - 4);
        scan->is_over = wrote != 0;
    }
    return wrote;
}

int pqb_protocol_scan_out_is_between(const struct pqb_scan_out *scan)
{
    return !scan->left && !scan->had && !scan->is_over;
}

int pqb_protocol_scan_out_is_settled(const struct pqb_scan_out *scan)
{
    return pqb_protocol_scan_out_is_between(scan) && !scan->is_begun && !scan->is_copying;
}
