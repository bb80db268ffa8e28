/* Which ports a PostgreSQL server may be behind: those of PQBUDGET_PORTS, and those of the servers
 * that the ledger knows. */
#ifndef PQB_PRELOAD_PORTS_H
#define PQB_PRELOAD_PORTS_H

#include <stdint.h>

/* For any program that connects anywhere: says nothing, makes nothing, keeps nothing open. The
 * ledger is read when it was not for some seconds. Keeps errno. */
int pqb_ports_has(uint16_t port);

#endif
