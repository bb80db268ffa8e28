#include "conninfo/buffer.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Not realloc: it would leave what it moved from as it was. */
static int reserve(struct pqb_buffer *buffer, size_t more)
{
    if (buffer->is_failed)
        return -1;
    if (more < buffer->room - buffer->length)
        return 0;
    size_t room = buffer->room ? buffer->room : 64;
    while (room - buffer->length <= more && room <= SIZE_MAX / 4)
        room *= 2;
    char *bytes = room - buffer->length > more ? malloc(room) : NULL;
    if (!bytes) {
        buffer->is_failed = 1;
        return -1;
    }
    if (buffer->bytes)
        memcpy(bytes, buffer->bytes, buffer->length);
    struct pqb_buffer grown = {bytes, buffer->length, room, 0};
    bytes[buffer->length] = 0;
    pqb_buffer_clear(buffer);
    *buffer = grown;
    return 0;
}

void pqb_buffer_add_bytes(struct pqb_buffer *buffer, const char *bytes, size_t length)
{
    if (reserve(buffer, length))
        return;
    memcpy(buffer->bytes + buffer->length, bytes, length);
    buffer->length += length;
    buffer->bytes[buffer->length] = 0;
}

void pqb_buffer_add(struct pqb_buffer *buffer, const char *string)
{
    pqb_buffer_add_bytes(buffer, string, strlen(string));
}

void pqb_buffer_add_char(struct pqb_buffer *buffer, char c)
{
    pqb_buffer_add_bytes(buffer, &c, 1);
}

char *pqb_buffer_take(struct pqb_buffer *buffer)
{
    char *taken = NULL;
    pqb_buffer_add(buffer, "");
    if (buffer->is_failed)
        pqb_buffer_clear(buffer);
    else
        taken = buffer->bytes;
    *buffer = (struct pqb_buffer){NULL, 0, 0, 0};
    return taken;
}

void pqb_buffer_clear(struct pqb_buffer *buffer)
{
    if (buffer->bytes)
        explicit_bzero(buffer->bytes, buffer->length);
    free(buffer->bytes);
    *buffer = (struct pqb_buffer){NULL, 0, 0, 0};
}

void pqb_buffer_free(char *string)
{
    if (string)
        explicit_bzero(string, strlen(string));
    free(string);
}
