/* What taking and giving back costs: alone, beside many claims held by others, in a crowd. */
#include "support/gate.h"
#include "support/support.h"
#include "support/team.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define LEVELS 5
#define HOLDERS 20
#define HELD_BACK 1000
#define WAIT_MS 30000

static const unsigned held[LEVELS] = {0, 10, 100, 1000, 10000};

/* One place to measure at: a gate of each kind, and those who hold some of it. */
struct place {
    unsigned held;
    struct gate gate[MEASURE_KINDS];
    struct team holders;
    struct series series[MEASURE_KINDS]; /* µs per claim and give back, one sample per round */
};

static void hold(struct team *team, unsigned member, void *with)
{
    struct place *place = with;
    static struct gate_pass pass; /* they go with the process */
    for (unsigned i = member; i < place->held; i += team->size)
        for (unsigned kind = 0; kind < MEASURE_KINDS; kind++)
            if (!gate_take(&place->gate[kind], &pass, WAIT_MS))
                measure_fail("no claim for a holder");
}

static void place_make(struct place *place, unsigned count)
{
    place->held = count;
    for (unsigned kind = 0; kind < MEASURE_KINDS; kind++)
        gate_make(&place->gate[kind], (enum measure_kind)kind, 20000, 0);
    team_start(&place->holders, count ? HOLDERS : 0, hold, place);
    team_begin(&place->holders);
    team_finish(&place->holders);
}

static void place_end(struct place *place)
{
    team_end(&place->holders);
    for (unsigned kind = 0; kind < MEASURE_KINDS; kind++)
        gate_end(&place->gate[kind]);
}

static double time_of(struct gate *gate, unsigned times)
{
    struct gate_pass pass;
    uint64_t start = pqb_now();
    for (unsigned i = 0; i < times; i++) {
        if (!gate_take(gate, &pass, WAIT_MS))
            measure_fail("no claim, and nobody holds them");
        gate_give(gate, &pass);
    }
    return (double)(pqb_now() - start) / 1e3 / times;
}

/* ---- waiters that their own process's cap holds back ---- */

struct crowd {
    struct gate gate;
    struct team team;
};

static void be_held_back(struct team *team, unsigned member, void *with)
{
    static struct pqb_claim claim[1 + HELD_BACK];
    struct crowd *crowd = with;
    struct pqb_claim_request request = gate_request(&crowd->gate);
    (void)member;
    request.rings_bell = 1;
    request.process_cap = 1;
    for (unsigned i = 0; i <= HELD_BACK / team->size; i++)
        if (pqb_wait_submit(&crowd->gate.ledger, &request, &claim[i], NULL))
            measure_fail("cannot queue");
}

static void crowd_make(struct crowd *crowd)
{
    gate_make(&crowd->gate, MEASURE_PQBUDGET, 20000, 0);
    team_start(&crowd->team, 10, be_held_back, crowd);
    team_begin(&crowd->team);
    team_finish(&crowd->team);
}

static void crowd_end(struct crowd *crowd)
{
    team_end(&crowd->team);
    gate_end(&crowd->gate);
}

/* ---- alone ---- */

static void measure_alone(void)
{
    static struct place place[LEVELS];
    static struct crowd crowd;
    struct series held_back[MEASURE_KINDS] = {0};
    unsigned rounds = measure_is_quick() ? 1000 : 5000;
    for (unsigned level = 0; level < LEVELS; level++)
        place_make(&place[level], held[level]);
    crowd_make(&crowd);
    for (unsigned round = 0; round <= rounds; round++)
        for (unsigned level = 0; level <= LEVELS; level++)
            for (unsigned kind = 0; kind < MEASURE_KINDS; kind++) {
                if (level == LEVELS && kind != MEASURE_PQBUDGET)
                    continue;
                struct series *series = level < LEVELS ? place[level].series : held_back;
                struct gate *gate = level < LEVELS ? &place[level].gate[kind] : &crowd.gate;
                /* Each some 50 µs, so that most rounds see nobody else on this processor. */
                static const unsigned times[MEASURE_KINDS] = {10, 1000, 100};
                double cost = time_of(gate, times[kind]);
                if (round >= 10) /* the first ones warm up */
                    series_add(&series[kind], cost);
            }
    double alone = series_median(&place[0].series[MEASURE_PQBUDGET]);
    for (unsigned level = 0; level < LEVELS; level++) {
        struct series *series = place[level].series;
        measure_row("claims", "claim + give back, %u held by others", held[level]);
        gate_show(series, "µs", measure_spread);
        measure_value("÷ alone", series_median(&series[MEASURE_PQBUDGET]) / alone, "×");
        measure_end();
    }
    measure_row("claims", "claim + give back, %d waiters held back by their own processes' caps",
                HELD_BACK);
    gate_show(held_back, "µs", measure_spread);
    measure_end();
    for (unsigned level = 0; level < LEVELS; level++)
        place_end(&place[level]);
    crowd_end(&crowd);
}

/* ---- in a crowd ---- */

static void work(struct team *team, unsigned member, void *with)
{
    struct gate *gate = with;
    struct gate_pass pass;
    uint64_t times = 0;
    while (!team_is_stopped(team)) {
        if (!gate_take(gate, &pass, WAIT_MS))
            measure_fail("waited in vain");
        gate_give(gate, &pass);
        times++;
    }
    atomic_store(&team->board->count[member], times);
}

struct shift {
    struct gate gate;
    struct team team;
};

/* µs of wall time per claim and give back. */
static double time_shift(struct shift *shift)
{
    uint64_t start = pqb_now(), all = 0;
    team_begin(&shift->team);
    usleep(measure_is_quick() ? 50000 : 300000);
    team_stop(&shift->team);
    team_finish(&shift->team);
    uint64_t end = pqb_now();
    for (unsigned i = 0; i < shift->team.size; i++)
        all += atomic_load(&shift->team.board->count[i]);
    return (double)(end - start) / 1e3 / (double)(all ? all : 1);
}

static void measure_crowd(unsigned size, unsigned limit)
{
    static struct shift shift[MEASURE_KINDS];
    struct series cost[MEASURE_KINDS] = {0};
    unsigned rounds = measure_is_quick() ? 3 : 7;
    for (unsigned kind = 0; kind < MEASURE_KINDS; kind++) {
        gate_make(&shift[kind].gate, (enum measure_kind)kind, limit, 0);
        team_start(&shift[kind].team, size, work, &shift[kind].gate);
    }
    for (unsigned round = 0; round <= rounds; round++)
        for (unsigned kind = 0; kind < MEASURE_KINDS; kind++) {
            double sample = time_shift(&shift[kind]);
            if (round)
                series_add(&cost[kind], sample);
        }
    measure_row("claims", "%u processes at once, %s%.0u", size,
                limit < size ? "limit " : "nobody waits", limit < size ? limit : 0);
    gate_show(cost, "µs", measure_spread);
    measure_end();
    for (unsigned kind = 0; kind < MEASURE_KINDS; kind++) {
        team_end(&shift[kind].team);
        gate_end(&shift[kind].gate);
        series_free(&cost[kind]);
    }
}

/* ---- a storm: everybody at once, few slots ---- */

#define STORM 1000
#define STORM_LIMIT 20
#define STORM_HOLD_MS 20

static void come_and_go(struct team *team, unsigned member, void *with)
{
    struct gate *gate = with;
    struct gate_pass pass;
    (void)team, (void)member;
    if (!gate_take(gate, &pass, WAIT_MS))
        measure_fail("waited in vain");
    usleep(STORM_HOLD_MS * 1000);
    gate_give(gate, &pass);
}

static void measure_storm(void)
{
    static struct shift shift;
    struct series series[MEASURE_KINDS] = {0};
    double ideal = (double)STORM / STORM_LIMIT * STORM_HOLD_MS / 1e3;
    for (unsigned round = 0; round < (measure_is_quick() ? 1 : 5); round++)
        for (unsigned kind = 0; kind < MEASURE_KINDS; kind++) {
            gate_make(&shift.gate, (enum measure_kind)kind, STORM_LIMIT, 0);
            team_start(&shift.team, STORM, come_and_go,
                       &shift.gate); /* fresh ones: a first visit */
            uint64_t start = pqb_now();
            team_begin(&shift.team);
            team_finish(&shift.team);
            series_add(&series[kind], (double)(pqb_now() - start) / 1e9 / ideal);
            team_end(&shift.team);
            gate_end(&shift.gate);
        }
    measure_row("claims",
                "%d new processes at once, limit %d, each holds %d ms: time ÷ the least possible",
                STORM, STORM_LIMIT, STORM_HOLD_MS);
    gate_show(series, "×", measure_spread);
    measure_end();
}

int main(void)
{
    static const unsigned sizes[] = {2, 8, 64}, limits[] = {1, 2, 8};
    measure_alone();
    for (unsigned i = 0; i < 3; i++)
        measure_crowd(sizes[i], sizes[i]);
    for (unsigned i = 0; i < 3; i++)
        measure_crowd(sizes[i], limits[i]);
    measure_storm();
    measure_row("claims", "the ledger's file, 10,048 claims");
    measure_value("pqbudget", sizeof(struct pqb_layout) / 1048576.0, "MiB");
    measure_end();
    return 0;
}
