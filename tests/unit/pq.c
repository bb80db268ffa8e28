/* preload/pq.h against libpq-fe.h: what the preload believes of libpq, nearly all of it at compile
 * time. */
#include <libpq-fe.h>

/* The option's structure is declared by both: ours has another name while it is, and libpq's is
 * meant where the functions are named below. */
#define _PQconninfoOption option_of_ours
#include "preload/pq.h"
#undef _PQconninfoOption

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

TestSuite(pq, .timeout = 20);

#define SAME_FIELD(name)                                                                           \
    _Static_assert(                                                                                \
        offsetof(struct option_of_ours, name) == offsetof(PQconninfoOption, name) &&               \
            __builtin_types_compatible_p(__typeof__(((struct option_of_ours *)0)->name),           \
                                         __typeof__(((PQconninfoOption *)0)->name)),               \
        #name " is elsewhere, or another thing")
SAME_FIELD(keyword);
SAME_FIELD(envvar);
SAME_FIELD(compiled);
SAME_FIELD(val);
SAME_FIELD(label);
SAME_FIELD(dispchar);
SAME_FIELD(dispsize);
_Static_assert(sizeof(struct option_of_ours) == sizeof(PQconninfoOption), "libpq has more fields");

_Static_assert(PQB_PQ_CONNECTION_OK == CONNECTION_OK, "CONNECTION_OK");
_Static_assert(PQB_PQ_CONNECTION_BAD == CONNECTION_BAD, "CONNECTION_BAD");
_Static_assert(PQB_PQ_POLLING_FAILED == PGRES_POLLING_FAILED, "PGRES_POLLING_FAILED");
_Static_assert(PQB_PQ_POLLING_OK == PGRES_POLLING_OK, "PGRES_POLLING_OK");

#ifndef LIBPQ_HAS_ASYNC_CANCEL
/* As libpq 17 declares them. */
int PQcancelBlocking(struct pg_cancel_conn *conn);
int PQcancelStart(struct pg_cancel_conn *conn);
PostgresPollingStatusType PQcancelPoll(struct pg_cancel_conn *conn);
void PQcancelReset(struct pg_cancel_conn *conn);
#endif

/* The parameters are exactly libpq's, and so is the result, or it is an int for an enum. */
#define SAME_FUNCTION(result, name, parameters, arguments)                                         \
    static inline __attribute__((unused)) void compare_##name parameters                           \
    {                                                                                              \
        typedef __typeof__(name arguments) theirs;                                                 \
        _Static_assert(__builtin_types_compatible_p(__typeof__(&name), theirs(*) parameters),      \
                       #name " has other parameters");                                             \
        _Static_assert(__builtin_types_compatible_p(theirs, result) ||                             \
                           (__builtin_types_compatible_p(result, int) &&                           \
                            __builtin_types_compatible_p(theirs, unsigned)),                       \
                       #name " has another result");                                               \
    }
PQB_PQ_HOOKED(SAME_FUNCTION)
PQB_PQ_ASKED(SAME_FUNCTION)
PQB_PQ_OPTIONAL(SAME_FUNCTION)

#define NAME(result, name, parameters, arguments) #name,
static const char *const hooked[] = {PQB_PQ_HOOKED(NAME)};
static const char *const asked[] = {PQB_PQ_ASKED(NAME) PQB_PQ_OPTIONAL(NAME)};

Test(pq, every_name_once)
{
    cr_assert_eq(sizeof hooked / sizeof *hooked, PQB_PQ_HOOKS);
    for (unsigned i = 0; i < PQB_PQ_HOOKS; i++) {
        for (unsigned k = i + 1; k < PQB_PQ_HOOKS; k++)
            cr_assert_str_neq(hooked[i], hooked[k]);
        for (unsigned k = 0; k < sizeof asked / sizeof *asked; k++)
            cr_assert_str_neq(hooked[i], asked[k]);
        cr_assert_eq(strncmp(hooked[i], "PQ", 2), 0, "dlsym's hook would not see %s", hooked[i]);
    }
}

/* A hook that is not exported is none. */
Test(pq, every_hook_is_exported_and_nothing_else_of_libpq)
{
    FILE *map = fopen("shim/preload/exports.map", "r");
    char line[256], name[256];
    unsigned found = 0, exported = 0;
    cr_assert_not_null(map);
    while (fgets(line, sizeof line, map))
        if (sscanf(line, " %255[A-Za-z0-9_];", name) == 1 && !strncmp(name, "PQ", 2)) {
            exported++;
            for (unsigned i = 0; i < PQB_PQ_HOOKS; i++)
                found += !strcmp(hooked[i], name);
        }
    fclose(map);
    cr_assert_eq(found, PQB_PQ_HOOKS);
    cr_assert_eq(exported, PQB_PQ_HOOKS);
}
