/* What the fuzz targets share. Each has the entry that libFuzzer and AFL++ know, and aborts when
 * something that must hold does not. */
#ifndef PQB_FUZZ_H
#define PQB_FUZZ_H

#include "conninfo/params.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: must hold: %s\n", __FILE__, __LINE__, #condition);             \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* A string of its own, so that a sanitizer sees every byte beyond it. */
static inline char *fuzz_string(const uint8_t *data, size_t size)
{
    char *string = malloc(size + 1);
    MUST(string);
    if (size)
        memcpy(string, data, size);
    string[size] = 0;
    return string;
}

/* Takes the bytes up to the next zero byte off the input. */
static inline char *fuzz_part(const uint8_t **data, size_t *size)
{
    const uint8_t *end = *size ? memchr(*data, 0, *size) : NULL;
    size_t length = end ? (size_t)(end - *data) : *size;
    char *string = fuzz_string(*data, length);
    *data += length + (end != NULL);
    *size -= length + (end != NULL);
    return string;
}

#endif
