/* The environment: what each variable does, and what becomes of nonsense. */
#include "ground.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

GROUND(environment);

/* ---- the numbers of a new server ---- */

static struct pqb_server_config config_of(const char *const *environment)
{
    struct guest *guest = guest_doors(environment, "connectdb", "", "pause");
    hear_start(guest, "ok ");
    hear(guest, "ready");
    struct pqb_server_config config = ground_look()->server[0].config;
    content(guest);
    return config;
}

Test(environment, defaults)
{
    struct pqb_server_config config = config_of(NOTHING);
    cr_assert_eq(config.limit, 85);
    cr_assert_eq(config.reserve, 8);
    cr_assert_eq(config.wait_ms, 8000);
    cr_assert_eq(config.drain_ms, 200);
    cr_assert_eq(config.slack, 0);
    cr_assert_eq(config.logins, 0);
}

Test(environment, limit)
{
    struct pqb_server_config config = config_of(WORDS("PQBUDGET_LIMIT=37"));
    cr_assert_eq(config.limit, 37);
    cr_assert_eq(config.reserve, 3);
}

Test(environment, reserve)
{
    struct pqb_server_config config = config_of(WORDS("PQBUDGET_LIMIT=37", "PQBUDGET_RESERVE=11"));
    cr_assert_eq(config.limit, 37);
    cr_assert_eq(config.reserve, 11);
}

/* A row that exists rules: the environment of a later process changes nothing. */
Test(environment, of_the_first_process_rules)
{
    config_of(WORDS("PQBUDGET_LIMIT=37"));
    cr_assert_eq(config_of(WORDS("PQBUDGET_LIMIT=50")).limit, 37);
}

Test(environment, limit_is_kept)
{
    struct guest *guest =
        guest_doors(WORDS("PQBUDGET_LIMIT=2", "PQBUDGET_RESERVE=0", "PQBUDGET_WAIT=0"), "connectdb",
                    "", "connectdb", "", "connectdb", "");
    hear_start(guest, "ok ");
    hear_start(guest, "ok ");
    hear_start(guest, "bad ");
    content(guest);
}

/* ---- on and off ---- */

/* Nothing is counted, nothing is named, no ledger is made. */
static void passes_through(const char *const *environment)
{
    struct guest *guest = guest_doors(environment, "connectdb", "host=127.0.0.1", "pause", "reset",
                                      "start", "host=127.0.0.1", "poll", "finish", "setdb",
                                      "127.0.0.1", "-", "-", "-", "-", "-", "finish", "finish");
    hear_start(guest, "ok postgres postgres  ");
    hear(guest, "ready");
    cr_assert_not(ground_has_ledger());
    guest_go(guest);
    hear_start(guest, "ok postgres postgres  ");
    hear_start(guest, "ok postgres postgres  ");
    hear_start(guest, "ok postgres postgres  ");
    content(guest);
    cr_assert_not(ground_has_ledger());
}

Test(environment, pqbudget_off)
{
    passes_through(WORDS("PQBUDGET=off", "PQBUDGET_LIMIT=nonsense"));
}

Test(environment, pqbudget_on)
{
    cr_assert_eq(config_of(WORDS("PQBUDGET=on")).limit, 85);
}

Test(environment, pqbudget_off_passes_on_a_full_server)
{
    ground_hold(NULL, 1, 1, "web");
    struct guest *guest = guest_doors(WORDS("PQBUDGET=off"), "connectdb", "");
    hear_start(guest, "ok ");
    content(guest);
    cr_assert_eq(ground_claims(), 1);
}

Test(environment, only_the_socket_door)
{
    passes_through(WORDS("PQBUDGET_DOORS=socket"));
}

Test(environment, only_the_front_door)
{
    cr_assert_eq(config_of(WORDS("PQBUDGET_DOORS=libpq")).limit, 85);
}

/* ---- names ---- */

/* How a connection is called, in the ledger and on the server. */
static void named(const char *const *environment, const char *conninfo, const char *label,
                  const char *application_name)
{
    struct guest *guest = guest_doors(environment, "connectdb", conninfo, "query",
                                      "show application_name", "pause", "finish");
    hear_start(guest, ground_text("ok postgres postgres %s ", application_name));
    hear(guest, application_name);
    hear(guest, "ready");
    cr_assert_str_eq(ground_look()->app[0].label, label);
    cr_assert_str_eq(ground_claim()->application_name, application_name);
    content(guest);
}

Test(environment, app)
{
    named(WORDS("PQBUDGET_APP=web shop"), "", "web shop", "web shop");
}

Test(environment, app_of_npm)
{
    named(WORDS("npm_package_name=shop"), "", "shop", "shop");
}

Test(environment, app_beats_npm)
{
    named(WORDS("npm_package_name=shop", "PQBUDGET_APP=web"), "", "web", "web");
}

Test(environment, app_of_the_program)
{
    named(NOTHING, "", "doors", "doors");
}

Test(environment, application_name_of_the_program_s_own_is_left)
{
    named(WORDS("PQBUDGET_APP=web"), "application_name=mine", "web", "mine");
}

Test(environment, application_name_of_pgappname_is_left)
{
    named(WORDS("PQBUDGET_APP=web", "PGAPPNAME=mine"), "", "web", "mine");
}

Test(environment, application_name_fallback_is_left)
{
    named(WORDS("PQBUDGET_APP=web"), "fallback_application_name=mine", "web", "mine");
}

Test(environment, application_name_fill)
{
    named(WORDS("PQBUDGET_APP=web", "PQBUDGET_APPLICATION_NAME=fill"), "", "web", "web");
}

Test(environment, application_name_off)
{
    named(WORDS("PQBUDGET_APP=web", "PQBUDGET_APPLICATION_NAME=off"), "", "web", "");
}

/* ---- waiting ---- */

Test(environment, wait_0_does_not)
{
    ground_hold(NULL, 1, 1, "web");
    struct guest *guest = guest_doors(WORDS("PQBUDGET_WAIT=0"), "connectdb", "");
    hear_start(guest, "bad ");
    content(guest);
    cr_assert_eq(ground_look()->server[0].refused_total, 1);
    cr_assert_eq(ground_look()->server[0].timeout_total, 0);
}

Test(environment, wait_is_a_time)
{
    static const char *const times[] = {"PQBUDGET_WAIT=100ms", "PQBUDGET_WAIT=1",
                                        "PQBUDGET_WAIT=1s"};
    static const double least[] = {0.1, 1, 1};
    ground_hold(NULL, 1, 1, "web");
    struct guest *guest[3];
    for (unsigned i = 0; i < 3; i++)
        guest[i] = guest_doors(WORDS(times[i]), "connectdb", "");
    for (unsigned i = 0; i < 3; i++) {
        const char *waited = strstr(guest_line(guest[i]), "; waited ");
        cr_assert_not_null(waited);
        cr_assert_geq(strtod(waited + strlen("; waited "), NULL), least[i]);
        content(guest[i]);
    }
    cr_assert_eq(ground_look()->server[0].timeout_total, 3);
}

/* The server's own time, which `pqbudget set --wait` changes, counts where the environment is mute.
 */
Test(environment, without_wait_the_server_s_row_says_how_long)
{
    ground_hold(NULL, 1, 1, "web");
    struct guest *guest = guest_doors(NOTHING, "connectdb", "");
    cr_assert(wait_until(ground_in(PQB_CLAIM_WAITING) == 1));
    ground_let_go();
    hear_start(guest, "ok ");
    content(guest);
}

Test(environment, per_process)
{
    struct guest *guest =
        guest_doors(WORDS("PQBUDGET_PER_PROCESS=1", "PQBUDGET_WAIT=0"), "connectdb", "",
                    "connectdb", "", "finish", "fork", "{", "connectdb", "", "finish", "}", "wait");
    hear_start(guest, "ok ");
    hear_start(guest, "bad ");
    hear_start(guest, "ok "); /* a child is another process */
    hear(guest, "child 0");
    content(guest);
}

/* ---- the ledger's place ---- */

Test(environment, ledger_by_an_absolute_path)
{
    char folder[] = "/tmp/pqbudget-test.XXXXXX";
    cr_assert_not_null(mkdtemp(folder));
    const char *path = ground_text("%s/ledger", folder);
    struct guest *guest =
        guest_doors(WORDS(ground_text("PQBUDGET_LEDGER=%s", path)), "connectdb", "", "pause");
    hear_start(guest, "ok ");
    hear(guest, "ready");
    struct pqb_ledger ledger;
    cr_assert_eq(pqb_ledger_open(&ledger, path, 0, NULL), PQB_OK);
    cr_assert_eq(support_count(&ledger).open, 1);
    cr_assert_not(ground_has_ledger());
    content(guest);
    support_ledger_end(&ledger);
    cr_assert_eq(rmdir(folder), 0);
}

/* ---- what it says ---- */

/* The complaints of a guest that connects. */
static const char *said(const char *const *environment, const char *heard)
{
    struct guest *guest =
        guest_doors(environment, "connectdb", "", "finish", "connectdb", "", "finish");
    hear_start(guest, heard);
    hear_start(guest, heard);
    cr_assert_eq(guest_end(guest), 0);
    return guest_complaints(guest);
}

Test(environment, nonsense_is_named_once_with_its_default)
{
    static const char *const cases[][3] = {
        {"PQBUDGET=maybe", "on", "on or off"},
        {"PQBUDGET_LIMIT=many", "85", "number"},
        {"PQBUDGET_LIMIT=0", "85", "number"},
        {"PQBUDGET_LIMIT=-5", "85", "number"},
        {"PQBUDGET_LIMIT=12x", "85", "number"},
        {"PQBUDGET_LIMIT=99999999999999999999", "85", "number"},
        {"PQBUDGET_RESERVE=few", "8", "number"},
        {"PQBUDGET_RESERVE=85", "8", "number"},
        {"PQBUDGET_PER_PROCESS=none at all", "none", "number"},
        {"PQBUDGET_WAIT=soon", "8s", "time"},
        {"PQBUDGET_WAIT=10 parsecs", "8s", "time"},
        {"PQBUDGET_WAIT=-1", "8s", "time"},
        {"PQBUDGET_YIELD=never", "off", "time"},
        {"PQBUDGET_APPLICATION_NAME=nice", "fill", "fill, tag, force or off"},
        {"PQBUDGET_PORTS=five", "5432", "port"},
        {"PQBUDGET_PORTS=0", "5432", "port"},
        {"PQBUDGET_PORTS=5432,65536", "5432", "port"},
        {"PQBUDGET_DOORS=window", "libpq,socket", "libpq, socket"},
        {"PQBUDGET_FAIL=loudly", "open", "open or closed"},
        {"PQBUDGET_LOG=everything", "warn", "error, warn, info or debug"},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *words = said(WORDS(cases[i][0]), "ok ");
        const char *expected =
            ground_text("pqbudget: warning: %s makes no sense (it wants ", cases[i][0]);
        cr_assert(!strncmp(words, expected, strlen(expected)), "%s: %s", cases[i][0], words);
        cr_assert_not_null(strstr(words, cases[i][2]), "%s: %s", cases[i][0], words);
        const char *end = ground_text("): using %s\n", cases[i][1]);
        cr_assert_geq(strlen(words), strlen(end));
        cr_assert_str_eq(words + strlen(words) - strlen(end), end);
        cr_assert_eq(strchr(words, '\n'), words + strlen(words) - 1, "more than a line: %s", words);
        guest_kill_all();
    }
}

/* With the default in force. */
Test(environment, nonsense_leaves_the_default)
{
    struct guest *guest =
        guest_doors(WORDS("PQBUDGET_LIMIT=many", "PQBUDGET_RESERVE=few"), "connectdb", "", "pause");
    hear_start(guest, "ok ");
    hear(guest, "ready");
    cr_assert_eq(ground_look()->server[0].config.limit, 85);
    cr_assert_eq(ground_look()->server[0].config.reserve, 8);
    cr_assert_eq(guest_end(guest), 0);
}

Test(environment, a_ledger_s_name_that_makes_no_sense)
{
    /* It would be the user's own default ledger: a wrong name must not be tried out for real. */
    struct guest *guest = guest_doors(WORDS("PQBUDGET_LEDGER=../there", "PQBUDGET_DOORS=socket"),
                                      "connectdb", "", "finish");
    hear_start(guest, "ok ");
    cr_assert_eq(guest_end(guest), 0);
    const char *words = guest_complaints(guest);
    cr_assert(strstr(words, "PQBUDGET_LEDGER=../there makes no sense") != NULL, "%s", words);
    cr_assert_not_null(strstr(words, "using default\n"));
}

Test(environment, an_app_s_name_that_cannot_be_printed)
{
    struct guest *guest = guest_doors(WORDS("PQBUDGET_APP=bell\a"), "connectdb", "", "finish");
    hear_start(guest, "ok postgres postgres doors ");
    cr_assert_eq(guest_end(guest), 0);
    cr_assert_str_eq(guest_complaints(guest),
                     "pqbudget: warning: PQBUDGET_APP=bell? makes no sense (it wants printable "
                     "ASCII): using the program's name\n");
}

Test(environment, empty_values_are_none)
{
    cr_assert_str_eq(said(WORDS("PQBUDGET=", "PQBUDGET_LIMIT=", "PQBUDGET_RESERVE=",
                                "PQBUDGET_PER_PROCESS=", "PQBUDGET_WAIT=", "PQBUDGET_YIELD=",
                                "PQBUDGET_APP=", "PQBUDGET_APPLICATION_NAME=", "PQBUDGET_DEFAULTS=",
                                "PQBUDGET_FORCE=", "PQBUDGET_PORTS=", "PQBUDGET_DOORS=",
                                "PQBUDGET_FAIL=", "PQBUDGET_LOG=", "PQBUDGET_LOG_FILE="),
                          "ok "),
                     "");
}

/* A process has its warnings once, and so has its child: nobody wants them from every worker. */
Test(environment, a_warning_comes_once_per_process)
{
    struct guest *guest = guest_doors(WORDS("PQBUDGET_LIMIT=many"), "connectdb", "", "fork", "{",
                                      "connectdb", "", "}", "wait", "connectdb", "");
    for (unsigned i = 0; i < 2; i++)
        hear_start(guest, "ok ");
    hear(guest, "child 0");
    hear_start(guest, "ok ");
    cr_assert_eq(guest_end(guest), 0);
    const char *words = guest_complaints(guest);
    cr_assert_eq(strchr(words, '\n'), words + strlen(words) - 1, "more than a line: %s", words);
}

/* A refusal is worth a line from `info` on. */
Test(environment, log_levels)
{
    ground_hold(NULL, 1, 1, "web");
    cr_assert_str_eq(said(WORDS("PQBUDGET_WAIT=0", "PQBUDGET_LOG=error"), "bad "), "");
    cr_assert_str_eq(said(WORDS("PQBUDGET_WAIT=0", "PQBUDGET_LOG=warn"), "bad "), "");
    const char *words = said(WORDS("PQBUDGET_WAIT=0", "PQBUDGET_LOG=info"), "bad ");
    cr_assert(!strncmp(words, "pqbudget: info: ", 16), "%s", words);
    cr_assert_not_null(strstr(words, "1 of 1 connections"));
    words = said(WORDS("PQBUDGET_WAIT=0", "PQBUDGET_LOG=debug"), "bad ");
    cr_assert_not_null(strstr(words, "pqbudget: info: "));
    cr_assert_str_eq(
        said(WORDS("PQBUDGET_LIMIT=x", "PQBUDGET_WAIT=0", "PQBUDGET_LOG=error"), "bad "), "");
}

Test(environment, log_file)
{
    char path[] = "/tmp/pqbudget-log.XXXXXX", text[4096] = "";
    int file = mkstemp(path);
    cr_assert_geq(file, 0);
    cr_assert_str_eq(
        said(WORDS("PQBUDGET_LIMIT=many", ground_text("PQBUDGET_LOG_FILE=%s", path)), "ok "), "");
    cr_assert_gt(read(file, text, sizeof text - 1), 0);
    cr_assert_not_null(strstr(text, ": warning: PQBUDGET_LIMIT=many makes no sense"));
    cr_assert(!strncmp(text, "pqbudget[", 9), "%s", text);
    close(file);
    unlink(path);
}

/* One that cannot be written loses lines, nothing else. */
Test(environment, log_file_that_cannot_be_had)
{
    cr_assert_str_eq(
        said(WORDS("PQBUDGET_LIMIT=many", "PQBUDGET_LOG_FILE=/nonexistent/log"), "ok "), "");
    cr_assert_str_eq(said(WORDS("PQBUDGET_LIMIT=many", "PQBUDGET_LOG_FILE=/tmp"), "ok "), "");
}
