/* Sessions in every state in which one can be left. Each step says a line. */
#include "sockets.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ROOM 4096

struct packet {
    char bytes[ROOM];
    size_t length;
};

static void add_message(struct packet *packet, char type, const void *body, size_t length)
{
    uint32_t word = htonl((uint32_t)length + 4);
    char *to = packet->bytes + packet->length;
    if (packet->length + length + 5 > ROOM)
        give_up("too much to say");
    *to = type;
    memcpy(to + 1, &word, sizeof word);
    memcpy(to + 5, body, length);
    packet->length += length + 5;
}

static void send_it(const struct packet *packet)
{
    if (write(current, packet->bytes, packet->length) != (ssize_t)packet->length)
        stage_say("write: %s", strerrorname_np(errno));
}

static struct packet query_of(const char *text)
{
    struct packet packet = {.length = 0};
    add_message(&packet, 'Q', text, strlen(text) + 1);
    return packet;
}

/* KIND: a connection that is let in. */
static void enter(void)
{
    char packet[STARTUP_ROOM];
    const char *kind = stage_argument();
    current = socket_for(kind);
    if (connect_to(current, kind))
        give_up("connect");
    size_t length = make_startup(packet);
    if (write(current, packet, length) != (ssize_t)length)
        give_up("startup");
    stage_say("%s", hear_outcome(current));
}

static void ask(void)
{
    struct packet packet = query_of(stage_argument());
    send_it(&packet);
    stage_say("%s", hear_outcome(current));
}

static void tell(void)
{
    struct packet packet = query_of(stage_argument());
    send_it(&packet);
    stage_say("told");
}

static void *hear_and_say(void *unused)
{
    stage_say("%s", hear_outcome(current));
    return unused;
}

/* A thread that reads whatever comes, from now on. */
static void start_reader(void)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, hear_and_say, NULL))
        give_up("pthread_create");
    pthread_detach(thread);
}

/* SQL, to which the thread hears the answer. */
static void write_only(void)
{
    struct packet packet = query_of(stage_argument());
    send_it(&packet);
}

/* Past every hook; to the end of what comes at once behind the answer's first byte. */
static void ask_past(void)
{
    struct packet packet = query_of(stage_argument());
    char text[ROOM] = "";
    struct pollfd look = {.fd = current, .events = POLLIN};
    ssize_t got = 0;
    if (syscall(SYS_write, current, packet.bytes, packet.length) != (ssize_t)packet.length)
        give_up("write");
    while (got < 6 || text[got - 6] != 'Z') {
        poll(&look, 1, 20000);
        ssize_t more = syscall(SYS_read, current, text + got, sizeof text - (size_t)got);
        if (more <= 0)
            give_up("read");
        got += more;
    }
    stage_say("past");
}

/* Up to a message of one of these types: which. */
static char hear_up_to(const char *types)
{
    char head[5], body[ROOM];
    uint32_t length;
    for (;;) {
        if (read(current, head, 1) != 1)
            return 0;
        for (ssize_t got, all = 1; all < 5; all += got)
            if ((got = read(current, head + all, (size_t)(5 - all))) <= 0)
                return 0;
        memcpy(&length, head + 1, sizeof length);
        length = ntohl(length) - 4;
        for (size_t all = 0; all < length;) {
            ssize_t got = read(current, body, length - all < ROOM ? length - all : ROOM);
            if (got <= 0)
                return 0;
            all += (size_t)got;
        }
        if (strchr(types, *head))
            return *head;
    }
}

/* SQL ROWS: an extended query of so many rows (0: all of them), without a Sync behind it: 's', a
 * portal is open, or 'C', it is done. */
static void extended(void)
{
    struct packet packet = {.length = 0};
    const char *sql = stage_argument();
    char body[ROOM] = "";
    uint32_t rows = htonl((uint32_t)number());
    snprintf(body + 1, sizeof body - 4, "%s", sql);
    add_message(&packet, 'P', body, strlen(sql) + 4);
    add_message(&packet, 'B', "\0\0\0\0\0\0\0", 8);
    memcpy(body + 1, &rows, sizeof rows);
    *body = 0;
    add_message(&packet, 'E', body, 5);
    add_message(&packet, 'H', "", 0);
    send_it(&packet);
    stage_say("%c", hear_up_to("sCE"));
}

static void sync_it(void)
{
    struct packet packet = {.length = 0};
    add_message(&packet, 'S', "", 0);
    send_it(&packet);
    stage_say("%s", hear_outcome(current));
}

/* SQL: begins to copy in. */
static void copy_in(void)
{
    struct packet packet = query_of(stage_argument());
    send_it(&packet);
    stage_say("%c", hear_up_to("GE"));
    packet.length = 0;
    add_message(&packet, 'd', "1\n", 2);
    send_it(&packet);
}

static void copy_end(void)
{
    struct packet packet = {.length = 0};
    add_message(&packet, 'c', "", 0);
    send_it(&packet);
    stage_say("%s", hear_outcome(current));
}

/* SQL: begins to copy out. */
static void copy_out(void)
{
    struct packet packet = query_of(stage_argument());
    send_it(&packet);
    stage_say("%c", hear_up_to("dE"));
}

/* SQL, half of it. */
static void half(void)
{
    struct packet packet = query_of(stage_argument());
    packet.length /= 2;
    send_it(&packet);
    stage_say("half");
}

/* The same SQL, the other half. */
static void other_half(void)
{
    struct packet packet = query_of(stage_argument());
    size_t gone = packet.length / 2;
    if (write(current, packet.bytes + gone, packet.length - gone) < 0)
        stage_say("write: %s", strerrorname_np(errno));
    stage_say("%s", hear_outcome(current));
}

const struct stage_step session_steps[] = {
    {"enter", enter},
    {"ask", ask},
    {"tell", tell},
    {"reader", start_reader},
    {"utter", write_only},
    {"askpast", ask_past},
    {"extended", extended},
    {"sync", sync_it},
    {"copyin", copy_in},
    {"copyend", copy_end},
    {"copyout", copy_out},
    {"half", half},
    {"otherhalf", other_half},
    {0},
};
