/* Descriptors that are duplicated, closed, reused, and inherited: held ones and open ones. */
#include "sockets.h"

GROUND(sockets_copies);

static const char *const kinds[] = {"tcp", "mapped", "unix"};
#define KINDS (sizeof kinds / sizeof *kinds)

static const char *const calls[] = {"dup", "dup2", "dup3", "F_DUPFD", "F_DUPFD_CLOEXEC"};
#define CALLS (sizeof calls / sizeof *calls)

/* The first number goes, the copy is as good. */
Test(sockets_copies, of_a_held_one)
{
    for (unsigned i = 0; i < CALLS * 2; i++) {
        sockets_fill(kinds[i % KINDS]);
        struct guest *guest = sockets_start(
            PATIENT, "socket %s connect startup by write 1000 copy %s %s turn pause hear pause",
            kinds[i % KINDS], calls[i % CALLS], i < CALLS ? "close" : "rawclose");
        hear(guest, "ready");
        sockets_held(1);
        ground_let_go();
        guest_go(guest);
        hear(guest, "ok");
        hear(guest, "ready");
        sockets_open();
        content(guest);
        all_given_back();
    }
}

Test(sockets_copies, of_an_open_one)
{
    for (unsigned i = 0; i < CALLS; i++) {
        struct guest *guest =
            sockets_start(NOTHING,
                          "socket %s connect startup by write 1000 hear copy %s close turn "
                          "query by write 100 hear pause terminate by write 100 close pause",
                          kinds[i % KINDS], calls[i]);
        hear(guest, "ok");
        hear(guest, "ok still here");
        hear(guest, "ready");
        cr_assert_eq(ground_in(PQB_CLAIM_OPEN), 1);
        guest_go(guest);
        hear(guest, "ready");
        all_given_back();
        content(guest);
    }
}

/* A copy of one that has said nothing yet, which goes; its number is another's when the copy
 * speaks. */
Test(sockets_copies, of_a_silent_one)
{
    for (unsigned i = 0; i < CALLS * 2; i++) {
        struct guest *guest = sockets_start(
            NOTHING,
            "socket %s connect copy %s %s innocent turn startup query by write 1000 hear "
            "hear turn harmed turn pause",
            kinds[i % KINDS], calls[i % CALLS], i < CALLS ? "close" : "rawclose");
        hear(guest, "ok");
        hear(guest, "ok still here");
        hear(guest, "unharmed");
        hear(guest, "ready");
        sockets_open();
        content(guest);
        all_given_back();
    }
}

/* A held one is closed when its turn has not come, or may be coming (`is_granted`), and its number
 * is another's. */
static void reused(const char *kind, const char *end, int is_granted)
{
    sockets_fill(kind);
    struct guest *guest = sockets_start(
        PATIENT, "socket %s connect startup by write 1000 pause %s innocent pause harmed", kind,
        end);
    hear(guest, "ready");
    sockets_held(1);
    if (is_granted)
        ground_let_go();
    guest_go(guest);
    hear(guest, "ready");
    cr_assert(wait_until(ground_in(PQB_CLAIM_WAITING) == 0));
    if (!is_granted)
        ground_let_go();
    struct guest *next =
        sockets_start(PATIENT, "socket %s connect startup by write 1000 hear", kind);
    hear(next, "ok");
    content(next);
    all_given_back();
    guest_go(guest);
    hear(guest, "unharmed");
    content(guest);
}

Test(sockets_copies, a_number_that_is_reused)
{
    static const char *const ends[] = {"close", "over dup2", "over dup3", "closeall close_range",
                                       "closeall closefrom"};
    for (unsigned i = 0; i < sizeof ends / sizeof *ends * 2; i++)
        reused(kinds[i % KINDS], ends[i / 2], (int)(i % 2));
    for (unsigned i = 0; i < KINDS; i++)
        reused(kinds[i], "rawclose", 0);
}

/* Once, and not whoever gets the number in the next moment. */
Test(sockets_copies, a_range_of_one_is_closed_once)
{
    for (unsigned i = 0; i < KINDS; i++) {
        struct guest *guest = sockets_start(NOTHING, "closealone %s 40", kinds[i]);
        hear(guest, "0 lost");
        content(guest);
    }
}

Test(sockets_copies, its_turn_comes_as_its_number_goes)
{
    for (unsigned i = 0; i < 24; i++)
        reused(kinds[i % KINDS], "rawclose", 1);
}

/* As libuv does it: after the end by a system call, the number goes to whoever is accepted next. */
Test(sockets_copies, a_number_that_was_refused_and_is_reused)
{
    for (unsigned i = 0; i < KINDS; i++) {
        sockets_fill(kinds[i]);
        struct guest *guest = sockets_start(WORDS("PQBUDGET_WAIT=100ms"),
                                            "socket %s connect startup by write 1000 hear rawclose "
                                            "innocent harmed",
                                            kinds[i]);
        hear(guest, "53300 end");
        hear(guest, "unharmed");
        content(guest);
        ground_let_go();
        all_given_back();
    }
}

/* A dup2 that fails changes nothing. */
Test(sockets_copies, nothing_put_over_a_held_one)
{
    for (unsigned i = 0; i < KINDS; i++) {
        sockets_fill(kinds[i]);
        struct guest *guest = sockets_start(
            PATIENT, "socket %s connect startup by write 1000 overfromnowhere pause hear pause",
            kinds[i]);
        hear(guest, "EBADF");
        hear(guest, "ready");
        sockets_held(1);
        ground_let_go();
        guest_go(guest);
        hear(guest, "ok");
        hear(guest, "ready");
        sockets_open();
        content(guest);
        all_given_back();
    }
}

/* Whoever closes all that he does not know closes our life locks: it is counted all the same. */
Test(sockets_copies, an_open_one_among_others_that_are_closed)
{
    for (unsigned i = 0; i < KINDS; i++) {
        sockets_fill(kinds[i]);
        ground_let_go();
        struct guest *guest = sockets_start(
            NOTHING,
            "socket %s connect startup by write 1000 hear closeothers pause query by write "
            "100 hear close pause",
            kinds[i]);
        hear(guest, "ok");
        hear(guest, "ready");
        struct guest *other = sockets_start(
            WORDS("PQBUDGET_WAIT=100ms"), "socket %s connect startup by write 1000 hear", kinds[i]);
        hear(other, "53300 end");
        content(other);
        guest_go(guest);
        hear(guest, "ok still here");
        hear(guest, "ready");
        other = sockets_start(PATIENT, "socket %s connect startup by write 1000 hear", kinds[i]);
        hear(other, "ok");
        content(other);
        content(guest);
        all_given_back();
    }
}

/* Beyond what 16 bits count, where that is allowed. */
Test(sockets_copies, high_numbers)
{
    struct guest *guest = sockets_start(
        PATIENT,
        "socket tcp above 70000 connect startup by write 1000 pause hear pause close pause");
    const char *where = guest_line(guest);
    if (!strcmp(where, "not permitted"))
        cr_skip_test("the limit of open files cannot be raised");
    cr_assert_str_eq(where, "above");
    hear(guest, "ready");
    guest_go(guest);
    hear(guest, "ok");
    hear(guest, "ready");
    sockets_open();
    guest_go(guest);
    hear(guest, "ready");
    all_given_back();
    content(guest);
}

/* ---- children ---- */

/* Closes its copy, or comes to its end: its parent waits on. */
Test(sockets_copies, a_child_of_one_that_is_held)
{
    static const char *const children[] = {"fork { close } wait", "fork { leave } wait",
                                           "fork { rawclose } wait", "spawn"};
    for (unsigned i = 0; i < 4 * KINDS; i++) {
        sockets_fill(kinds[i % KINDS]);
        struct guest *guest =
            sockets_start(PATIENT, "socket %s connect startup by write 1000 %s pause hear pause",
                          kinds[i % KINDS], children[i / KINDS]);
        hear(guest, "child 0");
        hear(guest, "ready");
        sockets_held(1);
        ground_let_go();
        guest_go(guest);
        hear(guest, "ok");
        hear(guest, "ready");
        sockets_open();
        content(guest);
        all_given_back();
    }
}

/* It lives on when its parent has been killed: nobody waits any more, nothing is taken. */
Test(sockets_copies, a_child_that_outlives_who_waits)
{
    for (unsigned i = 0; i < KINDS; i++) {
        sockets_fill(kinds[i]);
        struct guest *guest = sockets_start(
            PATIENT, "socket %s connect startup by write 1000 fork { pause } pause", kinds[i]);
        hear(guest, "ready");
        hear(guest, "ready");
        sockets_held(1);
        guest_kill(guest);
        struct guest *other =
            sockets_start(PATIENT, "socket %s connect startup by write 1000 hear", kinds[i]);
        cr_assert(wait_until(ground_in(PQB_CLAIM_WAITING) >= 1));
        ground_let_go();
        hear(other, "ok");
        content(other);
        all_given_back();
        guest_go(guest);
    }
}

/* Connected by its parent, and the child has the word. */
Test(sockets_copies, a_child_that_speaks)
{
    for (unsigned i = 0; i < KINDS; i++) {
        sockets_fill(kinds[i]);
        struct guest *guest =
            sockets_start(PATIENT,
                          "socket %s connect fork { startup by write 1000 hear pause } "
                          "close wait",
                          kinds[i]);
        sockets_held(1);
        ground_let_go();
        hear(guest, "ok");
        hear(guest, "ready");
        sockets_open();
        cr_assert_neq(ground_claim()->pid, guest->pid);
        guest_go(guest);
        hear(guest, "child 0");
        content(guest);
        all_given_back();
    }
}

/* What was held for its parent is answered, and the child hears it. */
Test(sockets_copies, a_child_that_listens)
{
    for (unsigned i = 0; i < KINDS; i++) {
        sockets_fill(kinds[i]);
        struct guest *guest = sockets_start(
            PATIENT, "socket %s connect startup by write 1000 fork { hear } wait pause", kinds[i]);
        sockets_held(1);
        ground_let_go();
        hear(guest, "ok");
        hear(guest, "child 0");
        hear(guest, "ready");
        cr_assert_eq(ground_used(), 1);
        content(guest);
        all_given_back();
    }
}

/* It keeps its turn, and what it wrote, until there is one again. */
Test(sockets_copies, no_number_is_free_as_its_turn_comes)
{
    for (unsigned i = 0; i < KINDS; i++) {
        sockets_fill(kinds[i]);
        struct guest *guest = sockets_start(
            PATIENT, "socket %s connect startup by write 1000 exhaust pause relent hear pause",
            kinds[i]);
        hear(guest, "ready");
        sockets_held(1);
        ground_let_go();
        cr_assert(wait_until(ground_in(PQB_CLAIM_WAITING) + ground_in(PQB_CLAIM_GRANTED) == 0));
        cr_assert_eq(ground_claims(), 1);
        guest_go(guest);
        hear(guest, "ok");
        hear(guest, "ready");
        sockets_open();
        content(guest);
        all_given_back();
    }
}
