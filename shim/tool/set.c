/* pqbudget set: changes a server's configuration while it is in use. */
#include "conninfo/value.h"
#include "tool/server.h"
#include "tool/verbs.h"

#include <stdio.h>
#include <string.h>

static const struct option longs[] = {
    {"server", required_argument, NULL, 's'},
    {"limit", required_argument, NULL, 'l'},
    {"reserve", required_argument, NULL, 'r'},
    {"wait", required_argument, NULL, 'w'},
    {"logins", required_argument, NULL, 'g'},
    {"drain", required_argument, NULL, 'd'},
    {"slack", required_argument, NULL, 'k'},
    {"app", required_argument, NULL, 'a'},
    {"alias", required_argument, NULL, 'i'},
    {"new", no_argument, NULL, 'n'},
    PQB_CALL_OPTIONS,
};

struct change {
    struct pqb_steer steer;
    char label[PQB_STEER_MANY][PQB_LABEL_BYTES];
    int is_any;
};

static enum pqb_exit take_number(const struct pqb_call *call, const char *option, long long *value)
{
    if (pqb_value_number(optarg, strlen(optarg), value))
        return PQB_EXIT_DONE;
    return pqb_call_misused(call, "%s wants a number, not '%.80s'", option, optarg);
}

static enum pqb_exit take_limit(const struct pqb_call *call, long long *value)
{
    if (pqb_value_limit(optarg, strlen(optarg), value))
        return PQB_EXIT_DONE;
    return pqb_call_misused(call, "--limit wants a number or \"none\", not '%.80s'", optarg);
}

static enum pqb_exit take_time(const struct pqb_call *call, const char *option, int may_be_forever,
                               long long *ms)
{
    if (pqb_value_time(optarg, ms) && (may_be_forever || *ms != PQB_UNLIMITED))
        return PQB_EXIT_DONE;
    return pqb_call_misused(call, "%s wants a time (10, 10s, 500ms%s), not '%.80s'", option,
                            may_be_forever ? ", inf" : "", optarg);
}

/* NAME=LIMIT[:MIN]; the name may have a "=" of its own. */
static enum pqb_exit take_app(const struct pqb_call *call, struct change *change)
{
    const char *equals = strrchr(optarg, '=');
    if (change->steer.apps == PQB_STEER_MANY)
        return pqb_call_misused(call, "more than %d --app at once", PQB_STEER_MANY);
    char *label = change->label[change->steer.apps];
    struct pqb_steer_app *app = &change->steer.app[change->steer.apps++];
    long long limit = 0, min = 0;
    size_t digits = equals ? strcspn(equals + 1, ":") : 0;
    if (!equals || !pqb_value_limit(equals + 1, digits, &limit) ||
        (equals[1 + digits] &&
         !pqb_value_number(equals + digits + 2, strlen(equals + digits + 2), &min)))
        return pqb_call_misused(call, "--app wants NAME=LIMIT or NAME=LIMIT:MINIMUM, not '%.80s'",
                                optarg);
    size_t length = (size_t)(equals - optarg);
    if (!length || length >= PQB_LABEL_BYTES)
        return pqb_call_misused(call, "an application's name has 1 to %u bytes",
                                PQB_LABEL_BYTES - 1);
    memcpy(label, optarg, length);
    label[length] = 0;
    *app = (struct pqb_steer_app){.label = label, .limit = (uint32_t)limit, .min = (uint32_t)min};
    return PQB_EXIT_DONE;
}

static enum pqb_exit take_alias(const struct pqb_call *call, struct pqb_steer *steer)
{
    if (steer->aliases == PQB_STEER_MANY)
        return pqb_call_misused(call, "more than %d --alias at once", PQB_STEER_MANY);
    steer->alias[steer->aliases++] = optarg;
    return PQB_EXIT_DONE;
}

static enum pqb_exit take_option(const struct pqb_call *call, int option, struct change *change)
{
    struct pqb_steer *steer = &change->steer;
    if (option == 's') {
        steer->server = optarg;
        return PQB_EXIT_DONE;
    }
    change->is_any = 1;
    switch (option) {
    case 'l':
        return take_limit(call, &steer->limit);
    case 'r':
        return take_number(call, "--reserve", &steer->reserve);
    case 'w':
        return take_time(call, "--wait", 1, &steer->wait_ms);
    case 'g':
        return take_number(call, "--logins", &steer->logins);
    case 'd':
        return take_time(call, "--drain", 0, &steer->drain_ms);
    case 'k':
        return take_number(call, "--slack", &steer->slack);
    case 'a':
        return take_app(call, change);
    case 'i':
        return take_alias(call, steer);
    default:
        steer->make = 1;
        return PQB_EXIT_DONE;
    }
}

static enum pqb_exit run(struct pqb_call *call)
{
    enum pqb_exit code;
    struct change change = {.steer = pqb_steer_nothing};
    for (int option; (option = pqb_call_option(call, ":h", longs)) != PQB_CALL_DONE;) {
        if (option == PQB_CALL_END)
            return call->end;
        if ((code = take_option(call, option, &change)))
            return code;
    }
    if (!change.is_any)
        return pqb_call_misused(call, "nothing to change");
    return pqb_server_steer(call, &change.steer, 1);
}

const struct pqb_verb pqb_verb_set = {
    .name = "set",
    .arguments = "[--server KEY] [--limit N] [--reserve N] [--wait T]\n"
                 "                    [--logins N] [--drain T] [--slack N]\n"
                 "                    [--app NAME=LIMIT[:MIN]]... [--alias ADDR]... [--new]",
    .summary = "Change a server's budget while it is in use",
    .help = "  --server KEY       which server; not needed if the ledger has only one\n"
            "  --limit N          so many connections in all, or \"none\"\n"
            "  --reserve N        of these, kept for processes that have none\n"
            "  --wait T           how long to queue for one: 10, 10s, 500ms, 0, inf\n"
            "  --logins N         so many may be connecting at a time; 0 = any number\n"
            "  --drain T          how long a dead process's connection counts on, where the\n"
            "                     server's own process can't be seen\n"
            "  --slack N          so many that are closing block nobody\n"
            "  --app NAME=LIMIT[:MIN]\n"
            "                     an application's own limit, or \"none\", and how many\n"
            "                     are kept for it\n"
            "  --alias ADDR       another name of the same server; its claims move over\n"
            "  --new              add a server or application the ledger does not know yet\n",
    .run = run,
};
