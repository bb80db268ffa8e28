/* label.c: labels of command lines, words with zero bytes between them. */
#include "conninfo/label.h"
#include "fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char label[PQB_LABEL_SIZE], *argv[16];
    int argc = 0;
    while (size && argc < 16)
        argv[argc++] = fuzz_part(&data, &size);
    pqb_label_choose(label, NULL, NULL, "program", argc, argv);
    size_t length = strlen(label);
    MUST(length && length < PQB_LABEL_SIZE && *label != ' ' && label[length - 1] != ' ');
    for (const char *c = label; *c; c++)
        MUST(*c >= ' ' && *c <= '~');
    while (argc)
        free(argv[--argc]);
    return 0;
}
