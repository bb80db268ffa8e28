/* What a client writes until its connection is open: it decides what the socket is, whether it is
 * charged, and what is held. */
#ifndef PQB_PRELOAD_OPENING_H
#define PQB_PRELOAD_OPENING_H

#include "preload/socket.h"

/* The client writes. 0 if the write is to be made as it is. */
int pqb_opening_write(struct pqb_socket *socket, const struct iovec *part, int parts,
                      ssize_t *result);

#endif
