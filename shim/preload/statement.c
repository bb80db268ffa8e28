#include "preload/statement.h"

#include <string.h>

/* What stands before the next word, blanks aside. */
enum before {
    START, /* nothing, a semicolon, or what may be the end of a comment: a statement may begin */
    OTHER,
    DASH,
    STAR,
    MAKER, /* CREATE, OR REPLACE, GLOBAL, LOCAL, INTO: temporary things are made by these */
    WITH,
    SETS,    /* SET, at the start of a statement */
    EXCUSED, /* SET LOCAL and the like: if a blank follows, nothing is left of it */
};

/* Where in a call of set_config: if the last argument is the word true, it ends with the
 * transaction. Whatever is more than plain strings, words and numbers is not followed. */
enum call {
    NO_CALL,
    NAME, /* its bracket is to come */
    ARGUMENT,
    COMMA,
    YES, /* a comma, and true */
    QUOTED,
};

/* What a word may say. */
enum meaning {
    PLAIN,
    MAKES,
    SAYS_WITH,
    SAYS_SET,
    SAYS_LOCAL,
    SAYS_TRUE,
    EXCUSES, /* after SET: it ends with the transaction, or is what pgjdbc sets at every login */
    CALLS,   /* set_config */
    BLOCK,
    LISTENS,
    LOADS,
    LOCKS,
    PREPARES,
    SETTINGS, /* an UPDATE of this view is a SET */
    TEMPORARY,
    TEMPORARY_SCHEMA,
    HOLDS,
};

enum class {
    PLAIN_BYTE,
    OF_WORD, /* of an identifier or number, for the server; any byte beyond ASCII */
    BLANK,
    SPECIAL, /* see follows() */
};

/* Each query pays for what follows: by tables, most of a text is passed over at a glance. */
static const uint8_t class_of[256] = {
    ['0' ... '9'] = OF_WORD, ['A' ... 'Z'] = OF_WORD, ['a' ... 'z'] = OF_WORD,
    ['_'] = OF_WORD,         ['$'] = OF_WORD,         [0x80 ... 0xff] = OF_WORD,
    [' '] = BLANK,           ['\t'] = BLANK,          ['\v'] = BLANK,
    ['\f'] = BLANK,          ['\n'] = SPECIAL,        ['\r'] = SPECIAL,
    [';'] = SPECIAL,         ['-'] = SPECIAL,         ['*'] = SPECIAL,
    ['/'] = SPECIAL,
};

static enum class class_at(const char *at) { return (enum class)class_of[(uint8_t)*at]; }

static int is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* ---- words ---- */

struct keyword {
    uint8_t meaning, length;
    char text[PQB_STATEMENT_WORD];
};

#define WORD(text) sizeof(text) - 1, text

static const struct keyword keywords[] = {
    {EXCUSES, WORD("application_name")},
    {EXCUSES, WORD("constraints")},
    {MAKES, WORD("create")},
    {BLOCK, WORD("do")},
    {EXCUSES, WORD("extra_float_digits")},
    {MAKES, WORD("global")},
    {HOLDS, WORD("hold")},
    {MAKES, WORD("into")},
    {LISTENS, WORD("listen")},
    {LOADS, WORD("load")},
    {SAYS_LOCAL, WORD("local")},
    {LOCKS, WORD("pg_advisory_lock")},
    {LOCKS, WORD("pg_advisory_lock_shared")},
    {SETTINGS, WORD("pg_settings")},
    {LOCKS, WORD("pg_try_advisory_lock")},
    {LOCKS, WORD("pg_try_advisory_lock_shared")},
    {PREPARES, WORD("prepare")},
    {MAKES, WORD("replace")},
    {SAYS_SET, WORD("set")},
    {CALLS, WORD("set_config")},
    {TEMPORARY, WORD("temp")},
    {TEMPORARY, WORD("temporary")},
    {EXCUSES, WORD("transaction")},
    {SAYS_TRUE, WORD("true")},
    {SAYS_WITH, WORD("with")},
};

#define LONG(length) (1u << (length))
#define LETTER(letter) [(letter)&31]

/* For each letter, how long the keywords are that begin with it: so most words are none at a
 * glance. */
static const uint32_t lengths_of[32] = {
    LETTER('a') = LONG(16),
    LETTER('c') = LONG(6) | LONG(11),
    LETTER('d') = LONG(2),
    LETTER('e') = LONG(18),
    LETTER('g') = LONG(6),
    LETTER('h') = LONG(4),
    LETTER('i') = LONG(4),
    LETTER('l') = LONG(4) | LONG(5) | LONG(6),
    LETTER('p') = ~0u << 7, /* pg_temp_3 as well */
    LETTER('r') = LONG(7),
    LETTER('s') = LONG(3) | LONG(10),
    LETTER('t') = LONG(4) | LONG(9) | LONG(11),
    LETTER('w') = LONG(4),
};

/* In any case; `expected` is in lower case. */
static int begins(const char *word, const char *expected, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (word[i] != expected[i] && (expected[i] == '_' || (word[i] ^ expected[i]) != 0x20))
            return 0;
    return 1;
}

static enum meaning meaning_of(const char *word, size_t length)
{
    if (!(lengths_of[*word & 31] >> (length < 31 ? length : 31) & 1))
        return PLAIN;
    for (size_t i = 0; i < sizeof keywords / sizeof *keywords; i++)
        if (keywords[i].length == length && begins(word, keywords[i].text, length))
            return (enum meaning)keywords[i].meaning;
    return length >= 7 && begins(word, "pg_temp", 7) ? TEMPORARY_SCHEMA : PLAIN;
}

/* What the word says where it stands, by itself. */
static enum pqb_pin pin_of(enum meaning meaning, enum before before)
{
    int is_start = before == START;
    switch (meaning) {
    case BLOCK:
        return is_start ? PQB_PIN_UNSEEN : PQB_PIN_NONE;
    case LISTENS:
        return is_start ? PQB_PIN_LISTEN : PQB_PIN_NONE;
    case LOADS:
        return is_start ? PQB_PIN_LOADED : PQB_PIN_NONE;
    case PREPARES:
        return is_start ? PQB_PIN_PREPARED : PQB_PIN_NONE;
    case HOLDS:
        return is_start || before == WITH ? PQB_PIN_CURSOR : PQB_PIN_NONE;
    case TEMPORARY:
        return is_start || before == MAKER ? PQB_PIN_TEMPORARY : PQB_PIN_NONE;
    case TEMPORARY_SCHEMA:
        return PQB_PIN_TEMPORARY;
    case LOCKS:
        return PQB_PIN_LOCK;
    case SETTINGS:
        return PQB_PIN_SETTING;
    default:
        return PQB_PIN_NONE;
    }
}

/* What it is to the word behind it. */
static enum before becomes(enum meaning meaning, enum before before)
{
    switch (meaning) {
    case SAYS_SET:
        return before == START ? SETS : OTHER;
    case MAKES:
    case SAYS_LOCAL:
        return MAKER;
    case SAYS_WITH:
        return WITH;
    default:
        return OTHER;
    }
}

/* Of what the next word or sign alone does not decide. */
static int is_in_midst(const struct pqb_statement *statement)
{
    return statement->call || statement->before >= SETS;
}

static int call_takes_word(struct pqb_statement *statement, const char *word, size_t length,
                           enum meaning meaning)
{
    if (statement->call == QUOTED && meaning != CALLS)
        return 1;
    /* A call within a call may be a call within what only looked like one; $1 is an argument, any
     * other dollar a quote. */
    if (statement->call == NAME || meaning == CALLS ||
        (*word == '$' && (length < 2 || word[1] < '0' || word[1] > '9')))
        return 0;
    statement->call = statement->call == COMMA && meaning == SAYS_TRUE ? YES : ARGUMENT;
    return 1;
}

static enum pqb_pin take_word(struct pqb_statement *statement, const char *word, size_t length)
{
    enum meaning meaning = meaning_of(word, length);
    if (meaning == PLAIN && !is_in_midst(statement)) {
        statement->before = OTHER;
        return PQB_PIN_NONE;
    }
    if (statement->call && !call_takes_word(statement, word, length, meaning))
        return PQB_PIN_SETTING;
    if (statement->before == SETS) {
        if (meaning != SAYS_LOCAL && meaning != EXCUSES)
            return PQB_PIN_SETTING;
        statement->before = EXCUSED;
        return PQB_PIN_NONE;
    }
    enum pqb_pin pin = pin_of(meaning, statement->before);
    statement->before = (uint8_t)becomes(meaning, statement->before);
    if (meaning == CALLS)
        statement->call = NAME;
    return pin;
}

/* ---- between words ---- */

/* 0 if it is nothing that a call we can follow goes on with. */
static int call_takes(struct pqb_statement *statement, char c)
{
    enum call call = statement->call;
    if (call == QUOTED) {
        if (c == '\'')
            statement->call = ARGUMENT;
        return c != '\\';
    }
    if (is_blank(c))
        return 1;
    if (call == NAME) {
        statement->call = ARGUMENT;
        return c == '(';
    }
    if (strchr("(\"\\/-;", c))
        return 0;
    if (c == ')') {
        statement->call = NO_CALL;
        return call == YES;
    }
    statement->call = c == '\'' ? QUOTED : c == ',' ? COMMA : ARGUMENT;
    return 1;
}

static enum before follows(struct pqb_statement *statement, char c)
{
    enum before before = statement->before;
    switch (c) {
    case '\n':
    case '\r':
        /* SET keeps waiting for its next word: the dashes may have been in a string. */
        if (statement->has_dashes && before != SETS)
            before = START;
        statement->has_dashes = 0;
        return before;
    case ' ':
    case '\t':
    case '\v':
    case '\f':
        return before;
    case ';':
        return START;
    case '-':
        statement->has_dashes |= before == DASH;
        return DASH;
    case '*':
        return STAR;
    case '/':
        return before == STAR ? START : OTHER;
    }
    return OTHER;
}

static enum pqb_pin take_sign(struct pqb_statement *statement, char c)
{
    if (statement->call && !call_takes(statement, c))
        return PQB_PIN_SETTING;
    /* Nothing but LOCAL and the like, between blanks, excuses a SET. */
    if (statement->before >= SETS) {
        if (!is_blank(c))
            return PQB_PIN_SETTING;
        if (statement->before == EXCUSED)
            statement->before = OTHER;
    }
    statement->before = (uint8_t)follows(statement, c);
    return PQB_PIN_NONE;
}

/* ---- the text ---- */

/* What does not fit is part of no word that says something. */
static void keep(struct pqb_statement *statement, const char *word, size_t length)
{
    size_t room = sizeof statement->word - statement->kept;
    size_t kept = length < room ? length : room;
    memcpy(statement->word + statement->kept, word, kept);
    statement->kept = (uint8_t)(statement->kept + kept);
}

static enum pqb_pin take_kept(struct pqb_statement *statement)
{
    size_t length = statement->kept;
    statement->kept = 0;
    return length ? take_word(statement, statement->word, length) : PQB_PIN_NONE;
}

/* As far as nothing can be decided; most of any text. */
static const char *skip_plain(struct pqb_statement *statement, const char *at, const char *end)
{
    enum class class;
    while (at < end && (class = class_at(at)) != OF_WORD && class != SPECIAL) {
        if (class == PLAIN_BYTE)
            statement->before = OTHER;
        at++;
    }
    return at;
}

enum pqb_pin pqb_statement_read(struct pqb_statement *statement, const char *text, size_t length)
{
    const char *at = text, *end = text + length;
    enum pqb_pin pin = PQB_PIN_NONE;
    while (at < end && !pin) {
        const char *word = at;
        while (at < end && class_at(at) == OF_WORD)
            at++;
        if (at > word && (at == end || statement->kept))
            keep(statement, word, (size_t)(at - word));
        else if (at > word)
            pin = take_word(statement, word, (size_t)(at - word));
        else if (statement->kept)
            pin = take_kept(statement);
        else if (is_in_midst(statement) || class_at(at) == SPECIAL)
            pin = take_sign(statement, *at++);
        else
            at = skip_plain(statement, at, end);
    }
    return pin;
}

enum pqb_pin pqb_statement_end(struct pqb_statement *statement)
{
    enum pqb_pin pin = take_kept(statement);
    if (!pin && is_in_midst(statement))
        pin = PQB_PIN_SETTING;
    return pin;
}
