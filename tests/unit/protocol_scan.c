/* protocol_scan.c: both directions of a connection, read in pieces as they pass. */
#include "preload/protocol.h"
#include "support/stream.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

TestSuite(protocol_scan, .timeout = 60);

/* What a server of version 15 answers to a StartupMessage and a query, recorded. */
static void add_login(struct stream *stream)
{
    add_message(stream, 'R', BYTES("\0\0\0\0"));
    add_message(stream, 'S', BYTES("application_name\0psql\0"));
    add_message(stream, 'S', BYTES("client_encoding\0UTF8\0"));
    add_message(stream, 'S', BYTES("server_version\00015.20 (Debian 15.20-0+deb12u1)\0"));
    add_message(stream, 'K', BYTES("\0\0\20\1\1\2\3\4"));
    add_message(stream, 'Z', BYTES("I"));
}

static void add_query(struct stream *stream)
{
    static char row[3000];
    add_message(stream, 'T', BYTES("\0\1?column?\0\0\0\0\0\0\0\0\0\0\27\0\4\377\377\377\377\0\0"));
    add_message(stream, 'D', BYTES("\0\1\0\0\0\0011"));
    add_message(stream, 'D', row, sizeof row);
    add_message(stream, 'C', BYTES("SELECT 2\0"));
    add_message(stream, 'Z', BYTES("T"));
}

static unsigned scan_whole(struct pqb_scan *scan, const struct stream *stream)
{
    return pqb_protocol_scan(scan, stream->bytes, stream->length);
}

Test(protocol_scan, reads_a_login)
{
    static struct stream stream;
    struct pqb_scan scan = {0};
    add_login(&stream);
    cr_expect_eq(scan_whole(&scan, &stream),
                 PQB_SEEN_AUTHENTICATED | PQB_SEEN_BACKEND | PQB_SEEN_NAME | PQB_SEEN_READY);
    cr_expect_eq(scan.backend_pid, 0x1001);
    cr_expect_str_eq(scan.application_name, "psql");
    cr_expect_eq(scan.ready, 'I');
    cr_expect(pqb_protocol_scan_is_ready(&scan));
}

Test(protocol_scan, says_when_the_server_waits)
{
    static struct stream stream;
    struct pqb_scan scan = {0};
    cr_expect_not(pqb_protocol_scan_is_ready(&scan));
    add_login(&stream);
    add_query(&stream);
    cr_expect(scan_whole(&scan, &stream) & PQB_SEEN_READY);
    cr_expect_eq(scan.ready, 'T');
    cr_expect(pqb_protocol_scan_is_ready(&scan));

    stream.length = 0;
    add_message(&stream, 'C', BYTES("COMMIT\0"));
    cr_expect_eq(scan_whole(&scan, &stream), 0);
    cr_expect_eq(scan.ready, 0);
    stream.length = 0;
    add_message(&stream, 'Z', BYTES("I"));
    cr_expect_eq(scan_whole(&scan, &stream), PQB_SEEN_READY);
    cr_expect(pqb_protocol_scan_is_ready(&scan));

    /* What comes unasked, once it is all there. */
    stream.length = 0;
    add_message(&stream, 'N', BYTES("SNOTICE\0\0"));
    add_message(&stream, 'S', BYTES("TimeZone\0UTC\0"));
    add_message(&stream, 'A', BYTES("\0\0\0\1c\0p\0"));
    for (size_t i = 0; i < stream.length - 1; i++) {
        cr_expect_eq(pqb_protocol_scan(&scan, stream.bytes + i, 1), 0);
        int is_between = i + 1 == 5 + 9 || i + 1 == 5 + 9 + 5 + 13;
        cr_expect_eq(pqb_protocol_scan_is_ready(&scan), is_between, "at %zu", i);
    }
    cr_expect_eq(pqb_protocol_scan(&scan, stream.bytes + stream.length - 1, 1), 0);
    cr_expect(pqb_protocol_scan_is_ready(&scan));
}

Test(protocol_scan, reads_answers_to_requests)
{
    static struct stream stream;
    struct pqb_scan scan = {.ask = 1};
    cr_expect_eq(pqb_protocol_scan(&scan, "", 0), 0);
    cr_expect_eq(pqb_protocol_scan(&scan, "N", 1), PQB_SEEN_NO);
    cr_expect_eq(scan.ask, 0);
    scan.ask = 1;
    add_bytes(&stream, "N", 1);
    add_login(&stream);
    cr_expect_eq(scan_whole(&scan, &stream), PQB_SEEN_NO | PQB_SEEN_AUTHENTICATED |
                                                 PQB_SEEN_BACKEND | PQB_SEEN_NAME | PQB_SEEN_READY);

    scan = (struct pqb_scan){.ask = 1};
    cr_expect_eq(pqb_protocol_scan(&scan, BYTES("S\26\3\3")), PQB_SEEN_TLS);
    cr_expect_eq(pqb_protocol_scan(&scan, BYTES("\377\377\377\377\377\377")), 0);
    scan = (struct pqb_scan){.ask = 1};
    cr_expect_eq(pqb_protocol_scan(&scan, BYTES("G")), PQB_SEEN_GSS);
    scan = (struct pqb_scan){.ask = 1};
    cr_expect_eq(pqb_protocol_scan(&scan, BYTES("H")), PQB_SEEN_LOST);
    /* Without a question, they are messages. */
    scan = (struct pqb_scan){0};
    cr_expect_eq(pqb_protocol_scan(&scan, BYTES("G")), 0);
    cr_expect_eq(pqb_protocol_scan(&scan, BYTES("\0\0\0\0")), PQB_SEEN_LOST);
}

Test(protocol_scan, reads_the_error_of_a_login)
{
    static const char error[] =
        "SFATAL\0VFATAL\0C53300\0Msorry, too many clients already\0Fproc.c\0";
    static struct stream stream;
    for (int ask = 0; ask < 2; ask++) {
        struct pqb_scan scan = {.ask = (uint8_t)ask};
        stream.length = 0;
        add_message(&stream, 'E', error, sizeof error);
        cr_expect_eq(scan_whole(&scan, &stream), PQB_SEEN_STARTUP_ERROR);
        cr_expect_str_eq(scan.sqlstate, "53300");
    }
    /* Later, errors are the client's own. */
    struct pqb_scan scan = {0};
    stream.length = 0;
    add_login(&stream);
    add_message(&stream, 'E', error, sizeof error);
    cr_expect_eq(scan_whole(&scan, &stream) & PQB_SEEN_STARTUP_ERROR, 0);
    cr_expect_str_eq(scan.sqlstate, "");
    /* Without a SQLSTATE, or with one that is none. */
    static const struct {
        const char *body;
        size_t length;
    } odd[] = {{BYTES("SFATAL\0\0")}, {BYTES("C5330\0\0")},    {BYTES("C533000\0\0")},
               {BYTES("C53300")},     {BYTES("\0C53300\0\0")}, {BYTES("C")},
               {BYTES("SFATAL")}};
    for (unsigned i = 0; i < sizeof odd / sizeof *odd; i++) {
        scan = (struct pqb_scan){0};
        stream.length = 0;
        add_message(&stream, 'E', odd[i].body, odd[i].length);
        cr_expect_eq(scan_whole(&scan, &stream), PQB_SEEN_STARTUP_ERROR);
        cr_expect_str_eq(scan.sqlstate, i == 3 ? "53300" : "", "row %u", i);
    }
}

Test(protocol_scan, keeps_the_name_up_to_date)
{
    static struct stream stream;
    struct pqb_scan scan = {0};
    static const char long_name[] = "application_name\0"
                                    "123456789 123456789 123456789 123456789 123456789 "
                                    "123456789 123456789";
    add_message(&stream, 'S', BYTES("application_name\0first one\0"));
    add_message(&stream, 'S', BYTES("application_name\0two\0"));
    add_message(&stream, 'S', BYTES("application_names\0three\0"));
    add_message(&stream, 'S', BYTES("application\0four\0"));
    cr_expect_eq(scan_whole(&scan, &stream), PQB_SEEN_NAME);
    cr_expect_str_eq(scan.application_name, "two");
    stream.length = 0;
    add_message(&stream, 'S', long_name, sizeof long_name);
    cr_expect_eq(scan_whole(&scan, &stream), PQB_SEEN_NAME);
    cr_expect_eq(strlen(scan.application_name), 63);
    cr_expect_eq(strncmp(scan.application_name, long_name + 17, 63), 0);
    stream.length = 0;
    add_message(&stream, 'S', BYTES("application_name\0\0"));
    cr_expect_eq(scan_whole(&scan, &stream), PQB_SEEN_NAME);
    cr_expect_str_eq(scan.application_name, "");
}

Test(protocol_scan, gives_up_what_makes_no_sense)
{
    static const struct {
        const char *bytes;
        size_t length;
    } rows[] = {
        {BYTES("HTTP/1.1 400")},       {BYTES("\0\0\0\0\0")},
        {BYTES("Z\0\0\0\5X")},                               /* no such state */
        {BYTES("Z\0\0\0\6II")},                              /* too long */
        {BYTES("Z\0\0\0\4")},                                /* too short */
        {BYTES("D\0\0\0\3")},                                /* a length counts itself */
        {BYTES("K\0\0\0\10\0\0\0\1")}, {BYTES("C\0\1\0\0")}, /* longer than such a message can be */
        {BYTES("D\100\0\0\4")},                              /* longer than any message */
        {BYTES("\377\0\0\0\4")},       {BYTES("Q\0\0\0\10")}, /* a client's */
    };
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct pqb_scan scan = {.ready = 'I'};
        cr_expect_eq(pqb_protocol_scan(&scan, rows[i].bytes, rows[i].length), PQB_SEEN_LOST,
                     "row %u", i);
        cr_expect_not(pqb_protocol_scan_is_ready(&scan));
        cr_expect_eq(pqb_protocol_scan(&scan, BYTES("Z\0\0\0\5I")), 0, "row %u", i);
        cr_expect_not(pqb_protocol_scan_is_ready(&scan));
    }
    struct pqb_scan scan = {0};
    cr_expect_eq(pqb_protocol_scan(&scan, BYTES("D\100\0\0\3")), 0);
}

/* ---- what a client writes ---- */

Test(protocol_scan, sees_a_client_leave)
{
    static struct stream stream;
    struct pqb_scan_out scan = {0};
    cr_expect(pqb_protocol_scan_out_is_between(&scan));
    add_message(&stream, 'p', BYTES("secret\0"));
    add_message(&stream, 'P', BYTES("s\0SELECT 1\0\0\0"));
    add_message(&stream, 'B', BYTES("\0s\0\0\0\0\0\0\0"));
    add_message(&stream, 'S', "", 0);
    add_message(&stream, 'Q', BYTES("SELECT 'X\0\0\0\4'\0"));
    cr_expect_eq(pqb_protocol_scan_out(&scan, stream.bytes, stream.length), 0);
    cr_expect(pqb_protocol_scan_out_is_between(&scan));
    for (unsigned i = 0; i < 4; i++) {
        cr_expect_eq(pqb_protocol_scan_out(&scan, "X\0\0\0\4" + i, 1), 0);
        cr_expect_not(pqb_protocol_scan_out_is_between(&scan));
    }
    cr_expect_eq(pqb_protocol_scan_out(&scan, BYTES("\4Q")), PQB_WROTE_TERMINATE);
    cr_expect_not(pqb_protocol_scan_out_is_between(&scan));
    cr_expect_eq(pqb_protocol_scan_out(&scan, BYTES("X\0\0\0\4")), 0);
}

Test(protocol_scan, is_between_a_clients_messages_only)
{
    static struct stream stream;
    struct pqb_scan_out scan = {0};
    add_message(&stream, 'Q', BYTES("SELECT 1\0"));
    for (size_t i = 0; i + 1 < stream.length; i++) {
        cr_expect_eq(pqb_protocol_scan_out(&scan, stream.bytes + i, 1), 0);
        cr_expect_not(pqb_protocol_scan_out_is_between(&scan));
    }
    cr_expect_eq(pqb_protocol_scan_out(&scan, stream.bytes + stream.length - 1, 1), 0);
    cr_expect(pqb_protocol_scan_out_is_between(&scan));
}

Test(protocol_scan, gives_up_a_client_that_makes_no_sense)
{
    static const struct {
        const char *bytes;
        size_t length;
    } rows[] = {
        {BYTES("\0\0\0\10\4\322\26\57")},
        {BYTES("X\0\0\0\5")},
        {BYTES("S\0\0\0\10")},
        {BYTES("Q\0\0\0\3")},
        {BYTES("Q\100\0\0\4")},
        {BYTES("Z\0\0\0\5I")},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct pqb_scan_out scan = {0};
        cr_expect_eq(pqb_protocol_scan_out(&scan, rows[i].bytes, rows[i].length), PQB_WROTE_LOST);
        cr_expect_not(pqb_protocol_scan_out_is_between(&scan));
        cr_expect_eq(pqb_protocol_scan_out(&scan, BYTES("X\0\0\0\4")), 0);
    }
}

/* ---- whatever comes, cut anywhere ---- */

static void add_random_message(struct stream *stream, int is_clients)
{
    static const char servers[] = "RSSKZZEENACTDDIn1", clients[] = "BCDEFHPQSXcdfp";
    static char body[2048];
    const char *types = is_clients ? clients : servers;
    char type = types[(size_t)random() % strlen(types)];
    size_t length = (size_t)random() % (random() % 8 ? 40 : sizeof body - 4);
    for (size_t i = 0; i < length; i++)
        body[i] = (char)(random() % 4 ? 'C' : 0);
    switch (random() % 8) {
    case 0: /* as it comes, and often nonsense */
        break;
    case 1:
        add_message(stream, 'S', BYTES("application_name\0something\0"));
        return;
    default:
        if (type == 'Z') {
            *body = "ITE"[random() % 3];
            length = 1;
        }
        if (type == 'K')
            length = 8;
        if ((type == 'R' || type == 'S') && !is_clients)
            length += 4;
        if ((strchr("HSc", type) && is_clients))
            length = 0;
    }
    add_message(stream, type, body, length);
}

/* In memory of just this size, so that AddressSanitizer sees a byte too far. */
static char *copy_of(const char *bytes, size_t length)
{
    char *copy = malloc(length ? length : 1);
    memcpy(copy, bytes, length);
    return copy;
}

static size_t random_piece(size_t left)
{
    size_t piece = (size_t)random() % (random() % 4 ? 8 : 300);
    return piece < left ? piece : left;
}

Test(protocol_scan, sees_the_same_however_it_is_cut)
{
    static struct stream stream;
    unsigned ends[10] = {0};
    srandom(3);
    for (unsigned round = 0; round < 5000; round++) {
        stream.length = 0;
        if (round % 2)
            add_login(&stream);
        for (unsigned i = 0; i < 8; i++)
            add_random_message(&stream, 0);
        if (round % 3)
            stream.length -= (size_t)random() % 10;
        else
            add_message(&stream, 'Z', BYTES("I"));
        struct pqb_scan whole = {0}, cut = {0};
        unsigned seen = scan_whole(&whole, &stream), seen_cut = 0;
        for (size_t at = 0; at < stream.length;) {
            size_t length = random_piece(stream.length - at);
            char *piece = copy_of(stream.bytes + at, length);
            seen_cut |= pqb_protocol_scan(&cut, piece, length);
            free(piece);
            at += length;
        }
        cr_assert_eq(seen, seen_cut, "round %u: %x and %x", round, seen, seen_cut);
        cr_assert(whole.backend_pid == cut.backend_pid && whole.ready == cut.ready &&
                      whole.left == cut.left && whole.had == cut.had &&
                      whole.is_over == cut.is_over && whole.is_started == cut.is_started &&
                      !strcmp(whole.sqlstate, cut.sqlstate) &&
                      !strcmp(whole.application_name, cut.application_name),
                  "round %u", round);
        cr_assert_eq(pqb_protocol_scan_is_ready(&whole), pqb_protocol_scan_is_ready(&cut));
        for (unsigned i = 0; i < 9; i++)
            ends[i] += (seen >> i) & 1;
        ends[9] += (unsigned)pqb_protocol_scan_is_ready(&whole);
    }
    /* All of it has happened. */
    for (unsigned i = 3; i < 10; i++)
        cr_expect_gt(ends[i], 50, "%u: %u", i, ends[i]);
}

Test(protocol_scan, sees_a_client_the_same_however_it_is_cut)
{
    static struct stream stream;
    unsigned left = 0, lost = 0, between = 0;
    srandom(4);
    for (unsigned round = 0; round < 5000; round++) {
        stream.length = 0;
        for (unsigned i = 0; i < 5; i++)
            add_random_message(&stream, 1);
        if (round % 2)
            add_message(&stream, 'X', "", 0);
        if (random() % 4 == 0)
            stream.length -= (size_t)random() % 5;
        struct pqb_scan_out whole = {0}, cut = {0};
        unsigned wrote = pqb_protocol_scan_out(&whole, stream.bytes, stream.length), wrote_cut = 0;
        for (size_t at = 0; at < stream.length;) {
            size_t length = random_piece(stream.length - at);
            char *piece = copy_of(stream.bytes + at, length);
            wrote_cut |= pqb_protocol_scan_out(&cut, piece, length);
            free(piece);
            at += length;
        }
        cr_assert_eq(wrote, wrote_cut, "round %u: %x and %x", round, wrote, wrote_cut);
        cr_assert(whole.left == cut.left && whole.had == cut.had && whole.is_over == cut.is_over);
        left += (wrote & PQB_WROTE_TERMINATE) != 0;
        lost += (wrote & PQB_WROTE_LOST) != 0;
        between += (unsigned)pqb_protocol_scan_out_is_between(&whole);
    }
    cr_expect(left > 50 && lost > 50 && between > 50, "%u, %u, %u", left, lost, between);
}
