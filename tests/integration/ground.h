/* What the integration tests stand on: a PostgreSQL beside them (scripts/with-postgres), for each
 * test a ledger of its own, and a look at both. */
#ifndef PQB_INTEGRATION_GROUND_H
#define PQB_INTEGRATION_GROUND_H

#include "guest.h"

#include "ledger/snapshot.h"
#include "support/support.h"

#include <criterion/criterion.h>
#include <string.h>

/* A test suite on this ground. */
#define GROUND(suite) TestSuite(suite, .init = ground_begin, .fini = ground_end, .timeout = 300)
void ground_begin(void);
void ground_end(void);

/* PQBUDGET_LEDGER of this test's guests, and the file that stands for it. */
const char *ground_ledger_name(void);
const char *ground_ledger_path(void);

/* The server's address: the port, and the folder of its Unix socket. */
const char *ground_port(void);
const char *ground_folder(void);

/* Another place to connect to: a socket that listens on the loopback, made with these SOCK_…, and
 * its port. */
int ground_listener(int flags, int *port);

/* A text in one of a few buffers, for strings that are put together. */
const char *ground_text(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* What libpq says first about a server it reached by TCP, or by its Unix socket. */
const char *ground_tcp_prefix(void);
const char *ground_unix_prefix(void);

/* The ledger as it is now; empty if there is none. Valid until the next call. */
const struct pqb_snapshot *ground_look(void);
unsigned ground_claims(void); /* in any state */
unsigned ground_in(enum pqb_claim_state state);
unsigned ground_used(void);                          /* charged to a limit */
const struct pqb_snapshot_claim *ground_claim(void); /* the only one there is */

/* Did a ledger come into being? */
int ground_has_ledger(void);

/* The first value a query of the test's own gives; "" if it gives none. */
const char *ground_ask(const char *query, ...) __attribute__((format(printf, 1, 2)));

/* Takes `count` slots of the server at `key` (NULL: the one beside us) as application `app` of the
 * test itself, which makes the server's row if there is none: `limit`, no reserve, 8 s to wait, and
 * nobody drains. They last as long as the test, or until the last one is let go. */
void ground_hold(const char *key, unsigned limit, unsigned count, const char *app);
void ground_let_go(void);

/* A file of the build under test, in one of those buffers. */
const char *ground_built(const char *file);

/* Has the build under test a sanitizer? It has the allocator, wants to be the first preload, calls
 * dlopen in its caller's stead, and looks for leaks at every end. */
int ground_has_sanitizer(void);

/* For a guest that leaks by nature. */
const char *ground_leaks(void);

/* The key of the server beside us. */
const char *ground_key(void);

/* The next line a guest says is just this; or begins with it. */
#define hear(who, expected) cr_assert_str_eq(guest_line(who), expected)
#define hear_start(who, expected)                                                                  \
    do {                                                                                           \
        const char *heard_ = guest_line(who), *start_ = expected;                                  \
        cr_assert(!strncmp(heard_, start_, strlen(start_)), "heard \"%s\" instead of \"%s…\"",     \
                  heard_, start_);                                                                 \
    } while (0)

/* It ended well and never complained. */
#define content(who)                                                                               \
    do {                                                                                           \
        struct guest *content_ = who;                                                              \
        cr_assert_eq(guest_end(content_), 0, "%s", guest_complaints(content_));                    \
        cr_assert_str_eq(guest_complaints(content_), "");                                          \
    } while (0)

/* Every claim is gone, at once or when the server has seen the end of its backend. */
#define all_given_back() cr_assert(wait_until(ground_claims() == 0 && ground_used() == 0))

#endif
