#include "preload/budget.h"

#include "conninfo/label.h"
#include "conninfo/server.h"
#include "ledger/admission.h"
#include "ledger/backend.h"
#include "ledger/holders.h"
#include "ledger/prospect.h"
#include "ledger/steer.h"
#include "ledger/wait.h"
#include "preload/dl.h"
#include "preload/log.h"
#include "preload/settings.h"
#include "preload/state.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LEARN_AGAIN (60 * PQB_SECOND)
#define ARGUMENTS 64

static struct pqb_ledger ledger;
static _Atomic int is_open;

/* ---- whether ---- */

/* The server loads libpq for dblink, postgres_fdw and the WAL receiver; its own connections are not
 * a client's. Only the server has this function. */
static int is_in_server(void)
{
    static _Atomic int known; /* 1 no, 2 yes */
    if (!atomic_load(&known))
        atomic_store(&known, pqb_dl_symbol(RTLD_DEFAULT, "PostmasterMain") ? 2 : 1);
    return atomic_load(&known) == 2;
}

int pqb_budget_is_on(void)
{
    return !pqb_settings_is_off() && !is_in_server();
}

/* ---- who ---- */

/* The arguments as the kernel has them; argv itself is main's. Returns how many. */
static int read_arguments(char *text, size_t size, char *argv[ARGUMENTS])
{
    int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC), count = 0;
    ssize_t length = fd < 0 ? 0 : pread(fd, text, size - 1, 0);
    if (fd >= 0)
        pqb_close(fd);
    if (length <= 0)
        return 0;
    text[length] = 0;
    for (char *at = text; at < text + length && count < ARGUMENTS; at += strlen(at) + 1)
        argv[count++] = at;
    return count;
}

const char *pqb_budget_label(void)
{
    static char label[PQB_LABEL_SIZE];
    static _Atomic int is_chosen;
    char fresh[PQB_LABEL_SIZE], text[4096], *argv[ARGUMENTS];
    struct pqb_process_hold hold;
    if (atomic_load(&is_chosen))
        return label;
    int argc = read_arguments(text, sizeof text, argv);
    pqb_label_choose(fresh, pqb_settings()->app, secure_getenv("npm_package_name"),
                     program_invocation_short_name, argc, argv);
    if (!pqb_state_lock(&hold))
        return "unknown";
    if (!atomic_load(&is_chosen)) {
        memcpy(label, fresh, sizeof label);
        atomic_store(&is_chosen, 1);
    }
    pqb_state_unlock(&hold);
    return label;
}

/* ---- the ledger ---- */

static enum pqb_status open_ledger(int create, struct pqb_error *error)
{
    struct pqb_ledger fresh;
    struct pqb_process_hold hold;
    if (atomic_load(&is_open))
        return PQB_OK;
    enum pqb_status status = pqb_ledger_open(&fresh, pqb_settings()->ledger, create, error);
    if (status)
        return status;
    int is_first = 0;
    if (pqb_state_lock(&hold)) {
        is_first = !atomic_load(&is_open);
        if (is_first) {
            ledger = fresh;
            atomic_store(&is_open, 1);
        }
        pqb_state_unlock(&hold);
    }
    if (!is_first)
        pqb_ledger_close(&fresh);
    return atomic_load(&is_open) ? PQB_OK : pqb_fail(error, PQB_BUSY, "this process is stuck");
}

/* The smaller one of two caps, of which 0 is none. */
static uint32_t smaller_cap(uint32_t one, uint32_t other)
{
    return !one || (other && other < one) ? other : one;
}

static enum pqb_verdict without_ledger(const struct pqb_error *error, struct pqb_refusal *refusal)
{
    static _Atomic int has_warned;
    if (pqb_settings()->fails_closed) {
        pqb_refusal_for_failure(refusal, error->text);
        return PQB_VERDICT_REFUSED;
    }
    if (!atomic_exchange(&has_warned, 1))
        pqb_log(PQB_LOG_WARN, "the budget cannot be used, connecting without it: %s", error->text);
    return PQB_VERDICT_UNCOUNTED;
}

static void explain(const struct pqb_claim_request *request, unsigned obstacle, unsigned crowd,
                    uint64_t asked_at, struct pqb_refusal *refusal)
{
    struct pqb_region *region;
    struct pqb_error error;
    struct pqb_process self;
    struct pqb_refusal_case about = {.server = request->server,
                                     .app = request->app,
                                     .process = pqb_process_self(&self) ? 0 : self.id,
                                     .cap = request->process_cap,
                                     .crowd = crowd,
                                     .obstacle = obstacle,
                                     .asked_at = asked_at};
    if (pqb_ledger_region(&ledger, &region, &error)) {
        pqb_refusal_for_failure(refusal, error.text);
        return;
    }
    pqb_refusal_for(refusal, region, &about);
    pqb_log(PQB_LOG_INFO, "refused: %s", refusal->detail);
    pqb_region_unpin(region);
}

/* A process may move to another one, which pqbudget does not follow: it asks once. */
static uint64_t network(void)
{
    static _Atomic uint64_t inode;
    if (!atomic_load(&inode))
        atomic_store(&inode, pqb_net_namespace());
    return atomic_load(&inode);
}

/* *fresh is what a server that has no row yet is given. */
static struct pqb_claim_request request_for(const struct pqb_ask *ask,
                                            struct pqb_server_config *fresh)
{
    const struct pqb_settings *settings = pqb_settings();
    *fresh = settings->new_server;
    /* What counts are the pooler's own connections to the server. */
    if (ask->is_pooled && !secure_getenv("PQBUDGET_LIMIT")) {
        fresh->limit = PQB_UNLIMITED;
        fresh->reserve = 0;
    }
    return (struct pqb_claim_request){
        .server = ask->server,
        .app = pqb_budget_label(),
        .defaults = fresh,
        .door = ask->door,
        .process_cap = smaller_cap(ask->cap, settings->process_cap),
        .network = pqb_server_is_loopback(ask->server) ? network() : 0,
    };
}

static long long wait_of(const struct pqb_ask *ask)
{
    return ask->wait != PQB_WAIT_SERVER ? ask->wait : pqb_settings()->wait_ms;
}

static enum pqb_verdict acquire(const struct pqb_ask *ask, struct pqb_claim *claim,
                                struct pqb_refusal *refusal)
{
    struct pqb_error error = {""};
    unsigned obstacle = 0;
    uint64_t asked_at = pqb_now();
    struct pqb_server_config fresh;
    struct pqb_claim_request request = request_for(ask, &fresh);
    enum pqb_status status = open_ledger(1, &error);
    if (!status)
        status = pqb_wait_acquire(&ledger, &request, wait_of(ask), claim, &obstacle, &error);
    switch (status) {
    case PQB_OK:
        return PQB_VERDICT_GO;
    case PQB_BORROWED:
        return PQB_VERDICT_UNCOUNTED;
    case PQB_TIMED_OUT:
        explain(&request, obstacle, 0, asked_at, refusal);
        return PQB_VERDICT_REFUSED;
    default:
        return without_ledger(&error, refusal);
    }
}

enum pqb_verdict pqb_budget_acquire(const struct pqb_ask *ask, struct pqb_claim *claim,
                                    struct pqb_refusal *refusal)
{
    int saved = errno;
    enum pqb_verdict verdict = acquire(ask, claim, refusal);
    errno = saved;
    return verdict;
}

/* By its own wait, else by that of the server. */
static uint64_t deadline_of(const struct pqb_ask *ask, const struct pqb_server_config *server)
{
    long long wait = wait_of(ask);
    uint64_t now = pqb_now();
    if (wait == PQB_WAIT_SERVER) {
        uint32_t ms = server->wait_ms;
        wait = ms == PQB_UNLIMITED ? PQB_WAIT_FOREVER : (long long)ms;
    }
    return wait < 0 ? PQB_FOREVER : now + (uint64_t)wait * PQB_MS;
}

/* Of what waits with its socket connected, the server has a process for each, until its
 * authentication_timeout of a minute. It bears twice as many as max_connections and its auxiliary
 * processes (22 by default) together, so that a few are never too many. */
#define CONNECTED_FEW 32u
#define CONNECTED_LONGEST (50 * PQB_SECOND)

static unsigned connected_most(const struct pqb_claim *claim)
{
    unsigned half = pqb_claim_config(claim).limit / 2;
    return half < CONNECTED_FEW ? CONNECTED_FEW : half;
}

int pqb_budget_is_to_part(const struct pqb_claim *claim, uint64_t deadline)
{
    return deadline > pqb_now() + CONNECTED_LONGEST ||
           (claim->region && pqb_holders_connected(claim) >= connected_most(claim));
}

/* How many others wait like that already, if that is as many as may. */
static unsigned crowd_at(const struct pqb_claim *claim)
{
    unsigned connected = pqb_holders_connected(claim);
    return connected > connected_most(claim) ? connected - 1 : 0;
}

int pqb_budget_may_connect(const struct pqb_ask *ask, struct pqb_claim *claim, uint64_t *deadline,
                           struct pqb_refusal *refusal)
{
    struct pqb_server_config fresh;
    struct pqb_claim_request request = request_for(ask, &fresh);
    int saved = errno;
    uint64_t now = pqb_now();
    if (*deadline > now + CONNECTED_LONGEST)
        *deadline = now + CONNECTED_LONGEST;
    if (!claim->region)
        return 1;
    pqb_claim_connected(claim);
    unsigned crowd = crowd_at(claim);
    if (crowd) {
        pqb_claim_give(claim, PQB_END_REFUSED);
        explain(&request, 0, crowd, now, refusal);
    }
    errno = saved;
    return !crowd;
}

static enum pqb_verdict submit(const struct pqb_ask *ask, struct pqb_claim *claim,
                               uint64_t *deadline, struct pqb_refusal *refusal)
{
    struct pqb_error error = {""};
    struct pqb_server_config fresh;
    struct pqb_claim_request request = request_for(ask, &fresh);
    request.rings_bell = 1;
    enum pqb_status status = open_ledger(1, &error);
    if (!status)
        status = pqb_wait_submit(&ledger, &request, claim, &error);
    if (status == PQB_BORROWED)
        return PQB_VERDICT_UNCOUNTED;
    struct pqb_server_config config = status ? fresh : pqb_claim_config(claim);
    if (!*deadline)
        *deadline = deadline_of(ask, &config);
    if (status)
        return status == PQB_BUSY && pqb_now() < *deadline ? PQB_VERDICT_WAIT
                                                           : without_ledger(&error, refusal);
    return pqb_claim_take(claim) ? PQB_VERDICT_WAIT : PQB_VERDICT_GO;
}

enum pqb_verdict pqb_budget_submit(const struct pqb_ask *ask, struct pqb_claim *claim,
                                   uint64_t *deadline, struct pqb_refusal *refusal)
{
    int saved = errno;
    /* Who is not to wait is told at once. */
    enum pqb_verdict verdict =
        wait_of(ask) ? submit(ask, claim, deadline, refusal) : acquire(ask, claim, refusal);
    errno = saved;
    return verdict;
}

void pqb_budget_refuse(const struct pqb_ask *ask, struct pqb_claim *claim, uint64_t asked_at,
                       struct pqb_refusal *refusal)
{
    enum pqb_booked pool;
    struct pqb_server_config fresh;
    struct pqb_claim_request request = request_for(ask, &fresh);
    const struct pqb_layout *map = claim->region ? claim->region->map : NULL;
    unsigned obstacle = map ? pqb_admission_obstacle(map, &map->claim[claim->index], &pool) : 0;
    int saved = errno;
    pqb_claim_give(claim, wait_of(ask) ? PQB_END_TIMED_OUT : PQB_END_REFUSED);
    explain(&request, obstacle, 0, asked_at, refusal);
    errno = saved;
}

/* ---- before one asks ---- */

/* The ledger as it is, pinned; none is made. NULL if there is none to look at. */
static struct pqb_region *present(void)
{
    struct pqb_error error;
    struct pqb_region *region;
    return open_ledger(0, &error) || pqb_ledger_region(&ledger, &region, &error) ? NULL : region;
}

int pqb_budget_holds(const struct pqb_ask *ask)
{
    struct pqb_process self;
    struct pqb_server_config fresh;
    struct pqb_claim_request request = request_for(ask, &fresh);
    int saved = errno, holds = 0;
    struct pqb_region *region = present();
    if (region) {
        holds = !pqb_process_self(&self) && pqb_prospect_held(region, &self, &request);
        pqb_region_unpin(region);
    }
    errno = saved;
    return holds;
}

int pqb_budget_defers(const struct pqb_ask *ask, const struct pqb_claim *queued,
                      const struct pqb_socket_place *place)
{
    struct pqb_process self;
    struct pqb_server_config fresh;
    struct pqb_claim_request request = request_for(ask, &fresh);
    int saved = errno, defers = 0;
    struct pqb_region *region = present();
    if (region) {
        defers = !pqb_process_self(&self) &&
                 (queued || pqb_prospect_waits(region, &self, &request)) &&
                 pqb_prospect_is_answered(region, &request, place);
        pqb_region_unpin(region);
    }
    errno = saved;
    return defers;
}

/* ---- other names of a server ---- */

/* Whether a server's name was not seen at this address for a minute: one visit for what is always
 * the same. A few of them, for a program with several servers. */
static int is_news(const char *server, const char *address)
{
    static struct {
        uint64_t key, at;
    } seen[4];
    static unsigned next;
    struct pqb_process_hold hold;
    uint64_t key = 1469598103934665603u, now = pqb_now();
    const char *texts[] = {server, " ", address};
    for (unsigned i = 0; i < 3; i++) /* FNV-1a */
        for (const char *at = texts[i]; *at; at++)
            key = (key ^ (unsigned char)*at) * 1099511628211u;
    if (!pqb_state_lock(&hold))
        return 0;
    unsigned place = 0;
    while (place < 4 && seen[place].key != key)
        place++;
    int is_new = place == 4 || now - seen[place].at > LEARN_AGAIN;
    if (place == 4)
        place = next++ % 4;
    if (is_new) {
        seen[place].key = key;
        seen[place].at = now;
    }
    pqb_state_unlock(&hold);
    return is_new;
}

void pqb_budget_learn(const struct pqb_claim *claim, const char *server,
                      const struct pqb_peer *peer, int32_t backend_pid)
{
    char postmaster[PQB_POSTMASTER_BYTES];
    enum pqb_status status = PQB_OK;
    if (!*peer->address || !is_news(server, peer->address))
        return;
    if (strcmp(server, peer->address) != 0 && !pqb_server_is_loopback(peer->address))
        status = pqb_steer_learn(claim->region, server, peer->address);
    if (!status && peer->is_local && pqb_backend_postmaster(backend_pid, postmaster))
        status = pqb_steer_learn_postmaster(claim, server, postmaster);
    if (status)
        pqb_log(PQB_LOG_DEBUG, "other names of %s: %s", server, pqb_status_text(status));
}
