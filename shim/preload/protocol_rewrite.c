/* A StartupMessage with other parameters. */
#include "preload/protocol.h"

#include <string.h>

/* A piece of somebody's text. */
struct piece {
    const char *at, *end;
};

static struct piece piece_of(const char *text)
{
    return (struct piece){text, text + strlen(text)};
}

static int is_empty(struct piece piece)
{
    return piece.at == piece.end;
}

static char lower(char c)
{
    if (c >= 'A' && c <= 'Z')
        c += 'a' - 'A';
    return c;
}

/* What is no setting. */
static int is_protocols_own(const char *name)
{
    static const char *const own[] = {"user", "database", "options", "replication"};
    for (unsigned i = 0; i < sizeof own / sizeof *own; i++)
        if (!strcmp(name, own[i]))
            return 1;
    return !strncmp(name, "_pq_.", 5);
}

/* A startup parameter's name as the server compares it: its own exactly, settings in any case. */
static int is_name(const char *a, const char *b)
{
    if (is_protocols_own(b))
        return !strcmp(a, b);
    while (*a && lower(*a) == lower(*b))
        a++, b++;
    return *a == *b;
}

/* ---- options: words with blanks between them, a backslash before what is meant literally ---- */

static int is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Takes the next word off `rest`, its backslashes still in it; 0 at the end. */
static int take_word(struct piece *rest, struct piece *word)
{
    while (rest->at < rest->end && is_blank(*rest->at))
        rest->at++;
    if (is_empty(*rest))
        return 0;
    word->at = rest->at;
    while (rest->at < rest->end && !is_blank(*rest->at)) {
        rest->at += *rest->at == '\\' && rest->at + 1 < rest->end;
        rest->at++;
    }
    word->end = rest->at;
    return 1;
}

/* Takes the next character that is meant off a word; 0 at its end. */
static char take_char(struct piece *word)
{
    if (!is_empty(*word) && *word->at == '\\')
        word->at++;
    if (is_empty(*word))
        return '\0';
    return *word->at++;
}

static int ends_open(struct piece piece)
{
    size_t backslashes = 0;
    while (piece.end > piece.at && piece.end[-1] == '\\') {
        piece.end--;
        backslashes++;
    }
    return (backslashes & 1) != 0;
}

/* Takes the next `name=value` off `rest`, of `-c name=value`, `-cname=value` and `--name=value`,
 * among the other switches of a postgres, as its getopt would; 0 at the end. */
static int take_setting(struct piece *rest, struct piece *setting)
{
    static const char with_argument[] = "BCDNSWdfhkoprtv";
    struct piece word;
    while (take_word(rest, &word)) {
        if (take_char(&word) != '-')
            continue;
        for (char letter; (letter = take_char(&word));) {
            int is_setting = letter == 'c' || letter == '-';
            if (!is_setting && !strchr(with_argument, letter))
                continue;
            /* Its argument is the rest of the word, or the next. */
            if (is_empty(word) && letter != '-' && !take_word(rest, &word))
                return 0;
            if (!is_setting)
                break;
            *setting = word;
            return 1;
        }
    }
    return 0;
}

/* Whether a setting is of that name; then *value is its value, backslashes in it. */
static int is_setting_of(struct piece setting, const char *name, struct piece *value)
{
    for (;; name++) {
        char c = take_char(&setting);
        if (c == '=' && !*name) {
            *value = setting;
            return 1;
        }
        if (c == '-')
            c = '_';
        if (!c || !*name || lower(c) != lower(*name))
            return 0;
    }
}

/* Whether `options` set it; *value is the last value, which counts. */
static int is_set_in(struct piece options, const char *name, struct piece *value)
{
    struct piece setting;
    int is_set = 0;
    while (take_setting(&options, &setting))
        is_set |= is_setting_of(setting, name, value);
    return is_set;
}

/* ---- the message ---- */

struct job {
    const struct pqb_change *changes;
    unsigned count;
    struct piece options; /* the program's */
    struct piece merged;  /* those of the new message */
    int has_options;
    int is_closed; /* the program's are to be left alone */
    char *to;
    size_t size, length; /* of the new message; beyond `size` once it does not fit */
};

static void put(struct job *job, const char *bytes, size_t length)
{
    if (job->length > job->size || job->size - job->length < length) {
        job->length = job->size + 1;
        return;
    }
    memcpy(job->to + job->length, bytes, length);
    job->length += length;
}

static void put_string(struct job *job, const char *text)
{
    put(job, text, strlen(text) + 1);
}

/* What a word of options means. */
static void put_meant(struct job *job, struct piece word)
{
    for (char c; (c = take_char(&word));)
        put(job, &c, 1);
    put(job, "", 1);
}

/* A part of ours in `options`, empty if it is none; without the blanks around it, and without a
 * last backslash that escapes nothing, which would take the blank behind it. */
static struct piece part_of(const struct pqb_change *change, enum pqb_change_mode mode)
{
    struct piece part = piece_of(change->mode == mode ? change->value : "");
    if (ends_open(part))
        part.end--;
    while (!is_empty(part) && is_blank(*part.at))
        part.at++;
    /* The analyser takes the end of "" for another string's. */
    while (!is_empty(part) && // NOLINTNEXTLINE(clang-analyzer-core.CallAndMessage)
           is_blank(part.end[-1]) && !ends_open((struct piece){part.at, part.end - 1}))
        part.end--;
    return part;
}

/* ---- options, merged ---- */

/* Takes `part` off the beginning of `text`, where it stands as words of its own. */
static void strip_before(struct piece *text, struct piece part)
{
    size_t length = (size_t)(part.end - part.at);
    if (!length || (size_t)(text->end - text->at) < length ||
        memcmp(text->at, part.at, length) != 0)
        return;
    const char *behind = text->at + length;
    if (behind < text->end && !is_blank(*behind))
        return;
    while (behind < text->end && is_blank(*behind))
        behind++;
    text->at = behind;
}

static void strip_after(struct piece *text, struct piece part)
{
    size_t length = (size_t)(part.end - part.at);
    if (!length || (size_t)(text->end - text->at) < length ||
        memcmp(text->end - length, part.at, length) != 0)
        return;
    struct piece before = {text->at, text->end - length};
    if (is_empty(before)) {
        text->end = before.end;
        return;
    }
    /* An escaped blank is a part of the word before. */
    if (!is_blank(before.end[-1]) || ends_open((struct piece){before.at, before.end - 1}))
        return;
    before.end--;
    text->end = before.end;
}

static void put_part(struct job *job, struct piece part, int *is_first)
{
    if (is_empty(part))
        return;
    if (!*is_first)
        put(job, " ", 1);
    *is_first = 0;
    put(job, part.at, (size_t)(part.end - part.at));
}

static void put_options(struct job *job)
{
    struct piece own = job->options;
    int is_first = 1;
    while (!is_empty(own) && is_blank(*own.at))
        own.at++;
    for (unsigned i = 0; i < job->count; i++)
        strip_before(&own, part_of(&job->changes[i], PQB_CHANGE_OPTIONS_BEFORE));
    for (unsigned i = job->count; i-- > 0;)
        strip_after(&own, part_of(&job->changes[i], PQB_CHANGE_OPTIONS_AFTER));
    for (unsigned i = 0; i < job->count; i++)
        put_part(job, part_of(&job->changes[i], PQB_CHANGE_OPTIONS_BEFORE), &is_first);
    put_part(job, own, &is_first);
    for (unsigned i = 0; i < job->count; i++)
        put_part(job, part_of(&job->changes[i], PQB_CHANGE_OPTIONS_AFTER), &is_first);
    put(job, "", 1);
}

static int has_parts(const struct job *job)
{
    for (unsigned i = 0; i < job->count; i++)
        if (!is_empty(part_of(&job->changes[i], PQB_CHANGE_OPTIONS_BEFORE)) ||
            !is_empty(part_of(&job->changes[i], PQB_CHANGE_OPTIONS_AFTER)))
            return 1;
    return 0;
}

/* ---- parameters ---- */

/* Of a name that comes twice in the list, the first. */
static const struct pqb_change *change_of(const struct job *job, const char *name,
                                          enum pqb_change_mode mode)
{
    for (unsigned i = 0; i < job->count; i++)
        if (job->changes[i].mode == mode && is_name(name, job->changes[i].name))
            return &job->changes[i];
    return NULL;
}

/* The value that our last `options` give a setting. */
static int is_forced_in_options(const struct job *job, const char *name, struct piece *value)
{
    int is_forced = 0;
    if (is_protocols_own(name))
        return 0;
    for (unsigned i = 0; !job->is_closed && i < job->count; i++)
        is_forced |= is_set_in(part_of(&job->changes[i], PQB_CHANGE_OPTIONS_AFTER), name, value);
    return is_forced;
}

static void put_value(struct job *job, const char *name, const char *value)
{
    const struct pqb_change *forced = change_of(job, name, PQB_CHANGE_FORCE);
    struct piece other = {NULL, NULL};
    if (forced)
        put_string(job, forced->value);
    else if (is_forced_in_options(job, name, &other))
        put_meant(job, other);
    else
        put_string(job, value);
}

static void put_options_parameter(struct job *job)
{
    put_string(job, "options");
    size_t begin = job->length;
    put_options(job);
    if (job->length <= job->size)
        job->merged = (struct piece){job->to + begin, job->to + job->length - 1};
}

static void put_parameter(struct job *job, const char *name, const char *value)
{
    if (!strcmp(name, "options") && !job->is_closed && has_parts(job)) {
        put_options_parameter(job);
        return;
    }
    put_string(job, name);
    put_value(job, name, value);
}

static int is_in_message(const char *parameters, const char *name)
{
    for (const char *at = parameters; *at;) {
        const char *value = at + strlen(at) + 1;
        if (is_name(at, name))
            return 1;
        at = value + strlen(value) + 1;
    }
    return 0;
}

/* A setting that nobody gave, or that is forced. */
static int is_wanted(const struct job *job, const struct pqb_change *change)
{
    struct piece value;
    return change->mode == PQB_CHANGE_FORCE ||
           (change->mode == PQB_CHANGE_FILL && !change_of(job, change->name, PQB_CHANGE_FORCE) &&
            !is_set_in(job->merged, change->name, &value));
}

static void put_new_parameters(struct job *job, const char *parameters)
{
    if (!job->has_options && has_parts(job))
        put_options_parameter(job);
    for (unsigned i = 0; i < job->count; i++) {
        const struct pqb_change *change = &job->changes[i];
        if (!is_wanted(job, change) || change_of(job, change->name, change->mode) != change ||
            is_in_message(parameters, change->name))
            continue;
        put_string(job, change->name);
        put_value(job, change->name, change->value);
    }
}

static void put_length(char *to, size_t length)
{
    for (unsigned i = 0; i < 4; i++)
        to[i] = (char)(length >> (24 - 8 * i) & 255);
}

size_t pqb_protocol_rewrite(const char *bytes, size_t length, const struct pqb_change *changes,
                            unsigned count, char *to, size_t size)
{
    struct pqb_startup startup;
    if (!pqb_protocol_startup(bytes, length, &startup))
        return 0;
    struct piece options = piece_of(startup.options ? startup.options : "");
    struct job job = {
        .changes = changes,
        .count = count,
        .to = to,
        .size = size < PQB_STARTUP_BYTES ? size : PQB_STARTUP_BYTES,
        .has_options = startup.options != NULL,
        .options = options,
        .merged = options,
    };
    job.is_closed = ends_open(job.options);
    put(&job, bytes, 8);
    for (const char *at = bytes + 8; *at;) {
        const char *value = at + strlen(at) + 1;
        put_parameter(&job, at, value);
        at = value + strlen(value) + 1;
    }
    put_new_parameters(&job, bytes + 8);
    put(&job, "", 1);
    if (job.length > job.size)
        return 0;
    put_length(to, job.length);
    return job.length;
}
