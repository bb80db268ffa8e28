/* What a server says of itself and of who is connected to it: pg_stat_activity and a few settings.
 * The tool's own connection is left out. */
#ifndef PQB_TOOL_ACTIVITY_H
#define PQB_TOOL_ACTIVITY_H

#include "tool/database.h"
#include "tool/sockets.h"

#define PQB_ACTIVITY_NAME 64 /* as long as PostgreSQL's own names, with its end */
#define PQB_ACTIVITY_UNTOLD (-1ll)

struct pqb_backend {
    int32_t pid;               /* 0 = the server did not tell: only the socket was seen */
    int is_hidden;             /* another role's, and ours may not see more than whose it is */
    int is_unix;               /* its client came through a Unix socket */
    struct pqb_address client; /* of TCP; family 0 = none, or hidden */
    char client_text[48];
    uint32_t inode; /* of its client's socket, where that is seen; else 0 */
    char database[PQB_ACTIVITY_NAME], user[PQB_ACTIVITY_NAME], name[PQB_ACTIVITY_NAME];
    char state[32];             /* "" = hidden */
    long long age_ms, state_ms; /* since it began, since its state did; or PQB_ACTIVITY_UNTOLD */
};

struct pqb_activity {
    char version[32], role[PQB_ACTIVITY_NAME];
    uint32_t max_connections;
    uint32_t reserved;                /* of these, for superusers and the like */
    unsigned port;                    /* that it listens at */
    char folders[512];                /* of its Unix sockets, with commas; "" = it does not say */
    int is_pooled;                    /* a pooler stands between it and us */
    struct pqb_address own, own_peer; /* of our own connection; family 0 = a Unix socket */
    unsigned total;                   /* connections, when it was asked last */
    unsigned backends;                /* of these: all, or those that have lasted */
    struct pqb_backend *backend;      /* by pid */
};

/* On failure there is nothing to free. */
enum pqb_status pqb_activity_take(struct pqb_database *database, struct pqb_activity *activity,
                                  struct pqb_error *error) __attribute__((warn_unused_result));

/* Asks again, and drops who has gone: what happened in between happened in the sight of those who
 * are left. */
enum pqb_status pqb_activity_last(struct pqb_database *database, struct pqb_activity *activity,
                                  struct pqb_error *error) __attribute__((warn_unused_result));

/* What this machine's sockets tell of a server at that port that can't be asked. It is not much:
 * whom they lead to. PQB_OK or PQB_NO_MEMORY. */
enum pqb_status pqb_activity_of_sockets(const struct pqb_sockets *sockets, unsigned port,
                                        struct pqb_activity *activity)
    __attribute__((warn_unused_result));

/* Is that the name of a Unix socket that the server listens at? In any folder, if it does not say
 * which are its own. */
int pqb_activity_is_socket(const struct pqb_activity *activity, const char *name);

/* NULL if there is none. */
struct pqb_backend *pqb_activity_find(const struct pqb_activity *activity, int32_t pid);

void pqb_activity_free(struct pqb_activity *activity);

#endif
