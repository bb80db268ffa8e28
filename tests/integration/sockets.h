/* Guests that speak PostgreSQL's protocol by plain system calls (tests/helpers/sockets), and pass
 * the side door. */
#ifndef PQB_INTEGRATION_SOCKETS_H
#define PQB_INTEGRATION_SOCKETS_H

#include "ground.h"

/* Starts one with these steps, which stand in one text: "socket tcp connect startup by write 9". */
struct guest *sockets_start(const char *const *environment, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The key of the server that a socket of this kind leads to. */
const char *sockets_key(const char *kind);

/* All slots of that server are taken, until ground_let_go. */
#define sockets_fill(kind) ground_hold(sockets_key(kind), 1, 1, "web")

/* It waits in the queue by now. */
#define sockets_held(count) cr_assert(wait_until(ground_in(PQB_CLAIM_WAITING) == (count)))

/* One connection is counted, and by now is open. */
#define sockets_open() cr_assert(wait_until(ground_in(PQB_CLAIM_OPEN) == 1))

/* Whoever is there waits as long as it takes. */
#define PATIENT WORDS("PQBUDGET_WAIT=30s")

/* An echo service on a port of its own: what it hears it says. Lives as long as the test. */
struct echo {
    pid_t pid;
    int port;
};
struct echo sockets_echo(void);

#endif
