/*
 * The side door: PostgreSQL's protocol as it passes through libc's socket functions, for programs
 * that speak it without libpq.
 *
 * A connect() to an address that may be a server's makes a socket a candidate. The first bytes
 * written decide what it is. One that wants a connection takes a claim; without a slot its bytes
 * are held, the client waits for the server's answer as it would anyway, and the keeper sends them
 * when the claim is granted, or makes the client read a refusal when its time is up.
 *
 * Each function is called by a hook for a descriptor that is watched. 0 = not handled: the hook
 * calls the real function.
 */
#ifndef PQB_PRELOAD_SIDE_H
#define PQB_PRELOAD_SIDE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

/* The whole of connect(): decides, and calls the real one. With `held_for`, what is written is held
 * until that connection of the front door has its slot. */
struct pqb_connection;
int pqb_side_connect(int fd, const struct sockaddr *address, socklen_t length,
                     struct pqb_connection *held_for);

/* The same, of a connection of the front door that has its slot, and is to be followed once it is
 * open (pqb_side_follow). */
int pqb_side_connect_known(int fd, const struct sockaddr *address, socklen_t length,
                           const struct pqb_connection *connection);

/* Such a one is open, in plaintext, and its claim too: it may be asked to give way. */
void pqb_side_follow(struct pqb_connection *connection, int fd);

/* A front-door connection is not held or followed any more (it ends, is made anew, or was waited
 * for otherwise): its sockets are let alone. Afterwards its hold tells how far it came; and its
 * claim is empty if it has given way. 0 if the keeper may still come to it. */
int pqb_side_release(struct pqb_connection *connection);

/* What its hold has come to: enum of struct pqb_hold. */
int pqb_side_outcome(struct pqb_connection *connection);

/* The kernel does not know its peer: that of a connect which is put off. */
int pqb_side_peer(int fd, struct sockaddr *address, socklen_t *length);

/* What is written with ancillary data (not `is_plain`), MSG_OOB or MSG_ZEROCOPY is no client's of
 * PostgreSQL: a candidate that begins so is let go. Where something is held already, it comes
 * behind that, as plain bytes. */
int pqb_side_write(int fd, const struct iovec *part, int parts, int flags, int is_plain,
                   ssize_t *result);

/* After a write that returned `result`. */
void pqb_side_have_written(int fd, const struct iovec *part, ssize_t result);

/* The keeper is deciding about a connection: until it has. 0 if that can't be waited for. */
int pqb_side_wait(void);

/* Before a read: bytes of ours may be there for the client. */
int pqb_side_read(int fd, const struct iovec *part, int parts, int flags, ssize_t *result);

/* After a read that returned `result` bytes into `part`: what the server said; or, if the read came
 * to an end because we ended it, what the client shall have instead. Returns the read's result. */
ssize_t pqb_side_have_read(int fd, const struct iovec *part, int parts, int flags, ssize_t result);

/* Before and after a number is closed, or something else is put there. */
struct pqb_socket *pqb_side_closing(int fd);
void pqb_side_closed(struct pqb_socket *socket);

/* The client ends its side. 1 if the real call is not to be made. */
int pqb_side_shutdown(int fd, int how);

/* `fd` has been duplicated to `to`. */
void pqb_side_duplicated(int fd, int to);

/* Forgets all that was closed behind our back. With the lock held. */
void pqb_side_sweep(void);

#endif
