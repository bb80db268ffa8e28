/* statement.c: what a text of SQL says that outlives its transaction. */
#include "preload/statement.h"
#include "ledger/snapshot.h"

#include <criterion/criterion.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>

TestSuite(statement, .timeout = 60);

/* In memory of just this size, so that AddressSanitizer sees a byte too far. */
static enum pqb_pin read_piece(struct pqb_statement *statement, const char *text, size_t length)
{
    char *piece = malloc(length ? length : 1);
    memcpy(piece, text, length);
    enum pqb_pin pin = pqb_statement_read(statement, piece, length);
    free(piece);
    return pin;
}

/* As a Query of it passes, with a cut at these places. */
static enum pqb_pin pin_of(const char *text, size_t first, size_t second)
{
    struct pqb_statement statement = {0};
    enum pqb_pin pin = read_piece(&statement, text, first);
    if (!pin)
        pin = read_piece(&statement, text + first, second - first);
    if (!pin)
        pin = read_piece(&statement, text + second, strlen(text) - second);
    return pin ? pin : pqb_statement_end(&statement);
}

static void expect_pin(const char *text, enum pqb_pin pin)
{
    size_t length = strlen(text);
    for (size_t second = 0; second <= length; second++)
        for (size_t first = 0; first <= second; first++)
            cr_assert_eq(pin_of(text, first, second), pin, "'%s', cut at %zu and %zu: %d", text,
                         first, second, (int)pin_of(text, first, second));
}

#define EXPECT_PINS(pin, ...)                                                                      \
    do {                                                                                           \
        const char *const texts_[] = {__VA_ARGS__};                                                \
        for (size_t i_ = 0; i_ < sizeof texts_ / sizeof *texts_; i_++)                             \
            expect_pin(texts_[i_], (pin));                                                         \
    } while (0)

Test(statement, lets_go_what_leaves_nothing_behind)
{
    EXPECT_PINS(PQB_PIN_NONE, "", " ", ";", ";;", "SELECT 1", "BEGIN", "COMMIT; BEGIN",
                "UPDATE \"User\" SET name = $1 WHERE id = $2", "update t set x=1; select 2",
                "INSERT INTO t VALUES (1) ON CONFLICT (a) DO NOTHING",
                "insert into t values (1) on conflict do update\nset a = excluded.a",
                "ALTER TABLE t ALTER c SET NOT NULL", "NOTIFY listen", "UNLISTEN *",
                "SELECT prepare, load, listen, hold, temp FROM t WHERE temp > 3",
                "SELECT t.temp, avg(temperature) AS temporary_table FROM readings AS temp",
                "DECLARE c CURSOR WITHOUT HOLD FOR SELECT 1", "DECLARE c CURSOR FOR SELECT 1",
                "SELECT pg_advisory_xact_lock(1), pg_try_advisory_xact_lock_shared(2)",
                "SELECT pg_advisory_unlock_all(); CLOSE ALL; UNLISTEN *; RESET ALL;", "DISCARD ALL",
                "RESET ALL", "SHOW search_path", "DEALLOCATE ALL", "do1 x", "_set x", "set$ x",
                "reset x", "se", "doo", "CREATE TABLE tempo (a int)", "create_temp table",
                "SELECT 'a' - 'b', a -\n- b, c * d / e", "-", "--", "/", "*/");
}

Test(statement, keeps_what_a_session_has)
{
    EXPECT_PINS(PQB_PIN_LISTEN, "LISTEN c", "listen \"a b\"", "BEGIN; LISTEN c", ";\n\tLiStEn c");
    EXPECT_PINS(PQB_PIN_LOCK, "SELECT pg_advisory_lock(1)", "select PG_TRY_ADVISORY_LOCK ($1)",
                "SELECT pg_advisory_lock_shared(1,2)", "SELECT \"pg_try_advisory_lock_shared\"(1)",
                "SELECT pg_catalog.pg_advisory_lock(1)");
    EXPECT_PINS(PQB_PIN_TEMPORARY, "CREATE TEMP TABLE t (a int)", "create\ntemporary view v as x",
                "CREATE OR REPLACE TEMP VIEW v AS x", "CREATE LOCAL TEMPORARY SEQUENCE s",
                "CREATE GLOBAL TEMP TABLE t ()", "SELECT 1 INTO TEMP t",
                "SELECT 1 INTO LOCAL TEMP t", "CREATE TABLE pg_temp.t (a int)",
                "CREATE TABLE \"pg_temp_3\".t (a int)",
                "EXPLAIN ANALYZE CREATE TEMP TABLE t AS SELECT 1", "CREATE /* a */ TEMP TABLE t ()",
                "CREATE -- a\nTEMP TABLE t ()");
    EXPECT_PINS(PQB_PIN_CURSOR, "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
                "declare c scroll cursor with\r\nhold for x",
                "DECLARE c CURSOR WITH/**/HOLD FOR x");
    EXPECT_PINS(PQB_PIN_PREPARED, "PREPARE p AS SELECT 1", "PREPARE TRANSACTION 'a'");
    EXPECT_PINS(PQB_PIN_LOADED, "LOAD 'plpgsql'", "select 1;load'x'");
    EXPECT_PINS(PQB_PIN_UNSEEN, "DO $$BEGIN END$$", "do language plpgsql 'x'", "/* a */DO 'x'");
}

Test(statement, tells_settings_of_a_transaction_from_those_of_a_session)
{
    EXPECT_PINS(
        PQB_PIN_SETTING, "SET x = 1", "set x to 1", "SET\n\tTIME ZONE 'UTC'", "SET", "SET ;",
        "SET SESSION x = 1", "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", "SET ROLE r",
        "SET \"x\" = 1", "SET x.y = 1", "BEGIN;SET x = 1", " ; ; SET x = 1",
        "SET LOCAL x = 1; SET y = 1", "SET local.x = 1", "SET /* a */ LOCAL x = 1",
        "SET/* LOCAL */x = 1", "SET LOCAL", "SET locale = 1", "SET transaction_isolation = 1",
        "UPDATE pg_settings SET setting = 1 WHERE name = 'x'");
    EXPECT_PINS(PQB_PIN_NONE, "SET LOCAL x = 1", "set local\nx = 1",
                "BEGIN; SET LOCAL x = 1; SELECT 1", "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
                "SET CONSTRAINTS ALL DEFERRED", "SET LOCAL TIME ZONE 'UTC'",
                "SET extra_float_digits = 3", "SET application_name = 'PostgreSQL JDBC Driver'");
}

Test(statement, finds_statements_behind_comments_and_in_them)
{
    EXPECT_PINS(PQB_PIN_SETTING, "/*app='update'*/ SET x = 1", "-- update t\nSET x = 1",
                "-- a\rSET x = 1", "--\n\n  SET x = 1", "/* a /* b */ c **/SET x = 1",
                "SELECT '/*'; SET x = 1", "SELECT '--'; SET x = 1", "SELECT '--'; SET\nx = 1",
                "SELECT ';'; SET x = 1", "SELECT 1; -- a ' b \" c $$\nSET x = 1",
                "SELECT '\\'; SET x = 1; SELECT '", "SELECT $$'$$; SET x = 1",
                "SELECT \"'\"; SET x = 1", "SELECT 1--;\n; SET x=1",
                /* Too much, and harmless. */
                "SELECT '; SET x'", "/* ; set x */ SELECT 1", "UPDATE t -- a\nSET x = 1",
                "UPDATE t /* a */ SET x = 1");
    EXPECT_PINS(PQB_PIN_TEMPORARY, "INSERT INTO temp VALUES (1)", "SELECT /* a */ temp FROM t");
}

Test(statement, follows_a_call_of_set_config)
{
    EXPECT_PINS(PQB_PIN_NONE, "SELECT set_config('app.user', '42', true)",
                "select pg_catalog.SET_CONFIG ( 'a' , $1, TRUE )",
                "SELECT set_config($1,$2,true), 1",
                "SELECT set_config('it''s', 'a;-(/\"b', true) FROM t",
                "SELECT set_config(a, b::text, true)",
                "SELECT set_config('a', '1', true), set_config('b', '2', true)");
    EXPECT_PINS(
        PQB_PIN_SETTING, "SELECT set_config('a', '1', false)", "SELECT set_config($1, $2, $3)",
        "SELECT set_config('a', '1', not true)", "SELECT set_config('a', 'true')",
        "SELECT set_config('a', ', true)', false)", "SELECT set_config('a', E'\\', true)', false)",
        "SELECT set_config('a', $$, true)$$, false)",
        "SELECT set_config('a', $a$, true)$a$, false)",
        "SELECT set_config('a', /*, true)*/ '1', false)",
        "SELECT set_config('a', f(1, true), false)",
        "SELECT set_config('a', --, true)\n '1', false)",
        "SELECT set_config('a', \", true)\", false)", "SELECT \"set_config\"('a', '1', true)",
        "SELECT set_config", "SELECT set_config(", "SELECT set_config('a', '1', true",
        "SELECT set_config('a', '1', true or false)", "SELECT set_config('a', '1', 't')",
        "SELECT set_config('a', '1', true), set_config('b', '2', false)",
        "-- set_config('\nSELECT set_config('a', 'b', false), ', true)'",
        "SELECT set_config(; SELECT 1, true)",
        "SELECT set_config('a', set_config('b', 'c', true), false)");
    EXPECT_PINS(PQB_PIN_LISTEN, "/* set_config(' */LISTEN x; SELECT ', true)'");
    EXPECT_PINS(PQB_PIN_LOCK, "-- set_config('\nSELECT pg_advisory_lock(1), ', true)'");
}

Test(statement, names_every_reason)
{
    cr_expect_eq((unsigned)PQB_PINS, (unsigned)PQB_SESSION_PINS);
    for (unsigned pin = 1; pin < PQB_PINS; pin++)
        cr_expect(pqb_session_name(PQB_SESSION_PINNED + pin), "%u", pin);
}

/* ---- beside regular expressions ---- */

#define BLANKS "[ \t\n\r]*"
#define START "(^|;|\\*" BLANKS "/|-" BLANKS "-[^\n\r]*[\n\r])" BLANKS
#define END "($|[^a-z0-9_$])"
#define MAKER "(^|[^a-z0-9_$])(create|replace|global|local|into)[ \t\n\r]+"

static const char *const patterns[] = {
    START "(listen|load|prepare|do)" END,
    "(" START "|" MAKER ")(temp|temporary)" END,
    "(" START "|(^|[^a-z0-9_$])with[ \t\n\r]+)hold" END,
    ("(^|[^a-z0-9_$])pg_advisory_lock" END),
};

static int matches(const regex_t *expressions, const char *text)
{
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++)
        if (!regexec(&expressions[i], text, 0, NULL, 0))
            return 1;
    return 0;
}

Test(statement, agrees_with_regular_expressions)
{
    static const char *const pieces[] = {
        "listen", "load",    "prepare", "do",   "temp", "temporary", "hold", "pg_advisory_lock",
        "create", "replace", "global",  "into", "with", "local",     "x",    "1",
        "_",      "$",       ";",       "*",    "/",    "-",         "--",   "*/",
        "/*",     "\n",      "\r",      " ",    " ",    "\t",        "'",    "(",
    };
    enum { PIECES = sizeof pieces / sizeof *pieces, PATTERNS = sizeof patterns / sizeof *patterns };
    regex_t expressions[PATTERNS];
    unsigned found = 0, rounds = 30000;
    for (unsigned i = 0; i < PATTERNS; i++)
        cr_assert_eq(regcomp(&expressions[i], patterns[i], REG_EXTENDED | REG_NOSUB | REG_ICASE),
                     0);
    srandom(7);
    for (unsigned round = 0; round < rounds; round++) {
        char text[200] = "";
        for (long left = random() % 7; left >= 0; left--)
            strcat(strcat(text, pieces[random() % PIECES]), random() % 2 ? " " : "");
        size_t second = (size_t)random() % (strlen(text) + 1);
        int is_pinned = pin_of(text, (size_t)random() % (second + 1), second) != PQB_PIN_NONE;
        cr_assert_eq(is_pinned, matches(expressions, text), "'%s': %d", text, is_pinned);
        found += (unsigned)is_pinned;
    }
    cr_expect(found > rounds / 10 && found < rounds - rounds / 10, "%u", found);
    for (unsigned i = 0; i < PATTERNS; i++)
        regfree(&expressions[i]);
}
