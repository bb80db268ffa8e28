/* What must hold for every connection string, with libpq as the judge: for uri.c and pairs.c. */
#ifndef PQB_FUZZ_JUDGE_H
#define PQB_FUZZ_JUDGE_H

#include "conninfo/buffer.h"
#include "conninfo/clean.h"
#include "conninfo/foreign.h"
#include "conninfo/grammar.h"
#include "fuzz/fuzz.h"

#include <libpq-fe.h>

static struct pqb_keyword list[128];
static struct pqb_keywords known = {list, 0};

/* The keywords of this libpq, with nothing from the environment: a finding must not depend on it.
 */
static void learn(void)
{
    PQconninfoOption *options = PQconndefaults();
    MUST(options);
    for (PQconninfoOption *option = options; option->keyword; option++) {
        MUST(known.count < sizeof list / sizeof *list);
        list[known.count++] = (struct pqb_keyword){strdup(option->keyword), NULL};
    }
    PQconninfoFree(options);
}

static const char *value_of(const PQconninfoOption *options, const char *keyword)
{
    for (; options->keyword; options++)
        if (!strcmp(options->keyword, keyword))
            return options->val;
    return NULL;
}

static PQconninfoOption *parsed(const char *text)
{
    char *message = NULL;
    PQconninfoOption *options = PQconninfoParse(text, &message);
    MUST(options || message);
    PQfreemem(message);
    return options;
}

/* What libpq reads as another keyword than the one that is written. */
static int is_translated(const struct pqb_piece *piece, int is_uri)
{
    return !strcmp(piece->keyword, "requiressl") ||
           (is_uri && !strcmp(piece->keyword, "ssl") && !strcmp(piece->value, "true"));
}

/* A string that libpq takes: our grammar must have found the same values. */
static void compare_grammar(const PQconninfoOption *options, const struct pqb_pieces *pieces,
                            int is_uri)
{
    for (size_t i = 0; i < pieces->count; i++) {
        const struct pqb_piece *piece = &pieces->list[i];
        int is_last = 1;
        MUST(piece->value);
        for (size_t k = i + 1; k < pieces->count; k++)
            if (!strcmp(pieces->list[k].keyword, piece->keyword) ||
                (is_translated(&pieces->list[k], is_uri) && !strcmp(piece->keyword, "sslmode")))
                is_last = 0;
        if (is_translated(piece, is_uri) || !is_last)
            continue;
        MUST(pqb_keywords_find(&known, piece->keyword));
        MUST(!strcmp(value_of(options, piece->keyword), piece->value));
    }
}

/* What cleaning may change; everything else must read as before. */
static int may_change(const char *keyword)
{
    static const char *const changing[] = {"sslmode",          "sslrootcert",     "sslcert",
                                           "application_name", "connect_timeout", "options"};
    for (size_t i = 0; i < sizeof changing / sizeof *changing; i++)
        if (!strcmp(keyword, changing[i]))
            return 1;
    return 0;
}

static void compare_values(const PQconninfoOption *before, const PQconninfoOption *after)
{
    for (; before->keyword; before++) {
        const char *value = value_of(after, before->keyword);
        int is_rounded = !strcmp(before->keyword, "connect_timeout");
        MUST(!before->val == !value);
        MUST(!value || is_rounded || !strcmp(before->val, value));
    }
}

static void compare_pieces(const struct pqb_pieces *pieces, const PQconninfoOption *after)
{
    for (size_t i = pieces->count; i-- > 0;) {
        const struct pqb_piece *piece = &pieces->list[i];
        int is_last = 1;
        for (size_t k = i + 1; k < pieces->count; k++)
            is_last &= strcmp(pieces->list[k].keyword, piece->keyword) != 0;
        if (is_last && piece->value && pqb_keywords_find(&known, piece->keyword) &&
            !may_change(piece->keyword))
            MUST(!strcmp(value_of(after, piece->keyword), piece->value));
    }
}

static void fuzz_check_string(const char *text, unsigned flags)
{
    struct pqb_wishes wishes, again;
    struct pqb_pieces pieces = {NULL, 0, 0};
    char *clean, *twice;
    int is_libpqs = 0;
    size_t query, scheme = pqb_foreign_scheme(text, &is_libpqs);
    if (!known.count)
        learn();
    MUST(pqb_clean_text(text, &known, flags, &clean, &wishes) == PQB_OK);
    MUST(!clean || strcmp(clean, text) != 0);
    MUST(pqb_clean_text(clean ? clean : text, &known, flags, &twice, &again) == PQB_OK);
    MUST(!twice);
    MUST(!again.cap && !again.settings && again.pooler < 0 && again.wait_ms == PQB_WISH_UNSAID);

    enum pqb_status status =
        scheme ? pqb_grammar_uri(text + scheme, &pieces, &query) : pqb_grammar_pairs(text, &pieces);
    PQconninfoOption *before = parsed(text), *after = clean ? parsed(clean) : NULL;
    if (status)
        MUST(!clean);
    if (before) {
        MUST(!status);
        compare_grammar(before, &pieces, scheme != 0);
        if (clean) {
            MUST(after);
            compare_values(before, after);
        }
    } else if (after) {
        compare_pieces(&pieces, after);
    }
    PQconninfoFree(before);
    PQconninfoFree(after);
    pqb_pieces_clear(&pieces);
    pqb_wishes_clear(&wishes);
    pqb_buffer_free(clean);
}

#endif
