#include "tool/serve_listen.h"

#include "conninfo/value.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 64

/* Splits "HOST:PORT". Returns 0 if it is none. */
static int split(const char *address, char host[PQB_LISTEN_TEXT], char port[8])
{
    const char *colon = strrchr(address, ':'), *digits = colon ? colon + 1 : address;
    size_t length = colon ? (size_t)(colon - address) : 0;
    long long number;
    if (!pqb_value_number(digits, strlen(digits), &number) || number > 65535)
        return 0;
    snprintf(port, 8, "%d", (int)number);
    if (!colon) {
        strcpy(host, "127.0.0.1");
        return 1;
    }
    if (length > 2 && *address == '[' && address[length - 1] == ']') {
        address++;
        length -= 2;
    } else if (memchr(address, ':', length)) {
        return 0; /* an IPv6 address without brackets: nobody can tell its port */
    }
    if (!length || length >= PQB_LISTEN_TEXT)
        return 0;
    memcpy(host, address, length);
    host[length] = 0;
    return 1;
}

static int open_one(const struct addrinfo *place)
{
    int one = 1;
    int fd = socket(place->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (!bind(fd, place->ai_addr, place->ai_addrlen) && !listen(fd, BACKLOG))
        return fd;
    int code = errno;
    close(fd);
    errno = code;
    return -1;
}

/* What the socket is bound to, for people. */
static void describe(struct pqb_listener *listener)
{
    struct sockaddr_storage place = {0};
    socklen_t size = sizeof place;
    char host[64] = "?", port[8] = "?";
    getsockname(listener->fd, (struct sockaddr *)&place, &size);
    getnameinfo((struct sockaddr *)&place, size, host, sizeof host, port, sizeof port,
                NI_NUMERICHOST | NI_NUMERICSERV);
    listener->is_local = !strncmp(host, "127.", 4) || !strcmp(host, "::1");
    snprintf(listener->text, sizeof listener->text, strchr(host, ':') ? "[%s]:%s" : "%s:%s", host,
             port);
}

enum pqb_status pqb_listen(const char *address, struct pqb_listener *listener,
                           struct pqb_error *error)
{
    char port[8];
    struct addrinfo *places, hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    if (!split(address, listener->host, port))
        return pqb_fail(error, PQB_INVALID,
                        "'%.80s' is no address to listen on: say HOST:PORT, [IPV6]:PORT or PORT",
                        address);
    int code = getaddrinfo(listener->host, port, &hints, &places);
    if (code)
        return pqb_fail(error, PQB_SYSTEM, "cannot listen on %.80s: %s", address,
                        gai_strerror(code));
    listener->fd = -1;
    for (const struct addrinfo *place = places; place && listener->fd < 0; place = place->ai_next)
        listener->fd = open_one(place);
    code = errno;
    freeaddrinfo(places);
    if (listener->fd < 0)
        return pqb_fail(error, PQB_SYSTEM, "cannot listen on %.80s: %s; --listen says where else",
                        address, strerror(code));
    describe(listener);
    return PQB_OK;
}
