#include "tool/server.h"

#include "conninfo/value.h"
#include "ledger/os.h"
#include "ledger/registry.h"
#include "tool/text.h"

#include <stdio.h>
#include <unistd.h>

static unsigned find_only(const struct pqb_layout *map)
{
    unsigned only = PQB_NIL;
    for (unsigned i = 0; i < PQB_SERVERS; i++) {
        if (map->server[i].taken != 1)
            continue;
        if (only != PQB_NIL)
            return PQB_NIL;
        only = i;
    }
    return only;
}

unsigned pqb_server_find(const struct pqb_region *region, const char *key)
{
    unsigned server =
        key ? pqb_registry_resolve(region->map, key, PQB_NIL, pqb_now()) : find_only(region->map);
    return server < PQB_SERVERS ? server : PQB_NIL;
}

void pqb_server_text(const struct pqb_region *region, unsigned server, char key[PQB_SERVER_TEXT])
{
    *key = 0;
    if (server < PQB_SERVERS && region->map->server[server].taken == 1)
        pqb_text_copy(key, region->map->server[server].key, PQB_KEY_BYTES);
}

static void print_safely(const char *text)
{
    pqb_text_print(stdout, text, PQB_TEXT_ALL, pqb_text_is_ascii_only(stdout));
}

static void print_apps(const struct pqb_layout *map, unsigned server)
{
    for (unsigned i = 0; i < PQB_APPS; i++) {
        const struct pqb_app_row *app = &map->app[i];
        char label[PQB_LABEL_BYTES + 1], limit[24];
        if (app->taken != 1 || app->server != server || (app->limit == PQB_UNLIMITED && !app->min))
            continue;
        pqb_text_copy(label, app->label, PQB_LABEL_BYTES);
        pqb_value_print_limit(limit, sizeof limit, app->limit);
        fputs(", app ", stdout);
        print_safely(label);
        printf("=%s", limit);
        if (app->min)
            printf(":%u", app->min);
    }
}

static void print_aliases(const struct pqb_layout *map, unsigned server)
{
    for (unsigned i = 0; i < PQB_ALIASES; i++) {
        const struct pqb_alias_row *alias = &map->alias[i];
        char address[PQB_ADDRESS_BYTES + 1];
        if (alias->taken != 1 || alias->server != server || !alias->fixed)
            continue;
        pqb_text_copy(address, alias->address, PQB_ADDRESS_BYTES);
        fputs(", alias ", stdout);
        print_safely(address);
    }
}

void pqb_server_print(const struct pqb_region *region, const char *key)
{
    char name[PQB_SERVER_TEXT], limit[24], wait[24], logins[24], drain[24];
    unsigned server = pqb_server_find(region, key);
    if (server == PQB_NIL)
        return; /* made its way out meanwhile */
    struct pqb_server_config config = region->map->server[server].config;
    pqb_server_text(region, server, name);
    pqb_value_print_limit(limit, sizeof limit, config.limit);
    pqb_value_print_limit(logins, sizeof logins, config.logins ? config.logins : PQB_UNLIMITED);
    pqb_value_print_time(wait, sizeof wait, config.wait_ms);
    pqb_value_print_time(drain, sizeof drain, config.drain_ms);
    print_safely(name);
    printf(": limit %s, reserve %u, wait %s, logins %s, drain %s, slack %u", limit, config.reserve,
           wait, logins, drain, config.slack);
    print_apps(region->map, server);
    print_aliases(region->map, server);
    puts(config.paused ? ", paused" : "");
}

static void forget(const char *path)
{
    if (pqb_steer_reset(path, 0, NULL))
        return; /* somebody uses it already */
}

enum pqb_exit pqb_server_steer(const struct pqb_call *call, const struct pqb_steer *steer,
                               int prints)
{
    char path[PQB_REGION_PATH];
    struct pqb_region *region;
    struct pqb_error error = {{0}};
    enum pqb_exit code = pqb_call_path(call, path);
    if (code)
        return code;
    /* A new server in a new ledger: only if it is named, or nothing would come of it. */
    int may_create = steer->make && steer->server;
    int creates = may_create && access(path, F_OK) != 0;
    if ((code = pqb_call_open(call, may_create, &region)))
        return code;
    enum pqb_status status = pqb_steer_apply(region, steer, &error);
    if (status)
        code = pqb_report_steer(status, &error);
    else if (prints)
        pqb_server_print(region, steer->server);
    pqb_region_unpin(region);
    /* Nothing was changed: that includes the ledger, unless somebody uses it already. */
    if (status && creates)
        forget(path);
    return code;
}
