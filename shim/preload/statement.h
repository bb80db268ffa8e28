/* What a text of SQL says that outlives its transaction, so that the session can't be replaced by a
 * new one without the program noticing.
 *
 * Not a parser. It looks at words and at what stands right before them, and understands neither
 * strings nor comments, of which a server's settings decide how they are read: what it would find
 * in code it finds in those too. So it says too much now and then, and never too little of what the
 * text itself says. What a function, a procedure or an extension does is not in the text.
 *
 * No memory of its own, no locks, nothing but libc; safe in a signal handler, and for any bytes. */
#ifndef PQB_PRELOAD_STATEMENT_H
#define PQB_PRELOAD_STATEMENT_H

#include <stddef.h>
#include <stdint.h>

/* Why a session must stay. */
enum pqb_pin {
    PQB_PIN_NONE,
    PQB_PIN_LISTEN,
    PQB_PIN_LOCK,      /* an advisory lock of the session, not of a transaction */
    PQB_PIN_TEMPORARY, /* a temporary table, view or sequence */
    PQB_PIN_CURSOR,    /* WITH HOLD */
    /* SET and set_config, but for what ends with the transaction, and the two that pgjdbc sets at
     * every login, which change no result: application_name and extra_float_digits. */
    PQB_PIN_SETTING,
    PQB_PIN_PREPARED, /* by SQL: no driver knows of it, and none would make it again */
    PQB_PIN_LOADED,
    PQB_PIN_UNSEEN,    /* it ran a DO block, or a function without SQL: anything can be in those */
    PQB_PIN_UNCOUNTED, /* it copied in by extended query: its answers can't be told apart */
    PQB_PINS,
};

/* One more than the longest word that says something. */
#define PQB_STATEMENT_WORD 28

/* Zeroed for each text. */
struct pqb_statement {
    uint8_t before;     /* what stands before the next word */
    uint8_t call;       /* where in a call of set_config */
    uint8_t has_dashes; /* in this line: its end may be a comment's */
    uint8_t kept;       /* of a word in pieces */
    char word[PQB_STATEMENT_WORD];
};

/* Reads on, in pieces cut anywhere, and says what it has found; after that, no more of this text
 * need be read. */
enum pqb_pin pqb_statement_read(struct pqb_statement *statement, const char *text, size_t length);

/* That was all of it. */
enum pqb_pin pqb_statement_end(struct pqb_statement *statement);

#endif
