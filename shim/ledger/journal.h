/* What happened: the ring of recent events, and the histogram of waits. */
#ifndef PQB_LEDGER_JOURNAL_H
#define PQB_LEDGER_JOURNAL_H

#include "ledger/layout.h"

enum pqb_event_kind {
    PQB_EVENT_GRANTED = 1,
    PQB_EVENT_QUEUED, /* did not get a slot at once */
    PQB_EVENT_TIMED_OUT,
    PQB_EVENT_REFUSED,
    PQB_EVENT_DIED,       /* a holder or waiter went without giving back */
    PQB_EVENT_TAKEN_BACK, /* a grant was not taken up for a second */
    PQB_EVENT_RECOVERED,  /* somebody died inside the guard; the books were rebuilt */
    PQB_EVENT_CONFIGURED,
    PQB_EVENT_PAUSED,
    PQB_EVENT_RESUMED,
    PQB_EVENT_YIELDED, /* an idle connection gave way to who waits */
    PQB_EVENT_KINDS,
};

struct pqb_event {
    uint64_t number; /* counts from 1 */
    uint64_t at_ns;  /* CLOCK_REALTIME */
    uint64_t value;  /* of GRANTED, TIMED_OUT, REFUSED: the wait in ns; of CONFIGURED: the limit;
                        of YIELDED: how long it was idle, in ns */
    enum pqb_event_kind kind;
    int32_t pid;
    uint16_t server; /* PQB_NIL = the whole ledger */
    char app[41];
    int32_t other_pid; /* of YIELDED: whom it gave way to; 0 otherwise */
    char other_app[41];
};

/* "granted", "queued", … */
const char *pqb_event_name(enum pqb_event_kind kind);

/* Never blocks; at any time, by anybody. A writer that dies half way leaves a gap in the ring. */
void pqb_journal_write(struct pqb_layout *map, enum pqb_event_kind kind, uint16_t server,
                       const char *app, int32_t pid, uint64_t value);

/* The same, of something that concerns another process too. */
void pqb_journal_write_for(struct pqb_layout *map, enum pqb_event_kind kind, uint16_t server,
                           const char *app, int32_t pid, uint64_t value, const char *other_app,
                           int32_t other_pid);

/* Number of the latest event, 0 if there was none. */
uint64_t pqb_journal_latest(const struct pqb_layout *map);

/* Reads event `number`. 0 if it has been overwritten, is not there yet or was never finished. */
int pqb_journal_read(const struct pqb_layout *map, uint64_t number, struct pqb_event *event);

/* Upper bounds of the histogram's buckets in ns; the last one is unbounded (UINT64_MAX). */
extern const uint64_t pqb_wait_bounds[PQB_WAIT_BUCKETS];
unsigned pqb_wait_bucket_of(uint64_t waited_ns);

#endif
