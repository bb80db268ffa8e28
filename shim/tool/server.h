/* One server of the ledger, by the name a person gives it. */
#ifndef PQB_TOOL_SERVER_H
#define PQB_TOOL_SERVER_H

#include "ledger/steer.h"
#include "tool/call.h"

#define PQB_SERVER_TEXT (PQB_KEY_BYTES + 1)

/* Number of the row that a key or alias means; NULL is the only server. PQB_NIL if there is none.
 */
unsigned pqb_server_find(const struct pqb_region *region, const char *key);

/* Its key, "" if the row is empty. */
void pqb_server_text(const struct pqb_region *region, unsigned server, char key[PQB_SERVER_TEXT]);

/* Its configuration, on stdout in one line. */
void pqb_server_print(const struct pqb_region *region, const char *key);

/* Changes the call's ledger, and reports what is wrong. A server that is named and may be made is
 * made in a new ledger, if need be. `prints`: says on stdout what the server is like then. */
enum pqb_exit pqb_server_steer(const struct pqb_call *call, const struct pqb_steer *steer,
                               int prints);

#endif
