/* One call of the tool: which verb, with which arguments, about which ledger. */
#ifndef PQB_TOOL_CALL_H
#define PQB_TOOL_CALL_H

#include "ledger/region.h"
#include "tool/report.h"

#include <getopt.h>

struct pqb_call;

struct pqb_verb {
    const char *name;
    const char *arguments;
    const char *summary; /* for the list of verbs */
    const char *help;    /* lines that explain the options */
    int takes_conninfo;  /* may be given one argument that is no option */
    enum pqb_exit (*run)(struct pqb_call *call);
};

struct pqb_call {
    const struct pqb_verb *verb;
    const char *ledger; /* as --ledger says; NULL = as the environment says */
    int argc;
    char **argv;          /* from the verb on */
    const char *conninfo; /* NULL = none was given */
    enum pqb_exit end;    /* what to exit with when pqb_call_option returned PQB_CALL_END */
    int ignored_pipe;     /* the caller ignores SIGPIPE, and so does what is run for him */
};

enum { PQB_CALL_DONE = -1, PQB_CALL_END = -2 };

/* What every verb understands beside its own. */
#define PQB_CALL_OPTIONS                                                                           \
    {"ledger", required_argument, NULL, 'L'}, {"help", no_argument, NULL, 'h'},                    \
    {                                                                                              \
        0                                                                                          \
    }

/* The next of the verb's options, its value in `optarg`. PQB_CALL_DONE when there is none left and
 * nothing else either; PQB_CALL_END if the call is over: wrong usage was reported, or help given.
 */
int pqb_call_option(struct pqb_call *call, const char *shorts, const struct option *longs);

/* Wrong usage of a verb: reports it, with a word on where help is. */
enum pqb_exit pqb_call_misused(const struct pqb_call *call, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Sets *name if it can be one. Reports what is wrong. */
enum pqb_exit pqb_call_name_ledger(const char **name, const char *value);

void pqb_call_help(const struct pqb_verb *verb);

/* The path of the ledger; reports what is wrong. */
enum pqb_exit pqb_call_path(const struct pqb_call *call, char path[PQB_REGION_PATH]);

/* Opens the ledger; reports what is wrong. */
enum pqb_exit pqb_call_open(const struct pqb_call *call, int create, struct pqb_region **region);

#endif
