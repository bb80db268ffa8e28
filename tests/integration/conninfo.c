/* One DATABASE_URL for everything: foreign parameters are taken out and honoured, the environment's
 * defaults and forced parameters stand where libpq's order of precedence has them. */
#include "ground.h"

#include "ledger/layout.h"

#include <stdio.h>
#include <unistd.h>

GROUND(conninfo);

/* The server beside us as a URL, with these parameters. */
static const char *url(const char *parameters)
{
    return ground_text("postgresql://postgres@127.0.0.1:%s/postgres?%s", ground_port(), parameters);
}

/* Connects with these steps, and asks. */
static void answers(const char *const *environment, const char *const *steps, const char *query,
                    const char *answer)
{
    const char *words[64];
    unsigned count = 0;
    for (; steps[count]; count++)
        words[count] = steps[count];
    memcpy(words + count, WORDS("query", query, "finish"), 4 * sizeof *words);
    struct guest *guest = guest_start(environment, "helpers/doors", words);
    hear_start(guest, "ok ");
    hear(guest, answer);
    content(guest);
}

/* Says which name the server knows it by. */
static void is_called(const char *const *environment, const char *conninfo, const char *name)
{
    answers(environment, WORDS("connectdb", conninfo), "show application_name", name);
}

/* ---- every way in ---- */

Test(conninfo, schema_sets_the_search_path)
{
    answers(NOTHING, WORDS("connectdb", url("schema=my%20%22own%22%20%5C,x")), "show search_path",
            "\"my \"\"own\"\" \\,x\"");
    answers(NOTHING, WORDS("connectdb", url("currentSchema=a,%20public")), "show search_path",
            "a, public");
    answers(NOTHING, WORDS("connectdb", "schema=web host=127.0.0.1"), "show search_path",
            "\"web\"");
}

Test(conninfo, foreign_parameters_may_come_by_every_door)
{
    const char *text = url("schema=web&max=9&statement_cache_size=0");
    const char *dbname = ground_text("dbname=%s", text);
    const char *other = ground_text("postgresql+psycopg2%s", strstr(text, "://"));
    answers(NOTHING, WORDS("connectdb", other), "show search_path", "\"web\"");
    answers(NOTHING, WORDS("start", text, "poll"), "show search_path", "\"web\"");
    answers(NOTHING, WORDS("params", "1", dbname, "user=postgres", "."), "show search_path",
            "\"web\"");
    answers(NOTHING, WORDS("params", "0", "schema=web", "host=127.0.0.1", "."), "show search_path",
            "\"web\"");
    answers(NOTHING, WORDS("startparams", "1", dbname, ".", "poll"), "show search_path", "\"web\"");
    answers(NOTHING, WORDS("setdb", "-", "-", "-", text, "-", "-"), "show search_path", "\"web\"");
    /* Options that are said explicitly win over what the URL asks for. */
    answers(NOTHING, WORDS("setdb", "-", "-", "-c search_path=x", text, "-", "-"),
            "show search_path", "x");
}

/* Without the preload libpq refuses all of them, as ever. */
Test(conninfo, without_the_preload_it_fails_as_ever)
{
    struct guest *guest =
        guest_doors(WORDS("LD_PRELOAD"), "connectdb", url("connection_limit=5"), "finish");
    hear(guest, "bad invalid URI query parameter: \"connection_limit\"");
    content(guest);
    guest = guest_doors(WORDS("PQBUDGET=off"), "connectdb", url("connection_limit=5"), "finish");
    hear(guest, "bad invalid URI query parameter: \"connection_limit\"");
    content(guest);
}

/* ---- what is refused stays libpq's to refuse ---- */

Test(conninfo, errors_are_libpqs_word_for_word)
{
    static const char *const wrong[] = {
        "postgresql://127.0.0.1/db?unknown=1&schema=a",
        "postgresql://127.0.0.1/db?schema=a&unknown=1",
        "postgresql://127.0.0.1/db?ssl=perhaps",
        "postgresql://127.0.0.1/db?sslaccept=perhaps",
        "postgresql://127.0.0.1/db?sslfactory=x",
        "postgresql://127.0.0.1/db?schema=a%zz",
        "postgresql://[::1/db?schema=a",
        "postgresql://127.0.0.1/db?schema=a&pgbouncer=true",
        "schema=a host",
        "schema='a",
        "mysql://127.0.0.1/db?schema=a",
    };
    for (unsigned i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct guest *direct = guest_doors(WORDS("LD_PRELOAD"), "connectdb", wrong[i], "finish");
        struct guest *ours = guest_doors(NOTHING, "connectdb", wrong[i], "finish");
        char line[1024];
        snprintf(line, sizeof line, "%s", guest_line(direct));
        cr_assert(!strncmp(line, "bad ", 4), "%s: %s", wrong[i], line);
        hear(ours, line);
        content(direct);
        content(ours);
    }
    cr_assert_eq(ground_claims(), 0);
}

Test(conninfo, a_tls_request_is_never_lost)
{
    /* The server beside us has no TLS: whoever gets in has lost what he asked for. */
    static const char *const asking[] = {"ssl=1", "ssl=no-verify", "ssl=verify-full",
                                         "sslaccept=strict", "sslmode=allow&ssl=require"};
    for (unsigned i = 0; i < sizeof asking / sizeof *asking; i++) {
        struct guest *guest = guest_doors(NOTHING, "connectdb", url(asking[i]), "finish");
        const char *line = guest_line(guest);
        cr_assert(!strncmp(line, "bad ", 4) && (strstr(line, "SSL") || strstr(line, "certificate")),
                  "%s: %s", asking[i], line);
        content(guest);
    }
}

/* ---- what a URL asks of the budget ---- */

Test(conninfo, connection_limit_caps_the_process)
{
    struct guest *guest =
        guest_doors(WORDS("PQBUDGET_WAIT=0"), "connectdb", url("connection_limit=2"), "connectdb",
                    url("connection_limit=2"), "connectdb", url("connection_limit=2"), "pause");
    hear_start(guest, "ok ");
    hear_start(guest, "ok ");
    const char *line = guest_line(guest);
    cr_assert(strstr(line, "FATAL:  sorry, too many clients already"), "%s", line);
    hear(guest, "ready");
    cr_assert_eq(ground_in(PQB_CLAIM_OPEN), 2);
    content(guest);
    all_given_back();
}

/* The environment would wait for ever, the string does not. */
Test(conninfo, pool_timeout_bounds_the_wait)
{
    ground_hold(NULL, 1, 1, "other");
    struct guest *guest =
        guest_doors(WORDS("PQBUDGET_WAIT=inf"), "connectdb", url("pool_timeout=0.05"), "connectdb",
                    url("connectionTimeoutMillis=50"));
    for (unsigned i = 0; i < 2; i++) {
        const char *line = guest_line(guest);
        cr_assert(strstr(line, "sorry, too many clients already") && strstr(line, "waited"), "%s",
                  line);
    }
    content(guest);
}

/* 0 waits for ever: until the slot is given back, whatever the environment says. */
Test(conninfo, pool_timeout_of_nothing_waits)
{
    ground_hold(NULL, 1, 1, "other");
    struct guest *guest =
        guest_doors(WORDS("PQBUDGET_WAIT=0"), "connectdb", url("pool_timeout=0"), "finish");
    cr_assert(wait_until(ground_in(PQB_CLAIM_WAITING) == 1));
    ground_let_go();
    hear_start(guest, "ok ");
    content(guest);
}

Test(conninfo, socket_timeout_stops_a_query)
{
    answers(NOTHING, WORDS("connectdb", url("socket_timeout=0.05")), "select pg_sleep(3600)",
            "ERROR:  canceling statement due to statement timeout");
    answers(NOTHING, WORDS("connectdb", url("command_timeout=60")), "show statement_timeout",
            "1min");
    answers(NOTHING, WORDS("connectdb", url("lock_timeout=5s&socket_timeout=9")),
            "show lock_timeout", "5s");
}

Test(conninfo, a_pooler_has_no_limit_and_gets_no_options)
{
    struct guest *guest = guest_doors(WORDS("PQBUDGET_DEFAULTS=options='-c work_mem=5MB'"),
                                      "connectdb", url("pgbouncer=true&schema=public"), "query",
                                      "show work_mem", "pause", "finish");
    hear_start(guest, "ok ");
    hear(guest, "4MB");
    hear(guest, "ready");
    cr_assert_eq(ground_look()->server[0].config.limit, PQB_UNLIMITED);
    content(guest);
}

/* ---- defaults, forced parameters, and libpq's order ---- */

Test(conninfo, defaults_fill_in_and_forced_ones_stand_over_everything)
{
    const char *defaults = "PQBUDGET_DEFAULTS=options='-c work_mem=5MB -c lock_timeout=5s' "
                           "application_name=default";
    const char *force = "PQBUDGET_FORCE=options='-c lock_timeout=9s'";
    answers(WORDS(defaults), WORDS("connectdb", ""), "show work_mem", "5MB");
    answers(WORDS(defaults), WORDS("connectdb", "options='-c work_mem=6MB'"), "show work_mem",
            "6MB");
    answers(WORDS(defaults), WORDS("connectdb", "options='-c work_mem=6MB'"), "show lock_timeout",
            "5s");
    answers(WORDS(defaults, "PGOPTIONS=-c work_mem=7MB"), WORDS("connectdb", ""), "show work_mem",
            "7MB");
    answers(WORDS(defaults, "PGOPTIONS=-c work_mem=7MB"), WORDS("connectdb", ""),
            "show lock_timeout", "5s");
    answers(WORDS(defaults, force), WORDS("connectdb", "options='-c lock_timeout=1s'"),
            "show lock_timeout", "9s");
    answers(WORDS(defaults, force), WORDS("connectdb", url("lock_timeout=2s")), "show lock_timeout",
            "9s");
    is_called(WORDS(defaults), "", "default");
    is_called(WORDS(defaults), "application_name=own", "own");
    is_called(WORDS(defaults, "PGAPPNAME=env"), "", "env");
    is_called(WORDS(defaults, "PQBUDGET_FORCE=application_name=forced"), "application_name=own",
              "forced");
}

Test(conninfo, a_service_counts_as_said)
{
    char path[] = P_tmpdir "/pqbudget-service-XXXXXX";
    int fd = mkstemp(path);
    cr_assert(fd >= 0);
    dprintf(fd, "[web]\noptions=-c work_mem=8MB\napplication_name=service\nport=%s\n",
            ground_port());
    close(fd);
    const char *file = ground_text("PGSERVICEFILE=%s", path);
    const char *defaults =
        "PQBUDGET_DEFAULTS=options='-c work_mem=5MB -c lock_timeout=5s' application_name=default";
    const char *const *environment = WORDS(file, defaults, "PGPORT=1");
    answers(environment, WORDS("connectdb", "service=web"), "show work_mem", "8MB");
    answers(environment, WORDS("connectdb", "service=web"), "show lock_timeout", "5s");
    is_called(environment, "service=web", "service");
    answers(WORDS(file, defaults, "PGPORT=1", "PGSERVICE=web"), WORDS("connectdb", ""),
            "show work_mem", "8MB");
    answers(WORDS(file, "PGPORT=1"), WORDS("connectdb", "service=web schema=x"), "show work_mem",
            "8MB");
    answers(WORDS(file, "PGPORT=1"), WORDS("connectdb", "service=web schema=x"), "show search_path",
            "\"x\"");
    unlink(path);
}

Test(conninfo, names_are_filled_tagged_forced_or_left)
{
    is_called(NOTHING, "", "doors");
    is_called(WORDS("PQBUDGET_APP=web"), "", "web");
    is_called(WORDS("PQBUDGET_APP=web"), "application_name=own", "own");
    is_called(WORDS("PQBUDGET_APP=web"), url("ApplicationName=own"), "own");
    is_called(WORDS("PQBUDGET_APP=web"), "options='-c application_name=own'", "own");
    is_called(WORDS("PQBUDGET_APPLICATION_NAME=off"), "", "");
    is_called(WORDS("PQBUDGET_APPLICATION_NAME=force", "PQBUDGET_APP=web"), "application_name=own",
              "web");
    struct guest *guest = guest_doors(WORDS("PQBUDGET_APPLICATION_NAME=tag"), "connectdb",
                                      "application_name=own", "query", "show application_name");
    hear_start(guest, "ok ");
    hear(guest, ground_text("own [%d]", (int)guest->pid));
    content(guest);
}

/* The warning has the name and never what is in it. */
Test(conninfo, defaults_that_make_no_sense_are_named_once)
{
    struct guest *guest = guest_doors(WORDS("PQBUDGET_DEFAULTS=password=geheim nonsense"),
                                      "connectdb", "", "connectdb", "");
    hear_start(guest, "ok ");
    hear_start(guest, "ok ");
    cr_assert_eq(guest_end(guest), 0);
    const char *said = guest_complaints(guest), *first = strstr(said, "PQBUDGET_DEFAULTS");
    cr_assert(first && !strstr(first + 1, "PQBUDGET_DEFAULTS") && !strstr(said, "geheim"), "%s",
              said);
}

/* ---- those that only look ---- */

Test(conninfo, ping_and_parse_are_cleaned_and_never_charged)
{
    const char *text = url("schema=web&connection_limit=1&pool_timeout=3");
    struct guest *guest = guest_doors(NOTHING, "ping", text, "pingparams", "", "", text, "parse",
                                      text, "parse", url("connection_limit=1&unknown=2"));
    hear(guest, "ping 0");
    hear(guest, "ping 0");
    hear(guest, ground_text("user=postgres dbname=postgres host=127.0.0.1 port=%s "
                            "options=-c search_path=\"web\"",
                            ground_port()));
    hear_start(guest, "invalid URI query parameter: \"connection_limit\"");
    content(guest);
    cr_assert_eq(ground_claims(), 0);
}

/* psycopg parses first, and connects with what it got. */
Test(conninfo, what_a_parsed_string_asked_for_is_remembered)
{
    const char *parsed =
        ground_text("host=127.0.0.1 port=%s dbname=postgres user=postgres", ground_port());
    struct guest *guest =
        guest_doors(WORDS("PQBUDGET_WAIT=0"), "parse", url("connection_limit=1"), "connectdb",
                    parsed, "connectdb", parsed, "connectdb", "dbname=template1", "finish");
    hear_start(guest, "user=");
    hear_start(guest, "ok ");
    hear_start(guest, "bad ");
    hear_start(guest, "ok ");
    content(guest);
}
