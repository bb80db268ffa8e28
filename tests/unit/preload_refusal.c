/* preload/refusal.c: the words of a refusal, for each thing that can be in the way. */
#include "ledger/admission.h"
#include "ledger/os.h"
#include "ledger/process.h"
#include "ledger/steer.h"
#include "preload/refusal.h"
#include "support/support.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct pqb_ledger ledger;
static struct pqb_region *region;
static struct pqb_refusal refusal;

static void open_ledger(void)
{
    support_ledger_open(&ledger);
    region = atomic_load(&ledger.region);
}

static void end_ledger(void)
{
    support_ledger_end(&ledger);
}

TestSuite(preload_refusal, .init = open_ledger, .fini = end_ledger, .timeout = 60);

#define SERVER "localhost:5432"

static void hold(const char *app, const struct pqb_server_config *config, unsigned count)
{
    struct pqb_claim claim;
    struct pqb_claim_request request = {.server = SERVER, .app = app, .defaults = config};
    for (unsigned i = 0; i < count; i++)
        cr_assert_eq(pqb_wait_submit(&ledger, &request, &claim, NULL), PQB_OK);
}

/* The detail for a server, with the seconds taken out: they are what they are. */
/* Who speaks, at the beginning of every detail. */
#define SAYER "pqbudget: "

static const char *detail_for(struct pqb_refusal_case about)
{
    static char detail[sizeof refusal.detail];
    memset(&refusal, 'x', sizeof refusal);
    pqb_refusal_for(&refusal, region, &about);
    cr_assert(!strncmp(refusal.detail, SAYER, strlen(SAYER)));
    const char *text = refusal.detail + strlen(SAYER);
    char *seconds = strstr(refusal.detail, "; waited ");
    if (!seconds)
        return text;
    seconds += strlen("; waited ");
    size_t length = strspn(seconds, "0123456789.");
    cr_assert_gt(length, 2);
    snprintf(detail, sizeof detail, "%.*sT%s", (int)(seconds - text), text, seconds + length);
    return detail;
}

static struct pqb_refusal_case about(unsigned obstacle)
{
    return (struct pqb_refusal_case){
        .server = SERVER, .app = "web", .cap = 3, .obstacle = obstacle, .asked_at = pqb_now()};
}

#define SEE_STATUS "Run \"pqbudget status\" to see who holds them."

Test(preload_refusal, no_room)
{
    static const struct pqb_server_config five = {.limit = 5};
    hold("web", &five, 3);
    hold("bot", &five, 2);
    cr_assert_str_eq(detail_for(about(PQB_OBSTACLE_ROOM)),
                     "5 of 5 connections to " SERVER " are in use (web 3, bot 2); waited T s.");
    cr_assert_str_eq(refusal.hint, SEE_STATUS);
    cr_assert_str_eq(detail_for(about(PQB_OBSTACLE_SKIPPED)),
                     "5 of 5 connections to " SERVER " are in use (web 3, bot 2); waited T s.");
    cr_assert_str_eq(detail_for(about(PQB_OBSTACLE_NONE)),
                     "5 of 5 connections to " SERVER " are in use (web 3, bot 2); waited T s.");
}

Test(preload_refusal, names_are_fit_for_a_terminal)
{
    static const struct pqb_server_config one = {.limit = 1};
    char name[64]; /* its last but one: a mark that turns the direction of what follows */
    snprintf(name, sizeof name,
             "\033[2J\n\x7f\xc2\x9b"
             "31m%c%c%c \\e%%s",
             0xe2, 0x80, 0xae);
    hold(name, &one, 1);
    cr_assert_str_eq(detail_for(about(PQB_OBSTACLE_ROOM)),
                     "1 of 1 connections to " SERVER
                     " are in use (?[2J????31m??? \\e%s 1); waited T s.");
}

Test(preload_refusal, others_were_first)
{
    static const struct pqb_server_config one = {.limit = 1};
    struct pqb_refusal_case mine = about(PQB_OBSTACLE_ROOM);
    hold("web", &one, 2);
    mine.asked_at = pqb_now();
    cr_assert_str_eq(detail_for(mine), "1 of 1 connections to " SERVER
                                       " are in use (web 1); waited T s behind 1 other.");
    hold("web", &one, 1);
    mine.asked_at = pqb_now();
    cr_assert_str_eq(detail_for(mine), "1 of 1 connections to " SERVER
                                       " are in use (web 1); waited T s behind 2 others.");
}

Test(preload_refusal, room_for_others_only)
{
    static const struct pqb_server_config five = {.limit = 5, .reserve = 2};
    hold("web", &five, 4);
    cr_assert_str_eq(detail_for(about(PQB_OBSTACLE_ROOM)),
                     "3 of 5 connections to " SERVER
                     " are in use (web 3), 2 are reserved for others; waited T s behind 1 other.");
}

Test(preload_refusal, room_for_one_other)
{
    static const struct pqb_server_config two = {.limit = 2, .reserve = 1};
    hold("web", &two, 1);
    cr_assert_str_eq(detail_for(about(PQB_OBSTACLE_ROOM)),
                     "1 of 2 connections to " SERVER
                     " are in use (web 1), 1 is reserved for others; waited T s.");
}

Test(preload_refusal, many_applications)
{
    static const struct pqb_server_config many = {.limit = 100};
    char app[8];
    for (unsigned i = 0; i < 11; i++) {
        snprintf(app, sizeof app, "app%u", i);
        hold(app, &many, 20 - i);
    }
    cr_assert_str_eq(detail_for(about(PQB_OBSTACLE_ROOM)),
                     "100 of 100 connections to " SERVER
                     " are in use (app0 20, app1 19, app2 18, app3 17, app4 16, app5 10); "
                     "waited T s behind 65 others.");
}

Test(preload_refusal, more_applications_than_are_named)
{
    static const struct pqb_server_config many = {.limit = 55};
    char app[8];
    for (unsigned i = 0; i < 10; i++) {
        snprintf(app, sizeof app, "app%u", i);
        hold(app, &many, 10 - i);
    }
    cr_assert_str_eq(detail_for(about(PQB_OBSTACLE_ROOM)),
                     "55 of 55 connections to " SERVER
                     " are in use (app0 10, app1 9, app2 8, app3 7, app4 6, app5 5, app6 4, "
                     "app7 3, 2 others 3); waited T s.");
}

Test(preload_refusal, a_pause)
{
    hold("web", NULL, 1);
    cr_assert_str_eq(detail_for(about(PQB_OBSTACLE_PAUSED)),
                     "new connections to " SERVER " are paused; waited T s.");
    cr_assert_str_eq(refusal.hint, "Run \"pqbudget resume\" to let them go on.");
}

Test(preload_refusal, the_cap_of_the_process)
{
    hold("web", NULL, 3);
    cr_assert_str_eq(detail_for(about(PQB_OBSTACLE_PROCESS_CAP)),
                     "this process may have 3 connections to " SERVER "; waited T s.");
    cr_assert_str_eq(
        refusal.hint,
        "Its cap is the connection_limit of its connection string, or PQBUDGET_PER_PROCESS.");
    struct pqb_refusal_case one = about(PQB_OBSTACLE_PROCESS_CAP);
    one.cap = 1;
    cr_assert_str_eq(detail_for(one),
                     "this process may have 1 connection to " SERVER "; waited T s.");
}

/* Who asks holds them himself. */
static struct pqb_refusal_case own_about(unsigned obstacle)
{
    struct pqb_process self;
    struct pqb_refusal_case own = about(obstacle);
    cr_assert_eq(pqb_process_self(&self), PQB_OK);
    own.process = self.id;
    return own;
}

Test(preload_refusal, own_connections)
{
    static const struct pqb_server_config five = {.limit = 5};
    hold("web", &five, 3);
    cr_assert_str_eq(detail_for(own_about(PQB_OBSTACLE_PROCESS_CAP)),
                     "this process may have 3 connections to " SERVER
                     ", all 3 are held by this process; waited T s.");
    hold("bot", &five, 2);
    cr_assert_str_eq(detail_for(own_about(PQB_OBSTACLE_ROOM)),
                     "5 of 5 connections to " SERVER " are in use (web 3, bot 2), all 5 are held "
                     "by this process; waited T s.");
    cr_assert_str_eq(refusal.hint, SEE_STATUS);
    struct pqb_refusal_case other = own_about(PQB_OBSTACLE_ROOM);
    other.process++;
    cr_assert_str_eq(detail_for(other),
                     "5 of 5 connections to " SERVER " are in use (web 3, bot 2); waited T s.");
}

Test(preload_refusal, the_only_connection_is_its_own)
{
    static const struct pqb_server_config one = {.limit = 1};
    hold("web", &one, 1);
    cr_assert_str_eq(detail_for(own_about(PQB_OBSTACLE_ROOM)),
                     "1 of 1 connections to " SERVER
                     " are in use (web 1), it is held by this process; waited T s.");
}

/* All are open, and the clocks of their claims set back: nobody waits here for seconds to pass. */
static void all_open_since(unsigned seconds)
{
    for (unsigned i = 0; i < PQB_CLAIMS; i++) {
        struct pqb_claim_row *row = &region->map->claim[i];
        uint64_t ctl = atomic_load(&row->ctl);
        if (pqb_ctl_state(ctl) != PQB_CLAIM_GRANTED)
            continue;
        atomic_store(&row->ctl, pqb_ctl_next(ctl, PQB_CLAIM_OPEN));
        atomic_store(&row->changed_at, pqb_now() - seconds-- * PQB_SECOND - PQB_MS);
    }
}

Test(preload_refusal, own_connections_of_which_only_the_age_is_known)
{
    static const struct pqb_server_config two = {.limit = 2};
    hold("web", &two, 2);
    all_open_since(42);
    cr_assert_str_eq(detail_for(own_about(PQB_OBSTACLE_ROOM)),
                     "2 of 2 connections to " SERVER " are in use (web 2), all 2 are held by this "
                     "process, the oldest open for 42 s; waited T s.");
    cr_assert_str_eq(refusal.hint, SEE_STATUS);
}

Test(preload_refusal, the_limit_of_the_application)
{
    hold("web", NULL, 2);
    cr_assert_str_eq(detail_for(about(PQB_OBSTACLE_APP_LIMIT)),
                     "the application \"web\" holds all the connections to " SERVER
                     " that it may have (web 2); waited T s.");
    cr_assert_str_eq(refusal.hint, SEE_STATUS);
}

Test(preload_refusal, the_damper)
{
    cr_assert_str_eq(detail_for(about(PQB_OBSTACLE_LOGINS)),
                     "as many connections to " SERVER
                     " are logging in as may at a time; waited T s.");
}

/* The longest of everything still ends, and within its room. */
Test(preload_refusal, long_names)
{
    static const struct pqb_server_config many = {.limit = 9};
    char server[PQB_KEY_BYTES], app[64];
    memset(server, 's', sizeof server - 1);
    server[sizeof server - 1] = 0;
    for (unsigned i = 0; i < 9; i++) {
        struct pqb_claim claim;
        struct pqb_claim_request request = {.server = server, .app = app, .defaults = &many};
        memset(app, 'a' + (int)i, sizeof app - 1);
        app[sizeof app - 1] = 0;
        cr_assert_eq(pqb_wait_submit(&ledger, &request, &claim, NULL), PQB_OK);
    }
    struct pqb_refusal_case mine = about(PQB_OBSTACLE_ROOM);
    mine.server = server;
    const char *detail = detail_for(mine);
    cr_assert_not_null(strstr(detail, ", 1 other 1); waited T s."));
    cr_assert_lt(strlen(detail), sizeof refusal.detail - 1);
}

Test(preload_refusal, without_a_ledger)
{
    pqb_refusal_for_failure(&refusal, "/dev/shm/x: damaged");
    cr_assert_str_eq(refusal.detail, SAYER "the budget cannot be used: /dev/shm/x: damaged.");
    cr_assert_str_eq(refusal.hint, "PQBUDGET_FAIL=open would connect all the same, uncounted.");
}

static void expect_message(const char *host, const char *port, const char *beginning)
{
    char wanted[512];
    char *message = pqb_refusal_message(&refusal, host, port);
    snprintf(wanted, sizeof wanted,
             "%s failed: FATAL:  sorry, too many clients already\n"
             "DETAIL:  pqbudget: why.\nHINT:  What to do.\n",
             beginning);
    cr_assert_str_eq(message, wanted);
    free(message);
}

Test(preload_refusal, message)
{
    refusal = (struct pqb_refusal){.detail = SAYER "why.", .hint = "What to do."};
    expect_message("db", "5433", "connection to server at \"db\", port 5433");
    expect_message("10.1.2.3", "1", "connection to server at \"10.1.2.3\", port 1");
    expect_message(NULL, NULL, "connection to server at \"localhost\", port 5432");
    expect_message("", "", "connection to server at \"localhost\", port 5432");
    expect_message("/tmp", "5433", "connection to server on socket \"/tmp/.s.PGSQL.5433\"");
    expect_message("@name", NULL, "connection to server on socket \"@name/.s.PGSQL.5432\"");
}
