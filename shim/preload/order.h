/* What an attempt is made with: what the program said in whatever form, foreign parameters taken
 * out and honoured, the environment's defaults and forced parameters put in. */
#ifndef PQB_PRELOAD_ORDER_H
#define PQB_PRELOAD_ORDER_H

#include "conninfo/server.h"
#include "preload/library.h"

struct pqb_order {
    char *conninfo;                   /* one string, which says to libpq all of it */
    char server[PQB_SERVER_KEY_SIZE]; /* the key; "" if nobody is charged */
    uint32_t cap;                     /* what it allows this process; 0: nothing was said */
    long long wait;                   /* how long it would wait, or PQB_WAIT_SERVER */
    int is_pooled;                    /* a pooler is in between */
};

/* Each returns 0 if the parameters can't be understood (the program's own call then gives libpq's
 * own error) or there is no memory; the order is empty then. */
int pqb_order_of_string(struct pqb_libpq *pq, const char *conninfo, struct pqb_order *order);
int pqb_order_of_arrays(struct pqb_libpq *pq, const char *const *keywords,
                        const char *const *values, int expand_dbname, struct pqb_order *order);
int pqb_order_of_login(struct pqb_libpq *pq, const char *host, const char *port,
                       const char *options, const char *dbname, const char *login,
                       const char *password, struct pqb_order *order);

/* Wipes it: there may be a password in it. */
void pqb_order_clear(struct pqb_order *order);

/* The string without foreign parameters, for those who only parse it; NULL if it is to be taken as
 * it is. To be freed by pqb_order_forget. */
char *pqb_order_clean(struct pqb_libpq *pq, const char *conninfo);
void pqb_order_forget(char *conninfo);

#endif
