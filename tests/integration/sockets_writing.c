/* How a client may say what it wants: in pieces, scattered, with more behind it, through a buffer
 * that has no room; while there is a slot, and while it is held. */
#include "sockets.h"

GROUND(sockets_writing);

static const char *const kinds[] = {"tcp", "mapped", "unix"};
#define KINDS (sizeof kinds / sizeof *kinds)

enum holding { NOT_HELD, HELD, HELD_FOR_EVER, HOLDINGS };

/* A login and the query behind it, held first or not, are answered and counted. Who would wait
 * longer than the server does parts from it where he can, and notices nothing. */
static void answered(const char *kind, const char *how, enum holding holding)
{
    int parts = holding == HELD_FOR_EVER && strcmp(kind, "unix") != 0;
    if (holding)
        sockets_fill(kind);
    struct guest *guest = sockets_start(
        WORDS(holding == HELD_FOR_EVER ? "PQBUDGET_WAIT=inf" : "PQBUDGET_WAIT=30s"),
        "socket %s %s %s pause hear hear pause close pause", kind, how, holding ? "look peer" : "");
    if (holding) {
        hear(guest, "write");
        hear(guest, parts ? "no peer" : "a peer");
    }
    hear(guest, "ready");
    if (holding) {
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
        for (enum holding holding = 0; holding < HOLDINGS; holding++)
            answered(
                kinds[i % KINDS],
                ground_text("%s connect startup query by %s", i % 3 ? "" : "nonblock", ways[i]),
                holding);
}

/* Wherever the packet is cut, and with another cut behind it. */
Test(sockets_writing, cut_anywhere)
{
    for (unsigned at = 1; at <= 12; at++)
        answered(kinds[at % KINDS],
                 ground_text("connect startup query cut %u cut %u by write 100000", at, at % 5 + 1),
                 at % HOLDINGS);
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

/* However much comes with it, it is a startup packet. */
Test(sockets_writing, with_much_behind_it_in_one_call)
{
    for (unsigned i = 0; i < KINDS; i++) {
        sockets_fill(kinds[i]);
        struct guest *guest = sockets_start(
            PATIENT, "socket %s connect startup sized 30000 by %s look hear hear pause", kinds[i],
            i % 2 ? "write 100000" : "writev 100");
        hear(guest, "write");
        sockets_held(1);
        ground_let_go();
        hear(guest, "ok");
        hear(guest, "ok 30000");
        hear(guest, "ready");
        sockets_open();
        content(guest);
        all_given_back();
    }
}

/* More than is kept: whoever blocks waits, who doesn't is told to come again. */
Test(sockets_writing, more_than_is_kept)
{
    for (unsigned i = 0; i < 2; i++) {
        sockets_fill("tcp");
        struct guest *guest =
            sockets_start(PATIENT,
                          "socket tcp %s connect startup by write 1000 sized 200000 "
                          "by write 10000 hear hear pause",
                          i % 2 ? "nonblock" : "");
        sockets_held(1);
        ground_let_go();
        hear(guest, "ok");
        hear(guest, "ok 200000");
        hear(guest, "ready");
        sockets_open();
        content(guest);
        all_given_back();
    }
}

/* The kernel stops at a message that was sent in part; the next one would be in its midst. */
Test(sockets_writing, several_messages_of_which_one_is_cut_short)
{
    for (unsigned i = 0; i < KINDS; i++) {
        struct guest *guest = sockets_start(
            NOTHING,
            "socket %s small connect startup by write 1000 hear sized 500000 overfill hear",
            kinds[i]);
        hear(guest, "ok");
        hear(guest, "1 cut short");
        hear(guest, "ok 500000");
        content(guest);
        all_given_back();
    }
}

/* Nobody is kept waiting for an answer to bytes that we keep. */
Test(sockets_writing, what_might_become_a_packet_and_does_not)
{
    struct echo echo = sockets_echo();
    const char *ports = ground_text("PQBUDGET_PORTS=%d", echo.port);
    /* The urgent byte is beside the others, for who does not ask for it. */
    static const char *const ends[] = {"shut", "urgent shut", "bytes 21 by write 1 shut"};
    for (unsigned i = 0; i < sizeof ends / sizeof *ends; i++) {
        struct guest *guest =
            sockets_start(WORDS(ports), "socket %d connect bytes 00000010 by write 9 %s echoed",
                          echo.port, ends[i]);
        hear(guest, i < 2 ? "4 bytes" : "5 bytes");
        content(guest);
    }
    cr_assert_eq(ground_claims(), 0);
}

Test(sockets_writing, the_beginning_of_a_packet_and_then_silence)
{
    struct echo echo = sockets_echo();
    struct guest *guest =
        sockets_start(WORDS(ground_text("PQBUDGET_PORTS=%d", echo.port)),
                      "socket %d connect bytes 000000 by write 9 byte bytes 10 by write 9 byte "
                      "close socket %d connect bytes 1603 by write 9 byte",
                      echo.port, echo.port);
    static const char *const echoed[] = {"", "", "\x16"};
    for (unsigned i = 0; i < 3; i++)
        hear(guest, echoed[i]);
    content(guest);
    cr_assert_eq(ground_claims(), 0);
}

/* Who says all he has to say, and no more, is answered all the same. */
Test(sockets_writing, half_closed_while_held)
{
    for (unsigned i = 0; i < KINDS; i++) {
        sockets_fill(kinds[i]);
        struct guest *guest =
            sockets_start(PATIENT,
                          "socket %s connect startup query by write 1000 shut look hear "
                          "hear hear pause",
                          kinds[i]);
        hear_start(guest, "");
        sockets_held(1);
        ground_let_go();
        hear(guest, "ok");
        hear(guest, "ok still here");
        hear(guest, "end");
        hear(guest, "ready");
        all_given_back();
        content(guest);
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

/* Behind what is held it comes in order, or not at all. */
Test(sockets_writing, what_cannot_be_held_behind_what_is)
{
    static const char *const ways[][2] = {{"tcp", "zerocopy"}, {"unix", "ancillary"}};
    for (unsigned i = 0; i < 2; i++) {
        sockets_fill(ways[i][0]);
        struct guest *guest = sockets_start(
            PATIENT,
            "socket %s connect startup by write 1000 pause query by %s 1000 pause hear hear",
            ways[i][0], ways[i][1]);
        hear(guest, "ready");
        sockets_held(1);
        guest_go(guest);
        hear(guest, "ready");
        ground_let_go();
        guest_go(guest);
        hear(guest, "ok");
        hear(guest, "ok still here");
        content(guest);
        all_given_back();
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

/* Some ask connect() again whether it is connected. */
Test(sockets_writing, connected_once_more)
{
    for (unsigned i = 0; i < KINDS; i++) {
        sockets_fill(kinds[i]);
        struct guest *guest = sockets_start(
            PATIENT,
            "socket %s nonblock connect again startup cut 4 again by write 1000 again "
            "hear pause",
            kinds[i]);
        for (unsigned times = 0; times < 3; times++)
            hear_start(guest, "again: "); /* the first time it is, others hear EISCONN */
        sockets_held(1);
        ground_let_go();
        hear(guest, "ok");
        hear(guest, "ready");
        sockets_open();
        content(guest);
        all_given_back();
    }
}

/* The same socket, and by now somebody else behind it. */
Test(sockets_writing, another_peer_hears_nothing_of_what_was_held)
{
    struct echo echo = sockets_echo();
    sockets_fill("tcp");
    struct guest *guest = sockets_start(
        PATIENT,
        "socket tcp connect startup by write 1000 pause reconnect %d pause bytes 41 by "
        "write 1 echoed",
        echo.port);
    hear(guest, "ready");
    sockets_held(1);
    guest_go(guest);
    hear(guest, "ready");
    ground_let_go();
    cr_assert(wait_until(ground_claims() == 0));
    guest_go(guest);
    hear(guest, "1 bytes");
    content(guest);
}
