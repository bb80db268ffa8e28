/* session.c: a conversation followed in both directions, and when it could give way. */
#include "preload/session.h"
#include "support/stream.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

TestSuite(session, .timeout = 60);

#define LOGIN "<R\0\0\0\0", "<Sapplication_name~psql~", "<K12345678", "<ZI"

/* "<ZI" is ReadyForQuery I from the server, ">QBEGIN~" a Query from the client, ~ a zero byte; "="
 * stands where the session could give way, "P" where it is idle and pinned, "T" where it is idle in
 * a transaction. */
typedef const char *const conversation[48];

static void add_line(struct stream *stream, const char *line)
{
    char body[512];
    size_t length = strlen(line + 2);
    cr_assert_lt(length, sizeof body);
    for (size_t i = 0; i < length; i++)
        body[i] = (char)(line[2 + i] == '~' ? 0 : line[2 + i]);
    if (line[1] == 'R')
        memset(body, 0, length = 4);
    add_message(stream, line[1], body, length);
}

/* In memory of just this size, so that AddressSanitizer sees a byte too far. */
static void pass(struct pqb_session *session, char from, const char *bytes, size_t length)
{
    char *piece = malloc(length ? length : 1);
    memcpy(piece, bytes, length);
    if (from == '<')
        pqb_session_read(session, piece, length);
    else
        pqb_session_wrote(session, piece, length);
    free(piece);
}

static void expect_state(const struct pqb_session *session, const char *const *line)
{
    const char *next = line[1] ? line[1] : "";
    int is_idle = *next == '=' || *next == 'P';
    cr_assert_eq(pqb_session_is_idle(session), is_idle, "behind '%s'", *line);
    cr_assert_eq(pqb_session_can_give_way(session), *next == '=', "behind '%s'", *line);
    cr_assert_eq(pqb_session_is_in_transaction(session), *next == 'T', "behind '%s'", *line);
}

/* With each message cut in three, at each place. */
static void run(conversation lines)
{
    static struct stream stream;
    struct pqb_session session = {0};
    for (const char *const *line = lines; *line; line++) {
        if (strchr("=PT", **line))
            continue;
        stream.length = 0;
        add_line(&stream, *line);
        struct pqb_session before = session;
        for (size_t cut = 1; cut < stream.length; cut++) {
            session = before;
            pass(&session, **line, stream.bytes, cut);
            cr_assert_not(pqb_session_is_idle(&session), "in '%s' at %zu", *line, cut);
            pass(&session, **line, stream.bytes + cut, stream.length - cut);
            expect_state(&session, line);
        }
        session = before;
        for (size_t i = 0; i < stream.length; i++)
            pass(&session, **line, stream.bytes + i, 1);
        expect_state(&session, line);
        session = before;
        pass(&session, **line, stream.bytes, stream.length);
        expect_state(&session, line);
    }
}

Test(session, is_idle_between_queries)
{
    run((conversation){LOGIN, "=", ">QSELECT 1~", "<T~~", "<D~~", "<CSELECT 1~", "<ZI", "=", ">Q~",
                       "<I", "<ZI", "=", ">Qbad~", "<ESERROR~~", "<ZI", "="});
    /* The server's own messages, between two of the client's. */
    run((conversation){LOGIN, "=", "<STimeZone~UTC~", "=", "<NSNOTICE~~", "=", ">QSELECT 1~",
                       "<NSNOTICE~~", "<CSELECT 1~", "<ZI", "=", "<ESFATAL~~"});
    /* Passwords come before, and nothing at all was asked. */
    run((conversation){">psecret~", "<R", "<K12345678", "<ZI", "="});
}

Test(session, is_not_idle_in_a_transaction)
{
    run((conversation){LOGIN, "=", ">QBEGIN~", "<CBEGIN~", "<ZT", "T", ">Qbad~", "<ESERROR~~",
                       "<ZE", "T", ">QROLLBACK~", "<CROLLBACK~", "<ZI", "="});
}

Test(session, counts_what_was_asked_in_a_pipeline)
{
    run((conversation){LOGIN,    "=",    ">P~SELECT 1~~~",
                       ">B~~~~", ">DP~", ">E~",
                       ">S",     "<1",   "<2",
                       "<T~~",   "<D~~", "<CSELECT 1~",
                       "<ZI",    "=",    ">Bs~~~",
                       ">E~",    ">S",   ">Bs~~~",
                       ">E~",    ">S",   ">QSELECT 1~",
                       "<2",     "<C~",  "<ZI",
                       "<2",     "<C~",  "<ZI",
                       "<C~",    "<ZI",  "="});
    /* The server answers with what it has before the client asks for all. */
    run((conversation){LOGIN, "=", ">Ps~SELECT 1~~~", ">DSs~", ">H", "<1", "<n", ">Cs~", ">S", "<3",
                       "<ZI", "="});
    /* An error in the middle: what was written behind it counts, but to the next Sync is skipped.
     */
    run((conversation){LOGIN, "=", ">P~bad~~~", ">B~~~~", ">E~", ">S", ">S", "<ESERROR~~", "<ZI",
                       "<ZI", "="});
    /* A query among what is skipped has no answer: that is never known for certain. */
    run((conversation){LOGIN, "=", ">P~bad~~~", ">QSELECT 1~", ">S", "<ESERROR~~", "<ZI",
                       ">QSELECT 1~", "<C~", "<ZI"});
}

Test(session, follows_copies)
{
    run((conversation){LOGIN, "=", ">QCOPY t FROM STDIN~", "<G~~~", ">d1", ">d2", ">c", "<CCOPY 2~",
                       "<ZI", "=", ">QCOPY t TO STDOUT~", "<H~~~", "<d1", "<c", "<CCOPY 1~", "<ZI",
                       "="});
    run((conversation){LOGIN, "=", ">QCOPY t FROM STDIN~", "<G~~~", ">d1", ">fno~", "<ESERROR~~",
                       "<ZI", "="});
    /* The server gives up; the client notices at its own time, or never. */
    run((conversation){LOGIN, "=", ">QCOPY t FROM STDIN~", "<G~~~", ">d1", "<ESERROR~~", "<ZI",
                       ">d2", ">c", "=", ">QCOPY t FROM STDIN~", "<G~~~", ">d1", "<ESERROR~~",
                       "<ZI", ">QSELECT 1~", "<C~", "<ZI", "="});
    /* By extended query: Sync comes once, or twice, and then nobody knows which one is answered. */
    run((conversation){LOGIN, "=", ">P~COPY t FROM STDIN~~~", ">B~~~~", ">E~", ">H", "<1", "<2",
                       "<G~~~", ">d1", ">c", ">S", "<C~", "<ZI", "="});
    static const conversation twice = {LOGIN,    "=",   ">P~COPY t FROM STDIN~~~",
                                       ">B~~~~", ">E~", ">S",
                                       "<1",     "<2",  "<G~~~",
                                       ">d1",    ">c",  ">S",
                                       "<C~",    "<ZI"};
    run(twice);
    /* Two directions at once: replication. */
    run((conversation){LOGIN, "=", ">QSTART_REPLICATION~", "<W~~~", "<d1", ">d1", "<d1"});
}

Test(session, is_over_when_the_client_leaves)
{
    run((conversation){LOGIN, "=", ">X", ">QSELECT 1~", "<ZI", "<ZI"});
}

Test(session, is_pinned_for_good)
{
    run((conversation){LOGIN, "=", ">QLISTEN c~", "<C~", "<ZI", "P", ">QUNLISTEN *~", "<C~", "<ZI",
                       "P", ">QDISCARD ALL~", "<C~", "<ZI", "P"});
    run((conversation){LOGIN, "=", ">Plisten~SELECT 1~~~", ">S", "<1", "<ZI", "=",
                       ">Pset x~BEGIN~set x~~", ">S", "<1", "<ZI", "=", ">Ps~SET x = 1~~~", ">S",
                       "<1", "<ZI", "P"});
    run((conversation){LOGIN, "=", ">F~~~~~~~~~~", "<V~~", "<ZI", "P"});
    /* A function said LISTEN; and whoever has said more than one thing had a first. */
    run((conversation){LOGIN, "=", "<A1234c~p~", "P"});
    /* Asked for, it counts, whatever comes of it. */
    run((conversation){LOGIN, "=", ">QBEGIN;SET x=1~", "<C~", "<C~", "<ZT", "T", ">QROLLBACK~",
                       "<C~", "<ZI", "P"});
}

static enum pqb_pin pin_behind(const char *line)
{
    static struct stream stream;
    struct pqb_session session = {0};
    stream.length = 0;
    add_line(&stream, line);
    pass(&session, *line, stream.bytes, stream.length);
    return pqb_session_pin(&session);
}

Test(session, says_why_it_is_pinned)
{
    cr_expect_eq(pin_behind(">QSELECT 1~"), PQB_PIN_NONE);
    cr_expect_eq(pin_behind(">QLISTEN c~"), PQB_PIN_LISTEN);
    cr_expect_eq(pin_behind(">QSELECT pg_advisory_lock(1); LISTEN c~"), PQB_PIN_LOCK);
    cr_expect_eq(pin_behind(">Ps~CREATE TEMP TABLE t ()~~~"), PQB_PIN_TEMPORARY);
    cr_expect_eq(pin_behind(">F~~~~"), PQB_PIN_UNSEEN);
    cr_expect_eq(pin_behind("<A1234c~p~"), PQB_PIN_LISTEN);
    /* Only what is text: not names, nor what stands behind. */
    cr_expect_eq(pin_behind(">Qselect 1~; listen c~"), PQB_PIN_NONE);
    cr_expect_eq(pin_behind(">P;listen c~select 1~;listen c~"), PQB_PIN_NONE);
    cr_expect_eq(pin_behind(">B;listen c~;listen c~"), PQB_PIN_NONE);
}

Test(session, gives_way_never_when_it_has_lost_track)
{
    static const struct {
        char from;
        const char *bytes;
        size_t length;
    } rows[] = {
        {'<', BYTES("\27\3\3\0\21")}, {'<', BYTES("D\0\0\0\3")},    {'<', BYTES("Z\0\0\0\5X")},
        {'<', BYTES("HTTP/1.1 400")}, {'>', BYTES("\27\3\3\0\21")}, {'>', BYTES("Q\0\0\0\3")},
        {'>', BYTES("Q\177\0\0\0")},  {'>', BYTES("S\0\0\0\5")},    {'>', BYTES("z\0\0\0\4")},
    };
    static struct stream login, ready;
    add_line(&login, "<R");
    add_line(&login, "<ZI");
    add_line(&ready, "<ZI");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct pqb_session session = {0};
        pass(&session, '<', login.bytes, login.length);
        cr_assert(pqb_session_can_give_way(&session));
        pass(&session, rows[i].from, rows[i].bytes, rows[i].length);
        cr_expect_not(pqb_session_is_idle(&session), "row %zu", i);
        for (unsigned more = 0; more < 3; more++) {
            pass(&session, '<', ready.bytes, ready.length);
            cr_expect_not(pqb_session_is_idle(&session), "row %zu", i);
        }
    }
}

/* ---- beside a second one, which reads all of it again each time ---- */

struct reread {
    unsigned asked, answered;
    int is_settled, is_ready, is_pinned;
};

/* The next message of a direction, if it is there whole: its length, or 0. */
static size_t whole_message(const struct stream *stream, size_t at, size_t length)
{
    if (length - at < 5)
        return 0;
    const unsigned char *size = (const unsigned char *)stream->bytes + at + 1;
    size_t whole =
        1 + ((size_t)size[0] << 24 | (size_t)size[1] << 16 | (size_t)size[2] << 8 | size[3]);
    return whole <= length - at ? whole : 0;
}

static void reread_client(struct reread *reread, const struct stream *stream, size_t length)
{
    size_t at = 0;
    int is_unasked = 0, is_copying = 0, has_synced = 0;
    for (size_t whole; (whole = whole_message(stream, at, length)); at += whole) {
        char type = stream->bytes[at];
        const char *text = stream->bytes + at + 5;
        if (type == 'P')
            text += strlen(text) + 1;
        if (type == 'Q' || type == 'S')
            reread->asked++, is_unasked = is_copying = 0, has_synced = type == 'S';
        else if (type == 'd')
            is_copying = 1;
        else if (type == 'c')
            reread->is_pinned |= has_synced, is_copying = 0;
        else
            is_unasked = 1;
        if (type == 'E')
            has_synced = 0;
        reread->is_pinned |= (type == 'P' || type == 'Q') && strstr(text, "LISTEN") != NULL;
    }
    reread->is_settled = at == length && !is_unasked && !is_copying;
}

static void reread_server(struct reread *reread, const struct stream *stream, size_t length)
{
    size_t at = 0;
    for (size_t whole; (whole = whole_message(stream, at, length)); at += whole) {
        char type = stream->bytes[at];
        reread->answered += type == 'Z';
        if (!strchr("NSA", type))
            reread->is_ready = type == 'Z' && stream->bytes[at + 5] == 'I';
        reread->is_pinned |= type == 'A';
    }
    reread->is_ready &= at == length;
}

static void add_random_line(struct stream *stream, char from)
{
    static const char *const client[] = {">QSELECT 1~",
                                         ">QSELECT 1~",
                                         ">S",
                                         ">S",
                                         ">P~SELECT 1~~~",
                                         ">B~~~~",
                                         ">E~",
                                         ">C~",
                                         ">H",
                                         ">d123",
                                         ">c",
                                         ">Q LISTEN~",
                                         ">QLISTEN c~",
                                         ">PLISTEN~LISTEN c~~~"};
    static const char *const server[] = {"<ZI",         "<ZI",      "<ZI",       "<ZI", "<ZT",
                                         "<ZE",         "<D~~~~~~", "<T~~",      "<C~", "<1",
                                         "<NSNOTICE~~", "<Sa~b~",   "<A1234c~p~"};
    size_t clients = sizeof client / sizeof *client, servers = sizeof server / sizeof *server;
    /* What pins comes seldom. */
    if (random() % 4)
        clients -= 4, servers -= 1;
    add_line(stream,
             from == '>' ? client[(size_t)random() % clients] : server[(size_t)random() % servers]);
}

/* A random step into what is still to come of this direction. */
static size_t step(struct pqb_session *session, char from, const struct stream *stream, size_t at)
{
    size_t length = (size_t)random() % (random() % 3 ? 6 : 40), left = stream->length - at;
    if (length > left)
        length = left;
    pass(session, from, stream->bytes + at, length);
    return at + length;
}

static void expect_same(const struct pqb_session *session, const struct stream *client,
                        size_t wrote, const struct stream *server, size_t got, unsigned seen[3])
{
    struct reread reread = {0};
    reread_client(&reread, client, wrote);
    reread_server(&reread, server, got);
    int is_idle = reread.is_settled && reread.is_ready && reread.answered == reread.asked + 1;
    cr_assert_eq(pqb_session_is_idle(session), is_idle);
    /* A pin is told at the first sign of it. */
    if (reread.is_pinned)
        cr_assert(pqb_session_pin(session));
    if (is_idle)
        cr_assert_eq(pqb_session_can_give_way(session), !reread.is_pinned);
    seen[0] += (unsigned)is_idle;
    seen[1] += (unsigned)(is_idle && reread.is_pinned);
    seen[2]++;
}

Test(session, agrees_with_a_second_reading)
{
    static struct stream client, server;
    unsigned seen[3] = {0};
    srandom(11);
    for (unsigned round = 0; round < 20000; round++) {
        struct pqb_session session = {0};
        size_t wrote = 0, got = 0;
        client.length = server.length = 0;
        add_line(&server, "<ZI");
        for (long left = random() % 6; left > 0; left--)
            add_random_line(&client, '>');
        for (long left = random() % 6; left > 0; left--)
            add_random_line(&server, '<');
        while (wrote < client.length || got < server.length) {
            if (random() % 2)
                wrote = step(&session, '>', &client, wrote);
            else
                got = step(&session, '<', &server, got);
            expect_same(&session, &client, wrote, &server, got, seen);
        }
    }
    cr_expect(seen[0] > 2000 && seen[1] > 100 && seen[0] < seen[2] / 2, "%u, %u of %u", seen[0],
              seen[1], seen[2]);
}

Test(session, takes_anything)
{
    char bytes[64];
    srandom(12);
    for (unsigned round = 0; round < 20000; round++) {
        struct pqb_session session = {0};
        for (unsigned i = 0; i < 4; i++) {
            size_t length = (size_t)random() % sizeof bytes;
            for (size_t at = 0; at < length; at++)
                bytes[at] =
                    (char)(random() % 3 ? "QPSZEdcI\0\0\0\0\4\5\6"[random() % 15] : random());
            pass(&session, random() % 2 ? '<' : '>', bytes, length);
            if (session.client.is_over || session.server.is_over)
                cr_assert_not(pqb_session_is_idle(&session));
        }
    }
}
