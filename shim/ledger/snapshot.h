/* A consistent copy of the ledger for whoever reads it. Never takes the guard, never waits for
 * anybody, and gives up consistency rather than time. Allocates: not for use inside the guard. */
#ifndef PQB_LEDGER_SNAPSHOT_H
#define PQB_LEDGER_SNAPSHOT_H

#include "ledger/region.h"

struct pqb_snapshot_claim {
    unsigned index;
    enum pqb_claim_state state; /* WAITING to DRAINING */
    enum pqb_door door;
    unsigned server; /* number in the snapshot's servers */
    int app;         /* number in the snapshot's apps, -1 = none */
    int in_slack;    /* a drainer that blocks nobody: not counted as used */
    uint64_t ticket;
    uint64_t process;
    int32_t pid;
    int32_t backend_pid;    /* 0 = unknown */
    uint64_t age_ns;        /* since it was asked for */
    uint64_t state_ns;      /* since its state began */
    uint64_t wait_ns;       /* in the queue, also if it is still there */
    uint64_t socket_cookie; /* of the socket door's: 0 = not known, and then there is no place */
    struct pqb_socket_place socket_place;
    unsigned session;  /* enum pqb_session_state, as it was last told; what follows is as old */
    uint64_t idle_ns;  /* for so long it was not used, or longer */
    uint64_t yield_ns; /* after so long it may be asked for; 0 = never */
    char application_name[65];
    char user[41];
    char database[41];
    char command[57];
};

struct pqb_snapshot_app {
    unsigned server;
    char label[PQB_LABEL_BYTES + 1];
    uint32_t limit; /* PQB_UNLIMITED = none */
    uint32_t min;
    uint32_t used, waiting;
};

struct pqb_snapshot_server {
    char key[PQB_KEY_BYTES + 1];
    struct pqb_server_config config;
    uint32_t used; /* granted, connecting, open, and draining ones that are not in slack */
    uint32_t waiting, draining, peak;
    uint64_t granted_total, timeout_total, refused_total, reaped_total, yielded_total;
    uint64_t wait_ns_total;
    uint64_t wait_bucket[PQB_WAIT_BUCKETS];
};

struct pqb_snapshot {
    char path[PQB_REGION_PATH];
    uint64_t created_at_ns; /* the ledger; CLOCK_REALTIME */
    int consistent; /* no grant happened while it was copied: the counts held at one instant */
    unsigned servers, apps, claims;
    struct pqb_snapshot_server *server;
    struct pqb_snapshot_app *app;
    struct pqb_snapshot_claim *claim; /* by server, then ticket */
};

/* Looks for the dead first (tick.h), so that what it shows is alive. PQB_OK, PQB_NO_MEMORY, or what
 * pqb_region_check says. */
enum pqb_status pqb_snapshot_take(struct pqb_region *region, struct pqb_snapshot *snapshot)
    __attribute__((warn_unused_result));
void pqb_snapshot_free(struct pqb_snapshot *snapshot);

/* "waiting", "granted", "connecting", "open", "draining". */
const char *pqb_claim_state_name(enum pqb_claim_state state);
const char *pqb_door_name(enum pqb_door door);

/* "active", "idle in transaction", "idle"; of one that stays, why: "encrypted", "LISTEN". NULL of
 * one that nobody follows. */
const char *pqb_session_name(unsigned session);

#endif
