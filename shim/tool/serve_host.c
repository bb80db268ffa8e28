#include "tool/serve_host.h"

#include <arpa/inet.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

#define NAME 256

/* Cuts "name:port", "[address]:port". Returns 0 if it is neither. */
static int cut_port(const char *host, char name[NAME], int *is_bracketed)
{
    *is_bracketed = *host == '[';
    const char *start = host + *is_bracketed;
    size_t length = strcspn(start, *is_bracketed ? "]" : ":");
    const char *end = start + length;
    if (!length || length >= NAME || (*is_bracketed && *end != ']'))
        return 0;
    end += *is_bracketed;
    if (*end && (*end != ':' || end[1 + strspn(end + 1, "0123456789")]))
        return 0;
    memcpy(name, start, length);
    name[length] = 0;
    return 1;
}

int pqb_host_is_ours(const char *host, const char *const *names, unsigned count)
{
    char name[NAME];
    unsigned char address[sizeof(struct in6_addr)];
    int is_bracketed;
    if (!host || !cut_port(host, name, &is_bracketed))
        return 0;
    if (is_bracketed)
        return inet_pton(AF_INET6, name, address) == 1;
    if (inet_pton(AF_INET, name, address) == 1 || !strcasecmp(name, "localhost"))
        return 1;
    for (unsigned i = 0; i < count; i++)
        if (!strcasecmp(name, names[i]))
            return 1;
    return 0;
}
