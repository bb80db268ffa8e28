/* What is to be said of a server and a ledger that were looked at, each with what to do. */
#ifndef PQB_TOOL_FINDINGS_H
#define PQB_TOOL_FINDINGS_H

#include "tool/checkup.h"

enum pqb_level { PQB_LEVEL_INFO, PQB_LEVEL_WARNING, PQB_LEVEL_CRITICAL };

struct pqb_finding {
    const char *id; /* for programs */
    enum pqb_level level;
    unsigned count; /* of what it is about */
    char text[480];
    char remedy[320]; /* "" = none is needed */
};

#define PQB_FINDINGS 64

struct pqb_findings {
    unsigned count;
    struct pqb_finding one[PQB_FINDINGS];
};

/* How the connections are made up. */
struct pqb_census {
    unsigned kind[PQB_KINDS], why[PQB_WHYS];
    unsigned hidden, nameless;
    unsigned idle, active, in_transaction; /* idle in one */
    unsigned idle_long, in_transaction_long;
    unsigned idle_kept; /* idle ones of the ledger's, whose programs never give way */
    long long idle_longest_ms, in_transaction_longest_ms;
};

#define PQB_CENSUS_IDLE_MS 300000
#define PQB_CENSUS_TRANSACTION_MS 60000

struct pqb_census pqb_census_of(const struct pqb_checkup *checkup);

void pqb_findings_make(const struct pqb_checkup *checkup, const struct pqb_census *census,
                       struct pqb_findings *findings);

/* The worst of them; INFO if there is none. */
enum pqb_level pqb_findings_level(const struct pqb_findings *findings);
const char *pqb_level_name(enum pqb_level level);

#endif
