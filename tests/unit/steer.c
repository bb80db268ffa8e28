/* steer.c: changing a ledger in use. Each change is made whole or not at all. */
#include "ledger/steer.h"
#include "ledger/journal.h"
#include "ledger/registry.h"
#include "ledger/snapshot.h"
#include "ledger/tick.h"
#include "support/support.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct pqb_ledger ledger;
static struct pqb_layout *map;
static struct pqb_error error;

static void open_ledger(void)
{
    support_ledger_open(&ledger);
    map = atomic_load(&ledger.region)->map;
    cr_assert_eq(pqb_tick(atomic_load(&ledger.region), 0, NULL), PQB_OK); /* the very first visit */
}

static void end_ledger(void)
{
    support_ledger_end(&ledger);
}

TestSuite(steer, .init = open_ledger, .fini = end_ledger, .timeout = 60);

#define KEY "localhost:5432"

static enum pqb_status apply(const struct pqb_steer *steer)
{
    memset(&error, 0, sizeof error);
    return pqb_steer_apply(atomic_load(&ledger.region), steer, &error);
}

static struct pqb_steer steer_of(const char *server)
{
    struct pqb_steer steer = pqb_steer_nothing;
    steer.server = server;
    steer.make = 1;
    return steer;
}

static unsigned make_server(const char *key, uint32_t limit)
{
    struct pqb_steer steer = steer_of(key);
    steer.limit = limit;
    cr_assert_eq(apply(&steer), PQB_OK, "%s", error.text);
    return pqb_registry_server(map, key, PQB_NIL);
}

/* The tables as they were, to see that a refused change left them so. */
static struct {
    struct pqb_server_row server[PQB_SERVERS];
    struct pqb_app_row app[PQB_APPS];
    struct pqb_alias_row alias[PQB_ALIASES];
} before;

static void remember(void)
{
    memcpy(before.server, map->server, sizeof before.server);
    memcpy(before.app, map->app, sizeof before.app);
    memcpy(before.alias, map->alias, sizeof before.alias);
}

static int nothing_changed(void)
{
    return !memcmp(before.server, map->server, sizeof before.server) &&
           !memcmp(before.app, map->app, sizeof before.app) &&
           !memcmp(before.alias, map->alias, sizeof before.alias);
}

#define assert_refused(steer, expected)                                                            \
    do {                                                                                           \
        remember();                                                                                \
        enum pqb_status status_ = apply(steer);                                                    \
        cr_assert_eq(status_, expected, "status %d: %s", (int)status_, error.text);                \
        cr_assert(*error.text && !strchr(error.text, '\n'));                                       \
        cr_assert(nothing_changed(), "something was changed");                                     \
    } while (0)

Test(steer, sets_every_value)
{
    struct pqb_steer steer = steer_of(KEY);
    steer.limit = 50;
    steer.reserve = 3;
    steer.wait_ms = 1234;
    steer.logins = 4;
    steer.drain_ms = 77;
    steer.slack = 2;
    steer.paused = 1;
    steer.apps = 1;
    steer.app[0] = (struct pqb_steer_app){"web", 20, 5};
    steer.aliases = 1;
    steer.alias[0] = "10.1.2.3:5432";
    cr_assert_eq(apply(&steer), PQB_OK, "%s", error.text);
    unsigned server = pqb_registry_server(map, KEY, PQB_NIL);
    const struct pqb_server_config *config = &map->server[server].config;
    cr_assert(config->limit == 50 && config->reserve == 3 && config->wait_ms == 1234 &&
              config->logins == 4 && config->drain_ms == 77 && config->slack == 2 &&
              config->paused == 1 && config->configured == 1);
    unsigned app = pqb_registry_app(map, server, "web", PQB_NIL);
    cr_assert(map->app[app].limit == 20 && map->app[app].min == 5);
    cr_assert_eq(map->server[server].unmet, 5);
    cr_assert_eq(pqb_registry_resolve(map, "10.1.2.3:5432", PQB_NIL, pqb_now()), server);
    remember();
    struct pqb_steer nothing = steer_of(KEY);
    cr_assert_eq(apply(&nothing), PQB_OK);
    cr_assert(nothing_changed());
}

Test(steer, refuses_values_out_of_range)
{
    make_server(KEY, 10);
    const struct {
        size_t field;
        long long value;
    } bad[] = {
        {offsetof(struct pqb_steer, limit), 0},
        {offsetof(struct pqb_steer, limit), -5},
        {offsetof(struct pqb_steer, limit), 1000001},
        {offsetof(struct pqb_steer, limit), 1ll << 40},
        {offsetof(struct pqb_steer, reserve), -2},
        {offsetof(struct pqb_steer, reserve), PQB_UNLIMITED},
        {offsetof(struct pqb_steer, wait_ms), -2},
        {offsetof(struct pqb_steer, wait_ms), 1ll << 32},
        {offsetof(struct pqb_steer, logins), 1000001},
        {offsetof(struct pqb_steer, drain_ms), 60001},
        {offsetof(struct pqb_steer, slack), -7},
        {offsetof(struct pqb_steer, paused), 2},
    };
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct pqb_steer steer = steer_of(KEY);
        *(long long *)((char *)&steer + bad[i].field) = bad[i].value;
        assert_refused(&steer, PQB_INVALID);
    }
}

Test(steer, refuses_names_that_make_no_sense)
{
    char key[PQB_KEY_BYTES + 1], label[PQB_LABEL_BYTES + 1], address[PQB_ADDRESS_BYTES + 1];
    memset(key, 'k', sizeof key);
    key[PQB_KEY_BYTES] = 0;
    memset(label, 'l', sizeof label);
    label[PQB_LABEL_BYTES] = 0;
    memset(address, 'a', sizeof address);
    address[PQB_ADDRESS_BYTES] = 0;
    make_server(KEY, 10);
    struct pqb_steer steer = steer_of(key);
    assert_refused(&steer, PQB_INVALID);
    steer = steer_of("");
    assert_refused(&steer, PQB_INVALID);
    const char *labels[] = {"", label};
    for (unsigned i = 0; i < 2; i++) {
        steer = steer_of(KEY);
        steer.apps = 1;
        steer.app[0] = (struct pqb_steer_app){labels[i], 5, 0};
        assert_refused(&steer, PQB_INVALID);
    }
    const char *addresses[] = {"", address};
    for (unsigned i = 0; i < 2; i++) {
        steer = steer_of(KEY);
        steer.aliases = 1;
        steer.alias[0] = addresses[i];
        assert_refused(&steer, PQB_INVALID);
    }
}

Test(steer, refuses_what_is_not_there)
{
    struct pqb_steer steer = steer_of(NULL);
    assert_refused(&steer, PQB_ABSENT); /* no server at all */
    make_server(KEY, 10);
    steer.limit = 9;
    cr_assert_eq(apply(&steer), PQB_OK); /* the only one */
    steer = steer_of("other:5432");
    steer.make = 0;
    assert_refused(&steer, PQB_ABSENT);
    steer = steer_of(KEY);
    steer.make = 0;
    steer.limit = 8;
    steer.apps = 1;
    steer.app[0] = (struct pqb_steer_app){"nobody", 5, 0};
    assert_refused(&steer, PQB_ABSENT);
    make_server("other:5432", 10);
    steer = steer_of(NULL);
    steer.limit = 7;
    assert_refused(&steer, PQB_ABSENT); /* which of the two? */
    cr_assert(strstr(error.text, "2 servers"));
}

Test(steer, refuses_values_that_do_not_go_together)
{
    make_server(KEY, 10);
    struct pqb_steer steer = steer_of(KEY);
    steer.reserve = 10;
    assert_refused(&steer, PQB_REFUSED);
    steer = steer_of(KEY);
    steer.apps = 2;
    steer.app[0] = (struct pqb_steer_app){"web", PQB_UNLIMITED, 5};
    steer.app[1] = (struct pqb_steer_app){"bot", PQB_UNLIMITED, 5}; /* general has 9 */
    assert_refused(&steer, PQB_REFUSED);
    steer.app[1].min = 4;
    cr_assert_eq(apply(&steer), PQB_OK);
    steer = steer_of(KEY);
    steer.limit = 9; /* reserve 0 then: general has 9 still */
    cr_assert_eq(apply(&steer), PQB_OK, "%s", error.text);
    steer.limit = 8;
    assert_refused(&steer, PQB_REFUSED);
    steer.apps = 1;
    steer.app[0] = (struct pqb_steer_app){"web", PQB_UNLIMITED, 4}; /* both at once */
    cr_assert_eq(apply(&steer), PQB_OK, "%s", error.text);
    steer.app[0] = (struct pqb_steer_app){"web", 3, 4};
    assert_refused(&steer, PQB_INVALID);
}

Test(steer, a_reserve_nobody_chose_follows_the_limit)
{
    unsigned server = make_server(KEY, 85);
    const struct pqb_server_config *config = &map->server[server].config;
    cr_assert_eq(config->reserve, 8);
    make_server(KEY, 40);
    cr_assert_eq(config->reserve, 4);
    make_server(KEY, 5);
    cr_assert_eq(config->reserve, 0);
    make_server(KEY, PQB_UNLIMITED);
    make_server(KEY, 30);
    cr_assert_eq(config->reserve, 3);
    struct pqb_steer steer = steer_of(KEY);
    steer.reserve = 7;
    cr_assert_eq(apply(&steer), PQB_OK);
    make_server(KEY, 100);
    cr_assert_eq(config->reserve, 7);
}

static void fill_applications(unsigned server, unsigned but)
{
    char label[32];
    for (unsigned i = 0; i < PQB_APPS - but; i++) {
        snprintf(label, sizeof label, "app%u", i);
        map->app[pqb_registry_app_make(map, server, label, PQB_NIL)].limit = 9;
    }
}

Test(steer, a_full_table_changes_nothing)
{
    unsigned server = make_server(KEY, 10);
    struct pqb_steer steer = steer_of(KEY);
    fill_applications(server, 1);
    steer.limit = 20;
    steer.apps = 2;
    steer.app[0] = (struct pqb_steer_app){"one", 5, 0};
    steer.app[1] = (struct pqb_steer_app){"two", 5, 0};
    assert_refused(&steer, PQB_FULL);
    steer = steer_of(KEY);
    steer.limit = 20;
    steer.aliases = 2;
    steer.alias[0] = "one:1";
    steer.alias[1] = "two:1";
    for (unsigned i = 0; i < PQB_ALIASES - 1; i++) {
        char address[32];
        snprintf(address, sizeof address, "10.0.0.%u:5432", i);
        cr_assert(pqb_registry_alias_make(map, address, server, 1, 0));
    }
    assert_refused(&steer, PQB_FULL);
    steer.aliases = 1;
    cr_assert_eq(apply(&steer), PQB_OK, "%s", error.text);
    for (unsigned i = 1; i < PQB_SERVERS; i++) {
        char key[32];
        snprintf(key, sizeof key, "server%u:5432", i);
        make_server(key, 5);
    }
    steer = steer_of("one more:5432");
    assert_refused(&steer, PQB_FULL);
}

Test(steer, a_new_server_is_not_its_own_alias)
{
    struct pqb_steer steer = steer_of(KEY);
    steer.aliases = 1;
    steer.alias[0] = KEY;
    assert_refused(&steer, PQB_REFUSED);
    make_server(KEY, 10);
    assert_refused(&steer, PQB_REFUSED);
}

static const struct pqb_server_config five = {.limit = 5, .drain_ms = 0, .wait_ms = 8000};

static struct pqb_claim_request request_for(const char *key)
{
    return (struct pqb_claim_request){.server = key, .app = "test", .defaults = &five};
}

Test(steer, an_alias_merges_the_rows)
{
    struct pqb_claim_request one = request_for("db:5432"), two = request_for("10.1.2.3:5432");
    struct pqb_claim claim[5], sixth;
    for (unsigned i = 0; i < 5; i++)
        cr_assert_eq(support_hold(&ledger, i % 2 ? &one : &two, 0, &claim[i]), PQB_OK);
    struct pqb_steer steer = steer_of("db:5432");
    steer.aliases = 1;
    steer.alias[0] = "10.1.2.3:5432";
    cr_assert_eq(apply(&steer), PQB_OK, "%s", error.text);
    cr_assert_eq(pqb_registry_server(map, "10.1.2.3:5432", PQB_NIL), PQB_NIL);
    unsigned server = pqb_registry_server(map, "db:5432", PQB_NIL);
    cr_assert_eq(map->server[server].general + map->server[server].reserve, 5);
    cr_assert_eq(pqb_wait_acquire(&ledger, &two, 0, &sixth, NULL, &error), PQB_TIMED_OUT);
    pqb_claim_give(&claim[0], PQB_END_CLOSED);
    cr_assert_eq(pqb_wait_acquire(&ledger, &two, 0, &sixth, NULL, &error), PQB_OK);
    pqb_claim_give(&sixth, PQB_END_CLOSED);
    for (unsigned i = 1; i < 5; i++)
        pqb_claim_give(&claim[i], PQB_END_CLOSED);
    cr_assert_eq(support_count(&ledger).used, 0);
}

Test(steer, wakes_who_became_eligible)
{
    struct pqb_claim_request request = request_for(KEY);
    struct pqb_claim waiter;
    make_server(KEY, 1);
    struct pqb_claim held;
    cr_assert_eq(support_hold(&ledger, &request, 0, &held), PQB_OK);
    cr_assert_eq(pqb_wait_submit(&ledger, &request, &waiter, &error), PQB_OK);
    cr_assert_eq(pqb_claim_take(&waiter), PQB_WAITING);
    uint32_t word = atomic_load(&map->claim[waiter.index].word);
    make_server(KEY, 2);
    cr_assert_neq(atomic_load(&map->claim[waiter.index].word), word);
    cr_assert_eq(pqb_claim_take(&waiter), PQB_OK);
    pqb_claim_give(&waiter, PQB_END_CLOSED);
    pqb_claim_give(&held, PQB_END_CLOSED);
}

Test(steer, tells_the_journal)
{
    struct pqb_event event;
    struct pqb_steer steer = steer_of(KEY);
    make_server(KEY, 12);
    cr_assert(pqb_journal_read(map, pqb_journal_latest(map), &event));
    cr_assert_eq(event.kind, PQB_EVENT_CONFIGURED);
    cr_assert_eq(event.value, 12);
    steer.paused = 1;
    cr_assert_eq(apply(&steer), PQB_OK);
    cr_assert(pqb_journal_read(map, pqb_journal_latest(map), &event));
    cr_assert_eq(event.kind, PQB_EVENT_PAUSED);
    steer.paused = 0;
    cr_assert_eq(apply(&steer), PQB_OK);
    cr_assert(pqb_journal_read(map, pqb_journal_latest(map), &event));
    cr_assert_eq(event.kind, PQB_EVENT_RESUMED);
}

/* ---- learning ---- */

static unsigned resolve(const char *address)
{
    return pqb_registry_resolve(map, address, PQB_NIL, pqb_now());
}

static void learn(const char *server, const char *address)
{
    cr_assert_eq(pqb_steer_learn(atomic_load(&ledger.region), server, address), PQB_OK);
}

Test(steer, a_learnt_alias_ages_and_is_renewed)
{
    unsigned server = make_server(KEY, 10);
    learn(KEY, "10.1.2.3:5432");
    cr_assert_eq(resolve("10.1.2.3:5432"), server);
    unsigned alias = pqb_registry_alias(map, "10.1.2.3:5432");
    map->alias[alias].learnt_at -= PQB_ALIAS_AGE;
    cr_assert_eq(resolve("10.1.2.3:5432"), PQB_NIL);
    learn(KEY, "10.1.2.3:5432");
    cr_assert_eq(resolve("10.1.2.3:5432"), server);
}

Test(steer, contradiction_drops_a_learnt_alias)
{
    make_server("one:5432", 10);
    unsigned two = make_server("two:5432", 10);
    learn("one:5432", "10.1.2.3:5432");
    learn("two:5432", "10.1.2.3:5432");
    cr_assert_eq(resolve("10.1.2.3:5432"), PQB_NIL);
    learn("two:5432", "10.1.2.3:5432");
    cr_assert_eq(resolve("10.1.2.3:5432"), two);
}

Test(steer, nothing_is_learnt_against_what_was_set)
{
    unsigned one = make_server("one:5432", 10);
    make_server("two:5432", 10);
    struct pqb_steer steer = steer_of("one:5432");
    steer.aliases = 1;
    steer.alias[0] = "10.1.2.3:5432";
    cr_assert_eq(apply(&steer), PQB_OK);
    learn("two:5432", "10.1.2.3:5432");
    cr_assert_eq(resolve("10.1.2.3:5432"), one);
}

Test(steer, nothing_is_learnt_about_a_row_with_claims)
{
    struct pqb_claim_request own = request_for("10.1.2.3:5432");
    struct pqb_claim claim;
    make_server(KEY, 10);
    cr_assert_eq(support_hold(&ledger, &own, 0, &claim), PQB_OK);
    learn(KEY, "10.1.2.3:5432");
    cr_assert_eq(pqb_registry_alias(map, "10.1.2.3:5432"), PQB_NIL);
    pqb_claim_give(&claim, PQB_END_CLOSED);
    learn(KEY, KEY);
    cr_assert_eq(pqb_registry_alias(map, KEY), PQB_NIL);
    learn("unknown:5432", "10.7.7.7:5432");
    cr_assert_eq(pqb_registry_alias(map, "10.7.7.7:5432"), PQB_NIL);
}

static void learn_postmaster(const struct pqb_claim *claim, const char *key, const char *name)
{
    cr_assert_eq(pqb_steer_learn_postmaster(claim, key, name), PQB_OK);
}

/* Two names of a server are found out when connections by both have the same postmaster. */
Test(steer, names_with_one_postmaster_become_one_server)
{
    struct pqb_claim_request by_name = request_for(KEY), by_folder = request_for("/srv/pg:5432");
    struct pqb_claim named, foldered, later;
    cr_assert_eq(support_hold(&ledger, &by_name, 0, &named), PQB_OK);
    cr_assert_eq(support_hold(&ledger, &by_folder, 0, &foldered), PQB_OK);
    unsigned server = pqb_registry_server(map, KEY, PQB_NIL);
    unsigned folder = pqb_registry_server(map, "/srv/pg:5432", PQB_NIL);
    learn_postmaster(&named, KEY, "postmaster 7 since 1 in 2");
    learn_postmaster(&foldered, "/srv/pg:5432", "postmaster 7 since 1 in 2");
    cr_assert_eq(resolve("/srv/pg:5432"), folder, "it has a claim of its own");
    pqb_claim_give(&foldered, PQB_END_CLOSED);
    cr_assert_eq(support_hold(&ledger, &by_folder, 0, &later), PQB_OK);
    cr_assert_eq(map->claim[later.index].server, server);
    learn_postmaster(&later, "/srv/pg:5432", "postmaster 7 since 1 in 2");
    cr_assert_eq(resolve("/srv/pg:5432"), server);

    /* Another server was started there. */
    learn_postmaster(&later, "/srv/pg:5432", "postmaster 9 since 8 in 2");
    cr_assert_eq(resolve("/srv/pg:5432"), folder, "the alias was contradicted");
    cr_assert_eq(resolve("postmaster 9 since 8 in 2"), PQB_NIL);
    pqb_claim_give(&later, PQB_END_CLOSED);
    pqb_claim_give(&named, PQB_END_CLOSED);
}

/* ---- reset ---- */

Test(steer, reset_is_refused_while_anything_is_live)
{
    struct pqb_claim_request request = request_for(KEY);
    struct pqb_claim claim, fresh;
    cr_assert_eq(support_hold(&ledger, &request, 0, &claim), PQB_OK);
    cr_assert_eq(pqb_steer_reset(ledger.path, 0, &error), PQB_REFUSED);
    cr_assert(strstr(error.text, "1 connection"), "%s", error.text);
    cr_assert_eq(pqb_region_check(claim.region), PQB_OK);
    cr_assert_eq(pqb_steer_reset(ledger.path, 1, &error), PQB_OK, "%s", error.text);
    cr_assert_eq(pqb_region_check(claim.region), PQB_LOST);
    cr_assert_eq(support_hold(&ledger, &request, 0, &fresh), PQB_OK);
    pqb_claim_give(&claim, PQB_END_CLOSED);
    cr_assert_eq(support_count(&ledger).used, 1);
    pqb_claim_give(&fresh, PQB_END_CLOSED);
    cr_assert_eq(pqb_steer_reset(ledger.path, 0, &error), PQB_OK);
    cr_assert_eq(pqb_steer_reset(ledger.path, 0, &error), PQB_ABSENT);
    cr_assert_eq(pqb_steer_reset(ledger.path, 1, &error), PQB_ABSENT);
}

Test(steer, the_dead_do_not_keep_a_ledger)
{
    struct pqb_claim_request request = request_for(KEY);
    pid_t holder = support_fork();
    if (!holder) {
        struct pqb_claim claim;
        _exit(support_hold(&ledger, &request, 0, &claim));
    }
    cr_assert_eq(support_reap(holder), 0);
    cr_assert_eq(pqb_steer_reset(ledger.path, 0, &error), PQB_OK, "%s", error.text);
}
