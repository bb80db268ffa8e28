#include "tool/checkup.h"

#include "ledger/os.h"
#include "tool/look.h"
#include "tool/trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const struct pqb_snapshot_server *pqb_checkup_server(const struct pqb_checkup *checkup)
{
    return checkup->row == PQB_NIL ? NULL : &checkup->snapshot.server[checkup->row];
}

/* ---- claims without a backend ---- */

static int by_index(const void *left, const void *right)
{
    const struct pqb_snapshot_claim *a = left, *b = right;
    return (a->index > b->index) - (a->index < b->index);
}

/* Was the same claim open before? Its row in the ledger may have been another's then. */
static int was_open(const struct pqb_snapshot *earlier, const struct pqb_snapshot_claim *claim)
{
    const struct pqb_snapshot_claim *then =
        earlier->claims ? bsearch(claim, earlier->claim, earlier->claims, sizeof *claim, by_index)
                        : NULL;
    return then && then->ticket == claim->ticket && then->state == PQB_CLAIM_OPEN;
}

/* Nobody knows the backend of what is behind a pooler, or on one of several hosts. */
static int has_known_backend(const struct pqb_checkup *checkup,
                             const struct pqb_snapshot_claim *claim)
{
    return claim->backend_pid > 0 && !checkup->server_status && !checkup->activity.is_pooled &&
           !strchr(checkup->server, ',');
}

static enum pqb_status find_alone(struct pqb_checkup *checkup, struct pqb_snapshot *earlier)
{
    const struct pqb_snapshot *snapshot = &checkup->snapshot;
    char *has_backend = calloc(snapshot->claims + 1u, 1);
    checkup->claim = calloc(snapshot->claims + 1u, sizeof *checkup->claim);
    checkup->is_lost = calloc(snapshot->claims + 1u, 1);
    if (!has_backend || !checkup->claim || !checkup->is_lost) {
        free(has_backend);
        return PQB_NO_MEMORY;
    }
    if (earlier->claims)
        qsort(earlier->claim, earlier->claims, sizeof *earlier->claim, by_index);
    for (unsigned i = 0; i < checkup->cases; i++)
        if (checkup->one[i].claim)
            has_backend[checkup->one[i].claim - snapshot->claim] = 1;
    for (unsigned i = 0; i < snapshot->claims; i++) {
        const struct pqb_snapshot_claim *claim = &snapshot->claim[i];
        if (has_backend[i] || claim->server != checkup->row)
            continue;
        checkup->is_lost[checkup->alone] = claim->state == PQB_CLAIM_OPEN &&
                                           has_known_backend(checkup, claim) &&
                                           was_open(earlier, claim);
        checkup->claim[checkup->alone++] = i;
    }
    free(has_backend);
    return PQB_OK;
}

/* ---- processes ---- */

static int by_pid(const void *left, const void *right)
{
    const struct pqb_program *a = left, *b = right;
    return (a->pid > b->pid) - (a->pid < b->pid);
}

static const struct pqb_program *find_program(const struct pqb_checkup *checkup, int32_t pid)
{
    struct pqb_program wanted = {.pid = pid};
    return checkup->programs
               ? bsearch(&wanted, checkup->program, checkup->programs, sizeof wanted, by_pid)
               : NULL;
}

/* Looks at every process that is behind a backend, once. */
static enum pqb_status look_at_programs(struct pqb_checkup *checkup, const struct pqb_trace *trace)
{
    struct pqb_program *list = calloc(checkup->cases + 1u, sizeof *list);
    unsigned kept = 0;
    if (!list)
        return PQB_NO_MEMORY;
    for (unsigned i = 0; i < checkup->cases; i++)
        list[i].pid = trace[i].pid;
    qsort(list, checkup->cases, sizeof *list, by_pid);
    for (unsigned i = 0; i < checkup->cases; i++)
        if (list[i].pid > 0 && (!kept || list[i].pid != list[kept - 1].pid))
            pqb_program_look(list[i].pid, &list[kept++]);
    checkup->program = list;
    checkup->programs = kept;
    return PQB_OK;
}

/* ---- joining ---- */

static uint64_t ledger_age_ms(const struct pqb_checkup *checkup)
{
    uint64_t now = checkup->asked_at_ns, then = checkup->snapshot.created_at_ns;
    return !checkup->ledger_status && now > then ? (now - then) / PQB_MS : 0;
}

static enum pqb_why why_of(const struct pqb_checkup *checkup, const struct pqb_case *one,
                           const struct pqb_trace *trace)
{
    const struct pqb_activity *activity = &checkup->activity;
    struct pqb_why_place place = {
        .ledger = checkup->path,
        .made_ago_ms = ledger_age_ms(checkup),
        .port = activity->own_peer.port ? activity->own_peer.port : activity->port,
    };
    if (one->claim)
        return PQB_WHY_NONE;
    if (one->program)
        return pqb_why_of(one->program, &place, one->backend->age_ms);
    if (trace->is_far)
        return PQB_WHY_REMOTE;
    if (one->uid >= 0 && one->uid != geteuid())
        return PQB_WHY_OTHER_USER;
    return one->backend->is_hidden ? PQB_WHY_HIDDEN : PQB_WHY_UNSEEN;
}

static enum pqb_status join(struct pqb_checkup *checkup, const struct pqb_sockets *sockets)
{
    const struct pqb_activity *activity = &checkup->activity;
    struct pqb_trace *trace = pqb_trace_all(activity, sockets, &checkup->snapshot, checkup->row);
    checkup->one = calloc(activity->backends + 1u, sizeof *checkup->one);
    checkup->cases = activity->backends;
    enum pqb_status status =
        trace && checkup->one ? look_at_programs(checkup, trace) : PQB_NO_MEMORY;
    for (unsigned i = 0; !status && i < checkup->cases; i++) {
        struct pqb_case *one = &checkup->one[i];
        one->backend = &activity->backend[i];
        if (trace[i].claim != PQB_TRACE_NONE)
            one->claim = &checkup->snapshot.claim[trace[i].claim];
        one->program = find_program(checkup, trace[i].pid);
        one->uid = one->program && one->program->is_there ? one->program->uid : trace[i].uid;
        one->why = why_of(checkup, one, &trace[i]);
    }
    free(trace);
    return status;
}

/* ---- looking ---- */

static void look_at_ledger(struct pqb_checkup *checkup, struct pqb_snapshot *snapshot)
{
    const char *server = *checkup->server ? checkup->server : NULL;
    pqb_snapshot_free(snapshot);
    checkup->row = PQB_NIL;
    checkup->ledger_status = pqb_look(checkup->path, server, PQB_LOOK_BOOKS, snapshot,
                                      &checkup->row, &checkup->ledger_error);
    if (checkup->ledger_status)
        *snapshot = (struct pqb_snapshot){0};
}

/* Of the last entry of a server's key. */
static unsigned port_of(const char *key)
{
    const char *colon = strrchr(key, ':');
    return colon ? (unsigned)strtoul(colon + 1, NULL, 10) : 0;
}

/* A server that lets nobody in any more still has its clients: of one on this machine they are to
 * be seen. */
static enum pqb_status look_from_outside(struct pqb_checkup *checkup, struct pqb_sockets *sockets)
{
    int is_near = pqb_server_is_loopback(checkup->server) || *checkup->server == '/';
    enum pqb_status status = is_near ? pqb_sockets_take(sockets, &checkup->sockets_error) : PQB_OK;
    look_at_ledger(checkup, &checkup->snapshot);
    if (is_near && !status)
        status = pqb_sockets_last(sockets, &checkup->sockets_error);
    checkup->has_sockets = is_near && !status;
    if (status == PQB_NO_MEMORY || !checkup->has_sockets)
        return status == PQB_NO_MEMORY ? status : PQB_OK;
    return pqb_activity_of_sockets(sockets, port_of(checkup->server), &checkup->activity);
}

/* The ledger is copied while the server has the backends that it has before and after: each of
 * them had its claim, if it has any, when it was copied. */
static enum pqb_status look(struct pqb_checkup *checkup, struct pqb_database *database,
                            struct pqb_sockets *sockets)
{
    checkup->server_status =
        pqb_activity_take(database, &checkup->activity, &checkup->server_error);
    if (!checkup->server_status) {
        enum pqb_status status = pqb_sockets_take(sockets, &checkup->sockets_error);
        if (status == PQB_NO_MEMORY)
            return status;
        checkup->has_sockets = !status;
    }
    look_at_ledger(checkup, &checkup->snapshot);
    if (!checkup->server_status) {
        checkup->asked_at_ns = pqb_now_real();
        checkup->server_status =
            pqb_activity_last(database, &checkup->activity, &checkup->server_error);
        if (checkup->server_status)
            pqb_activity_free(&checkup->activity);
    }
    return PQB_OK;
}

enum pqb_status pqb_checkup_make(const char *conninfo, const char *path,
                                 struct pqb_checkup *checkup, struct pqb_error *error)
{
    struct pqb_database database;
    struct pqb_snapshot earlier = {0};
    struct pqb_sockets sockets = {0};
    *checkup = (struct pqb_checkup){.row = PQB_NIL};
    snprintf(checkup->path, sizeof checkup->path, "%s", path);
    enum pqb_status status = pqb_database_open(conninfo, &database, &checkup->server_error);
    if (status == PQB_INVALID || status == PQB_NO_MEMORY)
        return pqb_fail(error, status, "%s", checkup->server_error.text);
    snprintf(checkup->server, sizeof checkup->server, "%s", database.key);
    look_at_ledger(checkup, &earlier);
    if (status) {
        checkup->server_status = status;
        status = look_from_outside(checkup, &sockets);
    } else {
        status = look(checkup, &database, &sockets);
    }
    pqb_database_close(&database);
    if (!status)
        status = join(checkup, &sockets);
    if (!status)
        status = find_alone(checkup, &earlier);
    pqb_sockets_free(&sockets);
    pqb_snapshot_free(&earlier);
    if (status)
        pqb_checkup_free(checkup);
    return status ? pqb_fail(error, status, "out of memory") : PQB_OK;
}

void pqb_checkup_free(struct pqb_checkup *checkup)
{
    for (unsigned i = 0; i < checkup->programs; i++)
        pqb_program_free(&checkup->program[i]);
    free(checkup->program);
    free(checkup->one);
    free(checkup->claim);
    free(checkup->is_lost);
    pqb_activity_free(&checkup->activity);
    pqb_snapshot_free(&checkup->snapshot);
}
