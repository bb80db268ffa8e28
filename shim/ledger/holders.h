/* Who holds a server's connections: the few words that a refusal needs. For any process at any
 * moment: takes no lock, allocates nothing, reads each claim once. */
#ifndef PQB_LEDGER_HOLDERS_H
#define PQB_LEDGER_HOLDERS_H

#include "ledger/claim.h"

#define PQB_HOLDERS 8

struct pqb_holders_app {
    char label[PQB_LABEL_BYTES + 1];
    uint32_t used;
};

struct pqb_holders {
    uint32_t used;  /* granted, connecting, open, and draining ones that are not in slack */
    uint32_t limit; /* PQB_UNLIMITED = none */
    uint32_t reserve;
    int is_paused;
    unsigned ahead; /* claims that wait and were asked for before `asked_at` */
    unsigned apps;
    struct pqb_holders_app app[PQB_HOLDERS]; /* those that hold most; no application without any */
    unsigned more;                           /* applications that did not fit, */
    uint32_t more_used;                      /* and what they hold */
};

/* What one process has of them. */
struct pqb_holders_own {
    uint32_t held; /* granted, connecting, open */
    uint64_t age;  /* of the one that was opened first, in ns */
    uint64_t idle; /* for so long the one left alone longest was not used; 0 = not known */
};

/* `server` is a key or an alias, `asked_at` a time of pqb_now. PQB_OK, PQB_ABSENT (the ledger
 * doesn't know that server), or what pqb_region_check says; *out is empty then. Where grants go on
 * all the while, the counts are not those of one instant. */
enum pqb_status pqb_holders_look(struct pqb_region *region, const char *server, uint64_t asked_at,
                                 struct pqb_holders *out) __attribute__((warn_unused_result));

/* The same of the process of that id. Asks the kernel about its connections, up to some hundreds.
 */
void pqb_holders_own(struct pqb_region *region, const char *server, uint64_t process,
                     struct pqb_holders_own *out);

/* How many claims on the server of this one wait with their sockets connected. A moment's count. */
unsigned pqb_holders_connected(const struct pqb_claim *claim);

#endif
