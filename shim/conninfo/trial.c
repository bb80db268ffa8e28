#include "conninfo/trial.h"

#include "conninfo/foreign.h"
#include "conninfo/options.h"

#include <stdio.h>
#include <string.h>

/* ---- numbers ---- */

/* A decimal number without sign in units of which `scale`, 1 or 1000, make one; rounded up. -1 if
 * it is none. */
static int64_t number_of(const char *text, int scale)
{
    const int64_t most = INT64_C(1000000000000);
    int64_t whole = 0, thousandths = 0;
    int digits = 0, decimals = 0, rest = 0;
    for (; *text >= '0' && *text <= '9'; text++, digits++)
        whole = whole < most ? whole * 10 + (*text - '0') : most;
    text += *text == '.';
    for (; *text >= '0' && *text <= '9'; text++, digits++) {
        if (decimals < 3)
            thousandths = thousandths * 10 + (*text - '0');
        else
            rest |= *text != '0';
        decimals++;
    }
    if (*text || !digits)
        return -1;
    for (; decimals < 3; decimals++)
        thousandths *= 10;
    thousandths += rest;
    return scale == 1 ? whole + (thousandths > 0) : whole * 1000 + thousandths;
}

static unsigned cap_of(const char *text)
{
    int64_t number = number_of(text, 1);
    if (number <= 0 || strchr(text, '.'))
        return 0;
    return number > UINT32_MAX ? UINT32_MAX : (unsigned)number;
}

static int is_true(const char *value)
{
    return !strcmp(value, "true") || !strcmp(value, "1") || !strcmp(value, "yes") ||
           !strcmp(value, "on");
}

/* ---- TLS ---- */

static const char *const sslmodes[] = {"disable", "allow",     "prefer",
                                       "require", "verify-ca", "verify-full"};
enum { DISABLE = 0, REQUIRE = 3, VERIFY_FULL = 5 };

/* How strict it is; -1 if libpq has no such mode. */
static int sslmode_of(const char *value)
{
    for (int i = DISABLE; i <= VERIFY_FULL; i++)
        if (!strcmp(sslmodes[i], value))
            return i;
    return -1;
}

/* The same for `ssl=`. */
static int ssl_of(const char *value)
{
    if (!strcmp(value, "true") || !strcmp(value, "1") || !strcmp(value, "no-verify"))
        return REQUIRE;
    if (!strcmp(value, "false") || !strcmp(value, "0"))
        return DISABLE;
    return sslmode_of(value);
}

/* The value that counts, which is the last one; NULL if there is none. */
static const char *said(const struct pqb_trial *trial, const char *keyword)
{
    for (size_t i = trial->pieces->count; i-- > 0;)
        if (!strcmp(trial->pieces->list[i].keyword, keyword))
            return trial->pieces->list[i].value ? trial->pieces->list[i].value : "";
    return NULL;
}

static int is_known(const struct pqb_trial *trial, const char *keyword)
{
    return pqb_keywords_find(trial->known, keyword) != NULL;
}

/* libpq itself reads this as sslmode=require, in a URI. */
static int is_libpqs_ssl(const struct pqb_trial *trial, const struct pqb_piece *piece)
{
    return trial->is_uri && piece->value && !strcmp(piece->keyword, "ssl") &&
           !strcmp(piece->value, "true");
}

/* The same, if it is not libpq's own. */
static const char *said_by_others(const struct pqb_trial *trial, const char *keyword)
{
    const char *value = said(trial, keyword);
    return value && !is_known(trial, keyword) ? value : NULL;
}

static int is_strict(const struct pqb_trial *trial)
{
    const char *accept = said_by_others(trial, "sslaccept"), *mode = said(trial, "sslmode");
    return accept && !strcmp(accept, "strict") && !(mode && !strcmp(mode, "disable"));
}

static void add(struct pqb_trial *trial, const char *keyword, const char *value)
{
    if (pqb_params_set(&trial->added, keyword, value))
        trial->has_failed = 1;
    trial->has_changes = 1;
}

/* The strictest of what every `ssl` and `sslaccept` ask for; -1 if there is none. */
static int wanted_mode(const struct pqb_trial *trial)
{
    int wanted = is_strict(trial) ? VERIFY_FULL : -1;
    for (size_t i = 0; i < trial->pieces->count && said_by_others(trial, "ssl"); i++) {
        const struct pqb_piece *piece = &trial->pieces->list[i];
        int mode = piece->value && !strcmp(piece->keyword, "ssl") ? ssl_of(piece->value) : -1;
        if (mode > wanted)
            wanted = mode;
    }
    return wanted;
}

/* An sslmode of the program's own gives way to something stricter only. */
static void judge_tls(struct pqb_trial *trial)
{
    const char *mode = said(trial, "sslmode"), *file;
    int wanted = wanted_mode(trial), has_native = 0;
    for (size_t i = 0; i < trial->pieces->count; i++)
        has_native |= is_libpqs_ssl(trial, &trial->pieces->list[i]);
    /* A mode that libpq does not know is libpq's to refuse. */
    if (wanted < 0 || (mode && sslmode_of(mode) < 0))
        return;
    /* Where libpq reads ssl=true it may come last, so that what is stricter must come behind it. */
    int is_said = has_native ? wanted <= REQUIRE : mode && sslmode_of(mode) >= wanted;
    if (!is_said)
        add(trial, "sslmode", sslmodes[wanted]);
    /* libpq 16 brought both. */
    file = pqb_keywords_environment(trial->known, "sslrootcert");
    if (is_strict(trial) && is_known(trial, "sslcertmode") && !(file && *file) &&
        !said(trial, "sslrootcert") && !said(trial, "sslcert"))
        add(trial, "sslrootcert", "system");
}

/* Prisma's sslcert is what libpq calls sslrootcert. */
static void judge_sslcert(const struct pqb_trial *trial, const struct pqb_piece *piece,
                          struct pqb_decision *decision)
{
    const char *accept = said_by_others(trial, "sslaccept");
    if (!accept && !said_by_others(trial, "sslidentity"))
        return;
    decision->ruling = PQB_RULING_GOES;
    if (*piece->value && !(accept && !strcmp(accept, "accept_invalid_certs")) &&
        !said(trial, "sslrootcert"))
        *decision = (struct pqb_decision){PQB_RULING_CHANGES, "sslrootcert", "", 1};
}

/* ---- each parameter ---- */

static void judge_connect_timeout(const char *value, int is_ours, struct pqb_decision *decision)
{
    int64_t seconds = number_of(value, 1);
    if (is_ours && !*value) {
        decision->ruling = PQB_RULING_GOES;
    } else if (seconds >= 0 && (is_ours || strchr(value, '.'))) {
        decision->ruling = PQB_RULING_CHANGES;
        decision->keyword = "connect_timeout";
        snprintf(decision->value, sizeof decision->value, "%d",
                 seconds > INT32_MAX ? INT32_MAX : (int)seconds);
    }
}

static void set_path(struct pqb_trial *trial, const char *value, int is_one)
{
    struct pqb_buffer quoted = {NULL, 0, 0, 0};
    if (!is_one) {
        pqb_options_add_setting(&trial->settings, "search_path", value);
        return;
    }
    pqb_buffer_add_char(&quoted, '"');
    for (; *value; value++) {
        if (*value == '"')
            pqb_buffer_add_char(&quoted, '"');
        pqb_buffer_add_char(&quoted, *value);
    }
    pqb_buffer_add_char(&quoted, '"');
    char *name = pqb_buffer_take(&quoted);
    if (name)
        pqb_options_add_setting(&trial->settings, "search_path", name);
    else
        trial->has_failed = 1;
    pqb_buffer_free(name);
}

/* Statement timeouts stand before the rest, so that a statement_timeout by its own name wins. */
static void set_timeouts(struct pqb_trial *trial)
{
    char text[32];
    for (size_t i = 0; i < trial->pieces->count && trial->can_set; i++) {
        const struct pqb_piece *piece = &trial->pieces->list[i];
        if (is_known(trial, piece->keyword) || !piece->value ||
            pqb_foreign_find(piece->keyword)->kind != PQB_FOREIGN_TIMEOUT)
            continue;
        int64_t ms = number_of(piece->value, 1000);
        if (ms <= 0 || (trial->flags & PQB_CLEAN_OWN_PROGRAM))
            continue;
        snprintf(text, sizeof text, "%d", ms > INT32_MAX ? INT32_MAX : (int)ms);
        pqb_options_add_setting(&trial->settings, "statement_timeout", text);
    }
}

static int is_listed(const char *words, const char *value)
{
    size_t length = strlen(value);
    while (*words) {
        size_t word = strcspn(words, " ");
        if (word == length && !memcmp(words, value, length))
            return 1;
        words += word + (words[word] == ' ');
    }
    return 0;
}

static void wish_wait(struct pqb_wishes *wishes, int64_t ms)
{
    if (ms >= 0)
        wishes->wait_ms = ms ? ms : PQB_WISH_FOREVER;
}

/* A foreign parameter that has a value. The last of its name counts, as with libpq. */
static void judge_foreign(struct pqb_trial *trial, const struct pqb_piece *piece,
                          const struct pqb_foreign *foreign, struct pqb_decision *decision)
{
    const char *value = piece->value;
    int counts = said(trial, piece->keyword) == value;
    unsigned cap = cap_of(value);
    decision->ruling = PQB_RULING_GOES;
    switch (foreign->kind) {
    case PQB_FOREIGN_UNKNOWN:
        decision->ruling = PQB_RULING_STAYS;
        break;
    case PQB_FOREIGN_DROPPED:
        break;
    case PQB_FOREIGN_HARMLESS:
        if (!is_listed(foreign->detail, value))
            decision->ruling = PQB_RULING_STAYS;
        break;
    case PQB_FOREIGN_CAP_OR_NOT:
        if (!cap)
            decision->ruling = PQB_RULING_STAYS;
        /* fall through */
    case PQB_FOREIGN_CAP:
        if (counts && cap && (!trial->wishes->cap || cap < trial->wishes->cap))
            trial->wishes->cap = cap;
        break;
    case PQB_FOREIGN_WAIT_SECONDS:
        wish_wait(trial->wishes, counts ? number_of(value, 1000) : -1);
        break;
    case PQB_FOREIGN_WAIT_MS:
        wish_wait(trial->wishes, counts ? number_of(value, 1) : -1);
        break;
    case PQB_FOREIGN_TIMEOUT:
        break;
    case PQB_FOREIGN_SCHEMA:
    case PQB_FOREIGN_PATH:
        if (*value && trial->can_set)
            set_path(trial, value, foreign->kind == PQB_FOREIGN_SCHEMA);
        break;
    case PQB_FOREIGN_SETTING:
        if (*value && trial->can_set)
            pqb_options_add_setting(&trial->settings, foreign->keyword, value);
        break;
    case PQB_FOREIGN_POOLER:
        if (counts && *value)
            trial->wishes->pooler = is_true(value);
        break;
    case PQB_FOREIGN_SSL:
        if (ssl_of(value) < 0)
            decision->ruling = PQB_RULING_STAYS;
        break;
    case PQB_FOREIGN_SSLACCEPT:
        if (*value && strcmp(value, "strict") != 0 && strcmp(value, "accept_invalid_certs") != 0)
            decision->ruling = PQB_RULING_STAYS;
        break;
    case PQB_FOREIGN_NAME:
        if (*value)
            *decision = (struct pqb_decision){PQB_RULING_CHANGES, "application_name", "", 1};
        break;
    case PQB_FOREIGN_CONNECT_TIMEOUT:
        decision->ruling = PQB_RULING_STAYS;
        judge_connect_timeout(value, 1, decision);
        break;
    }
}

struct pqb_decision pqb_trial_judge(struct pqb_trial *trial, const struct pqb_piece *piece)
{
    struct pqb_decision decision = {PQB_RULING_STAYS, piece->keyword, "", 1};
    int known = is_known(trial, piece->keyword);
    if (!piece->value) {
        /* Not even a form that libpq takes; what asks for nothing goes all the same. */
        if (!known && pqb_foreign_find(piece->keyword)->kind == PQB_FOREIGN_DROPPED)
            decision.ruling = PQB_RULING_GOES;
    } else if (known && !strcmp(piece->keyword, "connect_timeout")) {
        judge_connect_timeout(piece->value, 0, &decision);
        decision.keeps_value = decision.ruling == PQB_RULING_STAYS;
    } else if (known && !strcmp(piece->keyword, "sslcert")) {
        judge_sslcert(trial, piece, &decision);
    } else if (!known && !is_libpqs_ssl(trial, piece)) {
        const struct pqb_foreign *foreign = pqb_foreign_find(piece->keyword);
        judge_foreign(trial, piece, foreign, &decision);
        if (foreign->kind == PQB_FOREIGN_CONNECT_TIMEOUT)
            decision.keeps_value = decision.ruling == PQB_RULING_STAYS;
    }
    if (decision.ruling != PQB_RULING_STAYS)
        trial->has_changes = 1;
    return decision;
}

/* Whether a parameter can only be honoured by an option. */
static int needs_options(const struct pqb_trial *trial, const struct pqb_piece *piece)
{
    if (!piece->value || !*piece->value || is_known(trial, piece->keyword))
        return 0;
    switch (pqb_foreign_find(piece->keyword)->kind) {
    case PQB_FOREIGN_TIMEOUT:
        return !(trial->flags & PQB_CLEAN_OWN_PROGRAM) && number_of(piece->value, 1000) > 0;
    case PQB_FOREIGN_SCHEMA:
    case PQB_FOREIGN_PATH:
        /* PostgreSQL's own path ends in public: nothing is lost without an option. */
        return strcmp(piece->value, "public") != 0;
    case PQB_FOREIGN_SETTING:
        return 1;
    default:
        return 0;
    }
}

int pqb_trial_open(struct pqb_trial *trial)
{
    const char *pooler = said_by_others(trial, "pgbouncer");
    int is_pooled = (pooler && is_true(pooler)) || (trial->flags & PQB_CLEAN_POOLER);
    *trial->wishes = PQB_WISHES_NONE;
    trial->own_options = said(trial, "options");
    if (!trial->own_options)
        trial->own_options = pqb_keywords_environment(trial->known, "options");
    trial->can_set = !is_pooled && is_known(trial, "options") &&
                     (!trial->own_options || pqb_options_is_whole(trial->own_options));
    for (size_t i = 0; i < trial->pieces->count && !trial->can_set; i++)
        if (needs_options(trial, &trial->pieces->list[i]))
            return 0;
    judge_tls(trial);
    set_timeouts(trial);
    return 1;
}

enum pqb_status pqb_trial_close(struct pqb_trial *trial, enum pqb_status status)
{
    if (trial->settings.is_failed || trial->has_failed)
        status = PQB_NO_MEMORY;
    if (!status && trial->settings.length && (trial->flags & PQB_CLEAN_INLINE)) {
        if (trial->own_options)
            pqb_options_add(&trial->settings, trial->own_options);
        char *options = pqb_buffer_take(&trial->settings);
        if (!options || pqb_params_set(&trial->added, "options", options))
            status = PQB_NO_MEMORY;
        pqb_buffer_free(options);
    } else if (!status && trial->settings.length) {
        trial->wishes->settings = pqb_buffer_take(&trial->settings);
        if (!trial->wishes->settings)
            status = PQB_NO_MEMORY;
    }
    pqb_buffer_clear(&trial->settings);
    return status;
}
