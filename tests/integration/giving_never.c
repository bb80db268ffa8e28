/* What never gives way, whoever waits: and as soon as it is over, does. */
#include "giving.h"

#include <stdio.h>
#include <unistd.h>

GROUND(giving_never);

/* ---- states that end ---- */

/* After `begin` the session is in that state, after `end` in none. */
static void stays_until(struct giving_way way, const char *const *begin, const char *session,
                        const char *const *end)
{
    const char *all[32] = {0};
    unsigned i = 0;
    while (*begin)
        all[i++] = *begin++;
    all[i++] = "pause";
    while (*end)
        all[i++] = *end++;
    all[i++] = "pause";
    all[i++] = way.ask;
    all[i] = "select 1";
    struct guest *holder = giving_holder(way, all);
    giving_ready(holder);
    struct guest *waiter = giving_waiter(way, "60s");
    giving_told(holder, session);
    giving_stays();
    guest_go(holder);
    giving_ready(holder);
    cr_assert(wait_until((giving_ask_again(), giving_count() == 1)));
    hear_start(waiter, "ok");
    guest_go(holder);
    hear_start(holder, giving_ended(way));
    content(holder);
    content(waiter);
    all_given_back();
}

Test(giving_never, in_a_transaction)
{
    for (unsigned i = 0; i < 2; i++) {
        struct giving_way way = giving_way(i);
        stays_until(way, WORDS(way.ask, "begin"), "idle in transaction", WORDS(way.ask, "commit"));
    }
}

Test(giving_never, in_one_that_failed)
{
    struct giving_way way = giving_way(2);
    stays_until(way, WORDS(way.ask, "begin", way.ask, "select 1/0"), "idle in transaction",
                WORDS(way.ask, "rollback"));
    way = giving_way(1);
    stays_until(way, WORDS("extended", "begin", "0", "sync", "extended", "select 1/0", "0", "sync"),
                "idle in transaction", WORDS(way.ask, "rollback"));
}

/* A table of this test's own. */
static const char *table(void)
{
    static char name[32];
    snprintf(name, sizeof name, "copied_%d", (int)getpid());
    ground_ask("create table if not exists %s (a text)", name);
    return name;
}

Test(giving_never, while_it_copies_in)
{
    const char *copy = ground_text("copy %s from stdin", table());
    for (unsigned i = 0; i < 2; i++)
        stays_until(giving_way(i), WORDS("copyin", copy), "active", WORDS("copyend"));
}

Test(giving_never, while_it_copies_out)
{
    static const char copy[] = "copy (select generate_series(1, 300000)) to stdout";
    for (unsigned i = 2; i < 4; i++)
        stays_until(giving_way(i), WORDS("copyout", copy), "active",
                    WORDS(i % 2 ? "hear" : "copyrest"));
}

Test(giving_never, within_a_pipeline)
{
    stays_until(giving_way(0), WORDS("pipeline", "select 1"), "active", WORDS("pipelineend"));
    stays_until(giving_way(3), WORDS("extended", "select 1", "0"), "active", WORDS("sync"));
}

Test(giving_never, while_a_portal_is_open)
{
    stays_until(giving_way(1), WORDS("extended", "select generate_series(1, 9)", "3"), "active",
                WORDS("sync"));
}

/* The server is done with it, and nobody has heard it. */
Test(giving_never, with_an_answer_unread)
{
    stays_until(giving_way(2), WORDS("asks", "select 1"), "active", WORDS("hears"));
    stays_until(giving_way(1), WORDS("tell", "select 1"), "active", WORDS("hear"));
}

Test(giving_never, with_half_a_query_written)
{
    stays_until(giving_way(3), WORDS("half", "select 1"), "active", WORDS("otherhalf", "select 1"));
}

/* ---- states for good ---- */

/* It goes on as if nothing were; whoever waits is let in when it closes. */
static void stays_for_good(struct giving_way way, const char *const *steps, const char *session)
{
    const char *all[32] = {0};
    unsigned i = 0;
    while (*steps)
        all[i++] = *steps++;
    all[i++] = "pause";
    all[i++] = way.ask;
    all[i++] = "select 'still here'";
    all[i] = "pause";
    struct guest *holder = giving_holder(way, all);
    giving_ready(holder);
    struct guest *waiter = giving_waiter(way, "60s");
    giving_told(holder, session);
    giving_stays();
    guest_go(holder);
    hear(holder, GIVING_IS_LIBPQ(way) ? "still here" : "ok still here");
    giving_ready(holder);
    content(holder);
    hear_start(waiter, "ok");
    cr_assert_eq(giving_count(), 0);
    content(waiter);
    all_given_back();
}

Test(giving_never, what_the_session_keeps)
{
    static const char *const kept[][2] = {
        {"listen channel", "LISTEN"},
        {"select pg_advisory_lock(hashtext(pg_backend_pid()::text))", "an advisory lock"},
        {"create temporary table t (a int)", "a temporary table"},
        {"select 1 as a into temp t", "a temporary table"},
        {"declare c cursor with hold for select 1", "a cursor WITH HOLD"},
        {"set work_mem = '8MB'", "SET"},
        {"select set_config('work_mem', '8MB', false)", "SET"},
        {"prepare p as select 1", "PREPARE"},
        {"load 'plpgsql'", "LOAD"},
        {"do 'begin end'", "DO, or a function by its number"},
    };
    for (unsigned i = 0; i < sizeof kept / sizeof *kept; i++) {
        struct giving_way way = giving_way(i);
        stays_for_good(way, WORDS(way.ask, kept[i][0]), kept[i][1]);
    }
}

/* Said within a transaction, and kept behind it. */
Test(giving_never, what_a_transaction_leaves)
{
    for (unsigned i = 2; i < 4; i++) {
        struct giving_way way = giving_way(i);
        stays_for_good(way,
                       WORDS(way.ask, "begin", way.ask, "set work_mem = '8MB'", way.ask, "commit"),
                       "SET");
    }
}

/* ---- others ---- */

/* Refused as ever, when its time is up. */
static void refused(struct giving_way way)
{
    struct guest *waiter = giving_comer(way, "300ms");
    hear_start(waiter, GIVING_IS_LIBPQ(way) ? "bad " : "53300 end");
    cr_assert_eq(guest_end(waiter), 0);
    cr_assert_eq(giving_count(), 0);
}

static void still_there(struct giving_way way, struct guest *guest)
{
    guest_go(guest);
    hear(guest, GIVING_IS_LIBPQ(way) ? "still here" : "ok still here");
}

Test(giving_never, the_only_one_of_a_process)
{
    for (unsigned i = 0; i < GIVING_WAYS; i++) {
        struct giving_way way = giving_way(i);
        struct guest *holder[2];
        for (unsigned n = 0; n < 2; n++) {
            holder[n] = giving_start(
                way, NOTHING, WORDS(way.open, way.where, "pause", way.ask, "select 'still here'"));
            giving_ready(holder[n]);
        }
        refused(way);
        giving_told(holder[0], "idle");
        for (unsigned n = 0; n < 2; n++) {
            still_there(way, holder[n]);
            content(holder[n]);
        }
        all_given_back();
    }
}

/* Idle for longer than it takes, a hundred times over. */
static int is_idle_for_long(void)
{
    const struct pqb_snapshot *now = ground_look();
    return now->claims == 2 && now->claim[0].idle_ns > 100 * PQB_MS &&
           now->claim[1].idle_ns > 100 * PQB_MS;
}

Test(giving_never, while_nobody_waits)
{
    for (unsigned i = 0; i < GIVING_WAYS; i++) {
        struct giving_way way = giving_way(i);
        struct guest *holder = giving_start(way, WORDS("PQBUDGET_LIMIT=3"),
                                            WORDS(way.open, way.where, way.open, way.where, "pause",
                                                  way.ask, "select 'still here'"));
        giving_ready(holder);
        giving_told(holder, "idle");
        cr_assert(wait_until(is_idle_for_long()));
        struct guest *third = giving_start(way, NOTHING, WORDS(way.open, way.where, "pause"));
        hear_start(third, "ok");
        giving_ready(third);
        cr_assert_eq(giving_count(), 0);
        still_there(way, holder);
        content(holder);
        content(third);
        all_given_back();
    }
}

Test(giving_never, before_its_time)
{
    for (unsigned i = 0; i < GIVING_WAYS; i++) {
        struct giving_way way = giving_way(i);
        struct guest *holder = giving_start(way, WORDS("PQBUDGET_YIELD=3600s"),
                                            WORDS(way.open, way.where, way.open, way.where, "pause",
                                                  way.ask, "select 'still here'"));
        giving_ready(holder);
        refused(way);
        giving_told(holder, "idle");
        still_there(way, holder);
        content(holder);
        all_given_back();
    }
}

/* Its child has a copy, and may say something at any time. */
Test(giving_never, what_a_child_shares)
{
    for (unsigned i = 0; i < GIVING_WAYS; i++) {
        struct giving_way way = giving_way(i);
        struct guest *holder = giving_holder(
            way, WORDS("fork", "{", "pause", way.ask, "select 'by the child'", "}", "wait"));
        giving_ready(holder);
        struct guest *waiter = giving_waiter(way, "60s");
        giving_told(holder, "shared with a forked process");
        giving_stays();
        guest_go(holder);
        hear(holder, GIVING_IS_LIBPQ(way) ? "by the child" : "ok by the child");
        hear(holder, "child 0");
        cr_assert_eq(guest_end(holder), 0);
        hear_start(waiter, "ok");
        cr_assert_eq(giving_count(), 0);
        content(waiter);
        all_given_back();
    }
}

/* As programs start others: as long as the child lives it has a copy, of which it says nothing.
 * Where the kernel counts bytes, that is known afterwards. */
Test(giving_never, what_a_child_shares_and_while_it_does)
{
    for (unsigned i = 0; i < GIVING_WAYS; i++) {
        struct giving_way way = giving_way(i);
        struct guest *holder =
            giving_holder(way, WORDS("fork", "{", "pause", "}", "wait", "pause"));
        giving_ready(holder);
        struct guest *waiter = giving_waiter(way, "60s");
        giving_told(holder, "shared with a forked process");
        giving_stays();
        guest_go(holder);
        hear(holder, "child 0");
        hear(holder, "ready");
        int is_unix = i >= 2;
        if (!is_unix) {
            hear_start(waiter, "ok");
            giving_counts(1);
        } else {
            giving_stays();
            cr_assert_eq(giving_count(), 0);
        }
        guest_end(holder);
        guest_end(waiter);
        all_given_back();
    }
}

/* The server has ended it, and nobody has read why: he reads that, and nothing of ours. */
Test(giving_never, with_something_unread)
{
    for (unsigned i = 0; i < GIVING_WAYS; i++) {
        struct giving_way way = giving_way(i);
        int is_libpq = GIVING_IS_LIBPQ(way);
        struct guest *holder =
            giving_holder(way, WORDS(way.ask, "select pg_backend_pid()", "pause",
                                     is_libpq ? "query" : "hear", is_libpq ? "select 1" : NULL));
        hear_start(holder, "ok");
        guest_line(holder);
        hear_start(holder, "ok");
        const char *backend = ground_text("%s", guest_line(holder) + (is_libpq ? 0 : 3));
        ground_ask("select pg_terminate_backend(%s)", backend);
        cr_assert(wait_until(!strcmp(
            ground_ask("select count(*) from pg_stat_activity where pid = %s", backend), "0")));
        giving_ready(holder);
        struct guest *waiter = giving_waiter(way, "60s");
        giving_stays();
        guest_go(holder);
        hear_start(holder, is_libpq ? "FATAL:  terminating connection due to admin" : "57P01 end");
        guest_end(holder);
        hear_start(waiter, "ok");
        cr_assert_eq(giving_count(), 0);
        content(waiter);
        all_given_back();
    }
}

/* Somebody has spoken with the server past the hooks: the kernel has counted more than they have.
 */
Test(giving_never, what_was_used_past_the_hooks)
{
    struct giving_way way = giving_way(1);
    struct guest *holder =
        giving_holder(way, WORDS("askpast", "set work_mem = '8MB'", "pause", "ask",
                                 "select current_setting('work_mem')", "pause"));
    giving_ready(holder);
    struct guest *waiter = giving_waiter(way, "60s");
    giving_stays();
    guest_go(holder);
    hear(holder, "ok 8MB");
    giving_ready(holder);
    content(holder);
    hear_start(waiter, "ok");
    cr_assert_eq(giving_count(), 0);
    content(waiter);
    all_given_back();
}

/* Some clients have one that does nothing else: it is inside all the time. */
Test(giving_never, while_a_thread_reads)
{
    for (unsigned i = 1; i < GIVING_WAYS; i += 2) {
        struct giving_way way = giving_way(i);
        struct guest *holder =
            giving_holder(way, WORDS("reader", "pause", "utter", "select 'still here'", "pause"));
        giving_ready(holder);
        giving_told(holder, "active"); /* the thread has come to its read */
        struct guest *waiter = giving_waiter(way, "60s");
        giving_told(holder, "active");
        giving_stays();
        guest_go(holder);
        const char *first = guest_line(holder);
        if (!strcmp(first, "ready"))
            hear(holder, "ok still here");
        else
            cr_assert_str_eq(first, "ok still here");
        content(holder);
        hear_start(waiter, "ok");
        cr_assert_eq(giving_count(), 0);
        content(waiter);
        all_given_back();
    }
}

/* It is charged to nobody, and asked by nobody. */
Test(giving_never, replication)
{
    struct giving_way way = giving_way(0);
    struct guest *holder =
        giving_start(way, NOTHING,
                     WORDS("connectdb", "", "connectdb", "", "connectdb", "replication=database",
                           "pause", "query", "show wal_level"));
    giving_ready(holder);
    cr_assert_eq(ground_claims(), 2);
    struct guest *waiter = giving_comer(way, "60s");
    hear_start(waiter, "ok");
    struct guest *late = giving_waiter(way, "60s");
    giving_told(holder, "idle");
    cr_assert_eq(giving_count(), 0);
    guest_go(holder);
    hear(holder, "replica");
    content(waiter);
    hear_start(late, "ok");
    content(late);
    content(holder);
    all_given_back();
}
