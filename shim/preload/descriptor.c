#include "preload/descriptor.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>

#define CHUNK 64u

_Atomic unsigned char pqb_descriptor_marks[PQB_DESCRIPTORS];

/* Made as they are needed, never freed. Read without the lock, too. */
struct chunk {
    _Atomic unsigned used;
    struct pqb_socket *_Atomic socket[CHUNK];
    struct pqb_flow *_Atomic flow[CHUNK];
};
static struct chunk *_Atomic chunks[PQB_DESCRIPTORS / CHUNK];
static _Atomic unsigned chunks_end; /* none is made behind it */

static struct chunk *chunk_of(int fd)
{
    return (unsigned)fd < PQB_DESCRIPTORS ? atomic_load(&chunks[(unsigned)fd / CHUNK]) : NULL;
}

struct pqb_socket *pqb_descriptor_socket(int fd)
{
    const struct chunk *chunk = chunk_of(fd);
    return chunk ? chunk->socket[(unsigned)fd % CHUNK] : NULL;
}

struct pqb_flow *pqb_descriptor_flow(int fd)
{
    struct chunk *chunk = chunk_of(fd);
    return chunk ? atomic_load(&chunk->flow[(unsigned)fd % CHUNK]) : NULL;
}

void pqb_descriptor_follow(int fd, struct pqb_flow *flow)
{
    struct chunk *chunk = chunk_of(fd);
    if (chunk)
        atomic_store(&chunk->flow[(unsigned)fd % CHUNK], flow);
}

int pqb_descriptor_set(int fd, struct pqb_socket *socket)
{
    if ((unsigned)fd >= PQB_DESCRIPTORS)
        return 0;
    unsigned number = (unsigned)fd / CHUNK;
    struct chunk *chunk = chunks[number];
    if (!chunk) {
        if (!socket)
            return 1;
        chunk = calloc(1, sizeof *chunk);
        if (!chunk)
            return 0;
        atomic_store(&chunks[number], chunk);
        if (number >= chunks_end)
            chunks_end = number + 1;
    }
    struct pqb_socket *_Atomic *place = &chunk->socket[(unsigned)fd % CHUNK];
    chunk->used += (unsigned)(socket != NULL) - (unsigned)(*place != NULL);
    *place = socket;
    if (!socket) {
        pqb_descriptor_watch(fd, 0);
        pqb_descriptor_follow(fd, NULL);
    }
    return 1;
}

void pqb_descriptor_watch(int fd, unsigned what)
{
    if ((unsigned)fd < PQB_DESCRIPTORS)
        pqb_descriptor_marks[fd] = (unsigned char)what;
}

int pqb_descriptor_next(int fd, unsigned last)
{
    for (unsigned at = fd < 0 ? 0 : (unsigned)fd; at <= last && at / CHUNK < chunks_end; at++) {
        const struct chunk *chunk = chunks[at / CHUNK];
        if (!chunk || !chunk->used)
            at |= CHUNK - 1;
        else if (chunk->socket[at % CHUNK])
            return (int)at;
    }
    return -1;
}

uint64_t pqb_descriptor_cookie(int fd)
{
    uint64_t cookie = 0;
    socklen_t size = sizeof cookie;
    int saved = errno;
    if (getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &size))
        cookie = 0;
    errno = saved;
    return cookie;
}
