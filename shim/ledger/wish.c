#include "ledger/wish.h"

#include "ledger/admission.h"
#include "ledger/os.h"
#include "ledger/registry.h"

#define PATIENCE (100 * PQB_MS)    /* with a holder who does not answer: he is stopped, or busy */
#define REST_AT_LEAST (5 * PQB_MS) /* after a look that found nobody */
#define REST_AT_MOST (100 * PQB_MS)
#define NEEDS 64u           /* different ones of a queue, that are looked for at once */
#define FUTURE (60 * 1000u) /* in ms: so much later may the clock have been read that a row has */

unsigned pqb_wish_claim(const struct pqb_layout *map, uint64_t name, enum pqb_claim_state state)
{
    unsigned index = (uint32_t)name - 1;
    if (!name || index >= PQB_CLAIMS)
        return PQB_NIL;
    uint64_t ctl = atomic_load(&map->claim[index].ctl);
    return pqb_ctl_generation(ctl) == name >> 32 && pqb_ctl_state(ctl) == state ? index : PQB_NIL;
}

uint32_t pqb_wish_idle(const struct pqb_claim_row *row, uint64_t now)
{
    uint32_t idle = pqb_wish_clock(now) - atomic_load(&row->idle_since);
    return idle > UINT32_MAX - FUTURE ? 0 : idle; /* used a moment ago, by a clock read later */
}

/* ---- who may be asked ---- */

/* Its owner said of late that it is not idle, whatever its row tells by now. The seconds go round
 * every 18 hours, and who said no then is let alone once more. */
static int has_declined(const struct pqb_claim_row *claim, uint32_t after, uint64_t now)
{
    uint16_t said = atomic_load(&claim->declined_at);
    return said && (uint16_t)(pqb_wish_second(now) - said) <= after / 1000;
}

int pqb_wish_may_ask(const struct pqb_claim_row *claim, uint64_t now)
{
    unsigned session = atomic_load(&claim->session);
    uint32_t after = atomic_load(&claim->yield_after);
    return after && session != PQB_SESSION_UNTOLD && session <= PQB_SESSION_IDLE &&
           pqb_wish_idle(claim, now) >= after && !has_declined(claim, after, now);
}

int pqb_wish_has_others(const struct pqb_layout *map, unsigned index)
{
    const struct pqb_claim_row *claim = &map->claim[index];
    unsigned own = index / PQB_GROUP_CLAIMS; /* a process's claims are near one another */
    for (unsigned i = 0; i < PQB_GROUPS; i++) {
        unsigned group = (own + i) % PQB_GROUPS;
        uint64_t busy = atomic_load(&map->header.busy[group]);
        for (; busy; busy &= busy - 1) {
            unsigned at = group * PQB_GROUP_CLAIMS + (unsigned)__builtin_ctzll(busy);
            const struct pqb_claim_row *other = &map->claim[at];
            uint64_t ctl = atomic_load(&other->ctl);
            if (at != index && pqb_ctl_state(ctl) == PQB_CLAIM_OPEN &&
                other->process == claim->process && other->server == claim->server &&
                atomic_load(&other->ctl) == ctl) /* it is not another's by now */
                return 1;
        }
    }
    return 0;
}

/* By the claim's process, on its server. */
static uint32_t held_of(const struct pqb_books *books, const struct pqb_claim_row *claim)
{
    unsigned account = pqb_once(&claim->account);
    return account < PQB_CLAIMS ? books->map->account[account].held : 0;
}

static int is_candidate(const struct pqb_books *books, const struct pqb_claim_row *claim)
{
    return pqb_wish_may_ask(claim, books->now) &&
           pqb_ctl_state(atomic_load(&claim->ctl)) == PQB_CLAIM_OPEN && held_of(books, claim) > 1;
}

/* ---- what helps whom ---- */

/* What would help a waiter, and those behind him who are held back by the same. */
struct need {
    const struct pqb_server_row *server;
    unsigned waiter;
    enum pqb_obstacle obstacle;
    uint32_t held; /* by the waiter's process */
    unsigned best; /* of all that would help; PQB_NIL = none */
};

/* Has the waiter room, or is this one in his way? Where a limit was lowered several are, and each
 * of them helps. */
static int makes_room(const struct pqb_books *books, const struct need *need,
                      const struct pqb_claim_row *claim)
{
    const struct pqb_claim_row *waiter = pqb_books_claim(books, need->waiter);
    const struct pqb_server_row *server = need->server;
    const struct pqb_app_row *app = pqb_books_app(books, waiter);
    const struct pqb_app_row *its = pqb_books_app(books, claim);
    uint64_t own = pqb_books_unmet(app), unmet = server->unmet > own ? server->unmet - own : 0;
    if (server->general + unmet < pqb_registry_general(&server->config))
        return 1; /* all in all there are too many */
    /* What an application gives back of its guaranteed minimum is kept for it. */
    int is_spare = !its || its == app || its->general > its->min;
    if (claim->booked == PQB_BOOKED_GENERAL && is_spare)
        return 1;
    /* The reserve is for newcomers; a claim in it moves to general where that has room for it. */
    return !need->held && (server->reserve < server->config.reserve ||
                           (server->config.reserve && (claim->booked == PQB_BOOKED_RESERVE ||
                                                       (its && its->used > its->general))));
}

/* Would the waiter get what this one gives back? */
static int helps(const struct pqb_books *books, const struct need *need,
                 const struct pqb_claim_row *claim)
{
    const struct pqb_claim_row *waiter = pqb_books_claim(books, need->waiter);
    const struct pqb_app_row *app = pqb_books_app(books, waiter);
    /* A process with several caps may hold far more than this one allows: that is as it must be. */
    if (need->obstacle == PQB_OBSTACLE_PROCESS_CAP &&
        (claim->process != waiter->process || need->held > waiter->process_cap))
        return 0;
    if (app && app->used >= app->limit && claim->app != waiter->app)
        return 0;
    return makes_room(books, need, claim);
}

/* Is a better to ask than b? */
static int is_better(const struct pqb_books *books, const struct pqb_claim_row *a,
                     const struct pqb_claim_row *b)
{
    uint32_t held_a = held_of(books, a), held_b = held_of(books, b);
    if (held_a != held_b)
        return held_a > held_b;
    const struct pqb_app_row *app_a = pqb_books_app(books, a), *app_b = pqb_books_app(books, b);
    if (app_a && app_b && app_a->used != app_b->used)
        return app_a->used > app_b->used;
    return pqb_wish_idle(a, books->now) > pqb_wish_idle(b, books->now);
}

/* ---- looking ---- */

static int is_same(const struct pqb_books *books, const struct need *a, const struct need *b)
{
    const struct pqb_claim_row *one = pqb_books_claim(books, a->waiter);
    const struct pqb_claim_row *other = pqb_books_claim(books, b->waiter);
    return a->obstacle == b->obstacle && !a->held == !b->held && one->app == other->app &&
           (a->obstacle != PQB_OBSTACLE_PROCESS_CAP ||
            (one->process == other->process && one->process_cap == other->process_cap));
}

static int is_new(const struct pqb_books *books, const struct need *needs, unsigned count,
                  const struct need *need)
{
    for (unsigned i = 0; i < count; i++)
        if (is_same(books, &needs[i], need))
            return 0;
    return 1;
}

static int app_drains(const struct pqb_books *books, const struct pqb_server_row *server,
                      unsigned app)
{
    unsigned index = pqb_once(&server->drain_head);
    for (unsigned n = 0; n < PQB_CLAIMS && index < PQB_CLAIMS; n++) {
        const struct pqb_claim_row *claim = pqb_books_claim(books, index);
        if (claim->app == app && claim->booked != PQB_BOOKED_SLACK)
            return 1;
        index = pqb_once(&claim->drain_next);
    }
    return 0;
}

/* What those who wait need, in the order of the queue. Who lacks room is served by a drainer, as
 * long as there is one for each; who lacks his application's, by one of it. */
static unsigned collect(const struct pqb_books *books, unsigned number, struct need *needs)
{
    const struct pqb_server_row *server = &books->map->server[number];
    uint32_t drainers = server->draining > server->slack ? server->draining - server->slack : 0;
    unsigned index = pqb_once(&server->queue_head), count = 0;
    for (unsigned n = 0; n < PQB_CLAIMS && index < PQB_CLAIMS && count < NEEDS; n++) {
        const struct pqb_claim_row *waiter = pqb_books_claim(books, index);
        enum pqb_booked pool;
        struct need need = {.server = server,
                            .waiter = index,
                            .obstacle = pqb_admission_obstacle(books->map, waiter, &pool),
                            .held = held_of(books, waiter),
                            .best = PQB_NIL};
        index = pqb_once(&waiter->next);
        if (waiter->server != number)
            break;
        if (need.obstacle == PQB_OBSTACLE_ROOM && drainers) {
            drainers--;
            continue;
        }
        int is_helped = need.obstacle == PQB_OBSTACLE_ROOM ||
                        need.obstacle == PQB_OBSTACLE_PROCESS_CAP ||
                        need.obstacle == PQB_OBSTACLE_APP_LIMIT;
        if (is_helped && is_new(books, needs, count, &need) &&
            !(need.obstacle == PQB_OBSTACLE_APP_LIMIT && app_drains(books, server, waiter->app)))
            needs[count++] = need;
    }
    return count;
}

static void weigh(const struct pqb_books *books, unsigned index, struct need *needs, unsigned count)
{
    const struct pqb_claim_row *claim = pqb_books_claim(books, index);
    int has_others = -1;
    for (unsigned i = 0; i < count; i++) {
        struct need *need = &needs[i];
        if (!helps(books, need, claim) ||
            (need->best != PQB_NIL && !is_better(books, claim, pqb_books_claim(books, need->best))))
            continue;
        if (has_others < 0)
            has_others = pqb_wish_has_others(books->map, index);
        if (has_others)
            need->best = index;
    }
}

/* Finds the best one for each need. Which servers have any is found out anew; who offers one
 * meanwhile says so after (yield.c). */
static void search(struct pqb_books *books, unsigned number, struct need *needs, unsigned count)
{
    struct pqb_server_row *server = &books->map->server[number];
    int yields = 0;
    atomic_store(&server->yields, 0);
    for (unsigned group = 0; group < PQB_GROUPS; group++) {
        uint64_t busy = atomic_load(&books->map->header.busy[group]);
        for (; busy; busy &= busy - 1) {
            unsigned index = group * PQB_GROUP_CLAIMS + (unsigned)__builtin_ctzll(busy);
            const struct pqb_claim_row *claim = pqb_books_claim(books, index);
            if (claim->server != number || !atomic_load(&claim->yield_after))
                continue;
            yields = 1;
            if (is_candidate(books, claim))
                weigh(books, index, needs, count);
        }
    }
    if (yields)
        atomic_store(&server->yields, 1);
}

static uint64_t name_of(const struct pqb_books *books, unsigned index)
{
    return pqb_wish_name(index,
                         pqb_ctl_generation(atomic_load(&pqb_books_claim(books, index)->ctl)));
}

static void ask(struct pqb_books *books, struct pqb_server_row *server, const struct need *need)
{
    atomic_store(&server->asked_for, name_of(books, need->waiter));
    server->asked_at = books->now;
    server->asked_times = 1;
    atomic_store(&server->asked, name_of(books, need->best)); /* last: holders look for it */
    pqb_books_wake(books, need->best);
}

/* A look at 10,000 claims takes a millisecond: the longer it took, the longer is the rest. */
static void rest(struct pqb_server_row *server, uint64_t since)
{
    uint64_t now = pqb_now(), pause = now > since ? 9 * (now - since) : 0;
    if (pause < REST_AT_LEAST)
        pause = REST_AT_LEAST;
    else if (pause > REST_AT_MOST)
        pause = REST_AT_MOST;
    server->ask_next = now + pause;
}

static void look_on(struct pqb_books *books, unsigned number)
{
    struct pqb_server_row *server = &books->map->server[number];
    struct need needs[NEEDS];
    uint64_t since = pqb_now();
    unsigned count = collect(books, number, needs);
    if (count)
        search(books, number, needs, count);
    for (unsigned i = 0; i < count; i++) {
        if (needs[i].best != PQB_NIL) {
            ask(books, server, &needs[i]);
            return;
        }
    }
    rest(server, since);
}

/* ---- when ---- */

/* A process that does not answer is let alone for as long as its connections must be idle, or until
 * it brings their rows up to date. */
static void pass_over(struct pqb_books *books, unsigned index)
{
    const struct pqb_claim_row *deaf = pqb_books_claim(books, index);
    for (unsigned group = 0; group < PQB_GROUPS; group++) {
        uint64_t busy = atomic_load(&books->map->header.busy[group]);
        for (; busy; busy &= busy - 1) {
            struct pqb_claim_row *claim =
                pqb_books_claim(books, group * PQB_GROUP_CLAIMS + (unsigned)__builtin_ctzll(busy));
            if (claim->process == deaf->process && atomic_load(&claim->yield_after))
                atomic_store(&claim->idle_since, pqb_wish_clock(books->now));
        }
    }
}

/* The holder who was asked has not answered yet, and who it is for still waits. Half way he is rung
 * once more: whoever asked may have died before he could. */
static int is_asking(struct pqb_books *books, struct pqb_server_row *server)
{
    uint64_t asked = atomic_load(&server->asked);
    if (!asked)
        return 0;
    unsigned index = pqb_wish_claim(books->map, asked, PQB_CLAIM_OPEN);
    unsigned waiter =
        pqb_wish_claim(books->map, atomic_load(&server->asked_for), PQB_CLAIM_WAITING);
    uint64_t age = books->now >= server->asked_at ? books->now - server->asked_at : PATIENCE;
    if (index != PQB_NIL && waiter != PQB_NIL && age < PATIENCE) {
        if (age >= PATIENCE / 2 && server->asked_times < 2) {
            server->asked_times = 2;
            pqb_books_wake(books, index);
        }
        return 1;
    }
    if (index != PQB_NIL && waiter != PQB_NIL)
        pass_over(books, index);
    atomic_store(&server->asked, 0);
    return 0;
}

static int is_wanted(const struct pqb_books *books, const struct pqb_server_row *server)
{
    int rests = books->now < server->ask_next && server->ask_next - books->now <= REST_AT_MOST;
    return server->taken == 1 && atomic_load(&server->yields) && server->waiting &&
           !server->config.paused && !rests && books->wakes < PQB_BOOKS_WAKES;
}

void pqb_wish_look(struct pqb_books *books)
{
    for (uint64_t servers = books->dispatched; servers; servers &= servers - 1) {
        unsigned number = (unsigned)__builtin_ctzll(servers);
        struct pqb_server_row *server = &books->map->server[number];
        if (is_wanted(books, server) && !is_asking(books, server))
            look_on(books, number);
    }
}
