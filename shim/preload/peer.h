/* Who is at the other end of a socket. */
#ifndef PQB_PRELOAD_PEER_H
#define PQB_PRELOAD_PEER_H

#include "ledger/layout.h"

struct pqb_peer {
    int is_local;                    /* on this machine, so that its processes may be seen */
    char address[PQB_ADDRESS_BYTES]; /* as a server's key; "" if it can't be told, or is too long */
    struct pqb_socket_place place;   /* its remote half, if it is TCP's; else the family is 0 */
};

/* Keeps errno. */
void pqb_peer_of(int fd, struct pqb_peer *peer);

#endif
