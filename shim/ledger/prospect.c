#include "ledger/prospect.h"

#include "ledger/account.h"
#include "ledger/admission.h"
#include "ledger/os.h"
#include "ledger/registry.h"

#include <string.h>

static unsigned server_of(const struct pqb_layout *map, const struct pqb_claim_request *request)
{
    unsigned server =
        pqb_registry_resolve_in(map, request->server, request->network, PQB_NIL, pqb_now());
    return server < PQB_SERVERS ? server : PQB_NIL;
}

int pqb_prospect_waits(const struct pqb_region *region, const struct pqb_process *self,
                       const struct pqb_claim_request *request)
{
    const struct pqb_layout *map = region->map;
    unsigned server = server_of(map, request);
    enum pqb_booked pool;
    if (server == PQB_NIL)
        return 0;
    struct pqb_claim_row claim = {
        .server = (uint16_t)server,
        .app = (uint16_t)pqb_registry_app(map, server, request->app, PQB_NIL),
        .account = (uint16_t)pqb_account_look(map, self->id, server),
        .process_cap = request->process_cap,
    };
    return map->server[server].waiting || pqb_admission_obstacle(map, &claim, &pool);
}

unsigned pqb_prospect_held(const struct pqb_region *region, const struct pqb_process *self,
                           const struct pqb_claim_request *request)
{
    const struct pqb_layout *map = region->map;
    unsigned server = server_of(map, request);
    unsigned account = server == PQB_NIL ? PQB_NIL : pqb_account_look(map, self->id, server);
    return account < PQB_CLAIMS ? map->account[account].held : 0;
}

/* One of libpq's has its place when it is open, a socket when it is connected. */
static int leads_there(const struct pqb_claim_row *row, unsigned server,
                       const struct pqb_socket_place *place)
{
    const struct pqb_socket_place *its = &row->socket_place;
    enum pqb_claim_state state = pqb_ctl_state(atomic_load(&row->ctl));
    return row->server == server &&
           (state == PQB_CLAIM_OPEN ||
            (state == PQB_CLAIM_CONNECTING && atomic_load(&row->socket_cookie))) &&
           its->family == place->family && its->remote_port == place->remote_port &&
           its->network == place->network &&
           !memcmp(its->remote, place->remote, sizeof its->remote);
}

int pqb_prospect_is_answered(const struct pqb_region *region,
                             const struct pqb_claim_request *request,
                             const struct pqb_socket_place *place)
{
    const struct pqb_layout *map = region->map;
    unsigned server = server_of(map, request);
    for (unsigned group = 0; group < PQB_GROUPS && server != PQB_NIL; group++) {
        uint64_t busy = atomic_load(&map->header.busy[group]);
        for (; busy; busy &= busy - 1)
            if (leads_there(&map->claim[group * PQB_GROUP_CLAIMS + (unsigned)__builtin_ctzll(busy)],
                            server, place))
                return 1;
    }
    return 0;
}
