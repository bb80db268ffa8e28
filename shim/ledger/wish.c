#include "ledger/wish.h"

#include "ledger/admission.h"
#include "ledger/os.h"

#define PATIENCE (100 * PQB_MS) /* with a holder who does not answer: he is stopped, or busy */
#define REST (5 * PQB_MS)       /* after a look that found nobody */
#define WAITERS 16              /* of a queue, for whom one is looked */

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
    return idle > INT32_MAX ? 0 : idle; /* used a moment ago, by a clock that was read later */
}

/* ---- who is asked ---- */

/* What would help a waiter. */
struct need {
    const struct pqb_claim_row *waiter;
    unsigned server;
    enum pqb_obstacle obstacle;
    uint32_t held; /* by the waiter's process */
};

/* By the claim's process, on its server. */
static uint32_t held_of(const struct pqb_books *books, const struct pqb_claim_row *claim)
{
    unsigned account = claim->account;
    return account < PQB_CLAIMS ? books->map->account[account].held : 0;
}

static int may_be_idle(const struct pqb_claim_row *claim, uint64_t now)
{
    unsigned session = atomic_load(&claim->session);
    uint32_t after = atomic_load(&claim->yield_after);
    return after && session != PQB_SESSION_UNTOLD && session <= PQB_SESSION_IDLE &&
           pqb_wish_idle(claim, now) >= after;
}

/* Would the waiter get what this one gives back? */
static int helps(const struct pqb_books *books, const struct need *need,
                 const struct pqb_claim_row *claim)
{
    const struct pqb_app_row *app = pqb_books_app(books, claim);
    switch (need->obstacle) {
    case PQB_OBSTACLE_PROCESS_CAP:
        return claim->process == need->waiter->process;
    case PQB_OBSTACLE_APP_LIMIT:
        return app && claim->app == need->waiter->app;
    case PQB_OBSTACLE_ROOM:
        /* The reserve is for newcomers, and a guaranteed minimum for its application. */
        if (claim->booked != PQB_BOOKED_GENERAL && need->held)
            return 0;
        return !app || claim->app == need->waiter->app || app->general > app->min;
    default:
        return 0;
    }
}

/* Is a better to ask than b? Both are of processes that have others. */
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

static int is_candidate(const struct pqb_books *books, const struct need *need,
                        const struct pqb_claim_row *claim)
{
    return claim->server == need->server &&
           pqb_ctl_state(atomic_load(&claim->ctl)) == PQB_CLAIM_OPEN && held_of(books, claim) > 1 &&
           may_be_idle(claim, books->now) && helps(books, need, claim);
}

static unsigned best_for(const struct pqb_books *books, const struct need *need)
{
    unsigned best = PQB_NIL;
    for (unsigned group = 0; group < PQB_GROUPS; group++) {
        uint64_t busy = atomic_load(&books->map->header.busy[group]);
        for (; busy; busy &= busy - 1) {
            unsigned index = group * PQB_GROUP_CLAIMS + (unsigned)__builtin_ctzll(busy);
            const struct pqb_claim_row *claim = pqb_books_claim(books, index);
            if (is_candidate(books, need, claim) &&
                (best == PQB_NIL || is_better(books, claim, pqb_books_claim(books, best))))
                best = index;
        }
    }
    return best;
}

static uint64_t name_of(const struct pqb_books *books, unsigned index)
{
    return pqb_wish_name(index,
                         pqb_ctl_generation(atomic_load(&pqb_books_claim(books, index)->ctl)));
}

static void ask(struct pqb_books *books, struct pqb_server_row *server, unsigned index,
                unsigned waiter)
{
    atomic_store(&server->asked_for, name_of(books, waiter));
    server->asked_at = books->now;
    atomic_store(&server->asked, name_of(books, index)); /* last: it is what holders look for */
    pqb_books_wake(books, index);
}

/* Along the queue. For want of room one is looked for once, since the first gets it; one whom only
 * his own process or application holds back, gets theirs. */
static void look_on(struct pqb_books *books, unsigned number)
{
    struct pqb_server_row *server = &books->map->server[number];
    unsigned index = server->queue_head, has_looked = 0;
    for (unsigned n = 0; n < WAITERS && index < PQB_CLAIMS; n++) {
        const struct pqb_claim_row *waiter = pqb_books_claim(books, index);
        enum pqb_booked pool;
        struct need need = {.waiter = waiter,
                            .server = number,
                            .obstacle = pqb_admission_obstacle(books->map, waiter, &pool),
                            .held = held_of(books, waiter)};
        int is_for_room = need.obstacle == PQB_OBSTACLE_ROOM;
        if (!is_for_room || !has_looked) {
            unsigned best = best_for(books, &need);
            if (best != PQB_NIL) {
                ask(books, server, best, index);
                return;
            }
        }
        has_looked |= (unsigned)is_for_room;
        index = waiter->next;
    }
    server->ask_next = books->now + REST;
}

/* The holder who was asked has not answered yet. One who does not is let alone for as long as he
 * must be idle. */
static int is_asking(const struct pqb_books *books, struct pqb_server_row *server)
{
    unsigned index = pqb_wish_claim(books->map, atomic_load(&server->asked), PQB_CLAIM_OPEN);
    if (index == PQB_NIL)
        return 0;
    if (books->now >= server->asked_at && books->now - server->asked_at < PATIENCE)
        return 1;
    atomic_store(&pqb_books_claim(books, index)->idle_since, pqb_wish_clock(books->now));
    atomic_store(&server->asked, 0);
    return 0;
}

/* Each drainer will serve one of those who wait. */
static int is_wanted(const struct pqb_books *books, const struct pqb_server_row *server)
{
    uint32_t drainers = server->draining > server->slack ? server->draining - server->slack : 0;
    int rests = books->now < server->ask_next && server->ask_next - books->now <= REST;
    return server->taken == 1 && atomic_load(&server->yields) && server->waiting > drainers &&
           !server->config.paused && !rests && books->wakes < PQB_BOOKS_WAKES;
}

void pqb_wish_look(struct pqb_books *books)
{
    if (!atomic_load(&books->map->header.waiting))
        return;
    for (unsigned i = 0; i < PQB_SERVERS; i++) {
        struct pqb_server_row *server = &books->map->server[i];
        if (is_wanted(books, server) && !is_asking(books, server))
            look_on(books, i);
    }
}
