/* registry.c: the rows of servers, applications and aliases. */
#include "ledger/registry.h"
#include "support/paper.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static struct paper paper;
static struct pqb_layout *map;

static void open_paper(void)
{
    paper_open(&paper, PQB_CLAIMS);
    map = paper.map;
}

static void close_paper(void)
{
    paper_check(&paper);
    paper_close(&paper);
}

TestSuite(registry, .init = open_paper, .fini = close_paper, .timeout = 60);

static const struct pqb_server_config ten = {.limit = 10, .drain_ms = 200};

static unsigned make(const char *key)
{
    return pqb_registry_server_make(map, key, &ten, 0);
}

Test(registry, servers_are_found_by_key)
{
    unsigned one = make("one:5432"), two = make("two:5432");
    cr_assert_neq(one, two);
    cr_assert_eq(pqb_registry_server(map, "two:5432", PQB_NIL), two);
    cr_assert_eq(pqb_registry_server(map, "two:5432", one), two); /* a wrong hint */
    cr_assert_eq(pqb_registry_server(map, "two:5432", 60000), two);
    cr_assert_eq(pqb_registry_server(map, "two", PQB_NIL), PQB_NIL);
    cr_assert_eq(pqb_registry_server(map, "two:54321", PQB_NIL), PQB_NIL);
    cr_assert_eq(pqb_registry_server(map, "", PQB_NIL), PQB_NIL);
}

Test(registry, keys_have_a_length)
{
    char key[PQB_KEY_BYTES + 2];
    memset(key, 'k', sizeof key);
    key[PQB_KEY_BYTES - 1] = 0;
    cr_assert_neq(make(key), PQB_NIL);
    cr_assert_neq(pqb_registry_server(map, key, PQB_NIL), PQB_NIL);
    key[PQB_KEY_BYTES - 1] = 'k';
    key[PQB_KEY_BYTES] = 0;
    cr_assert_eq(make(key), PQB_NIL);
    cr_assert_eq(pqb_registry_server(map, key, PQB_NIL), PQB_NIL);
    cr_assert_eq(make(""), PQB_NIL);
}

Test(registry, rows_in_use_or_configured_are_kept)
{
    char key[32];
    for (unsigned i = 0; i < PQB_SERVERS; i++) {
        snprintf(key, sizeof key, "server%u:5432", i);
        unsigned server = make(key);
        cr_assert_eq(server, i);
        if (i % 2)
            map->server[server].config.configured = 1;
        else
            paper_hold(&paper, server, 1, "app");
    }
    cr_assert_eq(make("new:5432"), PQB_NIL);
    /* One is idle: its row is reused, with what belongs to it. */
    cr_assert(pqb_registry_alias_make(map, "10.0.0.1:5432", 4, 1, 0));
    for (unsigned i = 0; i < PQB_CLAIMS; i++)
        if (map->claim[i].server == 4 && atomic_load(&map->claim[i].ctl) & PQB_CTL_STATE)
            paper_move(&paper, i, PQB_CLAIM_GONE);
    cr_assert_eq(make("new:5432"), 4);
    cr_assert_eq(pqb_registry_server(map, "server4:5432", PQB_NIL), PQB_NIL);
    cr_assert_eq(pqb_registry_alias(map, "10.0.0.1:5432"), PQB_NIL);
    cr_assert_eq(pqb_registry_app(map, 4, "app", PQB_NIL), PQB_NIL);
    cr_assert_eq(make("one more:5432"), 4); /* nobody has used it yet */
}

Test(registry, a_waiter_a_drainer_or_one_without_application_keeps_the_row)
{
    char label[32], key[32];
    unsigned server[4];
    for (unsigned i = 0; i < 4; i++) {
        snprintf(key, sizeof key, "s%u:5432", i);
        server[i] = make(key);
    }
    map->server[server[0]].config.paused = 1;
    paper_ask(&paper, server[0], 1, "app", 0);
    unsigned drainer = paper_hold(&paper, server[1], 1, "app");
    paper_move(&paper, drainer, PQB_CLAIM_DRAINING);
    map->server[server[2]].config.slack = 1;
    drainer = paper_hold(&paper, server[2], 1, "app");
    paper_move(&paper, drainer, PQB_CLAIM_DRAINING);
    for (unsigned i = 0; i < PQB_APPS; i++) {
        snprintf(label, sizeof label, "app%u", i);
        unsigned app = pqb_registry_app_make(map, server[3], label, PQB_NIL);
        if (app != PQB_NIL)
            map->app[app].limit = 5;
    }
    paper_hold(&paper, server[3], 1, "nameless");
    for (unsigned i = 4; i < PQB_SERVERS; i++) {
        snprintf(key, sizeof key, "s%u:5432", i);
        map->server[make(key)].config.configured = 1;
    }
    cr_assert_eq(make("new:5432"), PQB_NIL);
}

Test(registry, applications_belong_to_a_server)
{
    unsigned one = make("one:5432"), two = make("two:5432");
    unsigned web = pqb_registry_app_make(map, one, "web", PQB_NIL);
    cr_assert_eq(pqb_registry_app_make(map, one, "web", PQB_NIL), web);
    cr_assert_eq(pqb_registry_app(map, two, "web", PQB_NIL), PQB_NIL);
    cr_assert_neq(pqb_registry_app_make(map, two, "web", web), web); /* a wrong hint */
    paper_app(&paper, one, "web", PQB_UNLIMITED, 3);
    paper_app(&paper, one, "bot", PQB_UNLIMITED, 4);
    cr_assert_eq(pqb_registry_minimums(map, one), 7);
    cr_assert_eq(pqb_registry_minimums(map, two), 0);
}

Test(registry, labels_are_cut)
{
    char label[PQB_LABEL_BYTES * 2];
    unsigned server = make("one:5432");
    memset(label, 'l', sizeof label);
    label[sizeof label - 1] = 0;
    unsigned app = pqb_registry_app_make(map, server, label, PQB_NIL);
    cr_assert_eq(strlen(map->app[app].label), PQB_LABEL_BYTES - 1);
    cr_assert_eq(pqb_registry_app_make(map, server, label, PQB_NIL), app);
}

Test(registry, idle_applications_are_reused_when_the_table_is_full)
{
    unsigned server = make("one:5432"), in_use;
    char label[32];
    for (unsigned i = 0; i < PQB_APPS; i++) {
        snprintf(label, sizeof label, "app%u", i);
        cr_assert_eq(pqb_registry_app_make(map, server, label, PQB_NIL), i);
    }
    in_use = paper_hold(&paper, server, 1, "app0");
    cr_assert_eq(map->claim[in_use].app, 0);
    map->app[1].limit = 5;
    map->app[2].min = 1;
    map->server[server].unmet = 1;
    cr_assert_eq(pqb_registry_app_make(map, server, "new", PQB_NIL), 3);
    cr_assert_str_eq(map->app[3].label, "new");
    for (unsigned i = 3; i < PQB_APPS; i++)
        map->app[i].limit = 5;
    cr_assert_eq(pqb_registry_app_make(map, server, "newer", PQB_NIL), PQB_NIL);
}

/* ---- aliases ---- */

Test(registry, an_alias_stands_for_its_server)
{
    unsigned server = make("db.internal:5432");
    cr_assert(pqb_registry_alias_make(map, "10.1.2.3:5432", server, 0, 1000));
    cr_assert_eq(pqb_registry_resolve(map, "10.1.2.3:5432", PQB_NIL, 2000), server);
    cr_assert_eq(pqb_registry_resolve(map, "db.internal:5432", PQB_NIL, 2000), server);
    cr_assert_eq(pqb_registry_resolve(map, "10.1.2.4:5432", PQB_NIL, 2000), PQB_NIL);
}

Test(registry, what_was_learnt_is_forgotten_what_was_set_is_not)
{
    unsigned server = make("db:5432");
    pqb_registry_alias_make(map, "learnt:5432", server, 0, 1000);
    pqb_registry_alias_make(map, "fixed:5432", server, 1, 1000);
    uint64_t late = 1000 + PQB_ALIAS_AGE;
    cr_assert_eq(pqb_registry_resolve(map, "learnt:5432", PQB_NIL, late - 1), server);
    cr_assert_eq(pqb_registry_resolve(map, "learnt:5432", PQB_NIL, late), PQB_NIL);
    cr_assert_eq(pqb_registry_resolve(map, "fixed:5432", PQB_NIL, late), server);
    pqb_registry_alias_make(map, "learnt:5432", server, 0, late); /* seen anew */
    cr_assert_eq(pqb_registry_resolve(map, "learnt:5432", PQB_NIL, late + 5), server);
    /* From before a reboot: learnt in the future. */
    cr_assert_eq(pqb_registry_resolve(map, "learnt:5432", PQB_NIL, 500), PQB_NIL);
}

Test(registry, an_alias_never_overrides_a_row_with_claims)
{
    unsigned own = make("10.1.2.3:5432"), other = make("db:5432");
    pqb_registry_alias_make(map, "10.1.2.3:5432", other, 1, 0);
    cr_assert_eq(pqb_registry_resolve(map, "10.1.2.3:5432", PQB_NIL, 1), other);
    unsigned claim = paper_hold(&paper, own, 1, "app");
    cr_assert_eq(pqb_registry_resolve(map, "10.1.2.3:5432", PQB_NIL, 1), own);
    paper_move(&paper, claim, PQB_CLAIM_GONE);
    cr_assert_eq(pqb_registry_resolve(map, "10.1.2.3:5432", PQB_NIL, 1), other);
    map->server[own].config.configured = 1;
    cr_assert_eq(pqb_registry_resolve(map, "10.1.2.3:5432", PQB_NIL, 1), own);
}

Test(registry, the_oldest_learnt_alias_gives_way)
{
    unsigned server = make("db:5432");
    char address[32];
    for (unsigned i = 0; i < PQB_ALIASES; i++) {
        snprintf(address, sizeof address, "10.0.0.%u:5432", i);
        cr_assert(pqb_registry_alias_make(map, address, server, i == 3, 1000 - i));
    }
    cr_assert(pqb_registry_alias_make(map, "new:5432", server, 0, 5000));
    cr_assert_eq(pqb_registry_alias(map, "10.0.0.127:5432"), PQB_NIL);
    cr_assert_neq(pqb_registry_alias(map, "10.0.0.3:5432"), PQB_NIL);
    for (unsigned i = 0; i < PQB_ALIASES; i++)
        map->alias[i].fixed = 1;
    cr_assert(!pqb_registry_alias_make(map, "newer:5432", server, 1, 6000));
}

Test(registry, addresses_have_a_length)
{
    unsigned server = make("db:5432");
    char address[PQB_ADDRESS_BYTES + 1];
    memset(address, 'a', sizeof address);
    address[PQB_ADDRESS_BYTES] = 0;
    cr_assert(!pqb_registry_alias_make(map, address, server, 0, 0));
    cr_assert_eq(pqb_registry_alias(map, address), PQB_NIL);
    address[PQB_ADDRESS_BYTES - 1] = 0;
    cr_assert(pqb_registry_alias_make(map, address, server, 0, 0));
    cr_assert(!pqb_registry_alias_make(map, "", server, 0, 0));
}

/* ---- repair ---- */

Test(registry, repair_keeps_what_makes_sense)
{
    unsigned server = make("db:5432");
    static struct pqb_layout before;
    unsigned app = pqb_registry_app_make(map, server, "web", PQB_NIL);
    map->app[app].limit = 7;
    pqb_registry_alias_make(map, "10.1.2.3:5432", server, 1, 0);
    memcpy(&before, map, sizeof before);
    pqb_registry_repair(map);
    cr_assert_eq(memcmp(&before.server[server], &map->server[server], sizeof *map->server), 0);
    cr_assert_eq(memcmp(before.app, map->app, sizeof before.app), 0);
    cr_assert_eq(memcmp(before.alias, map->alias, sizeof before.alias), 0);
}

Test(registry, repair_drops_what_makes_none)
{
    unsigned good = make("db:5432"), bad = make("bad:5432"), worse = make("worse:5432");
    unsigned app = pqb_registry_app_make(map, good, "web", PQB_NIL);
    unsigned stuck = pqb_registry_app_make(map, good, "stuck", PQB_NIL);
    pqb_registry_app_make(map, bad, "gone", PQB_NIL);
    pqb_registry_alias_make(map, "10.1.2.3:5432", bad, 1, 0);
    memset(map->server[bad].key, 'k', PQB_KEY_BYTES);
    map->server[worse].taken = 77;
    map->server[good].config.limit = 0;
    map->app[app].min = 4000000000u;
    map->app[stuck].limit = 0; /* nobody could ever have one */
    paper_rebuild(&paper);
    cr_assert_eq(map->server[bad].taken, 0);
    cr_assert_eq(map->server[worse].taken, 0);
    cr_assert_eq(map->server[good].config.limit, pqb_server_defaults.limit);
    cr_assert_eq(map->app[app].min, 0);
    cr_assert_neq(map->app[stuck].limit, 0);
    cr_assert_eq(pqb_registry_alias(map, "10.1.2.3:5432"), PQB_NIL);
}
