/* pairs.c: strings of keyword = value, cleaned. The first byte is the flags. */
#include "fuzz/judge.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size)
        return 0;
    char *text = fuzz_string(data + 1, size - 1);
    fuzz_check_string(text, *data & 7);
    free(text);
    return 0;
}
