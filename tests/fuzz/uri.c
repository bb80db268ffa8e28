/* uri.c: URIs, cleaned. The first byte is the flags; a scheme is put in front where there is none.
 */
#include "fuzz/judge.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char scheme[] = "postgresql://";
    int is_libpqs;
    if (!size)
        return 0;
    char *text = fuzz_string(data + 1, size - 1);
    if (!pqb_foreign_scheme(text, &is_libpqs)) {
        char *whole = malloc(strlen(text) + sizeof scheme);
        MUST(whole);
        strcpy(stpcpy(whole, scheme), text);
        free(text);
        text = whole;
    }
    fuzz_check_string(text, *data & 7);
    free(text);
    return 0;
}
