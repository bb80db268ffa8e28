/* What a connection is made with: the program's own parameters, those of the environment, a
 * service, PQBUDGET_DEFAULTS and PQBUDGET_FORCE, in the order of precedence that libpq has. */
#ifndef PQB_CONNINFO_MERGE_H
#define PQB_CONNINFO_MERGE_H

#include "conninfo/params.h"
#include "ledger/status.h"

/* PQBUDGET_APPLICATION_NAME */
enum pqb_naming {
    PQB_NAMING_FILL, /* the label, if nobody set a name */
    PQB_NAMING_TAG,  /* whatever the name is, with [pid] behind it */
    PQB_NAMING_FORCE,
    PQB_NAMING_OFF,
};

struct pqb_merge {
    const struct pqb_keywords *known;
    const struct pqb_params *program;  /* as PQconninfoParse gave them, cleaned */
    const struct pqb_params *service;  /* the section of pqb_merge_service(); NULL: there is none */
    int service_is_hidden;             /* there is one that only libpq can read */
    const struct pqb_params *defaults; /* NULL: none; so is `force` */
    const struct pqb_params *force;
    const char *settings;     /* that foreign parameters asked for; NULL: none */
    int pooler;               /* what pgbouncer= said, -1: nothing; the port tells then */
    const char *default_port; /* that is compiled into libpq; NULL: 5432 */
    enum pqb_naming naming;
    const char *label; /* NULL or empty: as PQB_NAMING_OFF */
    long pid;
};

/* The service whose file is to be read: `force`'s, the program's, the environment's, `defaults`'.
 * NULL: none. */
const char *pqb_merge_service(const struct pqb_merge *merge);

/* What libpq is to be given, all that the program said with it; to be printed with
 * pqb_params_print(), for an empty value can matter. What is there already is not added again.
 *
 * PQB_REFUSED: there are settings, and no options can be added (a pooler is in between, or the
 * program's own options end in a backslash): libpq is given the string as the program wrote it, and
 * refuses it. */
enum pqb_status pqb_merge_params(const struct pqb_merge *merge, struct pqb_params *result)
    __attribute__((warn_unused_result));

/* The key of the server that these parameters lead to, as pqb_server_key() makes it. */
int pqb_merge_key(const struct pqb_merge *merge, const struct pqb_params *result, char *key,
                  size_t size);

#endif
