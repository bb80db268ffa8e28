/* Processes that come out of one that has connections, and signals that interrupt it. */
#include "ground.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

GROUND(family);

Test(family, a_child_that_exits_takes_nothing_along)
{
    struct guest *guest =
        guest_doors(NOTHING, "connectdb", "", "fork", "{", "say", "child", "_exit", "0", "}",
                    "wait", "query", "select 1", "pause", "finish", "pause");
    hear_start(guest, "ok ");
    hear(guest, "child");
    hear(guest, "child 0");
    hear(guest, "1");
    hear(guest, "ready");
    cr_assert_eq(ground_claim()->state, PQB_CLAIM_OPEN);
    cr_assert_eq(ground_claim()->pid, guest->pid);
    guest_go(guest);
    hear(guest, "ready");
    all_given_back();
    content(guest);
}

/* libpq says goodbye to the server in the child: the connection is over, whoever else has it. */
Test(family, a_child_that_finishes_ends_it_for_both)
{
    struct guest *guest = guest_doors(NOTHING, "connectdb", "", "fork", "{", "finish", "}", "wait",
                                      "pause", "query", "select 1", "finish", "pause");
    hear_start(guest, "ok ");
    hear(guest, "child 0");
    hear(guest, "ready");
    all_given_back();
    guest_go(guest);
    hear_start(guest, "server closed the connection unexpectedly|");
    hear(guest, "ready");
    all_given_back();
    content(guest);
}

/* The parent's finish must not take a slot that is another's by then. */
Test(family, a_second_finish_frees_nobody_else)
{
    struct guest *guest = guest_doors(NOTHING, "connectdb", "", "fork", "{", "finish", "}", "wait",
                                      "pause", "finish", "pause");
    hear_start(guest, "ok ");
    hear(guest, "child 0");
    hear(guest, "ready");
    all_given_back();
    struct guest *other = guest_doors(NOTHING, "connectdb", "", "pause", "finish");
    hear_start(other, "ok ");
    hear(other, "ready");
    guest_go(guest);
    hear(guest, "ready");
    cr_assert_eq(ground_claim()->pid, other->pid);
    cr_assert_eq(ground_claim()->state, PQB_CLAIM_OPEN);
    content(guest);
    cr_assert_eq(ground_claim()->pid, other->pid);
    content(other);
}

Test(family, a_child_owns_what_it_opens)
{
    struct guest *guest = guest_doors(NOTHING, "connectdb", "", "fork", "{", "connectdb", "",
                                      "pause", "finish", "}", "wait", "pause", "finish");
    hear_start(guest, "ok ");
    hear_start(guest, "ok ");
    hear(guest, "ready");
    const struct pqb_snapshot *now = ground_look();
    cr_assert_eq(now->claims, 2);
    cr_assert_eq(now->claim[0].pid, guest->pid);
    cr_assert_neq(now->claim[1].pid, guest->pid);
    cr_assert_neq(now->claim[0].process, now->claim[1].process);
    guest_go(guest);
    hear(guest, "child 0");
    hear(guest, "ready");
    cr_assert(wait_until(ground_claims() == 1));
    cr_assert_eq(ground_claim()->pid, guest->pid);
    content(guest);
}

/* A child that holds nothing of its own is a newcomer: the reserve is for it. */
Test(family, a_child_is_a_process_of_its_own)
{
    struct guest *guest =
        guest_doors(WORDS("PQBUDGET_WAIT=0", "PQBUDGET_LIMIT=2", "PQBUDGET_RESERVE=1"), "connectdb",
                    "", "connectdb", "", "fork", "{", "connectdb", "", "}", "wait");
    hear_start(guest, "ok ");
    hear_start(guest, "bad ");
    hear_start(guest, "ok ");
    hear(guest, "child 0");
    content(guest);
}

Test(family, a_killed_parent_s_connection_lives_on_in_its_child)
{
    struct guest *guest =
        guest_doors(NOTHING, "connectdb", "", "fork", "{", "pause", "}", "say", "parent", "wait");
    hear_start(guest, "ok ");
    for (unsigned i = 0; i < 2; i++) {
        const char *line = guest_line(guest);
        cr_assert(!strcmp(line, "parent") || !strcmp(line, "ready"), "%s", line);
    }
    cr_assert_eq(ground_used(), 1);
    guest_kill(guest);
    cr_assert_eq(ground_used(), 1);
    guest_go(guest);
    all_given_back();
}

Test(family, a_reset_in_the_child_is_the_child_s_own)
{
    struct guest *guest = guest_doors(NOTHING, "connectdb", "", "fork", "{", "reset", "pause",
                                      "finish", "}", "wait", "pause", "finish");
    hear_start(guest, "ok ");
    hear_start(guest, "ok ");
    hear(guest, "ready");
    cr_assert(wait_until(ground_used() == 1));
    cr_assert_neq(ground_claim()->pid, guest->pid);
    guest_go(guest);
    hear(guest, "child 0");
    hear(guest, "ready");
    all_given_back();
    content(guest);
}

Test(family, daemon_keeps_what_it_has)
{
    struct guest *guest = guest_doors(NOTHING, "connectdb", "", "daemon", "query", "select 1",
                                      "pause", "connectdb", "", "pause", "finish", "finish");
    hear_start(guest, "ok ");
    hear(guest, "1");
    hear(guest, "ready");
    cr_assert_eq(ground_in(PQB_CLAIM_OPEN), 1);
    cr_assert_eq(ground_used(), 1);
    guest_go(guest);
    hear_start(guest, "ok ");
    hear(guest, "ready");
    cr_assert_eq(ground_in(PQB_CLAIM_OPEN), 2);
    content(guest); /* the parent, which went long ago; its daemon hears the end of its input */
    all_given_back();
}

/* It runs our hooks in its parent's memory, closes all it finds there, and execs or goes. */
Test(family, a_vfork_child_takes_nothing_along)
{
    struct guest *guest =
        guest_doors(NOTHING, "connectdb", "", "spawn", "vfork", "query", "select 1", "pause",
                    "connectdb", "", "finish", "finish", "pause");
    hear_start(guest, "ok ");
    hear(guest, "child 0");
    hear(guest, "child 0");
    hear(guest, "1");
    hear(guest, "ready");
    cr_assert_eq(ground_claim()->state, PQB_CLAIM_OPEN);
    guest_go(guest);
    hear_start(guest, "ok ");
    hear(guest, "ready");
    all_given_back();
    content(guest);
}

/* Without TLS: libpq itself hangs in a child that was forked while a thread set OpenSSL up. */
Test(family, forked_amid_connecting_threads)
{
    if (ground_has_sanitizer())
        cr_skip_test("AddressSanitizer's allocator keeps its locks in a forked child");
    struct guest *guest = guest_doors(WORDS("PQBUDGET_LIMIT=4", "PQBUDGET_WAIT=20s"), "forkamid",
                                      "25", "host=127.0.0.1 sslmode=disable gssencmode=disable");
    hear(guest, "children 25 bad 0");
    content(guest);
    all_given_back();
}

/* ---- signals ---- */

/* DBI's idiom: an alarm's handler leaves the wait for good. */
Test(family, jumping_out_of_a_wait)
{
    ground_hold(NULL, 1, 1, "web");
    struct guest *guest = guest_doors(WORDS("PQBUDGET_WAIT=inf", ground_leaks()), "jump",
                                      "host=127.0.0.1", "jump", "host=127.0.0.1", "pause",
                                      "connectdb", "host=127.0.0.1", "pause", "finish", "pause");
    for (unsigned i = 0; i < 2; i++) {
        hear(guest, "going");
        cr_assert(wait_until(ground_in(PQB_CLAIM_WAITING) == 1));
        kill(guest->pid, SIGALRM);
        hear(guest, "escaped");
    }
    hear(guest, "ready");
    ground_let_go();
    guest_go(guest);
    hear_start(guest, "ok ");
    hear(guest, "ready");
    cr_assert(wait_until(ground_claims() == 1));
    cr_assert_eq(ground_claim()->state, PQB_CLAIM_OPEN);
    guest_go(guest);
    hear(guest, "ready");
    all_given_back();
    content(guest);
}

/* One that returns changes nothing. */
Test(family, signals_do_not_end_a_wait)
{
    ground_hold(NULL, 1, 1, "web");
    struct guest *guest =
        guest_doors(WORDS("PQBUDGET_WAIT=inf"), "hear", "host=127.0.0.1", "finish");
    hear(guest, "going");
    cr_assert(wait_until(ground_in(PQB_CLAIM_WAITING) == 1));
    for (unsigned i = 0; i < 20; i++) {
        kill(guest->pid, SIGALRM);
        support_nap();
    }
    cr_assert_eq(ground_in(PQB_CLAIM_WAITING), 1);
    ground_let_go();
    hear(guest, "heard 1");
    hear_start(guest, "ok ");
    content(guest);
    all_given_back();
}

/* Ctrl-C at a psql that waits. */
Test(family, a_signal_that_kills_leaves_nothing)
{
    ground_hold(NULL, 1, 1, "web");
    struct guest *guest = guest_doors(WORDS("PQBUDGET_WAIT=inf"), "connectdb", "host=127.0.0.1");
    cr_assert(wait_until(ground_in(PQB_CLAIM_WAITING) == 1));
    kill(guest->pid, SIGINT);
    cr_assert_eq(guest_end(guest), 1000 + SIGINT);
    cr_assert(wait_until(ground_claims() == 1));
}
