/* Every function that opens a connection takes it from the budget, and gives it back. */
#include "giving.h"

#include <stdio.h>
#include <stdlib.h>

GROUND(opening);

/* It said "ok DATABASE USER APPLICATION_NAME BACKEND" and stands: the ledger says the same. */
static void counted(struct guest *guest, const char *application_name)
{
    const char *expected = ground_text("ok postgres postgres %s ", application_name);
    const char *line = guest_line(guest);
    cr_assert(!strncmp(line, expected, strlen(expected)), "%s", line);
    int backend = atoi(line + strlen(expected));
    hear(guest, "ready");
    const struct pqb_snapshot_claim *claim = ground_claim();
    cr_assert_eq(claim->state, PQB_CLAIM_OPEN);
    cr_assert_eq(claim->door, PQB_DOOR_LIBPQ);
    cr_assert_eq(claim->pid, guest->pid);
    cr_assert_eq(claim->backend_pid, backend);
    cr_assert_str_eq(claim->database, "postgres");
    cr_assert_str_eq(claim->user, "postgres");
    cr_assert_str_eq(claim->application_name, application_name);
    cr_assert_str_eq(ground_look()->server[0].key, ground_key());
    cr_assert_str_eq(ground_look()->app[0].label, "doors");
    cr_assert_eq(ground_used(), 1);
}

/* The steps, and then "finish". */
static void opens_and_finishes(const char *const *steps)
{
    const char *words[64];
    unsigned count = 0;
    for (; steps[count]; count++)
        words[count] = steps[count];
    memcpy(words + count, WORDS("pause", "finish", "pause"), 4 * sizeof *words);
    struct guest *guest = guest_start(NOTHING, "helpers/doors", words);
    counted(guest, "doors");
    guest_go(guest);
    hear(guest, "ready");
    all_given_back();
    content(guest);
}

#define OPENS(name, ...)                                                                           \
    Test(opening, name)                                                                            \
    {                                                                                              \
        opens_and_finishes(WORDS(__VA_ARGS__));                                                    \
    }

OPENS(connectdb, "connectdb", "host=127.0.0.1")
OPENS(connectdb_with_a_uri, "connectdb",
      ground_text("postgresql://postgres@127.0.0.1:%s/postgres", ground_port()))
OPENS(connectdb_with_nothing, "connectdb", "")
OPENS(connectdb_params, "params", "0", "host=127.0.0.1", "dbname=postgres", ".")
OPENS(connectdb_params_expanded, "params", "1", "port=1",
      ground_text("dbname=host=127.0.0.1 port=%s dbname=postgres", ground_port()), ".")
OPENS(connectdb_params_expanded_uri, "params", "1",
      ground_text("dbname=postgresql://127.0.0.1:%s/postgres", ground_port()), "user=postgres", ".")
OPENS(setdb, "setdb", "127.0.0.1", ground_port(), "-", "postgres", "postgres", "-")
OPENS(setdb_with_nothing, "setdb", "-", "-", "-", "-", "-", "-")
/* Its other arguments beat what a connection string in dbName says. */
OPENS(setdb_with_a_conninfo, "setdb", "-", ground_port(), "-", "host=127.0.0.1 port=1", "postgres",
      "-")
OPENS(setdb_with_a_uri, "setdb", "127.0.0.1", ground_port(), "-",
      "postgresql://192.0.2.1:1/postgres", "-", "-")
OPENS(start, "start", "host=127.0.0.1", "poll")
OPENS(start_params, "startparams", "0", "host=127.0.0.1", ".", "poll")
OPENS(start_params_expanded, "startparams", "1", "dbname=host=127.0.0.1", ".", "poll")

Test(opening, params_not_expanded_take_the_name_as_it_is)
{
    struct guest *guest = guest_doors(NOTHING, "params", "0", "host=127.0.0.1",
                                      "dbname=host=localhost", ".", "pause", "finish");
    hear(guest, ground_text("bad %sFATAL:  database \"host=localhost\" does not exist",
                            ground_tcp_prefix()));
    hear(guest, "ready");
    all_given_back();
    content(guest);
}

Test(opening, every_connection_counts)
{
    struct guest *guest = guest_doors(NOTHING, "connectdb", "", "connectdb", "", "connectdb", "",
                                      "pause", "finish", "pause", "finish", "pause");
    for (unsigned i = 0; i < 3; i++)
        hear_start(guest, "ok ");
    for (unsigned left = 3; left; left--) {
        hear(guest, "ready");
        cr_assert(wait_until(ground_claims() == left));
        cr_assert_eq(ground_in(PQB_CLAIM_OPEN), left);
        guest_go(guest);
    }
    content(guest);
    all_given_back();
}

/* Between Start and the last Poll a claim is CONNECTING. */
Test(opening, start_takes_the_slot_before_it_is_polled)
{
    struct guest *guest =
        guest_doors(NOTHING, "start", "host=127.0.0.1", "pause", "poll", "pause", "finish");
    hear(guest, "ready");
    cr_assert_eq(ground_claim()->state, PQB_CLAIM_CONNECTING);
    guest_go(guest);
    hear_start(guest, "ok ");
    hear(guest, "ready");
    cr_assert_eq(ground_claim()->state, PQB_CLAIM_OPEN);
    content(guest);
    all_given_back();
}

Test(opening, a_start_that_is_never_polled_is_given_back_by_finish)
{
    struct guest *guest =
        guest_doors(NOTHING, "start", "host=127.0.0.1", "pause", "finish", "pause");
    hear(guest, "ready");
    cr_assert_eq(ground_claims(), 1);
    guest_go(guest);
    hear(guest, "ready");
    all_given_back();
    content(guest);
}

/* The steps fail with `text`; nothing is counted any more, although nothing was finished yet. */
static void fails(const char *const *steps, const char *text)
{
    const char *words[64];
    unsigned count = 0;
    for (; steps[count]; count++)
        words[count] = steps[count];
    memcpy(words + count, WORDS("pause", "finish"), 3 * sizeof *words);
    struct guest *guest = guest_start(NOTHING, "helpers/doors", words);
    hear(guest, ground_text("bad %s", text));
    hear(guest, "ready");
    all_given_back();
    cr_assert_eq(ground_look()->server[0].granted_total, 1);
    content(guest);
}

#define NO_DATABASE ground_text("%sFATAL:  database \"nosuch\" does not exist", ground_tcp_prefix())
#define NO_SERVER                                                                                  \
    "connection to server at \"127.0.0.1\", port 1 failed: Connection refused|"                    \
    "\tIs the server running on that host and accepting TCP/IP connections?"

#define FAILS(name, text, ...)                                                                     \
    Test(opening, name)                                                                            \
    {                                                                                              \
        fails(WORDS(__VA_ARGS__), text);                                                           \
    }

FAILS(connectdb_to_no_database, NO_DATABASE, "connectdb", "host=127.0.0.1 dbname=nosuch")
FAILS(params_to_no_database, NO_DATABASE, "params", "0", "host=127.0.0.1", "dbname=nosuch", ".")
FAILS(setdb_to_no_database, NO_DATABASE, "setdb", "127.0.0.1", "-", "-", "nosuch", "-", "-")
FAILS(start_to_no_database, NO_DATABASE, "start", "host=127.0.0.1 dbname=nosuch", "poll")
FAILS(start_params_to_no_database, NO_DATABASE, "startparams", "0", "host=127.0.0.1",
      "dbname=nosuch", ".", "poll")
FAILS(connectdb_to_no_server, NO_SERVER, "connectdb", "host=127.0.0.1 port=1")
FAILS(setdb_to_no_server, NO_SERVER, "setdb", "127.0.0.1", "1", "-", "-", "-", "-")
FAILS(start_to_no_server, NO_SERVER, "start", "host=127.0.0.1 port=1", "poll")
FAILS(connectdb_with_a_wrong_role,
      ground_text("%sFATAL:  role \"nosuch\" does not exist", ground_tcp_prefix()), "connectdb",
      "host=127.0.0.1 user=nosuch dbname=postgres")

static int is_refused(const char *conninfo, const char *refused)
{
    struct guest *guest = guest_doors(NOTHING, "connectdb", conninfo, "pause", "finish");
    int is = !strcmp(guest_line(guest), refused);
    hear(guest, "ready");
    if (is)
        all_given_back();
    content(guest);
    guest_kill_all();
    return is;
}

/* The server beside us trusts everybody but this one. */
Test(opening, a_wrong_password)
{
    char *rules = (char *)ground_text("%s/data/pg_hba.conf", ground_folder());
    ground_ask("create role locked login password 'right'");
    FILE *file = fopen(rules, "r+");
    char text[16384] = "";
    cr_assert_not_null(file);
    cr_assert_gt(fread(text, 1, sizeof text - 1, file), 0);
    rewind(file);
    fprintf(file, "host all locked all scram-sha-256\n%s", text);
    fclose(file);
    ground_ask("select pg_reload_conf()");
    const char *wrong = "host=127.0.0.1 dbname=postgres user=locked password=wrong";
    const char *right = "host=127.0.0.1 dbname=postgres user=locked password=right";
    const char *refused = ground_text(
        "bad %sFATAL:  password authentication failed for user \"locked\"", ground_tcp_prefix());
    cr_assert(wait_until(is_refused(wrong, refused))); /* the server reloads when it likes */
    struct guest *guest = guest_doors(NOTHING, "connectdb", right, "pause", "finish");
    hear_start(guest, "ok postgres locked doors ");
    hear(guest, "ready");
    cr_assert_str_eq(ground_claim()->user, "locked");
    content(guest);
    all_given_back();
    /* The other door sees the passwords' exchange pass, and follows the session behind it. */
    guest = guest_doors(WORDS("PQBUDGET_DOORS=socket", "PQBUDGET_YIELD=3600s",
                              ground_text("PQBUDGET_PORTS=%s", ground_port())),
                        "connectdb", right, "pause", "query", "begin", "pause");
    hear_start(guest, "ok postgres locked doors ");
    hear(guest, "ready");
    giving_told(guest, "idle");
    guest_go(guest);
    giving_ready(guest);
    giving_told(guest, "idle in transaction");
    content(guest);
}
