/* Parameters and schemes that other drivers put into a DATABASE_URL and libpq does not know. */
#ifndef PQB_CONNINFO_FOREIGN_H
#define PQB_CONNINFO_FOREIGN_H

#include <stddef.h>

enum pqb_foreign_kind {
    PQB_FOREIGN_UNKNOWN = 0, /* on no list: it stays, and libpq says so */
    PQB_FOREIGN_DROPPED,
    PQB_FOREIGN_HARMLESS, /* dropped with one of the values of `detail`; any other stays */
    PQB_FOREIGN_CAP,
    PQB_FOREIGN_CAP_OR_NOT,   /* a cap if it is a positive integer; stays otherwise */
    PQB_FOREIGN_WAIT_SECONDS, /* how long to wait for a connection; 0 is for ever */
    PQB_FOREIGN_WAIT_MS,
    PQB_FOREIGN_TIMEOUT, /* seconds, of each statement */
    PQB_FOREIGN_SCHEMA,  /* one identifier */
    PQB_FOREIGN_PATH,    /* a list of them, written as PostgreSQL reads it */
    PQB_FOREIGN_SETTING, /* of the server, under the same name */
    PQB_FOREIGN_POOLER,
    PQB_FOREIGN_SSL,
    PQB_FOREIGN_SSLACCEPT,
    PQB_FOREIGN_NAME,            /* becomes application_name */
    PQB_FOREIGN_CONNECT_TIMEOUT, /* becomes connect_timeout, in whole seconds */
};

/* Without a pointer: a table of these is the same memory in all processes, and costs none at its
 * start. */
struct pqb_foreign {
    char keyword[48];
    enum pqb_foreign_kind kind;
    char detail[24];
};

/* Never NULL: what is on no list is PQB_FOREIGN_UNKNOWN. */
const struct pqb_foreign *pqb_foreign_find(const char *keyword);

/* How many bytes of `text` are a scheme with its ://, or 0. `is_libpqs` says whether libpq knows
 * it. */
size_t pqb_foreign_scheme(const char *text, int *is_libpqs);

/* True for the name or path of one of PostgreSQL's own programs: a dump or a vacuum takes the time
 * it takes. */
int pqb_foreign_is_own_program(const char *program);

#endif
