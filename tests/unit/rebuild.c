/* rebuild.c: the books built anew from the claims, and servers merged. */
#include "ledger/rebuild.h"
#include "ledger/registry.h"
#include "support/paper.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static struct paper paper;

static void open_paper(void)
{
    paper_open(&paper, PQB_CLAIMS);
}

static void close_paper(void)
{
    paper_check(&paper);
    paper_close(&paper);
}

TestSuite(rebuild, .init = open_paper, .fini = close_paper, .timeout = 60);

static unsigned server_with(const char *key, uint32_t limit)
{
    struct pqb_server_config config = {.limit = limit, .drain_ms = 200};
    return paper_server(&paper, key, &config);
}

Test(rebuild, keeps_the_order_of_ten_thousand_waiters)
{
    unsigned server = server_with("a:5432", 1), waiter[PQB_CLAIMS - 1];
    unsigned holder = paper_hold(&paper, server, 1, "app");
    for (unsigned i = 0; i < PQB_CLAIMS - 1; i++) {
        waiter[i] = paper_ask(&paper, server, 2 + i, "app", 0);
        cr_assert_neq(waiter[i], PQB_NIL);
        if (i == 300) /* not the order of their indexes */
            paper_move(&paper, waiter[7], PQB_CLAIM_GONE);
    }
    paper_rebuild(&paper);
    paper_check(&paper);
    paper_move(&paper, holder, PQB_CLAIM_GONE);
    cr_assert(paper_is_granted(&paper, waiter[0]));
}

Test(rebuild, strikes_out_what_names_nothing)
{
    unsigned server = server_with("a:5432", 10);
    unsigned held[6];
    for (unsigned i = 0; i < 6; i++)
        held[i] = paper_hold(&paper, server, 1 + i, "app");
    paper.map->claim[held[0]].server = 12345;
    paper.map->claim[held[1]].server = 7; /* a row that is not taken */
    paper.map->claim[held[2]].process = 0;
    atomic_fetch_or(&paper.map->claim[held[3]].ctl, 0x40);
    paper.map->claim[held[4]].app = 400;
    paper_rebuild(&paper);
    for (unsigned i = 0; i < 4; i++)
        cr_assert_eq(paper_state(&paper, held[i]), PQB_CLAIM_FREE);
    cr_assert_eq(paper_state(&paper, held[4]), PQB_CLAIM_OPEN);
    cr_assert_eq(paper.map->claim[held[4]].app, PQB_NIL);
    cr_assert_eq(paper.map->server[server].general, 2);
}

Test(rebuild, tickets_go_on_from_the_youngest)
{
    unsigned server = server_with("a:5432", 1);
    paper_hold(&paper, server, 1, "app");
    unsigned waiter = paper_ask(&paper, server, 2, "app", 0);
    paper.map->header.next_ticket = 0;
    paper_rebuild(&paper);
    unsigned next = paper_ask(&paper, server, 3, "app", 0);
    cr_assert_gt(paper.map->claim[next].ticket, paper.map->claim[waiter].ticket);
}

Test(rebuild, finds_what_makes_no_sense)
{
    unsigned server = server_with("a:5432", 1);
    unsigned holder = paper_hold(&paper, server, 1, "app");
    unsigned waiter[3];
    for (unsigned i = 0; i < 3; i++)
        waiter[i] = paper_ask(&paper, server, 2 + i, "app", 0);
    struct pqb_server_row *row = &paper.map->server[server];
    struct pqb_claim_row *claim = paper.map->claim;
    for (unsigned damage = 0; damage < 6; damage++) {
        switch (damage) {
        case 0: /* a circle */
            claim[waiter[2]].next = (uint16_t)waiter[0];
            paper.map->header.pending[0] = 0;
            row->config.paused = 0;
            claim[waiter[0]].process_cap = claim[waiter[1]].process_cap = 0;
            break;
        case 1:
            row->queue_head = 60000;
            break;
        case 2:
            row->waiting = 0;
            break;
        case 3:
            claim[waiter[0]].booked = PQB_BOOKED_GENERAL;
            break;
        case 4:
            row->queue_head = (uint16_t)holder;
            break;
        default:
            claim[waiter[0]].previous = 3;
            break;
        }
        unsigned first = waiter[0];
        paper_move(&paper, holder, PQB_CLAIM_GONE);
        if (damage == 0) /* a circle is seen only by who goes all the way round */
            paper.books.corrupt = 1;
        cr_assert(paper.books.corrupt, "damage %u was not noticed", damage);
        paper_rebuild(&paper);
        paper_check(&paper);
        cr_assert(paper_is_granted(&paper, first), "damage %u", damage);
        holder = first;
        waiter[0] = waiter[1];
        waiter[1] = waiter[2];
        waiter[2] = paper_ask(&paper, server, 10 + damage, "app", 0);
        paper_check(&paper);
    }
}

Test(rebuild, a_claim_in_a_queue_that_does_not_wait_is_noticed)
{
    unsigned server = server_with("a:5432", 1);
    unsigned holder = paper_hold(&paper, server, 1, "app");
    unsigned first = paper_ask(&paper, server, 2, "app", 0);
    unsigned second = paper_ask(&paper, server, 3, "app", 0);
    struct pqb_claim_row *row = &paper.map->claim[first];
    atomic_store(&row->ctl, pqb_ctl_next(atomic_load(&row->ctl), PQB_CLAIM_FREE));
    paper_move(&paper, holder, PQB_CLAIM_GONE);
    cr_assert(paper.books.corrupt);
    paper_rebuild(&paper);
    cr_assert(paper_is_granted(&paper, second));
}

Test(rebuild, merged_servers_have_everything_of_both)
{
    unsigned from = server_with("db.internal:5432", 2), into = server_with("10.1.2.3:5432", 5);
    unsigned held = paper_hold(&paper, from, 1, "web"), kept = paper_hold(&paper, into, 1, "web");
    paper_hold(&paper, from, 2, "bot");
    unsigned waiter = paper_ask(&paper, from, 3, "web", 0);
    cr_assert(paper_is_waiting(&paper, waiter));
    cr_assert(pqb_registry_alias_make(paper.map, "10.9.9.9:5432", from, 1, 0));
    paper_visit(&paper);
    pqb_rebuild_merged(&paper.books, from, into);
    paper_check(&paper);
    cr_assert_eq(paper.map->server[from].taken, 0);
    cr_assert(paper_is_granted(&paper, waiter));
    cr_assert_eq(paper.map->server[into].general, 4);
    cr_assert_eq(paper.map->claim[held].app, paper.map->claim[kept].app);
    cr_assert_eq(paper.map->claim[held].account, paper.map->claim[kept].account);
    cr_assert_eq(paper.map->alias[0].server, into);
    unsigned bot = pqb_registry_app(paper.map, into, "bot", PQB_NIL);
    cr_assert_neq(bot, PQB_NIL);
    cr_assert_eq(paper.map->app[bot].used, 1);
}

/* Rows of applications that were made a moment ago are not to be reused for the next ones. */
Test(rebuild, merging_with_a_full_table_of_applications_mixes_nobody_up)
{
    unsigned from = server_with("one:5432", 10), into = server_with("two:5432", 10);
    unsigned a = paper_hold(&paper, from, 1, "a"), b = paper_hold(&paper, from, 1, "b");
    char label[32];
    for (unsigned i = 0; i < PQB_APPS - 3; i++) { /* one row is left */
        snprintf(label, sizeof label, "fill%u", i);
        paper.map->app[pqb_registry_app_make(paper.map, into, label, PQB_NIL)].limit = 9;
    }
    paper_visit(&paper);
    pqb_rebuild_merged(&paper.books, from, into);
    unsigned of_a = paper.map->claim[a].app, of_b = paper.map->claim[b].app;
    cr_assert_neq(of_a, PQB_NIL);
    cr_assert_str_eq(paper.map->app[of_a].label, "a");
    cr_assert_neq(of_a, of_b);
    if (of_b != PQB_NIL)
        cr_assert_str_eq(paper.map->app[of_b].label, "b");
}
