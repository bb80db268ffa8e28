/* What it costs to follow a connection: ns per call, in which whole messages pass, as they nearly
 * always do. Of the processor's time: whoever else wants it meanwhile has no part in this. */
#include "preload/session.h"
#include "support/measure.h"
#include "support/stream.h"

#include <stdio.h>
#include <time.h>

#define ROUNDS 50

/* What goes one way in one call. */
struct passage {
    const char *what;
    int is_clients;
    void (*make)(struct stream *stream);
};

static void make_query(struct stream *stream)
{
    add_message(stream, 'Q', BYTES("SELECT abalance FROM pgbench_accounts WHERE aid = 12345\0"));
}

static void make_update(struct stream *stream)
{
    add_message(stream, 'P',
                BYTES("s1\0UPDATE \"public\".\"User\" SET \"name\" = $1, \"temp\" = $2 WHERE "
                      "(\"public\".\"User\".\"id\" = $3 AND 1=1) RETURNING \"id\", \"name\"\0\0"));
}

static void make_prepared(struct stream *stream)
{
    add_message(stream, 'B', BYTES("\0P0_1\0\0\0\0\1\0\0\0\00512345\0\1\0"));
    add_message(stream, 'D', BYTES("P\0"));
    add_message(stream, 'E', BYTES("\0\0\0\0"));
    add_message(stream, 'S', "", 0);
}

static void make_answer(struct stream *stream)
{
    static const char column[41];
    add_message(stream, 'T', column, sizeof column);
    add_message(stream, 'D', BYTES("\0\1\0\0\0\00512345 and more of it, to 120 as it was"));
    add_message(stream, 'C', BYTES("SELECT 1\0"));
    add_message(stream, 'Z', BYTES("I"));
}

/* Rows of 100 bytes, as much as node reads at once; the last is cut. */
static void make_rows(struct stream *stream)
{
    static const char row[95];
    while (stream->length < 1 << 16)
        add_message(stream, 'D', row, sizeof row);
    stream->length = 1 << 16;
}

/* COPY, and large values: one message of many calls. */
static void make_value(struct stream *stream)
{
    static const char value[1 << 16];
    add_bytes(stream, "D\0\1\0\3", 5);
    add_bytes(stream, value, sizeof value - 5);
}

static void make_text(struct stream *stream)
{
    add_bytes(stream, BYTES("Q\0\1\0\3INSERT INTO t (a, b, c) VALUES"));
    while (stream->length < (1 << 16) - 40)
        add_bytes(stream, BYTES(" (12345, 'some words of text', now()),"));
    while (stream->length < 1 << 16)
        add_bytes(stream, " ", 1);
}

static const struct passage passages[] = {
    {"a query of 60 bytes", 1, make_query},
    {"its answer of 120 bytes", 0, make_answer},
    {"Parse of an UPDATE, 130 bytes", 1, make_update},
    {"Bind, Describe, Execute, Sync", 1, make_prepared},
    {"64 KiB of rows of 100 bytes", 0, make_rows},
    {"64 KiB of one row", 0, make_value},
    {"64 KiB of one query", 1, make_text},
};

/* Out of line, as a call from another file is. */
static __attribute__((noinline)) void pass(struct pqb_session *session, int is_clients,
                                           const struct stream *stream)
{
    if (is_clients)
        pqb_session_wrote(session, stream->bytes, stream->length);
    else
        pqb_session_read(session, stream->bytes, stream->length);
}

static double now(void)
{
    struct timespec time;
    if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time))
        measure_fail("no clock");
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static double time_of(const struct passage *passage, const struct stream *stream, unsigned times)
{
    struct pqb_session begin = {0};
    double start = now();
    for (unsigned i = 0; i < times; i++) {
        struct pqb_session session = begin;
        pass(&session, passage->is_clients, stream);
    }
    return (now() - start) / times;
}

int main(void)
{
    static struct stream stream;
    unsigned rounds = measure_is_quick() ? ROUNDS / 10 : ROUNDS;
    for (size_t i = 0; i < sizeof passages / sizeof *passages; i++) {
        struct series series = {0};
        stream.length = 0;
        passages[i].make(&stream);
        for (unsigned round = 0; round < rounds; round++)
            series_add(&series, time_of(&passages[i], &stream, stream.length > 1000 ? 100 : 10000));
        measure_row("sessions", "%s", passages[i].what);
        measure_value("bytes", (double)stream.length, "");
        measure_spread("processor per call", &series, "ns");
        measure_end();
        series_free(&series);
    }
    return 0;
}
