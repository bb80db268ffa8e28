/* protocol_tls.c: the first data in a client's TLS. */
#include "preload/protocol.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

TestSuite(protocol_tls, .timeout = 60);

/* A client's records, a letter and a length each: a hello, another plain handshake message, an
 * encrypted one (E begins as a hello does), change_cipher_spec, data as far as its type says, an
 * alert. `|` is where the first data begins. Recorded with a server of version 15 and OpenSSL 3.0,
 * but where another is named. */
static const struct {
    const char *name, *records;
    int is_cancel;
} rows[] = {
    {"1.3", "h512 c1 d69 | d82 d93 d67", 0},
    {"1.3, the server wants another key share", "h512 c1 h512 d69 | d82 d93 d67", 0},
    {"1.3, a cancel", "h512 c1 h512 d69 | d33 d19", 1},
    {"1.3, SHA-256, and a message as long as Finished", "h300 c1 d53 | d53 d53", 0},
    {"1.3, asked for a certificate, has none (node)", "h344 c1 h377 d25 d69 | d40 d19", 0},
    {"1.3, the same, a cancel", "h344 c1 h377 d25 d69 | d33 d19", 1},
    {"1.3, the same, and a message of a signature's length", "h344 c1 h377 d25 d69 | d97", 0},
    {"1.3, a certificate, RSA", "h288 c1 h321 d713 d281 d69 | d80 d31", 0},
    {"1.3, a certificate, ed25519, and a message as long as Finished",
     "h288 c1 h321 d462 d89 d69 | d69 d31", 0},
    {"1.3, a certificate, P-256, a cancel", "h288 c1 h321 d489 d95 d69 | d33 d19", 1},
    {"1.3, Java", "h435 c1 d85 | d147 d96", 0},
    {"1.3, Java, asked for a certificate", "h435 c1 d41 d85 | d147 d96", 0},
    {"1.3, Java, a cancel", "h435 c1 d85 | d49 d35", 1},
    {"1.3, a message that would be Java's cancel", "h512 c1 d69 | d49", 0},
    {"1.3, as rustls: all in one record, no certificate", "h232 c1 d77 | d97", 0},
    {"1.3, as rustls: all in one record, a certificate", "h232 c1 d818 | d83", 0},
    {"1.3, leaves instead of Finished", "h288 c1 d19", 0},
    {"1.3, the same in the clear", "h288 c1 a2", 0},
    {"1.3, leaves at once", "h288 c1 d69 d19", 0},
    {"1.3, Java leaves at once", "h288 c1 d85 d35", 0},
    {"1.3, changes its keys first", "h288 c1 d69 d22 | d33", 1},
    {"1.3, without change_cipher_spec", "h300 d53 | d33", 1},
    {"1.2", "h183 k70 c1 e40 | d89 d100 d74", 0},
    {"1.2, a cancel", "h183 k70 c1 e40 | d40 a26", 1},
    {"1.2, a certificate", "h183 k489 k70 k79 c1 e40 | d87 d38 d29 a26", 0},
    {"1.2, resumed", "h400 c1 e40 | d69", 0},
    {"1.2, resumed, begins as a hello does", "h400 c1 E40 | d69", 0},
    {"1.2, ChaCha20, a cancel", "h183 k37 c1 e32 | d32", 1},
};

static size_t add_record(char *to, char letter, size_t length)
{
    static const char letters[] = "hkeEcda", types[] = {22, 22, 22, 22, 20, 23, 21};
    const size_t inside = length - 4;
    to[0] = types[strchr(letters, letter) - letters];
    to[1] = to[2] = 3;
    to[3] = (char)(length >> 8);
    to[4] = (char)length;
    memset(to + 5, 0x5a, length);
    if (letter == 'h' || letter == 'k' || letter == 'E')
        to[5] = letter == 'k' ? 16 : 1;
    if (letter == 'h' || letter == 'k') {
        to[6] = 0;
        to[7] = (char)(inside >> 8);
        to[8] = (char)inside;
    }
    return 5 + length;
}

/* The length of them all; *until is that before the first data. */
static size_t stream_of(char *to, const char *records, size_t *until)
{
    size_t length = 0;
    *until = 0;
    for (const char *at = records; *at;) {
        char *end = (char *)at + 1;
        if (*at == '|')
            *until = length;
        else
            length += add_record(to + length, *at, strtoul(at + 1, &end, 10));
        at = end + (*end == ' ');
    }
    return *until ? length : (*until = length);
}

/* The length of the first data. */
static unsigned long data_of(const char *records)
{
    const char *mark = strchr(records, '|');
    return mark ? strtoul(mark + 3, NULL, 10) : 0;
}

/* As the caller has to: what does not pass is kept, and given again before what follows. */
static size_t pass_in_pieces(struct pqb_tls *tls, const char *bytes, size_t length)
{
    size_t passed = 0, given = 0;
    while (given < length && !tls->data) {
        size_t piece = (size_t)random() % (random() % 2 ? 4 : 700);
        given = given + piece < length ? given + piece : length;
        /* In memory of just this size, so that AddressSanitizer sees a byte too far. */
        char *copy = malloc(given - passed + 1);
        memcpy(copy + 1, bytes + passed, given - passed);
        passed += pqb_protocol_tls(tls, copy + 1, given - passed);
        free(copy);
        cr_assert(tls->data || given - passed < 5);
    }
    return passed;
}

Test(protocol_tls, finds_the_first_data)
{
    static char bytes[4096];
    srandom(5);
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t until, length = stream_of(bytes, rows[i].records, &until);
        struct pqb_tls tls = {0};
        size_t passed = pqb_protocol_tls(&tls, bytes, length);
        cr_expect_eq(passed, until, "%s: %zu", rows[i].name, passed);
        cr_expect_eq(tls.data, data_of(rows[i].records), "%s", rows[i].name);
        cr_expect_eq(pqb_protocol_tls_is_cancel(&tls), rows[i].is_cancel, "%s", rows[i].name);
        /* Nothing passes until the caller has another scan. */
        cr_expect_eq(pqb_protocol_tls(&tls, bytes + passed, length - passed), 0);
        for (unsigned round = 0; round < 200; round++) {
            struct pqb_tls cut = {0};
            cr_assert_eq(pass_in_pieces(&cut, bytes, length), until, "%s", rows[i].name);
            cr_assert_eq(cut.data, tls.data, "%s", rows[i].name);
        }
    }
}

Test(protocol_tls, keeps_only_the_beginning_of_a_header)
{
    static char bytes[4096];
    size_t until, length = stream_of(bytes, "h512 c1 h512 d69 | d82 d93", &until);
    for (size_t end = 0; end <= length; end++) {
        struct pqb_tls tls = {0};
        size_t passed = pqb_protocol_tls(&tls, bytes, end);
        cr_expect_eq(tls.data, end < until + 5 ? 0 : 82, "at %zu", end);
        if (tls.data)
            cr_expect_eq(passed, until, "at %zu: %zu", end, passed);
        else
            cr_expect(passed <= end && end - passed < 5, "at %zu: %zu", end, passed);
    }
}

Test(protocol_tls, lets_all_pass_that_is_no_tls)
{
    static const struct {
        const char *bytes;
        size_t length;
    } odd[] = {
        {"GET / HTTP/1.1", 14},           {"\27\3\3\0\1\0", 6}, {"\26\2\0\0\1\1", 6},
        {"\26\3\1\0\1\1\30\3\3\0\1", 11}, {"\26\3\1\0\0\1", 6}, {"\26\3\1\377\377\1", 6},
    };
    for (unsigned i = 0; i < sizeof odd / sizeof *odd; i++) {
        struct pqb_tls tls = {0};
        cr_expect_eq(pqb_protocol_tls(&tls, odd[i].bytes, odd[i].length), odd[i].length, "row %u",
                     i);
        cr_expect(tls.is_lost, "row %u", i);
        cr_expect_eq(pqb_protocol_tls(&tls, "\27\3\3\0\41", 5), 5);
        cr_expect_eq(tls.data, 0);
    }
}

Test(protocol_tls, reads_no_further_than_it_may)
{
    srandom(6);
    for (unsigned round = 0; round < 20000; round++) {
        char bytes[256];
        for (size_t at = 0; at < sizeof bytes; at++)
            bytes[at] = (char)(random() % 2 ? random() % 8 : 20 + random() % 4);
        for (size_t at = 0; at + 5 < sizeof bytes; at += 5 + (size_t)random() % 20) {
            memcpy(bytes + at, "\26\3\3\0", 4);
            bytes[at + 4] = (char)(random() % 20);
        }
        struct pqb_tls tls = {0}, cut = {0};
        size_t passed = pqb_protocol_tls(&tls, bytes, sizeof bytes);
        cr_assert_leq(passed, sizeof bytes);
        size_t passed_cut = pass_in_pieces(&cut, bytes, sizeof bytes);
        cr_assert(passed == passed_cut && tls.data == cut.data && tls.is_lost == cut.is_lost);
    }
}
