/* Want of memory: each allocation fails once, and whoever asked for it says so and loses nothing.
 */
#include "conninfo/buffer.h"
#include "conninfo/clean.h"
#include "conninfo/grammar.h"
#include "conninfo/merge.h"
#include "conninfo/options.h"
#include "conninfo/service.h"
#include "ledger/snapshot.h"
#include "preload/bytes.h"
#include "support/support.h"
#include "tool/sockets.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* AddressSanitizer has the allocator. */
#ifndef __SANITIZE_ADDRESS__

TestSuite(scarce, .timeout = 120);

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);
void __libc_free(void *memory);

/* The allocator of this program: while it counts, of this thread, the allocation `failing` fails.
 */
static _Thread_local struct {
    int counts;
    unsigned asked, failing;
    int live; /* pieces given out and not freed */
} allocator;

static int fails(void)
{
    if (!allocator.counts)
        return 0;
    if (allocator.asked++ == allocator.failing) {
        errno = ENOMEM;
        return 1;
    }
    allocator.live++;
    return 0;
}

void *malloc(size_t size)
{
    return fails() ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    return fails() ? NULL : __libc_calloc(count, size);
}

void *realloc(void *memory, size_t size)
{
    if (fails())
        return NULL;
    allocator.live -= allocator.counts && memory;
    return __libc_realloc(memory, size);
}

void free(void *memory)
{
    allocator.live -= allocator.counts && memory;
    __libc_free(memory);
}

/* Attempts it with each of its allocations failing in turn. It undoes what it did. Some can do
 * without. */
static void attempt_all(enum pqb_status (*attempt)(void), int can_do_without)
{
    int has_failed = 1;
    for (unsigned failing = 0; has_failed; failing++) {
        allocator.asked = 0;
        allocator.failing = failing;
        allocator.live = 0;
        allocator.counts = 1;
        enum pqb_status status = attempt();
        allocator.counts = 0;
        has_failed = allocator.asked > failing;
        cr_assert_eq(allocator.live, 0, "%u: %d pieces are lost", failing, allocator.live);
        cr_assert(status == (has_failed ? PQB_NO_MEMORY : PQB_OK) || (can_do_without && !status),
                  "%u: %d", failing, (int)status);
        cr_assert(has_failed || failing);
    }
}

static void expect_frugal(enum pqb_status (*attempt)(void))
{
    attempt_all(attempt, 0);
}

static const struct pqb_keyword keywords[] = {
    {"service", NULL},
    {"host", NULL},
    {"port", NULL},
    {"user", NULL},
    {"password", NULL},
    {"dbname", NULL},
    {"options", "-c geqo=off"},
    {"sslmode", NULL},
    {"sslrootcert", NULL},
    {"connect_timeout", NULL},
    {"application_name", NULL},
    {"fallback_application_name", NULL},
};
static const struct pqb_keywords known = {keywords, sizeof keywords / sizeof *keywords};

static const char *text;
static unsigned flags;

static enum pqb_status clean_text(void)
{
    struct pqb_wishes wishes;
    char *clean = NULL;
    enum pqb_status status = pqb_clean_text(text, &known, flags, &clean, &wishes);
    if (status && clean)
        return PQB_DAMAGED;
    if (!status) {
        if (!clean)
            return PQB_DAMAGED;
        pqb_buffer_free(clean);
        pqb_wishes_clear(&wishes);
    }
    return status;
}

Test(scarce, cleaning_a_string)
{
    static const char *const texts[] = {
        "postgresql+psycopg2://u:p%40@h:5432/db?connection_limit=3&pool_timeout=4&schema=a%20b&"
        "statement_timeout=5&sslaccept=strict&sslcert=server.crt&ApplicationName=web&options=-c%"
        "20x%3d1",
        "host=h password='a b\\'c' connection_limit=3 schema='My \"own' lock_timeout=5s "
        "sslmode=prefer ssl=require connectTimeout=2.5 options='-c search_path=a'",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        text = texts[i];
        for (flags = 0; flags <= PQB_CLEAN_INLINE; flags += PQB_CLEAN_INLINE)
            expect_frugal(clean_text);
    }
}

static const char *const said[][2] = {
    {"host", "h"},         {"dbname", "db"},           {"connection_limit", "3"},
    {"schema", "web"},     {"ssl", "require"},         {"pool_timeout", "4"},
    {"options", "-c a=b"}, {"ApplicationName", "web"}, {"statement_timeout", "5"},
};

static enum pqb_status clean_params(void)
{
    struct pqb_params params = {0};
    struct pqb_wishes wishes;
    enum pqb_status status = PQB_OK;
    for (size_t i = 0; i < sizeof said / sizeof *said && !status; i++)
        status = pqb_params_add(&params, said[i][0], said[i][1]);
    if (!status && !(status = pqb_clean_params(&params, &known, flags, &wishes)))
        pqb_wishes_clear(&wishes);
    pqb_params_clear(&params);
    return status;
}

Test(scarce, cleaning_parameters)
{
    for (flags = 0; flags <= PQB_CLEAN_INLINE; flags += PQB_CLEAN_INLINE)
        expect_frugal(clean_params);
}

static enum pqb_status join_wishes(void)
{
    struct pqb_wishes wishes = {.settings = strdup("-c a=1")},
                      more = {.settings = strdup("-c b=2")};
    enum pqb_status status =
        wishes.settings && more.settings ? pqb_wishes_join(&wishes, &more) : PQB_NO_MEMORY;
    if (!status && strcmp(wishes.settings, "-c a=1 -c b=2") != 0)
        status = PQB_DAMAGED;
    pqb_wishes_clear(&wishes);
    pqb_wishes_clear(&more);
    return status;
}

Test(scarce, joining_wishes)
{
    expect_frugal(join_wishes);
}

static struct pqb_params program, service, defaults, force;
static enum pqb_naming naming;

static enum pqb_status merge_params(void)
{
    struct pqb_params result;
    struct pqb_merge merge = {.known = &known,
                              .program = &program,
                              .service = &service,
                              .defaults = &defaults,
                              .force = &force,
                              .settings = "-c search_path=web",
                              .pooler = -1,
                              .naming = naming,
                              .label = "web",
                              .pid = 4711};
    enum pqb_status status = pqb_merge_params(&merge, &result);
    if (status)
        return status;
    char *printed = pqb_params_print(&result);
    status = printed ? PQB_OK : PQB_NO_MEMORY;
    pqb_buffer_free(printed);
    pqb_params_clear(&result);
    return status;
}

Test(scarce, merging_parameters)
{
    cr_assert_eq(pqb_params_add(&program, "host", "h"), PQB_OK);
    cr_assert_eq(pqb_params_add(&program, "options", "-c application_name=mine -c x=1"), PQB_OK);
    cr_assert_eq(pqb_params_add(&service, "dbname", "db"), PQB_OK);
    cr_assert_eq(pqb_params_add(&defaults, "connect_timeout", "5"), PQB_OK);
    cr_assert_eq(pqb_params_add(&defaults, "options", "-c geqo=on"), PQB_OK);
    cr_assert_eq(pqb_params_add(&force, "options", "-c jit=off"), PQB_OK);
    for (naming = PQB_NAMING_FILL; naming <= PQB_NAMING_OFF; naming++)
        expect_frugal(merge_params);
    pqb_params_clear(&program);
    pqb_params_clear(&service);
    pqb_params_clear(&defaults);
    pqb_params_clear(&force);
}

static enum pqb_status read_service(void)
{
    static const char file[] = "[other]\nhost=o\n[mine]\n# mine\nhost=h\nport=5433\ndbname=db\n";
    struct pqb_params params = {0};
    enum pqb_status status = pqb_service_read(file, sizeof file - 1, "mine", &known, &params);
    pqb_params_clear(&params);
    return status;
}

Test(scarce, reading_a_service)
{
    expect_frugal(read_service);
}

static struct pqb_ledger ledger;

static enum pqb_status take_snapshot(void)
{
    struct pqb_snapshot snapshot;
    enum pqb_status status = pqb_snapshot_take(atomic_load(&ledger.region), &snapshot);
    if (!status)
        pqb_snapshot_free(&snapshot);
    return status;
}

Test(scarce, looking_at_a_ledger)
{
    support_ledger_open(&ledger);
    expect_frugal(take_snapshot);
    support_ledger_end(&ledger);
}

static enum pqb_status list_sockets(void)
{
    struct pqb_sockets sockets;
    enum pqb_status status = pqb_sockets_take(&sockets, NULL);
    if (!status)
        pqb_sockets_free(&sockets);
    return status;
}

/* A process that can't be looked at is passed over, whatever the reason: its folder's memory too.
 */
Test(scarce, listing_sockets)
{
    int pair[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    attempt_all(list_sockets, 1);
    close(pair[0]);
    close(pair[1]);
}

static enum pqb_status keep_bytes(void)
{
    static char much[5000];
    struct iovec part[] = {{"little", 6}, {much, sizeof much}};
    struct pqb_bytes bytes = {0};
    size_t kept = 0;
    int is_kept = pqb_bytes_add(&bytes, "first", 5);
    if (is_kept) {
        kept = bytes.length;
        is_kept = pqb_bytes_add_parts(&bytes, part, 2);
    }
    enum pqb_status status = is_kept ? PQB_OK : PQB_NO_MEMORY;
    if (!is_kept && bytes.length != kept)
        status = PQB_DAMAGED; /* half of it */
    pqb_bytes_free(&bytes);
    return status;
}

Test(scarce, keeping_what_was_written)
{
    expect_frugal(keep_bytes);
}

#endif
