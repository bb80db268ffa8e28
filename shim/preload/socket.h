/*
 * A socket that leads to a PostgreSQL server, or may: what passed through it so far, its claim, and
 * what is held. Everything here is done with the side door's lock held (side.h), and nothing
 * blocks.
 */
#ifndef PQB_PRELOAD_SOCKET_H
#define PQB_PRELOAD_SOCKET_H

#include "preload/budget.h"
#include "preload/bytes.h"
#include "preload/session.h"

#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

enum pqb_socket_state {
    PQB_SOCKET_FIRST,    /* connected; the first packet is not complete */
    PQB_SOCKET_HELD,     /* its packet is held until its claim is granted */
    PQB_SOCKET_STARTING, /* granted; not all that was held could be sent yet */
    PQB_SOCKET_ASKED,    /* has asked for TLS or GSS; its answer decides how it goes on */
    PQB_SOCKET_TLS,      /* its handshake passes; what comes behind it asks for a claim */
    PQB_SOCKET_LOGIN,    /* its startup packet has passed; the server answers */
    PQB_SOCKET_OPEN,
    PQB_SOCKET_OPAQUE,  /* encrypted: nothing more is to be seen but its end */
    PQB_SOCKET_REFUSED, /* the client reads what we say; nothing reaches the network any more */
    PQB_SOCKET_DONE,    /* its claim was given back, or it is none of ours */
};

/* A connect that is put off: the kernel says that it is connected, and sends nothing yet. */
enum pqb_deferral {
    PQB_NOT_DEFERRED,
    PQB_DEFERRED,
    PQB_DEFERRED_ENDS, /* it is being made */
};

struct pqb_connection;
struct pqb_flow;

struct pqb_socket {
    struct pqb_socket *previous, *next; /* all of this process */
    uint64_t cookie;
    int fd;           /* one of its numbers */
    unsigned numbers; /* how many it has that we know of */
    int32_t pid;      /* of the process that connected it */
    enum pqb_socket_state state;
    char *server; /* the key */
    enum pqb_deferral deferred;
    uint64_t silent_until; /* a client that has not gone on by then will not; 0 = it may */
    struct sockaddr_storage address; /* it is connected to, whatever the kernel says meanwhile */
    socklen_t address_length;
    /* Its own claim, or that of a front-door connection (side.h), which then is not NULL. */
    struct pqb_connection *connection;
    struct pqb_claim own_claim;
    uint64_t asked_at, deadline; /* of its wait */
    uint64_t silent_since;   /* refused, it has heard us or looked first; 0 = it has not looked */
    int was_held;            /* and let in by the keeper */
    struct pqb_bytes held;   /* written by the client, not sent yet */
    struct pqb_bytes answer; /* for the client to read */
    int has_ended;           /* behind the answer comes the end */
    int is_told;             /* the answer says why */
    int is_shut;             /* the client's side ends behind what is held */
    struct pqb_refusal refusal;
    int has_asked_gss;
    int is_late;                /* its claim is asked for when it is seen to be no cancel */
    struct pqb_tls tls;         /* of such a one, what the client sends */
    struct pqb_session session; /* as it logs in */
    struct pqb_flow *flow; /* what passes after that, while it is OPEN; NULL if nobody follows it */
    int is_news;           /* the ledger has just been told something else of it than it knew */
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

/* The claim it waits for or holds, and what it asks for. */
struct pqb_claim *pqb_socket_claim(struct pqb_socket *socket);
struct pqb_ask pqb_socket_ask(const struct pqb_socket *socket);

/* The same, of one that has not sent yet what is held: it ends its side behind that. 0 if it is not
 * one. */
int pqb_socket_shut_later(struct pqb_socket *socket);

/* The client has read this from the server; of length 0, what it did not care to see. */
void pqb_socket_heard(struct pqb_socket *socket, const struct iovec *part, int parts,
                      size_t length);

/* The client has written this while it logs in. */
void pqb_socket_said(struct pqb_socket *socket, const struct iovec *part, size_t length);

/* It is OPEN, and from now on, what passes is followed. 0 without memory. */
int pqb_socket_follow(struct pqb_socket *socket);

/* A descriptor of our own for it, if it still is what it was: its number may have been closed and
 * given to another file since. -1 and EBADF if so; or EMFILE, if no number is free just now. */
int pqb_socket_hold_on(const struct pqb_socket *socket);

/* The client closes a candidate, or its side of it: what was kept of its first bytes goes out. */
void pqb_socket_let_go(struct pqb_socket *socket);

/* ---- its steps; `fd` is certain to be the socket's ---- */

void pqb_socket_enter(struct pqb_socket *socket, enum pqb_socket_state state);

/* Makes a connect that was put off. 0 if it is made, EAGAIN until it is, or ECONNREFUSED, whatever
 * it failed for: the client meets the error itself. */
int pqb_socket_connect(struct pqb_socket *socket, int fd);

/* The same, then sends what is held, as far as it goes at once: 0, EAGAIN, or an error. */
int pqb_socket_flush(struct pqb_socket *socket, int fd);

/* It has its claim, or needs none yet: what is held goes out, or begins to. */
void pqb_socket_start(struct pqb_socket *socket, int fd);

/* It is none of ours: what was held goes out first. 0 if that is not done yet, and what the client
 * writes now must come behind. */
int pqb_socket_release(struct pqb_socket *socket, int fd);

/* Encrypted from here on: that it is open, and nothing else, can be told. */
void pqb_socket_veil(struct pqb_socket *socket);

void pqb_socket_end_claim(struct pqb_socket *socket);

#endif
