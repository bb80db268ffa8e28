#include "preload/settings.h"

#include "conninfo/value.h"
#include "ledger/registry.h"
#include "ledger/wait.h"
#include "preload/log.h"
#include "preload/state.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static struct pqb_settings settings;
static _Atomic int are_read;

/* A warning is composed under the lock and written after it. */
struct complaint {
    const char *name;
    const char *value; /* NULL: not to be shown */
    const char *expected;
    char instead[24];
};
#define VARIABLES 16
struct complaints {
    unsigned count;
    struct complaint complaint[VARIABLES];
};

static const char *variable(const char *name)
{
    const char *value = secure_getenv(name);
    return value && *value ? value : NULL;
}

static const char *keep(const char *name)
{
    const char *value = variable(name);
    return value ? strdup(value) : NULL;
}

static void forget(const char **kept)
{
    free((char *)*kept);
    *kept = NULL;
}

static void complain(struct complaints *complaints, const char *name, const char *value,
                     const char *expected, const char *instead)
{
    if (complaints->count == VARIABLES)
        return;
    struct complaint *complaint = &complaints->complaint[complaints->count++];
    *complaint = (struct complaint){.name = name, .value = value, .expected = expected};
    snprintf(complaint->instead, sizeof complaint->instead, "%s", instead);
}

/* ---- one kind of value each: 0 if it makes no sense ---- */

struct choice {
    const char word[12];
    int means;
};

static int read_choice(const struct choice *choice, unsigned count, const char *word, size_t length,
                       int *value)
{
    for (unsigned i = 0; i < count; i++)
        if (strlen(choice[i].word) == length && !strncasecmp(choice[i].word, word, length)) {
            *value = choice[i].means;
            return 1;
        }
    return 0;
}

static const struct choice switches[] = {{"on", 1},  {"1", 1}, {"yes", 1}, {"true", 1},
                                         {"off", 0}, {"0", 0}, {"no", 0},  {"false", 0}};
static const struct choice namings[] = {{"fill", PQB_NAMING_FILL},
                                        {"tag", PQB_NAMING_TAG},
                                        {"force", PQB_NAMING_FORCE},
                                        {"off", PQB_NAMING_OFF}};
static const struct choice failings[] = {{"open", 0}, {"closed", 1}};
static const struct choice levels[] = {{"error", PQB_LOG_ERROR},
                                       {"warn", PQB_LOG_WARN},
                                       {"info", PQB_LOG_INFO},
                                       {"debug", PQB_LOG_DEBUG}};
static const struct choice doors[] = {{"libpq", PQB_DOORS_LIBPQ}, {"socket", PQB_DOORS_SOCKET}};

#define CHOICE(choices, word, value)                                                               \
    read_choice((choices), sizeof(choices) / sizeof *(choices), (word), strlen(word), (value))

/* The next word of a list with commas; its length, and *list is behind it. */
static const char *next_word(const char **list, size_t *length)
{
    const char *word = *list + strspn(*list, " ,");
    *length = strcspn(word, ",");
    *list = word + *length;
    while (*length && word[*length - 1] == ' ')
        --*length;
    return word;
}

static int read_doors(const char *text, uint32_t *value)
{
    uint32_t all = 0;
    size_t length;
    int door;
    for (const char *word = next_word(&text, &length); length; word = next_word(&text, &length)) {
        if (!read_choice(doors, sizeof doors / sizeof *doors, word, length, &door))
            return 0;
        all |= (uint32_t)door;
    }
    if (all)
        *value = all;
    return all != 0;
}

static int read_ports(const char *text, uint16_t port[PQB_SETTINGS_PORTS])
{
    unsigned count = 0;
    size_t length;
    long long number;
    for (const char *word = next_word(&text, &length); length; word = next_word(&text, &length)) {
        if (count == PQB_SETTINGS_PORTS || !pqb_value_number(word, length, &number) || !number ||
            number > UINT16_MAX)
            return 0;
        port[count++] = (uint16_t)number;
    }
    return count > 0;
}

static int is_printable(const char *text)
{
    for (; *text; text++)
        if (!isprint((unsigned char)*text))
            return 0;
    return 1;
}

/* ---- all of them ---- */

static void read_choices(struct complaints *bad)
{
    const char *text = variable("PQBUDGET");
    int value;
    if (text && !CHOICE(switches, text, &value))
        complain(bad, "PQBUDGET", text, "on or off", "on");
    text = variable("PQBUDGET_APPLICATION_NAME");
    value = PQB_NAMING_FILL;
    if (text && !CHOICE(namings, text, &value))
        complain(bad, "PQBUDGET_APPLICATION_NAME", text, "fill, tag, force or off", "fill");
    settings.naming = (enum pqb_naming)value;
    text = variable("PQBUDGET_FAIL");
    value = 0;
    if (text && !CHOICE(failings, text, &value))
        complain(bad, "PQBUDGET_FAIL", text, "open or closed", "open");
    settings.fails_closed = value;
    text = variable("PQBUDGET_DOORS");
    settings.doors = PQB_DOORS_LIBPQ | PQB_DOORS_SOCKET;
    if (text && !read_doors(text, &settings.doors))
        complain(bad, "PQBUDGET_DOORS", text, "libpq, socket or both", "libpq,socket");
    text = variable("PQBUDGET_LOG");
    value = PQB_LOG_WARN;
    if (text && !CHOICE(levels, text, &value))
        complain(bad, "PQBUDGET_LOG", text, "error, warn, info or debug", "warn");
    pqb_log_to((enum pqb_log_level)value, settings.log_file);
}

static void read_numbers(struct complaints *bad)
{
    struct pqb_server_config *config = &settings.new_server;
    long long value;
    char instead[24];
    *config = pqb_server_defaults;
    const char *text = variable("PQBUDGET_LIMIT");
    if (text && pqb_value_limit(text, strlen(text), &value) && value) {
        config->limit = (uint32_t)value;
    } else if (text) {
        pqb_value_print_limit(instead, sizeof instead, config->limit);
        complain(bad, "PQBUDGET_LIMIT", text, "a number of connections, or none", instead);
    }
    config->reserve = config->limit == PQB_UNLIMITED ? 0 : config->limit / 10;
    text = variable("PQBUDGET_RESERVE");
    if (text && pqb_value_number(text, strlen(text), &value) && value < (long long)config->limit) {
        config->reserve = (uint32_t)value;
    } else if (text) {
        pqb_value_print_limit(instead, sizeof instead, config->reserve);
        complain(bad, "PQBUDGET_RESERVE", text, "a number below the limit", instead);
    }
    text = variable("PQBUDGET_PER_PROCESS");
    if (text && pqb_value_number(text, strlen(text), &value) && value)
        settings.process_cap = (uint32_t)value;
    else if (text)
        complain(bad, "PQBUDGET_PER_PROCESS", text, "a number of connections", "none");
}

static void read_times(struct complaints *bad)
{
    const char *text = variable("PQBUDGET_WAIT");
    long long ms;
    settings.wait_ms = PQB_WAIT_SERVER;
    if (text && pqb_value_time(text, &ms))
        settings.wait_ms = ms == PQB_UNLIMITED ? PQB_WAIT_FOREVER : ms;
    else if (text)
        complain(bad, "PQBUDGET_WAIT", text, "a time such as 10s, 500ms, 0 or inf", "8s");
    text = variable("PQBUDGET_YIELD");
    settings.yield_ms = PQB_YIELD_OFF;
    if (text && strcasecmp(text, "off") != 0) {
        if (pqb_value_time(text, &ms) && ms && ms < PQB_YIELD_OFF)
            settings.yield_ms = (uint32_t)ms;
        else
            complain(bad, "PQBUDGET_YIELD", text, "a time such as 30s, or off", "off");
    }
}

static void read_texts(struct complaints *bad)
{
    static const struct pqb_settings nothing;
    settings = nothing;
    char path[PQB_REGION_PATH];
    settings.ledger = keep("PQBUDGET_LEDGER");
    if (pqb_region_path(settings.ledger, path, NULL)) {
        forget(&settings.ledger);
        complain(bad, "PQBUDGET_LEDGER", variable("PQBUDGET_LEDGER"),
                 "a name of letters, digits, \".\", \"_\" and \"-\", or an absolute path",
                 "default");
    }
    settings.app = keep("PQBUDGET_APP");
    settings.defaults = keep("PQBUDGET_DEFAULTS");
    settings.forced = keep("PQBUDGET_FORCE");
    settings.log_file = keep("PQBUDGET_LOG_FILE");
    if (settings.app && !is_printable(settings.app)) {
        forget(&settings.app);
        complain(bad, "PQBUDGET_APP", variable("PQBUDGET_APP"), "printable ASCII",
                 "the program's name");
    }
    const char *text = variable("PQBUDGET_PORTS");
    if (!text || !read_ports(text, settings.port)) {
        memset(settings.port, 0, sizeof settings.port);
        settings.port[0] = PQB_SETTINGS_PORT;
        if (text)
            complain(bad, "PQBUDGET_PORTS", text, "up to 16 port numbers with commas", "5432");
    }
}

static void read_all(struct complaints *bad)
{
    read_texts(bad);
    read_choices(bad);
    read_numbers(bad);
    read_times(bad);
}

int pqb_settings_is_off(void)
{
    const char *text = variable("PQBUDGET");
    int is_on;
    return text && CHOICE(switches, text, &is_on) && !is_on;
}

int pqb_settings_has_door(uint32_t door)
{
    uint32_t open = PQB_DOORS_LIBPQ | PQB_DOORS_SOCKET;
    const char *text = variable("PQBUDGET_DOORS");
    if (atomic_load(&are_read))
        return (settings.doors & door) != 0;
    return !text || !read_doors(text, &open) || (open & door);
}

int pqb_settings_has_port(uint16_t port)
{
    uint16_t fresh[PQB_SETTINGS_PORTS] = {0};
    const uint16_t *known = settings.port;
    if (!atomic_load(&are_read)) {
        const char *text = variable("PQBUDGET_PORTS");
        if (!text || !read_ports(text, fresh)) {
            memset(fresh, 0, sizeof fresh);
            fresh[0] = PQB_SETTINGS_PORT;
        }
        known = fresh;
    }
    for (unsigned i = 0; i < PQB_SETTINGS_PORTS && known[i]; i++)
        if (known[i] == port)
            return 1;
    return 0;
}

const struct pqb_settings *pqb_settings(void)
{
    struct complaints bad = {0};
    struct pqb_process_hold hold;
    if (atomic_load(&are_read) || !pqb_state_lock(&hold))
        return &settings;
    if (!atomic_load(&are_read)) {
        read_all(&bad);
        atomic_store(&are_read, 1);
    }
    pqb_state_unlock(&hold);
    for (unsigned i = 0; i < bad.count; i++)
        pqb_log(PQB_LOG_WARN, "%s=%.64s makes no sense (it wants %s): using %s",
                bad.complaint[i].name, bad.complaint[i].value, bad.complaint[i].expected,
                bad.complaint[i].instead);
    return &settings;
}
