/* The rows of servers, applications and aliases: finding, making, reusing. Inside the guard. */
#ifndef PQB_LEDGER_REGISTRY_H
#define PQB_LEDGER_REGISTRY_H

#include "ledger/layout.h"

#define PQB_ALIAS_AGE (600 * 1000000000ull)

/* A new server's configuration where the environment says nothing. */
extern const struct pqb_server_config pqb_server_defaults;

/* Index of the server with this key, PQB_NIL if there is none. `hint` is looked at first. Aliases
 * are not followed. Also outside the guard, if the caller checks again inside. */
unsigned pqb_registry_server(const struct pqb_layout *map, const char *key, unsigned hint);

/* The server a key or address means: its own row, else its alias's. */
unsigned pqb_registry_resolve(const struct pqb_layout *map, const char *key, unsigned hint,
                              uint64_t now);

/* A key that means another server in every network namespace (localhost) is the first comer's. The
 * others' rows have their namespace in their names: 1, or 0 if that is too long. */
int pqb_registry_key_in(char to[PQB_KEY_BYTES], const char *key, uint64_t network);

/* The server such a key means in this one; 0 = it means the same everywhere. */
unsigned pqb_registry_resolve_in(const struct pqb_layout *map, const char *key, uint64_t network,
                                 unsigned hint, uint64_t now);

/* Makes the row. PQB_NIL if the table is full of servers in use, or the key is too long. */
unsigned pqb_registry_server_make(struct pqb_layout *map, const char *key,
                                  const struct pqb_server_config *config, uint64_t now);

/* Does any claim name it? */
int pqb_registry_server_is_used(const struct pqb_layout *map, unsigned server);

/* Index of the application on that server, PQB_NIL if there is none. */
unsigned pqb_registry_app(const struct pqb_layout *map, unsigned server, const char *label,
                          unsigned hint);

/* Finds or makes it. With the table full of rows in use it is PQB_NIL. */
unsigned pqb_registry_app_make(struct pqb_layout *map, unsigned server, const char *label,
                               unsigned hint);

/* A free row, or one that nobody uses or has configured; and how many of them there are. */
int pqb_registry_app_is_reusable(const struct pqb_app_row *row);
unsigned pqb_registry_apps_to_have(const struct pqb_layout *map);

/* Sum of the applications' guaranteed minimums on a server. */
uint64_t pqb_registry_minimums(const struct pqb_layout *map, unsigned server);

/* What general has: limit less reserve. */
uint64_t pqb_registry_general(const struct pqb_server_config *config);

/* Index of the alias row, PQB_NIL if there is none. */
unsigned pqb_registry_alias(const struct pqb_layout *map, const char *address);

/* Makes or renews an alias; the oldest learnt one gives way when the table is full. 0 if it can't:
 * too long, or the table is full of fixed ones. */
int pqb_registry_alias_make(struct pqb_layout *map, const char *address, unsigned server, int fixed,
                            uint64_t now);

/* How many rows there are for fixed aliases: free ones, and those that were learnt. */
unsigned pqb_registry_aliases_to_have(const struct pqb_layout *map);
void pqb_registry_alias_drop(struct pqb_layout *map, unsigned alias);

/* Repairs what makes no sense in the three tables. */
void pqb_registry_repair(struct pqb_layout *map);

#endif
