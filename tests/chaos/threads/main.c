/*
 * threads: one program, many threads, each of which connects, asks, sits idle, asks again and
 * closes, by every way and road there is; and all of them at once, more than the limit lets in. For
 * ThreadSanitizer: under the preload's own build with that, beside a server, with PQBUDGET_YIELD.
 *
 * Ends with 0 if each connection was let in, refused or gave way; and some were, and some did.
 */
#include "chaos/client/link.h"
#include "support/races.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define THREADS 16
#define ROUNDS 12
#define PATIENCE_MS 60000

/* But those past every hook: the sanitizer takes whatever comes to the number next for it. */
static const unsigned roads[] = {0, 2, 4, 5, 6, 7};
#define ROADS (sizeof roads / sizeof *roads)

static _Atomic unsigned opened, refused, gave_way, bad;

static void complain(const struct link *link)
{
    if (link_gave_way(link)) {
        gave_way++;
    } else if (strstr(link->why, "pqbudget:")) {
        refused++;
    } else {
        bad++;
        fprintf(stderr, "threads: %s%s%s: %s\n", link->way.is_libpq ? "libpq" : "plain",
                link->way.is_unix ? ", Unix" : "", link->way.is_blocking ? ", blocking" : "",
                link->why);
    }
}

/* To its outcome; one that blocks has it. */
static void attend(struct link *link)
{
    while (link->phase == LINK_CONNECTING || link->phase == LINK_ASKING) {
        struct pollfd polled = {.fd = link_fd(link), .events = link->events};
        if (poll(&polled, 1, PATIENCE_MS) <= 0) {
            snprintf(link->why, sizeof link->why, "nothing happens");
            link->phase = LINK_FAILED;
            break;
        }
        link_step(link);
    }
}

static int ask(struct link *link)
{
    return link->phase == LINK_OPEN && link_query(link, "select 1");
}

static void *come_and_go(void *number)
{
    unsigned role = (unsigned)(uintptr_t)number;
    struct link_way way = {
        .is_libpq = (role & 1) != 0, .is_unix = (role & 2) != 0, .is_blocking = (role & 4) != 0};
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct link link;
        way.asks_tls = round % 3 == 0;
        link_begin(&link, &way);
        attend(&link);
        opened += link.phase == LINK_OPEN;
        if (ask(&link))
            usleep(1000 * ((role * 7 + round * 11) % 40)); /* for so long it may be asked for */
        if (!ask(&link))
            complain(&link);
        link_close(&link, roads[(role + round) % ROADS]);
    }
    return NULL;
}

/* The preload finds the real one behind each function when that is first called. By many threads at
 * once it stores the same word several times, which the sanitizer would report. */
static void call_each(void)
{
    char byte;
    close(-1);
    close_range(~0u, ~0u, 0);
    shutdown(-1, SHUT_RDWR);
    dup2(-1, -1);
    fcntl(-1, F_GETFD);
    (void)!connect(-1, NULL, 0);
    getpeername(-1, NULL, NULL);
    (void)!read(-1, &byte, 1);
    (void)!write(-1, "", 1);
    (void)!send(-1, "", 1, 0);
    (void)!recv(-1, &byte, 1, 0);
}

int main(void)
{
    pthread_t thread[THREADS];
    call_each();
    for (uintptr_t i = 0; i < THREADS; i++)
        if (pthread_create(&thread[i], NULL, come_and_go, (void *)i))
            return 2;
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    printf("threads: %u opened, %u refused, %u gave way, %u bad\n", opened, refused, gave_way, bad);
    return bad || !opened || !gave_way;
}
