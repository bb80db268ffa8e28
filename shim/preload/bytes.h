/* Bytes on their way through a socket. */
#ifndef PQB_PRELOAD_BYTES_H
#define PQB_PRELOAD_BYTES_H

#include <stddef.h>
#include <sys/uio.h>

struct pqb_bytes {
    char *at;
    size_t length, capacity, gone; /* `gone` of `length` are sent or read already */
};

/* All of it, or nothing and 0 if there is no memory. */
int pqb_bytes_add(struct pqb_bytes *bytes, const void *from, size_t length);
int pqb_bytes_add_parts(struct pqb_bytes *bytes, const struct iovec *part, int parts);

/* Takes the first ones away. */
void pqb_bytes_drop(struct pqb_bytes *bytes, size_t length);

/* Passwords may be among them: they are wiped. */
void pqb_bytes_free(struct pqb_bytes *bytes);

size_t pqb_parts_length(const struct iovec *part, int parts);

/* The first bytes of what is there and of a write together. Returns how many. */
size_t pqb_bytes_peek(const struct pqb_bytes *bytes, const struct iovec *part, int parts, char *to,
                      size_t size);

#endif
