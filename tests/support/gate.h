/*
 * A limit that many processes share, of one of three kinds, so that they can be measured side by
 * side: pqbudget's ledger; a POSIX named semaphore, which loses a slot with every holder that is
 * killed; a SysV semaphore with SEM_UNDO, which doesn't, but knows no names, no order among several
 * limits, and nothing of the server's own count.
 */
#ifndef PQB_TESTS_GATE_H
#define PQB_TESTS_GATE_H

#include "ledger/wait.h"
#include "support/measure.h"

#include <semaphore.h>

struct gate {
    enum measure_kind kind;
    struct pqb_ledger ledger;
    struct pqb_server_config config;
    sem_t *posix;
    int sysv;
};

/* What one taker holds. Zeroed = nothing. */
struct gate_pass {
    struct pqb_claim claim;
};

/* Ends the program if it can't be made. Children inherit it by fork. */
void gate_make(struct gate *gate, enum measure_kind kind, unsigned limit, unsigned slack);
void gate_end(struct gate *gate);

/* Waits for a slot; 0 when `wait_ms` are over. Ends the program when the gate itself fails. */
int gate_take(struct gate *gate, struct gate_pass *pass, long long wait_ms);
void gate_give(struct gate *gate, struct gate_pass *pass);

/* The same as gate_take by the other kind of waiting: a bell, as a thread uses it that waits for
 * many claims. pqbudget only. */
int gate_take_by_bell(struct gate *gate, struct gate_pass *pass, long long wait_ms);

/* Connected, to a backend whose pid is known here, or to nothing (0). */
void gate_open(struct gate *gate, struct gate_pass *pass, int backend_pid);

/* The request that takes of this gate; pqbudget only. */
struct pqb_claim_request gate_request(const struct gate *gate);

const char *gate_name(enum measure_kind kind);

/* The cells of a row: each kind's figures by `show`, one of measure.h's, as far as it has samples,
 * and pqbudget's median ÷ that of each other. */
void gate_show(struct series series[MEASURE_KINDS], const char *unit,
               void (*show)(const char *column, struct series *series, const char *unit));

#endif
