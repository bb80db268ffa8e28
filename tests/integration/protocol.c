/* preload/protocol.h against a server, over sockets of our own: what it rewrites is accepted and in
 * force, and what it reads is true. */
#include "ground.h"

#include "preload/protocol.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

GROUND(protocol);

/* A connection: the last answer of the server, and what was seen in it. */
struct wire {
    int fd;
    unsigned seen;
    struct pqb_scan scan;
    struct pqb_scan_out scan_out;
    char answer[1 << 16];
    size_t length;
};

static void open_wire(struct wire *wire)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)atoi(ground_port())),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const struct timeval patience = {.tv_sec = 20};
    *wire = (struct wire){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    cr_assert_geq(wire->fd, 0);
    cr_assert_eq(setsockopt(wire->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
    cr_assert_eq(connect(wire->fd, (struct sockaddr *)&address, sizeof address), 0);
}

static void say(struct wire *wire, const char *bytes, size_t length)
{
    cr_assert_eq(send(wire->fd, bytes, length, MSG_NOSIGNAL), (ssize_t)length);
}

/* Reads, a few bytes at a time, until one of these is seen, or the server closes. */
static void hear_until(struct wire *wire, unsigned flags)
{
    wire->length = 0;
    wire->seen = 0;
    while (!(wire->seen & (flags | PQB_SEEN_LOST))) {
        char *at = wire->answer + wire->length;
        size_t room = sizeof wire->answer - wire->length, piece = 1 + (size_t)random() % 50;
        ssize_t got = recv(wire->fd, at, piece < room ? piece : room, 0);
        cr_assert_geq(got, 0);
        if (!got)
            return;
        wire->seen |= pqb_protocol_scan(&wire->scan, at, (size_t)got);
        wire->length += (size_t)got;
    }
}

/* Parameters are written `name|value|name|value`. */
static size_t message_of(char *to, const char *parameters)
{
    size_t length = 8;
    for (const char *at = parameters; *at; at++)
        to[length++] = (char)(*at == '|' ? '\0' : *at);
    to[length++] = '\0';
    to[length++] = '\0';
    memcpy(to, "\0\0\0\0\0\3\0\0", 8);
    to[2] = (char)(length >> 8);
    to[3] = (char)length;
    return length;
}

/* Until the server is ready or refuses. */
static void start(struct wire *wire, const char *parameters, const struct pqb_change *changes,
                  unsigned count)
{
    char message[1024], changed[2048];
    size_t length = message_of(message, parameters);
    size_t new_length =
        pqb_protocol_rewrite(message, length, changes, count, changed, sizeof changed);
    cr_assert_gt(new_length, 0, "%s", parameters);
    open_wire(wire);
    say(wire, changed, new_length);
    hear_until(wire, PQB_SEEN_READY | PQB_SEEN_STARTUP_ERROR);
}

/* The first value that a query gives; "" if it gives none. */
static const char *ask(struct wire *wire, const char *query)
{
    static char value[1024];
    char message[1024];
    size_t length = strlen(query) + 1;
    message[0] = 'Q';
    for (unsigned i = 0; i < 4; i++)
        message[1 + i] = (char)((length + 4) >> (24 - 8 * i));
    memcpy(message + 5, query, length);
    say(wire, message, length + 5);
    cr_assert_eq(pqb_protocol_scan_out(&wire->scan_out, message, length + 5), 0);
    cr_assert(pqb_protocol_scan_out_is_between(&wire->scan_out));
    hear_until(wire, PQB_SEEN_READY);
    cr_assert(wire->seen & PQB_SEEN_READY, "%s", query);
    *value = '\0';
    for (const unsigned char *at = (unsigned char *)wire->answer, *end = at + wire->length;
         at < end;) {
        uint32_t size =
            (uint32_t)at[1] << 24 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 8 | at[4];
        if (*at == 'D')
            snprintf(value, sizeof value, "%.*s", (int)(at[9] << 8 | at[10]), (char *)at + 11);
        at += 1 + size;
    }
    return value;
}

static void close_wire(struct wire *wire)
{
    static const char terminate[] = {'X', 0, 0, 0, 4};
    say(wire, terminate, sizeof terminate);
    cr_expect_eq(pqb_protocol_scan_out(&wire->scan_out, terminate, sizeof terminate),
                 PQB_WROTE_TERMINATE);
    hear_until(wire, 0);
    cr_expect_eq(wire->length, 0);
    close(wire->fd);
}

#define FILL(name, value)                                                                          \
    {                                                                                              \
        name, value, PQB_CHANGE_FILL                                                               \
    }
#define FORCE(name, value)                                                                         \
    {                                                                                              \
        name, value, PQB_CHANGE_FORCE                                                              \
    }
#define BEFORE(value)                                                                              \
    {                                                                                              \
        NULL, value, PQB_CHANGE_OPTIONS_BEFORE                                                     \
    }
#define AFTER(value)                                                                               \
    {                                                                                              \
        NULL, value, PQB_CHANGE_OPTIONS_AFTER                                                      \
    }
#define USER "user|postgres|database|postgres"

/* A setting, and what it is in the end. */
static const struct {
    const char *parameters, *setting, *value;
    struct pqb_change changes[3];
} rows[] = {
    {USER, "application_name", "web", {FILL("application_name", "web")}},
    {USER "|application_name|own", "application_name", "own", {FILL("application_name", "web")}},
    {USER "|Application_Name|own", "application_name", "own", {FILL("application_name", "web")}},
    {USER "|application_name|own", "application_name", "web", {FORCE("application_name", "web")}},
    {USER "|Application_Name|own", "application_name", "web", {FORCE("application_name", "web")}},
    /* Every spelling of a setting in options, and some that are none. */
    {USER "|options|-c application_name=own",
     "application_name",
     "own",
     {FILL("application_name", "web")}},
    {USER "|options|-capplication_name=own",
     "application_name",
     "own",
     {FILL("application_name", "web")}},
    {USER "|options|--application-name=own",
     "application_name",
     "own",
     {FILL("application_name", "web")}},
    {USER "|options|-c Application-Name=own",
     "application_name",
     "own",
     {FILL("application_name", "web")}},
    {USER "|options|-ec application_name=own",
     "application_name",
     "own",
     {FILL("application_name", "web")}},
    {USER "|options|-S 100 -c application\\_name=o\\ wn",
     "application_name",
     "o wn",
     {FILL("application_name", "web")}},
    {USER "|options|-c search_path=\\ -capplication_name=own",
     "application_name",
     "web",
     {FILL("application_name", "web")}},
    {USER "|options|-c search_path=-capplication_name=own",
     "application_name",
     "web",
     {FILL("application_name", "web")}},
    /* The program's win over the defaults, and what is forced over both. */
    {USER, "statement_timeout", "30s", {BEFORE("-c statement_timeout=30s")}},
    {USER "|options|-c statement_timeout=1h",
     "statement_timeout",
     "1h",
     {BEFORE("-c statement_timeout=30s")}},
    {USER "|statement_timeout|1h", "statement_timeout", "1h", {BEFORE("-c statement_timeout=30s")}},
    {USER "|options|-c statement_timeout=1h",
     "statement_timeout",
     "30s",
     {AFTER("-c statement_timeout=30s")}},
    {USER "|statement_timeout|1h", "statement_timeout", "30s", {AFTER("-c statement_timeout=30s")}},
    {USER "|Statement_Timeout|1h", "statement_timeout", "30s", {AFTER("--statement-timeout=30s")}},
    {USER "|options|-c lock_timeout=1s",
     "lock_timeout",
     "1s",
     {BEFORE("-c statement_timeout=30s"), AFTER("-c work_mem=1MB")}},
    {USER "|options|-c lock_timeout=1s",
     "work_mem",
     "1MB",
     {BEFORE("-c statement_timeout=30s"), AFTER("-c work_mem=1MB")}},
    /* Blanks and backslashes. */
    {USER "|search_path|x", "search_path", "a, \"b c\"", {AFTER("-c search_path=a,\\ \"b\\ c\"")}},
    {USER, "search_path", "a\\b", {BEFORE("-c search_path=a\\\\b")}},
    {USER "|options|-c search_path=a\\", "search_path", "a", {AFTER("-c search_path=b")}},
    {USER "|options|-c search_path=a\\\\", "search_path", "b", {AFTER("-c search_path=b")}},
    {USER, "search_path", "b", {BEFORE("-c search_path=a\\"), AFTER("-c search_path=b")}},
    {USER "|_pq_.unknown|1", "application_name", "web", {FILL("application_name", "web")}},
};

Test(protocol, rewrites_what_the_server_accepts)
{
    srandom(7);
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        static struct wire wire;
        unsigned count = 0;
        while (count < 3 && rows[i].changes[count].value)
            count++;
        start(&wire, rows[i].parameters, rows[i].changes, count);
        cr_assert(wire.seen & PQB_SEEN_READY, "row %u: %s", i, wire.scan.sqlstate);
        const char *value = ask(&wire, ground_text("SHOW %s", rows[i].setting));
        cr_expect_str_eq(value, rows[i].value, "row %u: %s", i, value);
        close_wire(&wire);
    }
}

Test(protocol, reads_what_the_server_says)
{
    static struct wire wire;
    srandom(8);
    start(&wire, USER "|application_name|first", NULL, 0);
    cr_assert_eq(wire.seen,
                 PQB_SEEN_AUTHENTICATED | PQB_SEEN_BACKEND | PQB_SEEN_NAME | PQB_SEEN_READY);
    cr_expect_str_eq(wire.scan.application_name, "first");
    cr_expect_eq(wire.scan.ready, 'I');
    cr_expect_eq(wire.scan.backend_pid, atoi(ask(&wire, "SELECT pg_backend_pid()")));
    cr_expect(pqb_protocol_scan_is_ready(&wire.scan));

    ask(&wire, "SET application_name = second");
    cr_expect_str_eq(wire.scan.application_name, "second");
    cr_expect(wire.seen & PQB_SEEN_NAME);
    ask(&wire, "BEGIN");
    cr_expect_eq(wire.scan.ready, 'T');
    cr_expect(pqb_protocol_scan_is_ready(&wire.scan));
    ask(&wire, "SELECT nothing");
    cr_expect_eq(wire.scan.ready, 'E');
    cr_expect_eq(wire.seen, PQB_SEEN_READY);
    ask(&wire, "ROLLBACK");
    cr_expect(pqb_protocol_scan_is_ready(&wire.scan));
    cr_expect_str_eq(ask(&wire, "SELECT length(repeat('x', 20000)), repeat('x', 20000)"), "20000");
    cr_expect_str_eq(ask(&wire, "DO $$ BEGIN RAISE NOTICE 'hello'; END $$"), "");
    cr_expect(pqb_protocol_scan_is_ready(&wire.scan));
    close_wire(&wire);
}

Test(protocol, reads_the_servers_refusal)
{
    static struct wire wire;
    start(&wire, "user|postgres|database|nowhere", NULL, 0);
    cr_expect_eq(wire.seen, PQB_SEEN_AUTHENTICATED | PQB_SEEN_STARTUP_ERROR);
    cr_expect_str_eq(wire.scan.sqlstate, "3D000");
    close(wire.fd);
}

Test(protocol, reads_the_answers_to_requests)
{
    static const char for_tls[] = {0, 0, 0, 8, 4, (char)210, 22, 47};
    static const char for_gss[] = {0, 0, 0, 8, 4, (char)210, 22, 48};
    static struct wire wire;
    char message[64];
    open_wire(&wire);
    say(&wire, for_tls, sizeof for_tls);
    wire.scan.ask = 1;
    hear_until(&wire, PQB_SEEN_NO | PQB_SEEN_TLS);
    cr_expect_eq(wire.seen, PQB_SEEN_NO);
    cr_expect_eq(wire.length, 1);
    say(&wire, message, message_of(message, USER));
    hear_until(&wire, PQB_SEEN_READY);
    cr_expect(pqb_protocol_scan_is_ready(&wire.scan));
    close_wire(&wire);

    /* A server that was built with it says yes over TCP, with or without a keytab. */
    open_wire(&wire);
    say(&wire, for_gss, sizeof for_gss);
    wire.scan.ask = 1;
    hear_until(&wire, PQB_SEEN_NO | PQB_SEEN_GSS);
    cr_expect(wire.seen == PQB_SEEN_GSS || wire.seen == PQB_SEEN_NO);
    cr_expect_eq(wire.scan.is_over, wire.seen == PQB_SEEN_GSS);
    close(wire.fd);
}

/* A walsender, and nothing else, understands this command. */
Test(protocol, knows_replication_as_the_server_does)
{
    static const char *const values[] = {"database", "true", "T",   "tru", "yes", "on",  "1",
                                         "false",    "f",    "off", "of",  "no",  "0",   "",
                                         "Database", "2",    "o",   "yep", "01",  "onn", " on"};
    static struct wire wire;
    for (unsigned i = 0; i < sizeof values / sizeof *values; i++) {
        char message[256];
        const char *parameters = ground_text(USER "|replication|%s", values[i]);
        struct pqb_startup startup;
        cr_assert(pqb_protocol_startup(message, message_of(message, parameters), &startup));
        start(&wire, parameters, NULL, 0);
        int is_walsender = wire.seen & PQB_SEEN_READY && *ask(&wire, "IDENTIFY_SYSTEM");
        cr_expect_eq(startup.is_replication, is_walsender, "\"%s\": %d", values[i], is_walsender);
        close(wire.fd);
    }
}
