/* How a client may wait for an answer, and read it: the server's, or ours when it is refused. */
#include "sockets.h"

GROUND(sockets_reading);

static const char *const kinds[] = {"tcp", "mapped", "unix"};
#define KINDS (sizeof kinds / sizeof *kinds)

static const char *const ways[] = {
    "read",     "recv",     "recvfrom",     "readv",   "recvmsg",
    "read_chk", "recv_chk", "recvfrom_chk", "waitall", "peek",
};
#define WAYS (sizeof ways / sizeof *ways)

/* The server's own words, by whatever call. */
Test(sockets_reading, every_call_at_a_login)
{
    for (unsigned i = 0; i < WAYS; i++) {
        sockets_fill(kinds[i % KINDS]);
        struct guest *guest =
            sockets_start(PATIENT,
                          "socket %s connect startup query by write 1000 reading %s hear "
                          "hear pause",
                          kinds[i % KINDS], ways[i]);
        sockets_held(1);
        ground_let_go();
        hear(guest, "ok");
        hear(guest, "ok still here");
        hear(guest, "ready");
        cr_assert_eq(ground_in(PQB_CLAIM_OPEN), 1);
        content(guest);
        all_given_back();
    }
}

/* Ours, at once, and after a while in which a blocking call waits for them. */
Test(sockets_reading, every_call_at_a_refusal)
{
    for (unsigned i = 0; i < WAYS * 2; i++) {
        sockets_fill(kinds[i % KINDS]);
        struct guest *guest =
            sockets_start(WORDS(i < WAYS ? "PQBUDGET_WAIT=0" : "PQBUDGET_WAIT=100ms"),
                          "socket %s %s connect startup by write 1000 reading %s hear",
                          kinds[i % KINDS], i % 2 ? "nonblock" : "", ways[i % WAYS]);
        hear(guest, "53300 end");
        content(guest);
        ground_let_go();
        all_given_back();
    }
}

/* Past our hooks: a stream of libc's own, recvmmsg. Its login is counted, its refusal is an end
 * without words. */
Test(sockets_reading, past_every_hook)
{
    static const char *const past[] = {"stream", "recvmmsg"};
    for (unsigned i = 0; i < 2 * KINDS; i++) {
        const char *kind = kinds[i / 2];
        sockets_fill(kind);
        struct guest *refused = sockets_start(
            WORDS("PQBUDGET_WAIT=100ms"), "socket %s connect startup by write 1000 reading %s hear",
            kind, past[i % 2]);
        hear(refused, "end");
        content(refused);
        struct guest *guest = sockets_start(
            PATIENT, "socket %s connect startup by write 1000 reading %s hear pause %s pause", kind,
            past[i % 2], i % 2 ? "close" : "fclose");
        sockets_held(1);
        ground_let_go();
        hear(guest, "ok");
        hear(guest, "ready");
        cr_assert_eq(ground_used(), 1);
        guest_go(guest);
        hear(guest, "ready");
        struct guest *next =
            sockets_start(PATIENT, "socket %s connect startup by write 1000 hear", kind);
        hear(next, "ok");
        content(next);
        content(guest);
        all_given_back();
    }
}

/* Thrown away unread: a refusal, and a part of a login. */
Test(sockets_reading, a_refusal_that_is_discarded)
{
    sockets_fill("tcp");
    struct guest *guest = sockets_start(
        WORDS("PQBUDGET_WAIT=0"), "socket tcp connect startup by write 1000 discard 5 await poll");
    hear(guest, "5");
    content(guest);
    ground_let_go();
    all_given_back();
}

Test(sockets_reading, a_login_that_is_discarded)
{
    struct guest *guest = sockets_start(
        NOTHING,
        "socket tcp connect startup query by write 1000 await poll discard 9 hear hear pause");
    hear(guest, "9"); /* AuthenticationOk */
    hear(guest, "ok");
    hear(guest, "ok still here");
    hear(guest, "ready");
    cr_assert_eq(ground_used(), 1);
    content(guest);
    all_given_back();
}

/* A held socket can be written and not be read; then the answer is there to be read. */
static void awaited(const char *kind, const char *how, const char *mode)
{
    /* Who would wait for ever parts from the server, while it is watched. */
    int parts = mode[0] != 0;
    sockets_fill(kind);
    struct guest *guest =
        sockets_start(WORDS(parts ? "PQBUDGET_WAIT=inf" : "PQBUDGET_WAIT=30s"),
                      "socket %s %s connect %s startup by write 1000 %s look await %s hear pause",
                      kind, mode, parts ? "edges" : "", parts ? "" : "edges", how);
    hear(guest, "write");
    sockets_held(1);
    ground_let_go();
    hear(guest, "ok");
    hear(guest, "ready");
    sockets_open();
    content(guest);
    all_given_back();
    sockets_fill(kind);
    guest = sockets_start(WORDS("PQBUDGET_WAIT=200ms"),
                          "socket %s %s connect startup by write 1000 edges await %s hear", kind,
                          mode, how);
    hear(guest, "53300 end");
    content(guest);
    ground_let_go();
    all_given_back();
}

Test(sockets_reading, every_way_to_wait)
{
    static const char *const hows[] = {"poll", "select", "epoll", "edge"};
    for (unsigned i = 0; i < 4 * KINDS; i++)
        awaited(kinds[i % KINDS], hows[i / KINDS], i % 2 ? "nonblock" : "");
}

/* Whoever asked for TLS first is woken twice. */
static void awaited_twice(const char *kind, const char *how)
{
    sockets_fill(kind);
    struct guest *guest = sockets_start(
        WORDS("PQBUDGET_WAIT=100ms"),
        "socket %s nonblock connect edges ssl by write 8 await %s byte startup by write 1000 "
        "await %s hear",
        kind, how, how);
    hear(guest, "N");
    hear(guest, "53300 end");
    content(guest);
    ground_let_go();
    all_given_back();
}

Test(sockets_reading, every_way_to_wait_for_two_answers)
{
    static const char *const hows[] = {"poll", "select", "epoll"};
    for (unsigned i = 0; i < 3 * KINDS; i++)
        awaited_twice(kinds[i % KINDS], hows[i / KINDS]);
}

Test(sockets_reading, two_answers_are_two_edges)
{
    for (unsigned i = 0; i < KINDS; i++)
        awaited_twice(kinds[i], "edge");
}

/* Who asked for TLS and comes late for the answer (stopped, on a loaded machine) has as long from
 * then on. */
Test(sockets_reading, an_answer_that_is_read_late)
{
    sockets_fill("tcp");
    struct guest *guest = sockets_start(
        WORDS("PQBUDGET_WAIT=0"),
        "socket tcp connect timeout 20 ssl by write 8 pause byte hear startup by write 1000 hear");
    hear(guest, "ready");
    uint64_t over = pqb_now() + 1100 * PQB_MS;
    cr_assert(wait_until(pqb_now() > over));
    guest_go(guest);
    hear(guest, "N");
    hear(guest, "EAGAIN");
    hear(guest, "53300 end");
    content(guest);
    ground_let_go();
    all_given_back();
}

/* The same before it has asked for anything. */
Test(sockets_reading, a_refusal_that_is_looked_for_late)
{
    sockets_fill("tcp");
    struct guest *guest =
        sockets_start(WORDS("PQBUDGET_WAIT=0"),
                      "socket tcp connect timeout 20 pause hear startup by write 1000 hear");
    hear(guest, "ready");
    uint64_t over = pqb_now() + 1100 * PQB_MS;
    cr_assert(wait_until(pqb_now() > over));
    guest_go(guest);
    hear(guest, "EAGAIN");
    hear(guest, "53300 end");
    content(guest);
    ground_let_go();
    all_given_back();
}

/* A blocking read that gives up meanwhile, and comes again. */
Test(sockets_reading, a_read_that_times_out)
{
    for (unsigned i = 0; i < KINDS; i++) {
        sockets_fill(kinds[i]);
        struct guest *guest = sockets_start(
            PATIENT,
            "socket %s connect timeout 20 startup by write 1000 hear look pause timeout "
            "20000 hear",
            kinds[i]);
        hear(guest, "EAGAIN");
        hear(guest, "write");
        hear(guest, "ready");
        sockets_held(1);
        ground_let_go();
        guest_go(guest);
        hear(guest, "ok");
        content(guest);
        all_given_back();
    }
}
