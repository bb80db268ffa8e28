/* Every road to a libpq, and what else may be loaded beside it. */
#include "ground.h"

#include <stdio.h>
#include <stdlib.h>

GROUND(loading);

#define LOCAL "host=127.0.0.1"
#define LOADER(environment, ...) guest_start(environment, "helpers/loader", WORDS(__VA_ARGS__))
#define COPY ground_built("helpers/copy/libpq.so.5")
#define SYMBOLIC ground_built("helpers/symbolicpq/libpq.so.5")
#define FAKE ground_built("helpers/fakepq/libpq.so.5")

/* By their bare names: found by way of the loader's RUNPATH, if it is seen to be the caller. */
#define CLIENT (ground_has_sanitizer() ? ground_built("helpers/plugins/client.so") : "client.so")
#define EARLY (ground_has_sanitizer() ? ground_built("helpers/plugins/early.so") : "early.so")

/* One connection is open and counted; then it is given back. */
static void counted_until_finished(struct guest *guest)
{
    hear_start(guest, "ok ");
    hear(guest, "ready");
    cr_assert_eq(ground_claim()->state, PQB_CLAIM_OPEN);
    guest_go(guest);
    hear(guest, "ready");
    all_given_back();
    content(guest);
}

/* A plugin that is linked with libpq: by its way of being loaded, and by the way it calls. */
static void plugin(const char *const *environment, const char *scope, const char *calls)
{
    if (ground_has_sanitizer() && !strcmp(scope, "deepbind"))
        cr_skip_test("a sanitizer refuses RTLD_DEEPBIND before it comes to us");
    counted_until_finished(LOADER(environment, "plugin", CLIENT, scope, calls, "connectdb", LOCAL,
                                  "pause", "finish", "pause"));
    guest_kill_all();
    counted_until_finished(LOADER(environment, "plugin", CLIENT, scope, calls, "start", LOCAL,
                                  "poll", "pause", "finish", "pause"));
}

#define PLUGIN(scope, calls)                                                                       \
    Test(loading, a_##scope##_plugin_that_calls_##calls)                                           \
    {                                                                                              \
        plugin(NOTHING, #scope, #calls);                                                           \
    }

PLUGIN(local, plain)
PLUGIN(local, tail)
PLUGIN(local, pointer)
PLUGIN(global, plain)
PLUGIN(global, tail)
PLUGIN(global, pointer)
PLUGIN(deepbind, plain)
PLUGIN(deepbind, tail)
PLUGIN(deepbind, pointer)

Test(loading, a_foreign_function_interface)
{
    counted_until_finished(
        LOADER(NOTHING, "ffi", "libpq.so.5", "connectdb", LOCAL, "pause", "finish", "pause"));
    guest_kill_all();
    counted_until_finished(
        LOADER(NOTHING, "ffi", "libpq.so.5", "start", LOCAL, "poll", "pause", "finish", "pause"));
    guest_kill_all();
    counted_until_finished(LOADER(NOTHING, "plugin", CLIENT, "global", "plain", "default",
                                  "connectdb", LOCAL, "pause", "finish", "pause"));
}

Test(loading, started_by_one_object_and_polled_by_another)
{
    counted_until_finished(LOADER(NOTHING, "plugin", CLIENT, "local", "plain", "ffi", "libpq.so.5",
                                  "start", LOCAL, "use", "0", "poll", "pause", "use", "1", "finish",
                                  "pause"));
}

Test(loading, a_libpq_that_is_bound_within_itself)
{
    counted_until_finished(
        LOADER(NOTHING, "ffi", SYMBOLIC, "connectdb", LOCAL, "pause", "finish", "pause"));
    guest_kill_all();
    counted_until_finished(
        LOADER(NOTHING, "ffi", SYMBOLIC, "start", LOCAL, "poll", "pause", "finish", "pause"));
    guest_kill_all();
    counted_until_finished(
        guest_doors(WORDS(ground_text("LD_PRELOAD=%s:%s", guest_preload(NULL), SYMBOLIC)),
                    "connectdb", LOCAL, "pause", "finish", "pause"));
}

Test(loading, a_bound_libpq_s_refusal)
{
    ground_hold(NULL, 1, 1, "web");
    struct guest *guest = LOADER(WORDS("PQBUDGET_WAIT=0"), "ffi", SYMBOLIC, "connectdb", LOCAL,
                                 "start", LOCAL, "poll");
    for (unsigned i = 0; i < 2; i++)
        hear_start(guest, ground_text("bad %sFATAL:  sorry, too many clients already|DETAIL:  pqb",
                                      ground_tcp_prefix()));
    content(guest);
}

/* Each connection is made by the libpq that was called: the one that opens the socket. */
Test(loading, two_libpqs_in_one_process)
{
    struct guest *guest =
        LOADER(NOTHING, "plugin", CLIENT, "local", "plain", "connectdb", LOCAL, "whose", "ffi",
               COPY, "connectdb", LOCAL, "whose", "use", "0", "connectdb", LOCAL, "whose", "reset",
               "whose", "use", "1", "connectdb", LOCAL, "whose", "pause", "finish", "use", "0",
               "finish", "use", "1", "finish", "use", "0", "finish", "pause");
    char system[256];
    hear_start(guest, "ok ");
    snprintf(system, sizeof system, "%s", guest_line(guest));
    cr_assert_str_neq(system, "copy");
    hear_start(guest, "ok ");
    hear(guest, "copy");
    hear_start(guest, "ok ");
    hear(guest, system);
    hear_start(guest, "ok ");
    hear(guest, system);
    hear_start(guest, "ok ");
    hear(guest, "copy");
    hear(guest, "ready");
    cr_assert_eq(ground_in(PQB_CLAIM_OPEN), 4);
    guest_go(guest);
    hear(guest, "ready");
    all_given_back();
    content(guest);
}

/* A program linked with one libpq loads a plugin that brings its own. */
Test(loading, a_fake_libpq_beside_the_real_one)
{
    const char *conninfo = ground_text("host=127.0.0.1 port=%s", ground_port());
    struct guest *guest = LOADER(NOTHING, "plugin", CLIENT, "global", "pointer", "ffi", FAKE,
                                 "connectdb", conninfo, "whose", "use", "0", "connectdb", conninfo,
                                 "whose", "pause", "finish", "use", "1", "finish", "pause");
    hear(guest, "ok 0");
    hear(guest, "fakepq");
    hear_start(guest, "ok ");
    cr_assert_str_neq(guest_line(guest), "fakepq");
    hear(guest, "ready");
    cr_assert_eq(ground_in(PQB_CLAIM_OPEN), 2);
    guest_go(guest);
    hear(guest, "ready");
    all_given_back();
    content(guest);
}

/* Version 17's cancel connections go through the functions of the ordinary ones. */
Test(loading, cancel_connections_are_not_charged)
{
    struct guest *guest =
        LOADER(WORDS("PQBUDGET_LIMIT=1", "PQBUDGET_WAIT=0"), "ffi", FAKE, "cancel17",
               ground_text("host=127.0.0.1 port=%s", ground_port()), "lookup");
    hear(guest, "blocking 1");
    hear(guest, "ready");
    cr_assert_eq(ground_claim()->state, PQB_CLAIM_OPEN);
    guest_go(guest);
    hear(guest, "start 1");
    hear(guest, "polled 3");
    hear(guest, "ready");
    cr_assert_eq(ground_claims(), 1);
    guest_go(guest);
    hear(guest, "ready");
    cr_assert_eq(ground_claim()->state, PQB_CLAIM_OPEN);
    cr_assert_eq(ground_look()->server[0].granted_total, 1);
    guest_go(guest);
    hear(guest, "next found");
    all_given_back();
    content(guest);
}

Test(loading, a_connection_made_past_us_is_left_alone)
{
    struct guest *guest = LOADER(WORDS("PQBUDGET_LIMIT=1", "PQBUDGET_WAIT=0"), "ffi", FAKE,
                                 "strange", ground_text("host=127.0.0.1 port=%s", ground_port()));
    hear(guest, "poll 2");
    hear(guest, "message ");
    hear(guest, "status 0");
    hear(guest, "ready");
    cr_assert_eq(ground_claims(), 0);
    content(guest);
}

Test(loading, what_is_not_libpq_s_is_looked_up_as_ever)
{
    static const char *const heard[] = {"next found", "unknown absent", "error names it",
                                        "plain absent", "error names it"};
    struct guest *guest = LOADER(NOTHING, "lookup", "ffi", "libpq.so.5", "lookup");
    for (unsigned i = 0; i < 10; i++)
        hear(guest, heard[i % 5]);
    content(guest);
}

/* What was found in a library must not be called when the library has gone. */
Test(loading, a_plugin_is_unloaded_and_loaded_again)
{
    struct guest *guest =
        LOADER(NOTHING, "plugin", CLIENT, "local", "plain", "connectdb", LOCAL, "finish", "unload",
               "plugin", CLIENT, "local", "tail", "connectdb", LOCAL, "pause", "finish", "unload",
               "ffi", COPY, "connectdb", LOCAL, "finish", "unload", "pause", "ffi", COPY,
               "connectdb", LOCAL, "pause", "finish", "pause");
    hear_start(guest, "ok ");
    hear(guest, "unloaded 0");
    hear_start(guest, "ok ");
    hear(guest, "ready");
    cr_assert_eq(ground_in(PQB_CLAIM_OPEN), 1);
    guest_go(guest);
    hear(guest, "unloaded 0");
    hear_start(guest, "ok ");
    hear(guest, "unloaded 0");
    hear(guest, "ready");
    all_given_back();
    guest_go(guest);
    counted_until_finished(guest);
}

Test(loading, a_library_that_is_not_there)
{
    struct guest *guest = LOADER(NOTHING, "load", "nosuch.so", "load", CLIENT);
    hear_start(guest, "nosuch.so: cannot open shared object file");
    hear(guest, "loaded");
    content(guest);
}

/* ---- before main, and after it ---- */

Test(loading, a_constructor_connects)
{
    const char *early = ground_built("helpers/plugins/early.so");
    for (unsigned behind = ground_has_sanitizer() != 0; behind < 2; behind++) {
        const char *preload = guest_preload(NULL);
        struct guest *guest =
            guest_doors(WORDS("EARLY_CONNINFO=host=127.0.0.1",
                              behind ? ground_text("LD_PRELOAD=%s:%s", preload, early)
                                     : ground_text("LD_PRELOAD=%s:%s", early, preload)),
                        "pause", "connectdb", "", "finish");
        hear(guest, "early ok");
        hear(guest, "ready");
        cr_assert_eq(ground_claim()->state, PQB_CLAIM_OPEN);
        guest_go(guest);
        hear_start(guest, "ok ");
        hear(guest, "late");
        content(guest);
        all_given_back();
        guest_kill_all();
    }
}

Test(loading, a_plugin_s_constructor_connects)
{
    struct guest *guest = LOADER(WORDS("EARLY_CONNINFO=host=127.0.0.1"), "load", EARLY, "pause");
    hear(guest, "early ok");
    hear(guest, "loaded");
    hear(guest, "ready");
    cr_assert_eq(ground_claim()->state, PQB_CLAIM_OPEN);
    guest_go(guest);
    hear(guest, "late");
    content(guest);
    all_given_back();
}

Test(loading, an_atexit_handler_connects)
{
    struct guest *guest = guest_doors(NOTHING, "atexit", LOCAL, "connectdb", LOCAL, "finish");
    hear_start(guest, "ok ");
    hear_start(guest, "ok ");
    hear(guest, "ready");
    cr_assert(wait_until(ground_claims() == 1));
    content(guest);
    all_given_back();
}

Test(loading, an_atexit_handler_connects_first)
{
    struct guest *guest = guest_doors(NOTHING, "atexit", LOCAL);
    hear_start(guest, "ok ");
    hear(guest, "ready");
    cr_assert_eq(ground_claim()->state, PQB_CLAIM_OPEN);
    content(guest);
    all_given_back();
}

/* ---- other preloads, before us and behind us; and our hooks without optimisation ---- */

#define JEMALLOC "libjemalloc.so.2"
#define FAKETIME "/usr/$LIB/faketime/libfaketime.so.1" /* Debian's place for it */

static void beside(const char *build, const char *other)
{
    const char *ours = ground_text("%s", guest_preload(build));
    const char *orders[] = {ground_text("LD_PRELOAD=%s:%s", ours, other),
                            ground_text("LD_PRELOAD=%s:%s", other, ours)};
    for (unsigned i = 0; i < 2; i++) {
        plugin(WORDS(orders[i], "FAKETIME=+1d"), "local", "plain");
        guest_kill_all();
        plugin(WORDS(orders[i], "FAKETIME=+1d"), "deepbind", "tail");
        guest_kill_all();
        counted_until_finished(LOADER(WORDS(orders[i], "FAKETIME=+1d"), "ffi", "libpq.so.5",
                                      "connectdb", LOCAL, "pause", "finish", "pause"));
        guest_kill_all();
        counted_until_finished(guest_doors(WORDS(orders[i], "FAKETIME=+1d"), "connectdb", LOCAL,
                                           "pause", "finish", "pause"));
        guest_kill_all();
    }
}

Test(loading, beside_jemalloc)
{
    if (ground_has_sanitizer())
        cr_skip_test("a sanitizer is the allocator");
    beside(NULL, JEMALLOC);
}

Test(loading, beside_faketime)
{
    if (ground_has_sanitizer())
        cr_skip_test("two that want to be the first");
    beside(NULL, FAKETIME);
}

Test(loading, unoptimised_beside_jemalloc)
{
    if (ground_has_sanitizer())
        cr_skip_test("a sanitizer is the allocator");
    beside("debug", JEMALLOC);
}

Test(loading, unoptimised_beside_faketime)
{
    if (ground_has_sanitizer())
        cr_skip_test("the other flavours have their own");
    beside("debug", FAKETIME);
}
