/*
 * A process under the preload, with a few connections and a thread for each.
 *
 * It looks into the ledger, which no program does: when its connection is asked to give way, its
 * keeper is woken, and so is the thread, which then writes at the same moment.
 */
#include "board.h"
#include "ledger/os.h"
#include "ledger/wait.h"
#include "ledger/wish.h"
#include "line.h"
#include "support/support.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define LONGEST (20 * PQB_MS) /* it waits to be asked */
#define SPREAD 200            /* µs from then, at most, until it writes */
#define OTHERS 20             /* one in so many races is for closing, one for a child */

static struct board *board;
static struct pqb_ledger ledger;
static _Atomic int is_broken;

struct racer {
    pthread_t thread;
    struct line line;
    unsigned index; /* of its claim */
    unsigned short seed[3];
};

static uint64_t some(struct racer *racer, uint64_t below)
{
    return (uint64_t)nrand48(racer->seed) % below;
}

static void count(enum tally what)
{
    atomic_fetch_add(&board->tally[what], 1);
}

/* ---- the ledger ---- */

/* The claim of this connection; PQB_NIL if there is none (any more). */
static unsigned find_claim(const struct pqb_layout *map, int32_t backend)
{
    for (unsigned i = 0; i < PQB_CLAIMS; i++)
        if (map->claim[i].backend_pid == backend &&
            pqb_ctl_state(atomic_load(&map->claim[i].ctl)) == PQB_CLAIM_OPEN)
            return i;
    return PQB_NIL;
}

static int is_asked(const struct pqb_layout *map, unsigned index)
{
    uint64_t ctl = atomic_load(&map->claim[index].ctl);
    return pqb_ctl_state(ctl) == PQB_CLAIM_OPEN &&
           atomic_load(&map->server[map->claim[index].server].asked) ==
               pqb_wish_name(index, pqb_ctl_generation(ctl));
}

/* Sleeps as the keeper does, until it is asked for or is tired of waiting. That it has declined
 * before is taken back: it would not be asked again for a second. */
static void await_wish(struct racer *racer, struct pqb_layout *map)
{
    uint64_t until = pqb_now() + some(racer, LONGEST);
    uint16_t bell = map->claim[racer->index].bell;
    if (!bell || bell > PQB_BELLS)
        return;
    _Atomic uint32_t *word = &map->header.bell[bell - 1];
    for (;;) {
        uint32_t heard = atomic_load(word);
        atomic_store(&map->claim[racer->index].declined_at, 0);
        if (is_asked(map, racer->index) || pqb_now() >= until || atomic_load(&board->is_over))
            return;
        pqb_futex_wait(word, heard, until, 1);
    }
}

/* Not by the hooks: they would have a say in it. */
static int has_ended(int fd)
{
    struct pollfd look = {.fd = fd, .events = POLLIN | POLLRDHUP};
    struct timespec none = {0};
    return syscall(SYS_ppoll, &look, 1, &none, NULL, 0) != 0;
}

/* Some µs behind the one who is asked for. */
static int is_racing(struct racer *racer, struct pqb_layout *map)
{
    uint64_t until = pqb_now() + some(racer, SPREAD * 1000);
    while (pqb_now() < until)
        ;
    return is_asked(map, racer->index) && !has_ended(racer->line.fd);
}

/* ---- a race ---- */

static enum line_answer insert(struct racer *racer, uint32_t number)
{
    static const enum fate fates[] = {
        [LINE_RAN] = FATE_RAN, [LINE_ENDED] = FATE_ENDED, [LINE_BROKEN] = FATE_SENT};
    atomic_store(&board->fate[number], FATE_SENT);
    enum line_answer answer = line_insert(&racer->line, number, (unsigned)some(racer, LINE_WAYS));
    atomic_store(&board->fate[number], fates[answer]);
    if (answer == LINE_BROKEN) {
        fprintf(stderr, "races: query %u: %s\n", number, racer->line.why);
        atomic_store(&is_broken, 1);
    }
    return answer;
}

/* A child is made, which writes. It has the connection as it was, and nobody ends that one any
 * more. */
static enum line_answer insert_by_child(struct racer *racer, uint32_t number)
{
    int status = LINE_BROKEN;
    pid_t child = support_fork();
    if (!child)
        _exit((int)insert(racer, number));
    if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status) ||
        WEXITSTATUS(status) >= LINE_BROKEN)
        atomic_store(&is_broken, 1);
    return (enum line_answer)WEXITSTATUS(status);
}

/* At the moment in which the keeper decides. 0 if that is the end of the connection. */
static int run_race(struct racer *racer, uint32_t number)
{
    uint64_t what = some(racer, OTHERS);
    count(RACES);
    if (what == 0) {
        count(RACES_CLOSED);
        line_close(&racer->line);
        return 0;
    }
    if (what == 1)
        count(RACES_FORKED);
    enum line_answer answer = what == 1 ? insert_by_child(racer, number) : insert(racer, number);
    count(answer == LINE_RAN ? RACES_RAN : RACES_ENDED);
    if (what == 1)
        line_close(&racer->line); /* since it has another owner it never gives way */
    return what != 1 && answer == LINE_RAN;
}

/* At another one. */
static int run_query(struct racer *racer, uint32_t number)
{
    int had_ended = has_ended(racer->line.fd);
    enum line_answer answer = insert(racer, number);
    count(QUERIES);
    if (answer == LINE_ENDED && had_ended)
        count(FOUND_ENDED);
    return answer == LINE_RAN;
}

static int run(struct racer *racer, struct pqb_layout *map)
{
    uint32_t number = atomic_fetch_add(&board->next, 1);
    if (number >= BOARD_ROOM)
        return 0;
    await_wish(racer, map);
    return is_racing(racer, map) ? run_race(racer, number) : run_query(racer, number);
}

/* ---- its life ---- */

static int is_going_on(void)
{
    return !atomic_load(&board->is_over) && !atomic_load(&is_broken);
}

/* A reset is for those that have ended: of another one the server would count the old backend
 * beside the new one for a moment. */
static int open_again(struct racer *racer)
{
    struct line *line = &racer->line;
    if (line->conn && some(racer, 2)) {
        count(RESETS);
        return line_reset(line);
    }
    if (line->fd >= 0)
        line_close(line);
    return line_open(line);
}

static void *live(void *of)
{
    struct racer *racer = of;
    struct pqb_region *region;
    if (pqb_ledger_region(&ledger, &region, NULL))
        return NULL;
    while (is_going_on()) {
        if (!open_again(racer)) {
            fprintf(stderr, "races: %s\n", racer->line.why);
            atomic_store(&is_broken, 1);
            break;
        }
        racer->index = find_claim(region->map, racer->line.backend);
        while (is_going_on() && racer->index != PQB_NIL && run(racer, region->map))
            ;
    }
    if (racer->line.fd >= 0)
        line_close(&racer->line);
    pqb_region_unpin(region);
    return NULL;
}

int race(struct board *shared, const char *path, enum kind kind)
{
    static struct racer racer[LINES];
    board = shared;
    if (pqb_ledger_open(&ledger, path, 0, NULL))
        return 1;
    for (unsigned i = 0; i < LINES; i++) {
        racer[i].line = (struct line){.is_libpq = kind == LIBPQ_TCP || kind == LIBPQ_UNIX,
                                      .is_unix = kind == PLAIN_UNIX || kind == LIBPQ_UNIX,
                                      .fd = -1};
        racer[i].seed[0] = (unsigned short)i;
        racer[i].seed[1] = (unsigned short)getpid();
        if (pthread_create(&racer[i].thread, NULL, live, &racer[i]))
            return 1;
    }
    for (unsigned i = 0; i < LINES; i++)
        pthread_join(racer[i].thread, NULL);
    pqb_ledger_close(&ledger);
    return atomic_load(&is_broken);
}
