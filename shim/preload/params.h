/* The parameters of one connection, as the program gave them, in whatever form it did. */
#ifndef PQB_PRELOAD_PARAMS_H
#define PQB_PRELOAD_PARAMS_H

#include "preload/library.h"

struct pqb_param {
    char *keyword;
    char *value; /* may be empty: then it overrides the environment with nothing */
};

/* Each keyword once. */
struct pqb_params {
    unsigned count, capacity;
    struct pqb_param *item;
};

/* Each returns 0 if the parameters can't be understood (the program's own call then gives libpq's
 * own error) or there is no memory; *params is to be freed all the same. */
int pqb_params_of_string(struct pqb_libpq *pq, const char *conninfo, struct pqb_params *params);
int pqb_params_of_arrays(struct pqb_libpq *pq, const char *const *keywords,
                         const char *const *values, int expand_dbname, struct pqb_params *params);
int pqb_params_of_login(struct pqb_libpq *pq, const char *host, const char *port,
                        const char *options, const char *dbname, const char *login,
                        const char *password, struct pqb_params *params);

/* Overwrites the values: there may be a password among them. */
void pqb_params_free(struct pqb_params *params);

/* NULL if it is not there. */
const char *pqb_params_get(const struct pqb_params *params, const char *keyword);

/* Adds it, or gives it another value. 0 if there is no memory. */
int pqb_params_set(struct pqb_params *params, const char *keyword, const char *value);

/* All of it as one string, which says to libpq just what the original did. NULL if there is no
 * memory. To be freed by pqb_params_forget. */
char *pqb_params_string(const struct pqb_params *params);
void pqb_params_forget(char *conninfo);

/* The key of the server they lead to, as long as PQB_KEY_BYTES. 0 if it can't be told. */
int pqb_params_server(struct pqb_libpq *pq, const struct pqb_params *params, char *key,
                      size_t size);

/* Whether they ask for a replication connection, which takes a walsender's slot and no other. */
int pqb_params_replicate(const struct pqb_params *params);

#endif
