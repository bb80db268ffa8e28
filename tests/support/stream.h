/* Messages of PostgreSQL's protocol, one behind the other, as a test writes them. */
#ifndef PQB_TESTS_STREAM_H
#define PQB_TESTS_STREAM_H

#include <stddef.h>

/* A string constant's bytes, without the zero that C adds. */
#define BYTES(text) (text), sizeof(text) - 1

struct stream {
    char bytes[1 << 17];
    size_t length;
};

/* What does not fit ends the program. */
void add_bytes(struct stream *stream, const char *bytes, size_t length);
void add_message(struct stream *stream, char type, const char *body, size_t length);

#endif
