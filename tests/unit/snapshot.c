/* snapshot.c: what a reader sees. */
#include "ledger/snapshot.h"
#include "ledger/ending.h"
#include "ledger/os.h"
#include "ledger/steer.h"
#include "ledger/tick.h"
#include "support/support.h"

#include <criterion/criterion.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static struct pqb_ledger ledger;
static struct pqb_snapshot snapshot;

static void open_ledger(void)
{
    support_ledger_open(&ledger);
}

static void end_ledger(void)
{
    pqb_snapshot_free(&snapshot);
    support_ledger_end(&ledger);
}

TestSuite(snapshot, .init = open_ledger, .fini = end_ledger, .timeout = 120);

static const struct pqb_server_config five = {.limit = 5, .reserve = 1, .wait_ms = 8000};
static const struct pqb_claim_request request = {
    .server = "localhost:5432", .app = "web", .defaults = &five};

static void look(void)
{
    pqb_snapshot_free(&snapshot);
    cr_assert_eq(pqb_snapshot_take(atomic_load(&ledger.region), &snapshot), PQB_OK);
    cr_assert(snapshot.consistent);
}

Test(snapshot, of_an_empty_ledger_is_empty)
{
    look();
    cr_assert_eq(snapshot.servers + snapshot.apps + snapshot.claims, 0);
    cr_assert_str_eq(snapshot.path, ledger.path);
}

Test(snapshot, shows_every_claim_by_server_and_ticket)
{
    struct pqb_claim claim[7], other;
    struct pqb_claim_request second = request;
    struct pqb_claim_peer peer = {
        .backend_pid = 4711, .user = "u", .database = "d", .application_name = "a"};
    second.server = "db:5432";
    second.app = "bot";
    second.door = PQB_DOOR_SOCKET;
    for (unsigned i = 0; i < 7; i++) /* four in general, none of the reserve: this process holds */
        cr_assert_eq(pqb_wait_submit(&ledger, &request, &claim[i], NULL), PQB_OK);
    cr_assert_eq(pqb_wait_submit(&ledger, &second, &other, NULL), PQB_OK);
    cr_assert_eq(pqb_claim_take(&claim[0]), PQB_OK);
    cr_assert_eq(pqb_claim_take(&claim[1]), PQB_OK);
    cr_assert_eq(pqb_claim_open(&claim[0], &peer), PQB_OK);
    look();
    cr_assert_eq(snapshot.servers, 2);
    cr_assert_eq(snapshot.apps, 2);
    cr_assert_eq(snapshot.claims, 8);
    static const enum pqb_claim_state states[] = {
        PQB_CLAIM_OPEN,    PQB_CLAIM_CONNECTING, PQB_CLAIM_GRANTED, PQB_CLAIM_GRANTED,
        PQB_CLAIM_WAITING, PQB_CLAIM_WAITING,    PQB_CLAIM_WAITING};
    for (unsigned i = 0; i < 7; i++) {
        cr_assert_eq(snapshot.claim[i].index, claim[i].index);
        cr_assert_eq(snapshot.claim[i].state, states[i]);
        cr_assert_eq(snapshot.claim[i].pid, getpid());
        cr_assert_eq(snapshot.claim[i].server, 0);
        cr_assert(*snapshot.claim[i].command);
    }
    cr_assert_str_eq(snapshot.claim[0].user, "u");
    cr_assert_str_eq(snapshot.claim[0].database, "d");
    cr_assert_str_eq(snapshot.claim[0].application_name, "a");
    cr_assert_eq(snapshot.claim[0].backend_pid, 4711);
    cr_assert_eq(snapshot.claim[7].door, PQB_DOOR_SOCKET);
    cr_assert_eq(snapshot.server[0].used, 4);
    cr_assert_eq(snapshot.server[0].waiting, 3);
    cr_assert_eq(snapshot.server[0].peak, 4);
    cr_assert_eq(snapshot.server[0].granted_total, 4);
    cr_assert_eq(snapshot.app[0].used, 4);
    cr_assert_eq(snapshot.app[0].waiting, 3);
    cr_assert_str_eq(snapshot.app[1].label, "bot");
    cr_assert_eq(snapshot.app[1].server, 1);
    for (unsigned i = 0; i < 7; i++)
        pqb_claim_give(&claim[i], i < 5 ? PQB_END_CLOSED : PQB_END_TIMED_OUT);
    pqb_claim_give(&other, PQB_END_REFUSED);
    look();
    cr_assert_eq(snapshot.claims, 0);
    cr_assert_eq(snapshot.server[0].timeout_total, 2);
    cr_assert_eq(snapshot.server[1].refused_total, 1);
}

Test(snapshot, says_by_which_socket)
{
    struct pqb_claim claim[2];
    int pair[2];
    uint64_t cookie = 0;
    socklen_t size = sizeof cookie;
    struct stat status;
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    cr_assert_eq(getsockopt(pair[0], SOL_SOCKET, SO_COOKIE, &cookie, &size), 0);
    cr_assert_eq(fstat(pair[0], &status), 0);
    for (unsigned i = 0; i < 2; i++)
        cr_assert_eq(support_hold(&ledger, &request, 0, &claim[i]), PQB_OK);
    pqb_claim_socket(&claim[1], pair[0], cookie);
    look();
    cr_assert_eq(snapshot.claim[0].socket_cookie, 0);
    cr_assert_eq(snapshot.claim[1].socket_cookie, cookie);
    cr_assert_eq(snapshot.claim[1].socket_place.family, AF_UNIX);
    cr_assert_eq(snapshot.claim[1].socket_place.local[0], status.st_ino);
    for (unsigned i = 0; i < 2; i++)
        pqb_claim_give(&claim[i], PQB_END_CLOSED);
}

Test(snapshot, says_since_when_there_is_a_ledger)
{
    look();
    cr_assert_leq(snapshot.created_at_ns, pqb_now_real());
    cr_assert_geq(snapshot.created_at_ns + 600 * PQB_SECOND, pqb_now_real());
}

Test(snapshot, does_not_show_the_dead)
{
    pid_t holder = support_fork();
    if (!holder) {
        struct pqb_claim claim[3];
        for (unsigned i = 0; i < 3; i++)
            if (pqb_wait_submit(&ledger, &request, &claim[i], NULL))
                _exit(1);
        _exit(0);
    }
    cr_assert_eq(support_reap(holder), 0);
    look();
    cr_assert_eq(snapshot.claims, 0);
    cr_assert_eq(snapshot.server[0].reaped_total, 3);
}

Test(snapshot, drainers_are_used_unless_they_are_in_slack)
{
    struct pqb_claim claim[3];
    struct pqb_steer steer = pqb_steer_nothing;
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_eq(support_hold(&ledger, &request, 0, &claim[i]), PQB_OK);
        /* As a backend that was seen, and is alive: this process itself. */
        struct pqb_claim_row *row = &claim[i].region->map->claim[claim[i].index];
        row->backend_pid = (int32_t)getpid();
        row->backend_seen = 1;
        row->pid_ns = 1; /* in another namespace: nobody can look */
        pqb_claim_give(&claim[i], PQB_END_CLOSED);
    }
    look();
    cr_assert_eq(snapshot.server[0].used, 3);
    cr_assert_eq(snapshot.server[0].draining, 3);
    steer.slack = 2;
    cr_assert_eq(pqb_steer_apply(atomic_load(&ledger.region), &steer, NULL), PQB_OK);
    look();
    cr_assert_eq(snapshot.server[0].used, 1);
    cr_assert_eq(snapshot.server[0].draining, 3);
    cr_assert_eq(snapshot.app[0].used, 1);
    cr_assert_eq(snapshot.claims, 3);
}

/* As many as there is room for; counted, not claimed: that many descriptors nobody has. */
Test(snapshot, of_ten_thousand_claims)
{
    struct pqb_layout *map = atomic_load(&ledger.region)->map;
    struct pqb_steer steer = pqb_steer_nothing;
    steer.server = "localhost:5432";
    steer.make = 1;
    cr_assert_eq(pqb_steer_apply(atomic_load(&ledger.region), &steer, NULL), PQB_OK);
    for (unsigned i = 0; i < PQB_CLAIMS; i++) {
        struct pqb_claim_row *row = &map->claim[i];
        row->process = 1 + i;
        row->ticket = PQB_CLAIMS - i;
        row->server = 0;
        row->app = PQB_NIL;
        atomic_store(&row->changed_at, pqb_now());
        atomic_store(&row->drain_until, pqb_ending_stamp(1ull << 32, pqb_now() + 60 * PQB_SECOND));
        row->pid_ns = 1;
        atomic_store(&row->ctl, 1ull << 32 | PQB_CLAIM_DRAINING); /* needs no life lock */
    }
    atomic_store(&map->header.dirty, 1);
    cr_assert_eq(pqb_tick(atomic_load(&ledger.region), 0, NULL), PQB_OK);
    look();
    cr_assert_eq(snapshot.claims, PQB_CLAIMS);
    cr_assert_eq(snapshot.server[0].used, PQB_CLAIMS);
    for (unsigned i = 1; i < PQB_CLAIMS; i++)
        cr_assert_lt(snapshot.claim[i - 1].ticket, snapshot.claim[i].ticket);
    struct pqb_claim claim;
    cr_assert_eq(pqb_wait_acquire(&ledger, &request, 0, &claim, NULL, NULL), PQB_FULL);
}

/* One slot, handed round by three processes: never two at once, in no snapshot. */
Test(snapshot, counts_held_at_one_instant)
{
    static const struct pqb_server_config one = {.limit = 1, .wait_ms = 8000};
    struct pqb_claim_request wanted = request;
    wanted.defaults = &one;
    pid_t pid[3];
    for (unsigned i = 0; i < 3; i++)
        if (!(pid[i] = support_fork()))
            for (;;) {
                struct pqb_claim claim;
                if (!pqb_wait_acquire(&ledger, &wanted, 5000, &claim, NULL, NULL))
                    pqb_claim_give(&claim, PQB_END_CLOSED);
            }
    unsigned consistent = 0, most = 0;
    struct pqb_layout *map = atomic_load(&ledger.region)->map;
    cr_assert(wait_until(atomic_load(&map->header.grants) > 100));
    for (unsigned i = 0; i < 300 || !consistent; i++) {
        pqb_snapshot_free(&snapshot);
        cr_assert_eq(pqb_snapshot_take(atomic_load(&ledger.region), &snapshot), PQB_OK);
        if (!snapshot.consistent || !snapshot.servers)
            continue;
        consistent++;
        most = snapshot.server[0].used > most ? snapshot.server[0].used : most;
    }
    for (unsigned i = 0; i < 3; i++)
        support_kill(pid[i]);
    cr_assert_leq(most, 1);
    /* One may have died in the midst of a change. */
    cr_assert_eq(pqb_tick(atomic_load(&ledger.region), 0, NULL), PQB_OK);
    look();
    cr_assert_eq(snapshot.claims, 0);
}

Test(snapshot, names_every_state)
{
    cr_assert_str_eq(pqb_claim_state_name(PQB_CLAIM_WAITING), "waiting");
    cr_assert_str_eq(pqb_claim_state_name(PQB_CLAIM_DRAINING), "draining");
    cr_assert_str_eq(pqb_claim_state_name((enum pqb_claim_state)200), "unknown");
    cr_assert_str_eq(pqb_door_name(PQB_DOOR_SOCKET), "socket");
    cr_assert_str_eq(pqb_door_name((enum pqb_door)77), "libpq");
}
