/* The client's side of PostgreSQL's protocol, spoken without libpq: as much as it takes to be let
 * in. */
#ifndef PQB_TESTS_WIRE_H
#define PQB_TESTS_WIRE_H

#include <netinet/in.h>

/* Where PGHOST (an IPv4 address) and PGPORT say. */
struct sockaddr_in wire_address(void);

/* Writes a StartupMessage for PGUSER and PGDATABASE. 0 if it could not be written whole. */
int wire_start(int fd);

/* Connects there, and waits until the server is ready for a query; one that trusts us. -1 = no
 * connection. */
int wire_connect(void);

#endif
