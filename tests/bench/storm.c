/*
 * Many processes of a libpq client, each of which connects, asks one thing and ends.
 *
 *   storm COUNT AT_ONCE LET_IN CONNINFO [NAME=VALUE]…
 *
 * Starts them, never more than AT_ONCE at a time, with this in their environment. Where all may run
 * at once, all are let go at once. A POSIX semaphore lets only LET_IN of them in to the server at a
 * time; none does if that is 0. Says how many seconds it took and how many failed.
 *
 *   storm CONNINFO SEMAPHORE
 *
 * Such a client: connects when its stdin ends. The semaphore is in a file with this descriptor; 0:
 * there is none.
 */
#include "support/measure.h"
#include "support/support.h"

#include <fcntl.h>
#include <libpq-fe.h>
#include <semaphore.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static sem_t *map_semaphore(int file)
{
    void *map = mmap(NULL, sizeof(sem_t), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (map == MAP_FAILED)
        measure_fail("no semaphore");
    return map;
}

/* Returns its descriptor, which clients inherit. */
static int make_semaphore(unsigned let_in)
{
    int file = memfd_create("semaphore", 0);
    if (file < 0 || ftruncate(file, (off_t)sizeof(sem_t)) ||
        sem_init(map_semaphore(file), 1, let_in))
        measure_fail("no semaphore");
    return file;
}

static int be_a_client(const char *conninfo, int file)
{
    sem_t *semaphore = file ? map_semaphore(file) : NULL;
    while (getchar() != EOF)
        ;
    if (semaphore)
        sem_wait(semaphore);
    PGconn *connection = PQconnectdb(conninfo);
    PGresult *result = PQexec(connection, "select 1");
    int good = PQresultStatus(result) == PGRES_TUPLES_OK;
    if (!good)
        fputs(PQerrorMessage(connection), stderr);
    PQclear(result);
    PQfinish(connection);
    if (semaphore)
        sem_post(semaphore);
    return !good;
}

static void start(char *conninfo, int file)
{
    char self[] = "/proc/self/exe", number[16];
    char *command[] = {self, conninfo, number, NULL};
    snprintf(number, sizeof number, "%d", file);
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
    if (count == 3)
        return be_a_client(arguments[1], atoi(arguments[2]));
    if (count < 5)
        measure_fail("usage: storm COUNT AT_ONCE LET_IN CONNINFO [NAME=VALUE]...");
    unsigned all = (unsigned)atoi(arguments[1]), most = (unsigned)atoi(arguments[2]);
    unsigned let_in = (unsigned)atoi(arguments[3]);
    int semaphore = let_in ? make_semaphore(let_in) : 0;
    for (int i = 5; i < count; i++)
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
        start(arguments[4], semaphore);
        running++;
    }
    if (most >= all)
        close(gate[1]);
    while (running--)
        failed += end_one();
    printf("%.6f %u\n", (double)(pqb_now() - begin) / 1e9, failed);
    return 0;
}
