/* Changing a ledger while it is in use: configuration, pause, aliases, giving it up. Each change is
 * checked whole before any of it is made. */
#ifndef PQB_LEDGER_STEER_H
#define PQB_LEDGER_STEER_H

#include "ledger/claim.h"

#define PQB_STEER_LEAVE (-1ll) /* of a number: leave it as it is */
#define PQB_STEER_MANY 32

struct pqb_steer_app {
    const char *label;
    uint32_t limit; /* PQB_UNLIMITED = none */
    uint32_t min;
};

struct pqb_steer {
    const char *server; /* key or alias; NULL = the only one there is */
    int make;           /* make rows for a server or application that the ledger doesn't know */
    long long limit;    /* PQB_UNLIMITED = none, as for wait_ms; PQB_STEER_LEAVE, as all below */
    long long reserve;
    long long wait_ms;
    long long logins;
    long long drain_ms;
    long long slack;
    long long paused;
    unsigned apps;
    struct pqb_steer_app app[PQB_STEER_MANY];
    unsigned aliases;
    const char *alias[PQB_STEER_MANY];
};

/* A change that leaves everything as it is. */
extern const struct pqb_steer pqb_steer_nothing;

/* PQB_OK, PQB_ABSENT (unknown server or application), PQB_INVALID (a value out of range),
 * PQB_REFUSED (the values don't go together), PQB_BUSY. Whoever became eligible is woken. */
enum pqb_status pqb_steer_apply(struct pqb_region *region, const struct pqb_steer *steer,
                                struct pqb_error *error) __attribute__((warn_unused_result));

/* A peer's address was seen for this server. Renews the alias; if the address was an alias of
 * another server, drops it. Nothing happens where the address has a row with claims of its own. */
enum pqb_status pqb_steer_learn(struct pqb_region *region, const char *server, const char *address)
    __attribute__((warn_unused_result));

/* The server's process behind an open claim that was asked for by this key is known by that name
 * (pqb_backend_postmaster). If it is that of another server, the two are one: claims on this key
 * are charged there as soon as it has none of its own, for as long as that is heard again. */
enum pqb_status pqb_steer_learn_postmaster(const struct pqb_claim *claim, const char *key,
                                           const char *postmaster)
    __attribute__((warn_unused_result));

/* Removes and retires the ledger at `path`. Unless `force`, PQB_REFUSED while anything live is in
 * it, and what pqb_region_open says if that can't be told (damaged, of another version). */
enum pqb_status pqb_steer_reset(const char *path, int force, struct pqb_error *error)
    __attribute__((warn_unused_result));

#endif
