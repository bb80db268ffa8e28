/* A server and a ledger looked at together: every connection with its process and its claim. */
#ifndef PQB_TOOL_CHECKUP_H
#define PQB_TOOL_CHECKUP_H

#include "ledger/snapshot.h"
#include "tool/activity.h"
#include "tool/sockets.h"
#include "tool/why.h"

/* One connection. */
struct pqb_case {
    const struct pqb_backend *backend;
    const struct pqb_snapshot_claim *claim; /* NULL = it has none */
    const struct pqb_program *program;      /* NULL = no process of this machine was found */
    int64_t uid; /* whose process it is, also where that can't be seen; -1 = not known */
    enum pqb_why why;
};

struct pqb_checkup {
    char path[PQB_REGION_PATH]; /* of the ledger */
    char server[PQB_SERVER_KEY_SIZE];

    /* The ledger, if its status is PQB_OK; else `ledger_error` says what is wrong. */
    enum pqb_status ledger_status;
    struct pqb_error ledger_error;
    struct pqb_snapshot snapshot;
    unsigned row; /* the server's number in it, PQB_NIL = the ledger does not know it */

    /* The server, likewise. */
    enum pqb_status server_status;
    struct pqb_error server_error;
    struct pqb_activity activity;
    uint64_t asked_at_ns; /* just before it told the connections' ages; CLOCK_REALTIME */
    unsigned cases;       /* as many as the activity has backends */
    struct pqb_case *one;

    /* Numbers in the snapshot of the server's claims that have no backend among those. */
    unsigned alone;
    unsigned *claim;
    unsigned char *is_lost; /* of each of these: for certain, it was OPEN all the time */

    int has_sockets; /* else no process could be looked for */
    struct pqb_error sockets_error;
    unsigned programs;
    struct pqb_program *program; /* by pid */
};

/* Looks at both. `conninfo` as for pqb_database_open. PQB_INVALID if that makes no sense, and
 * PQB_NO_MEMORY; everything else is part of the answer. */
enum pqb_status pqb_checkup_make(const char *conninfo, const char *path,
                                 struct pqb_checkup *checkup, struct pqb_error *error)
    __attribute__((warn_unused_result));
void pqb_checkup_free(struct pqb_checkup *checkup);

/* The server as the ledger has it, NULL if it does not know it. */
const struct pqb_snapshot_server *pqb_checkup_server(const struct pqb_checkup *checkup);

#endif
