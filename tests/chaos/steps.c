/*
 * steps: deaths at every instruction that changes shared state.   steps [OPERATION…]
 *
 * Each operation of the ledger is done by a child under ptrace. It is stepped through once, one
 * instruction at a time, and the ledger compared with a copy after each: that tells which
 * instructions change shared memory. Then it is done again from the same beginning once per change,
 * and the child killed right after that change; and once before and once after each system call,
 * which is where the locks are. Every time a visitor must find a correct ledger: nothing lost,
 * nobody stuck, the queue in order, the books in line with the claims, and exactly the limit to be
 * had. Before that, where it is not inside the guard, it stays stopped: others must get their due
 * beside it.
 *
 * To get to a change again, a debug register watches the word (x86); elsewhere, and where that is
 * not to be had, the child is stepped there. An instruction that changes something more often than
 * 24 times, as in rebuilding a table, is died at in its first, last and some others between.
 */
#include "ledger/books.h"
#include "ledger/claim.h"
#include "ledger/registry.h"
#include "ledger/snapshot.h"
#include "ledger/steer.h"
#include "ledger/tick.h"
#include "ledger/visit.h"
#include "ledger/wait.h"
#include "ledger/yield.h"
#include "support/audit.h"
#include "support/support.h"

#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/random.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#define MINE 8
#define PAGE 4096u
#define PAGES (sizeof(struct pqb_layout) / PAGE + 1)
#define WORDS (sizeof(struct pqb_layout) / 8)
#define CHANGES 60000u
#define BAD_AT_MOST 3u /* findings in one operation: each takes seconds, and more say no more */
#define EVERY 24u      /* so often is one instruction's change died at; thinned out beyond */

static struct pqb_ledger ledger;
static struct pqb_layout *map, *pristine, *copy;
static struct pqb_claim mine[MINE]; /* the living: claims of this process, in the order of asking */
static unsigned mines;
static pid_t backend;
static pid_t stopped;              /* the child, while it is stopped where it will die */
static struct pqb_claim theirs[4]; /* the child's */
static char finding[512];
static unsigned passed, failed;

static const struct pqb_server_config defaults = {.limit = 3, .wait_ms = 8000};
static struct pqb_server_config config;

/* Random numbers that are the same each time, so that each child does exactly the same. */
static uint64_t seed = 1;

ssize_t getrandom(void *buffer, size_t length, unsigned flags)
{
    (void)flags;
    for (size_t i = 0; i < length; i++) {
        seed = seed * 6364136223846793005ull + 1442695040888963407ull;
        ((unsigned char *)buffer)[i] = (unsigned char)(seed >> 33);
    }
    return (ssize_t)length;
}

__attribute__((format(printf, 1, 2))) static int find(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    if (!*finding)
        vsnprintf(finding, sizeof finding, format, arguments);
    va_end(arguments);
    return 0;
}

static void must(int holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "steps: %s\n", what);
    exit(3);
}

/* ---- operations: what the living have, what the child has, what the child does ---- */

static struct pqb_claim_request request_for(const char *server)
{
    return (struct pqb_claim_request){.server = server, .app = "steps", .defaults = &config};
}

static void ask(const char *server)
{
    struct pqb_claim_request request = request_for(server);
    must(!pqb_wait_submit(&ledger, &request, &mine[mines], NULL), "submit");
    mines++;
}

static const struct pqb_claim_peer nobody = {0};

static unsigned state_of(const struct pqb_claim *claim)
{
    return (unsigned)(atomic_load(&map->claim[claim->index].ctl) & PQB_CTL_STATE);
}

static void take_up(struct pqb_claim *claim)
{
    if (!pqb_claim_take(claim))
        must(!pqb_claim_open(claim, &nobody), "open");
}

static void take_up_all(void)
{
    for (unsigned i = 0; i < mines; i++)
        take_up(&mine[i]);
}

static void living(unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        ask("a");
    take_up_all();
}

static void nothing(void)
{
}

static void one_living(void)
{
    living(1);
}

static void two_living(void)
{
    living(2);
}

static void five_living(void)
{
    living(5);
}

/* In the child. */
static void child_asks(void)
{
    struct pqb_claim_request request = request_for("a");
    must(!pqb_wait_submit(&ledger, &request, &theirs[0], NULL), "the child's submit");
}

static void child_takes(void)
{
    child_asks();
    must(!pqb_claim_take(&theirs[0]), "the child's take");
}

static void child_opens(void)
{
    child_takes();
    must(!pqb_claim_open(&theirs[0], &nobody), "the child's open");
}

static void act_ask(void)
{
    struct pqb_claim_request request = request_for("a");
    (void)!pqb_wait_submit(&ledger, &request, &theirs[0], NULL);
}

static void act_take(void)
{
    (void)!pqb_claim_take(&theirs[0]);
}

static void act_open(void)
{
    struct pqb_claim_peer peer = {.user = "u", .database = "d", .application_name = "steps"};
    (void)!pqb_claim_open(&theirs[0], &peer);
}

static void act_give(void)
{
    pqb_claim_give(&theirs[0], PQB_END_CLOSED);
}

static void act_time_out(void)
{
    pqb_claim_give(&theirs[0], PQB_END_TIMED_OUT);
}

static void act_acquire(void)
{
    struct pqb_claim_request request = request_for("a");
    (void)!pqb_wait_acquire(&ledger, &request, 0, &theirs[0], NULL, NULL);
}

static void act_tick(void)
{
    (void)!pqb_tick(atomic_load(&ledger.region), 0, NULL);
}

static void act_drop(void)
{
    pqb_claim_drop(&theirs[0]);
}

/* The child holds one and asks for more: the living wait behind. */
static void child_holds_living_wait(void)
{
    child_opens();
}

static void one_new_app(void)
{
    living(1);
}

static void act_ask_new_server(void)
{
    struct pqb_claim_request request = request_for("new-server:5432");
    request.app = "an application with a rather long name";
    (void)!pqb_wait_submit(&ledger, &request, &theirs[0], NULL);
}

static void ask_queue_after_child(void)
{
    living(4);
}

/* Stands in for a PostgreSQL backend: it is told by its name and its parent's. */
static void with_backend(void)
{
    living(2);
    backend = support_fork();
    if (!backend)
        for (;;)
            pause();
}

static void child_opens_seen(void)
{
    child_takes();
    struct pqb_claim_peer peer = {.backend_pid = backend, .is_local = 1};
    must(!pqb_claim_open(&theirs[0], &peer), "the child's open");
    must(map->claim[theirs[0].index].backend_seen == 1, "the backend is not recognised");
}

/* Waits behind the child: called by the tracer once the child has what it has. */
static void one_more(void)
{
    living(1);
}

static void two_more(void)
{
    living(2);
}

/* A claim of a process that is dead; its backend, if there is one, too. */
static void leave_dead_holder(int seen, int state)
{
    pid_t pid = support_fork();
    if (!pid) {
        if (seen)
            child_opens_seen();
        else if (state == PQB_CLAIM_OPEN)
            child_opens();
        else
            child_asks();
        _exit(0);
    }
    support_reap(pid);
}

static void dead_holder(void)
{
    living(2);
    leave_dead_holder(0, PQB_CLAIM_OPEN);
    living(2);
}

static void dead_waiter(void)
{
    living(3);
    leave_dead_holder(0, PQB_CLAIM_WAITING);
    living(1);
}

static void dead_backend(void)
{
    with_backend();
    leave_dead_holder(1, PQB_CLAIM_OPEN);
    living(1);
    act_tick(); /* buried: it drains */
    support_kill(backend);
    backend = 0;
}

static void lying_grant(void)
{
    config.limit = 1;
    ask("a");
    ask("a");
    must(state_of(&mine[0]) == PQB_CLAIM_GRANTED, "not granted");
    atomic_store(&map->claim[mine[0].index].changed_at, pqb_now() - 2 * PQB_SECOND);
}

static void paused_queue(void)
{
    config.paused = 1;
    living(4);
}

static void steer(const struct pqb_steer *change)
{
    (void)!pqb_steer_apply(atomic_load(&ledger.region), change, NULL);
}

static void act_resume(void)
{
    struct pqb_steer change = pqb_steer_nothing;
    change.server = "a";
    change.paused = 0;
    steer(&change);
}

static void act_pause(void)
{
    struct pqb_steer change = pqb_steer_nothing;
    change.server = "a";
    change.paused = 1;
    steer(&change);
}

static void limit_of_one(void)
{
    config.limit = 1;
    living(4);
}

static void act_set(void)
{
    struct pqb_steer change = pqb_steer_nothing;
    change.server = "a";
    change.make = 1;
    change.limit = 5;
    change.reserve = 1;
    change.wait_ms = 1000;
    change.logins = 2;
    change.slack = 1;
    change.apps = 1;
    change.app[0] = (struct pqb_steer_app){"other", 3, 1};
    steer(&change);
}

static void act_lower(void)
{
    struct pqb_steer change = pqb_steer_nothing;
    change.server = "a";
    change.limit = 2;
    steer(&change);
}

static void two_servers(void)
{
    ask("a");
    config.limit = 1;
    ask("b");
    ask("b");
    ask("b");
    living(0);
}

static void act_merge(void)
{
    struct pqb_steer change = pqb_steer_nothing;
    change.server = "a";
    change.aliases = 1;
    change.alias[0] = "b";
    steer(&change);
}

static void act_learn(void)
{
    (void)!pqb_steer_learn(atomic_load(&ledger.region), "a", "10.1.2.3:5432");
}

static void reserve_of_one(void)
{
    config.reserve = 1;
    living(2);
}

static void logins_of_one(void)
{
    config.logins = 1;
}

static void slack_of_one(void)
{
    config.slack = 1;
    with_backend();
}

/* ---- giving way ---- */

static void offer(const struct pqb_claim *claim)
{
    pqb_yield_offer(claim, 1);
    pqb_yield_tell(claim, PQB_SESSION_IDLE, pqb_now() - PQB_SECOND);
}

/* They do not answer. */
static void idle_living(void)
{
    living(5);
    for (unsigned i = 0; i < 3; i++)
        offer(&mine[i]);
}

static void child_opens_two(void)
{
    struct pqb_claim_request request = request_for("a");
    child_opens();
    must(!pqb_wait_submit(&ledger, &request, &theirs[1], NULL) && !pqb_claim_take(&theirs[1]) &&
             !pqb_claim_open(&theirs[1], &nobody),
         "the child's second");
}

static void child_offers(void)
{
    child_opens_two();
    offer(&theirs[0]);
    pqb_yield_offer(&theirs[1], 3600000);
}

/* Asks the child. */
static void two_more_ask(void)
{
    two_more();
    act_tick();
    must(atomic_load(&map->server[0].asked) != 0, "the child is not asked");
}

static void act_offer(void)
{
    offer(&theirs[0]);
}

static void act_give_way(void)
{
    struct pqb_yield_wish wish;
    if (pqb_yield_is_asked(&theirs[0], &wish) != PQB_YIELD_ASKED ||
        !pqb_yield_has_others(&theirs[0]))
        return;
    pqb_yield_accept(&theirs[0], &wish, PQB_SECOND);
    pqb_claim_give(&theirs[0], PQB_END_CLOSED);
}

static void act_decline(void)
{
    pqb_yield_tell(&theirs[0], PQB_SESSION_ACTIVE, pqb_now());
    pqb_yield_decline(&theirs[0]);
}

/* As somebody leaves it who dies inside the guard, only worse. */
static void wreck(void)
{
    living(5);
    struct pqb_server_row *server = &map->server[0];
    server->general = 7;
    server->waiting = 1;
    server->queue_head = 5;
    server->queue_tail = 77;
    map->header.account_free = 3;
    map->account[0].held = 9;
    map->app[0].used = 17;
    atomic_store(&map->header.waiting, 0);
    atomic_store(&map->header.busy[mine[0].index / 64], 0);
    atomic_store(&map->header.dirty, 1);
}

struct operation {
    const char *name;
    void (*arrange)(void); /* the living's share */
    void (*prepare)(void); /* the child's, before it */
    void (*behind)(void);  /* the living's, when the child has its own */
    void (*act)(void);
    uint32_t limit[2]; /* what the limit may be afterwards */
    int any_order;
};

static const struct operation operations[] = {
    {"submit, uncontended", one_living, nothing, nothing, act_ask, {3, 3}, 0},
    {"submit, with a queue", five_living, nothing, nothing, act_ask, {3, 3}, 0},
    {"submit, first of a server", one_new_app, nothing, nothing, act_ask_new_server, {3, 3}, 0},
    {"submit, from the reserve", reserve_of_one, nothing, one_more, act_ask, {3, 3}, 0},
    {"take", one_living, child_asks, two_more, act_take, {3, 3}, 0},
    {"open", one_living, child_takes, nothing, act_open, {3, 3}, 0},
    {"open, logins waiting", logins_of_one, child_takes, two_more, act_open, {3, 3}, 0},
    {"open anew", one_living, child_opens, two_more, act_open, {3, 3}, 0},
    {"open anew, seen backend", with_backend, child_opens_seen, one_more, act_open, {3, 3}, 0},
    {"give, nobody waits", one_living, child_opens, nothing, act_give, {3, 3}, 0},
    {"give, to a waiter", two_living, child_holds_living_wait, two_more, act_give, {3, 3}, 0},
    {"give, of the reserve", reserve_of_one, child_opens, one_more, act_give, {3, 3}, 0},
    {"give, seen backend", with_backend, child_opens_seen, one_more, act_give, {3, 3}, 0},
    {"give, into slack", slack_of_one, child_opens_seen, one_more, act_give, {3, 3}, 0},
    {"give, while it waits", ask_queue_after_child, child_asks, one_more, act_time_out, {3, 3}, 0},
    {"drop", one_living, child_opens, two_more, act_drop, {3, 3}, 0},
    {"acquire, nothing to be had", five_living, nothing, nothing, act_acquire, {3, 3}, 0},
    {"tick, buries a holder", dead_holder, nothing, nothing, act_tick, {3, 3}, 0},
    {"tick, buries a waiter", dead_waiter, nothing, nothing, act_tick, {3, 3}, 0},
    {"tick, backend has exited", dead_backend, nothing, nothing, act_tick, {3, 3}, 0},
    {"tick, takes a grant back", lying_grant, nothing, nothing, act_tick, {1, 1}, 1},
    {"resume, grants", paused_queue, nothing, nothing, act_resume, {3, 3}, 0},
    {"pause", two_living, nothing, nothing, act_pause, {3, 3}, 0},
    {"set, more of all", limit_of_one, nothing, nothing, act_set, {1, 5}, 0},
    {"set, a lower limit", five_living, nothing, nothing, act_lower, {3, 2}, 0},
    {"set, merges two servers", two_servers, nothing, nothing, act_merge, {3, 3}, 0},
    {"learn an alias", one_living, nothing, nothing, act_learn, {3, 3}, 0},
    {"tick, asks for an idle one", idle_living, nothing, nothing, act_tick, {3, 3}, 0},
    {"offer to give way", one_living, child_opens_two, two_more, act_offer, {3, 3}, 0},
    {"give way", one_living, child_offers, two_more_ask, act_give_way, {3, 3}, 0},
    {"decline to", one_living, child_offers, two_more_ask, act_decline, {3, 3}, 0},
    {"rebuild", wreck, nothing, nothing, act_tick, {3, 3}, 0},
};

/* ---- the child ---- */

/* Puts the ledger back to its beginning. Nobody else is alive. */
static void begin(const struct operation *operation)
{
    memcpy(map, pristine, sizeof *map);
    memset(&ledger.hints, 0xff, sizeof ledger.hints);
    config = defaults;
    mines = 0;
    *finding = 0;
    operation->arrange();
}

static void stop_here(void)
{
    raise(SIGSTOP);
}

static int wait_stop(pid_t pid)
{
    int status = 0;
    while (waitpid(pid, &status, __WALL) < 0 && errno == EINTR)
        ;
    return status;
}

static pid_t start_child(const struct operation *operation)
{
    pid_t pid = support_fork();
    if (!pid) {
        seed = 4711;
        operation->prepare();
        if (ptrace(PTRACE_TRACEME, 0, 0, 0))
            _exit(3);
        stop_here();
        operation->act();
        _exit(0);
    }
    int status = wait_stop(pid);
    must(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP, "the child did not start");
    ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD);
    operation->behind();
    return pid;
}

static void end_child(pid_t pid)
{
    kill(pid, SIGKILL);
    while (WIFSTOPPED(wait_stop(pid)))
        ;
}

static uint64_t instruction_of(pid_t pid)
{
    struct user_regs_struct registers;
    struct iovec into = {&registers, sizeof registers};
    if (ptrace(PTRACE_GETREGSET, pid, NT_PRSTATUS, &into))
        return 0;
#if defined(__x86_64__)
    return registers.rip;
#elif defined(__aarch64__)
    return registers.pc;
#else
    return 0;
#endif
}

/* One instruction. 0 when the child has ended. */
static int step(pid_t pid)
{
    if (ptrace(PTRACE_SINGLESTEP, pid, 0, 0))
        return 0;
    return WIFSTOPPED(wait_stop(pid));
}

/* ---- first pass: which instructions change shared memory ---- */

struct change {
    uint64_t instruction;
    uint32_t word; /* the first that changed */
    uint32_t nth;  /* so many times had it changed by then */
};

static struct change changes[CHANGES];
static unsigned change_count;
static uint8_t is_hot[PAGES];
static uint16_t hot[PAGES];
static unsigned hots;
static uint32_t word_changes[WORDS];

static void heat(unsigned page)
{
    if (is_hot[page])
        return;
    is_hot[page] = 1;
    hot[hots++] = (uint16_t)page;
}

static size_t page_bytes(unsigned page)
{
    size_t from = (size_t)page * PAGE;
    return sizeof *map - from < PAGE ? sizeof *map - from : PAGE;
}

static int page_differs(unsigned page)
{
    return memcmp((char *)map + (size_t)page * PAGE, (char *)copy + (size_t)page * PAGE,
                  page_bytes(page)) != 0;
}

/* Notes a change of the page and brings the copy up to date. *first is the first changed word. */
static void note_words(unsigned page, uint32_t *first)
{
    const uint64_t *now = (const uint64_t *)(const void *)map;
    uint64_t *then = (uint64_t *)(void *)copy;
    uint32_t from = page * (PAGE / 8), to = from + (uint32_t)(page_bytes(page) / 8);
    for (uint32_t word = from; word < to; word++) {
        if (now[word] == then[word])
            continue;
        then[word] = now[word];
        word_changes[word]++;
        if (*first == UINT32_MAX)
            *first = word;
    }
}

/* True if pages changed that nobody looked at: to be done again. */
static int heat_what_differs(void)
{
    int more = 0;
    for (unsigned page = 0; page < PAGES; page++)
        if (!is_hot[page] && page * (size_t)PAGE < sizeof *map && page_differs(page)) {
            heat(page);
            more = 1;
        }
    return more;
}

/* Steps through the operation, or to the change after `until` others. Returns 0 if it is to be done
 * again with the pages that were found meanwhile. */
static int trace_once(const struct operation *operation, unsigned until, unsigned long *steps)
{
    begin(operation);
    pid_t pid = start_child(operation);
    memcpy(copy, map, sizeof *map);
    memset(word_changes, 0, sizeof word_changes);
    change_count = 0;
    *steps = 0;
    uint64_t at = instruction_of(pid);
    int missed = 0;
    while (change_count <= until && step(pid)) {
        uint32_t first = UINT32_MAX;
        for (unsigned i = 0; i < hots; i++)
            if (page_differs(hot[i]))
                note_words(hot[i], &first);
        if (first != UINT32_MAX) {
            must(change_count < CHANGES, "too many changes");
            changes[change_count++] = (struct change){at, first, word_changes[first]};
        }
        if (++*steps % 2000 == 0)
            missed |= heat_what_differs();
        at = instruction_of(pid);
    }
    missed |= heat_what_differs();
    end_child(pid);
    return !missed;
}

/* A first guess at the pages, from what an undisturbed run leaves changed. */
static void guess_pages(const struct operation *operation)
{
    memset(is_hot, 0, sizeof is_hot);
    hots = 0;
    begin(operation);
    pid_t pid = start_child(operation);
    memcpy(copy, map, sizeof *map);
    ptrace(PTRACE_CONT, pid, 0, 0);
    wait_stop(pid);
    end_child(pid);
    heat(0);
    for (unsigned i = 0; i < mines; i++)
        heat((unsigned)(offsetof(struct pqb_layout, claim[mine[i].index]) / PAGE));
    heat((unsigned)(offsetof(struct pqb_layout, account) / PAGE));
    heat_what_differs();
}

/* ---- recovery: what a visitor must find ---- */

static unsigned held_on(unsigned server, unsigned *asked)
{
    unsigned held = 0;
    *asked = 0;
    for (unsigned i = 0; i < mines; i++) {
        if (map->claim[mine[i].index].server != server)
            continue;
        (*asked)++;
        held += state_of(&mine[i]) == PQB_CLAIM_OPEN;
    }
    return held;
}

static int is_foreign(unsigned index)
{
    for (unsigned i = 0; i < mines; i++)
        if (mine[i].index == index)
            return 0;
    return 1;
}

/* So many may the living have on that server, once the dead are off the books. */
static unsigned room_on(unsigned server)
{
    const struct pqb_server_config *now = &map->server[server].config;
    unsigned taken = now->reserve, before;
    for (unsigned i = 0; i < PQB_APPS; i++)
        if (map->app[i].taken == 1 && map->app[i].server == server &&
            strcmp(map->app[i].label, "steps"))
            taken += map->app[i].min;
    unsigned draining = 0;
    for (unsigned i = 0; i < PQB_CLAIMS; i++)
        if ((atomic_load(&map->claim[i].ctl) & PQB_CTL_STATE) == PQB_CLAIM_DRAINING)
            draining += map->claim[i].server == server;
    taken += draining > now->slack ? draining - now->slack : 0;
    int damped = 0;
    for (unsigned i = 0; stopped && i < PQB_CLAIMS; i++) {
        const struct pqb_claim_row *claim = &map->claim[i];
        unsigned state = (unsigned)(atomic_load(&claim->ctl) & PQB_CTL_STATE);
        if (claim->pid != stopped || claim->server != server || state < PQB_CLAIM_GRANTED ||
            state > PQB_CLAIM_OPEN)
            continue;
        taken += claim->booked != PQB_BOOKED_RESERVE;
        damped |= now->logins && state != PQB_CLAIM_OPEN;
    }
    if (now->paused || damped)
        return held_on(server, &before);
    return now->limit > taken ? now->limit - taken : 0;
}

/* The dead child's claims are off the books; the living have what there is room for. */
static int is_settled(void)
{
    for (unsigned i = 0; i < PQB_CLAIMS; i++) {
        unsigned state = (unsigned)(atomic_load(&map->claim[i].ctl) & PQB_CTL_STATE);
        if (state != PQB_CLAIM_FREE && is_foreign(i) && !(state == PQB_CLAIM_DRAINING && backend) &&
            !(stopped && map->claim[i].pid == stopped))
            return find("claim %u of the dead is still in state %u", i, state);
    }
    take_up_all();
    for (unsigned server = 0; server < PQB_SERVERS; server++) {
        unsigned asked, held = held_on(server, &asked);
        if (!asked)
            continue;
        unsigned room = room_on(server), due = asked < room ? asked : room;
        if (held > map->server[server].config.limit && held > defaults.limit)
            return find("server %u: the living have %u", server, held);
        if (held < due)
            return find("server %u: the living have %u of %u, room for %u", server, held, asked,
                        room);
    }
    return 1;
}

static void visit(unsigned kind)
{
    struct pqb_region *region = atomic_load(&ledger.region);
    struct pqb_snapshot snapshot;
    struct pqb_claim claim;
    struct pqb_claim_request request = request_for("a");
    switch (kind % 3) {
    case 0:
        break;
    case 1:
        if (pqb_snapshot_take(region, &snapshot))
            find("no snapshot");
        pqb_snapshot_free(&snapshot);
        break;
    default:
        /* Somebody new, who doesn't wait. */
        if (!pqb_wait_acquire(&ledger, &request, 0, &claim, NULL, NULL))
            pqb_claim_give(&claim, PQB_END_CLOSED);
    }
}

static int settle(void)
{
    uint64_t until = pqb_now() + 2 * PQB_SECOND;
    for (;;) {
        *finding = 0;
        for (unsigned server = 0; server < 2; server++)
            if (pqb_tick(atomic_load(&ledger.region), server, NULL))
                return find("the tick fails");
        if (is_settled())
            return 1;
        if (pqb_now() > until)
            return 0;
        support_nap();
    }
}

static int is_in_order(void)
{
    for (unsigned server = 0; server < PQB_SERVERS; server++) {
        int waits = 0;
        for (unsigned i = 0; i < mines; i++) {
            if (map->claim[mine[i].index].server != server)
                continue;
            if (state_of(&mine[i]) == PQB_CLAIM_WAITING)
                waits = 1;
            else if (waits)
                return find("a younger claim was granted before an older one");
        }
    }
    return 1;
}

/* At rest: what the living did meanwhile is flagged, and settled by one more visit. */
static int audit(const char *when)
{
    char words[400];
    act_tick();
    if (!audit_books(map, words, sizeof words))
        return 1;
    return find("%s: %s", when, words);
}

/* Exactly the limit can be had. */
static int is_whole(const struct operation *operation)
{
    struct pqb_steer plain = pqb_steer_nothing;
    struct pqb_claim_request request = request_for("a");
    plain.server = "a";
    plain.reserve = plain.paused = plain.logins = 0;
    unsigned other = pqb_registry_app(map, 0, "other", PQB_NIL);
    if (other != PQB_NIL) {
        plain.apps = 1;
        plain.app[0] = (struct pqb_steer_app){"other", PQB_UNLIMITED, 0};
    }
    struct pqb_error error = {{0}};
    if (map->server[0].taken && pqb_steer_apply(atomic_load(&ledger.region), &plain, &error))
        return find("it can't be steered: %.200s", error.text);
    uint32_t limit = map->server[0].taken ? map->server[0].config.limit : config.limit;
    if (limit != operation->limit[0] && limit != operation->limit[1])
        return find("the limit is %u", limit);
    for (unsigned i = 0; i <= limit && i < MINE; i++) {
        enum pqb_status status = pqb_wait_acquire(&ledger, &request, 0, &mine[i], NULL, NULL);
        mines += !status;
        if (status != (i < limit ? PQB_OK : PQB_TIMED_OUT))
            return find("asking for number %u of %u: %s", i + 1, limit, pqb_status_text(status));
    }
    return 1;
}

static void give_all(void)
{
    for (unsigned i = 0; i < mines; i++)
        pqb_claim_give(&mine[i], PQB_END_CLOSED);
    mines = 0;
}

static int is_empty(void)
{
    for (unsigned i = 0; i < PQB_CLAIMS; i++)
        if ((atomic_load(&map->claim[i].ctl) & PQB_CTL_STATE) != PQB_CLAIM_FREE)
            return find("claim %u is left in state %u", i,
                        (unsigned)(atomic_load(&map->claim[i].ctl) & PQB_CTL_STATE));
    return 1;
}

/* After the child's death: returns 1 if all is well, else 0 and `finding` says what is not. */
static int recovers(const struct operation *operation, unsigned kind)
{
    unsigned descriptors = support_descriptors();
    visit(kind);
    int well = settle() && (operation->any_order || is_in_order()) && audit("after a visit");
    if (well && backend) {
        support_kill(backend);
        backend = 0;
        well = settle() && is_in_order() && audit("after the backend went");
    }
    give_all();
    well =
        well && settle() && is_empty() && audit("when all was given back") && is_whole(operation);
    give_all();
    well = well && settle() && is_empty() && audit("at the end");
    if (well && support_descriptors() > descriptors + PQB_LIFE_POOL + 1)
        well = find("%u descriptors became %u", descriptors, support_descriptors());
    if (backend)
        support_kill(backend);
    backend = 0;
    return well;
}

/* ---- second pass: dying ---- */

#if defined(__x86_64__)
static int watch(pid_t pid, const void *address)
{
    /* Enabled locally, on writes, eight bytes. */
    const long control = 1 | 1 << 16 | 2 << 18;
    return !ptrace(PTRACE_POKEUSER, pid, offsetof(struct user, u_debugreg[0]), address) &&
           !ptrace(PTRACE_POKEUSER, pid, offsetof(struct user, u_debugreg[7]), control);
}
#else
static int watch(pid_t pid, const void *address)
{
    (void)pid, (void)address;
    return 0;
}
#endif

/* The same by stepping: times differ, and with them now and then the words that change. It may take
 * so long that what the living were granted would be taken back, had they not taken it up. */
static int die_at_step(const struct operation *operation, unsigned nth, unsigned long all)
{
    unsigned long steps;
    unsigned count = change_count;
    if (all > 50000)
        return 0;
    if (backend)
        support_kill(backend);
    backend = 0;
    give_all();
    trace_once(operation, nth, &steps);
    take_up_all();
    int reached = change_count == nth + 1;
    change_count = count;
    return reached;
}

static char beside[512]; /* what was found while the child was only stopped */

/* Kills the child; but first the others must be able to go on beside it. */
static void end_stopped(pid_t pid)
{
    *beside = 0;
    if (support_guard_owner(atomic_load(&ledger.region)) != pid) {
        stopped = pid;
        if (!settle())
            snprintf(beside, sizeof beside, "beside it, stopped: %.400s", finding);
        stopped = 0;
    }
    end_child(pid);
}

/* Lets the child run until `word` has changed for the nth time, and kills it there. 0 if it ended
 * before. */
static int die_at(const struct operation *operation, uint32_t word, uint32_t nth)
{
    begin(operation);
    pid_t pid = start_child(operation);
    const _Atomic uint64_t *watched = (const _Atomic uint64_t *)(void *)map + word;
    uint64_t was = atomic_load(watched);
    int by_hardware = watch(pid, (const void *)watched), reached = 0;
    while (!reached) {
        if (ptrace(by_hardware ? PTRACE_CONT : PTRACE_SINGLESTEP, pid, 0, 0) ||
            !WIFSTOPPED(wait_stop(pid)))
            break;
        uint64_t is = atomic_load(watched);
        nth -= is != was;
        was = is;
        reached = !nth;
    }
    if (reached)
        end_stopped(pid);
    else
        end_child(pid);
    return reached;
}

/* Lets the child run to its nth stop at a system call (odd: before it, even: after it). */
static int die_at_call(const struct operation *operation, unsigned nth)
{
    begin(operation);
    pid_t pid = start_child(operation);
    int reached = 1;
    for (unsigned i = 0; i < nth && reached; i++)
        reached = !ptrace(PTRACE_SYSCALL, pid, 0, 0) && WIFSTOPPED(wait_stop(pid));
    if (reached)
        end_stopped(pid);
    else
        end_child(pid);
    return reached;
}

static uint32_t seen_of(uint64_t instruction, int add)
{
    static struct {
        uint64_t instruction;
        uint32_t seen;
    } table[8192];
    if (!instruction) {
        memset(table, 0, sizeof table);
        return 0;
    }
    unsigned at = (unsigned)(instruction * 0x9e3779b97f4a7c15ull >> 51);
    while (table[at].instruction && table[at].instruction != instruction)
        at = (at + 1) % 8192;
    table[at].instruction = instruction;
    table[at].seen += (uint32_t)add;
    return table[at].seen;
}

/* Is the nth of `all` changes by one instruction to be died at? */
static int is_chosen(uint32_t nth, uint32_t all)
{
    const uint32_t third = EVERY / 3;
    if (all <= EVERY || nth <= third || nth > all - third)
        return 1;
    return (nth - third) % ((all - 2 * third) / third + 1) == 0;
}

struct outcome {
    unsigned long steps;
    unsigned changes, calls, deaths, missed, bad;
    char last[700];
};

static void judge(const struct operation *operation, struct outcome *outcome, const char *where)
{
    outcome->deaths++;
    int well = recovers(operation, outcome->deaths);
    if (*beside)
        memcpy(finding, beside, sizeof finding);
    if (well && !*beside)
        return;
    outcome->bad++;
    snprintf(outcome->last, sizeof outcome->last, "%s: %s", where, finding);
    fprintf(stderr, "      %s: %s\n", operation->name, outcome->last);
}

static void die_everywhere(const struct operation *operation, struct outcome *outcome)
{
    static uint32_t nth_of[CHANGES];
    char where[160];
    seen_of(0, 0);
    for (unsigned i = 0; i < change_count; i++)
        nth_of[i] = seen_of(changes[i].instruction, 1);
    for (unsigned i = 0; i < change_count && outcome->bad < BAD_AT_MOST; i++) {
        const struct change *change = &changes[i];
        if (!is_chosen(nth_of[i], seen_of(change->instruction, 0)))
            continue;
        struct change here = *change;
        if (!die_at(operation, here.word, here.nth))
            outcome->missed += !die_at_step(operation, i, outcome->steps);
        snprintf(where, sizeof where,
                 "killed at change %u of %u (instruction %#llx, byte %u, %u. time)", i + 1,
                 change_count, (unsigned long long)change->instruction, change->word * 8,
                 change->nth);
        judge(operation, outcome, where);
    }
    for (unsigned nth = 1; outcome->bad < BAD_AT_MOST && die_at_call(operation, nth); nth++) {
        outcome->calls = nth / 2;
        snprintf(where, sizeof where, "killed %s system call %u", nth % 2 ? "before" : "after",
                 (nth + 1) / 2);
        judge(operation, outcome, where);
    }
    *beside = 0;
    judge(operation, outcome, "ended by itself");
}

static void report(const char *name, const struct outcome *outcome)
{
    int good = !outcome->bad && outcome->deaths > 1;
    passed += (unsigned)good;
    failed += (unsigned)!good;
    printf("  %-4s  %-28s %7lu steps %6u changes %3u calls %5u deaths", good ? "ok" : "FAIL", name,
           outcome->steps, outcome->changes, outcome->calls, outcome->deaths);
    if (outcome->missed)
        printf("  (%u places not met again)", outcome->missed);
    if (outcome->bad)
        printf("\n        %s", outcome->last);
    printf("\n");
    fflush(stdout);
}

static void run(const struct operation *operation)
{
    struct outcome outcome = {0};
    unsigned tries = 0;
    guess_pages(operation);
    while (mines)
        give_all();
    if (backend)
        support_kill(backend);
    backend = 0;
    for (;;) {
        int complete = trace_once(operation, CHANGES, &outcome.steps);
        outcome.changes = change_count;
        give_all();
        if (backend)
            support_kill(backend);
        backend = 0;
        if (complete)
            break;
        must(++tries < 8, "the pages it changes can't be found");
    }
    die_everywhere(operation, &outcome);
    report(operation->name, &outcome);
}

/* ---- making and giving up a whole ledger: system calls only ---- */

static char other_name[64];

static void act_create(void)
{
    struct pqb_ledger fresh;
    (void)!pqb_ledger_open(&fresh, other_name, 1, NULL);
}

static void act_reset(void)
{
    char path[PQB_REGION_PATH];
    if (!pqb_region_path(other_name, path, NULL))
        (void)!pqb_steer_reset(path, 0, NULL);
}

/* Counts what is left under that name. A folder of lock files that nobody refers to stays until
 * whoever makes the ledger anew finds it 10 s old: those are counted apart, and removed here. */
static unsigned files_of(const char *name, unsigned *strays)
{
    char start[128], path[512];
    unsigned count = 0;
    *strays = 0;
    snprintf(start, sizeof start, "pqbudget.%u.%s", (unsigned)geteuid(), name);
    size_t length = strlen(start);
    DIR *directory = opendir("/dev/shm");
    for (struct dirent *entry; directory && (entry = readdir(directory));) {
        if (strncmp(entry->d_name, start, length))
            continue;
        count += !entry->d_name[length];
        if (entry->d_name[length] != '~')
            continue;
        (*strays)++;
        snprintf(path, sizeof path, "rm -rf '/dev/shm/%s'", entry->d_name);
        must(!system(path), path);
    }
    if (directory)
        closedir(directory);
    return count;
}

/* Whatever state the other ledger was left in: it can be opened, it counts, and it can be removed.
 */
static int other_is_usable(void)
{
    struct pqb_ledger other;
    struct pqb_error error = {{0}};
    struct pqb_claim claim[4];
    struct pqb_claim_request request = request_for("a");
    int well = 1;
    if (pqb_ledger_open(&other, other_name, 1, &error))
        return find("it can't be opened: %.200s", error.text);
    for (unsigned i = 0; i < 4; i++) {
        enum pqb_status status = pqb_wait_acquire(&other, &request, 0, &claim[i], NULL, &error);
        if (status != (i < 3 ? PQB_OK : PQB_TIMED_OUT))
            well = find("asking for number %u of 3: %.200s", i + 1, pqb_status_text(status));
    }
    for (unsigned i = 0; i < 3; i++)
        pqb_claim_give(&claim[i], PQB_END_CLOSED);
    support_ledger_end(&other);
    unsigned strays, files = files_of(other_name, &strays);
    if (well && (files || strays > 1))
        well = find("%u files and %u folders are left", files, strays);
    return well;
}

static void no_other(void)
{
    support_ledger_name(other_name);
}

static void an_other(void)
{
    struct pqb_ledger other;
    support_ledger_name(other_name);
    must(!pqb_ledger_open(&other, other_name, 1, NULL), "no other ledger");
    must(!pqb_tick(atomic_load(&other.region), 0, NULL), "no tick");
    pqb_ledger_close(&other);
}

/* 0 when the child ended before. */
static int die_at_any_call(const struct operation *operation, unsigned nth, unsigned *met)
{
    begin(operation);
    pid_t pid = start_child(operation);
    int alive = 1;
    for (*met = 0; *met < nth && alive; *met += (unsigned)alive)
        alive = !ptrace(PTRACE_SYSCALL, pid, 0, 0) && WIFSTOPPED(wait_stop(pid));
    end_child(pid);
    return alive;
}

/* Most of the calls make or remove one lock file after the other: some of those will do. */
static void run_whole(const struct operation *operation)
{
    struct outcome outcome = {0};
    char where[80];
    unsigned all, met;
    die_at_any_call(operation, UINT32_MAX, &all);
    other_is_usable();
    outcome.calls = all / 2;
    for (unsigned nth = 1; nth <= all && outcome.bad < BAD_AT_MOST; nth++) {
        if (nth > 50 && nth + 50 < all && nth % 29)
            continue;
        die_at_any_call(operation, nth, &met);
        snprintf(where, sizeof where, "killed %s system call %u", nth % 2 ? "before" : "after",
                 (nth + 1) / 2);
        outcome.deaths++;
        if (other_is_usable())
            continue;
        outcome.bad++;
        snprintf(outcome.last, sizeof outcome.last, "%s: %s", where, finding);
        fprintf(stderr, "      %s: %s\n", operation->name, outcome.last);
    }
    report(operation->name, &outcome);
}

static const struct operation making = {"make a ledger", no_other, nothing, nothing,
                                        act_create,      {3, 3},   0};
static const struct operation resetting = {"reset a ledger", an_other, nothing, nothing,
                                           act_reset,        {3, 3},   0};

/* ---- */

static int is_wanted(const char *name, int count, char **arguments)
{
    for (int i = 1; i < count; i++)
        if (strstr(name, arguments[i]))
            return 1;
    return count < 2;
}

static void *room_for(size_t bytes)
{
    void *memory = aligned_alloc(64, (bytes + 63) / 64 * 64);
    must(memory != NULL, "no memory");
    return memory;
}

int main(int count, char **arguments)
{
    uint64_t start = pqb_now();
    cpu_set_t first;
    int cpu = sched_getcpu();
    /* Tracer and child take turns: twice as fast on one processor. */
    CPU_ZERO(&first);
    CPU_SET(cpu < 0 ? 0 : (unsigned)cpu, &first);
    sched_setaffinity(0, sizeof first, &first);
    prctl(PR_SET_NAME, "postgres"); /* the parent of the backends */
    seed = (uint64_t)getpid();
    support_ledger_open(&ledger);
    map = atomic_load(&ledger.region)->map;
    must(!pqb_tick(atomic_load(&ledger.region), 0, NULL), "the first visit");
    pristine = room_for(sizeof *map);
    copy = room_for(sizeof *map);
    memcpy(pristine, map, sizeof *map);
    for (unsigned i = 0; i < sizeof operations / sizeof *operations; i++)
        if (is_wanted(operations[i].name, count, arguments))
            run(&operations[i]);
    if (is_wanted(making.name, count, arguments))
        run_whole(&making);
    if (is_wanted(resetting.name, count, arguments))
        run_whole(&resetting);
    support_ledger_end(&ledger);
    printf("%.0f s\n%u passed, %u failed\n", (double)(pqb_now() - start) / 1e9, passed, failed);
    return failed || !passed;
}
