/*
 * A claim: one connection somebody holds or wants.
 *
 *     FREE → WAITING → GRANTED → CONNECTING → OPEN → DRAINING → GONE → FREE
 *
 * Granting is done by whoever dispatches, the other steps by the owner, each one compare-and-swap
 * that names the claim's generation. Giving back never waits for anybody.
 *
 * A claim is used by one thread at a time. In a forked child a claim of the parent's can be given
 * (for both) or dropped; in a vfork child nothing can be done with it.
 */
#ifndef PQB_LEDGER_CLAIM_H
#define PQB_LEDGER_CLAIM_H

#include "ledger/process.h"
#include "ledger/region.h"

struct pqb_claim {
    struct pqb_region *region; /* pinned; NULL = no claim */
    unsigned index;
    uint32_t generation;
};

struct pqb_claim_request {
    const char *server;                       /* the key: host:port */
    const char *app;                          /* the application's label */
    const struct pqb_server_config *defaults; /* of a server that has no row yet; NULL = ours */
    enum pqb_door door;
    uint32_t process_cap; /* connections this process may hold on that server; 0 = no cap */
    uint64_t network; /* the network namespace, of a key that means another server in another one
                         (localhost); 0 = it means the same everywhere */
    int rings_bell;   /* a grant rings this process's bell (wait.h) instead of one thread's */
};

/* Where in the tables the last request of this kind was found. Saves two searches; starts zeroed.
 */
struct pqb_claim_hints {
    _Atomic uint16_t server;
    _Atomic uint16_t app;
};

/* What is known once connected. Texts may be NULL. */
struct pqb_claim_peer {
    int32_t backend_pid; /* 0 or less = unknown */
    int is_local;        /* the server is on this machine, so that its backend may be seen */
    const char *user;
    const char *database;
    const char *application_name;
    const struct pqb_socket_place *place; /* its remote half; NULL = unknown */
};

enum pqb_claim_end {
    PQB_END_CLOSED,    /* closed, or never got as far as that */
    PQB_END_LEFT,      /* given up in the midst of its login, which the server goes on with */
    PQB_END_TIMED_OUT, /* waited in vain */
    PQB_END_REFUSED,   /* was not to wait, and there was no room */
};

/* Queues a claim; it may be granted at once. The region was checked a moment ago
 * (pqb_ledger_region does). PQB_OK, PQB_BUSY (guard not to be had by `deadline`), PQB_LOST (the
 * ledger was retired: open it anew), or a failure. */
enum pqb_status pqb_claim_submit(struct pqb_region *region, const struct pqb_process *self,
                                 const struct pqb_claim_request *request,
                                 struct pqb_claim_hints *hints, uint64_t deadline,
                                 struct pqb_claim *claim) __attribute__((warn_unused_result));

/* Takes up a grant: PQB_OK, and the caller may connect. PQB_WAITING or PQB_LOST else. It is a sign
 * of life: a claim that was passed over for want of one comes to its turn again. */
enum pqb_status pqb_claim_take(const struct pqb_claim *claim) __attribute__((warn_unused_result));

/* An OPEN one's connection is about to be made anew in its slot: which backend it has is not known
 * until pqb_claim_open says so, and one that is in the midst of logging in may be left behind. */
void pqb_claim_reset(const struct pqb_claim *claim);

/* Connected; or, if it is OPEN already, connected anew in its slot. PQB_LOST if the claim had been
 * freed meanwhile: the connection is over the budget. */
enum pqb_status pqb_claim_open(const struct pqb_claim *claim, const struct pqb_claim_peer *peer)
    __attribute__((warn_unused_result));

/* It waits, and its socket is connected already: the server has a process for it. */
void pqb_claim_connected(const struct pqb_claim *claim);

/* Connecting or connected by this socket, and by no other: it ends when the kernel knows the socket
 * no more, in whatever process it was closed last, and by whatever road. Without effect where the
 * kernel can't be asked for it: the life lock decides alone then. `cookie` is the socket's: what
 * the host has put at the number meanwhile is left alone. */
void pqb_claim_socket(const struct pqb_claim *claim, int fd, uint64_t cookie);

/* This process has closed the socket. Gives the claim back, or drops it if the socket lives on: in
 * a child or a parent, as a duplicate, passed on to somebody. */
void pqb_claim_closed(struct pqb_claim *claim);

/* Gives it back, in whatever state it is, and empties the handle. */
void pqb_claim_give(struct pqb_claim *claim, enum pqb_claim_end end);

/* Closes this process's copy of the life lock and empties the handle: the claim lives on as long
 * as another process (the parent, a child) has a copy. */
void pqb_claim_drop(struct pqb_claim *claim);

/* Where the claim is charged: its server's configuration, as it is now. */
struct pqb_server_config pqb_claim_config(const struct pqb_claim *claim);

#endif
