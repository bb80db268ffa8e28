#include "support/wire.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char *variable(const char *name, const char *otherwise)
{
    const char *value = getenv(name);
    return value ? value : otherwise;
}

struct sockaddr_in wire_address(void)
{
    struct sockaddr_in server = {.sin_family = AF_INET};
    server.sin_port = htons((uint16_t)strtol(variable("PGPORT", "5432"), NULL, 10));
    inet_pton(AF_INET, variable("PGHOST", "127.0.0.1"), &server.sin_addr);
    return server;
}

int wire_start(int fd)
{
    char packet[512];
    uint32_t word[2];
    int used =
        snprintf(packet + sizeof word, sizeof packet - sizeof word, "user%c%s%cdatabase%c%s%c", 0,
                 variable("PGUSER", "postgres"), 0, 0, variable("PGDATABASE", "postgres"), 0);
    size_t length = sizeof word + (size_t)used + 1; /* one more zero ends the list */
    if (length > sizeof packet)
        return 0;
    word[0] = htonl((uint32_t)length);
    word[1] = htonl(3u << 16);
    memcpy(packet, word, sizeof word);
    return write(fd, packet, length) == (ssize_t)length;
}

/* Reads whole messages until one of this type has come. */
static int await_message(int fd, char type)
{
    struct __attribute__((packed)) {
        char type;
        uint32_t length;
    } head;
    char body[4096];
    do {
        if (recv(fd, &head, sizeof head, MSG_WAITALL) != (ssize_t)sizeof head)
            return 0;
        size_t length = ntohl(head.length) - sizeof head.length;
        if (length > sizeof body || recv(fd, body, length, MSG_WAITALL) != (ssize_t)length)
            return 0;
    } while (head.type != type && head.type != 'E');
    return head.type == type;
}

int wire_connect(void)
{
    struct sockaddr_in server = wire_address();
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && !connect(fd, (struct sockaddr *)&server, sizeof server) && wire_start(fd) &&
        await_message(fd, 'Z'))
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}
