/* What the foreign parameters of a string asked for that a program has parsed by itself, until it
 * connects with what it got. A few of them; nothing secret. */
#ifndef PQB_PRELOAD_MEMORY_H
#define PQB_PRELOAD_MEMORY_H

#include "conninfo/clean.h"

/* Keeps it under the host, port, database and user that the string says, if it asked for anything.
 */
void pqb_memory_keep(const struct pqb_params *params, const struct pqb_wishes *wishes);

/* Puts it where `wishes` say nothing themselves. */
void pqb_memory_recall(const struct pqb_params *params, struct pqb_wishes *wishes);

#endif
