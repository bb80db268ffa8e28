/* The connected sockets of this machine, as the kernel tells anybody (sock_diag), and the processes
 * that have them, as far as we may look at those. Of this network namespace only. */
#ifndef PQB_TOOL_SOCKETS_H
#define PQB_TOOL_SOCKETS_H

#include "ledger/status.h"

#include <stdint.h>
#include <sys/un.h>

struct pqb_address {
    uint16_t family; /* AF_INET also for a v4-mapped one, AF_INET6; 0 = none */
    uint16_t port;   /* host byte order */
    uint32_t word[4];
};

struct pqb_sockets_tcp {
    struct pqb_address local, remote;
    uint32_t inode; /* 0 = closed by all, and the kernel still says goodbye to the other end */
    uint32_t uid;
    int is_over; /* one of its ends has been closed */
};

struct pqb_sockets_local {
    uint32_t inode;
    uint32_t peer;                             /* the inode at the other end */
    char name[sizeof(struct sockaddr_un) + 1]; /* "" = none: most likely a client's */
};

struct pqb_sockets_owner {
    uint32_t inode;
    int32_t pid;
};

struct pqb_sockets {
    unsigned tcps, locals, owners;
    struct pqb_sockets_tcp *tcp;     /* by their local address */
    struct pqb_sockets_local *local; /* by their inode */
    struct pqb_sockets_owner *owner; /* by inode, then pid */
};

/* Looks at all of them. On failure there is nothing to free; PQB_SYSTEM if the kernel does not say.
 */
enum pqb_status pqb_sockets_take(struct pqb_sockets *sockets, struct pqb_error *error)
    __attribute__((warn_unused_result));

/* Asks again, and drops what has gone: whoever had the rest was looked for while he had it. */
enum pqb_status pqb_sockets_last(struct pqb_sockets *sockets, struct pqb_error *error)
    __attribute__((warn_unused_result));

void pqb_sockets_free(struct pqb_sockets *sockets);

/* The address that a numeric text means; family 0 if it means none. */
struct pqb_address pqb_address_of(const char *text, unsigned port);
int pqb_address_is(const struct pqb_address *one, const struct pqb_address *other);

/* Is it of the loopback, or the address of one of this machine's interfaces? */
int pqb_address_is_here(const struct pqb_address *address);

/* The TCP sockets of a local address and port lie together; their number, from *first on. */
unsigned pqb_sockets_at(const struct pqb_sockets *sockets, const struct pqb_address *local,
                        const struct pqb_sockets_tcp **first);

/* The other end of a connection within this machine, NULL if there is none. */
const struct pqb_sockets_tcp *pqb_sockets_opposite(const struct pqb_sockets *sockets,
                                                   const struct pqb_sockets_tcp *socket);

/* Who has this socket lies together likewise: a forked child has it as well. */
unsigned pqb_sockets_owners(const struct pqb_sockets *sockets, uint32_t inode,
                            const struct pqb_sockets_owner **first);

/* The oldest of them by number, 0 if none can be seen. */
int32_t pqb_sockets_owner(const struct pqb_sockets *sockets, uint32_t inode);

#endif
