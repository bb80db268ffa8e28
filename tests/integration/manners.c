/* What a guest must not do in somebody else's process. */
#include "ground.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

GROUND(manners);

/* The lines of a guest under the preload, and of the same one without it. */
static void same_as_without(struct guest *with, struct guest *without)
{
    char line[4096] = "";
    while (strcmp(line, "(silence)") != 0) {
        snprintf(line, sizeof line, "%s", guest_line(without));
        hear(with, line);
    }
    content(without);
    content(with);
}

Test(manners, errno_is_what_libpq_left)
{
    same_as_without(
        guest_doors(NOTHING, "errno", "host=127.0.0.1", "errno", "host=127.0.0.1"),
        guest_doors(WORDS("LD_PRELOAD"), "errno", "host=127.0.0.1", "errno", "host=127.0.0.1"));
}

#define BUSY                                                                                       \
    "habits", "connectdb", "host=127.0.0.1", "reset", "start", "host=127.0.0.1", "poll", "finish", \
        "threads", "4", "host=127.0.0.1", "habits?"

Test(manners, signals_limits_and_the_rest_stay_as_they_are)
{
    struct guest *guest = guest_doors(WORDS("PQBUDGET_LIMIT=3"), BUSY);
    hear_start(guest, "ok ");
    hear_start(guest, "ok ");
    hear_start(guest, "ok ");
    hear(guest, "good 4 bad 0");
    hear(guest, "habits kept");
    content(guest);
}

Test(manners, a_refusal_leaves_them_as_they_are)
{
    ground_hold(NULL, 1, 1, "web");
    struct guest *guest =
        guest_doors(WORDS("PQBUDGET_WAIT=50ms"), "habits", "connectdb", "host=127.0.0.1", "reset",
                    "start", "host=127.0.0.1", "poll", "habits?");
    for (unsigned i = 0; i < 3; i++)
        hear_start(guest, "bad ");
    hear(guest, "habits kept");
    content(guest);
}

/* The server ends the connection; whoever writes to it then would hear of a broken pipe. */
Test(manners, no_sigpipe)
{
    struct guest *guest = guest_doors(NOTHING, "hearpipes", "connectdb", "", "pause", "reset",
                                      "pause", "finish", "pipes?");
    for (unsigned i = 0; i < 2; i++) {
        hear_start(guest, "ok ");
        hear(guest, "ready");
        ground_ask("select pg_terminate_backend(%d, 10000)", ground_claim()->backend_pid);
        guest_go(guest);
    }
    hear(guest, "pipes 0");
    content(guest);
}

/* A warning into a pipe that nobody reads. */
Test(manners, no_sigpipe_from_a_warning)
{
    struct guest *guest =
        guest_start(WORDS("PQBUDGET_LIMIT=nonsense"), "/bin/sh",
                    WORDS("-c", "exec \"$0\" hearpipes connectdb '' 'pipes?' 2>&- 2>/dev/full",
                          ground_built("helpers/doors")));
    hear_start(guest, "ok ");
    hear(guest, "pipes 0");
    cr_assert_eq(guest_end(guest), 0);
}

/* Nothing on stdout, whatever it has to say. */
Test(manners, silent_on_stdout)
{
    ground_hold(NULL, 1, 1, "web");
    struct guest *guest =
        guest_doors(WORDS("PQBUDGET_LOG=debug", "PQBUDGET_WAIT=0", "PQBUDGET_LIMIT=nonsense"),
                    "connectdb", "host=127.0.0.1", "say", "end");
    hear_start(guest, "bad ");
    hear(guest, "end");
    hear(guest, "(silence)");
    cr_assert_eq(guest_end(guest), 0);
    cr_assert_str_neq(guest_complaints(guest), "");
}

Test(manners, a_program_that_never_connects_makes_no_ledger)
{
    struct guest *guest =
        guest_doors(WORDS("PQBUDGET_LIMIT=nonsense", "PQBUDGET_LOG=debug"), "maps", "libpqbudget",
                    "maps", "pqbudget.", "nulls", "descriptors");
    struct guest *bare = guest_doors(WORDS("LD_PRELOAD"), "nulls", "descriptors");
    char mapped[64], line[4096] = "";
    snprintf(mapped, sizeof mapped, "%s", guest_line(guest));
    cr_assert_gt(atoi(mapped), 0);
    hear(guest, mapped); /* the library is all that has this name */
    while (strcmp(line, "(silence)") != 0) {
        snprintf(line, sizeof line, "%s", guest_line(bare));
        hear(guest, line);
    }
    content(guest);
    cr_assert_not(ground_has_ledger());
}

/* Every file that is opened, as the kernel sees it; the one that is more is the library itself. */
static unsigned opened(const char *environment, const char *trace)
{
    char command[4096], line[4096];
    unsigned count = 0;
    snprintf(
        command, sizeof command,
        "strace -f -qq -e trace=openat,open,creat,memfd_create,socket,mmap,clone,clone3 -o '%s' "
        "env '%s' \"$0\" nulls say end",
        trace, environment);
    struct guest *guest = guest_start(WORDS("LD_PRELOAD"), "/bin/sh",
                                      WORDS("-c", command, ground_built("helpers/doors")));
    while (strcmp(guest_line(guest), "(silence)") != 0)
        ;
    content(guest);
    FILE *file = fopen(trace, "r");
    cr_assert_not_null(file);
    while (fgets(line, sizeof line, file))
        if (strstr(line, "open") || strstr(line, "socket(") || strstr(line, "memfd_create") ||
            strstr(line, "clone")) {
            count += !strstr(line, "ENOENT") && !strstr(line, ".profraw");
            cr_assert_null(strstr(line, "/dev/shm"), "%s", line);
        }
    fclose(file);
    unlink(trace);
    return count;
}

Test(manners, a_program_that_never_connects_opens_nothing)
{
    const char *trace = ground_text("/tmp/%s.trace", ground_ledger_name());
    if (ground_has_sanitizer())
        cr_skip_test("a sanitizer opens files of its own");
    unsigned with = opened(ground_text("LD_PRELOAD=%s", guest_preload(NULL)), trace);
    unsigned without = opened("_=", trace);
    cr_assert_gt(without, 3);
    /* `env` is loaded with it as well. */
    cr_assert_eq(with, without + 1, "%u instead of %u", with, without + 1);
}

/* Under memcheck: connecting, being refused, resetting, finishing. */
Test(manners, clean_under_valgrind)
{
    if (ground_has_sanitizer())
        cr_skip_test("a sanitizer and valgrind do not go together");
    const char *preload = ground_text("LD_PRELOAD=%s", guest_preload(NULL));
    struct guest *guest = guest_start(
        WORDS("LD_PRELOAD", "PQBUDGET_PER_PROCESS=1", "PQBUDGET_WAIT=0"), "/usr/bin/valgrind",
        WORDS("--quiet", "--trace-children=yes", "--error-exitcode=9", "--leak-check=full",
              "--errors-for-leak-kinds=definite,possible", "--show-leak-kinds=definite,possible",
              "env", preload, ground_built("helpers/doors"), "connectdb", "host=127.0.0.1",
              "connectdb", "host=127.0.0.1", "reset", "finish", "reset", "finish", "start",
              "host=127.0.0.1", "poll", "resetstart", "resetpoll", "finish", "params", "1",
              "dbname=host=127.0.0.1", ".", "finish", "setdb", "127.0.0.1", "-", "-", "nosuch", "-",
              "-", "finish", "ping", "", "parse", "host=h", "nulls"));
    static const char *const heard[] = {"ok ", "bad ", "bad ", "ok ",    "ok ",   "started 1",
                                        "ok ", "ok ",  "bad ", "ping 0", "host=h"};
    for (unsigned i = 0; i < sizeof heard / sizeof *heard; i++)
        hear_start(guest, heard[i]);
    while (strcmp(guest_line(guest), "(silence)") != 0)
        ;
    int status = guest_end(guest);
    cr_assert_eq(status, 0, "%d %s", status, guest_complaints(guest));
    all_given_back();
}
