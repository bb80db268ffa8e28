/* What ends a connection gives it back; what makes it anew keeps it. */
#include "ground.h"

#include <signal.h>
#include <stdlib.h>

GROUND(returning);

/* The backend's pid at the end of an "ok" line. */
static int backend_of(const char *line)
{
    cr_assert(!strncmp(line, "ok ", 3), "%s", line);
    return atoi(strrchr(line, ' ') + 1);
}

Test(returning, killed)
{
    struct guest *guest = guest_doors(NOTHING, "connectdb", "", "connectdb", "", "pause");
    hear_start(guest, "ok ");
    hear_start(guest, "ok ");
    hear(guest, "ready");
    cr_assert_eq(ground_used(), 2);
    guest_kill(guest);
    all_given_back();
}

Test(returning, killed_while_it_connects)
{
    struct guest *guest = guest_doors(NOTHING, "start", "host=127.0.0.1", "pause");
    hear(guest, "ready");
    cr_assert_eq(ground_claims(), 1);
    guest_kill(guest);
    all_given_back();
}

Test(returning, killed_while_it_waits)
{
    ground_hold(NULL, 1, 1, "web");
    struct guest *guest = guest_doors(WORDS("PQBUDGET_WAIT=inf"), "connectdb", "");
    cr_assert(wait_until(ground_in(PQB_CLAIM_WAITING) == 1));
    guest_kill(guest);
    cr_assert(wait_until(ground_claims() == 1));
    cr_assert_eq(ground_in(PQB_CLAIM_OPEN), 1);
}

/* The server goes on with the login, and its process takes a slot until it sees that nobody
 * listens: also when its packet was held, and libpq has not been told yet that it was sent. */
Test(returning, finished_in_the_midst_of_its_login)
{
    cr_assert_eq(system(ground_text("PQBUDGET_LEDGER=%s %s set --new --server %s --limit 1 "
                                    "--reserve 0 --drain 60s >/dev/null",
                                    ground_ledger_name(), ground_built("pqbudget"), ground_key())),
                 0);
    struct guest *guest = guest_doors(NOTHING, "start", "host=127.0.0.1", "finish", "pause");
    hear(guest, "ready");
    cr_assert_eq(ground_in(PQB_CLAIM_DRAINING), 1);
}

Test(returning, exit_without_finish)
{
    struct guest *guest = guest_doors(NOTHING, "connectdb", "");
    hear_start(guest, "ok ");
    content(guest);
    all_given_back();
}

Test(returning, exit_without_atexit)
{
    struct guest *guest = guest_doors(NOTHING, "connectdb", "", "_exit", "7");
    hear_start(guest, "ok ");
    cr_assert_eq(guest_end(guest), 7);
    all_given_back();
}

Test(returning, exec_gives_everything_back)
{
    struct guest *guest = guest_doors(NOTHING, "connectdb", "", "connectdb", "", "exec", "pause",
                                      "connectdb", "", "pause", "finish");
    hear_start(guest, "ok ");
    hear_start(guest, "ok ");
    hear(guest, "ready");
    all_given_back();
    guest_go(guest);
    hear_start(guest, "ok ");
    hear(guest, "ready");
    cr_assert_eq(ground_claim()->pid, guest->pid);
    content(guest);
    all_given_back();
}

/* The same claim, with another backend. */
static void stays(struct guest *guest)
{
    int first = backend_of(guest_line(guest));
    hear(guest, "ready");
    struct pqb_snapshot_claim before = *ground_claim();
    cr_assert_eq(before.backend_pid, first);
    guest_go(guest);
    const char *line = guest_line(guest);
    if (!strcmp(line, "started 1"))
        line = guest_line(guest);
    int second = backend_of(line);
    hear(guest, "ready");
    cr_assert_neq(first, second);
    const struct pqb_snapshot_claim *after = ground_claim();
    cr_assert_eq(after->index, before.index);
    cr_assert_eq(after->ticket, before.ticket);
    cr_assert_eq(after->state, PQB_CLAIM_OPEN);
    cr_assert_eq(after->backend_pid, second);
    cr_assert_eq(ground_used(), 1);
    cr_assert_eq(ground_look()->server[0].granted_total, 1);
    guest_go(guest);
    hear(guest, "ready");
    all_given_back();
    content(guest);
}

Test(returning, reset_keeps_the_slot)
{
    stays(guest_doors(NOTHING, "connectdb", "host=127.0.0.1", "pause", "reset", "pause", "finish",
                      "pause"));
}

Test(returning, reset_start_keeps_the_slot)
{
    stays(guest_doors(NOTHING, "connectdb", "host=127.0.0.1", "pause", "resetstart", "resetpoll",
                      "pause", "finish", "pause"));
}

Test(returning, reset_on_a_full_server_keeps_the_slot)
{
    struct guest *guest =
        guest_doors(WORDS("PQBUDGET_LIMIT=1"), "connectdb", "", "reset", "reset", "pause");
    for (unsigned i = 0; i < 3; i++)
        hear_start(guest, "ok ");
    hear(guest, "ready");
    cr_assert_eq(ground_used(), 1);
    content(guest);
}

/* A backend that the server ended: libpq finds out, and the reset brings another. */
Test(returning, reset_after_the_backend_was_ended)
{
    struct guest *guest = guest_doors(NOTHING, "connectdb", "", "pause", "query", "select 1",
                                      "reset", "query", "select 2", "pause", "finish", "pause");
    int backend = backend_of(guest_line(guest));
    hear(guest, "ready");
    ground_ask("select pg_terminate_backend(%d, 10000)", backend);
    guest_go(guest);
    hear_start(guest, "FATAL:  terminating connection due to administrator command|");
    cr_assert_neq(backend_of(guest_line(guest)), backend);
    hear(guest, "2");
    hear(guest, "ready");
    cr_assert_eq(ground_claim()->state, PQB_CLAIM_OPEN);
    guest_go(guest);
    hear(guest, "ready");
    all_given_back();
    content(guest);
}

/* What failed was given back; each reset asks for a slot of its own. */
Test(returning, reset_of_what_failed_asks_again)
{
    struct guest *guest = guest_doors(NOTHING, "connectdb", "host=127.0.0.1 dbname=later", "pause",
                                      "reset", "pause", "reset", "pause", "finish", "pause");
    hear_start(guest, "bad ");
    hear(guest, "ready");
    all_given_back();
    guest_go(guest);
    hear_start(guest, "bad ");
    hear(guest, "ready");
    all_given_back();
    ground_ask("create database later");
    guest_go(guest);
    hear_start(guest, "ok later ");
    hear(guest, "ready");
    cr_assert_eq(ground_claim()->state, PQB_CLAIM_OPEN);
    cr_assert_eq(ground_look()->server[0].granted_total, 3);
    guest_go(guest);
    hear(guest, "ready");
    all_given_back();
    content(guest);
    ground_ask("drop database later with (force)");
}

/* Asynchronously the same, with a server that is away for the second attempt. */
Test(returning, reset_start_of_what_failed_asks_again)
{
    struct guest *guest = guest_doors(NOTHING, "start", "host=127.0.0.1 dbname=nosuch", "poll",
                                      "pause", "resetstart", "resetpoll", "pause", "finish");
    hear_start(guest, "bad ");
    hear(guest, "ready");
    all_given_back();
    guest_go(guest);
    hear(guest, "started 1");
    hear_start(guest, "bad ");
    hear(guest, "ready");
    all_given_back();
    cr_assert_eq(ground_look()->server[0].granted_total, 2);
    content(guest);
}

/* A reset that fails ends what it had. */
Test(returning, reset_that_fails_gives_back)
{
    ground_ask("create database leaving");
    struct guest *guest = guest_doors(NOTHING, "connectdb", "host=127.0.0.1 dbname=leaving",
                                      "pause", "reset", "pause", "finish");
    hear_start(guest, "ok leaving ");
    hear(guest, "ready");
    cr_assert_eq(ground_used(), 1);
    ground_ask("drop database leaving with (force)");
    guest_go(guest);
    hear(guest,
         ground_text("bad %sFATAL:  database \"leaving\" does not exist", ground_tcp_prefix()));
    hear(guest, "ready");
    all_given_back();
    content(guest);
}
