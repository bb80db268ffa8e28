/* How long until the next waiter runs, once a slot came free: given back, or its holder killed. */
#include "support/gate.h"
#include "support/support.h"
#include "support/team.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#define WAIT_MS 30000
#define NEVER_MS 2000

enum way { WAY_THREAD, WAY_BELL };

/* A gate with one slot, and waiters that ask for it at the leader's word, each once per round. */
struct relay {
    struct gate gate;
    struct team team;
    enum way way;
    long long wait_ms;
    struct series series; /* µs */
};

/* The board's mark is when the slot came free; each member passes it on. */
static void wait_and_pass_on(struct team *team, unsigned member, void *with)
{
    struct relay *relay = with;
    struct team_board *board = team->board;
    struct gate_pass pass;
    atomic_store(&board->count[member], 1);
    int taken = relay->way == WAY_BELL ? gate_take_by_bell(&relay->gate, &pass, relay->wait_ms)
                                       : gate_take(&relay->gate, &pass, relay->wait_ms);
    uint64_t now = pqb_now();
    atomic_store(&board->sample[member], taken ? now - atomic_load(&board->mark) : UINT64_MAX);
    if (!taken)
        return;
    atomic_store(&board->mark, pqb_now());
    gate_give(&relay->gate, &pass);
}

static void relay_make(struct relay *relay, enum measure_kind kind, enum way way, unsigned waiters,
                       long long wait_ms, unsigned limit)
{
    memset(relay, 0, sizeof *relay);
    relay->way = way;
    relay->wait_ms = wait_ms;
    gate_make(&relay->gate, kind, limit, 0);
    team_start(&relay->team, waiters, wait_and_pass_on, relay);
}

static void relay_end(struct relay *relay)
{
    team_end(&relay->team);
    gate_end(&relay->gate);
    series_free(&relay->series);
}

/* Everybody asks, and sleeps. */
static void relay_line_up(struct relay *relay)
{
    for (unsigned i = 0; i < relay->team.size; i++)
        atomic_store(&relay->team.board->count[i], 0);
    team_begin(&relay->team);
    team_await_sleep(&relay->team);
    usleep(500); /* asleep for good, and the caches cold */
}

/* 0 if somebody waited in vain. */
static int relay_collect(struct relay *relay)
{
    team_finish(&relay->team);
    for (unsigned i = 0; i < relay->team.size; i++) {
        uint64_t sample = atomic_load(&relay->team.board->sample[i]);
        if (sample == UINT64_MAX)
            return 0;
        series_add(&relay->series, (double)sample / 1e3);
    }
    return 1;
}

static void pass_on(struct relay *relay)
{
    struct gate_pass pass;
    if (!gate_take(&relay->gate, &pass, WAIT_MS))
        measure_fail("%s: the slot never came back", gate_name(relay->gate.kind));
    relay_line_up(relay);
    atomic_store(&relay->team.board->mark, pqb_now());
    gate_give(&relay->gate, &pass);
    if (!relay_collect(relay))
        measure_fail("%s: nobody was woken", gate_name(relay->gate.kind));
}

static void show(const char *what, unsigned waiters, struct series ours,
                 const struct relay relay[MEASURE_KINDS])
{
    struct series series[MEASURE_KINDS] = {ours, relay[MEASURE_POSIX].series,
                                           relay[MEASURE_SYSV].series};
    measure_row("wakes", "slot given back → %s runs%s", what, waiters > 1 ? ", 16 queued" : "");
    gate_show(series, "µs", measure_delay);
    measure_end();
}

static void measure_passing(unsigned waiters, unsigned times)
{
    static struct relay relay[MEASURE_KINDS], bell;
    for (unsigned kind = 0; kind < MEASURE_KINDS; kind++)
        relay_make(&relay[kind], (enum measure_kind)kind, WAY_THREAD, waiters, WAIT_MS, 1);
    relay_make(&bell, MEASURE_PQBUDGET, WAY_BELL, waiters, WAIT_MS, 1);
    for (unsigned i = 0; i < times; i++) {
        for (unsigned kind = 0; kind < MEASURE_KINDS; kind++)
            pass_on(&relay[kind]);
        pass_on(&bell);
    }
    show("next waiter", waiters, relay[MEASURE_PQBUDGET].series, relay);
    show("next waiter with a bell", waiters, bell.series, relay);
    for (unsigned kind = 0; kind < MEASURE_KINDS; kind++)
        relay_end(&relay[kind]);
    relay_end(&bell);
}

/* ---- beside a backend that does not go ---- */

/* A process that passes for a backend: its name and its parent's are what is looked at. */
static pid_t start_backend(_Atomic uint32_t *backend)
{
    pid_t postmaster = support_fork();
    if (postmaster)
        return postmaster;
    prctl(PR_SET_NAME, "postgres");
    pid_t pid = support_fork();
    if (!pid) {
        prctl(PR_SET_NAME, "postgres");
        atomic_store(backend, (uint32_t)getpid());
        pqb_futex_wake(backend, 1, 1);
    }
    for (;;)
        pause();
}

static uint32_t await_word(_Atomic uint32_t *word)
{
    uint32_t value;
    for (uint64_t until = pqb_now() + 20 * PQB_SECOND; !(value = atomic_load(word));) {
        pqb_futex_wait(word, 0, until, 1);
        if (pqb_now() >= until)
            measure_fail("a child does not start");
    }
    return value;
}

/* Two slots, of which one drains for as long as this runs. */
static void measure_beside_drainer(_Atomic uint32_t *backend, unsigned times)
{
    static struct relay relay;
    struct gate_pass pass;
    relay_make(&relay, MEASURE_PQBUDGET, WAY_THREAD, 1, WAIT_MS, 2);
    atomic_store(backend, 0);
    pid_t postmaster = start_backend(backend);
    int32_t pid = (int32_t)await_word(backend);
    if (!gate_take(&relay.gate, &pass, WAIT_MS))
        measure_fail("no slot");
    gate_open(&relay.gate, &pass, pid);
    gate_give(&relay.gate, &pass);
    usleep(50000); /* as old as drainers are that the first waiter is patient with */
    for (unsigned i = 0; i < times; i++)
        pass_on(&relay);
    measure_row("wakes",
                "slot given back → next waiter runs, while another slot's backend does not exit");
    measure_delay("pqbudget", &relay.series, "µs");
    measure_end();
    support_kill(postmaster);
    relay_end(&relay);
}

/* ---- the holder is killed ---- */

static pid_t start_holder(struct gate *gate, _Atomic uint32_t *ready)
{
    pid_t pid = support_fork();
    if (pid)
        return pid;
    struct gate_pass pass;
    if (!gate_take(gate, &pass, WAIT_MS))
        measure_fail("no slot for the holder");
    gate_open(gate, &pass, 0);
    atomic_store(ready, 1);
    pqb_futex_wake(ready, 1, 1);
    for (;;)
        pause();
}

static int kill_holder(struct relay *relay, _Atomic uint32_t *ready)
{
    atomic_store(ready, 0);
    pid_t holder = start_holder(&relay->gate, ready);
    await_word(ready);
    relay_line_up(relay);
    usleep((useconds_t)(pqb_random() % 10000)); /* at any moment between two ticks */
    atomic_store(&relay->team.board->mark, pqb_now());
    kill(holder, SIGKILL);
    int granted = relay_collect(relay);
    support_reap(holder);
    return granted;
}

static void measure_killing(_Atomic uint32_t *ready, unsigned times)
{
    static struct relay ours, posix, sysv;
    relay_make(&ours, MEASURE_PQBUDGET, WAY_THREAD, 1, WAIT_MS, 1);
    relay_make(&posix, MEASURE_POSIX, WAY_THREAD, 1, NEVER_MS, 1);
    relay_make(&sysv, MEASURE_SYSV, WAY_THREAD, 1, WAIT_MS, 1);
    for (unsigned i = 0; i < times; i++)
        if (!kill_holder(&ours, ready) || !kill_holder(&sysv, ready))
            measure_fail("a killed holder's slot never came back");
    int comes_back = kill_holder(&posix, ready);
    measure_row("wakes", "holder SIGKILLed → waiter runs (drain 0)");
    gate_show((struct series[]){ours.series, posix.series, sysv.series}, "µs", measure_delay);
    if (!comes_back)
        measure_text(gate_name(MEASURE_POSIX), "never");
    measure_end();
    relay_end(&ours);
    relay_end(&posix);
    relay_end(&sysv);
}

int main(void)
{
    int quick = measure_is_quick();
    _Atomic uint32_t *word = /* a child tells something through it */
        mmap(NULL, sizeof *word, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (word == MAP_FAILED)
        measure_fail("no memory");
    measure_passing(1, quick ? 500 : 3000);
    measure_passing(16, quick ? 30 : 200);
    measure_beside_drainer(word, quick ? 200 : 1000);
    measure_killing(word, quick ? 100 : 400);
    return 0;
}
