/* Parameters of a connection: keywords with their values, in an order. */
#ifndef PQB_CONNINFO_PARAMS_H
#define PQB_CONNINFO_PARAMS_H

#include "ledger/status.h"

#include <stddef.h>

struct pqb_param {
    char *keyword,
        *value; /* neither is NULL; a value may be empty, which is not the same as unsaid */
};

/* Begins as {0}. Owns its strings. */
struct pqb_params {
    struct pqb_param *list;
    size_t count, room;
};

/* A keyword of the program's libpq, as PQconndefaults lists them, and what the environment says for
 * it: the value of its variable, also when that is empty, or NULL. For sslmode, "require" if
 * PGREQUIRESSL begins with 1 and PGSSLMODE is not set. */
struct pqb_keyword {
    const char *keyword, *environment;
};

struct pqb_keywords {
    const struct pqb_keyword *list;
    size_t count;
};

/* Puts it behind the others, whatever is there already. PQB_NO_MEMORY changes nothing. */
enum pqb_status pqb_params_add(struct pqb_params *params, const char *keyword, const char *value)
    __attribute__((warn_unused_result));

/* The same, in the place of what has that keyword. */
enum pqb_status pqb_params_set(struct pqb_params *params, const char *keyword, const char *value)
    __attribute__((warn_unused_result));

/* The value that counts, which is the last one; NULL if there is none. `params` may be NULL. */
const char *pqb_params_get(const struct pqb_params *params, const char *keyword);

/* Wipes and frees. */
void pqb_params_clear(struct pqb_params *params);

/* A libpq connection string that says exactly this: given to PQconnectdb, or as the one `dbname` of
 * PQconnectdbParams with expand_dbname. Not as arrays, where an empty value counts as unsaid. NULL
 * if there is no memory; free it with pqb_buffer_free(). */
char *pqb_params_print(const struct pqb_params *params);

/* NULL if libpq does not know that keyword. */
const struct pqb_keyword *pqb_keywords_find(const struct pqb_keywords *known, const char *keyword);

/* What the environment says for it, or NULL. */
const char *pqb_keywords_environment(const struct pqb_keywords *known, const char *keyword);

#endif
