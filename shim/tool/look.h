/* One look at the ledger: a copy of it, and the one server in it that is asked for. */
#ifndef PQB_TOOL_LOOK_H
#define PQB_TOOL_LOOK_H

#include "ledger/os.h"
#include "ledger/snapshot.h"
#include "tool/call.h"

/* How well: what the books have; or also what the sessions are doing now, for which those who
 * follow theirs are asked first and given PQB_LOOK_PATIENCE to answer. Where nobody does, it is the
 * same. */
enum pqb_look_depth { PQB_LOOK_BOOKS, PQB_LOOK_SESSIONS };
#define PQB_LOOK_PATIENCE (5 * PQB_MS)

/* Copies the ledger at `path`. *only is the number in the copy of the server that a key or alias
 * means; PQB_NIL if `server` is NULL, or the ledger does not know it. On failure there is no copy
 * to free. */
enum pqb_status pqb_look(const char *path, const char *server, enum pqb_look_depth depth,
                         struct pqb_snapshot *snapshot, unsigned *only, struct pqb_error *error)
    __attribute__((warn_unused_result));

/* The same, where a server that is named and not known is PQB_INVALID. */
enum pqb_status pqb_look_at(const char *path, const char *server, enum pqb_look_depth depth,
                            struct pqb_snapshot *snapshot, unsigned *only, struct pqb_error *error)
    __attribute__((warn_unused_result));

/* The same for the books of a call's ledger; reports what is wrong. */
enum pqb_exit pqb_look_for(const struct pqb_call *call, const char *server,
                           struct pqb_snapshot *snapshot, unsigned *only);

#endif
