/* Who is behind each of a server's connections: the process of this machine that has the other end
 * of its socket, and the claim that the ledger has for it. */
#ifndef PQB_TOOL_TRACE_H
#define PQB_TOOL_TRACE_H

#include "ledger/snapshot.h"
#include "tool/activity.h"
#include "tool/sockets.h"

#define PQB_TRACE_NONE 0xffffffffu

/* Of the backend with the same number in the activity. */
struct pqb_trace {
    uint32_t inode; /* of its client's socket, if that is on this machine; 0 = not found */
    int32_t pid;    /* who has it; 0 = not to be seen */
    int64_t uid;    /* of that socket; -1 = not known */
    int is_far;     /* its client is on another machine, or in another network namespace */
    unsigned claim; /* number in the snapshot, PQB_TRACE_NONE */
};

/* `sockets` may be empty, `snapshot` as well; `server` is the server's number in it, PQB_NIL if it
 * has none. One for each backend, to be freed; NULL without memory. */
struct pqb_trace *pqb_trace_all(const struct pqb_activity *activity,
                                const struct pqb_sockets *sockets,
                                const struct pqb_snapshot *snapshot, unsigned server);

/* Does this machine have the server's end of our own connection? Then its loopback is ours. */
int pqb_trace_is_here(const struct pqb_activity *activity, const struct pqb_sockets *sockets);

#endif
