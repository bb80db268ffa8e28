/* What is never charged, and must pass on a full server: pings, cancels, replication. */
#include "ground.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

GROUND(aside);

#define NOW "PQBUDGET_WAIT=0"

Test(aside, ping_is_not_charged)
{
    struct guest *guest = guest_doors(NOTHING, "ping", "host=127.0.0.1", "pingparams", "127.0.0.1",
                                      ground_port(), "host=127.0.0.1 dbname=nosuch", "ping",
                                      "host=127.0.0.1 port=1", "ping", "nonsense");
    hear(guest, "ping 0");
    hear(guest, "ping 0");
    hear(guest, "ping 2");
    hear(guest, "ping 3");
    content(guest);
    cr_assert_not(ground_has_ledger());
}

Test(aside, ping_passes_on_a_full_server)
{
    ground_hold(NULL, 1, 1, "web");
    struct guest *guest =
        guest_doors(WORDS(NOW), "ping", "", "pingparams", "127.0.0.1", ground_port(), "postgres");
    hear(guest, "ping 0");
    hear(guest, "ping 0");
    content(guest);
    cr_assert_eq(ground_look()->server[0].refused_total, 0);
}

Test(aside, parse_is_libpq_s)
{
    struct guest *guest = guest_doors(NOTHING, "parse", "host=h port=1 user=u", "parse",
                                      "postgresql://u@h/d", "parse", "host=h nonsense=1");
    hear(guest, "user=u host=h port=1");
    hear(guest, "user=u dbname=d host=h");
    hear(guest, "invalid connection option \"nonsense\"");
    content(guest);
    cr_assert_not(ground_has_ledger());
}

/* A connection with a query under way, and `cancel` from the same process. */
static void cancels(const char *cancel)
{
    struct guest *guest = guest_doors(WORDS(NOW, "PQBUDGET_LIMIT=1"), "connectdb", "host=127.0.0.1",
                                      "send", "select pg_sleep(100)", "pause", cancel, "collect",
                                      "query", "select 1", "pause", "finish");
    hear_start(guest, "ok ");
    hear(guest, "sent 1");
    hear(guest, "ready");
    int backend = ground_claim()->backend_pid;
    cr_assert(
        wait_until(0 != *ground_ask("select 1 from pg_stat_activity where pid = %d and state = "
                                    "'active' and wait_event = 'PgSleep'",
                                    backend)));
    guest_go(guest);
    hear(guest, "cancel 1");
    hear(guest, "ERROR:  canceling statement due to user request");
    hear(guest, "1");
    hear(guest, "ready");
    cr_assert_eq(ground_used(), 1);
    cr_assert_eq(ground_look()->server[0].granted_total, 1);
    cr_assert_eq(ground_look()->server[0].refused_total, 0);
    content(guest);
}

Test(aside, cancel_passes_on_a_full_server)
{
    cancels("cancel");
}

Test(aside, request_cancel_passes_on_a_full_server)
{
    cancels("requestcancel");
}

Test(aside, cancel_inside_a_signal_handler)
{
    struct guest *guest =
        guest_doors(WORDS(NOW, "PQBUDGET_LIMIT=1"), "connectdb", "host=127.0.0.1", "pause",
                    "interrupt", "select pg_sleep(100)", "query", "select 1");
    hear_start(guest, "ok ");
    hear(guest, "ready");
    int backend = ground_claim()->backend_pid;
    guest_go(guest);
    hear(guest, "going");
    cr_assert(wait_until(
        0 != *ground_ask("select 1 from pg_stat_activity where pid = %d and wait_event = 'PgSleep'",
                         backend)));
    kill(guest->pid, SIGINT);
    hear(guest, "cancelled 1 ERROR:  canceling statement due to user request");
    hear(guest, "1");
    content(guest);
}

/* They take walsender slots. */
Test(aside, replication_is_not_charged)
{
    ground_hold(NULL, 1, 1, "web");
    struct guest *guest = guest_doors(
        WORDS(NOW), "connectdb", "host=127.0.0.1 replication=database", "connectdb",
        "host=127.0.0.1 replication=on", "params", "0", "host=127.0.0.1", "replication=true", ".",
        "start", "host=127.0.0.1 replication=yes", "poll", "connectdb",
        ground_text("postgresql://127.0.0.1:%s/postgres?replication=1", ground_port()), "pause",
        "reset", "pause", "finish", "finish", "finish", "finish", "finish");
    for (unsigned i = 0; i < 5; i++)
        hear_start(guest, "ok postgres postgres ");
    hear(guest, "ready");
    cr_assert_str_eq(ground_ask("select count(*) from pg_stat_activity where backend_type = "
                                "'walsender' and application_name = 'doors'"),
                     "5");
    cr_assert_eq(ground_claims(), 1);
    guest_go(guest);
    hear_start(guest, "ok postgres postgres ");
    hear(guest, "ready");
    cr_assert_eq(ground_claims(), 1);
    content(guest);
}

Test(aside, replication_switched_off_is_charged)
{
    struct guest *guest = guest_doors(NOTHING, "connectdb", "host=127.0.0.1 replication=off",
                                      "connectdb", "host=127.0.0.1 replication=false", "connectdb",
                                      "host=127.0.0.1 replication=0", "pause");
    for (unsigned i = 0; i < 3; i++)
        hear_start(guest, "ok ");
    hear(guest, "ready");
    cr_assert_eq(ground_used(), 3);
    content(guest);
}

/* NULL and empty strings wherever libpq takes them, and strings that make no sense: the answers are
 * the same with the preload and without. */
static void same_as_without(const char *steps)
{
    struct guest *with = guest_doors(NOTHING, steps);
    struct guest *without = guest_doors(WORDS("LD_PRELOAD"), steps);
    unsigned lines = 0;
    char line[4096] = "";
    while (strcmp(line, "(silence)") != 0) {
        snprintf(line, sizeof line, "%s", guest_line(without));
        hear(with, line);
        lines++;
    }
    cr_assert_gt(lines, 5);
    content(without);
    content(with);
    all_given_back();
}

Test(aside, nulls_are_libpq_s)
{
    same_as_without("nulls");
}

Test(aside, empty_strings_are_libpq_s)
{
    same_as_without("empty");
}

Test(aside, nonsense_is_libpq_s)
{
    same_as_without("nonsense");
}
