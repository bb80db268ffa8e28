/* Many at once, many after each other, and descriptors that go behind our back. */
#include "ground.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

GROUND(crowd);

Test(crowd, fifty_threads_share_five_slots)
{
    struct guest *guest = guest_doors(WORDS("PQBUDGET_LIMIT=5", "PQBUDGET_WAIT=60s"), "threads",
                                      "50", "host=127.0.0.1", "pause");
    hear(guest, "good 50 bad 0");
    hear(guest, "ready");
    all_given_back();
    cr_assert_leq(ground_look()->server[0].peak, 5);
    cr_assert_eq(ground_look()->server[0].granted_total, 50);
    cr_assert_str_eq(guest_complaints(guest), "");
    content(guest);
}

Test(crowd, processes_share_five_slots)
{
    struct guest *guests[10];
    for (unsigned i = 0; i < 10; i++)
        guests[i] = guest_doors(WORDS("PQBUDGET_LIMIT=5", "PQBUDGET_WAIT=60s"), "threads", "4",
                                "host=127.0.0.1");
    for (unsigned i = 0; i < 10; i++) {
        hear(guests[i], "good 4 bad 0");
        content(guests[i]);
    }
    all_given_back();
    cr_assert_leq(ground_look()->server[0].peak, 5);
}

/* What a host program closes, it closes for us as well: nobody's claim may suffer. */
Test(crowd, after_closefrom)
{
    struct guest *other = guest_doors(NOTHING, "connectdb", "", "pause", "finish");
    hear_start(other, "ok ");
    hear(other, "ready");
    struct guest *guest = guest_doors(NOTHING, "connectdb", "", "connectdb", "", "closefrom",
                                      "pause", "finish", "finish", "pause", "connectdb", "",
                                      "query", "select 1", "pause", "finish", "pause");
    hear_start(guest, "ok ");
    hear_start(guest, "ok ");
    hear(guest, "ready");
    cr_assert(wait_until(ground_claims() == 1)); /* the server has seen the end of both */
    guest_go(guest);
    hear(guest, "ready");
    guest_go(guest);
    hear_start(guest, "ok ");
    hear(guest, "1");
    hear(guest, "ready");
    cr_assert_eq(ground_in(PQB_CLAIM_OPEN), 2);
    guest_go(guest);
    hear(guest, "ready");
    cr_assert(wait_until(ground_claims() == 1));
    cr_assert_eq(ground_claim()->pid, other->pid);
    content(guest);
    content(other);
    all_given_back();
}

/* The numbers that closefrom freed belong to somebody else when libpq closes them again. */
Test(crowd, again_and_again_after_closefrom)
{
    const char *words[64] = {NULL};
    unsigned count = 0;
    for (unsigned i = 0; i < 8; i++) {
        words[count++] = "connectdb";
        words[count++] = "host=127.0.0.1";
        words[count++] = "closefrom";
    }
    memcpy(words + count, WORDS("connectdb", "", "query", "select 1", "pause"), 6 * sizeof *words);
    struct guest *guest =
        guest_start(WORDS("PQBUDGET_LIMIT=3", "PQBUDGET_WAIT=20s"), "helpers/doors", words);
    for (unsigned i = 0; i < 9; i++)
        hear_start(guest, "ok ");
    hear(guest, "1");
    hear(guest, "ready");
    cr_assert(wait_until(ground_used() == 1));
    content(guest);
    all_given_back();
}

/* ---- leaks ---- */

/* Ten times `each`, or with a sanitizer, which makes them slow and sees a leak at the first one,
 * fifty; and two hundred before, to warm up. */
static unsigned leaks_nothing(const char *setting, const char *conninfo, unsigned each,
                              const char *outcome)
{
    unsigned tried = 200;
    if (ground_has_sanitizer())
        each = 50;
    const char *count = ground_text("%u", each), *words[64];
    for (unsigned i = 0; i < 30; i += 3)
        memcpy(words + i, ((const char *[]){"many", count, conninfo}), 3 * sizeof *words);
    memcpy(words + 30, WORDS("pause"), 2 * sizeof *words);
    struct guest *guest = guest_start(WORDS(setting), "helpers/doors", words);
    for (unsigned i = 0; i < 10; i++) {
        const char *line = guest_line(guest);
        if (!i && strncmp(line, "good", 4) != 0)
            line = guest_line(guest); /* of the first that was refused */
        const char *expected = ground_text(outcome, tried += each);
        cr_assert(!strncmp(line, expected, strlen(expected)), "%s", line);
        /* A sanitizer's allocator tells malloc's books nothing. */
        if (!ground_has_sanitizer())
            cr_assert_str_eq(line + strlen(expected), " descriptors +0 bytes +0");
    }
    hear(guest, "ready");
    content(guest);
    return tried;
}

/* A new backend for each takes its time: a thousand, unless more are asked for. */
Test(crowd, a_thousand_connections_leave_nothing)
{
    const char *asked = getenv("PQB_TEST_CONNECTIONS");
    unsigned tried = leaks_nothing("PQBUDGET_WAIT=20s", ground_text("host=%s", ground_folder()),
                                   asked ? (unsigned)atoi(asked) / 10 : 100, "good %u bad 0");
    all_given_back();
    cr_assert_eq(ground_look()->server[0].granted_total, tried);
}

Test(crowd, ten_thousand_refusals_leave_nothing)
{
    ground_hold(NULL, 1, 1, "web");
    unsigned tried = leaks_nothing("PQBUDGET_WAIT=0", "host=127.0.0.1", 1000, "good 0 bad %u");
    cr_assert_eq(ground_claims(), 1);
    cr_assert_eq(ground_look()->server[0].refused_total, tried);
}

/* Somebody who hangs up at once is all that the fake libpq needs. */
static int answer(pid_t *child)
{
    int port, listener = ground_listener(0, &port);
    *child = support_fork();
    while (!*child)
        close(accept(listener, NULL, NULL));
    close(listener);
    return port;
}

Test(crowd, ten_thousand_connections_leave_nothing)
{
    pid_t child;
    const char *conninfo = ground_text("host=127.0.0.1 port=%d", answer(&child));
    struct guest *guest = guest_start(NOTHING, "helpers/loader",
                                      WORDS("ffi", ground_built("helpers/fakepq/libpq.so.5"),
                                            "many", "200", conninfo, "many", "10000", conninfo));
    hear_start(guest, "good 200 ");
    hear(guest, "good 10000 descriptors +0 bytes +0");
    content(guest);
    all_given_back();
    support_kill(child);
}

/* ---- nothing left to open ---- */

/* Without a descriptor to be had there is no lock to be had, and libpq has none for its socket. */
Test(crowd, without_a_descriptor_left)
{
    if (ground_has_sanitizer())
        cr_skip_test("a sanitizer needs descriptors itself");
    struct guest *guest = guest_doors(NOTHING, "connectdb", "", "finish", "nofile", "1",
                                      "connectdb", "host=127.0.0.1", "pause");
    hear_start(guest, "ok ");
    const char *line = guest_line(guest);
    cr_assert(!strncmp(line, "ok ", 3) || !strncmp(line, "bad ", 4), "%s", line);
    hear(guest, "ready");
    cr_assert_eq(guest_end(guest), 0);
    all_given_back();
}
