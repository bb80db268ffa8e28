/* protocol.c: what a client writes first, StartupMessages, and what we say in the server's place.
 */
#include "preload/protocol.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(protocol, .timeout = 20);

/* A string constant's bytes, without the zero that C adds. */
#define BYTES(text) (text), sizeof(text) - 1

struct first_row {
    const char *bytes;
    size_t length;
    enum pqb_packet packet;
    size_t whole;
};

Test(protocol, tells_the_first_packet)
{
    static const struct first_row rows[] = {
        {BYTES("\0\0\0\51\0\3\0\0"), PQB_PACKET_STARTUP, 41},
        {BYTES("\0\0\0\51\0\3\0\2user\0u\0\0"), PQB_PACKET_STARTUP, 41},
        {BYTES("\0\0\0\51\0\3\47\17"), PQB_PACKET_STARTUP, 41}, /* 3.9999, to see what happens */
        {BYTES("\0\0\0\11\0\3\0\0"), PQB_PACKET_STARTUP, 9},
        {BYTES("\0\0\47\20\0\3\0\0"), PQB_PACKET_STARTUP, 10000},
        {BYTES("\0\0\47\21\0\3\0\0"), PQB_PACKET_OTHER, 0},
        {BYTES("\0\0\0\10\0\3\0\0"), PQB_PACKET_OTHER, 0},
        {BYTES("\0\0\1\50\0\2\0\0"), PQB_PACKET_OTHER, 0}, /* protocol 2: no server takes it */
        {BYTES("\0\0\0\51\0\4\0\0"), PQB_PACKET_OTHER, 0},
        {BYTES("\0\0\0\10\4\322\26\57"), PQB_PACKET_SSL, 8},
        {BYTES("\0\0\0\10\4\322\26\60"), PQB_PACKET_GSS, 8},
        {BYTES("\0\0\0\20\4\322\26\56"), PQB_PACKET_CANCEL, 16},
        {BYTES("\0\0\0\54\4\322\26\56"), PQB_PACKET_CANCEL, 44}, /* protocol 3.2 */
        {BYTES("\0\0\0\11\4\322\26\57"), PQB_PACKET_OTHER, 0},
        {BYTES("\0\0\0\10\4\322\26\56"), PQB_PACKET_OTHER, 0},
        {BYTES("\0\0\0\10\4\322\26\61"), PQB_PACKET_OTHER, 0},
        {BYTES("\26\3\1\2\0\1\0\1\374"), PQB_PACKET_TLS, 517},
        {BYTES("\26\3\1\2\0\1"), PQB_PACKET_TLS, 517},
        {BYTES("\26\3\1\2\0\2"), PQB_PACKET_OTHER, 0}, /* a ServerHello */
        {BYTES("\26\2"), PQB_PACKET_OTHER, 0},
        {BYTES("\26"), PQB_PACKET_MORE, 0},
        {BYTES(""), PQB_PACKET_MORE, 0},
        {BYTES("\0"), PQB_PACKET_MORE, 0},
        {BYTES("\0\0\0\51\0\3\0"), PQB_PACKET_MORE, 0},
        {BYTES("\0\0\0\10\4\322\26"), PQB_PACKET_MORE, 0},
        {BYTES("\0\0\0\10\4\322\27"), PQB_PACKET_OTHER, 0},
        {BYTES("\0\0\0\51\1"), PQB_PACKET_OTHER, 0},
        {BYTES("\0\0\0\51\0\2"), PQB_PACKET_OTHER, 0},
        {BYTES("\0\0\50"), PQB_PACKET_OTHER, 0},
        {BYTES("\0\1"), PQB_PACKET_OTHER, 0},
        {BYTES("G"), PQB_PACKET_OTHER, 0},
        {BYTES("GET / HTTP/1.1"), PQB_PACKET_OTHER, 0},
        {BYTES("SSH-2.0-"), PQB_PACKET_OTHER, 0},
        {BYTES("*1\r\n"), PQB_PACKET_OTHER, 0},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t whole = 99;
        enum pqb_packet packet = pqb_protocol_first(rows[i].bytes, rows[i].length, &whole);
        cr_expect_eq(packet, rows[i].packet, "row %u: %d", i, (int)packet);
        cr_expect_eq(whole, rows[i].whole, "row %u: %zu", i, whole);
        /* Whatever it said of fewer bytes holds for more. */
        for (size_t length = 0; length < rows[i].length; length++) {
            enum pqb_packet early = pqb_protocol_first(rows[i].bytes, length, &whole);
            cr_expect(early == PQB_PACKET_MORE || early == packet, "row %u at %zu: %d", i, length,
                      (int)early);
        }
    }
}

Test(protocol, says_more_only_of_what_may_become_a_packet)
{
    /* Each beginning that is MORE has an end with which it is a packet. */
    static const struct first_row whole[] = {
        {BYTES("\0\0\0\10\4\322\26\57"), PQB_PACKET_SSL, 8},
        {BYTES("\0\0\0\10\4\322\26\60"), PQB_PACKET_GSS, 8},
        {BYTES("\0\0\0\20\4\322\26\56"), PQB_PACKET_CANCEL, 16},
        {BYTES("\0\0\47\20\0\3\0\0"), PQB_PACKET_STARTUP, 10000},
        {BYTES("\26\3\1\2\0\1"), PQB_PACKET_TLS, 517},
    };
    for (unsigned i = 0; i < sizeof whole / sizeof *whole; i++)
        for (size_t length = 0; length < whole[i].length; length++) {
            size_t bytes;
            cr_expect_eq(pqb_protocol_first(whole[i].bytes, length, &bytes), PQB_PACKET_MORE,
                         "row %u at %zu", i, length);
        }
}

/* ---- StartupMessages ---- */

/* "user=u;database=d" as the parameters of a message of version 3.0. */
static size_t message_of(char *to, const char *parameters)
{
    size_t length = 8;
    for (const char *at = parameters; *at; at++)
        to[length++] = (char)(*at == '=' || *at == ';' ? '\0' : *at);
    if (*parameters)
        to[length++] = '\0';
    to[length++] = '\0';
    memcpy(to, "\0\0\0\0\0\3\0\0", 8);
    to[2] = (char)(length >> 8);
    to[3] = (char)length;
    return length;
}

static int is_text(const char *text, const char *expected)
{
    return text && expected ? !strcmp(text, expected) : text == expected;
}

Test(protocol, reads_a_startup_message)
{
    static const struct {
        const char *parameters, *user, *database, *application_name, *replication, *options;
    } rows[] = {
        {"user=u", "u", NULL, NULL, NULL, NULL},
        {"user=u;database=d", "u", "d", NULL, NULL, NULL},
        {"database=d;application_name=psql;user=u", "u", "d", "psql", NULL, NULL},
        {"user=u;Application_Name=psql", "u", NULL, "psql", NULL, NULL},
        {"user=u;application_names=psql", "u", NULL, NULL, NULL, NULL},
        {"user=u;User=v", "u", NULL, NULL, NULL, NULL},
        {"user=u;user=v", "v", NULL, NULL, NULL, NULL},
        {"user=u;replication=true;options=-c a:1", "u", NULL, NULL, "true", "-c a:1"},
        {"user=u;database=;options=", "u", "", NULL, NULL, ""},
        {"_pq_.x=1;user=u;TimeZone=UTC", "u", NULL, NULL, NULL, NULL},
        {"database=d", NULL, "d", NULL, NULL, NULL},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        char message[256];
        struct pqb_startup startup;
        size_t length = message_of(message, rows[i].parameters);
        cr_expect(pqb_protocol_startup(message, length, &startup), "row %u", i);
        cr_expect_eq(startup.version, 0x30000, "row %u", i);
        cr_expect(is_text(startup.user, rows[i].user), "row %u", i);
        cr_expect(is_text(startup.database, rows[i].database), "row %u", i);
        cr_expect(is_text(startup.application_name, rows[i].application_name), "row %u", i);
        cr_expect(is_text(startup.replication, rows[i].replication), "row %u", i);
        cr_expect(is_text(startup.options, rows[i].options), "row %u", i);
    }
}

Test(protocol, knows_replication_as_the_server_does)
{
    static const char *const yes[] = {"database", "true", "TRUE", "t",  "tr",
                                      "yes",      "y",    "on",   "ON", "1"};
    static const char *const no[] = {"",   "false",    "f",    "off",   "of",  "o",
                                     "no", "n",        "0",    "2",     "x",   "00",
                                     "11", "Database", "data", "trues", "ono", " true"};
    char message[256], parameters[128];
    struct pqb_startup startup;
    for (unsigned i = 0; i < sizeof yes / sizeof *yes; i++) {
        snprintf(parameters, sizeof parameters, "user=u;replication=%s", yes[i]);
        cr_expect(pqb_protocol_startup(message, message_of(message, parameters), &startup));
        cr_expect_eq(startup.is_replication, 1, "%s", yes[i]);
    }
    for (unsigned i = 0; i < sizeof no / sizeof *no; i++) {
        snprintf(parameters, sizeof parameters, "user=u;replication=%s", no[i]);
        cr_expect(pqb_protocol_startup(message, message_of(message, parameters), &startup));
        cr_expect_eq(startup.is_replication, 0, "%s", no[i]);
    }
    cr_expect(pqb_protocol_startup(message, message_of(message, "user=u"), &startup));
    cr_expect_eq(startup.is_replication, 0);
}

Test(protocol, keeps_its_hands_off_what_is_no_startup_message)
{
    static const struct {
        const char *bytes;
        size_t length;
    } rows[] = {
        {BYTES("")},
        {BYTES("\0\0\0\10\0\3\0\0")},
        {BYTES("\0\0\0\10\4\322\26\57")},
        {BYTES("\0\0\0\20\4\322\26\56\0\0\0\1\0\0\0\2")},
        {BYTES("\0\0\0\20\0\3\0\0user\0u\0\1")},   /* no end */
        {BYTES("\0\0\0\20\0\3\0\0user\0uu\0")},    /* none but a value's */
        {BYTES("\0\0\0\17\0\3\0\0user\0u\0")},     /* the same, shorter */
        {BYTES("\0\0\0\16\0\3\0\0user\0\0")},      /* a name without a value */
        {BYTES("\0\0\0\15\0\3\0\0user\0")},        /* the same */
        {BYTES("\0\0\0\21\0\3\0\0user\0u\0\0\0")}, /* more behind the end */
        {BYTES("\0\0\0\21\0\3\0\0user\0u\0\0x")},  /* the same */
        {BYTES("\0\0\0\21\0\3\0\0user\0u\0\0")},   /* longer than it is */
        {BYTES("\0\0\0\17\0\3\0\0user\0u\0\0")},   /* shorter */
    };
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct pqb_startup startup;
        cr_expect_eq(pqb_protocol_startup(rows[i].bytes, rows[i].length, &startup), 0, "row %u", i);
        cr_expect_null(startup.user);
    }
}

/* In memory of just this size, so that AddressSanitizer sees a byte too far. */
Test(protocol, reads_no_further_than_it_may)
{
    srandom(1);
    for (unsigned round = 0; round < 20000; round++) {
        size_t length = (size_t)random() % 40;
        char *bytes = malloc(length ? length : 1);
        for (size_t i = 0; i < length; i++)
            bytes[i] = (char)(random() % 3 ? random() % 4 : random());
        if (length > 8 && round % 2) {
            memcpy(bytes, "\0\0\0\0\0\3\0\0", 8);
            bytes[3] = (char)length;
            if (round % 4 == 1)
                bytes[length - 1] = '\0';
        }
        struct pqb_startup startup;
        size_t whole;
        enum pqb_packet packet = pqb_protocol_first(bytes, length, &whole);
        if (pqb_protocol_startup(bytes, length, &startup))
            cr_expect(packet == PQB_PACKET_STARTUP && whole == length);
        free(bytes);
    }
}

/* ---- what we say ---- */

Test(protocol, says_an_error)
{
    static const char expected[] = "E\0\0\0\105SFATAL\0VFATAL\0C53300\0Msorry, too many clients "
                                   "already\0Dwhy\0Hhow\0";
    char to[128];
    size_t length =
        pqb_protocol_error(to, sizeof to, "53300", "sorry, too many clients already", "why", "how");
    cr_expect_eq(length, sizeof expected);
    cr_expect_eq(memcmp(to, expected, sizeof expected), 0);
    cr_expect_eq((size_t)to[4] + 1, length);
}

Test(protocol, leaves_out_what_there_is_not)
{
    static const char expected[] = "E\0\0\0\40SFATAL\0VFATAL\0C57P05\0Mgone\0";
    char to[128];
    size_t length = pqb_protocol_error(to, sizeof to, "57P05", "gone", NULL, NULL);
    cr_expect_eq(length, sizeof expected);
    cr_expect_eq(memcmp(to, expected, sizeof expected), 0);
}

Test(protocol, says_nothing_where_there_is_no_room)
{
    char big[128];
    size_t length = pqb_protocol_error(big, sizeof big, "53300", "no", "why", "how");
    cr_assert_gt(length, 0);
    for (size_t size = 0; size <= length; size++) {
        char *to = malloc(size ? size : 1);
        cr_expect_eq(pqb_protocol_error(to, size, "53300", "no", "why", "how"),
                     size < length ? 0 : length);
        free(to);
    }
}

Test(protocol, alerts)
{
    cr_expect_eq(memcmp(pqb_protocol_tls_alert, "\25\3\3\0\2\2\120", PQB_TLS_ALERT_BYTES), 0);
}
