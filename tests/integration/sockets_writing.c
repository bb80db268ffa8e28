/* How a client may say what it wants: in pieces, scattered, with more behind it, through a buffer
 * that has no room; while there is a slot, and while it is held. */
#include "sockets.h"

GROUND(sockets_writing);

static const char *const kinds[] = {"tcp", "mapped", "unix"};
#define KINDS (sizeof kinds / sizeof *kinds)

/* A login and the query behind it, held first if `is_held`, are answered and counted. */
static void answered(const char *kind, const char *how, int is_held)
{
    if (is_held)
        sockets_fill(kind);
    struct guest *guest =
        sockets_start(PATIENT, "socket %s %s %s pause hear hear pause close pause", kind, how,
                      is_held ? "look" : "");
    if (is_held)
        hear(guest, "write");
    hear(guest, "ready");
    if (is_held) {
        sockets_held(1);
        ground_let_go();
    }
    guest_go(guest);
    hear(guest, "ok");
    hear(guest, "ok still here");
    hear(guest, "ready");
    sockets_open();
    cr_assert_eq(ground_used(), 1);
    guest_go(guest);
    hear(guest, "ready");
    all_given_back();
    content(guest);
}

Test(sockets_writing, every_call_in_parts)
{
    static const char *const ways[] = {
        "write 100000", "write 1",   "send 3",    "sendto 7",   "writev 1",
        "writev 30",    "sendmsg 1", "sendmsg 9", "sendmmsg 1", "sendmmsg 30",
    };
    for (unsigned i = 0; i < sizeof ways / sizeof *ways; i++)
        for (int is_held = 0; is_held < 2; is_held++)
            answered(
                kinds[i % KINDS],
                ground_text("%s connect startup query by %s", i % 3 ? "" : "nonblock", ways[i]),
                is_held);
}

/* Wherever the packet is cut, and with another cut behind it. */
Test(sockets_writing, cut_anywhere)
{
    for (unsigned at = 1; at <= 12; at++)
        answered(kinds[at % KINDS],
                 ground_text("connect startup query cut %u cut %u by write 100000", at, at % 5 + 1),
                 at % 2);
}

/* What is held goes out piece by piece when the server's end has no room, in order. */
Test(sockets_writing, through_a_small_buffer)
{
    for (unsigned i = 0; i < KINDS; i++) {
        sockets_fill(kinds[i]);
        struct guest *guest =
            sockets_start(PATIENT,
                          "socket %s %s small connect startup by write 1000 sized 20000 "
                          "sized 30000 by sendmsg 100 look hear hear hear pause",
                          kinds[i], i % 2 ? "nonblock" : "");
        hear(guest, "write");
        sockets_held(1);
        ground_let_go();
        hear(guest, "ok");
        hear(guest, "ok 20000");
        hear(guest, "ok 30000");
        hear(guest, "ready");
        sockets_open();
        content(guest);
        all_given_back();
    }
}

Test(sockets_writing, half_closed_when_refused)
{
    for (unsigned i = 0; i < KINDS; i++) {
        sockets_fill(kinds[i]);
        struct guest *guest =
            sockets_start(WORDS("PQBUDGET_WAIT=0"),
                          "socket %s connect startup by write 1000 shut hear", kinds[i]);
        hear(guest, "53300 end");
        content(guest);
        ground_let_go();
        all_given_back();
    }
}

/* Not held, and not counted: it is passed on as it is. */
Test(sockets_writing, what_cannot_be_held_passes)
{
    static const char *const ways[][2] = {{"tcp", "zerocopy"}, {"unix", "ancillary"}};
    for (unsigned i = 0; i < 2; i++) {
        sockets_fill(ways[i][0]);
        struct guest *guest = sockets_start(
            PATIENT, "socket %s connect startup by %s 1000 hear query by %s 1000 hear", ways[i][0],
            ways[i][1], ways[i][1]);
        hear(guest, "ok");
        hear(guest, "ok still here");
        cr_assert_eq(ground_claims(), 1);
        content(guest);
        ground_let_go();
    }
}

Test(sockets_writing, an_urgent_byte_while_held)
{
    sockets_fill("tcp");
    struct guest *guest =
        sockets_start(PATIENT, "socket tcp connect startup by write 1000 urgent pause hear pause");
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
