/* protocol.c: PostgreSQL's protocol as it passes by: the first packet and its rewriting, and
 * streams in both directions and of TLS, which must look the same however they are cut. */
#include "preload/protocol.h"
#include "fuzz/fuzz.h"

enum { CHANGES = 4 };

/* ---- what a client writes first ---- */

static enum pqb_packet check_first(const uint8_t *data, size_t size)
{
    size_t whole;
    enum pqb_packet packet = pqb_protocol_first(data, size, &whole);
    MUST(size < 8 || packet != PQB_PACKET_MORE);
    MUST((whole > 0) == (packet != PQB_PACKET_MORE && packet != PQB_PACKET_OTHER));
    for (size_t i = 0; i < size && i < 9; i++) {
        size_t sooner;
        enum pqb_packet early = pqb_protocol_first(data, i, &sooner);
        MUST(early == PQB_PACKET_MORE || (early == packet && sooner == whole));
    }
    return packet;
}

/* ---- rewriting ---- */

struct names {
    unsigned count, named; /* of all, and of those that are of a name */
};

static struct names count_names(const char *message, size_t length, const char *name)
{
    struct names names = {0, 0};
    for (const char *at = message + 8; *at;) {
        const char *value = at + strlen(at) + 1;
        names.count++;
        names.named += !strcmp(at, name);
        at = value + strlen(value) + 1;
        MUST(at < message + length);
    }
    return names;
}

/* The client's own, in their order, and what is new behind them, each once. */
static void check_names(const char *old, size_t old_length, const char *new, size_t new_length)
{
    const char *mine = new + 8;
    struct names names = count_names(old, old_length, "");
    for (const char *at = old + 8; *at; at += strlen(at) + 1, at += strlen(at) + 1) {
        MUST(!strcmp(at, mine));
        mine += strlen(mine) + 1;
        mine += strlen(mine) + 1;
    }
    MUST(count_names(new, new_length, "").count <= names.count + CHANGES + 1);
    for (; *mine; mine += strlen(mine) + 1, mine += strlen(mine) + 1)
        MUST(count_names(new, new_length, mine).named == 1);
}

static void check_rewrite(const char *message, size_t length, const struct pqb_change *changes)
{
    struct pqb_startup startup;
    size_t size = pqb_protocol_rewrite(message, length, changes, CHANGES, NULL, 0);
    MUST(size == 0);
    char *wide = malloc(PQB_STARTUP_BYTES);
    MUST(wide);
    size = pqb_protocol_rewrite(message, length, changes, CHANGES, wide, PQB_STARTUP_BYTES);
    MUST((size > 0) == pqb_protocol_startup(message, length, &startup));
    if (size) {
        char *tight = malloc(size), *again = malloc(size);
        MUST(tight && again);
        MUST(pqb_protocol_rewrite(message, length, changes, CHANGES, tight, size - 1) == 0);
        MUST(pqb_protocol_rewrite(message, length, changes, CHANGES, tight, size) == size);
        MUST(!memcmp(tight, wide, size) && !memcmp(tight + 4, message + 4, 4));
        MUST(pqb_protocol_startup(tight, size, &startup));
        check_names(message, length, tight, size);
        MUST(pqb_protocol_rewrite(tight, size, changes, CHANGES, again, size) == size);
        MUST(!memcmp(tight, again, size));
        free(tight);
        free(again);
    }
    free(wide);
}

/* A byte for the changes' modes; a name and a value for each; the rest is a message, to which its
 * beginning and end are given. */
static void check_startup(const uint8_t *data, size_t size)
{
    struct pqb_change changes[CHANGES];
    char *text[2 * CHANGES];
    unsigned modes = size ? *data : 0;
    if (size)
        data++, size--;
    for (unsigned i = 0; i < CHANGES; i++) {
        text[2 * i] = fuzz_part(&data, &size);
        text[2 * i + 1] = fuzz_part(&data, &size);
        int is_usable = *text[2 * i] && strcmp(text[2 * i], "options") != 0;
        changes[i] = (struct pqb_change){is_usable ? text[2 * i] : "a", text[2 * i + 1],
                                         (enum pqb_change_mode)(modes >> 2 * i & 3)};
    }
    size_t length = 8 + size + 1;
    uint8_t *message = malloc(length);
    MUST(message);
    memcpy(message, "\0\0\0\0\0\3\0\0", 8);
    message[2] = (uint8_t)(length >> 8);
    message[3] = (uint8_t)length;
    memcpy(message + 8, data, size);
    message[length - 1] = 0;
    MUST(check_first(message, length) == PQB_PACKET_STARTUP);
    check_rewrite((char *)message, length, changes);
    free(message);
    for (unsigned i = 0; i < 2 * CHANGES; i++)
        free(text[i]);
}

/* ---- streams, whole and in pieces ---- */

/* Pieces of their own, so that a sanitizer sees every byte beyond them; the cuts are in `cuts`. */
static uint8_t *next_piece(const uint8_t *data, size_t size, uint8_t cuts, size_t at,
                           size_t *length)
{
    size_t wanted = 1 + ((cuts + at * 7) & 15);
    *length = wanted < size - at ? wanted : size - at;
    uint8_t *piece = malloc(*length);
    MUST(piece);
    memcpy(piece, data + at, *length);
    return piece;
}

static void check_server(const uint8_t *data, size_t size, uint8_t cuts)
{
    struct pqb_scan whole = {.ask = cuts >> 7}, cut = {.ask = cuts >> 7};
    unsigned seen = pqb_protocol_scan(&whole, data, size), pieces = 0;
    for (size_t at = 0, length; at < size; at += length) {
        uint8_t *piece = next_piece(data, size, cuts, at, &length);
        pieces |= pqb_protocol_scan(&cut, piece, length);
        free(piece);
    }
    MUST(seen == pieces && whole.left == cut.left && whole.had == cut.had);
    MUST(whole.backend_pid == cut.backend_pid && whole.ready == cut.ready);
    MUST(whole.is_over == cut.is_over && whole.is_started == cut.is_started);
    MUST(!memcmp(whole.sqlstate, cut.sqlstate, sizeof whole.sqlstate));
    MUST(!strcmp(whole.application_name, cut.application_name));
    MUST(strlen(whole.application_name) < PQB_SCAN_NAME_BYTES && !whole.sqlstate[5]);
    MUST(!pqb_protocol_scan_is_ready(&whole) || !whole.is_over);
}

static void check_client(const uint8_t *data, size_t size, uint8_t cuts)
{
    struct pqb_scan_out whole = {0}, cut = {0};
    unsigned wrote = pqb_protocol_scan_out(&whole, data, size), pieces = 0;
    for (size_t at = 0, length; at < size; at += length) {
        uint8_t *piece = next_piece(data, size, cuts, at, &length);
        pieces |= pqb_protocol_scan_out(&cut, piece, length);
        free(piece);
    }
    MUST(wrote == pieces && whole.left == cut.left && whole.had == cut.had);
    MUST(whole.is_over == cut.is_over && whole.is_over == (wrote != 0));
}

static void check_tls(const uint8_t *data, size_t size, uint8_t cuts)
{
    struct pqb_tls whole = {0}, cut = {0};
    size_t passed = pqb_protocol_tls(&whole, data, size), pieces = 0, given = 0;
    MUST(passed <= size && (whole.data || size - passed < 5));
    while (given < size && !cut.data) {
        size_t length;
        free(next_piece(data, size, cuts, given, &length));
        given += length;
        uint8_t *piece = malloc(given - pieces);
        MUST(piece);
        memcpy(piece, data + pieces, given - pieces);
        pieces += pqb_protocol_tls(&cut, piece, given - pieces);
        free(piece);
    }
    MUST(passed == pieces && whole.data == cut.data && whole.is_lost == cut.is_lost);
    MUST(!whole.data || data[passed] == 23);
    MUST(pqb_protocol_tls_is_cancel(&whole) == pqb_protocol_tls_is_cancel(&cut));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    uint8_t what = data[0] & 3, cuts = data[1];
    uint8_t *bytes = (uint8_t *)fuzz_string(data + 2, size - 2);
    size -= 2;
    check_first(bytes, size);
    if (what == 0)
        check_startup(bytes, size);
    else if (what == 1)
        check_server(bytes, size, cuts);
    else if (what == 2)
        check_client(bytes, size, cuts);
    else
        check_tls(bytes, size, cuts);
    free(bytes);
    return 0;
}
