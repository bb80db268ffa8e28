#include "ledger/steer.h"

#include "ledger/admission.h"
#include "ledger/journal.h"
#include "ledger/os.h"
#include "ledger/rebuild.h"
#include "ledger/registry.h"
#include "ledger/tick.h"
#include "ledger/visit.h"

#include <limits.h>
#include <string.h>
#include <unistd.h>

#define PATIENCE (2 * PQB_SECOND)
#define LARGEST 1000000 /* of a limit; times may be up to 49 days */

const struct pqb_steer pqb_steer_nothing = {
    .limit = PQB_STEER_LEAVE,
    .reserve = PQB_STEER_LEAVE,
    .wait_ms = PQB_STEER_LEAVE,
    .logins = PQB_STEER_LEAVE,
    .drain_ms = PQB_STEER_LEAVE,
    .slack = PQB_STEER_LEAVE,
    .paused = PQB_STEER_LEAVE,
};

static enum pqb_status check_range(const char *what, long long value, long long least,
                                   long long largest, int may_be_unlimited, struct pqb_error *error)
{
    if (value == PQB_STEER_LEAVE || (may_be_unlimited && value == PQB_UNLIMITED) ||
        (value >= least && value <= largest))
        return PQB_OK;
    return pqb_fail(error, PQB_INVALID, "%s must be between %lld and %lld", what, least, largest);
}

static enum pqb_status check_values(const struct pqb_steer *steer, struct pqb_error *error)
{
    enum pqb_status status;
    if ((status = check_range("limit", steer->limit, 1, LARGEST, 1, error)) ||
        (status = check_range("reserve", steer->reserve, 0, LARGEST, 0, error)) ||
        (status = check_range("wait", steer->wait_ms, 0, UINT32_MAX - 1, 1, error)) ||
        (status = check_range("logins", steer->logins, 0, LARGEST, 0, error)) ||
        (status = check_range("drain", steer->drain_ms, 0, 60000, 0, error)) ||
        (status = check_range("slack", steer->slack, 0, LARGEST, 0, error)) ||
        (status = check_range("paused", steer->paused, 0, 1, 0, error)))
        return status;
    for (unsigned i = 0; i < steer->apps; i++) {
        const struct pqb_steer_app *app = &steer->app[i];
        if (!*app->label || strlen(app->label) >= PQB_LABEL_BYTES)
            return pqb_fail(error, PQB_INVALID, "an application's name has 1 to %d bytes",
                            PQB_LABEL_BYTES - 1);
        if ((status = check_range("an application's limit", app->limit, 1, LARGEST, 1, error)))
            return status;
        if (app->min > app->limit)
            return pqb_fail(error, PQB_INVALID, "%.40s: the minimum %u is above the limit %u",
                            app->label, app->min, app->limit);
    }
    for (unsigned i = 0; i < steer->aliases; i++)
        if (!*steer->alias[i] || strlen(steer->alias[i]) >= PQB_ADDRESS_BYTES)
            return pqb_fail(error, PQB_INVALID, "an alias has 1 to %d bytes",
                            PQB_ADDRESS_BYTES - 1);
    return PQB_OK;
}

static unsigned only_server(const struct pqb_layout *map, unsigned *count)
{
    unsigned only = PQB_NIL;
    *count = 0;
    for (unsigned i = 0; i < PQB_SERVERS; i++)
        if (map->server[i].taken == 1) {
            only = i;
            (*count)++;
        }
    return *count == 1 ? only : PQB_NIL;
}

/* Which server is meant? *server is PQB_NIL if its row is to be made. */
static enum pqb_status find_server(const struct pqb_layout *map, const struct pqb_steer *steer,
                                   uint64_t now, unsigned *server, struct pqb_error *error)
{
    unsigned count;
    if (!steer->server) {
        *server = only_server(map, &count);
        if (*server != PQB_NIL)
            return PQB_OK;
        return pqb_fail(error, PQB_ABSENT,
                        count ? "the ledger has %u servers: name one with --server"
                              : "the ledger has no server yet: name it with --server and --new",
                        count);
    }
    if (!*steer->server || strlen(steer->server) >= PQB_KEY_BYTES)
        return pqb_fail(error, PQB_INVALID, "a server's name has 1 to %d bytes", PQB_KEY_BYTES - 1);
    *server = pqb_registry_resolve(map, steer->server, PQB_NIL, now);
    if (*server == PQB_NIL && !steer->make)
        return pqb_fail(
            error, PQB_ABSENT,
            "the ledger knows no server %.80s: \"pqbudget status\" lists them, --new adds it",
            steer->server);
    return PQB_OK;
}

static const struct pqb_steer_app *change_of(const struct pqb_steer *steer, const char *label)
{
    for (unsigned i = steer->apps; i-- > 0;)
        if (!strcmp(steer->app[i].label, label))
            return &steer->app[i];
    return NULL;
}

/* The sum of minimums as it will be. */
static uint64_t minimums_after(const struct pqb_layout *map, const struct pqb_steer *steer,
                               unsigned server)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < PQB_APPS && server != PQB_NIL; i++)
        if (map->app[i].taken == 1 && map->app[i].server == server &&
            !change_of(steer, map->app[i].label))
            sum += map->app[i].min;
    for (unsigned i = 0; i < steer->apps; i++)
        if (change_of(steer, steer->app[i].label) == &steer->app[i])
            sum += steer->app[i].min;
    return sum;
}

static uint32_t changed(long long value, uint32_t old)
{
    return value == PQB_STEER_LEAVE ? old : (uint32_t)value;
}

static uint32_t usual_reserve(uint32_t limit)
{
    return limit == PQB_UNLIMITED ? 0 : limit / 10;
}

static struct pqb_server_config config_after(const struct pqb_steer *steer,
                                             struct pqb_server_config config)
{
    /* A reserve nobody chose goes with the limit. */
    int reserve_is_derived = config.reserve == usual_reserve(config.limit);
    config.limit = changed(steer->limit, config.limit);
    if (reserve_is_derived)
        config.reserve = usual_reserve(config.limit);
    config.reserve = changed(steer->reserve, config.reserve);
    config.wait_ms = changed(steer->wait_ms, config.wait_ms);
    config.logins = changed(steer->logins, config.logins);
    config.drain_ms = changed(steer->drain_ms, config.drain_ms);
    config.slack = changed(steer->slack, config.slack);
    config.paused = changed(steer->paused, config.paused);
    config.configured = 1;
    return config;
}

/* Is there a row for everything that is to have one? */
static enum pqb_status check_rows(const struct pqb_layout *map, const struct pqb_steer *steer,
                                  unsigned server, struct pqb_error *error)
{
    unsigned apps = 0, aliases = 0;
    for (unsigned i = 0; i < steer->apps; i++) {
        unsigned app = server == PQB_NIL
                           ? PQB_NIL
                           : pqb_registry_app(map, server, steer->app[i].label, PQB_NIL);
        if (change_of(steer, steer->app[i].label) == &steer->app[i])
            apps += app == PQB_NIL || pqb_registry_app_is_reusable(&map->app[app]);
    }
    for (unsigned i = 0; i < steer->aliases; i++) {
        unsigned alias = pqb_registry_alias(map, steer->alias[i]);
        aliases += alias == PQB_NIL || !map->alias[alias].fixed;
    }
    if (apps > pqb_registry_apps_to_have(map))
        return pqb_fail(error, PQB_FULL, "the ledger's %u applications are all in use", PQB_APPS);
    if (aliases > pqb_registry_aliases_to_have(map))
        return pqb_fail(error, PQB_FULL, "the ledger's %u aliases are all in use", PQB_ALIASES);
    return PQB_OK;
}

static enum pqb_status check_together(const struct pqb_layout *map, const struct pqb_steer *steer,
                                      unsigned server, const struct pqb_server_config *config,
                                      struct pqb_error *error)
{
    if (config->reserve >= config->limit)
        return pqb_fail(error, PQB_REFUSED, "a reserve of %u leaves nothing of a limit of %u",
                        config->reserve, config->limit);
    uint64_t minimums = minimums_after(map, steer, server);
    if (minimums > pqb_registry_general(config))
        return pqb_fail(error, PQB_REFUSED,
                        "the applications' minimums add up to %llu, but limit less reserve is %llu",
                        (unsigned long long)minimums,
                        (unsigned long long)pqb_registry_general(config));
    for (unsigned i = 0; i < steer->apps && !steer->make; i++)
        if (server == PQB_NIL ||
            pqb_registry_app(map, server, steer->app[i].label, PQB_NIL) == PQB_NIL)
            return pqb_fail(error, PQB_ABSENT,
                            "no application %.63s is known on that server: \"pqbudget status\" "
                            "lists them, --new adds it",
                            steer->app[i].label);
    for (unsigned i = 0; i < steer->aliases; i++)
        if (server == PQB_NIL ? !strcmp(steer->alias[i], steer->server)
                              : pqb_registry_server(map, steer->alias[i], PQB_NIL) == server)
            return pqb_fail(error, PQB_REFUSED, "%.100s is the server itself", steer->alias[i]);
    return check_rows(map, steer, server, error);
}

static enum pqb_status change_apps(struct pqb_layout *map, const struct pqb_steer *steer,
                                   unsigned server, struct pqb_error *error)
{
    for (unsigned i = 0; i < steer->apps; i++) {
        unsigned app = pqb_registry_app_make(map, server, steer->app[i].label, PQB_NIL);
        if (app == PQB_NIL)
            return pqb_fail(error, PQB_FULL, "the ledger's %u applications are all in use",
                            PQB_APPS);
        map->app[app].limit = steer->app[i].limit;
        map->app[app].min = steer->app[i].min;
    }
    return PQB_OK;
}

static enum pqb_status change_aliases(struct pqb_books *books, const struct pqb_steer *steer,
                                      unsigned server, struct pqb_error *error)
{
    for (unsigned i = 0; i < steer->aliases; i++) {
        unsigned own = pqb_registry_server(books->map, steer->alias[i], PQB_NIL);
        if (!pqb_registry_alias_make(books->map, steer->alias[i], server, 1, books->now))
            return pqb_fail(error, PQB_FULL, "the ledger's %u aliases are all in use", PQB_ALIASES);
        if (own != PQB_NIL)
            pqb_rebuild_merged(books, own, server);
    }
    return PQB_OK;
}

static enum pqb_status apply_inside(struct pqb_books *books, const struct pqb_steer *steer,
                                    struct pqb_error *error)
{
    struct pqb_layout *map = books->map;
    unsigned server = PQB_NIL;
    enum pqb_status status = find_server(map, steer, books->now, &server, error);
    if (status)
        return status;
    struct pqb_server_config config =
        config_after(steer, server == PQB_NIL ? pqb_server_defaults : map->server[server].config);
    status = check_together(map, steer, server, &config, error);
    if (status)
        return status;
    if (server == PQB_NIL)
        server = pqb_registry_server_make(map, steer->server, &config, books->now);
    if (server == PQB_NIL)
        return pqb_fail(error, PQB_FULL, "the ledger's %u servers are all in use", PQB_SERVERS);
    uint32_t was_paused = map->server[server].config.paused;
    map->server[server].config = config;
    status = change_apps(map, steer, server, error);
    if (!status)
        status = change_aliases(books, steer, server, error);
    pqb_admission_reconfigure(books, server);
    if (steer->paused != PQB_STEER_LEAVE && config.paused != was_paused)
        pqb_journal_write(map, config.paused ? PQB_EVENT_PAUSED : PQB_EVENT_RESUMED,
                          (uint16_t)server, NULL, (int32_t)getpid(), 0);
    else
        pqb_journal_write(map, PQB_EVENT_CONFIGURED, (uint16_t)server, NULL, (int32_t)getpid(),
                          config.limit);
    return status;
}

enum pqb_status pqb_steer_apply(struct pqb_region *region, const struct pqb_steer *steer,
                                struct pqb_error *error)
{
    struct pqb_visit visit;
    enum pqb_status status = check_values(steer, error);
    if (status)
        return status;
    status = pqb_visit_begin(&visit, region, pqb_now() + PATIENCE);
    if (status)
        return pqb_fail(error, status, "%s: %s", region->path, pqb_status_text(status));
    status = apply_inside(&visit.books, steer, error);
    pqb_visit_close(&visit);
    return status;
}

static void learn_inside(struct pqb_books *books, const char *key, const char *address)
{
    struct pqb_layout *map = books->map;
    unsigned server = pqb_registry_resolve(map, key, PQB_NIL, books->now);
    unsigned own = pqb_registry_server(map, address, PQB_NIL);
    if (server == PQB_NIL || own == server ||
        (own != PQB_NIL && pqb_registry_server_is_used(map, own)))
        return;
    unsigned alias = pqb_registry_alias(map, address);
    if (alias != PQB_NIL && map->alias[alias].fixed)
        return;
    if (alias != PQB_NIL && map->alias[alias].server != server)
        pqb_registry_alias_drop(map, alias);
    else
        pqb_registry_alias_make(map, address, server, 0, books->now);
}

enum pqb_status pqb_steer_learn(struct pqb_region *region, const char *server, const char *address)
{
    struct pqb_visit visit;
    enum pqb_status status = pqb_visit_begin(&visit, region, pqb_now() + PQB_GUARD_PATIENCE);
    if (status)
        return status;
    learn_inside(&visit.books, server, address);
    pqb_visit_close(&visit);
    return PQB_OK;
}

/* `charged` is where a claim on `key` went. */
static void learn_postmaster_inside(struct pqb_books *books, unsigned charged, const char *key,
                                    const char *postmaster)
{
    struct pqb_layout *map = books->map;
    unsigned known = pqb_registry_resolve(map, postmaster, PQB_NIL, books->now);
    unsigned own = pqb_registry_server(map, key, PQB_NIL), alias = pqb_registry_alias(map, key);
    int by_alias = alias != PQB_NIL && map->alias[alias].server == charged && own != charged;
    if (alias != PQB_NIL && map->alias[alias].fixed)
        return;
    if (by_alias && known != charged) {
        pqb_registry_alias_drop(map, alias); /* it leads elsewhere by now, or there was a restart */
        return;
    }
    if (known == PQB_NIL || known == charged)
        pqb_registry_alias_make(map, postmaster, charged, 0, books->now);
    if (by_alias)
        pqb_registry_alias_make(map, key, charged, 0, books->now);
    else if (known != PQB_NIL && own == charged && known != charged)
        pqb_registry_alias_make(map, key, known, 0, books->now);
}

enum pqb_status pqb_steer_learn_postmaster(const struct pqb_claim *claim, const char *key,
                                           const char *postmaster)
{
    struct pqb_visit visit;
    enum pqb_status status = pqb_visit_begin(&visit, claim->region, pqb_now() + PQB_GUARD_PATIENCE);
    if (status)
        return status;
    unsigned charged = claim->region->map->claim[claim->index].server;
    if (charged < PQB_SERVERS)
        learn_postmaster_inside(&visit.books, charged, key, postmaster);
    pqb_visit_close(&visit);
    return PQB_OK;
}

/* ---- reset ---- */

static unsigned count_live(const struct pqb_layout *map)
{
    unsigned live = 0;
    for (unsigned i = 0; i < PQB_CLAIMS; i++) {
        uint64_t state = atomic_load(&map->claim[i].ctl) & PQB_CTL_STATE;
        live += state >= PQB_CLAIM_WAITING && state <= PQB_CLAIM_OPEN;
    }
    return live;
}

static void wake_waiters(struct pqb_layout *map)
{
    for (unsigned i = 0; i < PQB_CLAIMS; i++) {
        struct pqb_claim_row *claim = &map->claim[i];
        if ((atomic_load(&claim->ctl) & PQB_CTL_STATE) == PQB_CLAIM_FREE)
            continue;
        atomic_fetch_add(&claim->word, 1);
        pqb_futex_wake(&claim->word, INT_MAX, 1);
    }
    for (unsigned i = 0; i < PQB_BELLS; i++) {
        atomic_fetch_add(&map->header.bell[i], 1);
        pqb_futex_wake(&map->header.bell[i], INT_MAX, 1);
    }
}

static enum pqb_status retire(struct pqb_region *region, int force, struct pqb_error *error)
{
    struct pqb_visit visit;
    pqb_tick_look(region, PQB_CLAIMS);
    enum pqb_status status, entered = pqb_visit_begin(&visit, region, pqb_now() + PATIENCE);
    unsigned live = count_live(region->map);
    if (entered && !force)
        return pqb_fail(error, entered, "%s: %s", region->path, pqb_status_text(entered));
    if (live && !force)
        status =
            pqb_fail(error, PQB_REFUSED,
                     "%u connections are held or wanted in %s: end their programs, or use --force",
                     live, region->path);
    else
        status = pqb_region_remove(region->path, region, error);
    /* Removed first: who finds it retired opens the path again, and must not find it there. */
    if (!status)
        atomic_store(&region->map->header.retired, 1);
    if (!entered)
        pqb_visit_close(&visit);
    if (!status)
        wake_waiters(region->map);
    return status;
}

enum pqb_status pqb_steer_reset(const char *path, int force, struct pqb_error *error)
{
    struct pqb_region *region;
    enum pqb_status status = pqb_region_open(path, 0, &region, error);
    if (!status) {
        status = retire(region, force, error);
        pqb_region_unpin(region);
        return status;
    }
    if (status == PQB_ABSENT || !force)
        return status;
    return pqb_region_remove(path, NULL, error);
}
