/* The environment (PQBUDGET and PQBUDGET_…), read once, at the first connection. */
#ifndef PQB_PRELOAD_SETTINGS_H
#define PQB_PRELOAD_SETTINGS_H

#include "conninfo/merge.h"
#include "ledger/layout.h"

#define PQB_SETTINGS_PORTS 16
#define PQB_SETTINGS_PORT 5432
#define PQB_YIELD_OFF UINT32_MAX

#define PQB_DOORS_LIBPQ 1u
#define PQB_DOORS_SOCKET 2u

/* Texts are NULL where nothing is set. */
struct pqb_settings {
    const char *ledger;                  /* a name or a path */
    const char *app;                     /* the application's label */
    const char *defaults, *forced;       /* connection strings. Never shown: they hold passwords */
    const char *log_file;                /* NULL = stderr */
    struct pqb_server_config new_server; /* for a server that has no row yet */
    uint32_t process_cap;                /* 0 = none */
    long long wait_ms;                   /* or PQB_WAIT_SERVER, PQB_WAIT_FOREVER */
    uint32_t yield_ms;                   /* or PQB_YIELD_OFF */
    uint32_t doors;
    uint16_t port[PQB_SETTINGS_PORTS]; /* 0 behind the last */
    enum pqb_naming naming;
    int fails_closed;
};

/* True if PQBUDGET=off. Says nothing and opens nothing, at any time. */
int pqb_settings_is_off(void);

/* Whether this door is open. Says nothing. */
int pqb_settings_has_door(uint32_t door);

/* Whether PQBUDGET_PORTS has this port. Says nothing: any program connects to something. */
int pqb_settings_has_port(uint16_t port);

/* Warns about what makes no sense, the first time. */
const struct pqb_settings *pqb_settings(void);

#endif
