#include "tool/call.h"

#include "conninfo/clean.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum pqb_exit pqb_call_misused(const struct pqb_call *call, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return pqb_report(PQB_EXIT_USAGE, "%s: %s; see \"pqbudget help %s\"", call->verb->name, text,
                      call->verb->name);
}

void pqb_call_help(const struct pqb_verb *verb)
{
    printf("usage: pqbudget %s%s%s\n\n%s.\n", verb->name, *verb->arguments ? " " : "",
           verb->arguments, verb->summary);
    if (*verb->help)
        printf("\n%s", verb->help);
    printf("\n  --ledger NAME      another ledger than $PQBUDGET_LEDGER, else \"default\"\n");
}

enum pqb_exit pqb_call_name_ledger(const char **name, const char *value)
{
    char path[PQB_REGION_PATH];
    struct pqb_error error = {{0}};
    if (!*value)
        return pqb_report(PQB_EXIT_USAGE, "--ledger wants a name or an absolute path");
    enum pqb_status status = pqb_region_path(value, path, &error);
    if (status)
        return pqb_report_ledger(status, &error);
    *name = value;
    return PQB_EXIT_DONE;
}

/* What getopt_long did not understand. */
static enum pqb_exit report_unknown(const struct pqb_call *call, const struct option *longs)
{
    const char *argument = call->argv[optind - 1];
    if (strncmp(argument, "--", 2) != 0 || !argument[2])
        return pqb_call_misused(call, isprint(optopt) ? "unknown option '-%c'" : "unknown option",
                                optopt);
    size_t length = strcspn(argument, "=");
    for (; longs->name; longs++)
        if (optopt == longs->val && argument[length] == '=')
            return pqb_call_misused(call, "'--%s' takes no value", longs->name);
    return pqb_call_misused(call, "unknown option '%.*s'", length > 80 ? 80 : (int)length,
                            argument);
}

/* What is left behind the options. */
static int take_arguments(struct pqb_call *call)
{
    if (optind < call->argc && call->verb->takes_conninfo)
        call->conninfo = call->argv[optind++];
    if (optind >= call->argc)
        return PQB_CALL_DONE;
    const char *argument = call->argv[optind];
    if (pqb_clean_is_conninfo(argument)) /* there may be a password in it */
        call->end = pqb_call_misused(call, "unexpected argument, a connection string");
    else
        call->end = pqb_call_misused(call, "unexpected argument '%.80s'", argument);
    return PQB_CALL_END;
}

static int take_common(struct pqb_call *call, int option, const struct option *longs)
{
    switch (option) {
    case 'L':
        call->end = pqb_call_name_ledger(&call->ledger, optarg);
        return call->end ? PQB_CALL_END : 0;
    case 'h':
        pqb_call_help(call->verb);
        call->end = PQB_EXIT_DONE;
        return PQB_CALL_END;
    case ':':
        call->end = pqb_call_misused(call, "'%.80s' needs a value", call->argv[optind - 1]);
        return PQB_CALL_END;
    case '?':
        call->end = report_unknown(call, longs);
        return PQB_CALL_END;
    case -1:
        return take_arguments(call);
    default:
        return option;
    }
}

int pqb_call_option(struct pqb_call *call, const char *shorts, const struct option *longs)
{
    int answer;
    opterr = 0;
    do
        answer = take_common(call, getopt_long(call->argc, call->argv, shorts, longs, NULL), longs);
    while (!answer);
    return answer;
}

enum pqb_exit pqb_call_path(const struct pqb_call *call, char path[PQB_REGION_PATH])
{
    struct pqb_error error = {{0}};
    const char *name = call->ledger ? call->ledger : getenv("PQBUDGET_LEDGER");
    enum pqb_status status = pqb_region_path(name, path, &error);
    return status ? pqb_report_ledger(status, &error) : PQB_EXIT_DONE;
}

enum pqb_exit pqb_call_open(const struct pqb_call *call, int create, struct pqb_region **region)
{
    char path[PQB_REGION_PATH];
    struct pqb_error error = {{0}};
    enum pqb_exit code = pqb_call_path(call, path);
    if (code)
        return code;
    enum pqb_status status = pqb_region_open(path, create, region, &error);
    return status ? pqb_report_ledger(status, &error) : PQB_EXIT_DONE;
}
