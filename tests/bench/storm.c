/*
 * Many processes of a libpq client, each of which connects, asks one thing and ends.
 *
 *   storm COUNT AT_ONCE CONNINFO [NAME=VALUE]…     starts them, never more than AT_ONCE at a time,
 *                                                 with this in their environment; says how many
 *                                                 seconds it took and how many failed
 *   storm CONNINFO                                such a client: connects when its stdin ends
 *
 * Where all may run at once, all are let go at once.
 */
#include "support/measure.h"
#include "support/support.h"

#include <fcntl.h>
#include <libpq-fe.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static int be_a_client(const char *conninfo)
{
    while (getchar() != EOF)
        ;
    PGconn *connection = PQconnectdb(conninfo);
    PGresult *result = PQexec(connection, "select 1");
    int good = PQresultStatus(result) == PGRES_TUPLES_OK;
    if (!good)
        fputs(PQerrorMessage(connection), stderr);
    PQclear(result);
    PQfinish(connection);
    return !good;
}

static void start(char *conninfo)
{
    char self[] = "/proc/self/exe";
    char *command[] = {self, conninfo, NULL};
    pid_t pid;
    if (posix_spawn(&pid, self, NULL, NULL, command, environ))
        measure_fail("cannot start a client");
}

/* 1 if whoever ended first has failed. */
static unsigned end_one(void)
{
    int status;
    if (wait(&status) < 0)
        measure_fail("no client to wait for");
    return status != 0;
}

int main(int count, char **arguments)
{
    unsigned failed = 0, running = 0;
    int gate[2]; /* the clients' stdin, and its other end */
    if (count == 2)
        return be_a_client(arguments[1]);
    if (count < 4)
        measure_fail("usage: storm COUNT AT_ONCE CONNINFO [NAME=VALUE]...");
    unsigned all = (unsigned)atoi(arguments[1]), most = (unsigned)atoi(arguments[2]);
    for (int i = 4; i < count; i++)
        if (putenv(arguments[i]))
            measure_fail("no memory");
    if (pipe(gate) || dup2(gate[0], STDIN_FILENO) < 0 || fcntl(gate[0], F_SETFD, FD_CLOEXEC) ||
        fcntl(gate[1], F_SETFD, FD_CLOEXEC))
        measure_fail("no pipe");
    uint64_t begin = pqb_now();
    if (most < all)
        close(gate[1]);
    for (unsigned i = 0; i < all; i++) {
        if (running == most) {
            failed += end_one();
            running--;
        }
        start(arguments[3]);
        running++;
    }
    if (most >= all)
        close(gate[1]);
    while (running--)
        failed += end_one();
    printf("%.6f %u\n", (double)(pqb_now() - begin) / 1e9, failed);
    return 0;
}
