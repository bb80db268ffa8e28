/* The life of a process that gives way: its thread, its descriptors, its children, its ends, and
 * what it does with a connection that is gone. */
#include "giving.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

GROUND(giving_life);

#define LISTENING(way) (way).open, (way).where, (way).ask, "listen other"
#define CLOSE(way) (GIVING_IS_LIBPQ(way) ? "finish" : "close")

/* It has heard that its connection has gone. */
static void hears_the_end(struct giving_way way, struct guest *guest)
{
    hear_start(guest, giving_ended(way));
}

/* Somebody comes, is let in, and goes. */
static void let_in(struct giving_way way)
{
    struct guest *comer = giving_comer(way, "60s");
    hear_start(comer, "ok");
    content(comer);
}

/* ---- its thread ---- */

#define has_threads(guest, count) cr_assert(wait_until(giving_threads(guest) == (count)))

Test(giving_life, a_thread_while_there_are_connections)
{
    for (unsigned i = 0; i < GIVING_WAYS; i++) {
        struct giving_way way = giving_way(i);
        struct guest *guest =
            giving_start(way, NOTHING,
                         WORDS("pause", way.open, way.where, "pause", way.open, way.where, "pause",
                               CLOSE(way), "pause", way.open, way.where, "pause"));
        giving_ready(guest);
        has_threads(guest, 1);
        for (unsigned n = 0; n < 2; n++) {
            guest_go(guest);
            giving_ready(guest);
            has_threads(guest, 2);
        }
        guest_go(guest);
        giving_ready(guest);
        has_threads(guest, 2);
        content(guest);
        all_given_back();
    }
}

Test(giving_life, gone_with_the_last_one)
{
    for (unsigned i = 0; i < GIVING_WAYS; i++) {
        struct giving_way way = giving_way(i);
        struct guest *guest = giving_start(
            way, NOTHING,
            WORDS(way.open, way.where, "pause", CLOSE(way), "pause", way.open, way.where, "pause"));
        for (unsigned n = 2; n >= 1; n--) {
            giving_ready(guest);
            has_threads(guest, n);
            guest_go(guest);
        }
        giving_ready(guest);
        has_threads(guest, 2);
        content(guest);
        all_given_back();
    }
}

Test(giving_life, none_where_nobody_gives_way)
{
    for (unsigned i = 0; i < 2; i++) {
        struct giving_way way = giving_way(i);
        struct guest *guest =
            giving_start(way, WORDS("PQBUDGET_YIELD=off"),
                         WORDS(way.open, way.where, way.ask, "select 1", "pause"));
        giving_ready(guest);
        cr_assert_eq(ground_in(PQB_CLAIM_OPEN), 1);
        cr_assert_eq(giving_threads(guest), 1);
        content(guest);
    }
}

/* ---- its descriptors ---- */

Test(giving_life, no_descriptor_is_left)
{
    for (unsigned i = 0; i < GIVING_WAYS; i++) {
        struct giving_way way = giving_way(i);
        struct guest *guest =
            giving_start(way, NOTHING,
                         WORDS(LISTENING(way), way.open, way.where, "pause", way.ask, "select 1",
                               CLOSE(way), way.open, way.where, "pause", way.ask, "select 1",
                               CLOSE(way), way.open, way.where, "pause"));
        giving_ready(guest);
        unsigned before = giving_descriptors(guest);
        for (unsigned n = 0; n < 2; n++) {
            let_in(way);
            cr_assert(wait_until(giving_descriptors(guest) <= before));
            guest_go(guest);
            hears_the_end(way, guest);
            giving_ready(guest);
            cr_assert(wait_until(giving_descriptors(guest) <= before));
        }
        content(guest);
        all_given_back();
    }
}

/* ---- its children, and its ends ---- */

Test(giving_life, a_child_has_a_thread_of_its_own)
{
    /* gcc's AddressSanitizer does not see to its allocator's locks over a fork, and the parent's
     * thread, which has just begun, may hold one. */
    if (ground_has_sanitizer())
        cr_skip_test("a sanitizer's allocator may be locked in a forked child");
    for (unsigned i = 0; i < GIVING_WAYS; i++) {
        struct giving_way way = giving_way(i);
        struct guest *guest = giving_start(way, WORDS("PQBUDGET_LIMIT=3"),
                                           WORDS(way.open, way.where, "fork", "{", LISTENING(way),
                                                 way.open, way.where, "pause", way.ask, "select 1",
                                                 "}", "wait", way.ask, "select 'still here'"));
        giving_ready(guest);
        let_in(way);
        cr_assert_eq(giving_count(), 1);
        guest_go(guest);
        hears_the_end(way, guest);
        hear(guest, "child 0");
        hear(guest, GIVING_IS_LIBPQ(way) ? "still here" : "ok still here");
        content(guest);
        all_given_back();
    }
}

/* The thread sleeps meanwhile. */
Test(giving_life, however_it_ends)
{
    static const struct {
        const char *step, *argument;
        unsigned way;
        int status;
    } end[] = {
        {"_exit", "3", 0, 3},  {"quickexit", "4", 2, 4}, {"show", NULL, 0, 0},
        {"leave", NULL, 1, 0}, {"say", "so", 3, 0},
    };
    for (unsigned i = 0; i < sizeof end / sizeof *end; i++) {
        struct giving_way way = giving_way(end[i].way);
        struct guest *guest = giving_start(
            way, NOTHING,
            WORDS(way.open, way.where, way.open, way.where, "pause", end[i].step, end[i].argument));
        giving_ready(guest);
        has_threads(guest, 2);
        cr_assert_eq(guest_end(guest), end[i].status);
        cr_assert_str_eq(guest_complaints(guest), "");
        all_given_back();
    }
}

Test(giving_life, killed)
{
    for (unsigned i = 0; i < 2; i++) {
        struct guest *guest = giving_holder(giving_way(i), WORDS("pause"));
        giving_ready(guest);
        guest_kill(guest);
        all_given_back();
    }
}

Test(giving_life, a_program_in_its_place)
{
    struct giving_way way = giving_way(0);
    struct guest *guest =
        giving_holder(way, WORDS("pause", "exec", "pause", LISTENING(way), way.open, way.where,
                                 "pause", way.ask, "select 1"));
    giving_ready(guest);
    guest_go(guest);
    giving_ready(guest);
    all_given_back();
    has_threads(guest, 1);
    guest_go(guest);
    giving_ready(guest);
    let_in(way);
    guest_go(guest);
    hears_the_end(way, guest);
    content(guest);
    all_given_back();
}

/* ---- a connection that is gone ---- */

/* What libpq's users do with one; whether or not they know that it is gone. */
static void goes_on(const char *const *steps, const char *const *heard)
{
    const char *all[32] = {"pause"};
    for (unsigned i = 1; *steps; i++)
        all[i] = *steps++;
    struct giving_way way = giving_way(0);
    struct guest *guest = giving_holder(way, all);
    giving_ready(guest);
    let_in(way);
    cr_assert_eq(giving_count(), 1);
    guest_go(guest);
    for (; *heard; heard++)
        hear_start(guest, *heard);
    giving_ready(guest);
    cr_assert(wait_until(ground_claims() == 2 && ground_used() == 2));
    content(guest);
    all_given_back();
}

Test(giving_life, made_anew)
{
    static const char ended[] = "FATAL:  terminating connection due to idle-session timeout|";
    goes_on(WORDS("reset", "query", "select 7", "pause"), WORDS("ok ", "7"));
    goes_on(WORDS("query", "select 1", "reset", "query", "select 7", "pause"),
            WORDS(ended, "ok ", "7"));
    goes_on(WORDS("resetstart", "resetpoll", "query", "select 7", "pause"),
            WORDS("started 1", "ok ", "7"));
    goes_on(WORDS("query", "select 1", "resetstart", "resetpoll", "query", "select 7", "pause"),
            WORDS(ended, "started 1", "ok ", "7"));
    goes_on(WORDS("finish", "connectdb", "", "query", "select 7", "pause"), WORDS("ok ", "7"));
    goes_on(WORDS("query", "select 1", "finish", "connectdb", "", "pause"), WORDS(ended, "ok "));
    goes_on(WORDS("cancelnow", "query", "select 1", "cancelnow", "reset", "pause"),
            WORDS("cancelled", ended, "", "ok "));
}

/* It has no right to its slot any more. */
Test(giving_life, made_anew_while_another_has_its_slot)
{
    struct giving_way way = giving_way(0);
    struct guest *guest = giving_start(
        way, WORDS("PQBUDGET_WAIT=0"),
        WORDS(LISTENING(way), way.open, way.where, "pause", "reset", "reset", "pause"));
    giving_ready(guest);
    struct guest *comer = giving_comer(way, "60s");
    hear_start(comer, "ok");
    guest_go(guest);
    for (unsigned n = 0; n < 2; n++)
        cr_assert(strstr(guest_line(guest), "sorry, too many clients already"));
    giving_ready(guest);
    cr_assert_eq(ground_used(), 2);
    content(comer);
    content(guest);
    all_given_back();
}

/* Every number that it has leads to the same end. */
Test(giving_life, with_two_numbers)
{
    static const char *const calls[] = {"dup", "dup2", "dup3", "F_DUPFD", "F_DUPFD_CLOEXEC"};
    for (unsigned i = 0; i < sizeof calls / sizeof *calls; i++) {
        struct giving_way way = giving_way(i % 2 ? 1 : 3);
        struct guest *guest =
            giving_holder(way, WORDS("copy", calls[i], "pause", "ask", "select 1", "turn", "hear",
                                     "close", "turn", "close", "pause"));
        giving_ready(guest);
        let_in(way);
        guest_go(guest);
        hear(guest, "57P05 end");
        hear(guest, "end");
        giving_ready(guest);
        cr_assert(wait_until(ground_used() == 1));
        content(guest);
        all_given_back();
    }
    goes_on(WORDS("copy", "dup", "query", "select 1", "reset", "pause"),
            WORDS("copied", "FATAL:  terminating connection due to idle-session timeout", "ok "));
}

/* Used by its second number after the first one was closed, it gives way as well. */
Test(giving_life, with_its_second_number)
{
    for (unsigned i = 1; i < GIVING_WAYS; i += 2) {
        struct giving_way way = giving_way(i);
        struct guest *guest = giving_holder(way, WORDS("copy", "dup", "close", "turn", "ask",
                                                       "select 1", "pause", "ask", "select 1"));
        giving_ready(guest);
        let_in(way);
        guest_go(guest);
        hears_the_end(way, guest);
        content(guest);
        all_given_back();
    }
}

/* ---- numbers that go to others ---- */

/* Closed past the hooks, by what libuv does; then it is somebody else's who is none of ours. */
Test(giving_life, its_number_is_an_innocents)
{
    for (unsigned i = 1; i < GIVING_WAYS; i += 2) {
        struct giving_way way = giving_way(i);
        struct guest *guest =
            giving_holder(way, WORDS("pause", "rawclose", "innocent", "pause", "harmed"));
        giving_ready(guest);
        if (i == 1) /* it has given way before; or it is asked afterwards */
            let_in(way);
        guest_go(guest);
        giving_ready(guest);
        if (i != 1)
            let_in(way);
        guest_go(guest);
        hear(guest, "unharmed");
        content(guest);
        all_given_back();
    }
}

/* Or it is the next connection's, which gives way for itself. */
Test(giving_life, its_number_is_the_next_ones)
{
    for (unsigned i = 1; i < GIVING_WAYS; i += 2) {
        struct giving_way way = giving_way(i);
        struct guest *guest = giving_holder(
            way, WORDS("pause", "rawclose", way.open, way.where, "pause", "ask", "select 1",
                       "rawclose", way.open, way.where, "ask", "select 7", "pause"));
        giving_ready(guest);
        let_in(way);
        guest_go(guest);
        giving_ready(guest);
        let_in(way);
        cr_assert_eq(giving_count(), 1);
        guest_go(guest);
        hears_the_end(way, guest);
        hear(guest, "ok");
        hear(guest, "ok 7");
        giving_ready(guest);
        content(guest);
        all_given_back();
    }
}

/* libpq says when it is done with one. */
Test(giving_life, libpqs_number_is_another_files)
{
    for (unsigned i = 0; i < 2; i++) {
        struct giving_way way = giving_way(0);
        struct guest *comer = NULL;
        struct guest *guest =
            giving_holder(way, WORDS("pause", "lose", "pause", "finish", "pause"));
        giving_ready(guest);
        if (i) /* it has given way before; or it is asked afterwards */
            let_in(way);
        guest_go(guest);
        hear(guest, "lost");
        giving_ready(guest);
        if (!i) {
            comer = giving_waiter(way, "60s");
            giving_stays();
        }
        guest_go(guest);
        giving_ready(guest);
        if (!i) {
            hear_start(comer, "ok");
            content(comer);
        }
        cr_assert(wait_until(ground_used() == 1));
        content(guest);
        all_given_back();
    }
}

/* ---- its ledger, and its scheduler ---- */

/* What is in the old one is forgotten; in the new one it gives way as ever. */
Test(giving_life, another_ledger)
{
    for (unsigned i = 0; i < 2; i++) {
        struct giving_way way = giving_way(i);
        struct guest *guest =
            giving_start(way, NOTHING,
                         WORDS(way.open, way.where, way.open, way.where, "pause", LISTENING(way),
                               way.open, way.where, "pause", way.ask, "select 1"));
        giving_ready(guest);
        has_threads(guest, 2);
        cr_assert_eq(system(ground_text("PQBUDGET_LEDGER=%s %s reset --force >/dev/null",
                                        ground_ledger_name(), ground_built("pqbudget"))),
                     0);
        guest_go(guest);
        giving_ready(guest);
        cr_assert_eq(ground_claims(), 2);
        let_in(way);
        cr_assert_eq(giving_count(), 1);
        guest_go(guest);
        hears_the_end(way, guest);
        cr_assert_eq(guest_end(guest), 0, "%s", guest_complaints(guest));
        all_given_back();
    }
}

/* Whoever does not answer is let alone, and another one asked. */
Test(giving_life, stopped)
{
    for (unsigned i = 0; i < 2; i++) {
        struct giving_way way = giving_way(i);
        struct guest *holder[2];
        for (unsigned n = 0; n < 2; n++) {
            holder[n] = giving_start(
                way, WORDS("PQBUDGET_LIMIT=4"),
                WORDS(way.open, way.where, way.open, way.where, "pause", way.ask, "select 7"));
            giving_ready(holder[n]);
        }
        kill(holder[0]->pid, SIGSTOP);
        struct guest *comer = giving_comer(way, "60s");
        hear_start(comer, "ok");
        kill(holder[0]->pid, SIGCONT);
        cr_assert_eq(giving_count(), 1);
        guest_go(holder[0]);
        hear(holder[0], GIVING_IS_LIBPQ(way) ? "7" : "ok 7");
        content(holder[0]);
        content(comer);
        cr_assert_eq(guest_end(holder[1]), 0);
        all_given_back();
    }
}

/* The pages it sleeps on are gone. */
Test(giving_life, a_ledger_cut_off)
{
    for (unsigned i = 0; i < GIVING_WAYS; i++) {
        struct giving_way way = giving_way(i);
        struct guest *guest = giving_start(way, NOTHING,
                                           WORDS(way.open, way.where, way.open, way.where, "pause",
                                                 way.ask, "select 7", way.open, way.where, way.ask,
                                                 "select 8", CLOSE(way), "say", "done"));
        giving_ready(guest);
        has_threads(guest, 2);
        cr_assert_eq(truncate(ground_ledger_path(), i % 2 ? 4096 : 0), 0);
        guest_go(guest);
        hear(guest, GIVING_IS_LIBPQ(way) ? "7" : "ok 7");
        hear_start(guest, "ok");
        hear(guest, GIVING_IS_LIBPQ(way) ? "8" : "ok 8");
        hear(guest, "done");
        cr_assert_eq(guest_end(guest), 0, "%s", guest_complaints(guest));
        cr_assert_eq(unlink(ground_ledger_path()), 0);
    }
}
