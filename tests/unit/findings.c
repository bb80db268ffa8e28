/* findings.c: what is said of a server and a ledger. tests/scripts/tool_doctor.sh has the real
 * ones. */
#include "tool/findings.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

TestSuite(findings, .timeout = 60);

#define MOST 16

static struct pqb_backend backend[MOST];
static struct pqb_case one[MOST];
static struct pqb_snapshot_server server = {.key = "db:5432", .config = {.limit = 10}};
static struct pqb_checkup checkup = {
    .server = "db:5432",
    .has_sockets = 1,
    .activity = {.role = "me", .max_connections = 100, .reserved = 3, .backend = backend},
    .snapshot = {.servers = 1, .server = &server},
    .one = one,
};
static struct pqb_findings findings;

static void add(enum pqb_why why, const char *address)
{
    struct pqb_backend *its = &backend[checkup.cases];
    snprintf(its->client_text, sizeof its->client_text, "%s", address);
    snprintf(its->name, sizeof its->name, "name");
    its->pid = 100 + (int32_t)checkup.cases;
    one[checkup.cases] = (struct pqb_case){.backend = its, .uid = -1, .why = why};
    checkup.activity.backends = checkup.activity.total = ++checkup.cases;
}

static void find(void)
{
    struct pqb_census census = pqb_census_of(&checkup);
    pqb_findings_make(&checkup, &census, &findings);
}

static const struct pqb_finding *finding(const char *id)
{
    for (unsigned i = 0; i < findings.count; i++)
        if (!strcmp(findings.one[i].id, id))
            return &findings.one[i];
    return NULL;
}

/* The tests' own folder may have no library beside it. */
static unsigned others(void)
{
    return findings.count - (finding("not_installed") != NULL);
}

Test(findings, of_nothing_there_are_none)
{
    find();
    cr_assert_eq(others(), 0);
}

/* From elsewhere is no fault, as long as there is room for all. */
Test(findings, remote_ones_are_named_and_need_room)
{
    for (unsigned i = 0; i < 3; i++)
        add(PQB_WHY_REMOTE, "10.0.0.5");
    add(PQB_WHY_REMOTE, "10.0.0.6");
    add(PQB_WHY_REMOTE, "10.0.0.7");
    add(PQB_WHY_REMOTE, "10.0.0.8");
    find();
    cr_assert_eq(others(), 1);
    cr_assert_eq(finding("remote")->level, PQB_LEVEL_INFO);
    cr_assert_eq(finding("remote")->count, 6);
    cr_assert_not_null(strstr(finding("remote")->text,
                              "6 connections are not in the ledger: 10.0.0.5 x3, 10.0.0.6, "
                              "10.0.0.7 and 1 more: "));
    server.config.limit = 91;
    find();
    cr_assert_eq(others(), 1);
    server.config.limit = 92;
    find();
    cr_assert_eq(finding("crowded")->level, PQB_LEVEL_WARNING);
    cr_assert_str_eq(finding("crowded")->remedy, "pqbudget set --server db:5432 --limit 91");
}

/* Who never gives way is told that he could, where that would help. */
Test(findings, what_is_idle_could_give_way_to_who_waits)
{
    static struct pqb_snapshot_claim held = {.state = PQB_CLAIM_OPEN};
    static struct pqb_snapshot_claim waiting = {.state = PQB_CLAIM_WAITING};
    static const char *const word = "-y 30s";
    add(PQB_WHY_NONE, "");
    one[0].claim = &held;
    snprintf(backend[0].state, sizeof backend[0].state, "idle");
    backend[0].state_ms = 400000;
    server.used = 6;
    find();
    cr_expect_null(strstr(finding("idle_long")->remedy, word));
    server.used = 7;
    find();
    cr_expect_not_null(strstr(finding("idle_long")->remedy, word));
    held.session = PQB_SESSION_IDLE; /* it does already */
    find();
    cr_expect_null(strstr(finding("idle_long")->remedy, word));

    static unsigned numbers[] = {0};
    static unsigned char is_lost[1];
    checkup.snapshot.claim = &waiting;
    checkup.snapshot.claims = 1;
    checkup.claim = numbers;
    checkup.is_lost = is_lost;
    checkup.alone = 1;
    server.used = 1;
    server.waiting = 1;
    find();
    cr_expect_null(strstr(finding("waiting")->remedy, word));
    held.session = PQB_SESSION_UNTOLD;
    find();
    cr_expect_not_null(strstr(finding("waiting")->remedy, word));
    cr_expect_not_null(strstr(finding("idle_long")->remedy, word));
}

/* What a pooler has is not what programs have of it. */
Test(findings, of_a_pooler_no_limit_is_judged)
{
    server.config.limit = 1000;
    checkup.activity.is_pooled = 1;
    find();
    cr_assert_not_null(finding("pooled"));
    cr_assert_eq(others(), 1);
}

Test(findings, states_and_names_of_connections)
{
    static const struct {
        const char *state;
        long long ms;
    } cases[] = {{"idle", 1000},
                 {"idle", 400000},
                 {"active", 400000},
                 {"idle in transaction", 59000},
                 {"idle in transaction", 61000},
                 {"idle in transaction (aborted)", 7200000}};
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        add(PQB_WHY_NONE, "");
        snprintf(backend[i].state, sizeof backend[i].state, "%s", cases[i].state);
        backend[i].state_ms = cases[i].ms;
    }
    *backend[1].name = 0;
    struct pqb_census census = pqb_census_of(&checkup);
    find();
    cr_expect_eq(census.idle, 2);
    cr_expect_eq(census.active, 1);
    cr_expect_eq(census.in_transaction, 3);
    cr_expect_eq(finding("idle_in_transaction")->count, 2);
    cr_expect_not_null(strstr(finding("idle_in_transaction")->text, "the longest for 2h"));
    cr_expect_eq(finding("idle_long")->count, 1);
    cr_expect_eq(finding("nameless")->count, 1);
}

Test(findings, the_worst_come_first)
{
    server.config.limit = 98;
    server.config.paused = 1;
    add(PQB_WHY_REMOTE, "10.0.0.5");
    add(PQB_WHY_UNSEEN, "10.0.0.5");
    find();
    cr_assert_eq(pqb_findings_level(&findings), PQB_LEVEL_CRITICAL);
    cr_assert_str_eq(findings.one[0].id, "limit_too_high");
    for (unsigned i = 1; i < findings.count; i++)
        cr_assert_geq(findings.one[i - 1].level, findings.one[i].level);
    cr_assert_str_eq(findings.one[findings.count - 1].id, "remote");
}

Test(findings, there_is_room_for_one_of_each)
{
    for (unsigned why = 1; why < PQB_WHYS; why++) {
        checkup.cases = 0;
        add((enum pqb_why)why, "10.0.0.5");
        find();
        cr_expect_eq(others(), pqb_why_words((enum pqb_why)why)->text != NULL, "%s: %u",
                     pqb_why_words((enum pqb_why)why)->id, others());
    }
    cr_expect_leq(PQB_WHYS + 24u, PQB_FINDINGS);
}
