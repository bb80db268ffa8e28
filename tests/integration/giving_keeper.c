/* The thread that answers for what may give way, through all that becomes of its ledger. */
#include "giving.h"

#include "ledger/region.h"

GROUND(giving_keeper);

/* Nobody else has the old ledger any more when the last of its connections go: one behind our
 * back, and one that wakes the keeper. */
Test(giving_keeper, outlives_the_ledger_it_slept_on)
{
    for (unsigned i = 1; i < GIVING_WAYS; i += 2) {
        struct giving_way way = giving_way(i);
        struct pqb_error error;
        struct guest *guest =
            giving_start(way, WORDS("PQBUDGET_LIMIT=3"),
                         WORDS(way.open, way.where, "turn", way.open, way.where, "pause", "crowd",
                               "1", way.where, "turn", "rawclose", "turn", "close", "hearcrowd",
                               "1", way.open, way.where, "pause"));
        giving_ready(guest);
        giving_told(guest, "idle");
        cr_assert_eq(pqb_region_remove(ground_ledger_path(), NULL, &error), PQB_OK);
        guest_go(guest);
        hear(guest, "1 asked, 0 failed");
        hear(guest, "1 in, 0 refused, 0 lost");
        hear(guest, "ok");
        hear(guest, "ready");
        giving_told(guest, "idle");
        content(guest);
        all_given_back();
    }
}

/* Its numbers are counted right: the second one was closed behind our back, and given anew. */
Test(giving_keeper, goes_with_the_last_number)
{
    for (unsigned i = 1; i < GIVING_WAYS; i += 2) {
        struct giving_way way = giving_way(i);
        struct guest *guest =
            giving_start(way, NOTHING,
                         WORDS(way.open, way.where, "copy", "dup", "turn", "rawclose", "turn",
                               "copy", "dup", "pause", "close", "turn", "close", "pause"));
        giving_ready(guest);
        giving_told(guest, "idle");
        guest_go(guest);
        giving_ready(guest);
        cr_assert(wait_until(giving_threads(guest) == 1));
        all_given_back();
        content(guest);
    }
}
