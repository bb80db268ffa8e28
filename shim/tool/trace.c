#include "tool/trace.h"

#include "ledger/backend.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct search {
    const struct pqb_activity *activity;
    const struct pqb_sockets *sockets;
    const struct pqb_snapshot *snapshot;
    unsigned server;
    int is_here;
    char *is_taken; /* of each claim: it has its backend */
    struct pqb_trace *trace;
};

int pqb_trace_is_here(const struct pqb_activity *activity, const struct pqb_sockets *sockets)
{
    const struct pqb_sockets_tcp own = {.local = activity->own, .remote = activity->own_peer};
    if (!activity->own_peer.family)
        return 1; /* a Unix socket */
    return pqb_sockets_opposite(sockets, &own) != NULL;
}

/* ---- by the server's own descriptors, where we may see them: this is exact ---- */

/* Which of the backends has that socket; NULL if none that we know and that is no other server's.
 */
static struct pqb_backend *backend_of(const struct search *search, uint32_t inode)
{
    const struct pqb_sockets_owner *owner;
    for (unsigned count = pqb_sockets_owners(search->sockets, inode, &owner); count--; owner++) {
        struct pqb_backend *backend = pqb_activity_find(search->activity, owner->pid);
        if (backend && pqb_backend_start(owner->pid))
            return backend;
    }
    return NULL;
}

static struct pqb_trace *trace_of(const struct search *search, const struct pqb_backend *backend)
{
    return &search->trace[backend - search->activity->backend];
}

static void take_client(struct pqb_trace *trace, const struct pqb_sockets_tcp *client)
{
    trace->inode = client->inode;
    trace->uid = client->inode ? (int64_t)client->uid : -1;
}

static void trace_tcp_ends(const struct search *search)
{
    for (unsigned i = 0; i < search->sockets->tcps; i++) {
        const struct pqb_sockets_tcp *end = &search->sockets->tcp[i], *other;
        if (end->local.port != search->activity->port)
            continue;
        const struct pqb_backend *backend = backend_of(search, end->inode);
        if (!backend || !(backend->is_hidden || pqb_address_is(&backend->client, &end->remote)))
            continue;
        other = pqb_sockets_opposite(search->sockets, end);
        if (other)
            take_client(trace_of(search, backend), other);
        else if (backend->is_hidden)
            trace_of(search, backend)->is_far = !pqb_address_is_here(&end->remote);
    }
}

static void trace_unix_ends(const struct search *search)
{
    for (unsigned i = 0; i < search->sockets->locals; i++) {
        const struct pqb_sockets_local *end = &search->sockets->local[i];
        if (!end->peer || !pqb_activity_is_socket(search->activity, end->name))
            continue;
        const struct pqb_backend *backend = backend_of(search, end->inode);
        if (backend && (backend->is_unix || backend->is_hidden))
            trace_of(search, backend)->inode = end->peer;
    }
}

/* ---- by what the server says of its clients ---- */

/* A client's address and port may be another server's client's too: it is the address it leads to
 * that tells them apart, and where that is none of those we know, nothing does. */
static const struct pqb_sockets_tcp *client_at(const struct search *search,
                                               const struct pqb_address *client)
{
    const struct pqb_activity *activity = search->activity;
    const struct pqb_sockets_tcp *at, *hit = NULL;
    unsigned hits = 0;
    for (unsigned count = pqb_sockets_at(search->sockets, client, &at); count--; at++) {
        if (pqb_address_is(&at->remote, &activity->own_peer))
            return at;
        if (at->remote.port != activity->port && at->remote.port != activity->own_peer.port)
            continue;
        hit = at;
        hits++;
    }
    return hits == 1 ? hit : NULL;
}

static int is_far(const struct search *search, const struct pqb_backend *backend)
{
    const struct pqb_address *client = &backend->client;
    if (backend->is_hidden)
        return 0;
    if (backend->is_unix || (client->family == AF_INET && ntohl(client->word[0]) >> 24 == 127))
        return !search->is_here;
    struct pqb_address loopback = pqb_address_of("::1", client->port);
    if (pqb_address_is(client, &loopback))
        return !search->is_here;
    return !pqb_address_is_here(client);
}

static void trace_clients(const struct search *search)
{
    for (unsigned i = 0; i < search->activity->backends; i++) {
        const struct pqb_backend *backend = &search->activity->backend[i];
        struct pqb_trace *trace = &search->trace[i];
        if (backend->inode)
            trace->inode = backend->inode;
        if (trace->inode)
            continue;
        trace->is_far |= is_far(search, backend);
        const struct pqb_sockets_tcp *client = NULL;
        if (!trace->is_far && backend->client.family)
            client = client_at(search, &backend->client);
        if (client)
            take_client(trace, client);
    }
}

/* ---- claims ---- */

/* Is the claim's socket the one that the backend was found to have, or said to have? */
static int is_at(const struct search *search, const struct pqb_snapshot_claim *claim,
                 const struct pqb_backend *backend, const struct pqb_trace *trace)
{
    const struct pqb_socket_place *place = &claim->socket_place;
    if (!claim->socket_cookie)
        return 0;
    if (place->family == AF_UNIX)
        return trace->inode && place->local[0] == trace->inode;
    unsigned port = ntohs(place->remote_port);
    return place->family == backend->client.family &&
           ntohs(place->local_port) == backend->client.port &&
           !memcmp(place->local, backend->client.word, sizeof place->local) &&
           (port == search->activity->port || port == search->activity->own_peer.port);
}

/* A forked child has its parent's sockets as well. */
static int is_behind(const struct search *search, const struct pqb_trace *trace, int32_t pid)
{
    const struct pqb_sockets_owner *owner;
    for (unsigned count = pqb_sockets_owners(search->sockets, trace->inode, &owner); count--;
         owner++)
        if (owner->pid == pid)
            return 1;
    return pid && trace->pid == pid;
}

/* The ways to know a claim, the surest first. Another row than the server's may be the same server
 * under another name: there the process must agree as well. */
static int knows(const struct search *search, unsigned way, const struct pqb_snapshot_claim *claim,
                 const struct pqb_backend *backend, const struct pqb_trace *trace)
{
    int is_own = claim->server == search->server;
    switch (way) {
    case 0:
        return backend->pid && claim->backend_pid == backend->pid &&
               (is_own || is_behind(search, trace, claim->pid));
    case 1:
        return is_at(search, claim, backend, trace) &&
               (is_own || is_behind(search, trace, claim->pid));
    default: /* the claim does not know its backend yet, or never will; or we don't */
        return is_own && (claim->backend_pid <= 0 || !backend->pid) && !claim->socket_cookie &&
               claim->state != PQB_CLAIM_WAITING && is_behind(search, trace, claim->pid);
    }
}
#define WAYS 3

static unsigned find_claim(const struct search *search, unsigned way, unsigned number)
{
    for (unsigned i = 0; i < search->snapshot->claims; i++)
        if (!search->is_taken[i] &&
            knows(search, way, &search->snapshot->claim[i], &search->activity->backend[number],
                  &search->trace[number]))
            return i;
    return PQB_TRACE_NONE;
}

static void match_claims(const struct search *search)
{
    for (unsigned way = 0; way < WAYS; way++)
        for (unsigned i = 0; i < search->activity->backends; i++) {
            struct pqb_trace *trace = &search->trace[i];
            if (trace->claim != PQB_TRACE_NONE)
                continue;
            trace->claim = find_claim(search, way, i);
            if (trace->claim == PQB_TRACE_NONE)
                continue;
            int32_t holder = search->snapshot->claim[trace->claim].pid;
            search->is_taken[trace->claim] = 1;
            if (!trace->pid || is_behind(search, trace, holder))
                trace->pid = holder;
        }
}

/* ---- by elimination ---- */

static int is_traced(const struct search *search, uint32_t inode)
{
    for (unsigned i = 0; i < search->activity->backends; i++)
        if (search->trace[i].inode == inode)
            return 1;
    return 0;
}

/* Who is at the server's Unix sockets, one entry for each that no backend was found to have. */
static unsigned collect_owners(const struct search *search, int32_t *owner)
{
    unsigned count = 0;
    for (unsigned i = 0; i < search->sockets->locals; i++) {
        const struct pqb_sockets_local *end = &search->sockets->local[i];
        if (!end->peer || !pqb_activity_is_socket(search->activity, end->name) ||
            is_traced(search, end->peer))
            continue;
        owner[count] = pqb_sockets_owner(search->sockets, end->peer);
        count += owner[count] != (int32_t)getpid(); /* our own connection */
    }
    return count;
}

/* A process that is known by its claim has one of them. */
static unsigned strike_out(int32_t *owner, unsigned count, int32_t pid)
{
    for (unsigned i = 0; i < count; i++)
        if (owner[i] == pid) {
            owner[i] = owner[--count];
            break;
        }
    return count;
}

/* Who is left is behind the backends that are left, if it is one process only: more can't be told
 * where the server's descriptors are not for us to see. */
static void trace_the_rest(const struct search *search)
{
    int32_t *owner = calloc(search->sockets->locals + 1u, sizeof *owner);
    unsigned wanted = 0, count = owner ? collect_owners(search, owner) : 0;
    for (unsigned i = 0; i < search->activity->backends; i++) {
        const struct pqb_trace *trace = &search->trace[i];
        if (!search->activity->backend[i].is_unix || trace->inode)
            continue;
        if (trace->pid)
            count = strike_out(owner, count, trace->pid);
        else
            wanted++;
    }
    int is_one = wanted && wanted == count;
    for (unsigned i = 1; is_one && i < count; i++)
        is_one = owner[i] == owner[0];
    for (unsigned i = 0; is_one && i < search->activity->backends; i++) {
        struct pqb_trace *trace = &search->trace[i];
        if (search->activity->backend[i].is_unix && !trace->inode && !trace->pid)
            trace->pid = *owner;
    }
    free(owner);
}

/* ---- all of it ---- */

static void trace_sockets(const struct search *search)
{
    if (search->is_here) {
        trace_tcp_ends(search);
        trace_unix_ends(search);
    }
    trace_clients(search);
    for (unsigned i = 0; i < search->activity->backends; i++)
        search->trace[i].pid = pqb_sockets_owner(search->sockets, search->trace[i].inode);
}

struct pqb_trace *pqb_trace_all(const struct pqb_activity *activity,
                                const struct pqb_sockets *sockets,
                                const struct pqb_snapshot *snapshot, unsigned server)
{
    struct search search = {
        .activity = activity,
        .sockets = sockets,
        .snapshot = snapshot,
        .server = server,
        .is_here = pqb_trace_is_here(activity, sockets),
        .is_taken = calloc(snapshot->claims + 1u, 1),
        .trace = calloc(activity->backends + 1u, sizeof *search.trace),
    };
    if (search.is_taken && search.trace) {
        for (unsigned i = 0; i < activity->backends; i++)
            search.trace[i] = (struct pqb_trace){.uid = -1, .claim = PQB_TRACE_NONE};
        trace_sockets(&search);
        match_claims(&search);
        if (search.is_here)
            trace_the_rest(&search);
    } else {
        free(search.trace);
        search.trace = NULL;
    }
    free(search.is_taken);
    return search.trace;
}
