/* What a claim would meet if it were asked for now. For any process at any moment: takes no lock
 * and changes nothing; a guess, as things may have changed when the claim is asked for. The region
 * was checked a moment ago. */
#ifndef PQB_LEDGER_PROSPECT_H
#define PQB_LEDGER_PROSPECT_H

#include "ledger/claim.h"

/* Whether it would have to wait. */
int pqb_prospect_waits(const struct pqb_region *region, const struct pqb_process *self,
                       const struct pqb_claim_request *request);

/* How many of the server's connections this process holds: granted, connecting, open. */
unsigned pqb_prospect_held(const struct pqb_region *region, const struct pqb_process *self,
                           const struct pqb_claim_request *request);

/* Whether a connection to that very place is open now, or was accepted and logs in: a server
 * answers there. */
int pqb_prospect_is_answered(const struct pqb_region *region,
                             const struct pqb_claim_request *request,
                             const struct pqb_socket_place *place);

#endif
