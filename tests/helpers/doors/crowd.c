/* Many connections: at once, one after the other, and over again. */
#include "conns.h"

#include "support/support.h"

#include <dlfcn.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *conninfo;
static _Atomic unsigned good, bad;
static _Atomic int over;
static pthread_barrier_t together;

static void connect_once(void)
{
    char answer[16];
    PGconn *conn = PQconnectdb(conninfo);
    if (conns_ask(conn, "select 1", answer, sizeof answer))
        good++;
    else if (!bad++)
        stage_say("%s", PQerrorMessage(conn));
    PQfinish(conn);
}

static void *connect_together(void *unused)
{
    pthread_barrier_wait(&together);
    connect_once();
    return unused;
}

static void start_threads(pthread_t *thread, unsigned count, void *(*body)(void *))
{
    for (unsigned i = 0; i < count; i++)
        if (pthread_create(&thread[i], NULL, body, NULL))
            _exit(2);
}

static void join_threads(const pthread_t *thread, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        pthread_join(thread[i], NULL);
}

/* COUNT CONNINFO */
static void threads(void)
{
    pthread_t thread[64];
    unsigned count = (unsigned)atoi(stage_argument());
    conninfo = stage_argument();
    pthread_barrier_init(&together, NULL, count);
    start_threads(thread, count, connect_together);
    join_threads(thread, count);
    pthread_barrier_destroy(&together);
    stage_say("good %u bad %u", good, bad);
}

static void *connect_until_over(void *unused)
{
    while (!over)
        connect_once();
    return unused;
}

static const char *plugin;

static void *load_until_over(void *unused)
{
    while (!over) {
        void *handle = dlopen(plugin, RTLD_NOW);
        if (handle)
            dlclose(handle);
    }
    return unused;
}

/* Forks children one by one out of the midst of three threads, and each of them connects. */
static void fork_amid(void *(*body)(void *), unsigned children)
{
    pthread_t thread[3];
    unsigned fine = 0;
    start_threads(thread, 3, body);
    for (unsigned i = 0; i < children; i++) {
        int status = -1;
        pid_t child = fork();
        if (!child) {
            alarm(20); /* a child that hangs is a bad one */
            good = bad = 0;
            connect_once();
            _exit(good != 1);
        }
        waitpid(child, &status, 0);
        fine += !status;
    }
    over = 1;
    join_threads(thread, 3);
    stage_say("children %u bad %u", fine, bad);
}

/* CHILDREN CONNINFO: the threads connect without pause. libpq itself has a lock that a child may
 * inherit held, of its first connection (its set-up of TLS, also where there is none); so that one
 * is made before, past the budget, whose own first time is what the children are forked amid. */
static void fork_amid_threads(void)
{
    unsigned children = (unsigned)atoi(stage_argument());
    conninfo = stage_argument();
    setenv("PQBUDGET", "off", 1);
    connect_once();
    unsetenv("PQBUDGET");
    bad = 0;
    fork_amid(connect_until_over, children);
}

/* CHILDREN CONNINFO PLUGIN: the threads load and unload a library without pause. */
static void fork_amid_loading(void)
{
    unsigned children = (unsigned)atoi(stage_argument());
    conninfo = stage_argument();
    plugin = stage_argument();
    connect_once();
    fork_amid(load_until_over, children);
}

/* COUNT CONNINFO: opens and finishes, the first time after some to warm up; says what is more
 * afterwards. */
static void many(void)
{
    unsigned count = (unsigned)atoi(stage_argument());
    conninfo = stage_argument();
    while (good + bad < 200)
        connect_once();
    unsigned had = support_descriptors();
    size_t used = mallinfo2().uordblks;
    for (unsigned i = 0; i < count; i++)
        connect_once();
    stage_say("good %u bad %u descriptors %+d bytes %+ld", good, bad,
              (int)(support_descriptors() - had), (long)(mallinfo2().uordblks - used));
}

/* What a program does that wants to be alone with its three. */
static void close_from(void)
{
    closefrom(3);
}

static void count_descriptors(void)
{
    stage_say("descriptors %u", support_descriptors());
}

const struct stage_step crowd_steps[] = {
    {"threads", threads},
    {"forkamid", fork_amid_threads},
    {"forkload", fork_amid_loading},
    {"many", many},
    {"closefrom", close_from},
    {"descriptors", count_descriptors},
    {0},
};
