/* How close to its limit a server is: the ledger's, or the server's own. */
#ifndef PQB_TOOL_HEALTH_H
#define PQB_TOOL_HEALTH_H

#include "ledger/snapshot.h"
#include "tool/screen.h"

/* Also what `pqbudget health` exits with. */
enum pqb_health_level {
    PQB_HEALTH_OK = 0,
    PQB_HEALTH_WARNING,
    PQB_HEALTH_CRITICAL,
    PQB_HEALTH_UNKNOWN
};

struct pqb_health_bars {
    unsigned warn, crit; /* percent, from which on */
};
#define PQB_HEALTH_BARS ((struct pqb_health_bars){70, 90})

#define PQB_HEALTH_UNTOLD (-1ll) /* of a number: nobody says */

struct pqb_health {
    enum pqb_health_level level;
    int asked_server; /* the server itself said so; else the ledger */
    char server[PQB_KEY_BYTES + 1];
    long long limit; /* max_connections, or the budget's */
    long long total, idle, active, waiting;
    char why[320]; /* it is so for another reason than those numbers; else "" */
};

/* "ok", "warning", "critical", "unknown". */
const char *pqb_health_name(enum pqb_health_level level);

/* Of the server with that number in the snapshot, or of the one that is worst off. The ledger does
 * not know who is idle. Unknown where there is no server or none has a limit. */
void pqb_health_of_ledger(const struct pqb_snapshot *snapshot, unsigned only,
                          const struct pqb_health_bars *bars, struct pqb_health *health);

/* What max_connections and pg_stat_activity say, as `conninfo` (database.h) leads there. */
void pqb_health_of_server(const char *conninfo, const struct pqb_health_bars *bars,
                          struct pqb_health *health);

/* Nobody could tell, for that reason. */
void pqb_health_fail(struct pqb_health *health, const char *why);

void pqb_health_json(const struct pqb_health *health, FILE *out);
void pqb_health_text(const struct pqb_health *health, const struct pqb_screen *screen, FILE *out);

#endif
