/* libpq as one object of a process has it. */
#ifndef PQB_HELPER_API_H
#define PQB_HELPER_API_H

#include <libpq-fe.h>

struct api {
    PGconn *(*connectdb)(const char *);
    PGconn *(*start)(const char *);
    PostgresPollingStatusType (*poll)(PGconn *);
    ConnStatusType (*status)(const PGconn *);
    char *(*message)(const PGconn *);
    int (*backend)(const PGconn *);
    int (*socket)(const PGconn *);
    void (*reset)(PGconn *);
    void (*finish)(PGconn *);
};

#endif
