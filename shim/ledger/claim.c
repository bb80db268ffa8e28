#include "ledger/claim.h"

#include "ledger/admission.h"
#include "ledger/backend.h"
#include "ledger/command.h"
#include "ledger/diag.h"
#include "ledger/ending.h"
#include "ledger/journal.h"
#include "ledger/os.h"
#include "ledger/registry.h"
#include "ledger/tick.h"
#include "ledger/visit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct pqb_claim_row *row_of(const struct pqb_claim *claim)
{
    return &claim->region->map->claim[claim->index];
}

static void text_copy(char *to, size_t capacity, const char *from)
{
    memset(to, 0, capacity);
    if (from)
        memcpy(to, from, strnlen(from, capacity));
}

/* This process's command line, read once. Under the process lock, before the guard: it opens a file
 * the first time. */
static const char *command_of(const struct pqb_process *self)
{
    static uint64_t of_process;
    static char command[sizeof((struct pqb_claim_row *)0)->command];
    if (of_process != self->id) {
        char line[1024];
        int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
        ssize_t got = fd < 0 ? 0 : pread(fd, line, sizeof line - 1, 0);
        if (fd >= 0)
            pqb_close(fd);
        pqb_command_show(line, got > 0 ? (size_t)got : 0);
        text_copy(command, sizeof command, line);
        of_process = self->id;
    }
    return command;
}

/* ---- asking ---- */

/* Finds a claim that nobody uses and locks its byte. Under the process lock. */
static enum pqb_status find_free(struct pqb_region *region, uint64_t process, unsigned *index,
                                 uint32_t *generation)
{
    const struct pqb_header *header = &region->map->header;
    /* A group whose description is at hand, else a place of this process's own, so that processes
     * don't meet at one lock file. */
    int ready = pqb_life_ready_group(&region->life);
    unsigned start = ready >= 0 ? (unsigned)ready : (unsigned)(process % PQB_GROUPS);
    for (unsigned i = 0; i < PQB_GROUPS; i++) {
        unsigned group = (start + i) % PQB_GROUPS;
        uint64_t candidates = ~atomic_load(&header->busy[group]);
        if (!candidates)
            continue;
        enum pqb_status status =
            pqb_life_take(&region->life, region->map, group, candidates, index, generation);
        if (status != PQB_WAITING)
            return status;
    }
    return PQB_FULL;
}

/* The table is full: of dead ones, perhaps, that nobody has come by to bury. */
static enum pqb_status find_among_dead(struct pqb_visit *visit, uint64_t process, uint64_t deadline,
                                       unsigned *index, uint32_t *generation)
{
    pqb_tick_look(visit->region, PQB_CLAIMS);
    enum pqb_status status = pqb_visit_enter(visit, deadline);
    return status ? status : find_free(visit->region, process, index, generation);
}

static void fill_in(struct pqb_claim_row *row, const struct pqb_claim_request *request,
                    const struct pqb_process *self, const char *command, uint64_t now)
{
    row->process = self->id;
    row->pid = self->pid;
    row->pid_ns = self->pid_ns;
    row->asked_at = now;
    atomic_store(&row->changed_at, now);
    atomic_store(&row->drain_until, 0);
    row->waited = 0;
    row->backend_start = 0;
    row->backend_pid = 0;
    row->backend_seen = 0;
    row->process_cap = request->process_cap;
    row->door = (uint8_t)request->door;
    atomic_store(&row->session, PQB_SESSION_UNTOLD);
    atomic_store(&row->idle_since, 0);
    atomic_store(&row->yield_after, 0);
    atomic_store(&row->declined_at, 0);
    atomic_store(&row->bell,
                 request->rings_bell ? (uint16_t)(1 + self->id % PQB_BELLS) : (uint16_t)0);
    atomic_store(&row->hot, 0);
    atomic_store(&row->tick, 0);
    atomic_store(&row->is_connected, 0);
    atomic_store(&row->socket_cookie, 0);
    row->socket_place = (struct pqb_socket_place){0};
    text_copy(row->application_name, sizeof row->application_name, NULL);
    text_copy(row->user, sizeof row->user, NULL);
    text_copy(row->database, sizeof row->database, NULL);
    text_copy(row->command, sizeof row->command, command);
}

static unsigned find_or_make(struct pqb_layout *map, const struct pqb_claim_request *request,
                             const char *key, unsigned hint, uint64_t now)
{
    unsigned server = pqb_registry_resolve(map, key, hint, now);
    if (server == PQB_NIL)
        server = pqb_registry_server_make(
            map, key, request->defaults ? request->defaults : &pqb_server_defaults, now);
    return server;
}

/* The server's row, made if need be. Inside the guard. */
static unsigned server_for(struct pqb_layout *map, const struct pqb_claim_request *request,
                           unsigned hint, uint64_t now)
{
    unsigned server = find_or_make(map, request, request->server, hint, now);
    if (server == PQB_NIL || !request->network)
        return server;
    if (!map->server[server].network || !pqb_registry_server_is_used(map, server))
        map->server[server].network = request->network;
    if (map->server[server].network == request->network)
        return server;
    char key[PQB_KEY_BYTES];
    return pqb_registry_key_in(key, request->server, request->network)
               ? find_or_make(map, request, key, hint, now)
               : server;
}

static enum pqb_status enter_queue(struct pqb_visit *visit, const struct pqb_claim_request *request,
                                   struct pqb_claim_hints *hints, unsigned index,
                                   uint32_t generation)
{
    struct pqb_books *books = &visit->books;
    struct pqb_claim_row *row = &books->map->claim[index];
    unsigned server = server_for(books->map, request, atomic_load(&hints->server), books->now);
    if (server == PQB_NIL)
        return PQB_FULL;
    unsigned app =
        pqb_registry_app_make(books->map, server, request->app, atomic_load(&hints->app));
    atomic_store(&hints->server, (uint16_t)server);
    atomic_store(&hints->app, (uint16_t)app);
    row->server = (uint16_t)server;
    row->app = (uint16_t)app;
    books->self = index;
    pqb_books_enter(books, index, generation);
    pqb_admission_dispatch(books, server);
    if (pqb_ctl_state(atomic_load(&row->ctl)) == PQB_CLAIM_WAITING)
        pqb_journal_write(books->map, PQB_EVENT_QUEUED, (uint16_t)server, request->app, row->pid,
                          0);
    return PQB_OK;
}

enum pqb_status pqb_claim_submit(struct pqb_region *region, const struct pqb_process *self,
                                 const struct pqb_claim_request *request,
                                 struct pqb_claim_hints *hints, uint64_t deadline,
                                 struct pqb_claim *claim)
{
    struct pqb_visit visit;
    unsigned index;
    uint32_t generation;
    *claim = (struct pqb_claim){0};
    enum pqb_status status = pqb_visit_open(&visit, region, deadline);
    if (status)
        return status;
    int saved = errno;
    const char *command = command_of(self);
    status = find_free(region, self->id, &index, &generation);
    if (status == PQB_FULL)
        status = find_among_dead(&visit, self->id, deadline, &index, &generation);
    if (!status) {
        fill_in(&region->map->claim[index], request, self, command, pqb_now());
        status = visit.entered ? PQB_OK : pqb_visit_enter(&visit, deadline);
        if (!status)
            status = enter_queue(&visit, request, hints, index, generation);
        if (status)
            pqb_life_give(&region->life, index, generation, 1);
    }
    pqb_visit_close(&visit);
    if (status == PQB_DAMAGED && pqb_region_check(region) == PQB_LOST)
        status = PQB_LOST; /* its lock files went with it */
    errno = saved;
    if (!status) {
        pqb_region_pin(region);
        *claim = (struct pqb_claim){region, index, generation};
    }
    return status;
}

enum pqb_status pqb_claim_take(const struct pqb_claim *claim)
{
    struct pqb_claim_row *row = row_of(claim);
    uint64_t ctl = atomic_load(&row->ctl);
    for (;;) {
        if (ctl >> 32 != claim->generation)
            return PQB_LOST;
        if (pqb_ctl_state(ctl) == PQB_CLAIM_GRANTED) {
            atomic_store(&row->changed_at, pqb_now());
            if (atomic_compare_exchange_strong(&row->ctl, &ctl,
                                               pqb_ctl_next(ctl, PQB_CLAIM_CONNECTING)))
                return PQB_OK;
        } else if (pqb_ctl_state(ctl) != PQB_CLAIM_WAITING) {
            return PQB_LOST;
        } else if (!(ctl & PQB_CTL_SKIPPED)) {
            return PQB_WAITING;
        } else if (atomic_compare_exchange_strong(&row->ctl, &ctl,
                                                  ctl & ~(uint64_t)PQB_CTL_SKIPPED)) {
            pqb_books_flag(claim->region->map, claim->index);
            pqb_visit_serve(claim->region);
            ctl = atomic_load(&row->ctl);
        }
    }
}

/* Its server's backends: they are seen from this process's namespace, or not. */
static uint64_t backends_of(const struct pqb_claim_row *row)
{
    return (uint64_t)row->pid_ns << 16 | row->server;
}

/* The holder may be killed half way: a backend is "seen" only with all that is known of it. */
static void note_peer(struct pqb_claim_row *row, const struct pqb_claim_peer *peer)
{
    row->backend_seen = 0;
    atomic_signal_fence(memory_order_seq_cst);
    row->backend_pid = peer->backend_pid > 0 ? peer->backend_pid : 0;
    row->backend_start = peer->is_local && row->backend_pid
                             ? pqb_backend_started_by(row->backend_pid, backends_of(row))
                             : 0;
    atomic_signal_fence(memory_order_seq_cst);
    row->backend_seen = row->backend_start != 0;
    if (peer->place && !atomic_load(&row->socket_cookie))
        row->socket_place = *peer->place;
    text_copy(row->user, sizeof row->user, peer->user);
    text_copy(row->database, sizeof row->database, peer->database);
    text_copy(row->application_name, sizeof row->application_name, peer->application_name);
}

void pqb_claim_reset(const struct pqb_claim *claim)
{
    struct pqb_claim_row *row = row_of(claim);
    if (pqb_region_check(claim->region) == PQB_DAMAGED)
        return;
    uint64_t ctl = atomic_load(&row->ctl);
    if (ctl >> 32 != claim->generation || pqb_ctl_state(ctl) != PQB_CLAIM_OPEN)
        return;
    row->backend_seen = 0;
    row->backend_start = 0;
    row->backend_pid = 0;
}

enum pqb_status pqb_claim_open(const struct pqb_claim *claim, const struct pqb_claim_peer *peer)
{
    struct pqb_claim_row *row = row_of(claim);
    if (pqb_region_check(claim->region) == PQB_DAMAGED)
        return PQB_LOST; /* it shrank while we connected */
    uint64_t ctl = atomic_load(&row->ctl);
    enum pqb_claim_state state = pqb_ctl_state(ctl);
    if (ctl >> 32 != claim->generation ||
        (state != PQB_CLAIM_CONNECTING && state != PQB_CLAIM_OPEN))
        return PQB_LOST;
    note_peer(row, peer);
    if (state == PQB_CLAIM_OPEN)
        return atomic_load(&row->ctl) == ctl ? PQB_OK : PQB_LOST;
    atomic_store(&row->changed_at, pqb_now());
    if (!atomic_compare_exchange_strong(&row->ctl, &ctl, pqb_ctl_next(ctl, PQB_CLAIM_OPEN)))
        return PQB_LOST;
    /* It logs in no longer: the books learn it at the next visit; now, if a damper holds others. */
    pqb_books_flag(claim->region->map, claim->index);
    if (pqb_claim_config(claim).logins)
        pqb_visit_serve(claim->region);
    return PQB_OK;
}

void pqb_claim_socket(const struct pqb_claim *claim, int fd, uint64_t cookie)
{
    struct pqb_claim_row *row = row_of(claim);
    struct pqb_diag diag = {0};
    struct pqb_socket_place place;
    uint64_t found;
    if (pqb_region_check(claim->region) == PQB_DAMAGED)
        return;
    uint64_t ctl = atomic_load(&row->ctl);
    if (ctl >> 32 == claim->generation && pqb_ctl_state(ctl) >= PQB_CLAIM_CONNECTING &&
        pqb_ctl_state(ctl) <= PQB_CLAIM_OPEN && !atomic_load(&row->socket_cookie) &&
        pqb_diag_find(&diag, fd, &found, &place) && found == cookie) {
        row->socket_place = place;
        atomic_store(&row->socket_cookie, cookie);
    }
    pqb_diag_close(&diag);
}

void pqb_claim_connected(const struct pqb_claim *claim)
{
    const struct pqb_claim_row *row = row_of(claim);
    if (pqb_region_check(claim->region) != PQB_DAMAGED &&
        atomic_load(&row->ctl) >> 32 == claim->generation)
        atomic_store(&row_of(claim)->is_connected, 1);
}

struct pqb_server_config pqb_claim_config(const struct pqb_claim *claim)
{
    unsigned server = pqb_once(&row_of(claim)->server);
    return server < PQB_SERVERS ? claim->region->map->server[server].config : pqb_server_defaults;
}

/* ---- giving back ---- */

static void count_end(struct pqb_layout *map, const struct pqb_claim_row *row, unsigned app,
                      enum pqb_claim_end end)
{
    uint16_t number = pqb_once(&row->server);
    if (end == PQB_END_CLOSED || end == PQB_END_LEFT || number >= PQB_SERVERS)
        return;
    struct pqb_server_row *server = &map->server[number];
    int timed_out = end == PQB_END_TIMED_OUT;
    atomic_fetch_add(timed_out ? &server->timeout_total : &server->refused_total, 1);
    pqb_journal_write(map, timed_out ? PQB_EVENT_TIMED_OUT : PQB_EVENT_REFUSED, number,
                      app < PQB_APPS ? map->app[app].label : NULL, row->pid,
                      pqb_now() - row->asked_at);
}

void pqb_claim_give(struct pqb_claim *claim, enum pqb_claim_end end)
{
    struct pqb_process self;
    struct pqb_region *region = claim->region;
    if (!region || pqb_process_self(&self) == PQB_BORROWED)
        return;
    struct pqb_claim_row *row = row_of(claim);
    /* A ledger that was reset counts us until we go; one that shrank can't be touched. */
    int readable = pqb_region_check(region) != PQB_DAMAGED, given = 0;
    unsigned app = readable ? row->app : PQB_NIL; /* whoever strikes it out takes that away */
    uint64_t now = pqb_now(), ctl = readable ? atomic_load(&row->ctl) : 0;
    while (!given && ctl >> 32 == claim->generation && pqb_ctl_state(ctl) >= PQB_CLAIM_WAITING &&
           pqb_ctl_state(ctl) <= PQB_CLAIM_OPEN) {
        given = pqb_ending_close(region->map, claim->index, ctl, now, end == PQB_END_LEFT);
        ctl = atomic_load(&row->ctl);
    }
    if (given)
        count_end(region->map, row, app, end);
    struct pqb_process_hold hold;
    int locked = !pqb_process_lock(&hold, 0);
    pqb_life_give(&region->life, claim->index, claim->generation, locked);
    int missed = locked && pqb_process_unlock(&hold);
    if (readable && (given || missed))
        pqb_visit_serve(region);
    *claim = (struct pqb_claim){0};
    pqb_region_unpin(region);
}

/* Where the kernel can't tell, the life lock decides alone. A child that has a copy of it has one
 * of the socket too; it has none of what was not open when it was forked. */
static int may_be_shared(const struct pqb_claim *claim, const struct pqb_claim_row *row,
                         uint64_t ctl)
{
    struct pqb_process self;
    if (pqb_process_self(&self) || self.id != row->process)
        return 1; /* it is the parent's */
    return pqb_ctl_state(ctl) == PQB_CLAIM_OPEN &&
           pqb_life_is_shared(&claim->region->life, claim->index, claim->generation);
}

static int lives_on(const struct pqb_claim *claim)
{
    const struct pqb_claim_row *row = row_of(claim);
    struct pqb_diag diag = {0};
    if (pqb_region_check(claim->region) == PQB_DAMAGED)
        return 0;
    uint64_t ctl = atomic_load(&row->ctl), cookie = atomic_load(&row->socket_cookie);
    if (ctl >> 32 != claim->generation)
        return 0;
    struct pqb_socket_place place = row->socket_place;
    enum pqb_diag_answer answer = pqb_diag_ask(&diag, cookie, &place);
    pqb_diag_close(&diag);
    return answer == PQB_DIAG_UNKNOWN ? may_be_shared(claim, row, ctl) : answer == PQB_DIAG_EXISTS;
}

void pqb_claim_closed(struct pqb_claim *claim)
{
    if (claim->region && lives_on(claim))
        pqb_claim_drop(claim);
    else
        pqb_claim_give(claim, PQB_END_CLOSED);
}

void pqb_claim_drop(struct pqb_claim *claim)
{
    struct pqb_process self;
    struct pqb_region *region = claim->region;
    if (!region || pqb_process_self(&self) == PQB_BORROWED)
        return;
    pqb_life_drop(&region->life, claim->index, claim->generation);
    *claim = (struct pqb_claim){0};
    pqb_region_unpin(region);
}
