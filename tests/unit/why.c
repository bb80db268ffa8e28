/* why.c: the reason why a process's connection is not in the ledger. */
#include "tool/why.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

TestSuite(why, .timeout = 60);

static char path[64];
static struct pqb_why_place place = {.ledger = path, .made_ago_ms = 5000, .port = 5433};
static char environment[256];

/* Under the preload, and nothing wrong with it. */
static struct pqb_program fine(void)
{
    snprintf(path, sizeof path, "/dev/shm/pqbudget.%u.default", geteuid());
    memset(environment, 0, sizeof environment);
    snprintf(environment, sizeof environment, "PQBUDGET_PORTS=5432,5433");
    return (struct pqb_program){
        .pid = 1,
        .uid = geteuid(),
        .is_there = 1,
        .is_seen = 1,
        .has_preload = 1,
        .shares_memory = 1,
        .binary = {.is_known = 1},
        .name = "node",
        .environment = environment,
        .environment_length = sizeof environment,
    };
}

#define IS(why, ...)                                                                               \
    do {                                                                                           \
        struct pqb_program program = fine();                                                       \
        __VA_ARGS__;                                                                               \
        enum pqb_why got_ = pqb_why_of(&program, &place, 1000);                                    \
        cr_expect_eq(got_, (why), "line %d: %s", __LINE__, pqb_why_words(got_)->id);               \
    } while (0)
#define SET(text) snprintf(environment, sizeof environment, "%s", (text))

Test(why, under_the_preload)
{
    IS(PQB_WHY_PAST, );
    IS(PQB_WHY_GO, program.binary.is_go = 1);
    IS(PQB_WHY_REPLACED, program.is_replaced = 1);
    IS(PQB_WHY_CONTAINER, program.shares_memory = 0);
    IS(PQB_WHY_LEDGER, program.uid = geteuid() + 1);
    IS(PQB_WHY_PORT, SET(""));
    IS(PQB_WHY_PORT, SET("PQBUDGET_PORTS=54330, 543"));
    IS(PQB_WHY_PAST, SET("PQBUDGET_PORTS=1, 5433 ,2"));
    IS(PQB_WHY_PAST, (SET(""), program.has_libpq = 1));
    IS(PQB_WHY_DOOR, SET("PQBUDGET_DOORS=libpq"));
    IS(PQB_WHY_PAST, (SET("PQBUDGET_DOORS=libpq"), program.has_libpq = 1));
    IS(PQB_WHY_PORT, SET("PQBUDGET_DOORS=libpq, Socket"));
    IS(PQB_WHY_LEDGER, SET("PQBUDGET_LEDGER=other"));
    IS(PQB_WHY_LEDGER, SET("PQBUDGET_LEDGER=/dev/shm/other"));
    IS(PQB_WHY_LEDGER, SET("PQBUDGET_LEDGER=a/b"));
    IS(PQB_WHY_PORT, SET("PQBUDGET_LEDGER=default"));
    IS(PQB_WHY_PORT, (snprintf(environment, sizeof environment, "PQBUDGET_LEDGER=%s", path)));
    IS(PQB_WHY_OFF, SET("PQBUDGET=Off"));
    IS(PQB_WHY_PORT, SET("PQBUDGET=on"));
}

Test(why, earlier_than_the_ledger)
{
    struct pqb_program program = fine();
    cr_expect_eq(pqb_why_of(&program, &place, 5001), PQB_WHY_EARLIER);
    cr_expect_eq(pqb_why_of(&program, &place, -1), PQB_WHY_PAST);
}

Test(why, without_the_preload)
{
    IS(PQB_WHY_NOT_PRELOADED, program.has_preload = 0);
    IS(PQB_WHY_STATIC, (program.has_preload = 0, program.binary.is_static = 1));
    IS(PQB_WHY_SETUID, (program.has_preload = 0, program.is_secure = 1));
    IS(PQB_WHY_WORD_SIZE, (program.has_preload = 0, program.binary.is_other_size = 1));
    IS(PQB_WHY_NO_LIBRARY,
       (program.has_preload = 0, SET("LD_PRELOAD=/lib/other.so:/nowhere/libpqbudget.so")));
    IS(PQB_WHY_NOT_LOADED, (program.has_preload = 0, SET("LD_PRELOAD=a.so libpqbudget.so")));
    IS(PQB_WHY_NOT_PRELOADED, (program.has_preload = 0, SET("LD_PRELOAD=/lib/other.so")));
}

Test(why, whoever_it_is)
{
    IS(PQB_WHY_FORWARDER, snprintf(program.name, sizeof program.name, "pgbouncer"));
    IS(PQB_WHY_FORWARDER, snprintf(program.name, sizeof program.name, "cloud-sql-proxy"));
    IS(PQB_WHY_PAST, snprintf(program.name, sizeof program.name, "pgbouncer2"));
    IS(PQB_WHY_UNSEEN, program.is_there = 0);
    IS(PQB_WHY_OTHER_USER, (program.is_seen = 0, program.uid = geteuid() + 1));
    IS(PQB_WHY_SETUID, program.is_seen = 0);
    IS(PQB_WHY_TOOL, program.pid = getpid()); /* the same file as this program's */
}

Test(why, every_reason_has_its_words)
{
    for (unsigned why = 0; why < PQB_WHYS; why++) {
        const struct pqb_why_words *words = pqb_why_words((enum pqb_why)why);
        cr_expect(*words->id && *pqb_kind_name(words->kind));
        cr_expect_eq(words->text == NULL, words->remedy == NULL);
        for (unsigned other = 0; other < why; other++)
            cr_expect_str_neq(words->id, pqb_why_words((enum pqb_why)other)->id);
    }
}
