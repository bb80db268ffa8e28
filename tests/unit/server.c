/* server.c: the name of a server, from libpq's parameters and from an address. */
#include "conninfo/server.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

TestSuite(server, .timeout = 20);

static const struct named {
    const char *host, *hostaddr, *port, *key;
} named[] = {
    /* one server: localhost */
    {NULL, NULL, NULL, "localhost:5432"},
    {"", "", "", "localhost:5432"},
    {"localhost", NULL, "5432", "localhost:5432"},
    {"LocalHost", NULL, "5433", "localhost:5433"},
    {"localhost.", NULL, NULL, "localhost:5432"},
    {"127.0.0.1", NULL, NULL, "localhost:5432"},
    {"127.1", NULL, NULL, "localhost:5432"},
    {"0x7f000001", NULL, NULL, "localhost:5432"},
    {"::1", NULL, NULL, "localhost:5432"},
    {"0:0:0:0:0:0:0:1", NULL, NULL, "localhost:5432"},
    {"0000::0001", NULL, NULL, "localhost:5432"},
    {"::ffff:127.0.0.1", NULL, NULL, "localhost:5432"},
    {"::FFFF:7f00:1", NULL, NULL, "localhost:5432"},
    {"[::1]", NULL, NULL, "localhost:5432"},
    {"::1%lo", NULL, NULL, "localhost:5432"},
    {"0.0.0.0", NULL, NULL, "localhost:5432"},
    {"::", NULL, NULL, "localhost:5432"},
    {"/var/run/postgresql", NULL, NULL, "localhost:5432"},
    {"/var/run/postgresql/", NULL, "5433", "localhost:5433"},
    {"//var//run/postgresql//", NULL, NULL, "localhost:5432"},
    {"/run/postgresql", NULL, NULL, "localhost:5432"},
    {"/tmp", NULL, NULL, "localhost:5432"},
    {"/tmp///", NULL, NULL, "localhost:5432"},
    /* those that stand alone */
    {"127.0.0.2", NULL, NULL, "127.0.0.2:5432"},
    {"127.2", NULL, NULL, "127.0.0.2:5432"},
    {"::ffff:127.0.0.2", NULL, NULL, "127.0.0.2:5432"},
    {"/srv/pg", NULL, NULL, "/srv/pg:5432"},
    {"/srv//pg/", NULL, "5433", "/srv/pg:5433"},
    {"/Srv/PG", NULL, NULL, "/Srv/PG:5432"},
    {"/tmpx", NULL, NULL, "/tmpx:5432"},
    {"/TMP", NULL, NULL, "/TMP:5432"},
    {"/", NULL, NULL, "/:5432"},
    {"///", NULL, NULL, "/:5432"},
    {"/cloudsql/project:region:db", NULL, NULL, "/cloudsql/project:region:db:5432"},
    {"@abstract", NULL, NULL, "@abstract:5432"},
    {"@", NULL, NULL, "@:5432"},
    {"@/tmp/", NULL, NULL, "@/tmp/:5432"},
    {"localhost.localdomain", NULL, NULL, "localhost.localdomain:5432"},
    /* names and addresses */
    {"DB.Internal", NULL, NULL, "db.internal:5432"},
    {"db.internal.", NULL, "6432", "db.internal:6432"},
    {" db ", NULL, NULL, "db:5432"},
    {".", NULL, NULL, ".:5432"},
    {"10.1.2.3", NULL, NULL, "10.1.2.3:5432"},
    {"010.1.2.3", NULL, NULL, "8.1.2.3:5432"},
    {"10.1.2.3.4", NULL, NULL, "10.1.2.3.4:5432"},
    {"::ffff:10.1.2.3", NULL, NULL, "10.1.2.3:5432"},
    {"2001:DB8:0:0:0:0:0:1", NULL, NULL, "[2001:db8::1]:5432"},
    {"[2001:db8::1]", NULL, "5433", "[2001:db8::1]:5433"},
    {"fe80::1%eth0", NULL, NULL, "[fe80::1%eth0]:5432"},
    {"fe80::1%", NULL, NULL, "[fe80::1]:5432"},
    {"2001:db8::g", NULL, NULL, "2001:db8::g:5432"},
    {"10.0.0.1%eth0", NULL, NULL, "10.0.0.1%eth0:5432"},
    {"10.0.0.1 x", NULL, NULL, "10.0.0.1%20x:5432"},
    {"[]", NULL, NULL, "[]:5432"},
    /* hostaddr beats host */
    {"db.internal", "10.1.2.3", NULL, "10.1.2.3:5432"},
    {"db.internal", "127.0.0.1", NULL, "localhost:5432"},
    {"/srv/pg", "::1", NULL, "localhost:5432"},
    {NULL, "10.1.2.3", NULL, "10.1.2.3:5432"},
    {"", "10.1.2.3", NULL, "10.1.2.3:5432"},
    {"db.internal", "", NULL, "db.internal:5432"},
    {"a,b", "10.1.2.3,", NULL, "10.1.2.3:5432,b:5432"},
    {"a,b", ",10.1.2.3", "1,2", "a:1,10.1.2.3:2"},
    {NULL, "10.0.0.1,10.0.0.2", "5433", "10.0.0.1:5433,10.0.0.2:5433"},
    /* ports as strtol reads them */
    {"a", NULL, "05432", "a:5432"},
    {"a", NULL, " 5433 ", "a:5433"},
    {"a", NULL, "+5433", "a:5433"},
    {"a", NULL, "0", "a:0"},
    {"a", NULL, "99999999999999999999", "a:99999999999999999999"},
    {"a", NULL, "54x2", "a:54x2"},
    {"a", NULL, "-1", "a:-1"},
    {"a", NULL, "+", "a:+"},
    {"a", NULL, " ", "a:"},
    /* lists: one server */
    {"a,b", NULL, NULL, "a:5432,b:5432"},
    {"a,b", NULL, "5433", "a:5433,b:5433"},
    {"a,b", NULL, "1,2", "a:1,b:2"},
    {"a,b", NULL, ",2", "a:5432,b:2"},
    {"a,b", NULL, ",", "a:5432,b:5432"},
    {"A, b", NULL, "1, 02", "a:1,b:2"},
    {"b,a", NULL, NULL, "b:5432,a:5432"},
    {",", NULL, "1,2", "localhost:1,localhost:2"},
    {"a,", NULL, NULL, "a:5432,localhost:5432"},
    {"a,a", NULL, NULL, "a:5432"},
    {"localhost,127.0.0.1,/tmp", NULL, NULL, "localhost:5432"},
    {"a,b,a,ab", NULL, NULL, "a:5432,b:5432,ab:5432"},
    {"a,a", NULL, "1,2", "a:1,a:2"},
    /* nothing that tears a line or a list */
    {"a b", NULL, NULL, "a%20b:5432"},
    {"a\nb\033c\x7f", NULL, NULL, "a%0Ab%1Bc%7F:5432"},
    {"/srv/my pg", NULL, NULL, "/srv/my%20pg:5432"},
    {"/srv/my%20pg", NULL, NULL, "/srv/my%2520pg:5432"},
    {"@a b%", NULL, NULL, "@a%20b%25:5432"},
    {"  ", NULL, NULL, "%20%20:5432"},
    {"a", NULL, "1 2", "a:1%202"},
    {"d\xc3\xa4nisch", NULL, NULL, "d\xc3\xa4nisch:5432"},
};

Test(server, is_named)
{
    for (unsigned i = 0; i < sizeof named / sizeof *named; i++) {
        const struct named *c = &named[i];
        char key[512];
        cr_assert_eq(pqb_server_key(key, sizeof key, c->host, c->hostaddr, c->port), 0, "%s",
                     c->key);
        cr_assert_str_eq(key, c->key, "row %u: '%s' is not '%s'", i, key, c->key);
    }
}

Test(server, is_not_named_where_libpq_refuses)
{
    static const struct named refused[] = {
        {"a,b", NULL, "1,2,3", NULL},
        {"a", NULL, "1,2", NULL},
        {"a", "10.0.0.1,10.0.0.2", NULL, NULL},
        {"a,b", "10.0.0.1", NULL, NULL},
        {NULL, NULL, "1,2", NULL},
        {NULL, "10.0.0.1", ",", NULL},
    };
    for (unsigned i = 0; i < sizeof refused / sizeof *refused; i++) {
        const struct named *c = &refused[i];
        char key[512];
        cr_assert_eq(pqb_server_key(key, sizeof key, c->host, c->hostaddr, c->port), -1, "row %u",
                     i);
    }
    char small[511];
    cr_assert_eq(pqb_server_key(small, sizeof small, NULL, NULL, NULL), -1);
}

Test(server, has_a_name_that_fits)
{
    char host[2000], other[2000], key[600], again[512], different[512];
    memset(host, 'h', sizeof host);
    host[511 - 5] = 0;
    cr_assert_eq(pqb_server_key(key, sizeof key, host, NULL, NULL), 0);
    cr_assert_eq(strlen(key), 511);
    cr_assert_str_eq(key + 511 - 5, ":5432", "511 bytes are kept whole");

    host[511 - 5] = 'h';
    host[sizeof host - 1] = 0;
    cr_assert_eq(pqb_server_key(key, sizeof key, host, NULL, NULL), 0);
    cr_assert_eq(pqb_server_key(again, sizeof again, host, NULL, NULL), 0);
    cr_assert_eq(strlen(key), 511);
    cr_assert_eq(key[511 - 17], '~');
    cr_assert_eq(strspn(key + 511 - 16, "0123456789abcdef"), 16);
    cr_assert_str_eq(key, again, "the same host has the same key, whatever the room beyond it");

    strcpy(other, host);
    other[sizeof other - 2] = 'x';
    cr_assert_eq(pqb_server_key(different, sizeof different, other, NULL, NULL), 0);
    cr_assert_str_neq(key, different);
    cr_assert_eq(pqb_server_key(different, sizeof different, host, NULL, "5433"), 0);
    cr_assert_str_neq(key, different);
}

static const char *key_of(const void *address, size_t length)
{
    static char key[512];
    if (pqb_server_key_of_address(key, sizeof key, address, (socklen_t)length))
        return "none";
    return key;
}

static const char *key_of_ip(const char *text, unsigned port, unsigned scope)
{
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct sockaddr_in6 six = {
        .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port), .sin6_scope_id = scope};
    if (inet_pton(AF_INET, text, &four.sin_addr) == 1)
        return key_of(&four, sizeof four);
    cr_assert_eq(inet_pton(AF_INET6, text, &six.sin6_addr), 1, "%s", text);
    return key_of(&six, sizeof six);
}

static const char *key_of_path(const char *path, size_t length)
{
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    cr_assert_leq(length, sizeof local.sun_path);
    memcpy(local.sun_path, path, length);
    return key_of(&local, offsetof(struct sockaddr_un, sun_path) + length);
}

Test(server, is_named_by_its_address_as_by_its_parameters)
{
    static const struct {
        const char *address;
        unsigned port, scope;
        const char *key;
    } addresses[] = {
        {"127.0.0.1", 5432, 0, "localhost:5432"},
        {"::1", 5432, 0, "localhost:5432"},
        {"::ffff:127.0.0.1", 5433, 0, "localhost:5433"},
        {"0.0.0.0", 5432, 0, "localhost:5432"},
        {"::", 5432, 0, "localhost:5432"},
        {"127.0.0.2", 5432, 0, "127.0.0.2:5432"},
        {"10.1.2.3", 65535, 0, "10.1.2.3:65535"},
        {"::ffff:10.1.2.3", 5432, 0, "10.1.2.3:5432"},
        {"2001:db8::1", 5432, 0, "[2001:db8::1]:5432"},
        {"fe80::1", 5432, 2, "[fe80::1%2]:5432"},
        {"10.1.2.3", 0, 0, "none"},
        {"2001:db8::1", 0, 0, "none"},
    };
    for (unsigned i = 0; i < sizeof addresses / sizeof *addresses; i++) {
        const char *address = addresses[i].address, *wanted = addresses[i].key;
        char port[16], key[512];
        cr_assert_str_eq(key_of_ip(address, addresses[i].port, addresses[i].scope), wanted);
        if (addresses[i].scope || !addresses[i].port)
            continue;
        snprintf(port, sizeof port, "%u", addresses[i].port);
        cr_assert_eq(pqb_server_key(key, sizeof key, NULL, address, port), 0);
        cr_assert_str_eq(key, wanted);
    }
}

Test(server, is_named_by_its_socket)
{
#define SOCKET(path) path, sizeof(path) - 1
    static const struct {
        const char *path;
        size_t length;
        const char *key;
    } sockets[] = {
        {SOCKET("/var/run/postgresql/.s.PGSQL.5432"), "localhost:5432"},
        {SOCKET("/var/run/postgresql/.s.PGSQL.5432\0"), "localhost:5432"},
        {SOCKET("/tmp/.s.PGSQL.6543"), "localhost:6543"},
        {SOCKET("/tmp//.s.PGSQL.5432"), "localhost:5432"},
        {SOCKET("/srv/my pg/.s.PGSQL.5432"), "/srv/my%20pg:5432"},
        {SOCKET("/srv/a,b/.s.PGSQL.5432"), "/srv/a%2Cb:5432"},
        {SOCKET("/.s.PGSQL.5432"), "/:5432"},
        {SOCKET("/srv/.s.PGSQL.1/.s.PGSQL.2"), "/srv/.s.PGSQL.1:2"},
        {SOCKET("\0name/.s.PGSQL.5432"), "@name:5432"},
        {SOCKET("\0/.s.PGSQL.5432"), "@:5432"},
        {SOCKET("\0a\0b/.s.PGSQL.5432"), "@a%00b:5432"},
        {SOCKET("\0name/.s.PGSQL.5432\0"), "none"},
        {SOCKET("/tmp/.s.PGSQL.05432"), "none"},
        {SOCKET("/tmp/.s.PGSQL.65536"), "none"},
        {SOCKET("/tmp/.s.PGSQL.0"), "none"},
        {SOCKET("/tmp/.s.PGSQL."), "none"},
        {SOCKET("/tmp/.s.PGSQL.5432.lock"), "none"},
        {SOCKET("/tmp/s.PGSQL.5432"), "none"},
        {SOCKET("/run/mysqld/mysqld.sock"), "none"},
        {SOCKET("tmp/.s.PGSQL.5432"), "none"},
        {SOCKET(".s.PGSQL.5432"), "none"},
        {SOCKET("/"), "none"},
        {SOCKET("\0"), "none"},
        {SOCKET(""), "none"},
    };
#undef SOCKET
    for (unsigned i = 0; i < sizeof sockets / sizeof *sockets; i++)
        cr_assert_str_eq(key_of_path(sockets[i].path, sockets[i].length), sockets[i].key,
                         "row %u: %s is not %s", i, key_of_path(sockets[i].path, sockets[i].length),
                         sockets[i].key);

    /* The longest path has no room for its last zero. */
    char longest[sizeof((struct sockaddr_un *)NULL)->sun_path], key[512];
    static const char name[15] = "/.s.PGSQL.54321";
    memset(longest, 'd', sizeof longest);
    *longest = '/';
    memcpy(longest + sizeof longest - sizeof name, name, sizeof name);
    snprintf(key, sizeof key, "%.*s:54321", (int)(sizeof longest - sizeof name), longest);
    cr_assert_str_eq(key_of_path(longest, sizeof longest), key);
}

Test(server, is_nothing_that_other_families_have)
{
    struct sockaddr_storage any = {.ss_family = AF_UNSPEC};
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(5432)};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(5432)};
    cr_assert_str_eq(key_of(&any, sizeof any), "none");
    cr_assert_str_eq(key_of(&any, 0), "none");
    cr_assert_str_eq(key_of(NULL, sizeof any), "none");
    cr_assert_str_eq(key_of(&four, sizeof four - 1), "none");
    cr_assert_str_eq(key_of(&six, offsetof(struct sockaddr_in6, sin6_scope_id) - 1), "none");
    cr_assert_str_eq(key_of(&six, offsetof(struct sockaddr_in6, sin6_scope_id)), "localhost:5432");
}

Test(server, that_pools_is_known_by_its_port)
{
    cr_assert(pqb_server_is_loopback("localhost:5432"));
    cr_assert(pqb_server_is_loopback("db:5432,127.0.0.2:5432"));
    cr_assert_not(pqb_server_is_loopback("db:5432,/srv/localhost:5432"));
    cr_assert(pqb_server_is_pooler("localhost:6432"));
    cr_assert(pqb_server_is_pooler("[2001:db8::1]:6543"));
    cr_assert(pqb_server_is_pooler("a:6432,b:6543"));
    cr_assert(!pqb_server_is_pooler("a:6432,b:5432"));
    cr_assert(!pqb_server_is_pooler("a:5432,b:6432"));
    cr_assert(!pqb_server_is_pooler("a:16432"));
    cr_assert(!pqb_server_is_pooler("localhost:5432"));
    cr_assert(!pqb_server_is_pooler("6432"));
    cr_assert(!pqb_server_is_pooler(""));
    cr_assert(!pqb_server_is_pooler("a:6432,"));
}
