/*
 * Which descriptors of this process are looked at, and what for. For one that isn't, a hooked
 * function costs a load and a branch.
 *
 * A number is not an identity: it may be closed behind our back and be somebody else's by now.
 * Whoever finds a number marked compares the socket's cookie before he believes it.
 */
#ifndef PQB_PRELOAD_DESCRIPTOR_H
#define PQB_PRELOAD_DESCRIPTOR_H

#include <stdint.h>

/* Numbers above this one are never marked: the kernel gives the lowest that is free. */
#define PQB_DESCRIPTORS (1u << 20)

#define PQB_WATCH_WRITES 1u
#define PQB_WATCH_READS 2u
#define PQB_WATCH_END 4u     /* close, shutdown, dup2 over it */
#define PQB_WATCH_GOODBYE 8u /* beside WRITES: of them only what may be a Terminate message */
#define PQB_WATCH_FLOW 16u   /* what passes is followed (flow.h): beside GOODBYE all but that */
#define PQB_GOODBYE_BYTES 5u

struct pqb_socket;
struct pqb_flow;

/* Untouched pages of it cost nothing. */
extern _Atomic unsigned char pqb_descriptor_marks[PQB_DESCRIPTORS]
    __attribute__((visibility("hidden")));

static inline int pqb_descriptor_is_watched(int fd, unsigned what)
{
    return (unsigned)fd < PQB_DESCRIPTORS &&
           __builtin_expect(
               __atomic_load_n((unsigned char *)&pqb_descriptor_marks[fd], __ATOMIC_RELAXED) & what,
               0);
}

/* What follows the bytes at this number, NULL = nothing does. Without the lock: see flow.h. */
struct pqb_flow *pqb_descriptor_flow(int fd);

/* The next number at or behind `fd` with a socket, up to `last`; -1 if there is none. Also without
 * the lock. */
int pqb_descriptor_next(int fd, unsigned last);

/* The rest is called with the side door's lock held. */

/* The socket that is known at this number, whether or not it still is there. NULL = none. */
struct pqb_socket *pqb_descriptor_socket(int fd);

/* Puts a socket there, or takes it away with NULL. 0 if there is no memory. */
int pqb_descriptor_set(int fd, struct pqb_socket *socket);

void pqb_descriptor_watch(int fd, unsigned what);

/* Of a number with a socket. Taken away with it. */
void pqb_descriptor_follow(int fd, struct pqb_flow *flow);

/* SO_COOKIE, 0 if it is no socket. Keeps errno. */
uint64_t pqb_descriptor_cookie(int fd);

#endif
