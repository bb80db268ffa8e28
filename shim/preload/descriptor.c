#include "preload/descriptor.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#define CHUNK 256u

_Atomic unsigned char pqb_descriptor_marks[PQB_DESCRIPTORS];

/* Made as they are needed, never freed. */
struct chunk {
    unsigned used;
    struct pqb_socket *socket[CHUNK];
};
static struct chunk *chunks[PQB_DESCRIPTORS / CHUNK];
static unsigned chunks_end; /* none is made behind it */

struct pqb_socket *pqb_descriptor_socket(int fd)
{
    if ((unsigned)fd >= PQB_DESCRIPTORS)
        return NULL;
    const struct chunk *chunk = chunks[(unsigned)fd / CHUNK];
    return chunk ? chunk->socket[(unsigned)fd % CHUNK] : NULL;
}

int pqb_descriptor_set(int fd, struct pqb_socket *socket)
{
    if ((unsigned)fd >= PQB_DESCRIPTORS)
        return 0;
    unsigned number = (unsigned)fd / CHUNK;
    if (!chunks[number]) {
        if (!socket)
            return 1;
        chunks[number] = calloc(1, sizeof *chunks[number]);
        if (!chunks[number])
            return 0;
        if (number >= chunks_end)
            chunks_end = number + 1;
    }
    struct pqb_socket **place = &chunks[number]->socket[(unsigned)fd % CHUNK];
    chunks[number]->used += (unsigned)(socket != NULL) - (unsigned)(*place != NULL);
    *place = socket;
    if (!socket)
        pqb_descriptor_watch(fd, 0);
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
