/*
 * Does a socket still exist, anywhere on this machine? Asked of the kernel (NETLINK_SOCK_DIAG),
 * which any process may: forked children, duplicates and descriptors that were passed on or are on
 * their way all count, as they do for the server at the other end. No privilege is needed, nothing
 * blocks.
 *
 * An answer is believed only of a socket that was once found by the very same question
 * (pqb_diag_find): what the kernel does not list, or lists by other addresses than it tells the
 * program (MPTCP, a cgroup's address translation), is never asked for.
 */
#ifndef PQB_LEDGER_DIAG_H
#define PQB_LEDGER_DIAG_H

#include "ledger/layout.h"

#include <sys/socket.h>

enum pqb_diag_answer {
    PQB_DIAG_UNKNOWN, /* the kernel does not say, or the socket is of another network namespace */
    PQB_DIAG_EXISTS,
    PQB_DIAG_GONE, /* no file leads to it any more, or its connection is over for good */
};

/* Somebody who asks. Starts zeroed; opens a descriptor at the first question, which is not kept
 * longer than a batch of them takes: it would have to be told apart from what a host program puts
 * at its number, and from its copies in children. */
struct pqb_diag {
    int fd1; /* descriptor + 1; negative = there is none to be had */
    uint32_t questions;
    uint64_t cookie;  /* of the descriptor's own socket */
    uint64_t network; /* that it asks about */
};

/* Where the connected stream socket `fd` is to be found: 1, its cookie and place, if it is found
 * there now. Keeps errno, as all here. */
int pqb_diag_find(struct pqb_diag *diag, int fd, uint64_t *cookie, struct pqb_socket_place *place)
    __attribute__((warn_unused_result));

enum pqb_diag_answer pqb_diag_ask(struct pqb_diag *diag, uint64_t cookie,
                                  const struct pqb_socket_place *place);

/* For how long nothing has passed through a TCP connection, either way. 0 if that is not known. */
int pqb_diag_idle(struct pqb_diag *diag, uint64_t cookie, const struct pqb_socket_place *place,
                  uint64_t *ns);

/* Where a TCP connection of `fd` to this address leads: the remote half of its place. 0 if it is no
 * TCP's. */
int pqb_diag_towards(int fd, const struct sockaddr *address, socklen_t length,
                     struct pqb_socket_place *place);

void pqb_diag_close(struct pqb_diag *diag);

#endif
