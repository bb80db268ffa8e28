/* protocol_rewrite.c: a StartupMessage with other parameters. */
#include "preload/protocol.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(protocol_rewrite, .timeout = 20);

/* Parameters are written `name|value|name|value`. */
static size_t message_of(char *to, const char *parameters)
{
    size_t length = 8;
    for (const char *at = parameters; *at; at++)
        to[length++] = (char)(*at == '|' ? '\0' : *at);
    to[length++] = '\0';
    to[length++] = '\0';
    memcpy(to, "\0\0\0\0\0\3\0\0", 8);
    to[2] = (char)(length >> 8);
    to[3] = (char)length;
    return length;
}

static const char *parameters_of(const char *message, size_t length)
{
    static char text[PQB_STARTUP_BYTES];
    cr_assert_gt(length, 10);
    cr_assert_eq((size_t)(unsigned char)message[2] << 8 | (unsigned char)message[3], length);
    for (size_t i = 8; i < length - 2; i++)
        text[i - 8] = (char)(message[i] ? message[i] : '|');
    text[length - 10] = '\0';
    return text;
}

#define FILL(name, value)                                                                          \
    {                                                                                              \
        name, value, PQB_CHANGE_FILL                                                               \
    }
#define FORCE(name, value)                                                                         \
    {                                                                                              \
        name, value, PQB_CHANGE_FORCE                                                              \
    }
#define BEFORE(value)                                                                              \
    {                                                                                              \
        NULL, value, PQB_CHANGE_OPTIONS_BEFORE                                                     \
    }
#define AFTER(value)                                                                               \
    {                                                                                              \
        NULL, value, PQB_CHANGE_OPTIONS_AFTER                                                      \
    }

struct row {
    const char *before, *after;
    struct pqb_change changes[4];
};

static unsigned count_of(const struct row *row)
{
    unsigned count = 0;
    while (count < 4 && row->changes[count].value)
        count++;
    return count;
}

static const struct row rows[] = {
    /* nothing to do */
    {"user|u", "user|u", {{0}}},
    {"user|u|_pq_.a|1|database||TimeZone|UTC", "user|u|_pq_.a|1|database||TimeZone|UTC", {{0}}},

    /* fill */
    {"user|u", "user|u|application_name|web", {FILL("application_name", "web")}},
    {"user|u|application_name|x", "user|u|application_name|x", {FILL("application_name", "web")}},
    {"user|u|application_name|", "user|u|application_name|", {FILL("application_name", "web")}},
    {"Application_Name|x|user|u", "Application_Name|x|user|u", {FILL("application_name", "web")}},
    {"user|u|a|1|b|2",
     "user|u|a|1|b|2|c|3|d|4",
     {FILL("b", "9"), FILL("c", "3"), FILL("d", "4"), FILL("c", "5")}},
    {"User|x|user|u", "User|x|user|u|database|d", {FILL("database", "d"), FILL("user", "y")}},

    /* fill, and options set it */
    {"user|u|options|-c application_name=x",
     "user|u|options|-c application_name=x",
     {FILL("application_name", "web")}},
    {"user|u|options|-capplication_name=",
     "user|u|options|-capplication_name=",
     {FILL("application_name", "web")}},
    {"user|u|options|-e --Application-Name=x",
     "user|u|options|-e --Application-Name=x",
     {FILL("application_name", "web")}},
    {"user|u|options|-ec application_name=x",
     "user|u|options|-ec application_name=x",
     {FILL("application_name", "web")}},
    {"user|u|options|-c appl\\ication_name=x",
     "user|u|options|-c appl\\ication_name=x",
     {FILL("application_name", "web")}},
    {"user|u|options|-c application_names=x",
     "user|u|options|-c application_names=x|application_name|web",
     {FILL("application_name", "web")}},
    {"user|u|options|-c a=-capplication_name=x",
     "user|u|options|-c a=-capplication_name=x|application_name|web",
     {FILL("application_name", "web")}},
    {"user|u|options|-c a=\\ -capplication_name=x",
     "user|u|options|-c a=\\ -capplication_name=x|application_name|web",
     {FILL("application_name", "web")}},
    {"user|u|options|-S -capplication_name=x",
     "user|u|options|-S -capplication_name=x|application_name|web",
     {FILL("application_name", "web")}},
    {"user|u", "user|u|options|-c a=1", {FILL("a", "2"), BEFORE("-c a=1")}},
    {"user|u", "user|u|options|-c a=1", {FILL("a", "2"), AFTER("-c a=1")}},

    /* force */
    {"user|u", "user|u|a|1", {FORCE("a", "1")}},
    {"a|0|user|u", "a|1|user|u", {FORCE("a", "1")}},
    {"a|0|user|u|A|2", "a|1|user|u|A|1", {FORCE("a", "1")}},
    {"user|u", "user|u|a|1", {FILL("a", "2"), FORCE("a", "1")}},
    {"user|u", "user|u|a|1", {FORCE("a", "1"), FILL("a", "2")}},
    {"user|u", "user|u|a|1", {FORCE("a", "1"), FORCE("a", "2")}},
    {"user|u|options|-c a=0", "user|u|options|-c a=0|a|1", {FORCE("a", "1")}},

    /* options */
    {"user|u", "user|u|options|-c a=1", {BEFORE("-c a=1")}},
    {"user|u", "user|u|options|-c a=1", {AFTER("-c a=1")}},
    {"user|u", "user|u", {BEFORE(""), AFTER("  ")}},
    {"user|u", "user|u|options|-c a=1 -c b=2", {AFTER("-c b=2"), BEFORE("-c a=1")}},
    {"options|-c x=0|user|u",
     "options|-c a=1 -c x=0 -c b=2|user|u",
     {BEFORE("-c a=1"), AFTER("-c b=2")}},
    {"options||user|u", "options|-c a=1 -c b=2|user|u", {BEFORE("-c a=1"), AFTER("-c b=2")}},
    {"options|-c a=1|user|u", "options|-c a=1 -c b=2|user|u", {BEFORE("-c a=1"), AFTER("-c b=2")}},
    {"options|-c a=10|user|u", "options|-c a=1 -c a=10|user|u", {BEFORE("-c a=1")}},
    {"options|-c x=\\ -c|user|u", "options|-c x=\\ -c -c|user|u", {AFTER("-c")}},
    {"options|-c x=\\\\ -c|user|u", "options|-c x=\\\\ -c|user|u", {AFTER("-c")}},
    {"options|y|user|u",
     "options|1 2 y 3 4|user|u",
     {BEFORE("1"), BEFORE("2"), AFTER("3"), AFTER("4")}},
    {"options|2 y 3|user|u",
     "options|1 2 y 3 4|user|u",
     {BEFORE("1"), BEFORE("2"), AFTER("3"), AFTER("4")}},

    /* backslashes at the end */
    {"options|-c x=\\|user|u", "options|-c x=\\|user|u", {BEFORE("-c a=1"), AFTER("-c b=2")}},
    {"options|-c x=\\\\|user|u", "options|-c x=\\\\ -c b=2|user|u", {AFTER("-c b=2")}},
    {"options|x|user|u", "options|-c a=1 x|user|u", {BEFORE("-c a=1\\")}},
    {"options|x|user|u", "options|-c a=1\\\\ x|user|u", {BEFORE(" -c a=1\\\\ ")}},
    {"options|x|user|u", "options|-c a=1\\  x|user|u", {BEFORE("-c a=1\\  ")}},
    {"a|0|options|\\|user|u", "a|0|options|\\|user|u", {AFTER("-c a=1")}},

    /* what is forced in options replaces the parameter that would beat it */
    {"user|u|statement_timeout|0",
     "user|u|statement_timeout|30s|options|-c statement_timeout=30s",
     {AFTER("-c statement_timeout=30s")}},
    {"user|u|DateStyle|ISO",
     "user|u|DateStyle|German, DMY|options|--datestyle=German,\\ DMY",
     {AFTER("--datestyle=German,\\ DMY")}},
    {"user|u|a|0", "user|u|a|2|options|-c a=1 -c a=2", {AFTER("-c a=1 -c a=2")}},
    {"user|u|a|0", "user|u|a|3|options|-c a=1", {AFTER("-c a=1"), FORCE("a", "3")}},
    {"user|u|a|0", "user|u|a|0|options|-c a=1", {BEFORE("-c a=1")}},
    {"user|u", "user|u|options|-c user=v", {AFTER("-c user=v")}},
    {"user|u|b|0",
     "user|u|b|0|options|-c a=1|c|2",
     {FILL("a", "2"), BEFORE("-c a=1"), FILL("c", "2")}},
    /* the server reads them as one */
    {"user|u", "user|u|options|-c -ca=1|a|1", {FILL("a", "2"), BEFORE("-c"), AFTER("-ca=1")}},
    {"options|-c|user|u", "options|-c a=1|user|u", {FILL("a", "2"), AFTER("a=1")}},
};

Test(protocol_rewrite, changes_what_it_is_told_to)
{
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        char message[512], to[512], again[512];
        size_t length = message_of(message, rows[i].before);
        unsigned count = count_of(&rows[i]);
        size_t new_length =
            pqb_protocol_rewrite(message, length, rows[i].changes, count, to, sizeof to);
        const char *after = parameters_of(to, new_length);
        cr_expect_str_eq(after, rows[i].after, "row %u: %s", i, after);

        size_t third =
            pqb_protocol_rewrite(to, new_length, rows[i].changes, count, again, sizeof again);
        cr_expect(third == new_length && !memcmp(to, again, third), "row %u, again", i);
    }
}

Test(protocol_rewrite, needs_just_the_room_it_says)
{
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        char message[512], to[512];
        size_t length = message_of(message, rows[i].before);
        unsigned count = count_of(&rows[i]);
        size_t needed =
            pqb_protocol_rewrite(message, length, rows[i].changes, count, to, sizeof to);
        for (size_t size = 0; size <= needed; size++) {
            char *tight = malloc(size ? size : 1);
            size_t got = pqb_protocol_rewrite(message, length, rows[i].changes, count, tight, size);
            cr_expect_eq(got, size < needed ? 0 : needed, "row %u, %zu bytes: %zu", i, size, got);
            if (got)
                cr_expect_eq(memcmp(tight, to, needed), 0);
            free(tight);
        }
    }
}

Test(protocol_rewrite, makes_nothing_a_server_would_not_take)
{
    static char message[PQB_STARTUP_BYTES + 16], to[2 * PQB_STARTUP_BYTES];
    static const struct pqb_change change = FILL("abc", "d");
    char parameters[PQB_STARTUP_BYTES];
    /* With 6 bytes for the change, just as long as it may be, or a byte longer. */
    for (size_t more = 0; more < 2; more++) {
        size_t value = PQB_STARTUP_BYTES - 6 - 10 - strlen("user|") + more;
        memcpy(parameters, "user|", 5);
        memset(parameters + 5, 'u', value);
        parameters[5 + value] = '\0';
        size_t length = message_of(message, parameters);
        cr_expect_eq(pqb_protocol_rewrite(message, length, &change, 1, to, sizeof to),
                     more ? 0 : PQB_STARTUP_BYTES);
    }
}

Test(protocol_rewrite, keeps_the_version)
{
    static const struct pqb_change change = FILL("a", "1");
    char message[64], to[64];
    size_t length = message_of(message, "user|u|_pq_.b|2");
    memcpy(message + 4, "\0\3\47\17", 4);
    length = pqb_protocol_rewrite(message, length, &change, 1, to, sizeof to);
    cr_expect_str_eq(parameters_of(to, length), "user|u|_pq_.b|2|a|1");
    cr_expect_eq(memcmp(to + 4, "\0\3\47\17", 4), 0);
}

Test(protocol_rewrite, refuses_what_it_does_not_understand)
{
    static const struct pqb_change change = FILL("a", "1");
    char message[64], to[64];
    size_t length = message_of(message, "user|u");
    cr_expect_gt(pqb_protocol_rewrite(message, length, &change, 1, to, sizeof to), 0);
    cr_expect_eq(pqb_protocol_rewrite(message, length - 1, &change, 1, to, sizeof to), 0);
    message[length - 1] = 'x';
    cr_expect_eq(pqb_protocol_rewrite(message, length, &change, 1, to, sizeof to), 0);
    cr_expect_eq(pqb_protocol_rewrite("\0\0\0\10\4\322\26\57", 8, &change, 1, to, sizeof to), 0);
}

/* ---- whatever comes ---- */

static void fill_text(char *to, size_t most, const char *alphabet)
{
    size_t length = (size_t)random() % most;
    for (size_t i = 0; i < length; i++)
        to[i] = alphabet[(size_t)random() % strlen(alphabet)];
    to[length] = '\0';
}

/* How often a name is in a message, and the value that the server would take: the last. */
static unsigned count_name(const char *message, size_t length, const char *name, const char **value)
{
    unsigned count = 0;
    for (const char *at = message + 8; at < message + length - 1;) {
        const char *its = at + strlen(at) + 1;
        if (!strcmp(at, name)) {
            count++;
            *value = its;
        }
        at = its + strlen(its) + 1;
    }
    return count;
}

Test(protocol_rewrite, does_it_once_whatever_comes)
{
    static const char *const names[] = {"user", "a", "b", "options", "application_name"};
    srandom(2);
    unsigned done = 0;
    for (unsigned round = 0; round < 20000; round++) {
        /* Each of some names, once. */
        char parameters[512] = "user|u", text[64];
        unsigned used = 1;
        for (unsigned i = 0; i < 4; i++) {
            unsigned which = (unsigned)random() % 5;
            if (used & 1U << which)
                continue;
            used |= 1U << which;
            fill_text(text, 20, "-c ab=1\\ ");
            strcat(parameters, "|");
            strcat(parameters, names[which]);
            strcat(parameters, "|");
            strcat(parameters, text);
        }
        char values[4][24];
        struct pqb_change changes[4];
        for (unsigned i = 0; i < 4; i++) {
            fill_text(values[i], 20, "-c ab=1\\ ");
            changes[i] = (struct pqb_change){random() % 2 ? "a" : "b", values[i],
                                             (enum pqb_change_mode)((unsigned)random() % 4)};
        }
        char message[512], to[1024], again[1024];
        size_t length = message_of(message, parameters);
        size_t once = pqb_protocol_rewrite(message, length, changes, 4, to, sizeof to);
        cr_assert_gt(once, 0);
        size_t twice = pqb_protocol_rewrite(to, once, changes, 4, again, sizeof again);
        const char *value;
        for (unsigned i = 0; i < 5; i++)
            cr_assert_leq(count_name(to, once, names[i], &value), 1, "round %u: %s", round,
                          names[i]);
        cr_assert(once == twice && !memcmp(to, again, once), "round %u: %s, %s", round, parameters,
                  parameters_of(to, once));
        for (unsigned i = 0; i < 4; i++)
            if (changes[i].mode == PQB_CHANGE_FORCE) {
                cr_assert_eq(count_name(to, once, changes[i].name, &value), 1);
                done++;
            }
    }
    cr_expect_gt(done, 1000);
}
