/* merge.c: what a connection is made with. */
#include "conninfo/merge.h"

#include "conninfo/buffer.h"
#include "conninfo/grammar.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

TestSuite(merge, .timeout = 20);

#define PID 4711

/* Strings of keyword = value for each source; what libpq is given is printed. */
struct source {
    const char *program, *environment, *service, *defaults, *force, *settings;
    int pooler;
    enum pqb_naming naming;
    const char *label;
};

static struct pqb_params params_of(const char *text)
{
    struct pqb_params params = {NULL, 0, 0};
    struct pqb_pieces pieces = {NULL, 0, 0};
    cr_assert_eq(pqb_grammar_pairs(text ? text : "", &pieces), PQB_OK, "%s", text);
    for (size_t i = 0; i < pieces.count; i++)
        cr_assert_eq(pqb_params_set(&params, pieces.list[i].keyword, pieces.list[i].value), PQB_OK);
    pqb_pieces_clear(&pieces);
    return params;
}

/* "refused" if settings can't be added. `result` may be NULL. */
static char *merged(const struct source *source, int service_is_hidden, char key[512])
{
    static const char *const names[] = {"service",
                                        "host",
                                        "hostaddr",
                                        "port",
                                        "user",
                                        "password",
                                        "dbname",
                                        "options",
                                        "sslmode",
                                        "connect_timeout",
                                        "application_name",
                                        "fallback_application_name"};
    struct pqb_keyword list[sizeof names / sizeof *names];
    struct pqb_keywords known = {list, sizeof names / sizeof *names};
    struct pqb_params program = params_of(source->program), service = params_of(source->service),
                      defaults = params_of(source->defaults), force = params_of(source->force),
                      environment = params_of(source->environment), result;
    for (size_t i = 0; i < known.count; i++)
        list[i] = (struct pqb_keyword){names[i], pqb_params_get(&environment, names[i])};
    struct pqb_merge merge = {.known = &known,
                              .program = &program,
                              .service = source->service ? &service : NULL,
                              .service_is_hidden = service_is_hidden,
                              .defaults = source->defaults ? &defaults : NULL,
                              .force = source->force ? &force : NULL,
                              .settings = source->settings,
                              .pooler = source->pooler,
                              .naming = source->naming,
                              .label = source->label,
                              .pid = PID};
    enum pqb_status status = pqb_merge_params(&merge, &result);
    cr_assert(status == PQB_OK || status == PQB_REFUSED);
    if (key)
        cr_assert_eq(pqb_merge_key(&merge, &result, key, 512), 0);
    char *text = status ? strdup("refused") : pqb_params_print(&result);
    pqb_params_clear(&result);
    pqb_params_clear(&program);
    pqb_params_clear(&service);
    pqb_params_clear(&defaults);
    pqb_params_clear(&force);
    pqb_params_clear(&environment);
    return text;
}

struct row {
    struct source source;
    const char *result;
};

static void check(const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct row *row = &rows[i];
        char *once = merged(&row->source, 0, NULL);
        cr_assert_str_eq(once, row->result, "row %zu: %s\nnot %s", i, once, row->result);
        /* What came out is fed back, as psql's \c does. */
        struct source again = row->source;
        again.program = once;
        again.settings = NULL;
        if (strcmp(once, "refused") != 0) {
            char *twice = merged(&again, 0, NULL);
            cr_assert_str_eq(twice, once, "row %zu, twice: %s\nnot %s", i, twice, once);
            pqb_buffer_free(twice);
        }
        pqb_buffer_free(once);
    }
}
#define CHECK(rows) check(rows, sizeof(rows) / sizeof *(rows))

Test(merge, fills_in_what_nobody_said)
{
    static const struct row rows[] = {
        {{.program = "host=a", .pooler = -1}, "host='a'"},
        {{.program = "host=a", .defaults = "connect_timeout=5", .pooler = -1},
         "host='a' connect_timeout='5'"},
        {{.program = "connect_timeout=9", .defaults = "connect_timeout=5", .pooler = -1},
         "connect_timeout='9'"},
        {{.program = "connect_timeout=''", .defaults = "connect_timeout=5", .pooler = -1},
         "connect_timeout=''"},
        {{.environment = "connect_timeout=9", .defaults = "connect_timeout=5", .pooler = -1}, ""},
        {{.environment = "connect_timeout=''", .defaults = "connect_timeout=5", .pooler = -1}, ""},
        {{.service = "connect_timeout=9", .defaults = "connect_timeout=5", .pooler = -1}, ""},
        {{.environment = "sslmode=prefer", .defaults = "sslmode=require", .pooler = -1}, ""},
        {{.defaults = "sslmode=require user=u", .pooler = -1}, "sslmode='require' user='u'"},
        /* an address beats a host: the program's host is not led elsewhere */
        {{.program = "host=a", .defaults = "hostaddr=10.0.0.1 port=1", .pooler = -1},
         "host='a' port='1'"},
        {{.program = "hostaddr=10.0.0.1", .defaults = "host=b", .pooler = -1},
         "hostaddr='10.0.0.1'"},
        {{.environment = "host=a", .defaults = "hostaddr=10.0.0.1", .pooler = -1}, ""},
        {{.defaults = "host=b hostaddr=10.0.0.1", .pooler = -1}, "host='b' hostaddr='10.0.0.1'"},
        {{.program = "password='it\\'s'", .defaults = "password=x", .pooler = -1},
         "password='it\\'s'"},
        {{.program = "service=s", .defaults = "service=t", .pooler = -1}, "service='s'"},
    };
    CHECK(rows);
}

Test(merge, forces_over_everything)
{
    static const struct row rows[] = {
        {{.program = "host=a sslmode=disable", .force = "sslmode=require", .pooler = -1},
         "host='a' sslmode='require'"},
        {{.program = "user=u",
          .defaults = "sslmode=allow",
          .force = "sslmode=require",
          .pooler = -1},
         "user='u' sslmode='require'"},
        {{.environment = "sslmode=disable",
          .service = "sslmode=allow",
          .force = "sslmode=require",
          .pooler = -1},
         "sslmode='require'"},
        {{.program = "host=a hostaddr=10.0.0.1", .force = "host=b", .pooler = -1},
         "host='b' hostaddr=''"},
        {{.environment = "hostaddr=10.0.0.1", .force = "host=b", .pooler = -1},
         "host='b' hostaddr=''"},
        {{.program = "host=a", .force = "host=b", .pooler = -1}, "host='b'"},
        {{.program = "hostaddr=10.0.0.1", .force = "host=b hostaddr=10.0.0.2", .pooler = -1},
         "hostaddr='10.0.0.2' host='b'"},
    };
    CHECK(rows);
}

Test(merge, puts_options_together)
{
    static const struct row rows[] = {
        {{.defaults = "options='-c a=1'", .pooler = -1}, "options='-c a=1'"},
        {{.program = "options='-c b=2'", .defaults = "options='-c a=1'", .pooler = -1},
         "options='-c a=1 -c b=2'"},
        {{.program = "options='-c b=2'",
          .defaults = "options='-c a=1'",
          .force = "options='-c c=3'",
          .pooler = -1},
         "options='-c a=1 -c b=2 -c c=3'"},
        {{.program = "options='-c a=2'", .force = "options='-c a=1'", .pooler = -1},
         "options='-c a=2 -c a=1'"},
        {{.environment = "options='-c b=2'", .defaults = "options='-c a=1'", .pooler = -1},
         "options='-c a=1 -c b=2'"},
        {{.environment = "options='-c b=2'", .pooler = -1}, ""},
        {{.program = "options=' '", .defaults = "options=''", .pooler = -1}, "options=' '"},
        {{.service = "options='-c b=2'",
          .environment = "options='-c x=1'",
          .defaults = "options='-c a=1'",
          .pooler = -1},
         "options='-c a=1 -c b=2'"},
        /* options of the string silence the others, as with libpq */
        {{.program = "options=''",
          .service = "options='-c b=2'",
          .environment = "options='-c x=1'",
          .defaults = "options='-c a=1'",
          .pooler = -1},
         "options='-c a=1'"},
        {{.program = "options=''", .environment = "options='-c x=1'", .pooler = -1}, "options=''"},
        /* what foreign parameters asked for: the string's own options win, PGOPTIONS does not */
        {{.settings = "-c s=1", .pooler = -1}, "options='-c s=1'"},
        {{.program = "options='-c b=2'",
          .settings = "-c s=1",
          .defaults = "options='-c a=1'",
          .pooler = -1},
         "options='-c a=1 -c s=1 -c b=2'"},
        {{.environment = "options='-c b=2'",
          .settings = "-c s=1",
          .defaults = "options='-c a=1'",
          .force = "options='-c c=3'",
          .pooler = -1},
         "options='-c a=1 -c b=2 -c s=1 -c c=3'"},
        /* what is there is not added again */
        {{.program = "options='-c a=1 -c b=2 -c c=3'",
          .defaults = "options='-c a=1'",
          .settings = "-c b=2",
          .force = "options='-c c=3'",
          .pooler = -1},
         "options='-c a=1 -c b=2 -c c=3'"},
        {{.program = "options='-c c=3 -c b=2'", .force = "options='-c c=3'", .pooler = -1},
         "options='-c c=3 -c b=2 -c c=3'"},
        {{.environment = "options='-c a=1'", .defaults = "options='-c a=1'", .pooler = -1}, ""},
        {{.defaults = "options='-c a=1'", .force = "options='-c a=1'", .pooler = -1},
         "options='-c a=1'"},
        {{.defaults = "options=' '", .force = "options=''", .pooler = -1}, ""},
        /* half an escape at the end: the program's is passed on unmerged, ours lose it */
        {{.program = "options='-c b=2\\\\'",
          .defaults = "options='-c a=1'",
          .force = "options='-c c=3'",
          .pooler = -1},
         "options='-c b=2\\\\'"},
        {{.program = "options='-c b=2\\\\\\\\'", .force = "options='-c c=3'", .pooler = -1},
         "options='-c b=2\\\\\\\\ -c c=3'"},
        {{.program = "options='-c b=2'", .defaults = "options='-c a=1\\\\'", .pooler = -1},
         "options='-c a=1 -c b=2'"},
        {{.program = "options='-c b=2\\\\'", .settings = "-c s=1", .pooler = -1}, "refused"},
        /* a pooler refuses options */
        {{.program = "host=a port=6432", .defaults = "options='-c a=1'", .pooler = -1},
         "host='a' port='6432'"},
        {{.environment = "port=6543", .force = "options='-c a=1'", .pooler = -1}, ""},
        {{.defaults = "port=6432 options='-c a=1'", .pooler = -1}, "port='6432'"},
        {{.program = "options='-c b=2'", .defaults = "options='-c a=1'", .pooler = 1},
         "options='-c b=2'"},
        {{.program = "port=6432", .defaults = "options='-c a=1'", .pooler = 0},
         "port='6432' options='-c a=1'"},
        {{.program = "port=6432", .settings = "-c s=1", .pooler = -1}, "refused"},
        {{.settings = "-c s=1", .pooler = 1}, "refused"},
    };
    CHECK(rows);
}

Test(merge, names_the_application)
{
    static const struct row rows[] = {
        {{.label = "web", .pooler = -1}, "fallback_application_name='web'"},
        {{.label = "", .pooler = -1}, ""},
        {{.pooler = -1}, ""},
        {{.program = "application_name=x", .label = "web", .pooler = -1}, "application_name='x'"},
        {{.program = "application_name=''", .label = "web", .pooler = -1}, "application_name=''"},
        {{.environment = "application_name=x", .label = "web", .pooler = -1}, ""},
        {{.service = "application_name=x", .label = "web", .pooler = -1}, ""},
        {{.defaults = "application_name=x", .label = "web", .pooler = -1}, "application_name='x'"},
        {{.force = "application_name=x", .label = "web", .pooler = -1}, "application_name='x'"},
        {{.program = "fallback_application_name=psql", .label = "web", .pooler = -1},
         "fallback_application_name='psql'"},
        {{.program = "fallback_application_name=''", .label = "web", .pooler = -1},
         "fallback_application_name='web'"},
        {{.program = "options='-c application_name=x'", .label = "web", .pooler = -1},
         "options='-c application_name=x'"},
        {{.environment = "options='-c application_name=x'", .label = "web", .pooler = -1}, ""},
        {{.defaults = "options='-c application_name=x'", .label = "web", .pooler = -1},
         "options='-c application_name=x'"},
        /* force, off */
        {{.program = "application_name=x",
          .label = "web",
          .naming = PQB_NAMING_FORCE,
          .pooler = -1},
         "application_name='web'"},
        {{.environment = "application_name=x",
          .label = "web",
          .naming = PQB_NAMING_FORCE,
          .pooler = -1},
         "application_name='web'"},
        {{.force = "application_name=x", .label = "web", .naming = PQB_NAMING_FORCE, .pooler = -1},
         "application_name='x'"},
        {{.force = "fallback_application_name=''", .label = "web", .pooler = -1},
         "fallback_application_name=''"},
        {{.label = "web", .naming = PQB_NAMING_OFF, .pooler = -1}, ""},
        /* tag */
        {{.label = "web", .naming = PQB_NAMING_TAG, .pooler = -1}, "application_name='web [4711]'"},
        {{.program = "application_name=x", .label = "web", .naming = PQB_NAMING_TAG, .pooler = -1},
         "application_name='x [4711]'"},
        {{.environment = "application_name=x",
          .label = "web",
          .naming = PQB_NAMING_TAG,
          .pooler = -1},
         "application_name='x [4711]'"},
        {{.program = "application_name='x [1]'",
          .label = "web",
          .naming = PQB_NAMING_TAG,
          .pooler = -1},
         "application_name='x [4711]'"},
        {{.program = "application_name='x [a]'",
          .label = "web",
          .naming = PQB_NAMING_TAG,
          .pooler = -1},
         "application_name='x [a] [4711]'"},
        {{.program = "application_name='x []'",
          .label = "web",
          .naming = PQB_NAMING_TAG,
          .pooler = -1},
         "application_name='x [] [4711]'"},
        {{.program = "fallback_application_name=psql",
          .label = "web",
          .naming = PQB_NAMING_TAG,
          .pooler = -1},
         "fallback_application_name='psql' application_name='psql [4711]'"},
        {{.program = "options='-c application_name=o'",
          .label = "web",
          .naming = PQB_NAMING_TAG,
          .pooler = -1},
         "options='-c application_name=o' application_name='o [4711]'"},
        {{.program =
              "application_name=0123456789012345678901234567890123456789012345678901234567890",
          .label = "web",
          .naming = PQB_NAMING_TAG,
          .pooler = -1},
         "application_name='01234567890123456789012345678901234567890123456789012345 [4711]'"},
        {{.program =
              "application_name=0123456789012345678901234567890123456789012345678901234\xc3\xa4",
          .label = "web",
          .naming = PQB_NAMING_TAG,
          .pooler = -1},
         "application_name='0123456789012345678901234567890123456789012345678901234 [4711]'"},
    };
    CHECK(rows);
}

/* A section that only libpq can read might say anything: nothing is filled in over it, forced is
 * forced. */
Test(merge, is_careful_with_a_service_it_cannot_read)
{
    struct source source = {.program = "service=s",
                            .defaults = "connect_timeout=5 options='-c a=1'",
                            .force = "sslmode=require options='-c c=3'",
                            .pooler = -1};
    char *text = merged(&source, 1, NULL);
    cr_assert_str_eq(text, "service='s' sslmode='require'");
    pqb_buffer_free(text);
    source.settings = "-c s=1";
    text = merged(&source, 1, NULL);
    cr_assert_str_eq(text, "refused");
    pqb_buffer_free(text);
}

Test(merge, names_the_server_that_libpq_will_find)
{
    static const struct {
        struct source source;
        const char *key;
    } rows[] = {
        {{.pooler = -1}, "localhost:5432"},
        {{.program = "host=A", .environment = "host=b port=1", .pooler = -1}, "a:1"},
        {{.program = "host=a", .service = "port=2", .environment = "port=1", .pooler = -1}, "a:2"},
        {{.program = "host=''", .environment = "host=b", .pooler = -1}, "localhost:5432"},
        {{.program = "host=a hostaddr=10.0.0.1", .pooler = -1}, "10.0.0.1:5432"},
        {{.program = "host=a hostaddr=10.0.0.1", .force = "host=c", .pooler = -1}, "c:5432"},
        {{.defaults = "host=d", .pooler = -1}, "d:5432"},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        char key[512];
        char *text = merged(&rows[i].source, 0, key);
        cr_assert_str_eq(key, rows[i].key, "row %u: %s", i, key);
        pqb_buffer_free(text);
    }

    /* A libpq that was built for another port goes there where nobody names one. */
    struct pqb_keywords unknown = {NULL, 0};
    struct pqb_params program = params_of("host=a"), elsewhere = params_of("host=a port=1");
    struct pqb_merge merge = {.known = &unknown, .default_port = "5555"};
    char key[512];
    cr_assert_eq(pqb_merge_key(&merge, &program, key, sizeof key), 0);
    cr_assert_str_eq(key, "a:5555");
    cr_assert_eq(pqb_merge_key(&merge, &elsewhere, key, sizeof key), 0);
    cr_assert_str_eq(key, "a:1");
    pqb_params_clear(&program);
    pqb_params_clear(&elsewhere);
}

Test(merge, knows_whose_service_is_meant)
{
    struct pqb_keyword keyword = {"service", NULL};
    struct pqb_keywords known = {&keyword, 1};
    struct pqb_params none = {NULL, 0, 0}, force = params_of("service=f"),
                      program = params_of("service=p"), defaults = params_of("service=d"),
                      empty = params_of("service=''");
    struct pqb_merge merge = {.known = &known, .program = &none};
    cr_assert_null(pqb_merge_service(&merge));
    merge.defaults = &defaults;
    cr_assert_str_eq(pqb_merge_service(&merge), "d");
    keyword.environment = "e";
    cr_assert_str_eq(pqb_merge_service(&merge), "e");
    merge.program = &program;
    cr_assert_str_eq(pqb_merge_service(&merge), "p");
    merge.force = &force;
    cr_assert_str_eq(pqb_merge_service(&merge), "f");
    merge.force = &empty;
    cr_assert_null(pqb_merge_service(&merge));
    pqb_params_clear(&force);
    pqb_params_clear(&program);
    pqb_params_clear(&defaults);
    pqb_params_clear(&empty);
}
