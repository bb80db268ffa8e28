/* claim.c and wait.c: taking and giving back, in one process. */
#include "ledger/admission.h"
#include "ledger/snapshot.h"
#include "support/support.h"

#include <criterion/criterion.h>

static struct pqb_ledger ledger;

static void open_ledger(void)
{
    support_ledger_open(&ledger);
}

static void end_ledger(void)
{
    support_ledger_end(&ledger);
}

TestSuite(claim, .init = open_ledger, .fini = end_ledger);

static const struct pqb_server_config five = {.limit = 5, .wait_ms = 8000, .drain_ms = 200};
static const struct pqb_claim_request request = {
    .server = "localhost:5432", .app = "test", .defaults = &five};

static unsigned used(void)
{
    struct pqb_snapshot snapshot;
    cr_assert_eq(pqb_snapshot_take(atomic_load(&ledger.region), &snapshot), PQB_OK);
    unsigned count = snapshot.servers ? snapshot.server[0].used : 0;
    pqb_snapshot_free(&snapshot);
    return count;
}

Test(claim, is_counted_until_given_back)
{
    struct pqb_claim claim;
    cr_assert_eq(pqb_wait_acquire(&ledger, &request, 0, &claim, NULL, NULL), PQB_OK);
    cr_assert_eq(used(), 1);
    pqb_claim_give(&claim, PQB_END_CLOSED);
    cr_assert_eq(used(), 0);
}

Test(claim, is_refused_when_all_are_taken)
{
    struct pqb_claim claim[5], sixth;
    unsigned obstacle;
    for (int i = 0; i < 5; i++)
        cr_assert_eq(pqb_wait_acquire(&ledger, &request, 0, &claim[i], NULL, NULL), PQB_OK);
    cr_assert_eq(pqb_wait_acquire(&ledger, &request, 0, &sixth, &obstacle, NULL), PQB_TIMED_OUT);
    cr_assert_eq(obstacle, PQB_OBSTACLE_ROOM);
    cr_assert_eq(used(), 5);
    for (int i = 0; i < 5; i++)
        pqb_claim_give(&claim[i], PQB_END_CLOSED);
}
