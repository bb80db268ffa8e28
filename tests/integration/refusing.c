/* A full server: the words of a refusal, and waiting instead. */
#include "ground.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

GROUND(refusing);

#define NOW "PQBUDGET_WAIT=0"

/* The line with the seconds after "waited" replaced by "T", which no test can know; returns them.
 */
static double timeless(char *line)
{
    char *at = strstr(line, "; waited "), *end = NULL;
    if (!at)
        return -1;
    at += strlen("; waited ");
    double seconds = strtod(at, &end);
    cr_assert(end > at + 2 && end[-2] == '.', "%s", line);
    *at = 'T';
    memmove(at + 1, end, strlen(end) + 1);
    return seconds;
}

static double hear_refusal(struct guest *guest, const char *prefix, const char *detail,
                           const char *hint)
{
    char line[2048];
    snprintf(line, sizeof line, "%s", guest_line(guest));
    double waited = timeless(line);
    cr_assert_str_eq(line, ground_text("bad %sFATAL:  sorry, too many clients already|"
                                       "DETAIL:  pqbudget: %s|HINT:  %s",
                                       prefix, detail, hint));
    return waited;
}

#define WHO "Run \"pqbudget status\" to see who holds them."

static const char *full(unsigned used, const char *who)
{
    return ground_text("%u of %u connections to %s are in use (%s); waited T s.", used, used,
                       ground_key(), who);
}

/* The steps are refused with libpq's own words for `prefix`; nothing is counted of it. */
static void refuses(const char *const *steps, const char *prefix)
{
    const char *words[64];
    unsigned count = 0;
    ground_hold(NULL, 3, 1, "bot");
    ground_hold(NULL, 3, 2, "web");
    for (; steps[count]; count++)
        words[count] = steps[count];
    memcpy(words + count, WORDS("pause", "message", "finish"), 4 * sizeof *words);
    struct guest *guest = guest_start(WORDS(NOW), "helpers/doors", words);
    hear_refusal(guest, prefix, full(3, "web 2, bot 1"), WHO);
    hear(guest, "ready");
    cr_assert_eq(ground_claims(), 3);
    cr_assert_eq(ground_look()->server[0].refused_total, 1);
    guest_go(guest);
    hear_start(guest, prefix);
    content(guest);
}

#define REFUSES(name, prefix, ...)                                                                 \
    Test(refusing, name)                                                                           \
    {                                                                                              \
        refuses(WORDS(__VA_ARGS__), prefix);                                                       \
    }

#define TCP ground_tcp_prefix()
REFUSES(connectdb, TCP, "connectdb", "host=127.0.0.1")
REFUSES(connectdb_with_a_uri, TCP, "connectdb",
        ground_text("postgres://127.0.0.1:%s", ground_port()))
REFUSES(params, TCP, "params", "0", "host=127.0.0.1", ".")
REFUSES(params_expanded, TCP, "params", "1", "dbname=host=127.0.0.1", ".")
REFUSES(setdb, TCP, "setdb", "127.0.0.1", ground_port(), "-", "-", "-", "-")
REFUSES(start, TCP, "start", "host=127.0.0.1", "poll")
REFUSES(start_params, TCP, "startparams", "0", "host=127.0.0.1", ".", "poll")
REFUSES(by_the_environment_s_host, TCP, "connectdb", "")
REFUSES(by_name,
        ground_text("connection to server at \"localhost\", port %s failed: ", ground_port()),
        "connectdb", "host=localhost")
REFUSES(tls_is_no_second_attempt, TCP, "connectdb", "host=127.0.0.1 sslmode=prefer")
REFUSES(tls_required, TCP, "connectdb", "host=127.0.0.1 sslmode=require")

Test(refusing, on_a_unix_socket)
{
    const char *key = ground_text("%s:%s", ground_folder(), ground_port());
    ground_hold(key, 1, 1, "web");
    struct guest *guest =
        guest_doors(WORDS(NOW), "connectdb", ground_text("host=%s", ground_folder()), "finish");
    hear_refusal(guest, ground_unix_prefix(),
                 ground_text("1 of 1 connections to %s are in use (web 1); waited T s.", key), WHO);
    content(guest);
}

/* A list of hosts is one server, and refused once. */
Test(refusing, a_list_of_hosts)
{
    const char *list = ground_text("localhost:%s,127.0.0.2:%s", ground_port(), ground_port());
    ground_hold(list, 1, 1, "web");
    struct guest *guest =
        guest_doors(WORDS(NOW), "connectdb", "host=127.0.0.1,127.0.0.2", "finish");
    char line[2048];
    snprintf(line, sizeof line, "%s", guest_line(guest));
    timeless(line);
    const char *detail = ground_text("DETAIL:  pqbudget: 1 of 1 connections to %s are in use (web "
                                     "1); waited T s.",
                                     list);
    cr_assert_not_null(strstr(line, detail), "%s", line);
    cr_assert_null(strstr(strstr(line, detail) + 1, "FATAL"), "%s", line);
    content(guest);
}

/* Nothing leaves for the server: here is one that would hear it. */
Test(refusing, no_packet_leaves)
{
    int port, listener = ground_listener(SOCK_NONBLOCK, &port);
    ground_hold(ground_text("localhost:%d", port), 1, 1, "web");
    const char *conninfo = ground_text("host=127.0.0.1 port=%d", port);
    struct guest *guest = guest_doors(WORDS(NOW), "connectdb", conninfo, "start", conninfo, "poll",
                                      "reset", "resetstart", "resetpoll", "setdb", "127.0.0.1",
                                      ground_text("%d", port), "-", "-", "-", "-");
    unsigned refusals = 0;
    for (const char *line; strcmp(line = guest_line(guest), "(silence)");)
        refusals += strstr(line, "sorry, too many clients already") != NULL;
    cr_assert_eq(refusals, 5);
    content(guest);
    cr_assert_lt(accept4(listener, NULL, NULL, SOCK_CLOEXEC), 0);
    close(listener);
}

Test(refusing, says_how_long_it_waited)
{
    ground_hold(NULL, 2, 2, "web");
    struct guest *guest =
        guest_doors(WORDS("PQBUDGET_WAIT=300ms"), "connectdb", "host=127.0.0.1", "finish");
    double waited = hear_refusal(guest, TCP, full(2, "web 2"), WHO);
    cr_assert_geq(waited, 0.3);
    cr_assert_eq(ground_look()->server[0].timeout_total, 1);
    content(guest);
}

static const char *behind(unsigned others)
{
    return ground_text("2 of 2 connections to %s are in use (web 2); waited T s behind %u other%s.",
                       ground_key(), others, others == 1 ? "" : "s");
}

Test(refusing, says_behind_how_many)
{
    ground_hold(NULL, 2, 2, "web");
    for (unsigned others = 1; others <= 2; others++) {
        guest_doors(WORDS("PQBUDGET_WAIT=inf"), "connectdb", "host=127.0.0.1");
        cr_assert(wait_until(ground_in(PQB_CLAIM_WAITING) == others));
        struct guest *guest =
            guest_doors(WORDS("PQBUDGET_WAIT=20ms"), "connectdb", "host=127.0.0.1", "finish");
        hear_refusal(guest, TCP, behind(others), WHO);
        content(guest);
    }
}

Test(refusing, names_the_cap_of_the_process)
{
    struct guest *guest = guest_doors(WORDS(NOW, "PQBUDGET_PER_PROCESS=2"), "connectdb", "",
                                      "connectdb", "", "connectdb", "", "pause");
    hear_start(guest, "ok ");
    hear_start(guest, "ok ");
    hear_refusal(guest, TCP,
                 ground_text("this process may have 2 connections to %s, all 2 are held by this "
                             "process; waited T s.",
                             ground_key()),
                 "Its cap is the connection_limit of its connection string, or "
                 "PQBUDGET_PER_PROCESS.");
    hear(guest, "ready");
    cr_assert_eq(ground_used(), 2);
    content(guest);
}

/* The reserve is for processes that hold nothing. */
Test(refusing, the_second_connection_may_not_have_the_reserve)
{
    struct guest *guest = guest_doors(WORDS(NOW, "PQBUDGET_LIMIT=2", "PQBUDGET_RESERVE=1"),
                                      "connectdb", "", "connectdb", "", "pause");
    hear_start(guest, "ok ");
    hear_refusal(guest, TCP,
                 ground_text("1 of 2 connections to %s are in use (doors 1), 1 is reserved for "
                             "others; waited T s.",
                             ground_key()),
                 WHO);
    hear(guest, "ready");
    struct guest *newcomer = guest_doors(WORDS(NOW), "connectdb", "");
    hear_start(newcomer, "ok ");
    content(newcomer);
    content(guest);
}

/* ---- refused, and then ---- */

Test(refusing, a_reset_asks_again)
{
    ground_hold(NULL, 1, 1, "web");
    struct guest *guest = guest_doors(WORDS(NOW), "connectdb", "host=127.0.0.1", "reset", "pause",
                                      "reset", "message", "pause", "finish", "pause");
    hear_refusal(guest, TCP, full(1, "web 1"), WHO);
    hear_refusal(guest, TCP, full(1, "web 1"), WHO);
    hear(guest, "ready");
    cr_assert_eq(ground_claims(), 1);
    ground_let_go();
    guest_go(guest);
    hear_start(guest, "ok postgres postgres doors ");
    hear(guest, "");
    hear(guest, "ready");
    cr_assert_eq(ground_claim()->state, PQB_CLAIM_OPEN);
    guest_go(guest);
    hear(guest, "ready");
    all_given_back();
    content(guest);
}

Test(refusing, a_reset_start_asks_again)
{
    ground_hold(NULL, 1, 1, "web");
    struct guest *guest =
        guest_doors(WORDS(NOW), "start", "host=127.0.0.1", "poll", "resetstart", "resetpoll",
                    "pause", "resetstart", "resetpoll", "pause", "finish");
    hear_refusal(guest, TCP, full(1, "web 1"), WHO);
    hear_start(guest, "started ");
    hear_refusal(guest, TCP, full(1, "web 1"), WHO);
    hear(guest, "ready");
    ground_let_go();
    guest_go(guest);
    hear(guest, "started 1");
    hear_start(guest, "ok postgres postgres doors ");
    hear(guest, "ready");
    cr_assert_eq(ground_claim()->state, PQB_CLAIM_OPEN);
    content(guest);
    all_given_back();
}

/* An open connection goes on while a second one is refused. */
Test(refusing, leaves_the_others_alone)
{
    struct guest *guest =
        guest_doors(WORDS("PQBUDGET_WAIT=500ms", "PQBUDGET_LIMIT=1"), "connectdb", "", "connectdb",
                    "", "finish", "query", "select 41 + 1", "finish", "connectdb", "");
    hear_start(guest, "ok ");
    hear_start(guest, "bad ");
    hear(guest, "42");
    hear_start(guest, "ok ");
    content(guest);
}

/* ---- waiting ---- */

static void waits(const char *const *steps)
{
    ground_hold(NULL, 1, 1, "web");
    struct guest *guest = guest_start(WORDS("PQBUDGET_WAIT=inf"), "helpers/doors", steps);
    cr_assert(wait_until(ground_in(PQB_CLAIM_WAITING) == 1));
    cr_assert_eq(ground_used(), 1);
    ground_let_go();
    hear_start(guest, "ok postgres postgres doors ");
    hear(guest, "ready");
    cr_assert_eq(ground_claim()->state, PQB_CLAIM_OPEN);
    cr_assert_gt(ground_claim()->wait_ns, 0);
    content(guest);
    all_given_back();
}

#define WAITS(name, ...)                                                                           \
    Test(refusing, name)                                                                           \
    {                                                                                              \
        waits(WORDS(__VA_ARGS__, "pause", "finish"));                                              \
    }

WAITS(waiting_connectdb_is_granted, "connectdb", "host=127.0.0.1")
WAITS(waiting_params_is_granted, "params", "0", "host=127.0.0.1", ".")
WAITS(waiting_setdb_is_granted, "setdb", "127.0.0.1", "-", "-", "-", "-", "-")

/* connect_timeout runs for the connecting, not for the queue: libpq's least is two seconds. */
Test(refusing, connect_timeout_does_not_run_while_it_waits)
{
    ground_hold(NULL, 1, 1, "web");
    struct guest *guest = guest_doors(WORDS("PQBUDGET_WAIT=inf"), "connectdb",
                                      "host=127.0.0.1 connect_timeout=2", "finish");
    uint64_t over = pqb_now() + 2200 * PQB_MS;
    cr_assert(wait_until(ground_in(PQB_CLAIM_WAITING) == 1));
    cr_assert(wait_until(pqb_now() > over));
    cr_assert_eq(ground_in(PQB_CLAIM_WAITING), 1);
    ground_let_go();
    hear_start(guest, "ok ");
    content(guest);
}
