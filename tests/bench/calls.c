/*
 * A program that preload.c lets work without the preload and with it: calls of one byte each.
 *
 *   calls [CONNECTIONS]
 *
 * Holds so many connections to PostgreSQL, libpq's and others in turn. For each number it reads it
 * times that many batches, and says what one call takes: write() and read() of a pipe, send() and
 * recv() of a socket pair; the median, in ns.
 */
#include "support/measure.h"
#include "support/support.h"
#include "support/wire.h"

#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define BATCH 100 /* of bytes that lie in a socket pair: more would not fit */

enum { WRITE, READ, SEND, RECEIVE, CALLS };

/* A loop of its own for each: how else would it be what programs do? */
#define TIME(call)                                                                                 \
    ({                                                                                             \
        uint64_t begin_ = pqb_now();                                                               \
        for (unsigned i_ = 0; i_ < BATCH; i_++)                                                    \
            if ((call) != 1)                                                                       \
                measure_fail("a byte got lost");                                                   \
        (double)(pqb_now() - begin_) / BATCH;                                                      \
    })

static void time_calls(const int pipe_end[2], const int socket_end[2], struct series cost[CALLS])
{
    char byte = 0;
    series_add(&cost[WRITE], TIME(write(pipe_end[1], &byte, 1)));
    series_add(&cost[READ], TIME(read(pipe_end[0], &byte, 1)));
    series_add(&cost[SEND], TIME(send(socket_end[1], &byte, 1, 0)));
    series_add(&cost[RECEIVE], TIME(recv(socket_end[0], &byte, 1, 0)));
}

static void hold(unsigned connections)
{
    for (unsigned i = 0; i < connections; i++)
        if (i % 2 ? wire_connect() < 0 : PQstatus(PQconnectdb("")) != CONNECTION_OK)
            measure_fail("no connection to hold");
}

int main(int count, char **arguments)
{
    int pipe_end[2], socket_end[2];
    unsigned batches;
    hold(count > 1 ? (unsigned)atoi(arguments[1]) : 0);
    if (pipe(pipe_end) || socketpair(AF_UNIX, SOCK_STREAM, 0, socket_end))
        measure_fail("no pipe");
    while (scanf("%u", &batches) == 1) {
        struct series cost[CALLS] = {0};
        while (batches--)
            time_calls(pipe_end, socket_end, cost);
        for (unsigned call = 0; call < CALLS; call++) {
            printf("%.3f ", series_median(&cost[call]));
            series_free(&cost[call]);
        }
        putchar('\n');
        fflush(stdout);
    }
    return 0;
}
