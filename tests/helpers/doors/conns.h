/* The connections a play has opened; the last one is the current one. */
#ifndef PQB_HELPER_CONNS_H
#define PQB_HELPER_CONNS_H

#include "support/stage.h"

#include <libpq-fe.h>

PGconn *conns_current(void); /* NULL if there is none */
PGconn *conns_pop(void);     /* ends the program if there is none */
void conns_push(PGconn *conn);

/* Says "ok DATABASE USER APPLICATION_NAME BACKEND" or "bad MESSAGE". */
void conns_report(PGconn *conn);

/* The first value of the query's result, or the error, in the caller's buffer. 1 = a value. */
int conns_ask(PGconn *conn, const char *query, char *answer, unsigned capacity);

extern const struct stage_step opening_steps[], lasting_steps[], aside_steps[], null_steps[],
    family_steps[], crowd_steps[], signal_steps[], manner_steps[], twin_steps[], session_steps[];

#endif
