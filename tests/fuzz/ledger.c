/* ledger.c: a ledger's bytes. The input is a file's beginning that is opened; or what several
 * processes do with a ledger, while somebody scribbles on it. Nothing of that may crash or hang;
 * and whoever follows a death finds books that say what the claims say, nobody stuck, and, when
 * all have gone, nothing in use. */
#include "fuzz/fuzz.h"
#include "ledger/admission.h"
#include "ledger/ending.h"
#include "ledger/files.h"
#include "ledger/holders.h"
#include "ledger/journal.h"
#include "ledger/prospect.h"
#include "ledger/snapshot.h"
#include "ledger/steer.h"
#include "ledger/tick.h"
#include "ledger/visit.h"
#include "ledger/wait.h"
#include "ledger/wish.h"
#include "ledger/yield.h"
#include "support/paper.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define FENCE 65536u /* pages of any size, on either side of a map */
#define HANDLES 12   /* claims at most */
#define ROUNDS 3     /* of looks: one finds the dead, one that they have drained */

static struct pqb_ledger ledger;
static struct pqb_error error;
static int pair[2] = {-1, -1}; /* sockets, if any claim has one */

/* ---- time: it stands still but for a moment at each look at it, and where it is told to pass.
 * Takes libc's place in this program. */

static uint64_t elapsed;

int clock_gettime(clockid_t clock, struct timespec *now)
{
    if (clock != CLOCK_MONOTONIC)
        return (int)syscall(SYS_clock_gettime, clock, now);
    elapsed += 1000;
    now->tv_sec = (time_t)(elapsed / PQB_SECOND);
    now->tv_nsec = (long)(elapsed % PQB_SECOND);
    return 0;
}

/* ---- the input ---- */

static const uint8_t *input, *input_end;

static uint64_t take(unsigned bytes)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < bytes && input < input_end; i++)
        value |= (uint64_t)*input++ << 8 * i;
    return value;
}

static unsigned choose(unsigned of)
{
    return (unsigned)take(1) % of;
}

/* ---- the ledgers ---- */

static char file_path[PQB_REGION_PATH]; /* a second one, for what is opened */
static struct pqb_identity good;

static void remove_all(void)
{
    char folder[PQB_LIFE_PATH];
    (void)!pqb_steer_reset(ledger.path, 1, NULL);
    pqb_files_folder(file_path, good.id, folder);
    pqb_files_remove(folder);
    unlink(file_path);
}

static void name_path(char path[PQB_REGION_PATH], const char *what)
{
    char name[64];
    snprintf(name, sizeof name, "test.%d.fuzz-%s", (int)getpid(), what);
    MUST(!pqb_region_path(name, path, &error));
}

/* Nothing lies beside its map: a step beyond it is seen. */
static void fence(struct pqb_region *region)
{
    static void *fenced;
    if (region->map == fenced)
        return;
    char *room =
        mmap(NULL, PQB_LEDGER_BYTES + 2 * FENCE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    MUST(room != MAP_FAILED);
    fenced = mremap(region->map, PQB_LEDGER_BYTES, PQB_LEDGER_BYTES, MREMAP_MAYMOVE | MREMAP_FIXED,
                    room + FENCE);
    MUST(fenced == room + FENCE);
    region->map = fenced;
}

static void open_ledgers(void)
{
    char name[PQB_REGION_PATH];
    elapsed = 1000 * PQB_SECOND;
    name_path(file_path, "file");
    MUST(!pqb_files_make(file_path, &error));
    int fd = open(file_path, O_RDONLY | O_CLOEXEC);
    MUST(fd >= 0 && pread(fd, &good, sizeof good, 0) == (ssize_t)sizeof good);
    close(fd);
    name_path(name, "ledger");
    MUST(!pqb_ledger_open(&ledger, name, 1, &error));
    atexit(remove_all);
}

/* As its first visitor leaves it: with books, and nothing in them. */
static struct pqb_region *begin_anew(void)
{
    static struct pqb_layout *empty;
    struct pqb_region *region;
    if (pqb_ledger_region(&ledger, &region, &error)) { /* the last run left one that is no use */
        MUST(!pqb_steer_reset(ledger.path, 1, &error));
        MUST(!pqb_ledger_region(&ledger, &region, &error));
    }
    fence(region);
    if (!empty) {
        MUST(!pqb_tick(region, 0, NULL));
        MUST((empty = malloc(PQB_LEDGER_BYTES)));
        memcpy(empty, region->map, PQB_LEDGER_BYTES);
    }
    memcpy(&region->map->header.retired, &empty->header.retired, PQB_LEDGER_BYTES - sizeof good);
    pqb_region_unpin(region);
    return region;
}

/* ---- a file that is opened ---- */

static void open_file(void)
{
    struct pqb_identity bad = good;
    struct pqb_region *region;
    int is_fixed = choose(2) != 0;
    off_t size = choose(8) ? (off_t)PQB_LEDGER_BYTES : (off_t)(take(3) % (PQB_LEDGER_BYTES + 2));
    for (unsigned changes = choose(8); changes; changes--) {
        unsigned at = (unsigned)take(2) % sizeof bad;
        ((uint8_t *)&bad)[at] = (uint8_t)take(1);
    }
    if (is_fixed)
        bad.checksum = pqb_files_checksum(&bad);
    int fd = open(file_path, O_RDWR | O_CLOEXEC), is_bad = memcmp(&bad, &good, sizeof bad) != 0;
    MUST(fd >= 0 && pwrite(fd, &bad, sizeof bad, 0) == (ssize_t)sizeof bad && !ftruncate(fd, size));
    enum pqb_status status = pqb_region_open(file_path, 0, &region, &error);
    MUST(!status || (*error.text && !strchr(error.text, '\n')));
    MUST(size == (off_t)PQB_LEDGER_BYTES || status);
    MUST(is_bad || (size != (off_t)PQB_LEDGER_BYTES) == (status != PQB_OK));
    MUST(!is_bad || is_fixed || status);
    if (!status) { /* as bad may be what it says of its lock files */
        struct pqb_ledger opened = {.region = region};
        struct pqb_claim_request request = {.server = "a:5432", .app = "web"};
        struct pqb_claim claim;
        memcpy(opened.path, file_path, sizeof opened.path);
        if (!pqb_wait_acquire(&opened, &request, 0, &claim, NULL, &error))
            pqb_claim_give(&claim, PQB_END_CLOSED);
        pqb_ledger_close(&opened);
    }
    MUST(!ftruncate(fd, 0) && !ftruncate(fd, (off_t)PQB_LEDGER_BYTES));
    close(fd);
}

/* ---- what is done with a ledger ---- */

static struct pqb_claim handle[HANDLES];

static const char *const keys[] = {"a:5432", "b:5432", "10.1.2.3:5432",
                                   "postmaster 1 since 2 in 3"};
static const char *const labels[] = {"web", "bot", "job"};

static struct pqb_claim *any_handle(void)
{
    return &handle[choose(HANDLES)];
}

static const char *any_key(void)
{
    return keys[choose(4)];
}

/* A number that may be one of something. */
static uint64_t any_value(void)
{
    switch (choose(4)) {
    case 0:
        return any_handle()->index;
    case 1:
        return choose(8);
    case 2:
        return UINT64_MAX;
    default:
        return take(8);
    }
}

static void scribble(struct pqb_layout *map)
{
    struct pqb_claim_row *row = &map->claim[any_handle()->index];
    struct {
        void *at;
        size_t size;
    } parts[] = {
        {&map->header.retired, sizeof map->header - sizeof good},
        {&map->header.dirty, 128},
        {&map->server[choose(4)], sizeof *map->server},
        {&map->app[choose(4)], sizeof *map->app},
        {&map->alias[choose(4)], sizeof *map->alias},
        {&map->account[choose(16)], sizeof *map->account},
        {&map->event[choose(4)], sizeof *map->event},
        {row, sizeof *row},
        {row, offsetof(struct pqb_claim_row, application_name)},
        {&map->header.retired, PQB_LEDGER_BYTES - sizeof good},
    };
    unsigned part = choose(sizeof parts / sizeof *parts), bytes = 1u << choose(4);
    size_t at = take(part < 9 ? 2 : 3) % (parts[part].size - bytes + 1) / bytes * bytes;
    uint64_t value = any_value();
    memcpy((char *)parts[part].at + at, &value, bytes);
}

static struct pqb_claim_request any_request(void)
{
    static const struct pqb_server_config small = {
        .limit = 3, .reserve = 1, .wait_ms = 100, .drain_ms = 200, .slack = 1};
    unsigned bits = choose(256);
    return (struct pqb_claim_request){.server = any_key(),
                                      .app = labels[choose(3)],
                                      .defaults = bits & 1 ? &small : NULL,
                                      .door = bits & 2 ? PQB_DOOR_SOCKET : PQB_DOOR_LIBPQ,
                                      .process_cap = bits >> 2 & 3,
                                      .network = bits >> 4 & 3,
                                      .rings_bell = (bits & 64) != 0};
}

/* One of several processes: all are we, to the kernel. */
static struct pqb_process any_process(void)
{
    struct pqb_process self;
    MUST(!pqb_process_self(&self));
    unsigned other = choose(4);
    if (other)
        self.id = other;
    return self;
}

static void ask_for_one(struct pqb_region *region)
{
    struct pqb_claim *claim = any_handle();
    struct pqb_process self = any_process();
    struct pqb_claim_request request = any_request();
    pqb_claim_give(claim, PQB_END_LEFT);
    if (choose(4)) {
        (void)!pqb_claim_submit(region, &self, &request, &ledger.hints, pqb_now() + PQB_SECOND,
                                claim);
    } else {
        unsigned obstacle;
        (void)!pqb_wait_acquire(&ledger, &request, 0, claim, &obstacle, &error);
    }
    (void)pqb_prospect_waits(region, &self, &request);
    (void)pqb_prospect_held(region, &self, &request);
}

static void open_one(const struct pqb_claim *claim)
{
    struct pqb_claim_peer peer = {.backend_pid = (int32_t)choose(3),
                                  .is_local = 1,
                                  .user = "user",
                                  .database = "database",
                                  .application_name = "name"};
    if (claim->region && !pqb_claim_take(claim))
        (void)!pqb_claim_open(claim, &peer);
}

static void bind_one(const struct pqb_claim *claim)
{
    uint64_t cookie = 0;
    socklen_t length = sizeof cookie;
    if (pair[0] < 0)
        MUST(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
    MUST(!getsockopt(pair[0], SOL_SOCKET, SO_COOKIE, &cookie, &length));
    if (claim->region)
        pqb_claim_socket(claim, pair[0], cookie);
}

static void end_one(struct pqb_claim *claim)
{
    switch (choose(4)) {
    case 0:
        pqb_claim_drop(claim); /* its process has died */
        break;
    case 1:
        pqb_claim_closed(claim);
        break;
    default:
        pqb_claim_give(claim, (enum pqb_claim_end)choose(4));
        break;
    }
}

static void answer_wish(const struct pqb_claim *claim)
{
    struct pqb_yield_wish wish;
    if (pqb_yield_is_asked(claim, &wish) == PQB_YIELD_ASKED && choose(2)) {
        MUST(wish.app[PQB_LABEL_BYTES] == 0);
        (void)pqb_yield_has_others(claim);
        pqb_yield_accept(claim, &wish, take(4));
    } else {
        pqb_yield_decline(claim);
    }
}

static void read_all(struct pqb_region *region)
{
    struct pqb_snapshot snapshot;
    struct pqb_holders holders;
    struct pqb_holders_own own;
    struct pqb_event event;
    const char *key = any_key();
    if (!pqb_snapshot_take(region, &snapshot)) {
        for (unsigned i = 0; i < snapshot.claims; i++) {
            MUST(snapshot.claim[i].server < snapshot.servers);
            MUST(snapshot.claim[i].app < (int)snapshot.apps);
            (void)pqb_session_name(snapshot.claim[i].session);
            MUST(pqb_claim_state_name(snapshot.claim[i].state));
        }
        pqb_snapshot_free(&snapshot);
    }
    (void)!pqb_holders_look(region, key, pqb_now(), &holders);
    pqb_holders_own(region, key, take(1), &own);
    uint64_t latest = pqb_journal_latest(region->map);
    for (unsigned i = 0; i < PQB_EVENTS; i++)
        if (pqb_journal_read(region->map, latest - i, &event))
            MUST(event.app[40] == 0 && pqb_event_name(event.kind));
    (void)pqb_yield_refresh(region);
}

static long long any_setting(void)
{
    unsigned value = choose(12);
    return value < 8 ? (long long)value : value == 8 ? PQB_UNLIMITED : PQB_STEER_LEAVE;
}

static void steer(struct pqb_region *region)
{
    struct pqb_steer change = pqb_steer_nothing;
    unsigned bits = choose(256);
    change.server = bits & 1 ? any_key() : NULL;
    change.make = (bits & 2) != 0;
    change.limit = any_setting();
    change.reserve = any_setting();
    change.logins = any_setting();
    change.slack = any_setting();
    change.paused = bits >> 2 & 1 ? (int)choose(2) : PQB_STEER_LEAVE;
    change.apps = bits >> 3 & 1;
    change.app[0] = (struct pqb_steer_app){labels[choose(3)], choose(8) + 1, choose(4)};
    change.aliases = bits >> 4 & 1;
    change.alias[0] = any_key();
    (void)!pqb_steer_apply(region, &change, &error);
}

static void visit(struct pqb_region *region)
{
    struct pqb_visit visit;
    MUST(!pqb_visit_begin(&visit, region, pqb_now() + PQB_SECOND));
    pqb_visit_close(&visit);
}

/* As after a death inside. */
static void rebuild(struct pqb_region *region)
{
    atomic_store(&region->map->header.dirty, 1);
    visit(region);
}

static void learn(struct pqb_region *region, const struct pqb_claim *claim)
{
    if (claim->region)
        (void)!pqb_steer_learn_postmaster(claim, any_key(), keys[3]);
    else
        (void)!pqb_steer_learn(region, any_key(), any_key());
}

static void do_one(struct pqb_region *region)
{
    struct pqb_drainers drainers;
    switch (choose(22)) {
    case 0:
    case 1:
    case 2:
    case 3:
        scribble(region->map);
        break;
    case 4:
    case 5:
    case 6:
        ask_for_one(region);
        break;
    case 7:
        open_one(any_handle());
        break;
    case 8:
        bind_one(any_handle());
        break;
    case 9:
        end_one(any_handle());
        break;
    case 10:
        (void)!pqb_tick(region, choose(PQB_SERVERS + 1), &drainers);
        break;
    case 11:
        pqb_tick_look(region, choose(2) ? PQB_CLAIMS : 1);
        break;
    case 12:
        rebuild(region);
        break;
    case 13:
        read_all(region);
        break;
    case 14:
        steer(region);
        break;
    case 15:
        learn(region, any_handle());
        break;
    case 16:
        pqb_yield_offer(any_handle(), (uint32_t)take(1));
        break;
    case 17:
        (void)!pqb_yield_tell(any_handle(), choose(PQB_SESSION_PINNED + PQB_SESSION_PINS), elapsed);
        break;
    case 18:
        answer_wish(any_handle());
        break;
    case 19:
        if (!choose(8))
            (void)!pqb_steer_reset(ledger.path, choose(2) != 0, &error);
        break;
    default:
        elapsed += PQB_MS << choose(20);
        break;
    }
}

/* ---- what must hold ---- */

static void check_books(const struct pqb_layout *map)
{
    struct paper paper = {.map = (struct pqb_layout *)(uintptr_t)map, .ahead = PQB_NIL};
    const char *fault = paper_fault(&paper, 1);
    if (fault)
        fprintf(stderr, "the books are wrong: %s\n", fault);
    MUST(!fault);
    for (unsigned i = 0; i < PQB_CLAIMS; i++) {
        enum pqb_booked pool;
        if (pqb_ctl_state(atomic_load(&map->claim[i].ctl)) == PQB_CLAIM_WAITING)
            MUST(pqb_admission_obstacle(map, &map->claim[i], &pool));
    }
}

static void check_empty(struct pqb_region *region)
{
    struct pqb_snapshot snapshot;
    MUST(!pqb_snapshot_take(region, &snapshot));
    MUST(!snapshot.claims);
    pqb_snapshot_free(&snapshot);
    for (unsigned i = 0; i < PQB_SERVERS; i++) {
        const struct pqb_server_row *row = &region->map->server[i];
        MUST(!(row->general + row->reserve + row->slack + row->waiting + row->draining));
    }
}

static void end_all(struct pqb_region *region)
{
    for (unsigned i = 0; i < HANDLES; i++)
        pqb_claim_give(&handle[i], PQB_END_CLOSED);
    for (unsigned i = 0; i < PQB_GROUPS; i++)
        MUST(!atomic_load(&region->life.used[i]));
    for (unsigned i = 0; i < 2 && pair[i] >= 0; i++) {
        close(pair[i]);
        pair[i] = -1;
    }
}

static void use_ledger(void)
{
    struct pqb_region *region = begin_anew();
    while (input < input_end && !pqb_region_check(region))
        do_one(region);
    int is_lost = pqb_region_check(region) != PQB_OK; /* `retired` was written to */
    if (!is_lost) {
        rebuild(region);
        check_books(region->map);
    }
    end_all(region);
    for (unsigned round = 0; !is_lost && round < ROUNDS; round++) {
        elapsed += 3 * PQB_DRAIN_CEILING;
        pqb_tick_look(region, PQB_CLAIMS);
        visit(region);
    }
    if (!is_lost) {
        check_books(region->map);
        check_empty(region);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!ledger.region)
        open_ledgers();
    if (!size)
        return 0;
    input = data + 1, input_end = data + size;
    if (*data & 1)
        open_file();
    else
        use_ledger();
    return 0;
}
