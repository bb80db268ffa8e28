/* A growing string. Out of memory is remembered, so that only the end need ask. Wiped when it is
 * freed: there may be a password in it. */
#ifndef PQB_CONNINFO_BUFFER_H
#define PQB_CONNINFO_BUFFER_H

#include <stddef.h>

struct pqb_buffer {
    char *bytes; /* NULL, or with a zero behind the last byte */
    size_t length, room;
    int is_failed;
};

void pqb_buffer_add_bytes(struct pqb_buffer *buffer, const char *bytes, size_t length);
void pqb_buffer_add(struct pqb_buffer *buffer, const char *string);
void pqb_buffer_add_char(struct pqb_buffer *buffer, char c);

/* Hands the string over, "" if nothing was added; NULL if there was no memory. The buffer is empty
 * then. */
char *pqb_buffer_take(struct pqb_buffer *buffer);

/* Wipes and frees. */
void pqb_buffer_clear(struct pqb_buffer *buffer);

/* The same for a string that was taken; NULL is fine. */
void pqb_buffer_free(char *string);

/* The blanks of libpq and of the server's splitting of options: isspace() of the C locale. */
static inline int pqb_buffer_is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

#endif
