#include "support/gate.h"

#include "ledger/tick.h"
#include "support/support.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/sem.h>
#include <time.h>
#include <unistd.h>

const char *gate_name(enum measure_kind kind)
{
    static const char *const names[] = {"pqbudget", "POSIX semaphore", "SysV semaphore"};
    return names[kind];
}

void gate_show(struct series series[MEASURE_KINDS], const char *unit,
               void (*show)(const char *column, struct series *series, const char *unit))
{
    for (unsigned kind = 0; kind < MEASURE_KINDS; kind++)
        if (series[kind].count)
            show(gate_name((enum measure_kind)kind), &series[kind], unit);
    for (unsigned kind = 1; kind < MEASURE_KINDS; kind++) {
        char column[64];
        snprintf(column, sizeof column, "÷ %s", gate_name((enum measure_kind)kind));
        if (series[kind].count)
            measure_value(column, series_median(&series[0]) / series_median(&series[kind]), "×");
    }
}

/* In the folder that PQB_BENCH_DIR names, whose owner removes it however we end; else a test's. */
static void ledger_make(struct gate *gate)
{
    static unsigned count;
    const char *folder = getenv("PQB_BENCH_DIR");
    struct pqb_error error = {{0}};
    char path[256];
    if (!folder) {
        support_ledger_open(&gate->ledger);
        return;
    }
    snprintf(path, sizeof path, "%s/%d.%u", folder, (int)getpid(), ++count);
    if (pqb_ledger_open(&gate->ledger, path, 1, &error))
        measure_fail("%s", error.text);
}

static void posix_make(struct gate *gate, unsigned limit)
{
    char own[64], name[66];
    support_ledger_name(own);
    snprintf(name, sizeof name, "/%s", own);
    gate->posix = sem_open(name, O_CREAT | O_EXCL, 0600, limit);
    if (gate->posix == SEM_FAILED)
        measure_fail("sem_open: %s", strerror(errno));
    sem_unlink(name);
}

static void sysv_make(struct gate *gate, unsigned limit)
{
    union semun {
        int value;
        struct semid_ds *buffer;
        unsigned short *array;
    } start = {.value = (int)limit};
    gate->sysv = semget(IPC_PRIVATE, 1, IPC_CREAT | 0600);
    if (gate->sysv < 0 || semctl(gate->sysv, 0, SETVAL, start))
        measure_fail("semget: %s", strerror(errno));
}

void gate_make(struct gate *gate, enum measure_kind kind, unsigned limit, unsigned slack)
{
    memset(gate, 0, sizeof *gate);
    gate->kind = kind;
    gate->config = (struct pqb_server_config){.limit = limit, .wait_ms = 60000, .slack = slack};
    if (kind == MEASURE_PQBUDGET)
        ledger_make(gate);
    else if (kind == MEASURE_POSIX)
        posix_make(gate, limit);
    else
        sysv_make(gate, limit);
}

void gate_end(struct gate *gate)
{
    if (gate->kind == MEASURE_PQBUDGET)
        support_ledger_end(&gate->ledger);
    else if (gate->kind == MEASURE_POSIX)
        sem_close(gate->posix);
    else
        semctl(gate->sysv, 0, IPC_RMID);
}

struct pqb_claim_request gate_request(const struct gate *gate)
{
    return (struct pqb_claim_request){
        .server = "localhost:5432", .app = "bench", .defaults = &gate->config};
}

static int ledger_take(struct gate *gate, struct gate_pass *pass, long long wait_ms)
{
    struct pqb_error error = {{0}};
    struct pqb_claim_request request = gate_request(gate);
    enum pqb_status status =
        pqb_wait_acquire(&gate->ledger, &request, wait_ms, &pass->claim, NULL, &error);
    if (status && status != PQB_TIMED_OUT)
        measure_fail("pqb_wait_acquire: %s", error.text);
    return !status;
}

static int posix_take(struct gate *gate, long long wait_ms)
{
    struct timespec until;
    if (!sem_trywait(gate->posix))
        return 1;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += wait_ms / 1000;
    while (sem_timedwait(gate->posix, &until)) {
        if (errno == ETIMEDOUT)
            return 0;
        if (errno != EINTR)
            measure_fail("sem_timedwait: %s", strerror(errno));
    }
    return 1;
}

static int sysv_change(struct gate *gate, short change, long long wait_ms)
{
    struct sembuf step = {.sem_op = change, .sem_flg = SEM_UNDO};
    struct timespec left = {.tv_sec = wait_ms / 1000};
    while (semtimedop(gate->sysv, &step, 1, &left)) {
        if (errno == EAGAIN)
            return 0;
        if (errno != EINTR)
            measure_fail("semtimedop: %s", strerror(errno));
    }
    return 1;
}

int gate_take(struct gate *gate, struct gate_pass *pass, long long wait_ms)
{
    switch (gate->kind) {
    case MEASURE_PQBUDGET:
        return ledger_take(gate, pass, wait_ms);
    case MEASURE_POSIX:
        return posix_take(gate, wait_ms);
    default:
        return sysv_change(gate, -1, wait_ms);
    }
}

void gate_give(struct gate *gate, struct gate_pass *pass)
{
    if (gate->kind == MEASURE_PQBUDGET)
        pqb_claim_give(&pass->claim, PQB_END_CLOSED);
    else if (gate->kind == MEASURE_POSIX)
        sem_post(gate->posix);
    else
        sysv_change(gate, +1, 0);
}

int gate_take_by_bell(struct gate *gate, struct gate_pass *pass, long long wait_ms)
{
    struct pqb_error error = {{0}};
    struct pqb_claim_request request = gate_request(gate);
    request.rings_bell = 1;
    uint64_t until = pqb_now() + (uint64_t)wait_ms * PQB_MS;
    if (pqb_wait_submit(&gate->ledger, &request, &pass->claim, &error))
        measure_fail("pqb_wait_submit: %s", error.text);
    struct pqb_region *region = pass->claim.region;
    _Atomic uint32_t *bell = pqb_wait_bell(region);
    unsigned server = region->map->claim[pass->claim.index].server;
    for (;;) {
        uint32_t seen = atomic_load(bell);
        enum pqb_status status = pqb_claim_take(&pass->claim);
        if (!status)
            return 1;
        if (status != PQB_WAITING)
            measure_fail("pqb_claim_take: %s", pqb_status_text(status));
        if ((status = pqb_tick(region, server, NULL)))
            measure_fail("pqb_tick: %s", pqb_status_text(status));
        if (pqb_now() >= until)
            break;
        pqb_futex_wait(bell, seen, pqb_now() + PQB_TICK_HOT, 1);
    }
    pqb_claim_give(&pass->claim, PQB_END_TIMED_OUT);
    return 0;
}

void gate_open(struct gate *gate, struct gate_pass *pass, int backend_pid)
{
    struct pqb_claim_peer peer = {.backend_pid = backend_pid, .is_local = backend_pid > 0};
    if (gate->kind != MEASURE_PQBUDGET)
        return;
    enum pqb_status status = pqb_claim_open(&pass->claim, &peer);
    if (status)
        measure_fail("pqb_claim_open: %s", pqb_status_text(status));
}
