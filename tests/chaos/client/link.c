#include "chaos/client/link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#define HEAD 5 /* a message's kind and length */
#define LONGEST_MS 60000

static void fail(struct link *link, const char *what, const char *why)
{
    snprintf(link->why, sizeof link->why, "%s: %s", what, why);
    for (char *at = link->why; *at; at++)
        if (*at == '\n')
            *at = '|';
    link->phase = LINK_FAILED;
}

static const char *environment(const char *name)
{
    const char *value = getenv(name);
    return value ? value : "";
}

/* ---- plain sockets ---- */

static int dial(const struct link_way *way)
{
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    struct sockaddr_in remote = {.sin_family = AF_INET};
    snprintf(local.sun_path, sizeof local.sun_path, "%s/.s.PGSQL.%s",
             environment("PQB_POSTGRES_DIR"), environment("PGPORT"));
    remote.sin_port = htons((uint16_t)atoi(environment("PGPORT")));
    remote.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(way->is_unix ? AF_UNIX : AF_INET,
                    SOCK_STREAM | SOCK_CLOEXEC | (way->is_blocking ? 0 : SOCK_NONBLOCK), 0);
    if (fd < 0)
        return -1;
    if (way->is_unix ? connect(fd, (const struct sockaddr *)&local, sizeof local)
                     : connect(fd, (const struct sockaddr *)&remote, sizeof remote)) {
        int saved = errno;
        if (saved != EINPROGRESS) {
            close(fd);
            fd = -1;
        }
        errno = saved;
    }
    return fd;
}

static int say(struct link *link, const char *bytes, size_t length)
{
    ssize_t sent = send(link->fd, bytes, length, MSG_NOSIGNAL);
    if (sent == (ssize_t)length)
        return 1;
    fail(link, "send", sent < 0 ? strerror(errno) : "cut short");
    return 0;
}

static void put_number(char *at, uint32_t number)
{
    number = htonl(number);
    memcpy(at, &number, sizeof number);
}

static void ask_to_start(struct link *link)
{
    static const char parameters[] = "user\0chaos\0database\0postgres\0";
    char packet[8 + sizeof parameters];
    put_number(packet, sizeof packet);
    put_number(packet + 4, 3 << 16);
    memcpy(packet + 8, parameters, sizeof parameters);
    /* In two pieces: the first says nothing yet. */
    if (say(link, packet, 6) && say(link, packet + 6, sizeof packet - 6))
        link->phase = LINK_ASKING;
}

static void ask_for_tls(struct link *link)
{
    char packet[8];
    put_number(packet, sizeof packet);
    put_number(packet + 4, 80877103);
    if (say(link, packet, sizeof packet))
        link->phase = LINK_ASKING;
}

/* Takes what has come. 0 = nothing more to be had without waiting. */
static int hear(struct link *link)
{
    if (link->length == sizeof link->heard)
        link->length = 0; /* nobody says so much */
    ssize_t got = recv(link->fd, link->heard + link->length, sizeof link->heard - link->length, 0);
    if (got > 0) {
        link->length += (size_t)got;
        return 1;
    }
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    fail(link, "recv", got ? strerror(errno) : "the end");
    return 0;
}

/* The next message: its kind, and it is taken off; 0 if it is not there yet. The text of an error
 * is kept. */
static char next_message(struct link *link)
{
    uint32_t size;
    if (link->length < HEAD)
        return 0;
    memcpy(&size, link->heard + 1, sizeof size);
    size_t whole = ntohl(size) + 1;
    if (link->length < whole)
        return 0;
    char kind = *link->heard;
    if (kind == 'E') {
        for (size_t i = HEAD; i < whole; i++)
            if (!link->heard[i])
                link->heard[i] = '|';
        link->heard[whole - 1] = 0;
        fail(link, "error", link->heard + HEAD);
    }
    link->length -= whole;
    memmove(link->heard, link->heard + whole, link->length);
    return kind;
}

/* Until ReadyForQuery. 1 when it is there. */
static int is_ready(struct link *link)
{
    for (char kind; (kind = next_message(link)) != 0;) {
        if (kind == 'Z')
            return 1;
        if (link->phase == LINK_FAILED)
            return 0;
    }
    return 0;
}

/* The answer to a request for TLS: one byte. */
static void hear_declined(struct link *link)
{
    if (!link->length)
        return;
    if (*link->heard != 'N') {
        fail(link, "asked for TLS", "neither S nor N");
        return;
    }
    link->length = 0;
    link->way.asks_tls = 0;
    ask_to_start(link);
}

static void step_plain(struct link *link)
{
    link->events = POLLIN;
    if (link->phase == LINK_CONNECTING) {
        int error = 0;
        socklen_t length = sizeof error;
        getsockopt(link->fd, SOL_SOCKET, SO_ERROR, &error, &length);
        if (error)
            fail(link, "connect", strerror(error));
        else if (link->way.asks_tls)
            ask_for_tls(link);
        else
            ask_to_start(link);
        return;
    }
    hear(link);
    if (link->phase == LINK_ASKING && link->way.asks_tls)
        hear_declined(link);
    else if (link->phase == LINK_ASKING && is_ready(link))
        link->phase = LINK_OPEN;
}

static void begin_plain(struct link *link)
{
    link->fd = dial(&link->way);
    link->phase = LINK_CONNECTING;
    link->events = POLLOUT;
    if (link->fd < 0)
        fail(link, "connect", strerror(errno));
    while (link->way.is_blocking && link->phase != LINK_OPEN && link->phase != LINK_FAILED)
        step_plain(link);
}

static int query_plain(struct link *link, const char *text)
{
    char packet[256] = "Q";
    size_t length = strlen(text) + 1;
    put_number(packet + 1, (uint32_t)length + 4);
    memcpy(packet + HEAD, text, length);
    if (!say(link, packet, HEAD + length))
        return 0;
    while (!is_ready(link) && link->phase == LINK_OPEN) {
        struct pollfd input = {.fd = link->fd, .events = POLLIN};
        if (!poll(&input, 1, LONGEST_MS))
            fail(link, "query", "no answer");
        else
            hear(link);
    }
    return link->phase == LINK_OPEN;
}

/* ---- libpq ---- */

static void fail_as_libpq_says(struct link *link)
{
    fail(link, "libpq", PQerrorMessage(link->conn));
}

static void begin_libpq(struct link *link)
{
    char words[256];
    snprintf(words, sizeof words, "host=%s user=chaos dbname=postgres sslmode=%s",
             link->way.is_unix ? environment("PQB_POSTGRES_DIR") : "127.0.0.1",
             link->way.asks_tls ? "prefer" : "disable");
    link->phase = LINK_ASKING;
    if (link->way.is_blocking) {
        link->conn = PQconnectdb(words);
        link->phase = LINK_OPEN;
    } else {
        link->conn = PQconnectStart(words);
        link->events = POLLOUT;
    }
    if (PQstatus(link->conn) == CONNECTION_BAD)
        fail_as_libpq_says(link);
}

static void step_libpq(struct link *link)
{
    switch (PQconnectPoll(link->conn)) {
    case PGRES_POLLING_READING:
        link->events = POLLIN;
        break;
    case PGRES_POLLING_WRITING:
        link->events = POLLOUT;
        break;
    case PGRES_POLLING_OK:
        link->phase = LINK_OPEN;
        break;
    default:
        fail_as_libpq_says(link);
    }
}

static int query_libpq(struct link *link, const char *text)
{
    PGresult *result = PQexec(link->conn, text);
    int is_good = PQresultStatus(result) == PGRES_TUPLES_OK;
    PQclear(result);
    if (!is_good)
        fail_as_libpq_says(link);
    return is_good;
}

/* ---- either ---- */

void link_begin(struct link *link, const struct link_way *way)
{
    *link = (struct link){.way = *way, .by = getpid(), .fd = -1};
    if (way->is_libpq)
        begin_libpq(link);
    else
        begin_plain(link);
}

void link_step(struct link *link)
{
    if (link->way.is_libpq)
        step_libpq(link);
    else
        step_plain(link);
}

int link_fd(const struct link *link)
{
    return link->conn ? PQsocket(link->conn) : link->fd;
}

int link_query(struct link *link, const char *text)
{
    return link->way.is_libpq ? query_libpq(link, text) : query_plain(link, text);
}

int link_gave_way(const struct link *link)
{
    /* libpq forgets the error that comes before the end. */
    return link->by == getpid() && getenv("PQBUDGET_YIELD") &&
           (strstr(link->why, "57P05") ||
            (link->way.is_libpq && strstr(link->why, "closed the connection unexpectedly")));
}

static void put_over(int fd, int by_hand)
{
    int other = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (by_hand)
        syscall(SYS_dup3, other, fd, O_CLOEXEC);
    else
        dup2(other, fd);
    close(other);
    close(fd);
}

static void close_plain(int fd, unsigned road)
{
    static const char goodbye[] = {'X', 0, 0, 0, 4};
    switch (road) {
    case 0:
        close(fd);
        return;
    case 1: /* as libuv does */
        syscall(SYS_close, fd);
        return;
    case 2:
        put_over(fd, 0);
        return;
    case 3:
        put_over(fd, 1);
        return;
    case 4:
        close_range((unsigned)fd, (unsigned)fd, 0);
        return;
    case 5:
        (void)!send(fd, goodbye, sizeof goodbye, MSG_NOSIGNAL);
        break;
    case 6:
        shutdown(fd, SHUT_WR);
        break;
    default:
        shutdown(fd, SHUT_RDWR);
    }
    close(fd);
}

void link_close(struct link *link, unsigned road)
{
    if (link->conn)
        PQfinish(link->conn);
    else if (link->fd >= 0)
        close_plain(link->fd, road);
    link->conn = NULL;
    link->fd = -1;
    link->phase = LINK_NONE;
}
