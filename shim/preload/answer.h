/* What a client reads whose connection we end: nothing of it reaches the network any more. One that
 * is refused is answered `N` each time it asks for encryption, and its startup packet with an
 * ErrorResponse; then comes the end. */
#ifndef PQB_PRELOAD_ANSWER_H
#define PQB_PRELOAD_ANSWER_H

#include "preload/socket.h"

/* Refuses it, for the reason in socket->refusal. `fd` is certain to be the socket's. */
void pqb_answer_refuse(struct pqb_socket *socket, int fd);

/* An open connection ends, for the reason in socket->refusal: the client reads what the server's
 * own idle-session timeout would tell it. */
void pqb_answer_end(struct pqb_socket *socket, int fd);

/* Wakes a client that waits for the server's answer; one whose connect was put off, only once it is
 * connected: until then, a step of the keeper's. */
void pqb_answer_wake(struct pqb_socket *socket, int fd);

/* The client has written more: what stands in `held`. */
void pqb_answer_write(struct pqb_socket *socket);

/* The client reads. 0 if there is nothing of ours for it. */
int pqb_answer_read(struct pqb_socket *socket, const struct iovec *part, int parts, int flags,
                    ssize_t *result);

#endif
