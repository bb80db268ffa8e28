/* A connection gives way: what the client reads, and that whoever waits gets it. */
#include "giving.h"

#include "ledger/yield.h"

#include <dirent.h>
#include <stdio.h>

GROUND(giving);

#define A_WHILE (150 * PQB_MS) /* a hundred times and more what makes one give way here */

/* ---- the ground ---- */

static uint64_t count_before;
static uint64_t total(void);

struct giving_way giving_way(unsigned number)
{
    switch (number % GIVING_WAYS) {
    case 0:
        return (struct giving_way){"helpers/doors", "connectdb", "", "query"};
    case 1:
        return (struct giving_way){"helpers/sockets", "enter", "tcp", "ask"};
    case 2:
        return (struct giving_way){"helpers/doors", "connectdb",
                                   ground_text("host=%s", ground_folder()), "query"};
    default:
        return (struct giving_way){"helpers/sockets", "enter", "unix", "ask"};
    }
}

const char *giving_ended(struct giving_way way)
{
    return GIVING_IS_LIBPQ(way) ? "FATAL:  terminating connection due to idle-session timeout|"
                                  "DETAIL:  pqbudget: this connection to "
                                : "57P05 end";
}

struct guest *giving_start(struct giving_way way, const char *const *environment,
                           const char *const *steps)
{
    const char *variables[16] = {
        ground_text("PQB_POSTGRES_DIR=%s", ground_folder()),
        ground_text("PQBUDGET_PORTS=%s", ground_port()),
        "PQBUDGET_LIMIT=2",
        "PQBUDGET_RESERVE=0",
        "PQBUDGET_YIELD=1ms",
    };
    for (unsigned i = 5; *environment && i < 15; i++)
        variables[i] = *environment++;
    return guest_start(variables, way.program, steps);
}

struct guest *giving_holder(struct giving_way way, const char *const *steps)
{
    const char *all[48] = {way.open, way.where, way.ask, "listen other", way.open, way.where};
    for (unsigned i = 6; *steps && i < 47; i++)
        all[i] = *steps++;
    count_before = total();
    return giving_start(way, NOTHING, all);
}

void giving_ready(struct guest *guest)
{
    const char *line;
    do {
        line = guest_line(guest);
        cr_assert_str_neq(line, "(silence)", "%s", guest_complaints(guest));
    } while (strcmp(line, "ready") != 0);
}

struct guest *giving_comer(struct giving_way way, const char *patience)
{
    count_before = total();
    return giving_start(way, WORDS(ground_text("PQBUDGET_WAIT=%s", patience)),
                        WORDS(way.open, way.where, "pause"));
}

struct guest *giving_waiter(struct giving_way way, const char *patience)
{
    struct guest *waiter = giving_comer(way, patience);
    cr_assert(wait_until(ground_in(PQB_CLAIM_WAITING) == 1));
    return waiter;
}

/* Does that to the ledger as it is. */
static void with_region(void (*what)(struct pqb_region *region))
{
    struct pqb_ledger ledger;
    struct pqb_region *region;
    if (pqb_ledger_open(&ledger, ground_ledger_name(), 0, NULL))
        return;
    if (!pqb_ledger_region(&ledger, &region, NULL)) {
        what(region);
        pqb_region_unpin(region);
    }
    pqb_ledger_close(&ledger);
}

/* Has all who hold something say what it does. */
static void refresh(struct pqb_region *region)
{
    pqb_yield_refresh(region);
}

static void forget_declined(struct pqb_region *region)
{
    for (unsigned i = 0; i < PQB_CLAIMS; i++)
        atomic_store(&region->map->claim[i].declined_at, 0);
}

void giving_ask_again(void)
{
    with_region(forget_declined);
}

static int is_told(const struct guest *guest, const char *session)
{
    with_region(refresh);
    const struct pqb_snapshot *now = ground_look();
    for (unsigned i = 0; i < now->claims; i++) {
        const char *name = pqb_session_name(now->claim[i].session);
        if (now->claim[i].pid == guest->pid && name && !strcmp(name, session))
            return 1;
    }
    return 0;
}

void giving_told(const struct guest *guest, const char *session)
{
    cr_assert(wait_until(is_told(guest, session)), "it is not said to be: %s", session);
}

static int has_waited(void)
{
    const struct pqb_snapshot *now = ground_look();
    for (unsigned i = 0; i < now->claims; i++)
        if (now->claim[i].state == PQB_CLAIM_WAITING && now->claim[i].wait_ns > A_WHILE)
            return 1;
    return 0;
}

void giving_stays(void)
{
    cr_assert(wait_until(has_waited()));
    cr_assert_eq(giving_count(), 0);
}

static uint64_t total(void)
{
    const struct pqb_snapshot *now = ground_look();
    uint64_t count = 0;
    for (unsigned i = 0; i < now->servers; i++)
        count += now->server[i].yielded_total;
    return count;
}

uint64_t giving_count(void)
{
    return total() - count_before;
}

static unsigned entries(pid_t pid, const char *what)
{
    unsigned count = 0;
    DIR *folder = opendir(ground_text("/proc/%d/%s", (int)pid, what));
    while (folder && readdir(folder))
        count++;
    if (folder)
        closedir(folder);
    return count < 2 ? 0 : count - 2; /* those two */
}

unsigned giving_threads(const struct guest *guest)
{
    return entries(guest->pid, "task");
}

unsigned giving_descriptors(const struct guest *guest)
{
    return entries(guest->pid, "fd");
}

/* ---- those who do ---- */

/* What it did before is `steps`. */
static void gives_way(struct giving_way way, const char *const *steps)
{
    const char *all[32] = {0};
    unsigned i = 0;
    while (*steps)
        all[i++] = *steps++;
    all[i++] = "pause";
    all[i++] = way.ask;
    all[i] = "select 1";
    struct guest *holder = giving_holder(way, all);
    giving_ready(holder);
    struct guest *waiter = giving_comer(way, "60s");
    hear_start(waiter, "ok");
    cr_assert_eq(giving_count(), 1);
    cr_assert_leq(ground_used(), 2);
    guest_go(holder);
    hear_start(holder, giving_ended(way));
    content(holder);
    content(waiter);
    all_given_back();
}

Test(giving, what_was_never_used)
{
    for (unsigned i = 0; i < GIVING_WAYS; i++)
        gives_way(giving_way(i), NOTHING);
}

Test(giving, what_was_used)
{
    for (unsigned i = 0; i < GIVING_WAYS; i++)
        gives_way(giving_way(i), WORDS(giving_way(i).ask, "select 1"));
}

Test(giving, what_ended_with_its_transaction)
{
    static const char *const texts[] = {
        "begin; set local work_mem = '8MB'; commit",
        "select pg_advisory_xact_lock(1)",
        "begin; declare c cursor for select 1; fetch c; commit",
        "begin; create table gone (a int); rollback",
    };
    for (unsigned i = 0; i < sizeof texts / sizeof *texts; i++)
        gives_way(giving_way(i), WORDS(giving_way(i).ask, texts[i]));
}

/* Drivers know that what they have prepared is gone with the connection. */
Test(giving, what_a_driver_prepared)
{
    gives_way(giving_way(0), WORDS("prepare", "select 1"));
    gives_way(giving_way(2), WORDS("prepare", "select 1"));
    for (unsigned i = 1; i < GIVING_WAYS; i += 2)
        gives_way(giving_way(i), WORDS("extended", "select 1", "0", "sync"));
}

/* Nobody else could tell why: it reads whom it was for. */
Test(giving, what_it_reads)
{
    struct giving_way way = giving_way(0);
    struct guest *holder = giving_holder(way, WORDS("pause", "query", "select 1"));
    giving_ready(holder);
    struct guest *waiter = giving_comer(way, "60s");
    hear_start(waiter, "ok");
    guest_go(holder);
    const char *text = guest_line(holder);
    cr_assert(strstr(text, ground_text(" s while doors (pid %d) waited for one; it gave way.|",
                                       (int)waiter->pid)) &&
                  strstr(text, "(PQBUDGET_YIELD) give way while others wait."),
              "%s", text);
    content(holder);
    content(waiter);
}

/* One at a time, and the last one never. */
Test(giving, all_but_one)
{
    for (unsigned i = 0; i < 2; i++) {
        struct giving_way way = giving_way(i);
        struct guest *waiter[3];
        struct guest *holder =
            giving_start(way, WORDS("PQBUDGET_LIMIT=4"),
                         WORDS(way.open, way.where, way.open, way.where, way.open, way.where,
                               way.open, way.where, "pause"));
        giving_ready(holder);
        for (unsigned n = 0; n < 3; n++) {
            waiter[n] =
                giving_start(way, WORDS("PQBUDGET_WAIT=60s"), WORDS(way.open, way.where, "pause"));
            hear_start(waiter[n], "ok");
        }
        struct guest *last = giving_waiter(way, "60s");
        giving_told(holder, "idle");
        cr_assert(wait_until(has_waited()));
        cr_assert_eq(giving_count(), 0);
        content(waiter[0]);
        hear_start(last, "ok");
        content(holder);
        content(waiter[1]);
        content(waiter[2]);
        content(last);
        all_given_back();
    }
}
