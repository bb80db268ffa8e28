#include "preload/order.h"

#include "conninfo/buffer.h"
#include "conninfo/clean.h"
#include "conninfo/foreign.h"
#include "conninfo/merge.h"
#include "ledger/wait.h"
#include "preload/budget.h"
#include "preload/log.h"
#include "preload/memory.h"
#include "preload/protocol.h"
#include "preload/service.h"
#include "preload/settings.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define KEYWORDS 128

/* The keywords of one libpq, and what the program said. */
struct saying {
    struct pqb_libpq *pq;
    struct pqb_keyword list[KEYWORDS];
    struct pqb_keywords known;
    unsigned flags;
    struct pqb_params params;
    struct pqb_wishes wishes;
};

/* ---- what libpq knows ---- */

/* What `NAME=value` says, if that is the name. */
static const char *value_in(const char *variable, const char *name)
{
    size_t length = strlen(name);
    return !strncmp(variable, name, length) && variable[length] == '=' ? variable + length + 1
                                                                       : NULL;
}

/* The environment is walked once, and few of it begins like libpq's variables. */
static void read_environment(struct saying *saying, const struct _PQconninfoOption *options)
{
    const char *requires_ssl = NULL;
    for (char *const *at = environ; at && *at; at++) {
        if (strncmp(*at, "PG", 2) != 0)
            continue;
        if (!requires_ssl)
            requires_ssl = value_in(*at, "PGREQUIRESSL");
        for (size_t i = 0; i < saying->known.count; i++)
            if (options[i].envvar && !saying->list[i].environment)
                saying->list[i].environment = value_in(*at, options[i].envvar);
    }
    for (size_t i = 0; i < saying->known.count && requires_ssl && *requires_ssl == '1'; i++)
        if (!saying->list[i].environment && !strcmp(saying->list[i].keyword, "sslmode"))
            saying->list[i].environment = "require";
}

static int open_saying(struct saying *saying, struct pqb_libpq *pq)
{
    const struct _PQconninfoOption *options = pqb_libpq_options(pq);
    *saying = (struct saying){.pq = pq, .known = {saying->list, 0}, .wishes = PQB_WISHES_NONE};
    if (pqb_foreign_is_own_program(program_invocation_short_name))
        saying->flags = PQB_CLEAN_OWN_PROGRAM;
    for (; options && options[saying->known.count].keyword; saying->known.count++) {
        if (saying->known.count == KEYWORDS)
            return 0;
        saying->list[saying->known.count].keyword = options[saying->known.count].keyword;
    }
    read_environment(saying, options);
    return options != NULL;
}

static void close_saying(struct saying *saying)
{
    pqb_params_clear(&saying->params);
    pqb_wishes_clear(&saying->wishes);
}

/* ---- what programs say ---- */

/* Puts what libpq makes of a string over what is there. */
static int parse(struct pqb_libpq *pq, const char *conninfo, struct pqb_params *params)
{
    char *message = NULL;
    struct _PQconninfoOption *options = pq->PQconninfoParse(conninfo, &message);
    int good = options != NULL;
    if (message)
        pq->PQfreemem(message);
    for (struct _PQconninfoOption *option = options; good && option->keyword; option++)
        if (option->val)
            good = !pqb_params_set(params, option->keyword, option->val);
    if (options)
        pq->PQconninfoFree(options);
    return good;
}

static int say_string(struct saying *saying, const char *conninfo)
{
    struct pqb_wishes wishes;
    char *clean;
    if (!conninfo || pqb_clean_text(conninfo, &saying->known, saying->flags, &clean, &wishes))
        return 0;
    int good = parse(saying->pq, clean ? clean : conninfo, &saying->params) &&
               !pqb_wishes_join(&saying->wishes, &wishes);
    pqb_buffer_free(clean);
    pqb_wishes_clear(&wishes);
    return good;
}

static int say(struct saying *saying, const char *keyword, const char *value)
{
    return !value || !*value || !pqb_params_set(&saying->params, keyword, value);
}

/* Foreign parameters may stand in arrays too; what libpq would refuse there is its to refuse. */
static int finish_arrays(struct saying *saying)
{
    struct pqb_wishes wishes;
    if (pqb_clean_params(&saying->params, &saying->known, saying->flags, &wishes))
        return 0;
    int good = !pqb_wishes_join(&saying->wishes, &wishes);
    pqb_wishes_clear(&wishes);
    for (size_t i = 0; good && i < saying->params.count; i++)
        good = pqb_keywords_find(&saying->known, saying->params.list[i].keyword) != NULL;
    return good;
}

static int say_arrays(struct saying *saying, const char *const *keywords, const char *const *values,
                      int expand_dbname)
{
    int good = keywords && values;
    for (unsigned i = 0; good && keywords[i]; i++) {
        /* The first dbname alone is looked at, also if it is nothing. */
        int is_dbname = expand_dbname && !strcmp(keywords[i], "dbname") && values[i];
        if (is_dbname && pqb_clean_is_conninfo(values[i]))
            good = say_string(saying, values[i]);
        else
            good = say(saying, keywords[i], values[i]);
        if (is_dbname)
            expand_dbname = 0;
    }
    return good && finish_arrays(saying);
}

/* ---- what libpq is given ---- */

/* One of the environment's strings, which the program's own libpq must understand. */
static int read_own(struct saying *saying, const char *name, const char *conninfo,
                    _Atomic int *has_warned, struct pqb_params *params, struct pqb_wishes *wishes)
{
    char *clean = NULL;
    *wishes = PQB_WISHES_NONE;
    if (!conninfo)
        return 1;
    /* What PGOPTIONS say is the program's. */
    struct pqb_keyword list[KEYWORDS];
    struct pqb_keywords known = {list, saying->known.count};
    for (size_t i = 0; i < known.count; i++)
        list[i] = (struct pqb_keyword){saying->list[i].keyword, NULL};
    if (pqb_clean_text(conninfo, &known, saying->flags | PQB_CLEAN_INLINE, &clean, wishes))
        return 0;
    int good = parse(saying->pq, clean ? clean : conninfo, params);
    pqb_buffer_free(clean);
    if (!good) {
        pqb_params_clear(params);
        pqb_wishes_clear(wishes);
        if (!atomic_exchange(has_warned, 1))
            pqb_log(PQB_LOG_WARN,
                    "%s makes no sense to libpq (it wants a connection string): using none", name);
    }
    return 1;
}

static void order_claim(struct pqb_order *order, const struct pqb_merge *merge,
                        const struct pqb_params *result, const struct pqb_wishes *wishes)
{
    if (pqb_protocol_is_replication(pqb_params_get(result, "replication")) ||
        pqb_merge_key(merge, result, order->server, sizeof order->server))
        *order->server = 0;
    order->is_pooled = merge->pooler >= 0 ? merge->pooler : pqb_server_is_pooler(order->server);
    order->cap = wishes->cap;
    if (wishes->wait_ms != PQB_WISH_UNSAID)
        order->wait = wishes->wait_ms == PQB_WISH_FOREVER ? PQB_WAIT_FOREVER : wishes->wait_ms;
}

/* The wishes of all three, the later ones stronger. */
static int join_wishes(struct pqb_wishes *all, const struct pqb_wishes *defaults,
                       const struct pqb_wishes *program, const struct pqb_wishes *forced)
{
    return !pqb_wishes_join(all, defaults) && !pqb_wishes_join(all, program) &&
           !pqb_wishes_join(all, forced);
}

static int make(struct saying *saying, struct pqb_order *order)
{
    static _Atomic int has_warned_defaults, has_warned_force;
    const struct pqb_settings *settings = pqb_settings();
    struct pqb_params defaults = {NULL, 0, 0}, forced = {NULL, 0, 0}, service = {NULL, 0, 0},
                      result;
    struct pqb_wishes of_defaults = PQB_WISHES_NONE, of_forced = PQB_WISHES_NONE,
                      wishes = PQB_WISHES_NONE;
    char port[12];
    int good = 0;
    pqb_memory_recall(&saying->params, &saying->wishes);
    if (!read_own(saying, "PQBUDGET_DEFAULTS", settings->defaults, &has_warned_defaults, &defaults,
                  &of_defaults) ||
        !read_own(saying, "PQBUDGET_FORCE", settings->forced, &has_warned_force, &forced,
                  &of_forced) ||
        !join_wishes(&wishes, &of_defaults, &saying->wishes, &of_forced))
        goto out;
    snprintf(port, sizeof port, "%u", pqb_libpq_port(saying->pq));
    struct pqb_merge merge = {.known = &saying->known,
                              .program = &saying->params,
                              .service = &service,
                              .defaults = &defaults,
                              .force = &forced,
                              .settings = wishes.settings,
                              .pooler = wishes.pooler,
                              .default_port = port,
                              .naming = settings->naming,
                              .label = pqb_budget_label(),
                              .pid = (long)getpid()};
    const char *name = pqb_merge_service(&merge);
    merge.service_is_hidden = name && !pqb_service_find(name, &saying->known, &service);
    if (pqb_merge_params(&merge, &result))
        goto out;
    order->conninfo = pqb_params_print(&result);
    order_claim(order, &merge, &result, &wishes);
    pqb_params_clear(&result);
    good = order->conninfo != NULL;
out:
    pqb_params_clear(&defaults);
    pqb_params_clear(&forced);
    pqb_params_clear(&service);
    pqb_wishes_clear(&of_defaults);
    pqb_wishes_clear(&of_forced);
    pqb_wishes_clear(&wishes);
    return good;
}

static void begin(struct pqb_order *order)
{
    *order = (struct pqb_order){.wait = PQB_WAIT_SERVER};
}

int pqb_order_of_string(struct pqb_libpq *pq, const char *conninfo, struct pqb_order *order)
{
    struct saying saying;
    begin(order);
    int good = open_saying(&saying, pq) && say_string(&saying, conninfo) && make(&saying, order);
    close_saying(&saying);
    return good;
}

int pqb_order_of_arrays(struct pqb_libpq *pq, const char *const *keywords,
                        const char *const *values, int expand_dbname, struct pqb_order *order)
{
    struct saying saying;
    begin(order);
    int good = open_saying(&saying, pq) && say_arrays(&saying, keywords, values, expand_dbname) &&
               make(&saying, order);
    close_saying(&saying);
    return good;
}

int pqb_order_of_login(struct pqb_libpq *pq, const char *host, const char *port,
                       const char *options, const char *dbname, const char *login,
                       const char *password, struct pqb_order *order)
{
    struct saying saying;
    begin(order);
    int good = open_saying(&saying, pq) &&
               (dbname && pqb_clean_is_conninfo(dbname) ? say_string(&saying, dbname)
                                                        : say(&saying, "dbname", dbname)) &&
               say(&saying, "host", host) && say(&saying, "port", port) &&
               say(&saying, "options", options) && say(&saying, "user", login) &&
               say(&saying, "password", password) && make(&saying, order);
    close_saying(&saying);
    return good;
}

void pqb_order_forget(char *conninfo)
{
    pqb_buffer_free(conninfo);
}

void pqb_order_clear(struct pqb_order *order)
{
    pqb_order_forget(order->conninfo);
    begin(order);
}

/* ---- those that only look ---- */

static int is_pooler(const struct saying *saying, const struct pqb_params *params)
{
    struct pqb_merge merge = {.known = &saying->known, .program = params};
    char key[PQB_SERVER_KEY_SIZE];
    return saying->wishes.pooler < 0 && !pqb_merge_key(&merge, params, key, sizeof key) &&
           pqb_server_is_pooler(key);
}

static char *clean(struct saying *saying, const char *conninfo)
{
    struct pqb_params params = {NULL, 0, 0};
    char *text = NULL;
    for (unsigned flags = saying->flags | PQB_CLEAN_INLINE; !text; flags |= PQB_CLEAN_POOLER) {
        pqb_wishes_clear(&saying->wishes);
        if (pqb_clean_text(conninfo, &saying->known, flags, &text, &saying->wishes) || !text)
            break;
        int good = parse(saying->pq, text, &params);
        int is_late = good && !(flags & PQB_CLEAN_POOLER) && is_pooler(saying, &params);
        if (good && !is_late)
            pqb_memory_keep(&params, &saying->wishes);
        pqb_params_clear(&params);
        if (good && !is_late)
            break;
        pqb_order_forget(text);
        text = NULL;
        if (!good)
            break;
    }
    return text;
}

char *pqb_order_clean(struct pqb_libpq *pq, const char *conninfo)
{
    struct saying saying;
    char *text = NULL;
    if (!conninfo)
        return NULL;
    if (open_saying(&saying, pq))
        text = clean(&saying, conninfo);
    close_saying(&saying);
    return text;
}
