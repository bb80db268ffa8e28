/* preload/settings.c: what the environment says, and what is said of it. */
#include "ledger/registry.h"
#include "ledger/wait.h"
#include "preload/log.h"
#include "preload/settings.h"
#include "support/support.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

TestSuite(preload_settings, .timeout = 120);

/* ---- one variable, one value ---- */

static long long limit(const struct pqb_settings *s)
{
    return s->new_server.limit;
}
static long long reserve(const struct pqb_settings *s)
{
    return s->new_server.reserve;
}
static long long cap(const struct pqb_settings *s)
{
    return s->process_cap;
}
static long long wait_ms(const struct pqb_settings *s)
{
    return s->wait_ms;
}
static long long yield_ms(const struct pqb_settings *s)
{
    return s->yield_ms;
}
static long long naming(const struct pqb_settings *s)
{
    return s->naming;
}
static long long doors(const struct pqb_settings *s)
{
    return s->doors;
}
static long long fails_closed(const struct pqb_settings *s)
{
    return s->fails_closed;
}
static long long is_off(const struct pqb_settings *s)
{
    (void)s;
    return pqb_settings_is_off();
}
/* Of the first three, and how many there are. */
static long long ports(const struct pqb_settings *s)
{
    long long count = 0;
    while (count < PQB_SETTINGS_PORTS && s->port[count])
        count++;
    return ((s->port[0] * 100000ll + s->port[1]) * 100000ll + s->port[2]) * 100 + count;
}
#define PORTS(a, b, c, count) (((a)*100000ll + (b)) * 100000ll + (c)) * 100 + (count)

static const struct row {
    const char *variable, *value;
    long long (*get)(const struct pqb_settings *settings);
    long long wanted;
    const char *complaint; /* behind "makes no sense "; NULL = none */
} rows[] = {
    {"PQBUDGET", "off", is_off, 1, NULL},
    {"PQBUDGET", "OFF", is_off, 1, NULL},
    {"PQBUDGET", "0", is_off, 1, NULL},
    {"PQBUDGET", "no", is_off, 1, NULL},
    {"PQBUDGET", "false", is_off, 1, NULL},
    {"PQBUDGET", "on", is_off, 0, NULL},
    {"PQBUDGET", "1", is_off, 0, NULL},
    {"PQBUDGET", "", is_off, 0, NULL},
    {"PQBUDGET", "offf", is_off, 0, "(it wants on or off): using on"},
    {"PQBUDGET", "of", is_off, 0, "(it wants on or off): using on"},

    {"PQBUDGET_LIMIT", "20", limit, 20, NULL},
    {"PQBUDGET_LIMIT", "1", limit, 1, NULL},
    {"PQBUDGET_LIMIT", "none", limit, PQB_UNLIMITED, NULL},
    {"PQBUDGET_LIMIT", "", limit, 85, NULL},
    {"PQBUDGET_LIMIT", "0", limit, 85, "(it wants a number of connections, or none): using 85"},
    {"PQBUDGET_LIMIT", "-1", limit, 85, "(it wants a number of connections, or none): using 85"},
    {"PQBUDGET_LIMIT", "20x", limit, 85, "(it wants a number of connections, or none): using 85"},
    {"PQBUDGET_LIMIT", " 20", limit, 85, "(it wants a number of connections, or none): using 85"},
    {"PQBUDGET_LIMIT", "99999999999", limit, 85,
     "(it wants a number of connections, or none): using 85"},
    {"PQBUDGET_LIMIT", "20", reserve, 2, NULL},
    {"PQBUDGET_LIMIT", "9", reserve, 0, NULL},
    {"PQBUDGET_LIMIT", "none", reserve, 0, NULL},

    {"PQBUDGET_RESERVE", "3", reserve, 3, NULL},
    {"PQBUDGET_RESERVE", "0", reserve, 0, NULL},
    {"PQBUDGET_RESERVE", "84", reserve, 84, NULL},
    {"PQBUDGET_RESERVE", "85", reserve, 8, "(it wants a number below the limit): using 8"},
    {"PQBUDGET_RESERVE", "none", reserve, 8, "(it wants a number below the limit): using 8"},

    {"PQBUDGET_PER_PROCESS", "5", cap, 5, NULL},
    {"PQBUDGET_PER_PROCESS", "0", cap, 0, "(it wants a number of connections): using none"},
    {"PQBUDGET_PER_PROCESS", "five", cap, 0, "(it wants a number of connections): using none"},

    {"PQBUDGET_WAIT", "10", wait_ms, 10000, NULL},
    {"PQBUDGET_WAIT", "10s", wait_ms, 10000, NULL},
    {"PQBUDGET_WAIT", "500ms", wait_ms, 500, NULL},
    {"PQBUDGET_WAIT", "0", wait_ms, 0, NULL},
    {"PQBUDGET_WAIT", "inf", wait_ms, PQB_WAIT_FOREVER, NULL},
    {"PQBUDGET_WAIT", "", wait_ms, PQB_WAIT_SERVER, NULL},
    {"PQBUDGET_WAIT", "10m", wait_ms, PQB_WAIT_SERVER,
     "(it wants a time such as 10s, 500ms, 0 or inf): using 8s"},
    {"PQBUDGET_WAIT", "-1", wait_ms, PQB_WAIT_SERVER,
     "(it wants a time such as 10s, 500ms, 0 or inf): using 8s"},

    {"PQBUDGET_YIELD", "30s", yield_ms, 30000, NULL},
    {"PQBUDGET_YIELD", "off", yield_ms, PQB_YIELD_OFF, NULL},
    {"PQBUDGET_YIELD", "0", yield_ms, PQB_YIELD_OFF,
     "(it wants a time such as 30s, or off): using off"},
    {"PQBUDGET_YIELD", "inf", yield_ms, PQB_YIELD_OFF,
     "(it wants a time such as 30s, or off): using off"},
    {"PQBUDGET_YIELD", "9999999", yield_ms, PQB_YIELD_OFF,
     "(it wants a time such as 30s, or off): using off"},

    {"PQBUDGET_APPLICATION_NAME", "fill", naming, PQB_NAMING_FILL, NULL},
    {"PQBUDGET_APPLICATION_NAME", "tag", naming, PQB_NAMING_TAG, NULL},
    {"PQBUDGET_APPLICATION_NAME", "Force", naming, PQB_NAMING_FORCE, NULL},
    {"PQBUDGET_APPLICATION_NAME", "off", naming, PQB_NAMING_OFF, NULL},
    {"PQBUDGET_APPLICATION_NAME", "on", naming, PQB_NAMING_FILL,
     "(it wants fill, tag, force or off): using fill"},

    {"PQBUDGET_FAIL", "open", fails_closed, 0, NULL},
    {"PQBUDGET_FAIL", "closed", fails_closed, 1, NULL},
    {"PQBUDGET_FAIL", "close", fails_closed, 0, "(it wants open or closed): using open"},

    {"PQBUDGET_DOORS", "", doors, PQB_DOORS_LIBPQ | PQB_DOORS_SOCKET, NULL},
    {"PQBUDGET_DOORS", "libpq", doors, PQB_DOORS_LIBPQ, NULL},
    {"PQBUDGET_DOORS", "socket", doors, PQB_DOORS_SOCKET, NULL},
    {"PQBUDGET_DOORS", "socket, libpq", doors, PQB_DOORS_LIBPQ | PQB_DOORS_SOCKET, NULL},
    {"PQBUDGET_DOORS", "both", doors, PQB_DOORS_LIBPQ | PQB_DOORS_SOCKET,
     "(it wants libpq, socket or both): using libpq,socket"},
    {"PQBUDGET_DOORS", ",", doors, PQB_DOORS_LIBPQ | PQB_DOORS_SOCKET,
     "(it wants libpq, socket or both): using libpq,socket"},
    {"PQBUDGET_DOORS", "libpq,window", doors, PQB_DOORS_LIBPQ | PQB_DOORS_SOCKET,
     "(it wants libpq, socket or both): using libpq,socket"},

    {"PQBUDGET_PORTS", "", ports, PORTS(5432, 0, 0, 1), NULL},
    {"PQBUDGET_PORTS", "6432", ports, PORTS(6432, 0, 0, 1), NULL},
    {"PQBUDGET_PORTS", "5432, 5433 ,65535", ports, PORTS(5432, 5433, 65535, 3), NULL},
    {"PQBUDGET_PORTS", "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16", ports, PORTS(1, 2, 3, 16), NULL},
    {"PQBUDGET_PORTS", "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17", ports, PORTS(5432, 0, 0, 1),
     "(it wants up to 16 port numbers with commas): using 5432"},
    {"PQBUDGET_PORTS", "5433,0", ports, PORTS(5432, 0, 0, 1),
     "(it wants up to 16 port numbers with commas): using 5432"},
    {"PQBUDGET_PORTS", "65536", ports, PORTS(5432, 0, 0, 1),
     "(it wants up to 16 port numbers with commas): using 5432"},
    {"PQBUDGET_PORTS", "postgres", ports, PORTS(5432, 0, 0, 1),
     "(it wants up to 16 port numbers with commas): using 5432"},

    {"PQBUDGET_LOG", "loud", limit, 85, "(it wants error, warn, info or debug): using warn"},
};

static char log_file[] = "/tmp/preload_settings.XXXXXX";

/* What was said so far. */
static const char *said(void)
{
    static char text[16384];
    int fd = open(log_file, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
    text[length > 0 ? length : 0] = 0;
    close(fd);
    return text;
}

/* For a child: an environment with nothing of ours but a log file. */
static void clear(void)
{
    static const char *const names[] = {"PQBUDGET_LEDGER", "PQBUDGET_APP"};
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
        unsetenv(names[i]);
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++)
        unsetenv(rows[i].variable);
    int fd = mkstemp(log_file);
    expect(fd >= 0);
    close(fd);
    setenv("PQBUDGET_LOG_FILE", log_file, 1);
}

static const struct row *row;

static void read_row(void)
{
    char wanted[512] = "";
    clear();
    setenv(row->variable, row->value, 1);
    long long got = row->get(pqb_settings());
    if (row->complaint)
        snprintf(wanted, sizeof wanted, "pqbudget[%d]: warning: %s=%s makes no sense %s\n",
                 (int)getpid(), row->variable, row->value, row->complaint);
    if (got != row->wanted || strcmp(said(), wanted) != 0)
        dprintf(2, "%s=%s: %lld, not %lld; said \"%s\", not \"%s\"\n", row->variable, row->value,
                got, row->wanted, said(), wanted);
    expect(got == row->wanted && !strcmp(said(), wanted));
    pqb_settings();
    expect(!strcmp(said(), wanted)); /* once */
    unlink(log_file);
}

Test(preload_settings, each_variable)
{
    for (row = rows; row < rows + sizeof rows / sizeof *rows; row++)
        cr_expect_eq(support_apart(read_row), 0, "%s=%s", row->variable, row->value);
}

/* ---- all together ---- */

static void read_nothing(void)
{
    clear();
    const struct pqb_settings *settings = pqb_settings();
    expect(!pqb_settings_is_off());
    expect(!settings->ledger && !settings->app && !settings->defaults && !settings->forced);
    expect(!memcmp(&settings->new_server, &pqb_server_defaults, sizeof pqb_server_defaults));
    expect(settings->process_cap == 0 && settings->wait_ms == PQB_WAIT_SERVER);
    expect(settings->yield_ms == PQB_YIELD_OFF && settings->naming == PQB_NAMING_FILL);
    expect(settings->doors == (PQB_DOORS_LIBPQ | PQB_DOORS_SOCKET) && !settings->fails_closed);
    expect(!*said());
    unlink(log_file);
}

Test(preload_settings, nothing_set)
{
    cr_assert_eq(support_apart(read_nothing), 0);
}

/* Texts are copies: a program may change its environment. */
static void read_texts(void)
{
    static char app[] = "PQBUDGET_APP=web";
    clear();
    putenv(app);
    setenv("PQBUDGET_LEDGER", "some.ledger", 1);
    setenv("PQBUDGET_DEFAULTS", "connect_timeout=5", 1);
    setenv("PQBUDGET_FORCE", "password=secret", 1);
    const struct pqb_settings *settings = pqb_settings();
    memcpy(app, "PQBUDGET_APP=bot", sizeof app);
    unsetenv("PQBUDGET_LEDGER");
    expect(!strcmp(settings->app, "web") && !strcmp(settings->ledger, "some.ledger"));
    expect(!strcmp(settings->defaults, "connect_timeout=5"));
    expect(!strcmp(settings->forced, "password=secret"));
    expect(!strcmp(settings->log_file, log_file));
    expect(pqb_settings() == settings && !strcmp(settings->app, "web"));
    unlink(log_file);
}

Test(preload_settings, texts)
{
    cr_assert_eq(support_apart(read_texts), 0);
}

static void read_bad_texts(void)
{
    char wanted[1024];
    clear();
    setenv("PQBUDGET_LEDGER", "a/b", 1);
    setenv("PQBUDGET_APP", "we\033b", 1);
    setenv("PQBUDGET_LIMIT", "99999999999999999999999999999999999999999999999999999999999999999x",
           1);
    const struct pqb_settings *settings = pqb_settings();
    expect(!settings->ledger && !settings->app);
    snprintf(wanted, sizeof wanted,
             "pqbudget[%d]: warning: PQBUDGET_LEDGER=a/b makes no sense (it wants a name of "
             "letters, digits, \".\", \"_\" and \"-\", or an absolute path): using default\n"
             "pqbudget[%d]: warning: PQBUDGET_APP=we?b makes no sense (it wants printable ASCII): "
             "using the program's name\n"
             "pqbudget[%d]: warning: PQBUDGET_LIMIT=%.64s makes no sense (it wants a number of "
             "connections, or none): using 85\n",
             (int)getpid(), (int)getpid(), (int)getpid(),
             "9999999999999999999999999999999999999999999999999999999999999999");
    expect(!strcmp(said(), wanted));
    unlink(log_file);
}

Test(preload_settings, bad_texts_are_told_and_cut)
{
    cr_assert_eq(support_apart(read_bad_texts), 0);
}

static void read_limit_and_reserve(void)
{
    clear();
    setenv("PQBUDGET_LIMIT", "5", 1);
    setenv("PQBUDGET_RESERVE", "5", 1);
    expect(pqb_settings()->new_server.limit == 5 && pqb_settings()->new_server.reserve == 0);
    expect(strstr(said(), "PQBUDGET_RESERVE=5 makes no sense"));
    unlink(log_file);
}

Test(preload_settings, a_reserve_is_below_its_limit)
{
    cr_assert_eq(support_apart(read_limit_and_reserve), 0);
}

static void set_level(void)
{
    clear();
    setenv("PQBUDGET_LOG", "info", 1);
    pqb_settings();
    pqb_log(PQB_LOG_DEBUG, "unheard");
    pqb_log(PQB_LOG_INFO, "heard");
    expect(!strstr(said(), "unheard") && strstr(said(), "info: heard\n"));
    unlink(log_file);
}

Test(preload_settings, set_the_level_of_the_log)
{
    cr_assert_eq(support_apart(set_level), 0);
}

static void *read_limit(void *unused)
{
    (void)unused;
    return (void *)(uintptr_t)pqb_settings()->new_server.limit; // NOLINT(performance-no-int-to-ptr)
}

/* Every thread has them whole, and one of them complains. */
static void read_at_once(void)
{
    pthread_t thread[8];
    void *got;
    clear();
    setenv("PQBUDGET_LIMIT", "7", 1);
    setenv("PQBUDGET_FAIL", "never", 1);
    for (unsigned i = 0; i < 8; i++)
        pthread_create(&thread[i], NULL, read_limit, NULL);
    for (unsigned i = 0; i < 8; i++) {
        pthread_join(thread[i], &got);
        expect((uintptr_t)got == 7);
    }
    const char *first = strstr(said(), "PQBUDGET_FAIL");
    expect(first && !strstr(first + 1, "PQBUDGET_FAIL"));
    unlink(log_file);
}

Test(preload_settings, read_by_many_threads_at_once)
{
    for (unsigned i = 0; i < 20; i++)
        cr_assert_eq(support_apart(read_at_once), 0);
}
