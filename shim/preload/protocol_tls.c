/* The records of a client's TLS, of which only type and length are in the clear. */
#include "preload/protocol.h"

#include <string.h>

enum {
    CHANGE_CIPHER_SPEC = 20,
    ALERT = 21,
    HANDSHAKE = 22,
    DATA = 23,
};

enum {
    HEADER = 5,
    RECORD_MAX = 16384 + 2048,
    CLIENT_HELLO = 1,
};

/* In TLS 1.3 all that is encrypted has type 23, and is 17 bytes longer than what is in it: a tag of
 * 16 and the true type. Java's pads every record with 16 bytes more. */
enum {
    ADDED = 17,
    PADDING = 16,
};

/* What may be in a record. */
enum {
    ALERT_BYTES = 2,
    KEY_UPDATE_BYTES = 5,
    NO_CERTIFICATE_BYTES = 8,
    VERIFY_HEADER_BYTES = 8,
    FINISHED_SHA256_BYTES = 4 + 32,
    FINISHED_SHA384_BYTES = 4 + 48,
    CANCEL_BYTES = 16,
};

/* Whether a record of that length holds so many bytes. */
static int holds(unsigned length, unsigned bytes)
{
    return length == ADDED + bytes || length == ADDED + bytes + PADDING;
}

static int holds_finished(unsigned length, unsigned before)
{
    return holds(length, before + FINISHED_SHA256_BYTES) ||
           holds(length, before + FINISHED_SHA384_BYTES);
}

/* A CertificateVerify in a record of its own, by the sizes that signatures have. */
static int holds_verify(unsigned length)
{
    static const struct {
        uint16_t least, most;
    } signatures[] = {
        {64, 64},   /* ed25519 */
        {68, 72},   /* ECDSA, P-256: DER drops leading zeros */
        {100, 104}, /* P-384 */
        {114, 114}, /* ed448 */
        {134, 139}, /* P-521 */
        {128, 128}, {256, 256}, {384, 384}, {512, 512}, {1024, 1024}, /* RSA */
    };
    for (unsigned i = 0; i < sizeof signatures / sizeof *signatures; i++)
        for (unsigned bytes = signatures[i].least; bytes <= signatures[i].most; bytes++)
            if (holds(length, VERIFY_HEADER_BYTES + bytes))
                return 1;
    return 0;
}

/* Whether a record of the handshake has a length that only padding gives it. */
static int is_padded(unsigned length)
{
    return length == ADDED + PADDING + NO_CERTIFICATE_BYTES ||
           length == ADDED + PADDING + FINISHED_SHA384_BYTES ||
           length == ADDED + PADDING + NO_CERTIFICATE_BYTES + FINISHED_SHA384_BYTES;
}

/* Whether a record of type 23 belongs to the handshake of TLS 1.3, which ends with Finished. Before
 * it may be the certificate that the server asks for, in one record with it or in records of their
 * own; an alert may come instead. */
static int is_handshake(struct pqb_tls *tls, unsigned length)
{
    if (holds(length, ALERT_BYTES))
        return 1;
    unsigned record = tls->records++;
    if (record < 2 && is_padded(length))
        tls->is_padded = 1;
    if (holds_finished(length, 0) || (!record && holds_finished(length, NO_CERTIFICATE_BYTES))) {
        tls->is_done = 1;
        return 1;
    }
    if (!record) {
        tls->has_none = holds(length, NO_CERTIFICATE_BYTES) ? 1 : 0;
        return 1;
    }
    return record == 1 && !tls->has_none && holds_verify(length);
}

/* Of what comes after it, what holds no packet of PostgreSQL's: the client leaves at once, or
 * changes keys. */
static int is_aside(const struct pqb_tls *tls, unsigned length)
{
    unsigned inside = length - ADDED - (tls->is_padded ? PADDING : 0);
    return inside == ALERT_BYTES || inside == KEY_UPDATE_BYTES;
}

static int is_data(struct pqb_tls *tls, unsigned length)
{
    if (tls->is_old)
        return 1;
    return tls->is_done ? !is_aside(tls, length) : !is_handshake(tls, length);
}

/* A handshake record that is no ClientHello: the client speaks TLS 1.2. (In 1.3 a second
 * ClientHello may follow the first, and all others are encrypted.) */
static void look(struct pqb_tls *tls)
{
    unsigned inside = (unsigned)tls->look[1] << 16 | (unsigned)tls->look[2] << 8 | tls->look[3];
    if (tls->has_hello && (tls->look[0] != CLIENT_HELLO || inside + 4 != tls->size))
        tls->is_old = 1;
    tls->has_hello = 1;
}

static size_t take_body(struct pqb_tls *tls, const uint8_t *at, size_t length)
{
    size_t here = tls->left < length ? tls->left : length;
    for (size_t i = 0; tls->looked < sizeof tls->look && i < here; i++) {
        tls->look[tls->looked++] = at[i];
        if (tls->looked == sizeof tls->look)
            look(tls);
    }
    tls->left = (uint16_t)(tls->left - here);
    return here;
}

/* 0 at the first record of data. */
static int take_header(struct pqb_tls *tls, const uint8_t *at)
{
    unsigned type = at[0], length = (unsigned)at[3] << 8 | at[4];
    if (type < CHANGE_CIPHER_SPEC || type > DATA || at[1] != 3 || at[2] > 4 || !length ||
        length > RECORD_MAX || (!tls->has_hello && type != HANDSHAKE)) {
        tls->is_lost = 1;
        return 1;
    }
    if (type == DATA && is_data(tls, length)) {
        tls->data = (uint16_t)length;
        return 0;
    }
    tls->left = tls->size = (uint16_t)length;
    tls->looked = type == HANDSHAKE && !tls->is_old ? 0 : sizeof tls->look;
    return 1;
}

size_t pqb_protocol_tls(struct pqb_tls *tls, const void *bytes, size_t length)
{
    const uint8_t *at = bytes;
    size_t passed = 0;
    while (passed < length && !tls->is_lost && !tls->data) {
        if (tls->left) {
            passed += take_body(tls, at + passed, length - passed);
            continue;
        }
        if (length - passed < HEADER)
            return passed;
        if (take_header(tls, at + passed))
            passed += HEADER;
    }
    return tls->is_lost ? length : passed;
}

int pqb_protocol_tls_is_cancel(const struct pqb_tls *tls)
{
    /* In TLS 1.2: GCM adds 8 bytes before and 16 behind, ChaCha20 16. */
    if (tls->is_old)
        return tls->data == 8 + CANCEL_BYTES + 16 || tls->data == CANCEL_BYTES + 16;
    return tls->data == ADDED + CANCEL_BYTES + (tls->is_padded ? PADDING : 0);
}
