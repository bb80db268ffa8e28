/* view_text.c, view_json.c: what is shown of the sessions that are followed.
 * tests/scripts/tool_status.sh has all the rest. */
#include "tool/view.h"

#include "ledger/os.h"
#include "tool/text.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

TestSuite(view, .timeout = 60);

static struct pqb_snapshot_server server = {.key = "db:5432", .config = {.limit = 10}};
static struct pqb_snapshot_app app = {.label = "web", .limit = PQB_UNLIMITED};
static struct pqb_snapshot_claim claim[2];
static const struct pqb_snapshot snapshot = {
    .path = "/dev/shm/x",
    .consistent = 1,
    .servers = 1,
    .apps = 1,
    .claims = 2,
    .server = &server,
    .app = &app,
    .claim = claim,
};

/* Two open connections, and what the session of the second does. */
static void follow(unsigned session, uint64_t idle_ns, uint64_t yield_ns)
{
    for (unsigned i = 0; i < 2; i++)
        claim[i] = (struct pqb_snapshot_claim){
            .state = PQB_CLAIM_OPEN, .pid = 4711, .command = "node server.js"};
    claim[1].session = session;
    claim[1].idle_ns = idle_ns;
    claim[1].yield_ns = yield_ns;
}

/* The caller frees it. */
static char *shown(int is_json, unsigned columns)
{
    const struct pqb_screen screen = {.columns = columns, .rows = 24};
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);
    cr_assert_not_null(out);
    if (is_json)
        pqb_view_json(&snapshot, PQB_VIEW_ALL, out);
    else
        pqb_view_text(&snapshot, PQB_VIEW_ALL, &screen, out);
    fclose(out);
    return text;
}

static int shows(int is_json, unsigned columns, const char *what)
{
    char *text = shown(is_json, columns);
    int is_there = strstr(text, what) != NULL;
    free(text);
    return is_there;
}

#define TEXT(what) shows(0, PQB_TEXT_ALL, what)
#define JSON(session, idle, yield)                                                                 \
    shows(1, 0, "\"session\":" session ",\"idle_s\":" idle ",\"yield_s\":" yield ",\"command\"")

Test(view, a_session_that_nobody_follows_is_not_shown)
{
    follow(PQB_SESSION_UNTOLD, 0, 0);
    cr_expect(JSON("null", "null", "null"));
    cr_expect(TEXT("WAIT  COMMAND\n"));
    cr_expect(TEXT("0.0s  0.0s  node server.js\n"));
}

/* Its state is a byte of the ledger: it may be anything. */
Test(view, nor_is_one_that_makes_no_sense)
{
    follow(255, PQB_SECOND, PQB_SECOND);
    cr_expect(JSON("null", "null", "null"));
    cr_expect(TEXT("WAIT  COMMAND\n"));
}

Test(view, one_that_may_give_way)
{
    follow(PQB_SESSION_IDLE, 31 * PQB_SECOND, 30 * PQB_SECOND);
    cr_expect(JSON("null", "null", "null"));
    cr_expect(JSON("\"idle\"", "31.0", "30.0"));
    cr_expect(TEXT("WAIT  SESSION   COMMAND\n"));
    cr_expect(TEXT("0.0s  0.0s            node server.js\n"));
    cr_expect(TEXT("0.0s  0.0s  idle 31s  node server.js\n"));
    follow(PQB_SESSION_ACTIVE, 5 * PQB_MS, 30 * PQB_SECOND);
    cr_expect(JSON("\"active\"", "null", "30.0"));
    cr_expect(TEXT("  active   node"));
    follow(PQB_SESSION_TRANSACTION, 3 * PQB_SECOND, 30 * PQB_SECOND);
    cr_expect(JSON("\"idle in transaction\"", "null", "30.0"));
    cr_expect(TEXT("  idle in transaction  node"));
}

Test(view, one_that_never_gives_way_has_no_time_after_which_it_does)
{
    follow(PQB_SESSION_IDLE, PQB_SECOND, 0);
    cr_expect(JSON("\"idle\"", "1.0", "null"));
    follow(PQB_SESSION_UNSEEN, PQB_SECOND, PQB_SECOND);
    cr_expect(JSON("\"encrypted or not understood\"", "null", "null"));
    follow(PQB_SESSION_PINNED + 1, 120 * PQB_SECOND, PQB_SECOND);
    cr_expect(JSON("\"LISTEN\"", "120.0", "null"));
    cr_expect(TEXT("  LISTEN 2m  node"));
}

/* Before it is cut, what is wider is. */
Test(view, no_line_is_wider_than_the_screen)
{
    for (unsigned session = 0; session < PQB_SESSION_PINNED + PQB_SESSION_PINS; session++)
        for (unsigned columns = 10; columns < 100; columns++) {
            follow(session, 90 * PQB_SECOND, PQB_SECOND);
            memset(claim[1].command, 'c', sizeof claim[1].command - 1);
            char *text = shown(0, columns);
            for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
                cr_assert_leq(pqb_text_width(line), columns, "%u columns: %s", columns, line);
            free(text);
        }
    follow(PQB_SESSION_IDLE, 31 * PQB_SECOND, PQB_SECOND);
    cr_expect(shows(0, 80, "  idle 31s  node"));
}
