#include "preload/bytes.h"

#include <stdlib.h>
#include <string.h>

int pqb_bytes_add(struct pqb_bytes *bytes, const void *from, size_t length)
{
    struct pqb_bytes fresh = *bytes;
    if (!length)
        return 1;
    if (bytes->length + length > bytes->capacity) {
        fresh.capacity = 2 * (bytes->length + length);
        fresh.at = malloc(fresh.capacity);
        if (!fresh.at)
            return 0;
        if (bytes->length)
            memcpy(fresh.at, bytes->at, bytes->length);
        pqb_bytes_free(bytes);
        *bytes = fresh;
    }
    memcpy(bytes->at + bytes->length, from, length);
    bytes->length += length;
    return 1;
}

void pqb_bytes_drop(struct pqb_bytes *bytes, size_t length)
{
    memmove(bytes->at, bytes->at + length, bytes->length - length);
    bytes->length -= length;
}

void pqb_bytes_free(struct pqb_bytes *bytes)
{
    if (bytes->at)
        explicit_bzero(bytes->at, bytes->capacity);
    free(bytes->at);
    *bytes = (struct pqb_bytes){0};
}

size_t pqb_parts_length(const struct iovec *part, int parts)
{
    size_t length = 0;
    for (int i = 0; i < parts; i++)
        length += part[i].iov_len;
    return length;
}

int pqb_bytes_add_parts(struct pqb_bytes *bytes, const struct iovec *part, int parts)
{
    size_t before = bytes->length;
    for (int i = 0; i < parts; i++)
        if (!pqb_bytes_add(bytes, part[i].iov_base, part[i].iov_len)) {
            bytes->length = before;
            return 0;
        }
    return 1;
}

size_t pqb_bytes_peek(const struct pqb_bytes *bytes, const struct iovec *part, int parts, char *to,
                      size_t size)
{
    size_t length = bytes->length < size ? bytes->length : size;
    if (length)
        memcpy(to, bytes->at, length);
    for (int i = 0; i < parts && length < size; i++) {
        size_t more = part[i].iov_len < size - length ? part[i].iov_len : size - length;
        memcpy(to + length, part[i].iov_base, more);
        length += more;
    }
    return length;
}
