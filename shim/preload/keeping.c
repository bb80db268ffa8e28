#include "preload/keeping.h"

#include "ledger/wait.h"
#include "preload/giving.h"
#include "preload/holding.h"
#include "preload/side.h"

static void listen_to(struct pqb_keeping *wait, struct pqb_region *region)
{
    if (wait->region)
        return;
    pqb_region_pin(wait->region = region);
    wait->heard = atomic_load(pqb_wait_bell(region));
}

static void wait_for(struct pqb_keeping *wait, struct pqb_socket *socket)
{
    const struct pqb_claim *claim = pqb_socket_claim(socket);
    if (!pqb_holding_waits(socket) || !claim->region || pqb_region_check(claim->region))
        return;
    listen_to(wait, claim->region);
    unsigned server = claim->region->map->claim[claim->index].server, i = 0;
    while (i < wait->servers && wait->server[i] != server)
        i++;
    if (i == wait->servers && i < PQB_KEEPING_SERVERS)
        wait->server[wait->servers++] = server;
}

/* Those that are open: all are told before one answers, so that whoever asks for the next one knows
 * them. 0 if there are none, or only of a ledger that was given up. */
static int keep_open(struct pqb_keeping *wait)
{
    int is_asked = 0;
    const struct pqb_region *lost = NULL;
    pqb_giving_look_for_copies();
    for (struct pqb_socket *socket = pqb_sockets_first(); socket; socket = socket->next) {
        struct pqb_region *region =
            pqb_giving_may_be_asked(socket) ? pqb_socket_claim(socket)->region : NULL;
        if (!region || region == lost)
            continue;
        if (region != wait->region && pqb_region_check(region)) {
            lost = region;
            continue;
        }
        is_asked = 1;
        listen_to(wait, region);
        pqb_giving_tell(socket);
    }
    for (struct pqb_socket *socket = pqb_sockets_first(); socket && is_asked; socket = socket->next)
        if (pqb_giving_may_be_asked(socket) && pqb_socket_claim(socket)->region != lost)
            pqb_giving_answer(socket);
    return is_asked;
}

int pqb_keeping_round(struct pqb_keeping *wait)
{
    struct pqb_socket *next;
    *wait = (struct pqb_keeping){.flush = -1};
    pqb_side_sweep();
    for (struct pqb_socket *socket = pqb_sockets_first(); socket; socket = socket->next)
        wait_for(wait, socket);
    for (struct pqb_socket *socket = pqb_sockets_first(); socket; socket = next) {
        next = socket->next;
        wait->is_held |= pqb_holding_step(socket, &wait->flush);
    }
    return keep_open(wait) | wait->is_held;
}
