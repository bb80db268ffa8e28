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
    EXCUSED, /* SET LOCAL and the like: if a blank follows, it ends with the transaction */
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
    EXCUSES, /* after SET */
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

const char *pqb_pin_name(enum pqb_pin pin)
{
    static const char *const names[PQB_PINS] = {
        [PQB_PIN_LISTEN] = "LISTEN",
        [PQB_PIN_LOCK] = "an advisory lock",
        [PQB_PIN_TEMPORARY] = "a temporary table",
        [PQB_PIN_CURSOR] = "a cursor WITH HOLD",
        [PQB_PIN_SETTING] = "SET",
        [PQB_PIN_PREPARED] = "PREPARE",
        [PQB_PIN_LOADED] = "LOAD",
        [PQB_PIN_UNSEEN] = "a DO block or a function call",
        [PQB_PIN_UNCOUNTED] = "COPY by extended query",
    };
    return pin < PQB_PINS ? names[pin] : NULL;
}

/* What the server takes for part of an identifier or number; any byte of a character beyond ASCII.
 */
static const uint8_t is_of_word[256] = {
    ['0' ... '9'] = 1, ['A' ... 'Z'] = 1, ['a' ... 'z'] = 1,
    ['_'] = 1,         ['$'] = 1,         [0x80 ... 0xff] = 1,
};

static int is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* ---- words ---- */

/* In any case; `expected` is in lower case. */
static int begins(const char *word, const char *expected, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (word[i] != expected[i] && (expected[i] == '_' || (word[i] ^ expected[i]) != 0x20))
            return 0;
    return 1;
}

#define IS(text) (length == sizeof(text) - 1 && begins(word, text, sizeof(text) - 1))

static enum meaning meaning_of_p(const char *word, size_t length)
{
    if (IS("prepare"))
        return PREPARES;
    if (length < 7 || !begins(word, "pg_", 3))
        return PLAIN;
    if (IS("pg_advisory_lock") || IS("pg_advisory_lock_shared") || IS("pg_try_advisory_lock") ||
        IS("pg_try_advisory_lock_shared"))
        return LOCKS;
    /* pg_temp_3 as well. */
    if (begins(word, "pg_temp", 7))
        return TEMPORARY_SCHEMA;
    return IS("pg_settings") ? SETTINGS : PLAIN;
}

static enum meaning meaning_of_t(const char *word, size_t length)
{
    if (IS("temp") || IS("temporary"))
        return TEMPORARY;
    if (IS("true"))
        return SAYS_TRUE;
    return IS("transaction") ? EXCUSES : PLAIN;
}

static enum meaning meaning_of_l(const char *word, size_t length)
{
    if (IS("listen"))
        return LISTENS;
    if (IS("load"))
        return LOADS;
    return IS("local") ? SAYS_LOCAL : PLAIN;
}

static enum meaning meaning_of(const char *word, size_t length)
{
    switch (*word | 0x20) {
    case 'c':
        return IS("create") ? MAKES : IS("constraints") ? EXCUSES : PLAIN;
    case 'd':
        return IS("do") ? BLOCK : PLAIN;
    case 'g':
        return IS("global") ? MAKES : PLAIN;
    case 'h':
        return IS("hold") ? HOLDS : PLAIN;
    case 'i':
        return IS("into") ? MAKES : PLAIN;
    case 'l':
        return meaning_of_l(word, length);
    case 'p':
        return meaning_of_p(word, length);
    case 'r':
        return IS("replace") ? MAKES : PLAIN;
    case 's':
        return IS("set") ? SAYS_SET : IS("set_config") ? CALLS : PLAIN;
    case 't':
        return meaning_of_t(word, length);
    case 'w':
        return IS("with") ? SAYS_WITH : PLAIN;
    }
    return PLAIN;
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

static enum pqb_pin take_other(struct pqb_statement *statement, char c)
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

enum pqb_pin pqb_statement_read(struct pqb_statement *statement, const char *text, size_t length)
{
    const char *at = text, *end = text + length;
    enum pqb_pin pin = PQB_PIN_NONE;
    while (at < end && !pin) {
        const char *word = at;
        while (at < end && is_of_word[(uint8_t)*at])
            at++;
        if (at > word && (at == end || statement->kept))
            keep(statement, word, (size_t)(at - word));
        else if (at > word)
            pin = take_word(statement, word, (size_t)(at - word));
        else if (statement->kept)
            pin = take_kept(statement);
        else
            pin = take_other(statement, *at++);
    }
    return pin;
}

enum pqb_pin pqb_statement_end(struct pqb_statement *statement)
{
    enum pqb_pin pin = take_kept(statement);
    if (!pin && (statement->call || statement->before >= SETS))
        pin = PQB_PIN_SETTING;
    return pin;
}
