/* Another preload that stands in front of libpq's PQconnectdb, as monitors and tracers do. */
#include <dlfcn.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

PGconn *PQconnectdb(const char *conninfo)
{
    static __thread unsigned depth;
    PGconn *(*next)(const char *);
    void *found = dlsym(RTLD_NEXT, "PQconnectdb");
    memcpy(&next, &found, sizeof next);
    if (!next || ++depth > 1) {
        dprintf(2, "PQconnectdb %s\n", next ? "comes back to itself" : "is nowhere");
        _exit(99);
    }
    PGconn *conn = next(conninfo);
    depth--;
    return conn;
}
