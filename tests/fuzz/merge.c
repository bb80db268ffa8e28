/* merge.c: what a connection is made with, of strings for each source with zero bytes between them.
 * The first byte says how to name the application, and more. */
#include "conninfo/merge.h"
#include "conninfo/buffer.h"
#include "conninfo/grammar.h"
#include "conninfo/options.h"
#include "fuzz/fuzz.h"

static const char *const names[] = {
    "service", "host",    "hostaddr",         "port",
    "options", "sslmode", "application_name", "fallback_application_name"};
#define NAMES (sizeof names / sizeof *names)

static struct pqb_params take_params(const uint8_t **data, size_t *size)
{
    struct pqb_params params = {NULL, 0, 0};
    struct pqb_pieces pieces = {NULL, 0, 0};
    char *text = fuzz_part(data, size);
    enum pqb_status status = pqb_grammar_pairs(text, &pieces);
    for (size_t i = 0; i < pieces.count && !status; i++)
        for (size_t k = 0; k < NAMES; k++)
            if (!strcmp(names[k], pieces.list[i].keyword))
                MUST(!pqb_params_set(&params, names[k], pieces.list[i].value));
    pqb_pieces_clear(&pieces);
    free(text);
    return params;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size)
        return 0;
    unsigned first = *data++;
    size--;
    struct pqb_params program = take_params(&data, &size), environment = take_params(&data, &size),
                      service = take_params(&data, &size), defaults = take_params(&data, &size),
                      force = take_params(&data, &size), once, twice;
    char *label = fuzz_part(&data, &size), key[512];
    struct pqb_keyword list[NAMES];
    struct pqb_keywords known = {list, NAMES};
    for (size_t i = 0; i < NAMES; i++)
        list[i] = (struct pqb_keyword){names[i], pqb_params_get(&environment, names[i])};
    struct pqb_merge merge = {.known = &known,
                              .program = &program,
                              .service = first & 4 ? &service : NULL,
                              .service_is_hidden = (first & 24) == 24,
                              .defaults = &defaults,
                              .force = &force,
                              .settings = first & 32 ? "-c search_path=\"a\\ b\"" : NULL,
                              .pooler = (int)(first >> 6) - 1,
                              .naming = (enum pqb_naming)(first & 3),
                              .label = label,
                              .pid = 4711};
    pqb_merge_service(&merge);
    enum pqb_status status = pqb_merge_params(&merge, &once);
    MUST(status == PQB_OK || (status == PQB_REFUSED && merge.settings));
    if (!status) {
        const char *options = pqb_params_get(&once, "options");
        const char *own = pqb_params_get(&program, "options");
        pqb_merge_key(&merge, &once, key, sizeof key);
        /* Nothing is lost, and what is forced stands last. */
        MUST(!own || (options && pqb_options_contains(options, own)));
        for (size_t i = 0; i < program.count; i++)
            MUST(pqb_params_get(&once, program.list[i].keyword));
        for (size_t i = 0; i < force.count; i++)
            if (strcmp(force.list[i].keyword, "options") && (first & 3) != PQB_NAMING_TAG)
                MUST(!strcmp(pqb_params_get(&once, force.list[i].keyword), force.list[i].value));
        merge.program = &once;
        merge.settings = NULL;
        MUST(pqb_merge_params(&merge, &twice) == PQB_OK);
        char *before = pqb_params_print(&once), *after = pqb_params_print(&twice);
        MUST(before && after && !strcmp(before, after));
        pqb_buffer_free(before);
        pqb_buffer_free(after);
        pqb_params_clear(&twice);
    }
    pqb_params_clear(&once);
    pqb_params_clear(&program);
    pqb_params_clear(&environment);
    pqb_params_clear(&service);
    pqb_params_clear(&defaults);
    pqb_params_clear(&force);
    free(label);
    return 0;
}
