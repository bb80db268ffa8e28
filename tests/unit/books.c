/* books.c and admission.c, by chance: long runs of random steps of many processes, side by side
 * with a model that is too simple to be wrong. After each step the books must agree with the
 * claims, and every claim's state and pool with the model's. A failure names the seed. */
#include "ledger/books.h"
#include "ledger/rebuild.h"
#include "ledger/registry.h"
#include "support/paper.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS 40u
#define SERVERS 2u
#define APPS 3u
#define PROCESSES 7u
#define STEPS 200000u

TestSuite(books, .timeout = 300);

/* ---- the model: nothing but an array, searched and counted each time ---- */

struct mirror {
    enum pqb_claim_state state; /* what the owner has made it */
    int skipped, flagged;
    /* What the books know. */
    enum pqb_booked booked;
    int held, login, draining;
    uint64_t ticket, reserved_at, drains_at; /* places in the three lists */
    uint64_t process;
    unsigned server, app;
    uint32_t cap;
};

struct app_mirror {
    uint32_t limit, min;
};

static struct paper paper;
static struct mirror mirror[SLOTS];
static struct app_mirror apps[SERVERS][APPS];
static struct pqb_server_config config[SERVERS];
static uint64_t next_ticket, next_place;
static uint64_t seed, number;
static unsigned step;

static const char *const app_name[APPS] = {"web", "bot", "psql"};

static unsigned count_booked(unsigned server, enum pqb_booked booked, int app)
{
    unsigned count = 0;
    for (unsigned i = 0; i < SLOTS; i++)
        count += mirror[i].state != PQB_CLAIM_FREE && mirror[i].server == server &&
                 mirror[i].booked == booked && (app < 0 || mirror[i].app == (unsigned)app);
    return count;
}

static unsigned count_used(unsigned server, int app)
{
    return count_booked(server, PQB_BOOKED_GENERAL, app) +
           count_booked(server, PQB_BOOKED_RESERVE, app);
}

static unsigned count_held(unsigned server, uint64_t process)
{
    unsigned count = 0;
    for (unsigned i = 0; i < SLOTS; i++)
        count += mirror[i].state != PQB_CLAIM_FREE && mirror[i].server == server &&
                 mirror[i].held && mirror[i].process == process;
    return count;
}

static unsigned count_logins(unsigned server)
{
    unsigned count = 0;
    for (unsigned i = 0; i < SLOTS; i++)
        count += mirror[i].state != PQB_CLAIM_FREE && mirror[i].server == server && mirror[i].login;
    return count;
}

/* Room in general for one more of this application, beside what others are guaranteed. */
static int general_has_room(unsigned server, unsigned app)
{
    uint64_t kept = 0;
    for (unsigned i = 0; i < APPS; i++) {
        unsigned has = count_booked(server, PQB_BOOKED_GENERAL, (int)i);
        if (i != app && apps[server][i].min > has)
            kept += apps[server][i].min - has;
    }
    uint64_t general = config[server].limit == PQB_UNLIMITED
                           ? PQB_UNLIMITED
                           : config[server].limit - config[server].reserve;
    return count_booked(server, PQB_BOOKED_GENERAL, -1) + kept < general;
}

static int is_held_back_by_itself(const struct mirror *claim)
{
    return claim->skipped ||
           (claim->cap && count_held(claim->server, claim->process) >= claim->cap) ||
           count_used(claim->server, (int)claim->app) >= apps[claim->server][claim->app].limit;
}

static enum pqb_booked pool_for(const struct mirror *claim)
{
    const struct pqb_server_config *its = &config[claim->server];
    if (is_held_back_by_itself(claim) || its->paused ||
        (its->logins && count_logins(claim->server) >= its->logins) ||
        count_used(claim->server, -1) >= its->limit)
        return PQB_BOOKED_NONE;
    if (general_has_room(claim->server, claim->app))
        return PQB_BOOKED_GENERAL;
    if (!count_held(claim->server, claim->process) &&
        count_booked(claim->server, PQB_BOOKED_RESERVE, -1) < its->reserve)
        return PQB_BOOKED_RESERVE;
    return PQB_BOOKED_NONE;
}

static void model_charge(struct mirror *claim, enum pqb_booked booked)
{
    if (booked == PQB_BOOKED_RESERVE && claim->booked != PQB_BOOKED_RESERVE)
        claim->reserved_at = ++next_place;
    claim->booked = booked;
}

static void model_slack(unsigned server)
{
    while (count_booked(server, PQB_BOOKED_SLACK, -1) < config[server].slack) {
        struct mirror *oldest = NULL;
        for (unsigned i = 0; i < SLOTS; i++) {
            struct mirror *claim = &mirror[i];
            if (claim->state != PQB_CLAIM_FREE && claim->server == server && claim->draining &&
                claim->booked != PQB_BOOKED_SLACK &&
                (!oldest || claim->drains_at < oldest->drains_at))
                oldest = claim;
        }
        if (!oldest)
            return;
        model_charge(oldest, PQB_BOOKED_SLACK);
    }
    while (count_booked(server, PQB_BOOKED_SLACK, -1) > config[server].slack) {
        struct mirror *oldest = NULL;
        for (unsigned i = 0; i < SLOTS; i++) {
            struct mirror *claim = &mirror[i];
            if (claim->state != PQB_CLAIM_FREE && claim->server == server &&
                claim->booked == PQB_BOOKED_SLACK &&
                (!oldest || claim->drains_at < oldest->drains_at))
                oldest = claim;
        }
        model_charge(oldest, PQB_BOOKED_GENERAL);
    }
}

static void model_settle(struct mirror *claim)
{
    unsigned server = claim->server;
    claim->flagged = 0;
    if (claim->state == PQB_CLAIM_FREE)
        return;
    if (claim->state == PQB_CLAIM_GONE) {
        *claim = (struct mirror){.server = server};
        model_slack(server);
        return;
    }
    claim->held = claim->state >= PQB_CLAIM_GRANTED && claim->state <= PQB_CLAIM_OPEN;
    claim->login = claim->state == PQB_CLAIM_GRANTED || claim->state == PQB_CLAIM_CONNECTING;
    if (claim->state == PQB_CLAIM_WAITING)
        model_charge(claim, PQB_BOOKED_QUEUE);
    else if (claim->booked <= PQB_BOOKED_QUEUE)
        model_charge(claim, PQB_BOOKED_GENERAL);
    if (claim->state == PQB_CLAIM_DRAINING && !claim->draining) {
        claim->draining = 1;
        claim->drains_at = ++next_place;
        model_slack(server);
    }
}

static struct mirror *model_oldest(unsigned server, enum pqb_booked *pool)
{
    struct mirror *oldest = NULL;
    for (unsigned i = 0; i < SLOTS; i++) {
        struct mirror *claim = &mirror[i];
        enum pqb_booked its;
        if (claim->state == PQB_CLAIM_FREE || claim->server != server ||
            claim->booked != PQB_BOOKED_QUEUE || (oldest && oldest->ticket < claim->ticket) ||
            (its = pool_for(claim)) == PQB_BOOKED_NONE)
            continue;
        oldest = claim;
        *pool = its;
    }
    return oldest;
}

/* The reserve is freed by general's room only where nobody waits for that. */
static int model_recharge(unsigned server)
{
    struct mirror *first = NULL;
    for (unsigned i = 0; i < SLOTS; i++) {
        struct mirror *claim = &mirror[i];
        if (claim->state == PQB_CLAIM_FREE || claim->server != server)
            continue;
        if (claim->booked == PQB_BOOKED_QUEUE && !is_held_back_by_itself(claim) &&
            general_has_room(server, claim->app))
            return 0;
        if (claim->booked == PQB_BOOKED_RESERVE && general_has_room(server, claim->app) &&
            (!first || claim->reserved_at < first->reserved_at))
            first = claim;
    }
    if (first)
        model_charge(first, PQB_BOOKED_GENERAL);
    return first != NULL;
}

static void model_dispatch(unsigned server)
{
    enum pqb_booked pool = PQB_BOOKED_NONE;
    for (;;) {
        struct mirror *next = model_oldest(server, &pool);
        if (!next) {
            if (!model_recharge(server))
                return;
        } else if (next->state != PQB_CLAIM_WAITING) {
            model_settle(next); /* gave up in this very moment */
        } else {
            next->state = PQB_CLAIM_GRANTED;
            model_charge(next, pool);
            model_settle(next);
        }
    }
}

/* Slots in the order of their indexes, which is that of harvesting and rebuilding. */
static unsigned by_index[SLOTS];

static int compare_indexes(const void *a, const void *b)
{
    unsigned left = paper_index(*(const unsigned *)a), right = paper_index(*(const unsigned *)b);
    return left < right ? -1 : left > right;
}

static void model_harvest(void)
{
    int concerned[SERVERS] = {0};
    for (unsigned i = 0; i < SLOTS; i++) {
        struct mirror *claim = &mirror[by_index[i]];
        if (!claim->flagged)
            continue;
        concerned[claim->server] = 1;
        model_settle(claim);
    }
    for (unsigned i = 0; i < SERVERS; i++)
        if (concerned[i])
            model_dispatch(i);
}

static void model_rebuild(void)
{
    enum pqb_booked was[SLOTS];
    for (unsigned i = 0; i < SLOTS; i++) {
        was[i] = mirror[i].booked;
        mirror[i].booked = PQB_BOOKED_NONE;
        mirror[i].draining = 0;
        if (mirror[i].state == PQB_CLAIM_GONE)
            mirror[i] = (struct mirror){.server = mirror[i].server};
    }
    for (unsigned i = 0; i < SLOTS; i++) {
        struct mirror *claim = &mirror[by_index[i]];
        if (claim->state == PQB_CLAIM_FREE)
            continue;
        if (was[by_index[i]] == PQB_BOOKED_RESERVE && claim->state != PQB_CLAIM_WAITING)
            model_charge(claim, PQB_BOOKED_RESERVE);
        model_settle(claim);
    }
    for (unsigned i = 0; i < SERVERS; i++)
        model_dispatch(i);
}

/* ---- chance ---- */

static uint64_t chance(void)
{
    number = number * 6364136223846793005ull + 1442695040888963407ull;
    return number >> 33;
}

static unsigned below(unsigned bound)
{
    return (unsigned)(chance() % bound);
}

/* ---- the comparison ---- */

static void compare(const char *what)
{
    const char *fault = paper_fault(&paper, step % 1024 == 0);
    cr_assert(!fault, "seed %llu, step %u (%s): %s", (unsigned long long)seed, step, what, fault);
    for (unsigned i = 0; i < SLOTS; i++) {
        const struct pqb_claim_row *row = &paper.map->claim[paper_index(i)];
        uint64_t ctl = atomic_load(&row->ctl);
        int same =
            pqb_ctl_state(ctl) == mirror[i].state &&
            (mirror[i].state == PQB_CLAIM_FREE ||
             (row->booked == mirror[i].booked && !!(ctl & PQB_CTL_SKIPPED) == mirror[i].skipped &&
              row->ticket == mirror[i].ticket));
        cr_assert(
            same,
            "seed %llu, step %u (%s), slot %u: state %d booked %u skipped %d ticket %llu; the "
            "model says %d, %d, %d, %llu",
            (unsigned long long)seed, step, what, i, (int)pqb_ctl_state(ctl), row->booked,
            !!(ctl & PQB_CTL_SKIPPED), (unsigned long long)row->ticket, (int)mirror[i].state,
            (int)mirror[i].booked, mirror[i].skipped, (unsigned long long)mirror[i].ticket);
    }
}

/* Beside the model, what must hold whatever the rules are. */
static void check_invariants(const uint64_t *granted_before)
{
    for (unsigned i = 0; i < SERVERS; i++) {
        const struct pqb_server_row *row = &paper.map->server[i];
        unsigned used = row->general + row->reserve;
        int granted = row->granted_total != granted_before[i];
        cr_assert(!granted || used <= row->config.limit, "seed %llu, step %u: %u of %u in use",
                  (unsigned long long)seed, step, used, row->config.limit);
    }
}

/* ---- the steps ---- */

static unsigned some_slot(enum pqb_claim_state least, enum pqb_claim_state most)
{
    unsigned start = below(SLOTS);
    for (unsigned i = 0; i < SLOTS; i++) {
        unsigned slot = (start + i) % SLOTS;
        if (mirror[slot].state >= least && mirror[slot].state <= most)
            return slot;
    }
    return SLOTS;
}

static void owner_moves(unsigned slot, enum pqb_claim_state state)
{
    struct pqb_claim_row *row = &paper.map->claim[paper_index(slot)];
    atomic_store(&row->ctl, pqb_ctl_next(atomic_load(&row->ctl), state));
    mirror[slot].state = state;
    mirror[slot].skipped = 0;
}

static void flag(unsigned slot)
{
    pqb_books_flag(paper.map, paper_index(slot));
    mirror[slot].flagged = 1;
}

static void visit(void)
{
    paper_visit(&paper);
    model_harvest();
}

static void step_ask(void)
{
    unsigned free = 0, server = below(SERVERS), app = below(APPS);
    uint64_t process = 1 + below(PROCESSES);
    uint32_t cap = below(3) ? 0 : 1 + below(3);
    /* paper_ask takes the first that is free after its harvest; so must the model. */
    visit();
    while (free < SLOTS && mirror[free].state != PQB_CLAIM_FREE)
        free++;
    if (free == SLOTS)
        return;
    paper_ask(&paper, server, process, app_name[app], cap);
    mirror[free] = (struct mirror){
        .state = PQB_CLAIM_WAITING,
        .booked = PQB_BOOKED_QUEUE,
        .ticket = ++next_ticket,
        .process = process,
        .server = server,
        .app = app,
        .cap = cap,
    };
    model_dispatch(server);
}

static void step_move(void)
{
    unsigned slot = some_slot(PQB_CLAIM_WAITING, PQB_CLAIM_DRAINING);
    if (slot == SLOTS)
        return;
    switch (mirror[slot].state) {
    case PQB_CLAIM_GRANTED:
        owner_moves(slot, below(4) ? PQB_CLAIM_CONNECTING : PQB_CLAIM_GONE);
        break;
    case PQB_CLAIM_CONNECTING:
        owner_moves(slot, below(4)   ? PQB_CLAIM_OPEN
                          : below(2) ? PQB_CLAIM_DRAINING
                                     : PQB_CLAIM_GONE);
        break;
    case PQB_CLAIM_OPEN:
        owner_moves(slot, below(2) ? PQB_CLAIM_DRAINING : PQB_CLAIM_GONE);
        break;
    case PQB_CLAIM_WAITING:
        if (below(4))
            return;
        owner_moves(slot, PQB_CLAIM_GONE);
        break;
    default:
        owner_moves(slot, PQB_CLAIM_GONE);
        break;
    }
    if (mirror[slot].state == PQB_CLAIM_CONNECTING)
        return; /* taking up tells nobody */
    if (!below(4)) {
        /* Somebody else's visit comes between the owner's two steps. */
        unsigned server = below(SERVERS);
        paper.ahead = paper_index(slot);
        visit();
        pqb_admission_dispatch(&paper.books, server);
        model_dispatch(server);
        compare("between the change and its flag");
    }
    flag(slot);
    paper.ahead = PQB_NIL;
    if (below(3))
        visit();
}

static void step_take_back(void)
{
    unsigned slot = some_slot(PQB_CLAIM_GRANTED, PQB_CLAIM_GRANTED);
    if (slot == SLOTS)
        return;
    visit();
    if (mirror[slot].state != PQB_CLAIM_GRANTED)
        return;
    paper_take_back(&paper, paper_index(slot));
    mirror[slot].state = PQB_CLAIM_WAITING;
    mirror[slot].skipped = 1;
    model_settle(&mirror[slot]);
    model_dispatch(mirror[slot].server);
}

static void step_show_life(void)
{
    for (unsigned i = 0; i < SLOTS; i++) {
        if (mirror[i].state != PQB_CLAIM_WAITING || !mirror[i].skipped)
            continue;
        atomic_fetch_and(&paper.map->claim[paper_index(i)].ctl, ~(uint64_t)PQB_CTL_SKIPPED);
        mirror[i].skipped = 0;
        flag(i);
        visit();
        return;
    }
}

static void step_configure(void)
{
    unsigned server = below(SERVERS), app = below(APPS);
    struct pqb_server_config *its = &config[server];
    uint64_t minimums = 0;
    visit();
    switch (below(7)) {
    case 0:
        its->limit = below(8) ? 1 + below(14) : PQB_UNLIMITED;
        break;
    case 1:
        its->reserve = below(4);
        break;
    case 2:
        its->logins = below(2) ? 0 : 1 + below(3);
        break;
    case 3:
        its->slack = below(4);
        break;
    case 4:
        its->paused = !its->paused;
        break;
    case 5:
        apps[server][app].limit = below(2) ? PQB_UNLIMITED : 1 + below(5);
        break;
    default:
        apps[server][app].min = below(4);
        break;
    }
    /* What `set` would refuse. */
    if (its->reserve >= its->limit)
        its->reserve = its->limit - 1;
    for (unsigned i = 0; i < APPS; i++) {
        if (apps[server][i].min > apps[server][i].limit)
            apps[server][i].min = apps[server][i].limit;
        minimums += apps[server][i].min;
    }
    if (minimums > its->limit - its->reserve)
        for (unsigned i = 0; i < APPS; i++)
            apps[server][i].min = 0;
    for (unsigned i = 0; i < APPS; i++) {
        struct pqb_app_row *row =
            &paper.map->app[pqb_registry_app(paper.map, server, app_name[i], PQB_NIL)];
        row->limit = apps[server][i].limit;
        row->min = apps[server][i].min;
    }
    paper_set(&paper, server, its);
    model_slack(server);
    model_dispatch(server);
}

static void step_rebuild(void)
{
    /* The claims' states are the truth: what is flagged is in them already. */
    for (unsigned i = 0; i < SLOTS; i++)
        mirror[i].flagged = 0;
    paper_rebuild(&paper);
    model_rebuild();
}

/* A rebuild of settled books changes nothing, but which of the drainers are in slack. */
static void check_rebuild(void)
{
    struct pqb_layout *copy = aligned_alloc(_Alignof(struct pqb_layout), sizeof *copy);
    struct paper other = paper;
    visit();
    cr_assert(copy);
    memcpy(copy, paper.map, sizeof *copy);
    other.map = other.books.map = copy;
    pqb_rebuild(&other.books);
    const char *fault = paper_fault(&other, 1);
    cr_assert(!fault, "seed %llu, step %u, after a rebuild: %s", (unsigned long long)seed, step,
              fault);
    for (unsigned i = 0; i < SERVERS; i++) {
        const struct pqb_server_row *was = &paper.map->server[i], *is = &copy->server[i];
        cr_assert(was->waiting == is->waiting && was->slack == is->slack &&
                      was->logging_in == is->logging_in && was->draining == is->draining &&
                      was->general + was->reserve == is->general + is->reserve,
                  "seed %llu, step %u: server %u is another after a rebuild",
                  (unsigned long long)seed, step, i);
    }
    for (unsigned i = 0; i < SLOTS; i++)
        cr_assert_eq(paper_state(&paper, paper_index(i)), paper_state(&other, paper_index(i)));
    free(copy);
}

static void begin(uint64_t with_seed)
{
    static const char *const keys[SERVERS] = {"localhost:5432", "db:5432"};
    seed = number = with_seed;
    next_ticket = next_place = 0;
    memset(mirror, 0, sizeof mirror);
    paper_open(&paper, SLOTS);
    for (unsigned i = 0; i < SLOTS; i++)
        by_index[i] = i;
    qsort(by_index, SLOTS, sizeof *by_index, compare_indexes);
    for (unsigned i = 0; i < SERVERS; i++) {
        config[i] =
            (struct pqb_server_config){.limit = 8, .reserve = 2, .drain_ms = 200, .configured = 1};
        cr_assert_eq(paper_server(&paper, keys[i], &config[i]), i);
        for (unsigned k = 0; k < APPS; k++) {
            apps[i][k] = (struct app_mirror){.limit = PQB_UNLIMITED};
            paper_app(&paper, i, app_name[k], PQB_UNLIMITED, 0);
        }
    }
}

static void run(uint64_t with_seed, unsigned steps)
{
    static const struct {
        const char *name;
        void (*take)(void);
        unsigned weight;
    } kinds[] = {
        {"ask", step_ask, 38},
        {"move", step_move, 48},
        {"take back", step_take_back, 4},
        {"show life", step_show_life, 3},
        {"configure", step_configure, 5},
        {"rebuild", step_rebuild, 2},
    };
    begin(with_seed);
    for (step = 0; step < steps; step++) {
        unsigned dice = below(100), kind = 0;
        uint64_t granted[SERVERS];
        while (dice >= kinds[kind].weight)
            dice -= kinds[kind++].weight;
        for (unsigned i = 0; i < SERVERS; i++)
            granted[i] = paper.map->server[i].granted_total;
        kinds[kind].take();
        compare(kinds[kind].name);
        if (kinds[kind].take !=
            step_configure) /* it grants by the old rules and then changes them */
            check_invariants(granted);
        if (step % 2048 == 0)
            check_rebuild();
    }
    /* Everybody goes: nothing is left. */
    for (unsigned i = 0; i < SLOTS; i++)
        if (mirror[i].state != PQB_CLAIM_FREE) {
            owner_moves(i, PQB_CLAIM_GONE);
            flag(i);
        }
    visit();
    compare("the end");
    for (unsigned i = 0; i < SERVERS; i++) {
        const struct pqb_server_row *row = &paper.map->server[i];
        cr_assert_eq(row->general + row->reserve + row->slack + row->waiting + row->draining, 0);
    }
    paper_check(&paper);
    paper_close(&paper);
}

/* PQB_TEST_SEED repeats one run. */
Test(books, agree_with_a_simple_model)
{
    const char *wanted = getenv("PQB_TEST_SEED");
    if (wanted)
        run(strtoull(wanted, NULL, 10), STEPS);
    for (uint64_t i = 1; i <= 20 && !wanted; i++)
        run(i, STEPS / 20);
}
