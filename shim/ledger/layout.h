/*
 * The bytes of the ledger file, as every process on the machine maps them.
 *
 * Caveats, for whoever changes this file:
 *  - Any change of a size, an offset or a meaning needs a new PQB_LAYOUT_VERSION.
 *  - Nothing here can be trusted: another process may have died while writing it, or scribbled on
 *    it. Every index read from here is checked against its table before it is used, every walk
 *    along a list is bounded by the table's size, and every text is copied with a length.
 *  - Three kinds of fields. "atomic": anybody, any time. "guard": only inside the guard
 *    (guard.h); rebuilt from the claims when a guard's owner died. "owner": written by the claim's
 *    owner while the claim is FREE and its life lock held, read by others once it is published.
 */
#ifndef PQB_LEDGER_LAYOUT_H
#define PQB_LEDGER_LAYOUT_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define PQB_LAYOUT_VERSION 4u
#define PQB_MAGIC 0x0a54474455425150ull /* "PQBUDGT\n" */

#define PQB_GROUP_CLAIMS                                                                           \
    64u /* claims per lock file: the kernel's lock list is linear per inode                        \
         */
#define PQB_GROUPS 157u
#define PQB_CLAIMS (PQB_GROUPS * PQB_GROUP_CLAIMS) /* 10,048 */
#define PQB_SERVERS 64u
#define PQB_APPS 512u
#define PQB_ALIASES 128u
#define PQB_EVENTS 512u
#define PQB_BELLS 1024u
#define PQB_ACCOUNT_BUCKETS 16384u
#define PQB_WAIT_BUCKETS 16u
#define PQB_SUMMARY_WORDS ((PQB_GROUPS + 63u) / 64u)

#define PQB_NIL 0xffffu           /* no claim, account, application or server */
#define PQB_UNLIMITED 0xffffffffu /* no limit; of a wait: for ever */

#define PQB_KEY_BYTES 512
#define PQB_LABEL_BYTES 64
#define PQB_ADDRESS_BYTES 112

enum pqb_claim_state {
    PQB_CLAIM_FREE = 0,
    PQB_CLAIM_WAITING,
    PQB_CLAIM_GRANTED,    /* given by whoever dispatched */
    PQB_CLAIM_CONNECTING, /* taken up by its owner */
    PQB_CLAIM_OPEN,
    PQB_CLAIM_DRAINING, /* closed here; the server still counts its backend */
    PQB_CLAIM_GONE,     /* holds and wants nothing; FREE once it is off the books */
};

/* A claim's control word: generation << 32 | flags | state. Every change is one compare-and-swap
 * that names the generation, so that a late hand can't touch the index's next claim. */
#define PQB_CTL_STATE 0xffu
#define PQB_CTL_SKIPPED 0x100u /* did not take up a grant; passed over until it shows life */

static inline enum pqb_claim_state pqb_ctl_state(uint64_t ctl)
{
    return (enum pqb_claim_state)(ctl & PQB_CTL_STATE);
}

static inline uint32_t pqb_ctl_generation(uint64_t ctl)
{
    return (uint32_t)(ctl >> 32);
}

/* The same generation in another state, without flags. */
static inline uint64_t pqb_ctl_next(uint64_t ctl, enum pqb_claim_state state)
{
    return (ctl >> 32) << 32 | (uint64_t)state;
}

enum pqb_door { PQB_DOOR_LIBPQ = 0, PQB_DOOR_SOCKET };

/* What an OPEN claim's connection is doing, as its owner said when he was last asked (yield.h). */
enum pqb_session_state {
    PQB_SESSION_UNTOLD = 0, /* nobody follows it: its process does not give way */
    PQB_SESSION_ACTIVE,
    PQB_SESSION_TRANSACTION, /* idle in a transaction */
    PQB_SESSION_SHARED,      /* another process has the socket too */
    PQB_SESSION_IDLE,
    /* Those from here on never give way. */
    PQB_SESSION_UNSEEN, /* encrypted, or not understood */
    PQB_SESSION_PINNED, /* for the reason that is added: PQB_SESSION_PINS of them */
    PQB_SESSION_PINS = 10,
};

/* What the books have a claim down for. */
enum pqb_booked {
    PQB_BOOKED_NONE = 0,
    PQB_BOOKED_QUEUE,
    PQB_BOOKED_GENERAL,
    PQB_BOOKED_RESERVE,
    PQB_BOOKED_SLACK, /* a drainer that blocks nobody */
};

/* Where the kernel has a socket in its tables (diag.h): a TCP socket by its addresses and ports, in
 * network byte order; a Unix socket by its inode, which then is local[0]. */
struct pqb_socket_place {
    uint64_t network; /* its network namespace */
    uint32_t local[4], remote[4];
    uint16_t family; /* AF_INET also for a v4-mapped one */
    uint16_t local_port, remote_port;
    uint16_t spare;
};

struct pqb_claim_row {
    _Atomic uint64_t ctl;
    uint64_t ticket;              /* guard */
    uint64_t process;             /* owner: the random id of the process */
    uint64_t asked_at;            /* owner; every time is CLOCK_MONOTONIC in ns */
    _Atomic uint64_t changed_at;  /* when the present state began */
    _Atomic uint64_t drain_until; /* DRAINING ends then at the latest: pqb_ending_stamp */
    uint64_t backend_start;       /* owner: clock ticks by which the backend has started */
    uint64_t waited;              /* guard: how long it queued */
    _Atomic uint32_t word;        /* futex of a blocked owner; counts grants */
    uint32_t process_cap;         /* owner: 0 = none */
    int32_t pid;                  /* owner: for people, never to decide who lives */
    uint32_t pid_ns;              /* owner: inode of the pid namespace of pid and backend_pid */
    int32_t backend_pid;          /* owner: 0 = unknown */
    uint8_t backend_seen;         /* owner: 1 if the backend was found on this machine */
    _Atomic uint8_t session;      /* owner: enum pqb_session_state */
    _Atomic uint16_t declined_at; /* owner: the second (wish.h) in which it said no; 0 = never */
    uint16_t server;              /* owner; moved by a merge of servers, under the guard */
    uint16_t app;                 /* guard */
    uint16_t account;             /* guard */
    _Atomic uint16_t bell; /* owner: 1 + index of the bell to ring at a grant or a wish, 0 = none */
    uint16_t previous, next;             /* guard: the queue, or the list of reserve claims */
    uint16_t drain_previous, drain_next; /* guard: the server's drainers */
    uint8_t booked;                      /* guard: enum pqb_booked */
    uint8_t booked_login;                /* guard: counted as logging in */
    uint8_t booked_held;                 /* guard: counted as held by its process */
    uint8_t booked_draining;             /* guard: in the list of drainers */
    uint8_t door;                        /* owner: enum pqb_door */
    _Atomic uint8_t hot;  /* 1 + place among the first of the queue, 0 = further back */
    _Atomic uint8_t tick; /* when it last ticked or was told to (admission.h), 0 = it does not */
    _Atomic uint8_t is_connected; /* owner: it waits, and its socket is connected already */
    char application_name[64];    /* owner, as all texts below: not necessarily terminated */
    char user[40];
    char database[40];
    char command[56];
    _Atomic uint32_t idle_since;  /* owner: in ms; it was used no later than this, or not at all */
    _Atomic uint32_t yield_after; /* owner: in ms of idleness it may be asked for; 0 = never */
    /* Of a claim of the socket door: its socket's cookie, 0 = not known. Written by the owner once,
     * after the place, when it is CONNECTING or OPEN; who reads it checks afterwards that the
     * generation has not changed. Of one of libpq's, the place has the remote half alone. */
    _Atomic uint64_t socket_cookie;
    struct pqb_socket_place socket_place;
};

/* What one process has on one server. Guard. Free rows are chained through next. */
struct pqb_account_row {
    uint64_t process; /* 0 = free row */
    uint16_t server;
    uint16_t next;   /* in its bucket */
    uint16_t held;   /* claims GRANTED, CONNECTING or OPEN */
    uint16_t claims; /* claims on the books at all */
};

/* Guard, but for the label and the two limits, which `set` writes under the guard too. */
struct pqb_app_row {
    uint16_t taken; /* 1, or 0 = free row */
    uint16_t server;
    uint32_t limit; /* PQB_UNLIMITED = none */
    uint32_t min;
    uint32_t claims;  /* on the books at all; at 0 an unconfigured row may be reused */
    uint32_t used;    /* charged to general or reserve */
    uint32_t general; /* charged to general */
    uint32_t waiting;
    uint32_t spare;
    char label[PQB_LABEL_BYTES];
};

struct pqb_server_config {
    uint32_t limit; /* PQB_UNLIMITED = none */
    uint32_t reserve;
    uint32_t wait_ms; /* PQB_UNLIMITED = for ever */
    uint32_t logins;  /* 0 = no damper */
    uint32_t drain_ms;
    uint32_t slack;
    uint32_t paused;
    uint32_t configured; /* somebody ran `set` on it: the row is kept */
};

struct pqb_server_row {
    uint32_t taken; /* 1, or 0 = free row; guard */
    uint16_t queue_head, queue_tail;
    uint16_t reserve_head, reserve_tail;
    uint16_t drain_head, drain_tail;
    struct pqb_server_config config;
    /* The books: guard. Each can be had by counting claims, and is, after a death. */
    uint32_t general, reserve, slack; /* claims charged to each pool */
    uint32_t waiting, logging_in, draining;
    uint32_t unmet; /* sum over applications of max(0, min - general) */
    uint32_t peak;
    uint64_t created_at;
    uint64_t granted_total;
    _Atomic uint64_t timeout_total;
    _Atomic uint64_t refused_total;
    _Atomic uint64_t reaped_total;
    uint64_t wait_ns_total;
    uint64_t wait_bucket[PQB_WAIT_BUCKETS]; /* journal.h has the bounds */
    uint64_t network; /* the network namespace that its key is meant in; 0 = any */
    /* Giving way (yield.h). A claim is named by generation << 32 | index + 1; 0 = none. */
    _Atomic uint64_t asked;     /* the claim that is asked for */
    _Atomic uint64_t asked_for; /* the waiter it is asked for */
    uint64_t asked_at;          /* guard */
    uint64_t ask_next;          /* guard: before it, nobody is looked for again */
    _Atomic uint64_t yielded_total;
    _Atomic uint32_t yields; /* there are claims that may be asked for */
    uint32_t asked_times;    /* guard: so often was the holder rung for it */
    uint64_t spare[9];
    char key[PQB_KEY_BYTES];
};

struct pqb_alias_row {
    uint32_t taken; /* 1, or 0 = free row. Guard, as the whole row */
    uint16_t server;
    uint16_t fixed; /* made by `set --alias`: does not age */
    uint64_t learnt_at;
    char address[PQB_ADDRESS_BYTES];
};

struct pqb_event_row {
    _Atomic uint64_t sequence; /* 0 while it is being written; 1 + its number after */
    uint64_t at_ns;            /* CLOCK_REALTIME: for people */
    uint64_t value; /* of a grant or timeout: the wait in ns; of `set`: the new limit; of a
                       connection that gave way: how long it was idle, in ns */
    int32_t pid;
    uint16_t kind;
    uint16_t server;
    int32_t other_pid; /* of a connection that gave way: whom it gave way to */
    uint32_t spare;
    char app[40];
    char other_app[40];
};

/* Never changes after the ledger was linked into place; covered by the checksum. */
struct pqb_identity {
    uint64_t magic;
    uint32_t version;
    uint32_t word_bits;
    uint64_t size;
    uint64_t id;           /* random; names the folder of lock files */
    uint64_t locks_device; /* where the lock files are */
    uint64_t guard_inode;
    uint64_t group_inode[PQB_GROUPS];
    uint64_t checksum;
};

#define PQB_DIRTY_INSIDE 1u /* an owner of the guard is inside, or died there */
#define PQB_DIRTY_SUSPECT                                                                          \
    2u /* two may have been inside at once: an owner's lock file was closed                        \
        */

struct pqb_header {
    struct pqb_identity identity;
    _Atomic uint32_t retired; /* `reset` has given this ledger up */
    _Atomic uint32_t dirty;   /* PQB_DIRTY_…; not 0 at entering: rebuild */
    /* Beside the guard's lock: who can't get it sleeps on guard_word. Hints only. */
    _Atomic uint32_t guard_held;
    _Atomic uint32_t guard_word;
    _Atomic uint32_t guard_sleepers;
    _Atomic uint32_t waiting; /* claims queued, all servers; pairs with pending: see claim.c */
    uint64_t next_ticket;     /* guard */
    _Atomic uint64_t grants;  /* bumped before each grant; lets a reader see that none happened */
    _Atomic uint64_t reaper_until; /* somebody is looking for the dead until then */
    _Atomic uint32_t reap_cursor;
    _Atomic uint32_t ask_cursor; /* where the last look for closed sockets ended */
    uint16_t account_free;       /* guard */
    _Atomic uint16_t rebuilds;   /* odd while the books are being rebuilt, and say nothing */
    _Atomic uint64_t next_event;
    uint64_t created_at_ns;                             /* CLOCK_REALTIME */
    _Atomic uint64_t busy[PQB_GROUPS];                  /* bit set: not FREE. A hint to find one */
    _Atomic uint64_t pending[PQB_GROUPS];               /* bit set: the books must look at it */
    _Atomic uint64_t pending_groups[PQB_SUMMARY_WORDS]; /* bit set: that word of pending is not 0 */
    _Atomic uint32_t bell[PQB_BELLS];                   /* futexes shared by whoever hashes there */
    uint16_t account_bucket[PQB_ACCOUNT_BUCKETS];       /* guard */
};

struct pqb_layout {
    struct pqb_header header;
    _Alignas(64) struct pqb_server_row server[PQB_SERVERS];
    struct pqb_app_row app[PQB_APPS];
    struct pqb_alias_row alias[PQB_ALIASES];
    struct pqb_event_row event[PQB_EVENTS];
    struct pqb_account_row account[PQB_CLAIMS];
    _Alignas(64) struct pqb_claim_row claim[PQB_CLAIMS];
};

#define PQB_LEDGER_BYTES sizeof(struct pqb_layout)

/* An index, read once: what is checked and what is used are the same, whoever writes meanwhile. */
static inline uint16_t pqb_once(const uint16_t *index)
{
    return __atomic_load_n(index, __ATOMIC_RELAXED);
}

#define PQB_AT(type, field, offset)                                                                \
    _Static_assert(__builtin_offsetof(struct type, field) == (offset), #type "." #field)
_Static_assert(sizeof(struct pqb_claim_row) == 376, "claim");
_Static_assert(sizeof(struct pqb_socket_place) == 48, "place");
_Static_assert(sizeof(struct pqb_account_row) == 16, "account");
_Static_assert(sizeof(struct pqb_app_row) == 96, "application");
_Static_assert(sizeof(struct pqb_server_config) == 32, "configuration");
_Static_assert(sizeof(struct pqb_server_row) == 896, "server");
_Static_assert(sizeof(struct pqb_alias_row) == 128, "alias");
_Static_assert(sizeof(struct pqb_event_row) == 120, "event");
_Static_assert(sizeof(struct pqb_identity) == 1312, "identity");
_Static_assert(sizeof(struct pqb_header) == 40792, "header");
_Static_assert(sizeof(struct pqb_layout) == 4163968, "ledger");
_Static_assert(sizeof(struct pqb_layout) <= 4u << 20, "the bar of 4 MiB for 10,000 claims");
PQB_AT(pqb_claim_row, server, 88);
PQB_AT(pqb_claim_row, application_name, 112);
PQB_AT(pqb_claim_row, socket_cookie, 320);
PQB_AT(pqb_claim_row, socket_place, 328);
PQB_AT(pqb_server_row, key, 384);
PQB_AT(pqb_header, retired, 1312);
PQB_AT(pqb_header, busy, 1392);
PQB_AT(pqb_header, bell, 3928);
PQB_AT(pqb_layout, server, 40832);
PQB_AT(pqb_layout, claim, 385920);

#endif
