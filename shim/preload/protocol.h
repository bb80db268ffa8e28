/* PostgreSQL's protocol as it passes by: what a client writes first, what a server answers, and
 * what we say ourselves.
 *
 * Functions over the caller's bytes: no I/O, no memory of their own, no locks, nothing but libc;
 * safe in a signal handler, and for any bytes at all. What reads a stream takes it in pieces, cut
 * wherever they happen to be: the state that this needs is the caller's, and starts zeroed. */
#ifndef PQB_PRELOAD_PROTOCOL_H
#define PQB_PRELOAD_PROTOCOL_H

#include "preload/statement.h"

#include <stddef.h>
#include <stdint.h>

/* ---- what a client writes first ---- */

enum pqb_packet {
    PQB_PACKET_MORE,    /* too little to tell; never with 8 bytes and more */
    PQB_PACKET_STARTUP, /* a StartupMessage of protocol 3 */
    PQB_PACKET_SSL,     /* SSLRequest */
    PQB_PACKET_GSS,     /* GSSENCRequest */
    PQB_PACKET_CANCEL,  /* CancelRequest, which must pass on a full server */
    PQB_PACKET_TLS,     /* a ClientHello: direct TLS */
    PQB_PACKET_OTHER,   /* nothing that PostgreSQL knows */
};

/* The longest a server takes (its MAX_STARTUP_PACKET_LENGTH). */
#define PQB_STARTUP_BYTES 10000

/* What begins here, told from as few bytes as possible, so that nothing else is kept waiting: most
 * others are PQB_PACKET_OTHER at their first byte. *whole is the length of all of it (of a
 * ClientHello, the length of its record); 0 with MORE and OTHER. There may be more bytes than that.
 */
enum pqb_packet pqb_protocol_first(const void *bytes, size_t length, size_t *whole);

/* A StartupMessage. The strings are those in the message, NULL if they are absent; of a name that
 * comes twice, the last, as for the server. */
struct pqb_startup {
    uint32_t version; /* as it was sent: 3.0 is 0x00030000 */
    const char *user;
    const char *database; /* absent or empty: the server takes the user's name */
    const char *application_name;
    const char *replication;
    const char *options;
    int is_replication; /* takes a walsender's slot and no other: not charged */
};

/* 1; 0 for what the server would not understand either, then hands off. `length` is that of the
 * whole message. */
int pqb_protocol_startup(const char *bytes, size_t length, struct pqb_startup *out);

/* Whether this value of `replication` (NULL: none) makes a walsender of the connection, by the
 * server's rule. */
int pqb_protocol_is_replication(const char *value);

/* ---- rewriting a StartupMessage ---- */

enum pqb_change_mode {
    /* Adds the parameter if the message does not have it; one that is set in `options`, the
     * program's or ours, is not absent (it would be overruled). */
    PQB_CHANGE_FILL,
    /* Gives the parameter this value, or adds it. */
    PQB_CHANGE_FORCE,
    /* Put before the program's `options`, so that the program's win. */
    PQB_CHANGE_OPTIONS_BEFORE,
    /* Put behind the program's `options`, so that these win. What they set replaces a startup
     * parameter of its name as well, which would beat them. */
    PQB_CHANGE_OPTIONS_AFTER,
};

struct pqb_change {
    const char *name; /* not looked at for options, and never "options" */
    const char *value;
    enum pqb_change_mode mode;
};

/* Writes the message anew, with these changes, into `to`; they apply together, their order matters
 * only between parts of `options` and where a name comes twice (the first counts). The client's own
 * parameters keep their order, and all that is not spoken of here (the version, `_pq_.` options)
 * stays as it is. Doing it again changes nothing. An `options` of
 * the program's that ends in an odd number of backslashes is left alone: the last would take the
 * blank before what follows.
 *
 * Returns the new length, which is at most PQB_STARTUP_BYTES; 0 if the message is not understood,
 * or the new one would not fit: then the old one passes. */
size_t pqb_protocol_rewrite(const char *bytes, size_t length, const struct pqb_change *changes,
                            unsigned count, char *to, size_t size);

/* ---- what we say in the server's place ---- */

/* An ErrorResponse of severity FATAL; detail and hint may be NULL. Its length; 0 if it does not
 * fit. */
size_t pqb_protocol_error(char *to, size_t size, const char *sqlstate, const char *message,
                          const char *detail, const char *hint);

/* The answer to a ClientHello: a fatal alert, internal_error. */
#define PQB_TLS_ALERT_BYTES 7
extern const char pqb_protocol_tls_alert[PQB_TLS_ALERT_BYTES];

/* ---- what a server sends, in plaintext ---- */

/* Seen in these bytes. */
enum pqb_seen {
    PQB_SEEN_NO = 1,              /* N: neither TLS nor GSS; the client goes on in plaintext */
    PQB_SEEN_TLS = 2,             /* S: TLS follows; nothing more is looked at */
    PQB_SEEN_GSS = 4,             /* G: GSS follows; the same */
    PQB_SEEN_AUTHENTICATED = 8,   /* AuthenticationOk */
    PQB_SEEN_BACKEND = 16,        /* backend_pid is known */
    PQB_SEEN_NAME = 32,           /* application_name is as the server has it now */
    PQB_SEEN_READY = 64,          /* ReadyForQuery: see `ready` */
    PQB_SEEN_STARTUP_ERROR = 128, /* an error before the first ReadyForQuery: see `sqlstate` */
    PQB_SEEN_LOST = 256,          /* no such protocol; nothing more is looked at */
};

#define PQB_SCAN_NAME_BYTES 64 /* an application_name is at most 63 long */
#define PQB_SCAN_KEEP 84 /* of a message in pieces: enough for `application_name` and its value */

struct pqb_scan {
    uint32_t left;       /* of the body of the message it is in */
    int32_t backend_pid; /* as it was sent: a pooler's may be anything */
    uint32_t answered;   /* how often it was ReadyForQuery, the login's included */
    uint8_t ask;         /* set to 1 by the caller when an SSLRequest or GSSENCRequest passes */
    uint8_t
        ready; /* I, T or E of the last ReadyForQuery; 0 before it, and once an answer follows */
    uint8_t is_over;     /* nothing more is looked at */
    uint8_t is_started;  /* there has been a ReadyForQuery */
    uint8_t is_notified; /* there has been a NotificationResponse */
    uint8_t had;         /* bytes of `header` */
    uint8_t kept;        /* bytes of `keep` */
    uint8_t header[5];   /* of a message whose header came in pieces; its type is always here */
    char sqlstate[6];
    char application_name[PQB_SCAN_NAME_BYTES];
    uint8_t keep[PQB_SCAN_KEEP];
};

/* Reads on; returns what was seen, a set of enum pqb_seen. Bodies are skipped by their length. */
unsigned pqb_protocol_scan(struct pqb_scan *scan, const void *bytes, size_t length);

/* The server waits for the client: the last answer was ReadyForQuery, see `ready`, and only
 * messages that come unasked (a notice, a parameter's status, a notification) came since, to their
 * end. Whether the client has asked something meanwhile, the caller knows. */
int pqb_protocol_scan_is_ready(const struct pqb_scan *scan);

/* ---- what a client writes after its StartupMessage, in plaintext ---- */

enum pqb_wrote {
    PQB_WROTE_TERMINATE = 1, /* it takes its leave */
    PQB_WROTE_LOST = 2,      /* no such protocol; nothing more is looked at */
};

enum pqb_text {
    PQB_TEXT_NONE, /* no SQL in what is left of this message */
    PQB_TEXT_NAME, /* a statement's name comes first */
    PQB_TEXT_SQL,
};

struct pqb_scan_out {
    uint32_t left;
    uint32_t asked;     /* of its messages, those that one ReadyForQuery each answers */
    uint8_t is_over;    /* nothing more is looked at: LOST, or the end */
    uint8_t is_begun;   /* it wrote messages that will be answered when it asks for it */
    uint8_t is_copying; /* it wrote CopyData, and has not said that this was all */
    uint8_t has_synced; /* since the last that began to be executed */
    uint8_t pin;        /* the first reason why its session must stay, enum pqb_pin */
    uint8_t text;       /* enum pqb_text */
    uint8_t had;
    uint8_t header[5];
    struct pqb_statement statement;
};

/* Reads on; returns a set of enum pqb_wrote. */
unsigned pqb_protocol_scan_out(struct pqb_scan_out *scan, const void *bytes, size_t length);

/* All that was written so far are whole messages: one of ours would be understood here. */
int pqb_protocol_scan_out_is_between(const struct pqb_scan_out *scan);

/* The same, and the last of them asked for an answer: once it has had all that it asked for, it
 * waits for nothing. */
int pqb_protocol_scan_out_is_settled(const struct pqb_scan_out *scan);

/* ---- a client's TLS ---- */

struct pqb_tls {
    uint16_t data;     /* the payload of the first record of data; 0 until it is found */
    uint16_t left;     /* of the body of the record it is in */
    uint16_t size;     /* of that record */
    uint8_t records;   /* of type 23 that passed, in TLS 1.3 */
    uint8_t has_hello; /* the ClientHello has passed */
    uint8_t has_none;  /* TLS 1.3: asked for a certificate, the client has none */
    uint8_t is_padded; /* TLS 1.3: its records are, as Java's */
    uint8_t is_old;    /* TLS 1.2 or older */
    uint8_t is_done;   /* TLS 1.3: Finished has passed */
    uint8_t is_lost;   /* no TLS; everything passes */
    uint8_t looked;    /* bytes of `look` */
    uint8_t look[4];   /* how a handshake record begins */
};

/* Finds the first record of data that the client sends, which holds its StartupMessage or its
 * CancelRequest. Takes the client's bytes from the ClientHello on and returns how many of these may
 * pass. Less than all: with `data` set, the record begins there; otherwise they are the beginning
 * of a record's header, at most 4 bytes, to be kept and given again before the bytes that follow.
 *
 * In TLS 1.2 data alone has type 23. In TLS 1.3 so has the end of the handshake, and what tells is
 * its order and length. Measured with PostgreSQL 15 and OpenSSL 3.0 (psql, asyncpg, uvloop, node)
 * and with Java 17 (pgjdbc), which pads:
 *
 *   Finished with SHA-384 (these choose it)     69 bytes, Java 85
 *   before it, if the server has ssl_ca_file:
 *     no certificate                            25, Java 41
 *     a certificate, CertificateVerify          ≥ 400; 89 (ed25519), 95 to 97 (P-256), 281 (RSA
 * 2048) StartupMessage, CancelRequest               its length + 17, Java + 33; 33 an alert (the
 * client leaves)                19, Java 35; or type 21 before Finished
 *
 * A server whose ssl_ecdh_curve is not the client's first wants a second ClientHello: with this
 * server's default, prime256v1, that happens to every client here but Java's. It is type 22 after
 * change_cipher_spec, as Finished is in TLS 1.2. node, uvloop and (with a certificate) psql write
 * Finished and the first data in one call.
 *
 * Certificate, CertificateVerify and Finished in one record can't be told from a certificate alone;
 * then a StartupMessage of a signature's length passes as CertificateVerify. */
size_t pqb_protocol_tls(struct pqb_tls *tls, const void *bytes, size_t length);

/* Whether that record is as long as a CancelRequest of 16 bytes makes it. */
int pqb_protocol_tls_is_cancel(const struct pqb_tls *tls);

#endif
