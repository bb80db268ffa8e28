/* What the keeper does for a socket while it is held: its turn in the queue, the end of its time, a
 * connect that was put off. */
#ifndef PQB_PRELOAD_HOLDING_H
#define PQB_PRELOAD_HOLDING_H

#include "preload/socket.h"

/* The keeper's step. 1 as long as it needs the next one; *flush is set if it waits to send. */
int pqb_holding_step(struct pqb_socket *socket, int *flush);

/* Whether its claim is queued. */
int pqb_holding_waits(const struct pqb_socket *socket);

/* Its connect, which comes next, is put off until it has a claim, if the kernel can do that. */
void pqb_holding_defer(struct pqb_socket *socket);

/* It has failed, or was not put off after all. */
void pqb_holding_undefer(struct pqb_socket *socket);

/* The kernel has put it off indeed, or it is not connected yet. */
int pqb_holding_is_put_off(int fd);

/* The client has written, and has to wait for its claim: put off, or connected where it may. Where
 * neither can be it is refused. */
void pqb_holding_wait(struct pqb_socket *socket);

/* Its claim is that of a front-door connection, which waits. 0 if it is to be a Unix socket, and
 * too many wait already: it is refused. */
int pqb_holding_begin(struct pqb_socket *socket, struct pqb_connection *connection);

/* That connection does not concern it any more. */
void pqb_holding_end(struct pqb_socket *socket);

#endif
