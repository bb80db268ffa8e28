#include "ledger/registry.h"

#include <stdio.h>
#include <string.h>

const struct pqb_server_config pqb_server_defaults = {
    .limit = 85,
    .reserve = 8,
    .wait_ms = 8000,
    .drain_ms = 200,
};

static int text_is(const char *stored, size_t capacity, const char *text)
{
    return !strncmp(stored, text, capacity) && strnlen(text, capacity) < capacity;
}

/* ---- servers ---- */

static int server_is(const struct pqb_layout *map, unsigned server, const char *key)
{
    return server < PQB_SERVERS && map->server[server].taken == 1 &&
           text_is(map->server[server].key, PQB_KEY_BYTES, key);
}

unsigned pqb_registry_server(const struct pqb_layout *map, const char *key, unsigned hint)
{
    if (server_is(map, hint, key))
        return hint;
    for (unsigned i = 0; i < PQB_SERVERS; i++)
        if (server_is(map, i, key))
            return i;
    return PQB_NIL;
}

static int alias_is_good(const struct pqb_layout *map, const struct pqb_alias_row *alias,
                         uint64_t now)
{
    unsigned server = pqb_once(&alias->server);
    return server < PQB_SERVERS && map->server[server].taken == 1 &&
           (alias->fixed || now - alias->learnt_at < PQB_ALIAS_AGE);
}

static int has_claims(const struct pqb_server_row *row)
{
    return row->general || row->reserve || row->slack || row->waiting;
}

/* Also true of none but drainers: whoever comes next need not follow them. */
static int is_idle(const struct pqb_server_row *row)
{
    return (uint64_t)row->general + row->reserve + row->slack <= row->draining && !row->waiting;
}

unsigned pqb_registry_resolve(const struct pqb_layout *map, const char *key, unsigned hint,
                              uint64_t now)
{
    unsigned server = pqb_registry_server(map, key, hint);
    /* An alias never overrides a row that has claims or settings of its own. */
    if (server != PQB_NIL &&
        (!is_idle(&map->server[server]) || map->server[server].config.configured))
        return server;
    unsigned alias = pqb_registry_alias(map, key);
    if (alias == PQB_NIL || !alias_is_good(map, &map->alias[alias], now))
        return server;
    return pqb_once(&map->alias[alias].server) % PQB_SERVERS; /* it was good a moment ago */
}

int pqb_registry_key_in(char to[PQB_KEY_BYTES], const char *key, uint64_t network)
{
    int length = snprintf(to, PQB_KEY_BYTES, "%s@net:%llu", key, (unsigned long long)network);
    return length < PQB_KEY_BYTES;
}

unsigned pqb_registry_resolve_in(const struct pqb_layout *map, const char *key, uint64_t network,
                                 unsigned hint, uint64_t now)
{
    char own[PQB_KEY_BYTES];
    unsigned server = pqb_registry_resolve(map, key, hint, now);
    if (server == PQB_NIL || !network || map->server[server].network == network ||
        !pqb_registry_key_in(own, key, network))
        return server;
    return pqb_registry_resolve(map, own, hint, now);
}

int pqb_registry_server_is_used(const struct pqb_layout *map, unsigned server)
{
    if (has_claims(&map->server[server]))
        return 1;
    /* A claim that is gone but not settled still names its row. */
    for (unsigned i = 0; i < PQB_APPS; i++)
        if (map->app[i].taken && map->app[i].server == server && map->app[i].claims)
            return 1;
    return 0;
}

static void server_clear(struct pqb_layout *map, unsigned server)
{
    for (unsigned i = 0; i < PQB_APPS; i++)
        if (map->app[i].taken && map->app[i].server == server)
            memset(&map->app[i], 0, sizeof map->app[i]);
    for (unsigned i = 0; i < PQB_ALIASES; i++)
        if (map->alias[i].taken && map->alias[i].server == server)
            pqb_registry_alias_drop(map, i);
    memset(&map->server[server], 0, sizeof map->server[server]);
}

unsigned pqb_registry_server_make(struct pqb_layout *map, const char *key,
                                  const struct pqb_server_config *config, uint64_t now)
{
    size_t length = strlen(key);
    if (!length || length >= PQB_KEY_BYTES)
        return PQB_NIL;
    unsigned found = PQB_NIL;
    for (unsigned i = 0; i < PQB_SERVERS && found == PQB_NIL; i++)
        if (map->server[i].taken != 1)
            found = i;
    for (unsigned i = 0; i < PQB_SERVERS && found == PQB_NIL; i++)
        if (!map->server[i].config.configured && !pqb_registry_server_is_used(map, i))
            found = i;
    if (found == PQB_NIL)
        return PQB_NIL;
    server_clear(map, found);
    struct pqb_server_row *row = &map->server[found];
    row->queue_head = row->queue_tail = PQB_NIL;
    row->reserve_head = row->reserve_tail = PQB_NIL;
    row->drain_head = row->drain_tail = PQB_NIL;
    row->config = *config;
    row->created_at = now;
    memcpy(row->key, key, length + 1);
    row->taken = 1;
    return found;
}

uint64_t pqb_registry_general(const struct pqb_server_config *config)
{
    if (config->limit == PQB_UNLIMITED)
        return PQB_UNLIMITED;
    return config->limit > config->reserve ? config->limit - config->reserve : 0;
}

/* ---- applications ---- */

static int app_is(const struct pqb_layout *map, unsigned app, unsigned server, const char *label)
{
    const struct pqb_app_row *row = &map->app[app];
    return row->taken == 1 && row->server == server && text_is(row->label, PQB_LABEL_BYTES, label);
}

unsigned pqb_registry_app(const struct pqb_layout *map, unsigned server, const char *label,
                          unsigned hint)
{
    if (hint < PQB_APPS && app_is(map, hint, server, label))
        return hint;
    for (unsigned i = 0; i < PQB_APPS; i++)
        if (app_is(map, i, server, label))
            return i;
    return PQB_NIL;
}

int pqb_registry_app_is_reusable(const struct pqb_app_row *row)
{
    return row->taken != 1 || (!row->claims && row->limit == PQB_UNLIMITED && !row->min);
}

unsigned pqb_registry_app_make(struct pqb_layout *map, unsigned server, const char *label,
                               unsigned hint)
{
    char cut[PQB_LABEL_BYTES] = {0};
    memcpy(cut, label, strnlen(label, sizeof cut - 1));
    unsigned found = pqb_registry_app(map, server, cut, hint);
    if (found != PQB_NIL)
        return found;
    for (unsigned i = 0; i < PQB_APPS && found == PQB_NIL; i++)
        if (map->app[i].taken != 1)
            found = i;
    for (unsigned i = 0; i < PQB_APPS && found == PQB_NIL; i++)
        if (pqb_registry_app_is_reusable(&map->app[i]))
            found = i;
    if (found == PQB_NIL)
        return PQB_NIL;
    struct pqb_app_row *row = &map->app[found];
    *row = (struct pqb_app_row){.server = (uint16_t)server, .limit = PQB_UNLIMITED};
    memcpy(row->label, cut, sizeof row->label);
    row->taken = 1;
    return found;
}

uint64_t pqb_registry_minimums(const struct pqb_layout *map, unsigned server)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < PQB_APPS; i++)
        if (map->app[i].taken == 1 && map->app[i].server == server)
            sum += map->app[i].min;
    return sum;
}

/* ---- aliases ---- */

unsigned pqb_registry_alias(const struct pqb_layout *map, const char *address)
{
    for (unsigned i = 0; i < PQB_ALIASES; i++)
        if (map->alias[i].taken == 1 && text_is(map->alias[i].address, PQB_ADDRESS_BYTES, address))
            return i;
    return PQB_NIL;
}

void pqb_registry_alias_drop(struct pqb_layout *map, unsigned alias)
{
    memset(&map->alias[alias], 0, sizeof map->alias[alias]);
}

int pqb_registry_alias_make(struct pqb_layout *map, const char *address, unsigned server, int fixed,
                            uint64_t now)
{
    size_t length = strlen(address);
    if (!length || length >= PQB_ADDRESS_BYTES)
        return 0;
    unsigned found = pqb_registry_alias(map, address);
    uint64_t oldest = UINT64_MAX;
    for (unsigned i = 0; i < PQB_ALIASES && found == PQB_NIL; i++)
        if (map->alias[i].taken != 1)
            found = i;
    if (found == PQB_NIL)
        for (unsigned i = 0; i < PQB_ALIASES; i++)
            if (!map->alias[i].fixed && map->alias[i].learnt_at < oldest) {
                oldest = map->alias[i].learnt_at;
                found = i;
            }
    if (found == PQB_NIL)
        return 0;
    struct pqb_alias_row *row = &map->alias[found];
    *row = (struct pqb_alias_row){
        .server = (uint16_t)server, .fixed = (uint16_t) !!fixed, .learnt_at = now};
    memcpy(row->address, address, length + 1);
    row->taken = 1;
    return 1;
}

unsigned pqb_registry_apps_to_have(const struct pqb_layout *map)
{
    unsigned count = 0;
    for (unsigned i = 0; i < PQB_APPS; i++)
        count += (unsigned)pqb_registry_app_is_reusable(&map->app[i]);
    return count;
}

unsigned pqb_registry_aliases_to_have(const struct pqb_layout *map)
{
    unsigned count = 0;
    for (unsigned i = 0; i < PQB_ALIASES; i++)
        count += map->alias[i].taken != 1 || !map->alias[i].fixed;
    return count;
}

/* ---- repair ---- */

static int is_terminated(const char *text, size_t capacity)
{
    return *text && strnlen(text, capacity) < capacity;
}

static void config_repair(struct pqb_layout *map, unsigned server)
{
    struct pqb_server_config *config = &map->server[server].config;
    if (config->paused > 1 || config->configured > 1 || !config->limit) {
        *config = pqb_server_defaults;
        config->configured = 1;
    }
    if (config->reserve >= config->limit)
        config->reserve = config->limit - 1;
    if (pqb_registry_minimums(map, server) <= pqb_registry_general(config))
        return;
    for (unsigned i = 0; i < PQB_APPS; i++)
        if (map->app[i].taken && map->app[i].server == server)
            map->app[i].min = 0;
}

static int names_server(const struct pqb_layout *map, unsigned server)
{
    return server < PQB_SERVERS && map->server[server].taken == 1;
}

void pqb_registry_repair(struct pqb_layout *map)
{
    for (unsigned i = 0; i < PQB_SERVERS; i++)
        if (map->server[i].taken != 1 || !is_terminated(map->server[i].key, PQB_KEY_BYTES))
            memset(&map->server[i], 0, sizeof map->server[i]);
    for (unsigned i = 0; i < PQB_APPS; i++)
        if (map->app[i].taken != 1 || !names_server(map, map->app[i].server) ||
            !is_terminated(map->app[i].label, PQB_LABEL_BYTES))
            memset(&map->app[i], 0, sizeof map->app[i]);
        else if (!map->app[i].limit) /* nobody could ever have one */
            map->app[i].limit = PQB_UNLIMITED;
    for (unsigned i = 0; i < PQB_ALIASES; i++)
        if (map->alias[i].taken != 1 || !names_server(map, map->alias[i].server) ||
            !is_terminated(map->alias[i].address, PQB_ADDRESS_BYTES))
            memset(&map->alias[i], 0, sizeof map->alias[i]);
    for (unsigned i = 0; i < PQB_SERVERS; i++)
        if (map->server[i].taken)
            config_repair(map, i);
}
