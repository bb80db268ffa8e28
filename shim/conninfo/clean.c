#include "conninfo/clean.h"

#include "conninfo/buffer.h"
#include "conninfo/foreign.h"
#include "conninfo/grammar.h"
#include "conninfo/options.h"
#include "conninfo/trial.h"

#include <stdio.h>
#include <string.h>

/* ---- writing ---- */

static void put_encoded(struct pqb_buffer *buffer, const char *text)
{
    char escape[4];
    for (; *text; text++) {
        if (strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/:,",
                   *text)) {
            pqb_buffer_add_char(buffer, *text);
            continue;
        }
        snprintf(escape, sizeof escape, "%%%02X", (unsigned)(unsigned char)*text);
        pqb_buffer_add(buffer, escape);
    }
}

static void put_pair(struct pqb_buffer *buffer, const struct pqb_trial *trial, const char *keyword,
                     const char *value)
{
    if (trial->is_uri) {
        put_encoded(buffer, keyword);
        pqb_buffer_add_char(buffer, '=');
        put_encoded(buffer, value);
        return;
    }
    pqb_buffer_add(buffer, keyword);
    pqb_buffer_add(buffer, "='");
    for (; *value; value++) {
        if (*value == '\'' || *value == '\\')
            pqb_buffer_add_char(buffer, '\\');
        pqb_buffer_add_char(buffer, *value);
    }
    pqb_buffer_add_char(buffer, '\'');
}

/* What goes must not change how the rest is read. Without a slash in front of the question mark
 * libpq looks for a user's name up to an @ among the parameters; and what begins like a URI is
 * taken for one. */
static void put_separator(struct pqb_buffer *buffer, const struct pqb_trial *trial,
                          const char *keyword, size_t written)
{
    const char *authority =
        trial->is_uri ? strstr(buffer->bytes ? buffer->bytes : "", "://") : NULL;
    int is_libpqs;
    if (trial->is_uri && written)
        pqb_buffer_add_char(buffer, '&');
    else if (trial->is_uri)
        pqb_buffer_add(buffer, authority && !strpbrk(authority + 3, "/@") ? "/?" : "?");
    else if (written || pqb_foreign_scheme(keyword, &is_libpqs))
        pqb_buffer_add_char(buffer, ' ');
}

/* All parameters, those that stay byte for byte; but a pair is written anew, its end might be a
 * backslash. */
static void write_parameters(struct pqb_buffer *buffer, struct pqb_trial *trial, const char *text)
{
    size_t written = 0;
    for (size_t i = 0; i < trial->pieces->count; i++) {
        const struct pqb_piece *piece = &trial->pieces->list[i];
        struct pqb_decision decision = pqb_trial_judge(trial, piece);
        if (decision.ruling == PQB_RULING_GOES)
            continue;
        put_separator(buffer, trial, decision.keyword, written++);
        if (decision.ruling == PQB_RULING_STAYS && trial->is_uri)
            pqb_buffer_add_bytes(buffer, text + piece->begin, piece->end - piece->begin);
        else
            put_pair(buffer, trial, decision.keyword,
                     decision.keeps_value ? piece->value : decision.value);
    }
    if (pqb_trial_close(trial, PQB_OK))
        trial->has_failed = 1;
    for (size_t i = 0; i < trial->added.count; i++) {
        put_separator(buffer, trial, trial->added.list[i].keyword, written++);
        put_pair(buffer, trial, trial->added.list[i].keyword, trial->added.list[i].value);
    }
}

static enum pqb_status clean_pieces(const char *text, size_t head, struct pqb_trial *trial,
                                    struct pqb_buffer *buffer, char **clean)
{
    if (!pqb_trial_open(trial))
        return PQB_OK;
    pqb_buffer_add_bytes(buffer, text, head);
    write_parameters(buffer, trial, text);
    if (trial->has_failed || buffer->is_failed)
        return PQB_NO_MEMORY;
    if (!trial->has_changes)
        return PQB_OK;
    *clean = pqb_buffer_take(buffer);
    return *clean ? PQB_OK : PQB_NO_MEMORY;
}

enum pqb_status pqb_clean_text(const char *text, const struct pqb_keywords *known, unsigned flags,
                               char **clean, struct pqb_wishes *wishes)
{
    struct pqb_pieces pieces = {NULL, 0, 0};
    struct pqb_buffer buffer = {NULL, 0, 0, 0};
    int is_libpqs = 1;
    size_t scheme = text ? pqb_foreign_scheme(text, &is_libpqs) : 0, query = 0;
    *clean = NULL;
    *wishes = PQB_WISHES_NONE;
    if (!text)
        return PQB_OK;
    enum pqb_status status =
        scheme ? pqb_grammar_uri(text + scheme, &pieces, &query) : pqb_grammar_pairs(text, &pieces);
    if (!status) {
        struct pqb_trial trial = {.known = known,
                                  .flags = flags,
                                  .is_uri = scheme != 0,
                                  .pieces = &pieces,
                                  .has_changes = scheme && !is_libpqs,
                                  .wishes = wishes};
        if (scheme)
            pqb_buffer_add(&buffer, "postgresql://");
        text += scheme;
        query -= query && text[query - 1] == '?';
        status = clean_pieces(text, query, &trial, &buffer, clean);
        pqb_params_clear(&trial.added);
    }
    pqb_buffer_clear(&buffer);
    pqb_pieces_clear(&pieces);
    if (status == PQB_INVALID)
        return PQB_OK;
    if (status)
        pqb_wishes_clear(wishes);
    return status;
}

static enum pqb_status copy_piece(struct pqb_pieces *pieces, const struct pqb_param *param)
{
    char *keyword = strdup(param->keyword), *value = strdup(param->value);
    enum pqb_status status = pqb_pieces_add(pieces, keyword, value, 0, 0);
    return status || value ? status : PQB_NO_MEMORY;
}

enum pqb_status pqb_clean_params(struct pqb_params *params, const struct pqb_keywords *known,
                                 unsigned flags, struct pqb_wishes *wishes)
{
    struct pqb_pieces pieces = {NULL, 0, 0};
    struct pqb_params result = {NULL, 0, 0};
    enum pqb_status status = PQB_OK;
    *wishes = PQB_WISHES_NONE;
    for (size_t i = 0; i < params->count && !status; i++)
        status = copy_piece(&pieces, &params->list[i]);
    struct pqb_trial trial = {.known = known, .flags = flags, .pieces = &pieces, .wishes = wishes};
    if (!status && !pqb_trial_open(&trial)) {
        pqb_pieces_clear(&pieces);
        return PQB_OK;
    }
    for (size_t i = 0; i < pieces.count && !status; i++) {
        struct pqb_decision decision = pqb_trial_judge(&trial, &pieces.list[i]);
        if (decision.ruling != PQB_RULING_GOES)
            status = pqb_params_add(&result, decision.keyword,
                                    decision.keeps_value ? pieces.list[i].value : decision.value);
    }
    status = pqb_trial_close(&trial, status);
    for (size_t i = 0; i < trial.added.count && !status; i++)
        status = pqb_params_set(&result, trial.added.list[i].keyword, trial.added.list[i].value);
    if (!status) {
        pqb_params_clear(params);
        *params = result;
    } else {
        pqb_params_clear(&result);
        pqb_wishes_clear(wishes);
    }
    pqb_params_clear(&trial.added);
    pqb_pieces_clear(&pieces);
    return status;
}

int pqb_clean_is_conninfo(const char *text)
{
    int is_libpqs;
    return strchr(text, '=') || pqb_foreign_scheme(text, &is_libpqs);
}

enum pqb_status pqb_wishes_join(struct pqb_wishes *wishes, const struct pqb_wishes *more)
{
    if (more->settings) {
        struct pqb_buffer both = {NULL, 0, 0, 0};
        if (wishes->settings)
            pqb_options_add(&both, wishes->settings);
        pqb_options_add(&both, more->settings);
        char *settings = pqb_buffer_take(&both);
        if (!settings)
            return PQB_NO_MEMORY;
        pqb_buffer_free(wishes->settings);
        wishes->settings = settings;
    }
    if (more->cap)
        wishes->cap = more->cap;
    if (more->wait_ms != PQB_WISH_UNSAID)
        wishes->wait_ms = more->wait_ms;
    if (more->pooler >= 0)
        wishes->pooler = more->pooler;
    return PQB_OK;
}

void pqb_wishes_clear(struct pqb_wishes *wishes)
{
    pqb_buffer_free(wishes->settings);
    *wishes = PQB_WISHES_NONE;
}
