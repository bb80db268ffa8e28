#include "line.h"

#include "support/wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#define HEAD 5 /* a message's type and length */
#define ROOM 4096
#define ENDED "57P05"
/* The last result of PQexec has the end alone; the connection's message has both. */
#define ENDED_TEXT "terminating connection due to idle-session timeout"

static int broken(struct line *line, const char *what, const char *why)
{
    snprintf(line->why, sizeof line->why, "%s: %s", what, why);
    return 0;
}

static enum line_answer no_answer(struct line *line, const char *what, const char *why)
{
    broken(line, what, why);
    return LINE_BROKEN;
}

/* ---- plain sockets ---- */

static int dial(struct line *line)
{
    struct sockaddr_in far = wire_address();
    struct sockaddr_un near = {.sun_family = AF_UNIX};
    snprintf(near.sun_path, sizeof near.sun_path, "%s/.s.PGSQL.%s", getenv("PQB_POSTGRES_DIR"),
             getenv("PGPORT"));
    line->fd = socket(line->is_unix ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const struct sockaddr *to =
        line->is_unix ? (const struct sockaddr *)&near : (const struct sockaddr *)&far;
    return line->fd >= 0 && !connect(line->fd, to, line->is_unix ? sizeof near : sizeof far);
}

/* 1 if all of it came, 0 at the end or for an error. */
static int read_all(int fd, char *to, size_t size)
{
    while (size) {
        ssize_t got = read(fd, to, size);
        if (got <= 0)
            return 0;
        to += got;
        size -= (size_t)got;
    }
    return 1;
}

/* A field of an ErrorResponse. */
static const char *field(const char *body, char name)
{
    while (*body && *body != name)
        body += strlen(body) + 1;
    return *body ? body + 1 : "";
}

static enum line_answer error(struct line *line, const char *body)
{
    snprintf(line->why, sizeof line->why, "%s: %s: %s", field(body, 'C'), field(body, 'M'),
             field(body, 'D'));
    return LINE_BROKEN;
}

/* The next message's type; 0 if there is none. */
static char hear(struct line *line, char body[ROOM])
{
    char head[HEAD];
    uint32_t length;
    if (!read_all(line->fd, head, HEAD))
        return 0;
    memcpy(&length, head + 1, sizeof length);
    length = ntohl(length) - (uint32_t)sizeof length;
    if (length >= ROOM || !read_all(line->fd, body, length))
        return 0;
    body[length] = 0;
    return *head;
}

/* Until the server waits for us. What comes in between is counted in *completed. */
static enum line_answer hear_out(struct line *line, unsigned *completed)
{
    char body[ROOM + 1], byte;
    for (char type; (type = hear(line, body)) != 'Z';) {
        if (type == 'K') {
            memcpy(&line->backend, body, sizeof line->backend);
            line->backend = (int32_t)ntohl((uint32_t)line->backend);
        }
        *completed += type == 'C';
        if (type == 'E')
            return !strcmp(field(body, 'C'), ENDED) && !*completed && read(line->fd, &byte, 1) == 0
                       ? LINE_ENDED
                       : error(line, body);
        if (!type)
            return no_answer(line, "reading", errno ? strerror(errno) : "the end");
    }
    return LINE_RAN;
}

/* In one piece, or in two by other calls. */
static int say(struct line *line, const char *bytes, size_t length, unsigned way)
{
    size_t half = way % 3 ? length / way : length;
    struct iovec part[2] = {{(char *)bytes, half}, {(char *)bytes + half, length - half}};
    struct msghdr whole = {.msg_iov = part, .msg_iovlen = 2};
    switch (way) {
    case 0:
        return write(line->fd, bytes, length) == (ssize_t)length;
    case 1:
        return writev(line->fd, part, 2) == (ssize_t)length;
    case 3:
        return sendmsg(line->fd, &whole, MSG_NOSIGNAL) == (ssize_t)length;
    default:
        return send(line->fd, bytes, half, MSG_NOSIGNAL) == (ssize_t)half &&
               write(line->fd, bytes + half, length - half) == (ssize_t)(length - half);
    }
}

static enum line_answer insert_plainly(struct line *line, const char *query, unsigned way)
{
    char message[256];
    unsigned completed = 0;
    uint32_t length = (uint32_t)strlen(query) + 1, word = htonl(length + 4);
    *message = 'Q';
    memcpy(message + 1, &word, sizeof word);
    memcpy(message + HEAD, query, length);
    errno = 0;
    if (!say(line, message, HEAD + length, way))
        return no_answer(line, "writing", strerror(errno));
    if (way > 3) { /* as an event loop does */
        struct pollfd look = {.fd = line->fd, .events = POLLIN};
        poll(&look, 1, -1);
    }
    enum line_answer answer = hear_out(line, &completed);
    if (answer == LINE_RAN && completed != 1)
        return no_answer(line, "a result", "not complete");
    return answer;
}

/* ---- libpq ---- */

static int is_open(struct line *line)
{
    if (PQstatus(line->conn) != CONNECTION_OK)
        return broken(line, "libpq", PQerrorMessage(line->conn));
    line->fd = PQsocket(line->conn);
    line->backend = PQbackendPID(line->conn);
    PGresult *result = PQprepare(line->conn, "put", "insert into races values ($1)", 1, NULL);
    int is_prepared = PQresultStatus(result) == PGRES_COMMAND_OK;
    int has_ended = strstr(PQerrorMessage(line->conn), ENDED_TEXT) != NULL;
    PQclear(result);
    /* In between it may have given way. */
    return is_prepared || has_ended || broken(line, "libpq", PQerrorMessage(line->conn));
}

static PGresult *insert_by_libpq(struct line *line, const char *query, const char *number,
                                 unsigned way)
{
    switch (way) {
    case 0:
    case 1:
        return PQexec(line->conn, query);
    case 2:
        return PQexecParams(line->conn, "insert into races values ($1)", 1, NULL, &number, NULL,
                            NULL, 0);
    default:
        return PQexecPrepared(line->conn, "put", 1, &number, NULL, NULL, 0);
    }
}

static enum line_answer answer_of(struct line *line, PGresult *result)
{
    if (PQresultStatus(result) == PGRES_COMMAND_OK && PQstatus(line->conn) == CONNECTION_OK)
        return LINE_RAN;
    if (strstr(PQerrorMessage(line->conn), ENDED_TEXT) && PQstatus(line->conn) == CONNECTION_BAD)
        return LINE_ENDED;
    return no_answer(line, "libpq", PQerrorMessage(line->conn));
}

/* ---- either ---- */

int line_open(struct line *line)
{
    unsigned unused = 0;
    errno = 0;
    if (line->is_libpq) {
        line->conn =
            PQconnectdb(line->is_unix ? getenv("PQB_RACES_UNIX") : getenv("PQB_RACES_TCP"));
        return is_open(line);
    }
    if (!dial(line) || !wire_start(line->fd))
        return broken(line, "connecting", strerror(errno));
    switch (hear_out(line, &unused)) {
    case LINE_RAN:
        return 1;
    case LINE_ENDED:
        return broken(line, "logging in", ENDED);
    default:
        return 0;
    }
}

enum line_answer line_insert(struct line *line, uint32_t number, unsigned way)
{
    char query[64], text[16];
    snprintf(text, sizeof text, "%u", number);
    snprintf(query, sizeof query, "insert into races values (%s)", text);
    if (!line->is_libpq)
        return insert_plainly(line, query, way);
    PGresult *result = insert_by_libpq(line, query, text, way);
    enum line_answer answer = answer_of(line, result);
    PQclear(result);
    return answer;
}

int line_reset(struct line *line)
{
    PQreset(line->conn);
    return is_open(line);
}

void line_close(struct line *line)
{
    static const char goodbye[HEAD] = {'X', 0, 0, 0, 4};
    if (line->is_libpq) {
        PQfinish(line->conn);
    } else {
        (void)!send(line->fd, goodbye, HEAD, MSG_NOSIGNAL);
        close(line->fd);
    }
    line->conn = NULL;
    line->fd = -1;
}
