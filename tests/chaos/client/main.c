/*
 * client: a program that connects to PostgreSQL in many ways and is careless about all of them.
 *
 *   client FOLDER SLOT GENERATION SEED   is that person of the crowd in that folder
 *   client FOLDER SLOT GENERATION hold   the same, but opens one connection and stands still
 *
 * It runs under the preload and does not know it. What the server should never have said is a
 * finding: that it is full, when it is not pqbudget that says so.
 */
#include "chaos/client/board.h"
#include "chaos/client/link.h"
#include "support/draw.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define KEPT 3
#define MANY 4
#define CROWDED 60

static struct board *board;
static const char *folder;
static struct link kept[KEPT];

static void add(enum tally tally)
{
    atomic_fetch_add(&board->tally[tally], 1);
}

/* For whoever asks why this process does not get on. */
static void doing(const char *what)
{
    snprintf(board->person[crowd_slot].doing, sizeof board->person[crowd_slot].doing, "%s", what);
    atomic_store(&board->person[crowd_slot].since, pqb_now());
}

static int is_ending(void)
{
    return atomic_load(&crowd->ending) != 0;
}

static void nap_us(uint64_t microseconds)
{
    usleep((useconds_t)microseconds);
}

static void stand_still(void)
{
    if (!atomic_load(&board->resting))
        return;
    doing("resting");
    atomic_store(&board->person[crowd_slot].rests, crowd_generation);
    while (atomic_load(&board->resting) && !is_ending())
        nap_us(2000);
    atomic_store(&board->person[crowd_slot].rests, 0);
}

/* ---- what becomes of an attempt ---- */

static void judge(const struct link *link)
{
    static const char *const ways[] = {"plain", "libpq"};
    if (link->phase == LINK_OPEN) {
        add(link->way.is_libpq ? OPENED_LIBPQ : OPENED_PLAIN);
    } else if (strstr(link->why, "pqbudget:")) {
        add(REFUSED);
    } else if (strstr(link->why, "too many clients") || strstr(link->why, "connection slots")) {
        find("over: the server itself refuses pid %d (%s, %s, %s): %s", (int)getpid(),
             ways[link->way.is_libpq], link->way.is_unix ? "Unix" : "TCP",
             link->way.is_blocking ? "blocking" : "not blocking", link->why);
    } else {
        find("error of pid %d (%s, %s, %s%s): %s", (int)getpid(), ways[link->way.is_libpq],
             link->way.is_unix ? "Unix" : "TCP",
             link->way.is_blocking ? "blocking" : "not blocking",
             link->way.asks_tls ? ", asked for TLS" : "", link->why);
    }
}

static void settle(struct link *link)
{
    judge(link);
    if (link->phase == LINK_FAILED)
        link_close(link, 0);
}

static struct link_way some_way(int is_blocking)
{
    return (struct link_way){.is_libpq = (int)draw(2),
                             .is_unix = (int)draw(2),
                             .is_blocking = is_blocking,
                             .asks_tls = !draw(3)};
}

/* Without blocking: until all have their outcome, or patience is over. Returns how many have none.
 */
static unsigned attend(struct link *link, unsigned count, uint64_t until)
{
    for (;;) {
        struct pollfd polled[MANY];
        struct link *of[MANY];
        unsigned busy = 0;
        for (unsigned i = 0; i < count; i++) {
            if (link[i].phase != LINK_CONNECTING && link[i].phase != LINK_ASKING)
                continue;
            polled[busy] = (struct pollfd){.fd = link_fd(&link[i]), .events = link[i].events};
            of[busy++] = &link[i];
        }
        if (!busy || pqb_now() > until)
            return busy;
        int timeout = until == PQB_FOREVER ? -1 : (int)((until - pqb_now()) / PQB_MS) + 1;
        if (poll(polled, busy, timeout) <= 0)
            continue;
        for (unsigned i = 0; i < busy; i++) {
            if (!polled[i].revents)
                continue;
            link_step(of[i]);
            if (of[i]->phase == LINK_OPEN || of[i]->phase == LINK_FAILED)
                settle(of[i]);
        }
    }
}

static void use(struct link *link)
{
    char text[64];
    if (link->phase != LINK_OPEN || draw(2))
        return;
    doing("querying");
    snprintf(text, sizeof text, "select pg_sleep(%.3f)", draw(4) ? 0.0 : (double)draw(50) / 1e3);
    if (link_query(link, text))
        return;
    if (link_gave_way(link))
        add(GAVE_WAY);
    else
        find("error of pid %d in a query: %s", (int)getpid(), link->why);
    link_close(link, (unsigned)draw(LINK_ROADS));
}

/* ---- what it does ---- */

static struct link *free_place(void)
{
    for (unsigned i = 0; i < KEPT; i++)
        if (kept[i].phase == LINK_NONE)
            return &kept[i];
    return NULL;
}

static struct link *open_one(void)
{
    struct link *link = free_place();
    if (!link)
        return NULL;
    struct link_way way = some_way(1);
    doing(way.is_libpq ? "PQconnectdb" : "connecting, blocking");
    link_begin(link, &way);
    settle(link);
    return link->phase == LINK_OPEN ? link : NULL;
}

static void close_some(void)
{
    doing("closing");
    for (unsigned i = 0; i < KEPT; i++)
        if (kept[i].phase == LINK_OPEN && draw(6)) /* now and then it goes on holding it */
            link_close(&kept[i], (unsigned)draw(LINK_ROADS));
}

static void hold_a_while(void)
{
    doing("idle");
    if (draw(3))
        nap_us(draw(10000));
    else if (!draw(8))
        nap_us(draw(200000));
}

static void act_block(void)
{
    use(&kept[draw(KEPT)]); /* one that it left alone for a while */
    struct link *link = open_one();
    if (link)
        use(link);
    hold_a_while();
    close_some();
}

/* As an event loop does. */
static void act_loop(void)
{
    struct link link[MANY] = {0};
    unsigned count = 1 + (unsigned)draw(MANY);
    for (unsigned i = 0; i < count; i++) {
        struct link_way way = some_way(0);
        doing("beginning");
        link_begin(&link[i], &way);
        if (link[i].phase == LINK_FAILED)
            settle(&link[i]);
    }
    int is_patient = draw(4) != 0;
    doing(is_patient ? "an event loop" : "an event loop, impatient");
    unsigned given_up =
        attend(link, count, is_patient ? PQB_FOREVER : pqb_now() + draw(200) * PQB_MS);
    for (unsigned i = 0; i < given_up; i++)
        add(GIVEN_UP);
    for (unsigned i = 0; i < count; i++)
        use(&link[i]);
    hold_a_while();
    doing("closing those of an event loop");
    for (unsigned i = 0; i < count; i++)
        if (link[i].phase != LINK_NONE)
            link_close(&link[i], (unsigned)draw(LINK_ROADS));
}

static void enter_as_child(void)
{
    crowd_enter();
    draw_seed ^= (uint64_t)getpid() << 20;
    doing("a child");
}

static void forget(struct link *link)
{
    if (link->phase != LINK_NONE && !link->way.is_libpq)
        link_close(link, (unsigned)draw(LINK_COPY_ROADS));
    *link = (struct link){.fd = -1}; /* libpq's copies last as long as the process */
}

/* A child with copies of what is held and waited for; or one that takes a connection over. */
static void act_fork(void)
{
    if (crowd_alive() > CROWDED)
        return;
    struct link waiting = {.fd = -1}, *taken = draw(2) ? open_one() : NULL;
    struct link_way way = some_way(0);
    doing("forking");
    link_begin(&waiting, &way);
    draw_seed++;
    pid_t pid = fork();
    if (pid) {
        if (pid > 0)
            add(FORKED);
        if (taken) {
            if (taken->conn)
                taken = NULL; /* a PGconn has no close but one for both */
            else
                link_close(taken, (unsigned)draw(LINK_COPY_ROADS));
        }
        doing("waiting beside a child");
        attend(&waiting, 1, PQB_FOREVER);
        if (waiting.phase == LINK_FAILED)
            settle(&waiting);
        use(&waiting);
        if (waiting.phase != LINK_NONE)
            link_close(&waiting, (unsigned)draw(LINK_ROADS));
        return;
    }
    enter_as_child();
    if (!draw(3))
        nap_us(draw(300000)); /* it keeps the copies for longer than its parent may live */
    forget(&waiting);
    if (taken && !taken->conn) {
        add(TAKEN_OVER);
        use(taken);
        link_close(taken, (unsigned)draw(LINK_ROADS));
    }
    if (draw(3))
        crowd_leave();
    for (unsigned i = 0; i < KEPT; i++)
        forget(&kept[i]);
}

static void act_exec(void)
{
    char slot[16], generation[16], start[24];
    snprintf(slot, sizeof slot, "%u", crowd_slot);
    snprintf(generation, sizeof generation, "%u", crowd_generation);
    snprintf(start, sizeof start, "%llu", (unsigned long long)draw(UINT64_MAX));
    open_one();
    add(EXECUTED);
    doing("exec");
    execl("/proc/self/exe", "client", folder, slot, generation, start, (char *)0);
    find("error: exec failed");
}

/* Without closing anything. */
static void act_leave(void)
{
    open_one();
    add(LEFT_OPEN);
    crowd_leave();
}

static void act(void)
{
    switch (draw(24)) {
    case 0:
    case 1:
    case 2:
        act_fork();
        break;
    case 3:
        act_exec();
        break;
    case 4:
        act_leave();
        break;
    case 5:
    case 6:
    case 7:
    case 8:
    case 9:
    case 10:
    case 11:
    case 12:
        act_loop();
        break;
    default:
        act_block();
    }
}

static _Noreturn void hold_one(void)
{
    open_one();
    doing("holding");
    atomic_store(&board->person[crowd_slot].rests, crowd_generation);
    while (!is_ending())
        nap_us(2000);
    crowd_leave();
}

int main(int count, char **arguments)
{
    if (count != 5)
        return 2;
    signal(SIGPIPE, SIG_IGN);
    folder = arguments[1];
    board = crowd_join(folder, sizeof *board);
    crowd_remain((unsigned)strtoul(arguments[2], NULL, 10),
                 (uint32_t)strtoul(arguments[3], NULL, 10));
    if (!strcmp(arguments[4], "hold"))
        hold_one();
    draw_seed = strtoull(arguments[4], NULL, 10);
    while (!is_ending()) {
        act();
        stand_still();
    }
    doing("leaving");
    if (draw(2))
        close_some();
    crowd_leave();
}
