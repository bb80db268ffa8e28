#include "conninfo/server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#define KEY_LONGEST (PQB_SERVER_KEY_SIZE - 1)
#define HASH_BYTES 17 /* ~ and 16 digits */
#define DEFAULT_PORT 5432
#define SOCKET_NAME "/.s.PGSQL."

/* Part of somebody's string. */
struct slice {
    const char *text;
    size_t length;
};

/* A key in the making: what fits is kept, all of it is hashed. */
struct draft {
    char *key;
    size_t length; /* all that was put, also what did not fit */
    uint64_t hash; /* FNV-1a */
};

/* Not <ctype.h>: a program's locale must not change a key. */
static int is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static char lower(char c)
{
    if (c >= 'A' && c <= 'Z')
        c += 'a' - 'A';
    return c;
}

static struct slice slice_of(const char *text)
{
    return (struct slice){text, strlen(text)};
}

static int slice_is(struct slice slice, const char *text)
{
    size_t i = 0;
    while (i < slice.length && text[i] && lower(slice.text[i]) == text[i])
        i++;
    return i == slice.length && !text[i];
}

static struct slice trimmed(struct slice slice)
{
    while (slice.length && is_blank(slice.text[slice.length - 1]))
        slice.length--;
    while (slice.length && is_blank(*slice.text)) {
        slice.text++;
        slice.length--;
    }
    return slice;
}

static int draft_open(struct draft *draft, char *key, size_t size)
{
    if (size < PQB_SERVER_KEY_SIZE)
        return -1;
    *draft = (struct draft){key, 0, 0xcbf29ce484222325u};
    *key = 0;
    return 0;
}

static void put(struct draft *draft, char c)
{
    draft->hash = (draft->hash ^ (unsigned char)c) * 0x100000001b3u;
    if (draft->length < KEY_LONGEST)
        draft->key[draft->length] = c;
    draft->length++;
}

static void put_text(struct draft *draft, const char *text)
{
    while (*text)
        put(draft, *text++);
}

static void put_escaped(struct draft *draft, char c)
{
    char text[4];
    snprintf(text, sizeof text, "%%%02X", (unsigned)(unsigned char)c);
    put_text(draft, text);
}

/* A byte of a name that somebody chose. */
static void put_byte(struct draft *draft, char c)
{
    if ((unsigned char)c <= ' ' || c == 0x7f || c == ',')
        put_escaped(draft, c);
    else
        put(draft, c);
}

static void draft_close(const struct draft *draft)
{
    if (draft->length <= KEY_LONGEST) {
        draft->key[draft->length] = 0;
        return;
    }
    snprintf(draft->key + KEY_LONGEST - HASH_BYTES, HASH_BYTES + 1, "~%016llx",
             (unsigned long long)draft->hash);
}

/* Equal but for slashes that follow another; `path` has none of those. */
static int is_directory(struct slice directory, const char *path)
{
    size_t i = 0;
    while (i < directory.length && directory.text[i] == *path) {
        for (i++; *path == '/' && i < directory.length && directory.text[i] == '/';)
            i++;
        path++;
    }
    return i == directory.length && !*path;
}

static int is_default_directory(struct slice directory)
{
    return is_directory(directory, "/var/run/postgresql") ||
           is_directory(directory, "/run/postgresql") || is_directory(directory, "/tmp");
}

/* Slashes more than one are one, and none stands at the end: the same directory. */
static void put_directory(struct draft *draft, struct slice directory)
{
    while (directory.length > 1 && directory.text[directory.length - 1] == '/')
        directory.length--;
    if (is_default_directory(directory)) {
        put_text(draft, "localhost");
        return;
    }
    for (size_t i = 0; i < directory.length; i++) {
        char c = directory.text[i];
        if (c == '/' && i && directory.text[i - 1] == '/')
            continue;
        if (c == '%')
            put_escaped(draft, c);
        else
            put_byte(draft, c);
    }
}

static void put_abstract(struct draft *draft, struct slice name)
{
    for (size_t i = 0; i < name.length; i++)
        if (name.text[i] == '%')
            put_escaped(draft, '%');
        else
            put_byte(draft, name.text[i]);
}

static void put_ipv4(struct draft *draft, const struct in_addr *address)
{
    char text[INET_ADDRSTRLEN];
    uint32_t number = ntohl(address->s_addr);
    if (number == INADDR_LOOPBACK || number == INADDR_ANY) {
        put_text(draft, "localhost");
        return;
    }
    inet_ntop(AF_INET, address, text, sizeof text);
    put_text(draft, text);
}

static void put_ipv6(struct draft *draft, const struct in6_addr *address, struct slice zone)
{
    char text[INET6_ADDRSTRLEN];
    if (IN6_IS_ADDR_V4MAPPED(address)) {
        struct in_addr mapped;
        memcpy(&mapped, &address->s6_addr[12], sizeof mapped);
        put_ipv4(draft, &mapped);
        return;
    }
    if (IN6_IS_ADDR_LOOPBACK(address) || IN6_IS_ADDR_UNSPECIFIED(address)) {
        put_text(draft, "localhost");
        return;
    }
    inet_ntop(AF_INET6, address, text, sizeof text);
    put(draft, '[');
    put_text(draft, text);
    if (zone.length)
        put(draft, '%');
    for (size_t i = 0; i < zone.length; i++)
        put_byte(draft, zone.text[i]);
    put(draft, ']');
}

/* True if it is an address, in any spelling that getaddrinfo takes. */
static int put_literal(struct draft *draft, struct slice host)
{
    char text[INET6_ADDRSTRLEN];
    struct in_addr four;
    struct in6_addr six;
    struct slice zone = {"", 0};
    if (host.length > 2 && *host.text == '[' && host.text[host.length - 1] == ']')
        host = (struct slice){host.text + 1, host.length - 2};
    const char *percent = memchr(host.text, '%', host.length);
    if (percent) {
        size_t before = (size_t)(percent - host.text);
        zone = (struct slice){percent + 1, host.length - before - 1};
        host.length = before;
    }
    if (host.length >= sizeof text)
        return 0;
    memcpy(text, host.text, host.length);
    text[host.length] = 0;
    if (inet_pton(AF_INET6, text, &six) == 1) {
        put_ipv6(draft, &six, zone);
        return 1;
    }
    /* inet_aton stops at a blank and is content. */
    if (percent || strpbrk(text, " \t\n\v\f\r") || !inet_aton(text, &four))
        return 0;
    put_ipv4(draft, &four);
    return 1;
}

static void put_name(struct draft *draft, struct slice name)
{
    if (name.length > 1 && name.text[name.length - 1] == '.')
        name.length--;
    if (slice_is(name, "localhost")) {
        put_text(draft, "localhost");
        return;
    }
    for (size_t i = 0; i < name.length; i++)
        put_byte(draft, lower(name.text[i]));
}

static void put_host(struct draft *draft, struct slice host)
{
    if (!host.length) {
        put_text(draft, "localhost");
        return;
    }
    if (*host.text == '/') {
        put_directory(draft, host);
        return;
    }
    if (*host.text == '@') {
        put_abstract(draft, host);
        return;
    }
    /* Nothing but blanks is a host that nobody has, not the default. */
    struct slice bare = trimmed(host);
    if (!bare.length)
        bare = host;
    if (!put_literal(draft, bare))
        put_name(draft, bare);
}

static void put_number(struct draft *draft, unsigned port)
{
    char text[16];
    snprintf(text, sizeof text, ":%u", port);
    put_text(draft, text);
}

static void put_port(struct draft *draft, struct slice port)
{
    if (!port.length) {
        put_number(draft, DEFAULT_PORT);
        return;
    }
    /* libpq reads it with strtol: blanks around, a sign, zeros in front. */
    struct slice bare = trimmed(port), digits = bare;
    if (digits.length > 1 && *digits.text == '+') {
        digits.text++;
        digits.length--;
    }
    unsigned number = 0;
    size_t i = 0;
    while (i < digits.length && digits.text[i] >= '0' && digits.text[i] <= '9' && number <= 65535)
        number = number * 10 + (unsigned)(digits.text[i++] - '0');
    if (digits.length && i == digits.length && number <= 65535) {
        put_number(draft, number);
        return;
    }
    put(draft, ':');
    for (i = 0; i < bare.length; i++)
        put_byte(draft, lower(bare.text[i]));
}

/* The next entry of a list, which is then what is left of it. False behind the last one. */
static int next(struct slice *list, int *more, struct slice *entry)
{
    if (!*more)
        return 0;
    const char *comma = memchr(list->text, ',', list->length);
    *entry = *list;
    *more = comma != NULL;
    if (comma) {
        entry->length = (size_t)(comma - list->text);
        *list = (struct slice){comma + 1, list->length - entry->length - 1};
    }
    return 1;
}

static size_t count(const char *list)
{
    size_t entries = 1;
    for (; *list; list++)
        entries += *list == ',';
    return entries;
}

/* Takes the entry that begins at `start` back if the same is there already. */
static void drop_repeated(struct draft *draft, const struct draft *before, size_t start)
{
    if (draft->length > KEY_LONGEST)
        return;
    size_t length = draft->length - start;
    for (size_t i = 0, end; i < before->length; i = end + 1) {
        for (end = i; end < before->length && draft->key[end] != ',';)
            end++;
        if (end - i == length && !memcmp(draft->key + i, draft->key + start, length)) {
            *draft = *before;
            return;
        }
    }
}

int pqb_server_key(char *key, size_t size, const char *host, const char *hostaddr, const char *port)
{
    struct draft draft;
    if (draft_open(&draft, key, size))
        return -1;
    host = host ? host : "";
    hostaddr = hostaddr ? hostaddr : "";
    port = port ? port : "";
    size_t hosts = count(host), entries = *hostaddr ? count(hostaddr) : hosts;
    size_t ports = count(port);
    if ((*host && hosts != entries) || (ports != 1 && ports != entries))
        return -1;

    struct slice names = slice_of(host), addresses = slice_of(hostaddr), numbers = slice_of(port);
    struct slice name = {"", 0}, address = {"", 0}, number = {"", 0};
    int more_names = 1, more_addresses = 1, more_numbers = 1;
    for (size_t i = 0; i < entries; i++) {
        next(&names, &more_names, &name);
        next(&addresses, &more_addresses, &address);
        next(&numbers, &more_numbers, &number);
        struct draft before = draft;
        if (i)
            put(&draft, ',');
        size_t start = draft.length;
        put_host(&draft, address.length ? address : name);
        put_port(&draft, number);
        if (i)
            drop_repeated(&draft, &before, start);
    }
    draft_close(&draft);
    return 0;
}

/* The last digits of a path, as a port; 0 if it has none. A name with zeros in front is another
 * file. */
static unsigned port_of(struct slice digits)
{
    unsigned port = 0;
    if (!digits.length || digits.length > 5 || *digits.text == '0')
        return 0;
    for (size_t i = 0; i < digits.length; i++) {
        if (digits.text[i] < '0' || digits.text[i] > '9')
            return 0;
        port = port * 10 + (unsigned)(digits.text[i] - '0');
    }
    return port <= 65535 ? port : 0;
}

static int put_socket(struct draft *draft, const struct sockaddr *address, size_t length)
{
    struct sockaddr_un local;
    if (length <= offsetof(struct sockaddr_un, sun_path))
        return -1;
    if (length > sizeof local)
        length = sizeof local;
    memcpy(&local, address, length);
    struct slice path = {local.sun_path, length - offsetof(struct sockaddr_un, sun_path)};
    int is_abstract = !*local.sun_path;
    /* Where the length says more than the text, the kernel looks at the text; an abstract name is
     * all of it. */
    if (is_abstract)
        local.sun_path[0] = '@';
    else
        path.length = strnlen(path.text, path.length);

    size_t slash = path.length;
    while (slash && path.text[slash - 1] != '/')
        slash--;
    size_t prefix = strlen(SOCKET_NAME);
    if (!slash || path.length - (slash - 1) <= prefix ||
        memcmp(path.text + slash - 1, SOCKET_NAME, prefix) != 0)
        return -1;
    struct slice directory = {path.text, slash > 1 ? slash - 1 : 1};
    struct slice digits = {path.text + slash - 1 + prefix, path.length - (slash - 1) - prefix};
    unsigned port = port_of(digits);
    if (!port || (!is_abstract && *path.text != '/'))
        return -1;
    if (is_abstract)
        put_abstract(draft, directory);
    else
        put_directory(draft, directory);
    put_number(draft, port);
    return 0;
}

static int put_address(struct draft *draft, const struct sockaddr *address, size_t length)
{
    struct sockaddr_in four;
    struct sockaddr_in6 six;
    sa_family_t family;
    char zone[16] = "";
    if (!address || length < sizeof family)
        return -1;
    memcpy(&family, &address->sa_family, sizeof family);
    switch (family) {
    case AF_INET:
        if (length < sizeof four)
            return -1;
        memcpy(&four, address, sizeof four);
        if (!four.sin_port)
            return -1;
        put_ipv4(draft, &four.sin_addr);
        put_number(draft, ntohs(four.sin_port));
        return 0;
    case AF_INET6:
        /* The kernel takes one without the scope, of RFC 2133, as well. */
        if (length < offsetof(struct sockaddr_in6, sin6_scope_id))
            return -1;
        memset(&six, 0, sizeof six);
        memcpy(&six, address, length < sizeof six ? length : sizeof six);
        if (!six.sin6_port)
            return -1;
        if (six.sin6_scope_id)
            snprintf(zone, sizeof zone, "%u", (unsigned)six.sin6_scope_id);
        put_ipv6(draft, &six.sin6_addr, slice_of(zone));
        put_number(draft, ntohs(six.sin6_port));
        return 0;
    case AF_UNIX:
        return put_socket(draft, address, length);
    default:
        return -1;
    }
}

int pqb_server_key_of_address(char *key, size_t size, const struct sockaddr *address,
                              socklen_t length)
{
    struct draft draft;
    if (draft_open(&draft, key, size) || put_address(&draft, address, length))
        return -1;
    draft_close(&draft);
    return 0;
}

int pqb_server_is_pooler(const char *key)
{
    struct slice list = slice_of(key), entry;
    int more = 1;
    while (next(&list, &more, &entry)) {
        if (entry.length < 5)
            return 0;
        const char *port = entry.text + entry.length - 5;
        if (memcmp(port, ":6432", 5) != 0 && memcmp(port, ":6543", 5) != 0)
            return 0;
    }
    return 1;
}

int pqb_server_is_loopback(const char *key)
{
    struct slice list = slice_of(key), entry;
    int more = 1;
    while (next(&list, &more, &entry))
        if ((entry.length > 10 && !memcmp(entry.text, "localhost:", 10)) ||
            (entry.length > 4 && !memcmp(entry.text, "127.", 4)))
            return 1;
    return 0;
}
