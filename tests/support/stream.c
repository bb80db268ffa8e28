#include "support/stream.h"

#include <stdlib.h>
#include <string.h>

void add_bytes(struct stream *stream, const char *bytes, size_t length)
{
    if (length > sizeof stream->bytes - stream->length)
        abort();
    memcpy(stream->bytes + stream->length, bytes, length);
    stream->length += length;
}

void add_message(struct stream *stream, char type, const char *body, size_t length)
{
    const char header[5] = {type, (char)((length + 4) >> 24), (char)((length + 4) >> 16),
                            (char)((length + 4) >> 8), (char)(length + 4)};
    add_bytes(stream, header, sizeof header);
    add_bytes(stream, body, length);
}
