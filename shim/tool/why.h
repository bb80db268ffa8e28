/* Why a connection is not in the ledger, and what to do about it. */
#ifndef PQB_TOOL_WHY_H
#define PQB_TOOL_WHY_H

#include "tool/program.h"

/* What the doctor says of a connection. */
enum pqb_kind {
    PQB_KIND_MANAGED,   /* in the ledger */
    PQB_KIND_UNMANAGED, /* of a process of this machine, and not */
    PQB_KIND_REMOTE,    /* from elsewhere */
    PQB_KIND_UNKNOWN,   /* nobody can be seen behind it */
};
#define PQB_KINDS 4

enum pqb_why {
    PQB_WHY_NONE, /* it is in the ledger */
    PQB_WHY_TOOL,
    PQB_WHY_FORWARDER,
    PQB_WHY_OFF,
    PQB_WHY_LEDGER,
    PQB_WHY_CONTAINER,
    PQB_WHY_DOOR,
    PQB_WHY_PORT,
    PQB_WHY_GO,
    PQB_WHY_REPLACED,
    PQB_WHY_EARLIER,
    PQB_WHY_PAST,
    PQB_WHY_STATIC,
    PQB_WHY_SETUID,
    PQB_WHY_WORD_SIZE,
    PQB_WHY_NO_LIBRARY,
    PQB_WHY_NOT_LOADED,
    PQB_WHY_NOT_PRELOADED,
    PQB_WHY_OTHER_USER,
    PQB_WHY_REMOTE,
    PQB_WHY_HIDDEN,
    PQB_WHY_UNSEEN,
};
#define PQB_WHYS (PQB_WHY_UNSEEN + 1)

struct pqb_why_words {
    enum pqb_kind kind;
    const char *id;   /* for programs */
    const char *text; /* what is so of the process; NULL = nothing is wrong with that */
    const char *remedy;
};

/* What there is to know beside the process. */
struct pqb_why_place {
    const char *ledger;   /* its path */
    uint64_t made_ago_ms; /* how long there has been a ledger; 0 = there is none */
    unsigned port;        /* that the process has connected to */
};

/* Of a process that was found behind a connection that began so long ago, negative = unknown. */
enum pqb_why pqb_why_of(const struct pqb_program *program, const struct pqb_why_place *place,
                        long long age_ms);

const struct pqb_why_words *pqb_why_words(enum pqb_why why);
const char *pqb_kind_name(enum pqb_kind kind);

#endif
