/*
 * A socket that leads to a PostgreSQL server, or may: what passed through it so far, its claim, and
 * what is held. Everything here is done with the side door's lock held (side.h), and nothing
 * blocks.
 */
#ifndef PQB_PRELOAD_SOCKET_H
#define PQB_PRELOAD_SOCKET_H

#include "ledger/claim.h"
#include "preload/protocol.h"
#include "preload/refusal.h"

#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

enum pqb_socket_state {
    PQB_SOCKET_FIRST,    /* connected; the first packet is not complete */
    PQB_SOCKET_HELD,     /* its packet is held until its claim is granted */
    PQB_SOCKET_STARTING, /* granted; not all that was held could be sent yet */
    PQB_SOCKET_ASKED,    /* has asked for TLS or GSS; its answer decides how it goes on */
    PQB_SOCKET_LOGIN,    /* its startup packet has passed; the server answers */
    PQB_SOCKET_OPEN,
    PQB_SOCKET_OPAQUE,  /* encrypted: nothing more is to be seen but its end */
    PQB_SOCKET_REFUSED, /* the client reads what we say; nothing reaches the network any more */
    PQB_SOCKET_DONE,    /* its claim was given back, or it is none of ours */
};

/* Bytes on their way. */
struct pqb_bytes {
    char *at;
    size_t length, capacity, gone; /* `gone` of `length` are sent or read already */
};

struct pqb_connection;

struct pqb_socket {
    struct pqb_socket *previous, *next; /* all of this process */
    uint64_t cookie;
    int fd;           /* one of its numbers */
    unsigned numbers; /* how many it has that we know of */
    int32_t pid;      /* of the process that connected it */
    enum pqb_socket_state state;
    char *server; /* the key */
    struct sockaddr_storage address;
    socklen_t address_length;
    /* Its own claim, or that of a front-door connection (side.h), which then is not NULL. */
    struct pqb_connection *connection;
    struct pqb_claim own_claim;
    uint64_t asked_at, deadline; /* of its wait */
    uint64_t refused_at;
    struct pqb_bytes held;   /* written by the client, not sent yet */
    struct pqb_bytes answer; /* for the client to read */
    int has_ended;           /* behind the answer comes the end */
    struct pqb_refusal refusal;
    struct pqb_scan scan; /* of what the server says */
    char user[40], database[40];
};

/* NULL without memory. `fd` is no socket we know. */
struct pqb_socket *pqb_socket_new(int fd, const char *server, const struct sockaddr *address,
                                  socklen_t length);

/* This process has closed it. Gives back what it has, unless the connection lives on: in another
 * process, as a duplicate that we don't know. */
void pqb_socket_free(struct pqb_socket *socket);

/* The client has ended its side, for all who have the socket: the server's process goes, as it does
 * after a goodbye. */
void pqb_socket_shut(struct pqb_socket *socket);

/* The first of this process's sockets. */
struct pqb_socket *pqb_sockets_first(void);

/* The client writes. 0 if the write is to be made as it is. */
int pqb_socket_write(struct pqb_socket *socket, const struct iovec *part, int parts,
                     ssize_t *result);

/* The client writes what can't be held, or closes its side: a candidate is let go. */
void pqb_socket_let_go(struct pqb_socket *socket);

/* The client reads, and there is something of ours for it. */
int pqb_socket_read(struct pqb_socket *socket, const struct iovec *part, int parts, int flags,
                    ssize_t *result);

/* The client has read this from the server. */
void pqb_socket_heard(struct pqb_socket *socket, const struct iovec *part, int parts,
                      size_t length);

/* The keeper's step. 1 as long as it needs the next one; *flush is set if it waits to send. */
int pqb_socket_step(struct pqb_socket *socket, int *flush);

/* Its claim is that of a front-door connection, which waits. */
void pqb_socket_hold_for(struct pqb_socket *socket, struct pqb_connection *connection);

/* That connection does not concern it any more. */
void pqb_socket_let_alone(struct pqb_socket *socket);

/* Whether its claim is queued. */
int pqb_socket_waits(const struct pqb_socket *socket);

/* The claim it waits for or holds. */
struct pqb_claim *pqb_socket_claim(struct pqb_socket *socket);

#endif
