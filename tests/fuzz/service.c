/* service.c: service files; the name of the section is the first line. */
#include "conninfo/service.h"
#include "conninfo/buffer.h"
#include "conninfo/grammar.h"
#include "fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct pqb_keyword list[] = {
        {"host", NULL}, {"port", NULL}, {"service", NULL}, {"options", NULL}, {"password", NULL}};
    static const struct pqb_keywords known = {list, sizeof list / sizeof *list};
    const uint8_t *newline = size ? memchr(data, '\n', size) : NULL;
    size_t length = newline ? (size_t)(newline - data) : 0;
    char *service = fuzz_string(data, length), *text = malloc(size - length + 1);
    struct pqb_params params = {NULL, 0, 0};
    MUST(text);
    memcpy(text, data + length, size - length);
    enum pqb_status status = pqb_service_read(text, size - length, service, &known, &params);
    MUST(status == PQB_OK || status == PQB_ABSENT || status == PQB_INVALID ||
         status == PQB_REFUSED);

    /* What was read says the same when it is printed and read as a string. */
    struct pqb_pieces pieces = {NULL, 0, 0};
    char *printed = pqb_params_print(&params);
    MUST(printed && pqb_grammar_pairs(printed, &pieces) == PQB_OK);
    MUST(pieces.count == params.count && params.count < known.count);
    for (size_t i = 0; i < params.count; i++) {
        MUST(pqb_keywords_find(&known, params.list[i].keyword));
        MUST(!strcmp(pieces.list[i].keyword, params.list[i].keyword));
        MUST(!strcmp(pieces.list[i].value, params.list[i].value));
    }
    pqb_buffer_free(printed);
    pqb_pieces_clear(&pieces);
    pqb_params_clear(&params);
    free(service);
    free(text);
    return 0;
}
