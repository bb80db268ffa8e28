#include "ground.h"

#include <arpa/inet.h>
#include <libpq-fe.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static char name[64], path[PQB_REGION_PATH];
static struct pqb_snapshot snapshot;
static PGconn *conn;
static struct pqb_ledger held_in;
static struct pqb_claim held[64];
static unsigned helds;

void ground_begin(void)
{
    support_ledger_name(name);
    if (!getenv("PQB_POSTGRES_DIR") || pqb_region_path(name, path, NULL))
        cr_assert_fail("run me beside scripts/with-postgres");
}

void ground_end(void)
{
    struct pqb_ledger ledger;
    guest_kill_all();
    pqb_snapshot_free(&snapshot);
    PQfinish(conn);
    while (helds)
        ground_let_go();
    if (*held_in.path)
        pqb_ledger_close(&held_in);
    if (pqb_ledger_open(&ledger, name, 0, NULL))
        remove(path);
    else
        support_ledger_end(&ledger);
}

const char *ground_ledger_name(void)
{
    return name;
}

const char *ground_ledger_path(void)
{
    return path;
}

const char *ground_port(void)
{
    return getenv("PGPORT");
}

const char *ground_folder(void)
{
    return getenv("PQB_POSTGRES_DIR");
}

int ground_listener(int flags, int *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
    if (bind(listener, (struct sockaddr *)&address, length) || listen(listener, 100) ||
        getsockname(listener, (struct sockaddr *)&address, &length))
        cr_assert_fail("no port to be had");
    *port = ntohs(address.sin_port);
    return listener;
}

const char *ground_text(const char *format, ...)
{
    static char text[16][2048];
    static unsigned last;
    char *buffer = text[last++ % 16];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(buffer, sizeof text[0], format, arguments);
    va_end(arguments);
    return buffer;
}

const char *ground_built(const char *file)
{
    return ground_text("%s", support_built(file));
}

int ground_has_sanitizer(void)
{
    const char *sanitizer = getenv("PQB_TEST_SANITIZER");
    return sanitizer && *sanitizer;
}

const char *ground_leaks(void)
{
    const char *options = getenv("ASAN_OPTIONS");
    return ground_text("ASAN_OPTIONS=%s:detect_leaks=0", options ? options : "");
}

const char *ground_tcp_prefix(void)
{
    return ground_text("connection to server at \"127.0.0.1\", port %s failed: ", ground_port());
}

const char *ground_unix_prefix(void)
{
    return ground_text("connection to server on socket \"%s/.s.PGSQL.%s\" failed: ",
                       ground_folder(), ground_port());
}

const struct pqb_snapshot *ground_look(void)
{
    struct pqb_ledger ledger;
    struct pqb_region *region;
    pqb_snapshot_free(&snapshot);
    memset(&snapshot, 0, sizeof snapshot);
    if (pqb_ledger_open(&ledger, name, 0, NULL))
        return &snapshot;
    if (pqb_ledger_region(&ledger, &region, NULL))
        cr_assert_fail("the ledger went away");
    if (pqb_snapshot_take(region, &snapshot))
        cr_assert_fail("no snapshot");
    pqb_region_unpin(region);
    pqb_ledger_close(&ledger);
    return &snapshot;
}

unsigned ground_claims(void)
{
    return ground_look()->claims;
}

unsigned ground_in(enum pqb_claim_state state)
{
    const struct pqb_snapshot *now = ground_look();
    unsigned found = 0;
    for (unsigned i = 0; i < now->claims; i++)
        found += now->claim[i].state == state;
    return found;
}

unsigned ground_used(void)
{
    const struct pqb_snapshot *now = ground_look();
    unsigned used = 0;
    for (unsigned i = 0; i < now->servers; i++)
        used += now->server[i].used;
    return used;
}

const struct pqb_snapshot_claim *ground_claim(void)
{
    const struct pqb_snapshot *now = ground_look();
    if (now->claims != 1)
        cr_assert_fail("%u claims instead of one", now->claims);
    return now->claim;
}

int ground_has_ledger(void)
{
    struct stat status;
    return !lstat(path, &status);
}

const char *ground_ask(const char *query, ...)
{
    static char text[2048], answer[2048];
    va_list arguments;
    va_start(arguments, query);
    vsnprintf(text, sizeof text, query, arguments);
    va_end(arguments);
    if (!conn)
        conn = PQconnectdb("application_name=ground");
    PGresult *result = PQexec(conn, text);
    if (PQresultStatus(result) != PGRES_TUPLES_OK && PQresultStatus(result) != PGRES_COMMAND_OK)
        cr_assert_fail("%s: %s", text, PQerrorMessage(conn));
    snprintf(answer, sizeof answer, "%s", PQntuples(result) ? PQgetvalue(result, 0, 0) : "");
    PQclear(result);
    return answer;
}

const char *ground_key(void)
{
    return ground_text("localhost:%s", ground_port());
}

void ground_hold(const char *key, unsigned limit, unsigned count, const char *app)
{
    struct pqb_server_config config = {.limit = limit, .wait_ms = 8000};
    struct pqb_claim_request request = {
        .server = key ? key : ground_key(), .app = app, .defaults = &config};
    if (!*held_in.path && pqb_ledger_open(&held_in, name, 1, NULL))
        cr_assert_fail("no ledger");
    for (; count; count--)
        if (helds == sizeof held / sizeof *held ||
            support_hold(&held_in, &request, 0, &held[helds++]))
            cr_assert_fail("no slot to be had");
}

void ground_let_go(void)
{
    if (!helds)
        cr_assert_fail("nothing is held");
    pqb_claim_give(&held[--helds], PQB_END_CLOSED);
}
