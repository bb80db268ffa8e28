/* clean.c: what is taken out of a connection string, and what that asked for. */
#include "conninfo/clean.h"
#include "conninfo/buffer.h"
#include "conninfo/foreign.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

TestSuite(clean, .timeout = 60);

/* What libpq 15 knows, and what libpq 16 brought. */
#define KEYWORDS_15                                                                                \
    "service user password passfile channel_binding connect_timeout dbname host hostaddr port "    \
    "client_encoding options application_name fallback_application_name keepalives "               \
    "keepalives_idle keepalives_interval keepalives_count tcp_user_timeout sslmode "               \
    "sslcompression sslcert sslkey sslpassword sslrootcert sslcrl sslcrldir sslsni requirepeer "   \
    "ssl_min_protocol_version ssl_max_protocol_version gssencmode krbsrvname gsslib replication "  \
    "target_session_attrs"
#define KEYWORDS_16 KEYWORDS_15 " require_auth sslcertmode gssdelegation load_balance_hosts"

static char words[2048];
static struct pqb_keyword list[64];
static struct pqb_keywords known;

static void know(const char *keywords)
{
    snprintf(words, sizeof words, "%s", keywords);
    memset(list, 0, sizeof list);
    known = (struct pqb_keywords){list, 0};
    for (char *word = strtok(words, " "); word; word = strtok(NULL, " "))
        list[known.count++].keyword = word;
}

static void environ_says(const char *keyword, const char *value)
{
    for (size_t i = 0; i < known.count; i++)
        if (!strcmp(list[i].keyword, keyword))
            list[i].environment = value;
}

/* What comes out, also if nothing changed. */
static char *cleaned(const char *text, unsigned flags, struct pqb_wishes *wishes)
{
    char *clean = NULL;
    cr_assert_eq(pqb_clean_text(text, &known, flags, &clean, wishes), PQB_OK);
    cr_assert(!clean || strcmp(clean, text) != 0, "'%s' was changed into itself", text);
    return clean ? clean : strdup(text);
}

static const struct row {
    const char *before, *after, *settings;
    unsigned cap;
    int64_t wait_ms;
    int pooler;
} rows[] = {
#define NOTHING NULL, 0, PQB_WISH_UNSAID, -1
#define SETS(settings) settings, 0, PQB_WISH_UNSAID, -1
#define CAPS(cap) NULL, cap, PQB_WISH_UNSAID, -1
#define WAITS(ms) NULL, 0, ms, -1
#define POOLS(pooler) NULL, 0, PQB_WISH_UNSAID, pooler
    /* nothing foreign: left alone, byte for byte */
    {"", "", NOTHING},
    {"dbname", "dbname", NOTHING},
    {" host = a  port=1 ", " host = a  port=1 ", NOTHING},
    {"postgresql://", "postgresql://", NOTHING},
    {"postgres://u:p%40@h:1,[::1]/db?sslmode=require&", NULL, NOTHING},
    {"postgresql://h/db?ssl=true", NULL, NOTHING},
    {"postgresql://h/db?unknown=1&host=x", NULL, NOTHING},
    {"unknown=1", NULL, NOTHING},
    {"host=a\\", NULL, NOTHING},
    {"postgresql://h/db?connect_timeout=5", NULL, NOTHING},
    {"postgresql://h/db?sslmode=no-verify", NULL, NOTHING},
    /* what libpq's grammar refuses is libpq's */
    {"schema=a host", NULL, NOTHING},
    {"schema='a", NULL, NOTHING},
    {"postgresql://[::1/db?schema=a", NULL, NOTHING},
    {"postgresql://[]/db?schema=a", NULL, NOTHING},
    {"postgresql://[::1]x/db?schema=a", NULL, NOTHING},
    {"postgresql://h/db?schema=%4", NULL, NOTHING},
    {"postgresql://h/db?schema=%00", NULL, NOTHING},
    {"postgresql://h/db?schem%zz=a", NULL, NOTHING},
    /* the URL that dies today */
    {"postgresql://u:p@localhost:5432/db?schema=public&connection_limit=5&pool_timeout=10"
     "&connect_timeout=5&socket_timeout=30&pgbouncer=true",
     NULL, NOTHING},
    {"postgresql://u:p@localhost:5432/db?schema=public&connection_limit=5&pool_timeout=10"
     "&connect_timeout=5&socket_timeout=30",
     "postgresql://u:p@localhost:5432/db?connect_timeout=5",
     "-c statement_timeout=30000 -c search_path=\"public\"", 5, 10000, -1},
    /* caps */
    {"postgresql://h/db?connection_limit=5", "postgresql://h/db", CAPS(5)},
    {"postgresql://h?connection_limit=5", "postgresql://h", CAPS(5)},
    {"postgresql://?connection_limit=5", "postgresql://", CAPS(5)},
    {"postgresql://h/db?connection_limit=5&host=a", "postgresql://h/db?host=a", CAPS(5)},
    {"postgresql://h/db?host=a&connection_limit=5", "postgresql://h/db?host=a", CAPS(5)},
    {"postgresql://h/db?host=a&connection_limit=5&port=1", "postgresql://h/db?host=a&port=1",
     CAPS(5)},
    {"postgresql://h/db?connection%5Flimit=%35", "postgresql://h/db", CAPS(5)},
    {"connection_limit=5", "", CAPS(5)},
    {"host=a connection_limit = '5' port=1", "host='a' port='1'", CAPS(5)},
    {"host=a\\ b connection_limit=5 password='it\\'s \\\\'", "host='a b' password='it\\'s \\\\'",
     CAPS(5)},
    {"connection_limit=5 password=x\\", "password='x'", CAPS(5)},
    {"postgresql://h/db?pool_max_conns=7", "postgresql://h/db", CAPS(7)},
    {"postgresql://h/db?maximumPoolSize=7", "postgresql://h/db", CAPS(7)},
    {"postgresql://h/db?max_size=7", "postgresql://h/db", CAPS(7)},
    {"postgresql://h/db?pool=7", "postgresql://h/db", CAPS(7)},
    {"postgresql://h/db?max=7", "postgresql://h/db", CAPS(7)},
    {"postgresql://h/db?pool=true", NULL, NOTHING},
    {"postgresql://h/db?max=0", NULL, NOTHING},
    {"postgresql://h/db?max=-1", NULL, NOTHING},
    {"postgresql://h/db?max=1.5", NULL, NOTHING},
    {"postgresql://h/db?max=", NULL, NOTHING},
    {"postgresql://h/db?connection_limit=0", "postgresql://h/db", NOTHING},
    {"postgresql://h/db?connection_limit=x", "postgresql://h/db", NOTHING},
    {"postgresql://h/db?connection_limit=", "postgresql://h/db", NOTHING},
    {"postgresql://h/db?connection_limit=99999999999999999999", "postgresql://h/db",
     CAPS(4294967295u)},
    {"postgresql://h/db?connection_limit=5&connection_limit=9", "postgresql://h/db", CAPS(9)},
    {"postgresql://h/db?connection_limit=5&connection_limit=", "postgresql://h/db", NOTHING},
    {"postgresql://h/db?connection_limit=5&max=3", "postgresql://h/db", CAPS(3)},
    /* waits */
    {"postgresql://h/db?pool_timeout=10", "postgresql://h/db", WAITS(10000)},
    {"postgresql://h/db?pool_timeout=0", "postgresql://h/db", WAITS(PQB_WISH_FOREVER)},
    {"postgresql://h/db?pool_timeout=1.5", "postgresql://h/db", WAITS(1500)},
    {"postgresql://h/db?pool_timeout=0.0001", "postgresql://h/db", WAITS(1)},
    {"postgresql://h/db?pool_timeout=-1", "postgresql://h/db", NOTHING},
    {"postgresql://h/db?checkout_timeout=2", "postgresql://h/db", WAITS(2000)},
    {"postgresql://h/db?connectionTimeoutMillis=250", "postgresql://h/db", WAITS(250)},
    {"postgresql://h/db?connectionTimeoutMillis=0", "postgresql://h/db", WAITS(PQB_WISH_FOREVER)},
    /* statement timeouts */
    {"postgresql://h/db?socket_timeout=30", "postgresql://h/db",
     SETS("-c statement_timeout=30000")},
    {"postgresql://h/db?command_timeout=0.25", "postgresql://h/db",
     SETS("-c statement_timeout=250")},
    {"postgresql://h/db?socket_timeout=0", "postgresql://h/db", NOTHING},
    {"postgresql://h/db?socket_timeout=99999999999", "postgresql://h/db",
     SETS("-c statement_timeout=2147483647")},
    {"postgresql://h/db?statement_timeout=5s&socket_timeout=30", "postgresql://h/db",
     SETS("-c statement_timeout=30000 -c statement_timeout=5s")},
    {"postgresql://h/db?lock_timeout=1000&idle_in_transaction_session_timeout=60s"
     "&idle_session_timeout=1min",
     "postgresql://h/db",
     SETS("-c lock_timeout=1000 -c idle_in_transaction_session_timeout=60s "
          "-c idle_session_timeout=1min")},
    {"postgresql://h/db?statement_timeout=", "postgresql://h/db", NOTHING},
    {"statement_timeout='1 min'", "", SETS("-c statement_timeout=1\\ min")},
    /* schemas */
    {"postgresql://h/db?schema=web", "postgresql://h/db", SETS("-c search_path=\"web\"")},
    {"postgresql://h/db?schema=a%20%22b%22%5C", "postgresql://h/db",
     SETS("-c search_path=\"a\\ \"\"b\"\"\\\\\"")},
    {"postgresql://h/db?schema=a,b", "postgresql://h/db", SETS("-c search_path=\"a,b\"")},
    {"postgresql://h/db?schema=", "postgresql://h/db", NOTHING},
    {"postgresql://h/db?currentSchema=a,%20b", "postgresql://h/db", SETS("-c search_path=a,\\ b")},
    {"postgresql://h/db?search_path=a", "postgresql://h/db", SETS("-c search_path=a")},
    {"postgresql://h/db?schema=a&options=-c%20x%3D1", "postgresql://h/db?options=-c%20x%3D1",
     SETS("-c search_path=\"a\"")},
    /* where no options can be added */
    {"postgresql://h/db?schema=a&pgbouncer=true&pool_timeout=3", NULL, NOTHING},
    {"postgresql://h/db?schema=public&pgbouncer=true", "postgresql://h/db", POOLS(1)},
    {"postgresql://h/db?lock_timeout=1&pgbouncer=true", NULL, NOTHING},
    {"postgresql://h/db?socket_timeout=1&pgbouncer=true", NULL, NOTHING},
    {"postgresql://h/db?socket_timeout=0&pgbouncer=true&max=2", "postgresql://h/db", NULL, 2,
     PQB_WISH_UNSAID, 1},
    {"schema=a options='-c x=1\\\\' max=3", NULL, NOTHING},
    {"options='-c x=1\\\\' max=3", "options='-c x=1\\\\'", CAPS(3)},
    {"postgresql://h/db?pgbouncer=false&schema=a", "postgresql://h/db", "-c search_path=\"a\"", 0,
     PQB_WISH_UNSAID, 0},
    {"postgresql://h/db?pgbouncer=", "postgresql://h/db", NOTHING},
    /* TLS: no silent loss */
    {"postgresql://h/db?ssl=1", "postgresql://h/db?sslmode=require", NOTHING},
    {"ssl=true", "sslmode='require'", NOTHING},
    {"postgresql://h/db?ssl=no-verify", "postgresql://h/db?sslmode=require", NOTHING},
    {"postgresql://h/db?ssl=verify-full", "postgresql://h/db?sslmode=verify-full", NOTHING},
    {"postgresql://h/db?ssl=prefer", "postgresql://h/db?sslmode=prefer", NOTHING},
    {"postgresql://h/db?ssl=false", "postgresql://h/db?sslmode=disable", NOTHING},
    {"postgresql://h/db?ssl=0&host=a", "postgresql://h/db?host=a&sslmode=disable", NOTHING},
    {"postgresql://h/db?ssl=yes", NULL, NOTHING},
    {"postgresql://h/db?ssl=", NULL, NOTHING},
    {"postgresql://h/db?ssl", NULL, NOTHING},
    {"postgresql://h/db?ssl=%7B%22ca%22%3A1%7D", NULL, NOTHING},
    {"postgresql://h/db?ssl=TRUE&schema=a", "postgresql://h/db?ssl=TRUE",
     SETS("-c search_path=\"a\"")},
    {"postgresql://h/db?sslmode=verify-full&ssl=1", "postgresql://h/db?sslmode=verify-full",
     NOTHING},
    {"postgresql://h/db?ssl=0&sslmode=require", "postgresql://h/db?sslmode=require", NOTHING},
    {"postgresql://h/db?sslmode=disable&ssl=1", "postgresql://h/db?sslmode=disable&sslmode=require",
     NOTHING},
    {"postgresql://h/db?sslmode=odd&ssl=1", "postgresql://h/db?sslmode=odd", NOTHING},
    {"postgresql://h/db?ssl=true&ssl=0", "postgresql://h/db?ssl=true", NOTHING},
    {"postgresql://h/db?ssl=1&ssl=0", "postgresql://h/db?sslmode=require", NOTHING},
    {"postgresql://h/db?ssl=verify-ca&ssl=true", "postgresql://h/db?ssl=true&sslmode=verify-ca",
     NOTHING},
    {"postgresql://h/db?sslaccept=strict", "postgresql://h/db?sslmode=verify-full", NOTHING},
    {"postgresql://h/db?sslmode=require&sslaccept=strict",
     "postgresql://h/db?sslmode=require&sslmode=verify-full", NOTHING},
    {"postgresql://h/db?sslmode=disable&sslaccept=strict", "postgresql://h/db?sslmode=disable",
     NOTHING},
    {"postgresql://h/db?ssl=true&sslaccept=strict",
     "postgresql://h/db?ssl=true&sslmode=verify-full", NOTHING},
    {"postgresql://h/db?sslaccept=accept_invalid_certs", "postgresql://h/db", NOTHING},
    {"postgresql://h/db?sslaccept=lax", NULL, NOTHING},
    {"postgresql://h/db?sslaccept=", "postgresql://h/db", NOTHING},
    {"postgresql://h/db?sslcert=c.pem", NULL, NOTHING},
    {"postgresql://h/db?sslcert=c%20d.pem&sslaccept=strict",
     "postgresql://h/db?sslrootcert=c%20d.pem&sslmode=verify-full", NOTHING},
    {"postgresql://h/db?sslcert=c.pem&sslaccept=accept_invalid_certs", "postgresql://h/db",
     NOTHING},
    {"postgresql://h/db?sslidentity=i.p12&sslcert=c.pem", "postgresql://h/db?sslrootcert=c.pem",
     NOTHING},
    {"postgresql://h/db?sslcert=c&sslrootcert=r&sslaccept=strict",
     "postgresql://h/db?sslrootcert=r&sslmode=verify-full", NOTHING},
    {"postgresql://h/db?sslfactory=x.y", NULL, NOTHING},
    {"postgresql://h/db?channelBinding=require", NULL, NOTHING},
    {"postgresql://h/db?channelBinding=prefer", "postgresql://h/db", NOTHING},
    {"postgresql://h/db?channelBinding=", NULL, NOTHING},
    {"postgresql://h/db?targetServerType=any", "postgresql://h/db", NOTHING},
    {"postgresql://h/db?targetServerType=primary", NULL, NOTHING},
    {"postgresql://h/db?readOnly=true", NULL, NOTHING},
    /* names and times */
    {"postgresql://h/db?ApplicationName=my%20app", "postgresql://h/db?application_name=my%20app",
     NOTHING},
    {"postgresql://h/db?ApplicationName=", "postgresql://h/db", NOTHING},
    {"postgresql://h/db?connectTimeout=10", "postgresql://h/db?connect_timeout=10", NOTHING},
    {"postgresql://h/db?loginTimeout=2.5", "postgresql://h/db?connect_timeout=3", NOTHING},
    {"postgresql://h/db?connect_timeout=2.5", "postgresql://h/db?connect_timeout=3", NOTHING},
    {"connect_timeout=0.0", "connect_timeout='0'", NOTHING},
    {"postgresql://h/db?connect_timeout=5s", NULL, NOTHING},
    {"postgresql://h/db?connectTimeout=5s", NULL, NOTHING},
    {"connectTimeout=5s connectTimeout=", "connectTimeout='5s'", NOTHING},
    {"max=3 connectTimeout=5s", "connectTimeout='5s'", CAPS(3)},
    {"postgresql://h/db?connectTimeout=", "postgresql://h/db", NOTHING},
    {"postgresql://h/db?connectTimeout=99999999999", "postgresql://h/db?connect_timeout=2147483647",
     NOTHING},
    /* dropped */
    {"postgresql://h/db?statement_cache_size=0&prepared_statements=false&uselibpqcompat=true",
     "postgresql://h/db", NOTHING},
    {"postgresql://h/db?prepared_statements", "postgresql://h/db", NOTHING},
    {"postgresql://h/db?prepared_statements=a=b", "postgresql://h/db", NOTHING},
    {"postgresql://h/db?Maximum%20Pool%20Size=4&Pooling=true", "postgresql://h/db", CAPS(4)},
    {"postgresql://h/db?b=1&echo=1&a=2&pool_size=3&c=3", "postgresql://h/db?b=1&a=2&c=3", NOTHING},
    {"postgresql://a?max=3@h/db?max=4", "postgresql://a?max=3@h/db", CAPS(4)},
    {"postgresql://h1,h2:2,[::1]:3/db?max=4", "postgresql://h1,h2:2,[::1]:3/db", CAPS(4)},
    {"postgresql://h/d=b&x?max=4", "postgresql://h/d=b&x", CAPS(4)},
    {"postgresql://h/db?user=a?max=4&max=5", "postgresql://h/db?user=a?max=4", CAPS(5)},
    /* what goes does not change how the rest is read */
    {"postgresql://h?schema=a/b&options=c@d&max=1", "postgresql://h/?options=c@d",
     "-c search_path=\"a/b\"", 1, PQB_WISH_UNSAID, -1},
    {"postgresql://?max=3&user=a", "postgresql:///?user=a", CAPS(3)},
    {"postgresql://u@h?max=3&user=a", "postgresql://u@h?user=a", CAPS(3)},
    {"max=3 postgresql://h=x", " postgresql://h='x'", CAPS(3)},
    /* schemes */
    {"postgresql+psycopg2://u@h/db", "postgresql://u@h/db", NOTHING},
    {"postgres+asyncpg://h/db?max_size=3", "postgresql://h/db", CAPS(3)},
    {"postgis://h/db", "postgresql://h/db", NOTHING},
    {"pgsql://h/db", "postgresql://h/db", NOTHING},
    {"timescalegis://h/db", "postgresql://h/db", NOTHING},
    {"jdbc:postgresql://h/db?user=u&ssl=true", "postgresql://h/db?user=u&ssl=true", NOTHING},
    {"jdbc:postgres+x://h", "postgresql://h", NOTHING},
    {"postgresql+://h/db", NULL, NOTHING},
    {"mysql://h/db?schema=a", NULL, NOTHING},
    {"jdbc:mysql://h/db", NULL, NOTHING},
    {"postgresqlx://h/db", NULL, NOTHING},
};

Test(clean, makes_of_each_string_what_libpq_takes)
{
    know(KEYWORDS_15);
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct row *row = &rows[i];
        const char *wanted = row->after ? row->after : row->before;
        struct pqb_wishes wishes, again;
        char *clean = cleaned(row->before, 0, &wishes);
        cr_assert_str_eq(clean, wanted, "%s: '%s', not '%s'", row->before, clean, wanted);
        cr_assert_eq(wishes.cap, row->cap, "%s: cap %u", row->before, wishes.cap);
        cr_assert_eq(wishes.wait_ms, row->wait_ms, "%s", row->before);
        cr_assert_eq(wishes.pooler, row->pooler, "%s", row->before);
        cr_assert_str_eq(wishes.settings ? wishes.settings : "", row->settings ? row->settings : "",
                         "%s: %s", row->before, wishes.settings);
        char *twice = cleaned(clean, 0, &again);
        cr_assert_str_eq(twice, clean, "%s: cleaned twice", row->before);
        cr_assert(!again.cap && !again.settings && again.wait_ms == PQB_WISH_UNSAID);
        pqb_wishes_clear(&again);
        pqb_buffer_free(twice);
        pqb_wishes_clear(&wishes);
        pqb_buffer_free(clean);
    }
}

/* Flags, the environment and what libpq knows: columns that few rows need. */
Test(clean, heeds_who_asks_and_what_libpq_knows)
{
    static const struct {
        const char *before, *after, *settings;
        unsigned flags;
        const char *pgoptions, *pgsslrootcert;
        int is_16;
    } cases[] = {
        /* PostgreSQL's own programs take their time */
        {"postgresql://h/db?socket_timeout=3&command_timeout=4&schema=a", "postgresql://h/db",
         "-c search_path=\"a\"", PQB_CLEAN_OWN_PROGRAM, NULL, NULL, 0},
        {"postgresql://u:p@localhost:5432/db?schema=public&connection_limit=5&pool_timeout=10"
         "&connect_timeout=5&socket_timeout=30&pgbouncer=true",
         "postgresql://u:p@localhost:5432/db?connect_timeout=5", "", PQB_CLEAN_OWN_PROGRAM, NULL,
         NULL, 0},
        {"postgresql://h/db?statement_timeout=3", "postgresql://h/db", "-c statement_timeout=3",
         PQB_CLEAN_OWN_PROGRAM, NULL, NULL, 0},
        /* for those who only parse: settings inside */
        {"postgresql://h/db?schema=a%20b",
         "postgresql://h/db?options=-c%20search_path%3D%22a%5C%20b%22", "", PQB_CLEAN_INLINE, NULL,
         NULL, 0},
        {"schema=a options='-c x=1'", "options='-c x=1' options='-c search_path=\"a\" -c x=1'", "",
         PQB_CLEAN_INLINE, "-c y=1", NULL, 0},
        {"schema=a", "options='-c search_path=\"a\" -c y=1'", "", PQB_CLEAN_INLINE, "-c y=1", NULL,
         0},
        {"schema=a", "options='-c search_path=\"a\"'", "", PQB_CLEAN_INLINE, "", NULL, 0},
        {"max=3", "", "", PQB_CLEAN_INLINE, "-c y=1", NULL, 0},
        /* options that nothing can be put behind, a pooler known by its port */
        {"schema=a", "schema=a", "", 0, "-c y=1\\", NULL, 0},
        {"schema=a", "schema=a", "", PQB_CLEAN_POOLER, NULL, NULL, 0},
        {"schema=public", "", "", PQB_CLEAN_POOLER, NULL, NULL, 0},
        {"schema=a options=''", "options=''", "-c search_path=\"a\"", 0, "-c y=1\\", NULL, 0},
        /* libpq 16 has the system's certificates */
        {"postgresql://h/db?sslaccept=strict",
         "postgresql://h/db?sslmode=verify-full&sslrootcert=system", "", 0, NULL, NULL, 1},
        {"postgresql://h/db?sslaccept=strict", "postgresql://h/db?sslmode=verify-full", "", 0, NULL,
         "root.crt", 1},
        {"postgresql://h/db?sslaccept=strict",
         "postgresql://h/db?sslmode=verify-full&sslrootcert=system", "", 0, NULL, "", 1},
        {"postgresql://h/db?sslaccept=strict&sslrootcert=r",
         "postgresql://h/db?sslrootcert=r&sslmode=verify-full", "", 0, NULL, NULL, 1},
        {"postgresql://h/db?sslaccept=strict&sslcert=r",
         "postgresql://h/db?sslrootcert=r&sslmode=verify-full", "", 0, NULL, NULL, 1},
        {"postgresql://h/db?sslmode=verify-full&sslaccept=strict",
         "postgresql://h/db?sslmode=verify-full&sslrootcert=system", "", 0, NULL, NULL, 1},
        {"postgresql://h/db?sslmode=disable&sslaccept=strict", "postgresql://h/db?sslmode=disable",
         "", 0, NULL, NULL, 1},
        {"postgresql://h/db?ssl=1", "postgresql://h/db?sslmode=require", "", 0, NULL, NULL, 1},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct pqb_wishes wishes, again;
        know(cases[i].is_16 ? KEYWORDS_16 : KEYWORDS_15);
        environ_says("options", cases[i].pgoptions);
        environ_says("sslrootcert", cases[i].pgsslrootcert);
        char *clean = cleaned(cases[i].before, cases[i].flags, &wishes);
        cr_assert_str_eq(clean, cases[i].after, "row %u: '%s', not '%s'", i, clean, cases[i].after);
        cr_assert_str_eq(wishes.settings ? wishes.settings : "", cases[i].settings, "row %u", i);
        char *twice = cleaned(clean, cases[i].flags, &again);
        cr_assert_str_eq(twice, clean, "row %u", i);
        pqb_wishes_clear(&wishes);
        pqb_wishes_clear(&again);
        pqb_buffer_free(clean);
        pqb_buffer_free(twice);
    }
}

Test(clean, leaves_alone_what_this_libpq_knows)
{
    know(KEYWORDS_15 " schema ssl max statement_timeout sslaccept");
    struct pqb_wishes wishes;
    const char *text = "postgresql://h/db?schema=a&ssl=1&max=3&statement_timeout=1&sslaccept=strict"
                       "&sslcert=c";
    char *clean = cleaned(text, 0, &wishes);
    cr_assert_str_eq(clean, text);
    cr_assert(!wishes.cap && !wishes.settings);
    pqb_buffer_free(clean);
}

Test(clean, takes_arrays_as_well)
{
    struct pqb_params params = {NULL, 0, 0};
    struct pqb_wishes wishes;
    know(KEYWORDS_15);
    static const char *const pairs[][2] = {
        {"host", "a b"},      {"connection_limit", "5"}, {"schema", "web"},
        {"ssl", "true"},      {"unknown", "x"},          {"ApplicationName", "app"},
        {"sslmode", "allow"}, {"connectTimeout", "1.5"}, {"password", "it's"},
    };
    for (unsigned i = 0; i < sizeof pairs / sizeof *pairs; i++)
        cr_assert_eq(pqb_params_add(&params, pairs[i][0], pairs[i][1]), PQB_OK);
    for (int round = 0; round < 2; round++) {
        cr_assert_eq(pqb_clean_params(&params, &known, 0, &wishes), PQB_OK);
        char *text = pqb_params_print(&params);
        cr_assert_str_eq(text, "host='a b' unknown='x' application_name='app' sslmode='require' "
                               "connect_timeout='2' password='it\\'s'");
        pqb_buffer_free(text);
        cr_assert_eq(wishes.cap, round ? 0 : 5);
        cr_assert_str_eq(wishes.settings ? wishes.settings : "",
                         round ? "" : "-c search_path=\"web\"");
        pqb_wishes_clear(&wishes);
    }
    pqb_params_clear(&params);

    /* Where no option can be added, nothing is touched. */
    cr_assert_eq(pqb_params_add(&params, "schema", "web"), PQB_OK);
    cr_assert_eq(pqb_params_add(&params, "pgbouncer", "true"), PQB_OK);
    cr_assert_eq(pqb_clean_params(&params, &known, 0, &wishes), PQB_OK);
    cr_assert_eq(params.count, 2);
    cr_assert(wishes.pooler == -1 && !wishes.settings);
    pqb_params_clear(&params);
}

Test(clean, wishes_are_joined)
{
    struct pqb_wishes wishes = PQB_WISHES_NONE, more = {3, 500, 1, NULL};
    cr_assert_eq(pqb_wishes_join(&wishes, &more), PQB_OK);
    cr_assert(wishes.cap == 3 && wishes.wait_ms == 500 && wishes.pooler == 1 && !wishes.settings);
    more = PQB_WISHES_NONE;
    more.settings = strdup("-c a=1");
    cr_assert_eq(pqb_wishes_join(&wishes, &more), PQB_OK);
    cr_assert_eq(pqb_wishes_join(&wishes, &more), PQB_OK);
    cr_assert(wishes.cap == 3 && wishes.wait_ms == 500 && wishes.pooler == 1);
    cr_assert_str_eq(wishes.settings, "-c a=1 -c a=1");
    pqb_wishes_clear(&more);
    pqb_wishes_clear(&wishes);
    cr_assert(!wishes.settings && !wishes.cap);
}

Test(clean, knows_a_connection_string)
{
    static const char *const yes[] = {
        "postgresql://h",     "postgres://", "a=b", "postgis://h/db", "postgresql+psycopg2://h/db",
        "jdbc:postgresql://h"};
    static const char *const no[] = {"", "db", "mysql://h", "postgresql:h", "jdbc:db"};
    for (unsigned i = 0; i < sizeof yes / sizeof *yes; i++)
        cr_assert(pqb_clean_is_conninfo(yes[i]), "%s", yes[i]);
    for (unsigned i = 0; i < sizeof no / sizeof *no; i++)
        cr_assert(!pqb_clean_is_conninfo(no[i]), "%s", no[i]);
}

Test(clean, takes_nothing_for_nothing)
{
    struct pqb_wishes wishes;
    char *clean = (char *)"x";
    know(KEYWORDS_15);
    cr_assert_eq(pqb_clean_text(NULL, &known, 0, &clean, &wishes), PQB_OK);
    cr_assert_null(clean);
    cr_assert_eq(wishes.wait_ms, PQB_WISH_UNSAID);
}

/* No list names a keyword of libpq's, or one keyword twice. */
Test(clean, foreign_lists_name_strangers_once)
{
    know(KEYWORDS_16);
    for (size_t i = 0; i < known.count; i++)
        cr_assert_eq(pqb_foreign_find(list[i].keyword)->kind, PQB_FOREIGN_UNKNOWN, "%s",
                     list[i].keyword);
    cr_assert_eq(pqb_foreign_find("")->kind, PQB_FOREIGN_UNKNOWN);
    cr_assert(pqb_foreign_is_own_program("/usr/lib/postgresql/15/bin/pg_dump"));
    cr_assert(pqb_foreign_is_own_program("psql"));
    cr_assert(!pqb_foreign_is_own_program("psqlx"));
    cr_assert(!pqb_foreign_is_own_program("/usr/bin/python3"));
    cr_assert(!pqb_foreign_is_own_program(NULL));
}

/* Whatever is mixed: cleaning twice is cleaning once, and what is unknown keeps its order. */
Test(clean, any_mixture_is_clean_after_once)
{
    static const char *const parts[] = {
        "u1=1",
        "u2=2",
        "u3=3",
        "schema=a",
        "max=3",
        "max=x",
        "ssl=true",
        "ssl=0",
        "ssl=odd",
        "sslmode=allow",
        "sslcert=c",
        "sslaccept=strict",
        "pgbouncer=true",
        "options=-cx",
        "connect_timeout=1.5",
        "sslidentity=i",
        "socket_timeout=3",
        "pool_timeout=2",
        "ApplicationName=n",
        "echo=1",
    };
    const unsigned count = sizeof parts / sizeof *parts;
    unsigned seed = 1;
    know(KEYWORDS_16);
    for (int round = 0; round < 20000; round++) {
        char text[512] = "postgresql://h/db";
        int is_uri = round % 2;
        if (!is_uri)
            *text = 0;
        for (unsigned i = 0; i < 6; i++) {
            seed = seed * 1103515245 + 12345;
            strcat(text, !is_uri ? " " : i ? "&" : "?");
            strcat(text, parts[seed / 65536 % count]);
        }
        struct pqb_wishes wishes, again;
        char *clean = cleaned(text, 0, &wishes), *twice = cleaned(clean, 0, &again);
        cr_assert_str_eq(clean, twice, "%s", text);
        const char *from = text, *to = clean;
        while ((from = strstr(from, "u")) && *from) {
            if ((from[1] < '1' || from[1] > '3') || from[2] != '=') {
                from++;
                continue;
            }
            char name[4] = {from[0], from[1], '=', 0};
            to = strstr(to, name);
            cr_assert_not_null(to, "%s became %s", text, clean);
            from++;
            to++;
        }
        pqb_wishes_clear(&wishes);
        pqb_wishes_clear(&again);
        pqb_buffer_free(clean);
        pqb_buffer_free(twice);
    }
}
