#include "preload/peer.h"

#include "conninfo/server.h"
#include "ledger/diag.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

union address {
    struct sockaddr any;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    struct sockaddr_storage storage;
};

/* A connection from an address to itself stays on the machine. */
static int is_same_host(const union address *one, const union address *other)
{
    if (one->any.sa_family != other->any.sa_family)
        return 0;
    if (one->any.sa_family == AF_INET)
        return one->in.sin_addr.s_addr == other->in.sin_addr.s_addr;
    return !memcmp(&one->in6.sin6_addr, &other->in6.sin6_addr, sizeof one->in6.sin6_addr);
}

static void look_at(int fd, struct pqb_peer *peer)
{
    union address its = {0}, own = {0};
    socklen_t length = sizeof its, own_length = sizeof own;
    if (getpeername(fd, &its.any, &length))
        return;
    if (!pqb_diag_towards(fd, &its.any, length, &peer->place))
        peer->place.family = 0;
    char key[PQB_KEY_BYTES];
    if (!pqb_server_key_of_address(key, sizeof key, &its.any, length) &&
        strlen(key) < sizeof peer->address)
        memcpy(peer->address, key, strlen(key) + 1);
    peer->is_local = its.any.sa_family == AF_UNIX ||
                     (!getsockname(fd, &own.any, &own_length) && is_same_host(&its, &own));
}

void pqb_peer_of(int fd, struct pqb_peer *peer)
{
    int saved = errno;
    *peer = (struct pqb_peer){0};
    if (fd >= 0)
        look_at(fd, peer);
    errno = saved;
}
