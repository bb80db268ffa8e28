/* One server, whatever it is called; several, where they are. */
#include "ground.h"

#include "ledger/registry.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

GROUND(naming);

/* The rows that have claims, and how many claims the one with this key has. */
static unsigned rows_in_use(void)
{
    const struct pqb_snapshot *now = ground_look();
    unsigned rows = 0;
    for (unsigned i = 0; i < now->servers; i++)
        rows += now->server[i].used != 0;
    return rows;
}

static unsigned used_of(const char *key)
{
    const struct pqb_snapshot *now = ground_look();
    for (unsigned i = 0; i < now->servers; i++)
        if (!strcmp(now->server[i].key, key))
            return now->server[i].used;
    return 0;
}

Test(naming, names_of_the_loopback_are_one)
{
    struct guest *guest =
        guest_doors(WORDS("PGHOST"), "connectdb", "host=127.0.0.1", "connectdb", "host=localhost",
                    "connectdb", "hostaddr=127.0.0.1", "connectdb",
                    "host=nosuch.invalid hostaddr=127.0.0.1", "connectdb", "host=LOCALHOST",
                    "connectdb", ground_text("postgresql://127.0.0.1:%s", ground_port()), "pause");
    for (unsigned i = 0; i < 6; i++)
        hear_start(guest, "ok ");
    hear(guest, "ready");
    cr_assert_eq(ground_look()->servers, 1);
    cr_assert_eq(used_of(ground_key()), 6);
    content(guest);
}

Test(naming, a_socket_s_folder_is_the_server_that_listens_there)
{
    const char *unix_host = ground_text("host=%s", ground_folder());
    struct guest *guest =
        guest_doors(NOTHING, "connectdb", "host=127.0.0.1", "connectdb", unix_host, "finish",
                    "pause", "connectdb", unix_host, "pause");
    hear_start(guest, "ok ");
    hear_start(guest, "ok ");
    hear(guest, "ready");
    cr_assert(wait_until(ground_claims() == 1));
    guest_go(guest);
    hear_start(guest, "ok ");
    hear(guest, "ready");
    cr_assert_eq(used_of(ground_key()), 2); /* proven by the first one */
    cr_assert_eq(rows_in_use(), 1);
    content(guest);
}

/* By way of another program, and for a limit that both keep. */
Test(naming, a_socket_s_folder_keeps_the_server_s_limit)
{
    const char *unix_host = ground_text("host=%s", ground_folder());
    struct guest *first = guest_doors(WORDS("PQBUDGET_LIMIT=2"), "connectdb", "host=127.0.0.1",
                                      "connectdb", unix_host, "finish", "pause");
    hear_start(first, "ok ");
    hear_start(first, "ok ");
    hear(first, "ready");
    cr_assert(wait_until(ground_claims() == 1));
    struct guest *second = guest_doors(WORDS("PQBUDGET_WAIT=100ms"), "connectdb", unix_host,
                                       "connectdb", unix_host, "pause");
    hear_start(second, "ok ");
    hear_start(second,
               ground_text("bad %sFATAL:  sorry, too many clients already|DETAIL:  pqbudget: "
                           "2 of 2 connections to ",
                           ground_unix_prefix()));
    hear(second, "ready");
    cr_assert_eq(ground_used(), 2);
    content(second);
    content(first);
}

/* A link to the same folder is the same server. */
Test(naming, another_path_to_the_socket)
{
    const char *link = ground_text("/tmp/%s.link", ground_ledger_name());
    const char *by_link = ground_text("host=%s", link);
    cr_assert_eq(symlink(ground_folder(), link), 0);
    struct guest *guest = guest_doors(NOTHING, "connectdb", "host=127.0.0.1", "connectdb", by_link,
                                      "finish", "pause", "connectdb", by_link, "pause");
    hear_start(guest, "ok ");
    hear_start(guest, "ok ");
    hear(guest, "ready");
    cr_assert(wait_until(ground_claims() == 1));
    guest_go(guest);
    hear_start(guest, "ok ");
    hear(guest, "ready");
    cr_assert_eq(used_of(ground_key()), 2);
    content(guest);
    unlink(link);
}

/* A list of hosts is one server, by its whole list. */
Test(naming, a_list_of_hosts)
{
    struct guest *guest = guest_doors(NOTHING, "connectdb", "host=127.0.0.1,127.0.0.2", "pause");
    hear_start(guest, "ok ");
    hear(guest, "ready");
    cr_assert_eq(used_of(ground_text("localhost:%s,127.0.0.2:%s", ground_port(), ground_port())),
                 1);
    content(guest);
}

/* Two dead servers are two servers. */
Test(naming, another_port_is_another_server)
{
    ground_hold(ground_text("localhost:%d", 1), 1, 1, "web");
    struct guest *guest = guest_doors(WORDS("PQBUDGET_WAIT=0"), "connectdb", "host=127.0.0.1",
                                      "connectdb", "host=127.0.0.1 port=1", "pause");
    hear_start(guest, "ok ");
    hear_start(guest,
               "bad connection to server at \"127.0.0.1\", port 1 failed: FATAL:  sorry, too "
               "many clients already|DETAIL:  pqbudget: 1 of 1 connections to localhost:1 ");
    hear(guest, "ready");
    cr_assert_eq(rows_in_use(), 2);
    content(guest);
}

Test(naming, a_host_that_is_mentioned_twice)
{
    const char *own = ground_text("host=127.0.0.1,127.0.0.1 port=%s", ground_port());
    struct guest *guest = guest_doors(NOTHING, "connectdb", own, "pause");
    hear_start(guest, "ok ");
    hear(guest, "ready");
    cr_assert_eq(used_of(ground_key()), 1);
    content(guest);
}

/* The key of the server that an address leads to; "" if to none. */
static const char *leads_to(const char *address)
{
    struct pqb_ledger ledger;
    struct pqb_region *region;
    const char *key = "";
    if (pqb_ledger_open(&ledger, ground_ledger_name(), 0, NULL))
        return key;
    cr_assert_eq(pqb_ledger_region(&ledger, &region, NULL), PQB_OK);
    unsigned found = pqb_registry_resolve(region->map, address, PQB_NIL, pqb_now());
    if (found != PQB_NIL)
        key = ground_text("%s", region->map->server[found].key);
    pqb_region_unpin(region);
    pqb_ledger_close(&ledger);
    return key;
}

Test(naming, a_peer_s_address_is_learnt)
{
    const char *preload = ground_text("LD_PRELOAD=%s:%s", guest_preload(NULL),
                                      ground_built("helpers/plugins/elsewhere.so"));
    const char *address = ground_text("10.1.2.3:%s", ground_port());
    struct guest *guest = guest_doors(WORDS(preload), "connectdb", "host=DB.test.", "pause",
                                      "connectdb", "host=db.test", "pause");
    hear_start(guest, "bad "); /* there is no such host; and nothing was learnt */
    hear(guest, "ready");
    cr_assert_str_eq(leads_to(address), "");
    guest_go(guest);
    hear_start(guest, "ok ");
    hear(guest, "ready");
    cr_assert_str_eq(leads_to(address), ground_text("db.test:%s", ground_port()));
    cr_assert_eq(used_of(ground_text("db.test:%s", ground_port())), 1);
    content(guest);
}
/* A service names host and port, as does PGSERVICE. */
Test(naming, a_service)
{
    char path[] = "/tmp/pqbudget-service.XXXXXX";
    int file = mkstemp(path);
    dprintf(file, "[shop]\nhost=127.0.0.1\nport=%s\ndbname=postgres\n", ground_port());
    const char *service_file = ground_text("PGSERVICEFILE=%s", path);
    struct guest *guest =
        guest_doors(WORDS(service_file, "PGHOST", "PGPORT"), "connectdb", "service=shop", "pause");
    hear_start(guest, "ok ");
    hear(guest, "ready");
    cr_assert_eq(used_of(ground_key()), 1);
    content(guest);
    all_given_back();
    guest = guest_doors(WORDS(service_file, "PGHOST", "PGPORT", "PGSERVICE=shop"), "connectdb", "",
                        "pause");
    hear_start(guest, "ok ");
    hear(guest, "ready");
    cr_assert_eq(used_of(ground_key()), 1);
    content(guest);
    close(file);
    unlink(path);
}
