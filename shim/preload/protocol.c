#include "preload/protocol.h"

#include <string.h>

/* The codes in a version's place. */
enum {
    CODE_CANCEL = 80877102,
    CODE_SSL = 80877103,
    CODE_GSS = 80877104,
};

/* A CancelRequest's key has 4 bytes in protocol 3.0 and up to 256 since 3.2. */
enum {
    CANCEL_MIN = 16,
    CANCEL_MAX = 12 + 256,
};

static uint32_t word_at(const unsigned char *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* ---- what a client writes first ---- */

/* A TLS record of type handshake that holds a ClientHello: 16 03 xx, a length, 01. */
static enum pqb_packet first_of_tls(const unsigned char *at, size_t length, size_t *whole)
{
    if ((length > 1 && at[1] != 3) || (length > 2 && at[2] > 4) || (length > 5 && at[5] != 1))
        return PQB_PACKET_OTHER;
    if (length < 6)
        return PQB_PACKET_MORE;
    *whole = 5 + ((size_t)at[3] << 8 | at[4]);
    return PQB_PACKET_TLS;
}

static enum pqb_packet packet_of(uint32_t size, uint32_t code)
{
    if (code >> 16 == 3)
        return size > 8 && size <= PQB_STARTUP_BYTES ? PQB_PACKET_STARTUP : PQB_PACKET_OTHER;
    if (code == CODE_SSL)
        return size == 8 ? PQB_PACKET_SSL : PQB_PACKET_OTHER;
    if (code == CODE_GSS)
        return size == 8 ? PQB_PACKET_GSS : PQB_PACKET_OTHER;
    if (code == CODE_CANCEL)
        return size >= CANCEL_MIN && size <= CANCEL_MAX ? PQB_PACKET_CANCEL : PQB_PACKET_OTHER;
    return PQB_PACKET_OTHER;
}

/* Whether fewer than 8 bytes can be the beginning of a packet: a length below 10001, then 3.x or
 * one of the codes, which all begin with 1234 as the major version. */
static int may_become_packet(const unsigned char *at, size_t length)
{
    static const unsigned char highest[4] = {0, 0, PQB_STARTUP_BYTES >> 8, 255};
    for (size_t i = 0; i < length && i < 4; i++)
        if (at[i] > highest[i])
            return 0;
    if (length < 5)
        return 1;
    if (at[4] == 0)
        return length < 6 || at[5] == 3;
    return at[4] == CODE_SSL >> 24 && (length < 6 || at[5] == (CODE_SSL >> 16 & 255)) &&
           (length < 7 || at[6] == (CODE_SSL >> 8 & 255));
}

enum pqb_packet pqb_protocol_first(const void *bytes, size_t length, size_t *whole)
{
    const unsigned char *at = bytes;
    *whole = 0;
    if (length && at[0] == 0x16)
        return first_of_tls(at, length, whole);
    if (length < 8)
        return may_become_packet(at, length) ? PQB_PACKET_MORE : PQB_PACKET_OTHER;
    enum pqb_packet packet = packet_of(word_at(at), word_at(at + 4));
    if (packet != PQB_PACKET_OTHER)
        *whole = word_at(at);
    return packet;
}

/* ---- a StartupMessage ---- */

static char lower(char c)
{
    if (c >= 'A' && c <= 'Z')
        c += 'a' - 'A';
    return c;
}

/* `value`, in any case, begins `word`, and is at least `least` long. */
static int abbreviates(const char *value, const char *word, size_t least)
{
    size_t i = 0;
    while (value[i] && lower(value[i]) == word[i])
        i++;
    return !value[i] && i >= least;
}

/* The server's rule: "database", or what its parse_bool takes for true. Of anything else that is
 * not false it makes an error, and no walsender. */
int pqb_protocol_is_replication(const char *value)
{
    return value &&
           (!strcmp(value, "database") || abbreviates(value, "true", 1) ||
            abbreviates(value, "yes", 1) || abbreviates(value, "on", 2) || !strcmp(value, "1"));
}

static void note_parameter(struct pqb_startup *out, const char *name, const char *value)
{
    if (!strcmp(name, "user"))
        out->user = value;
    else if (!strcmp(name, "database"))
        out->database = value;
    else if (!strcmp(name, "options"))
        out->options = value;
    else if (!strcmp(name, "replication"))
        out->replication = value;
    else if (abbreviates(name, "application_name", 16))
        out->application_name = value;
}

int pqb_protocol_startup(const char *bytes, size_t length, struct pqb_startup *out)
{
    size_t whole;
    *out = (struct pqb_startup){0};
    if (pqb_protocol_first(bytes, length, &whole) != PQB_PACKET_STARTUP || whole != length)
        return 0;
    /* The list ends with an empty name, which is the message's last byte: what the server insists
     * on. So every string in it ends within it. */
    const char *at = bytes + 8, *last = bytes + length - 1;
    if (*last)
        return 0;
    struct pqb_startup seen = {.version = word_at((const unsigned char *)bytes + 4)};
    while (*at) {
        const char *value = at + strlen(at) + 1;
        if (value >= last)
            return 0;
        note_parameter(&seen, at, value);
        at = value + strlen(value) + 1;
        if (at > last)
            return 0;
    }
    if (at != last)
        return 0;
    seen.is_replication = pqb_protocol_is_replication(seen.replication);
    *out = seen;
    return 1;
}

/* ---- what we say in the server's place ---- */

const char pqb_protocol_tls_alert[PQB_TLS_ALERT_BYTES] = {0x15, 3, 3, 0, 2, 2, 80};

struct field {
    char type;
    const char *text;
};

size_t pqb_protocol_error(char *to, size_t size, const char *sqlstate, const char *message,
                          const char *detail, const char *hint)
{
    const struct field fields[] = {{'S', "FATAL"}, {'V', "FATAL"}, {'C', sqlstate},
                                   {'M', message}, {'D', detail},  {'H', hint}};
    size_t length = 5;
    for (unsigned i = 0; i < sizeof fields / sizeof *fields; i++) {
        if (!fields[i].text)
            continue;
        size_t bytes = strlen(fields[i].text) + 1;
        /* With room for the end of the list behind it. */
        if (size < length + 2 || size - length - 2 < bytes)
            return 0;
        to[length] = fields[i].type;
        memcpy(to + length + 1, fields[i].text, bytes);
        length += 1 + bytes;
    }
    to[length++] = '\0';
    to[0] = 'E';
    for (unsigned i = 0; i < 4; i++)
        to[1 + i] = (char)((length - 1) >> (24 - 8 * i) & 255);
    return length;
}
