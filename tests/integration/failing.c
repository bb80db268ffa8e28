/* A ledger that cannot be used: PQBUDGET_FAIL decides. */
#include "sockets.h"

#include "ledger/guard.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

GROUND(failing);

/* Connects twice under the environment: goes on uncounted, with one warning that names the cause.
 */
static void opens(const char *const *environment, const char *cause)
{
    struct guest *guest =
        guest_doors(environment, "connectdb", "host=127.0.0.1", "query", "select 1", "reset",
                    "start", "host=127.0.0.1", "poll", "finish", "finish");
    hear_start(guest, "ok ");
    hear(guest, "1");
    hear_start(guest, "ok ");
    hear_start(guest, "ok ");
    cr_assert_eq(guest_end(guest), 0);
    const char *words = guest_complaints(guest), *start = "pqbudget: warning: ";
    cr_assert(!strncmp(words, start, strlen(start)), "%s", words);
    cr_assert_not_null(strstr(words, cause), "%s", words);
    cr_assert_eq(strchr(words, '\n'), words + strlen(words) - 1, "more than a line: %s", words);
}

/* The same is refused, with a text that says why. */
static void closes(const char *const *environment, const char *cause)
{
    struct guest *guest = guest_doors(environment, "connectdb", "host=127.0.0.1", "reset", "start",
                                      "host=127.0.0.1", "poll", "finish", "finish");
    for (unsigned i = 0; i < 3; i++) {
        const char *line = guest_line(guest);
        const char *start = ground_text("bad %sFATAL:  ", ground_tcp_prefix());
        cr_assert(!strncmp(line, start, strlen(start)), "%s", line);
        cr_assert_not_null(strstr(line, cause), "%s", line);
    }
    cr_assert_eq(guest_end(guest), 0);
}

#define AT(path) ground_text("PQBUDGET_LEDGER=%s", path)

static void either(const char *const *environment, const char *cause)
{
    const char *given[8] = {environment[0], NULL};
    opens(given, cause);
    given[1] = "PQBUDGET_FAIL=open";
    opens(given, cause);
    given[1] = "PQBUDGET_FAIL=closed";
    closes(given, cause);
}

static void write_file(const char *path, const void *bytes, size_t count)
{
    int file = open(path, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0600);
    cr_assert_geq(file, 0);
    cr_assert_eq(write(file, bytes, count), (ssize_t)count);
    close(file);
}

Test(failing, a_file_that_is_no_ledger)
{
    static char garbage[sizeof(struct pqb_layout)];
    srand(1);
    for (size_t i = 0; i < sizeof garbage; i++)
        garbage[i] = (char)rand();
    write_file(ground_ledger_path(), garbage, sizeof garbage);
    either(WORDS(AT(ground_ledger_path())), "is not a ledger");
    write_file(ground_ledger_path(), "short\n", 6);
    either(WORDS(AT(ground_ledger_path())), ground_ledger_path());
    write_file(ground_ledger_path(), "", 0);
    either(WORDS(AT(ground_ledger_path())), ground_ledger_path());
}

Test(failing, a_ledger_full_of_chance)
{
    struct guest *guest = guest_doors(NOTHING, "connectdb", "", "finish");
    hear_start(guest, "ok ");
    content(guest);
    int file = open(ground_ledger_path(), O_WRONLY | O_CLOEXEC);
    cr_assert_geq(file, 0);
    for (size_t at = sizeof(struct pqb_identity); at < sizeof(struct pqb_layout); at += 4) {
        int chance = rand();
        cr_assert_eq(pwrite(file, &chance, 4, (off_t)at), 4);
    }
    close(file);
    /* It may be counted or refused, but the program must live. */
    guest = guest_doors(WORDS("PQBUDGET_WAIT=100ms"), "connectdb", "", "finish", "connectdb", "",
                        "finish", "say", "alive");
    const char *line;
    while (strcmp(line = guest_line(guest), "alive") != 0)
        cr_assert(!strncmp(line, "ok ", 3) || !strncmp(line, "bad ", 4), "%s", line);
    cr_assert_eq(guest_end(guest), 0);
}

Test(failing, a_directory)
{
    cr_assert_eq(mkdir(ground_ledger_path(), 0700), 0);
    either(WORDS(AT(ground_ledger_path())), ground_ledger_path());
    cr_assert_eq(rmdir(ground_ledger_path()), 0);
}

Test(failing, a_symbolic_link)
{
    cr_assert_eq(symlink("/dev/null", ground_ledger_path()), 0);
    either(WORDS(AT(ground_ledger_path())), ground_ledger_path());
}

Test(failing, a_folder_that_is_not_there)
{
    either(WORDS("PQBUDGET_LEDGER=/nonexistent/ledger"), "/nonexistent/ledger");
}

/* The ledger goes while a connection is held: what comes then is counted in a new one. */
Test(failing, a_ledger_that_was_removed)
{
    struct guest *guest = guest_doors(NOTHING, "connectdb", "", "pause", "connectdb", "", "pause",
                                      "finish", "finish", "pause");
    hear_start(guest, "ok ");
    hear(guest, "ready");
    cr_assert_eq(ground_used(), 1);
    struct pqb_error error;
    cr_assert_eq(pqb_region_remove(ground_ledger_path(), NULL, &error), PQB_OK);
    guest_go(guest);
    hear_start(guest, "ok ");
    hear(guest, "ready");
    cr_assert_eq(ground_used(), 1);
    guest_go(guest);
    hear(guest, "ready");
    all_given_back();
    content(guest);
}

Test(failing, a_ledger_that_was_truncated)
{
    struct guest *guest = guest_doors(NOTHING, "connectdb", "", "pause", "connectdb", "", "query",
                                      "select 1", "finish", "finish");
    hear_start(guest, "ok ");
    hear(guest, "ready");
    cr_assert_eq(truncate(ground_ledger_path(), 4096), 0);
    guest_go(guest);
    hear_start(guest, "ok ");
    hear(guest, "1");
    cr_assert_eq(guest_end(guest), 0);
    cr_assert_not_null(strstr(guest_complaints(guest), "pqbudget: warning: "));
    unlink(ground_ledger_path());
}

/* ---- who else may not use it ---- */

static void as_somebody_else(const char *fail, const char *heard, const char *cause)
{
    struct guest *guest =
        guest_start(WORDS(AT(ground_ledger_path()), fail), "/usr/bin/setpriv",
                    WORDS("--reuid=nobody", "--regid=nogroup", "--clear-groups",
                          ground_built("helpers/doors"), "connectdb", "host=127.0.0.1", "finish"));
    const char *line = guest_line(guest);
    cr_assert(!strncmp(line, heard, strlen(heard)), "%s %s", line, guest_complaints(guest));
    cr_assert_eq(guest_end(guest), 0);
    cr_assert(strstr(line, cause) || strstr(guest_complaints(guest), cause), "%s %s", line,
              guest_complaints(guest));
}

static int others_can_run_the_build(void)
{
    struct stat status;
    char path[4096];
    snprintf(path, sizeof path, "%s", ground_built("helpers/doors"));
    for (char *slash; *path && (slash = strrchr(path, '/'));) {
        if (stat(path, &status) || !(status.st_mode & S_IXOTH))
            return 0;
        *slash = 0;
    }
    return 1;
}

Test(failing, somebody_else_s_ledger)
{
    if (geteuid() || !others_can_run_the_build())
        cr_skip_test("only root can be somebody else, and he must be able to run it");
    ground_hold(NULL, 5, 1, "web");
    as_somebody_else("PQBUDGET_FAIL=open", "ok ", ground_ledger_path());
    as_somebody_else("PQBUDGET_FAIL=closed", "bad ", ground_ledger_path());
    cr_assert_eq(ground_claims(), 1);
}

Test(failing, a_file_system_that_is_full)
{
    const char *full = ground_built("helpers/plugins/full.so");
    const char *preload = ground_text("LD_PRELOAD=%s:%s", guest_preload(NULL), full);
    struct guest *guest = guest_doors(WORDS(preload), "connectdb", "", "finish");
    hear_start(guest, "ok ");
    cr_assert_eq(guest_end(guest), 0);
    cr_assert_not_null(strstr(guest_complaints(guest), ground_ledger_path()), "%s",
                       guest_complaints(guest));
    guest = guest_doors(WORDS(preload, "PQBUDGET_FAIL=closed"), "connectdb", "", "finish");
    hear_start(guest, ground_text("bad %sFATAL:  ", ground_tcp_prefix()));
    content(guest);
    cr_assert_not(ground_has_ledger());
}

/* ---- a ledger that is busy ---- */

static unsigned threads_of(pid_t pid)
{
    unsigned count = 0;
    DIR *tasks = opendir(ground_text("/proc/%d/task", (int)pid));
    for (struct dirent *entry; tasks && (entry = readdir(tasks));)
        count += *entry->d_name != '.';
    if (tasks)
        closedir(tasks);
    return count;
}

/* Whoever is inside the guard is stopped, or has no processor: a program that may not block goes on
 * without its claim, and its keeper asks again. */
static void waits_for_the_guard(const char *kind, struct guest *(*start)(void))
{
    struct pqb_error error;
    struct pqb_region *region;
    struct pqb_process_hold hold;
    int died;
    ground_hold(sockets_key(kind), 3, 1, "web");
    cr_assert_eq(pqb_region_open(ground_ledger_path(), 0, &region, &error), PQB_OK);
    cr_assert_eq(pqb_process_lock(&hold, pqb_now() + PQB_SECOND), PQB_OK);
    cr_assert_eq(pqb_guard_enter(region, pqb_now() + PQB_SECOND, &died), PQB_OK);
    struct guest *guest = start();
    int has_keeper = wait_until(threads_of(guest->pid) == 2);
    pqb_guard_leave(region);
    pqb_process_unlock(&hold);
    cr_assert(has_keeper);
    hear_start(guest, "ok");
    hear(guest, "ready");
    cr_assert_eq(ground_used(), 2);
    content(guest);
    pqb_region_unpin(region);
    ground_let_go();
}

static struct guest *start_tcp(void)
{
    return sockets_start(PATIENT, "socket tcp connect startup by write 1000 hear pause");
}

static struct guest *start_unix(void)
{
    return sockets_start(PATIENT, "socket unix nonblock connect startup by write 1000 hear pause");
}

static struct guest *start_libpq(void)
{
    return guest_doors(PATIENT, "start", "host=127.0.0.1", "poll", "pause", "finish");
}

Test(failing, a_busy_ledger_is_waited_for_at_the_side_door)
{
    waits_for_the_guard("tcp", start_tcp);
}

Test(failing, a_busy_ledger_is_waited_for_by_a_unix_socket)
{
    waits_for_the_guard("unix", start_unix);
}

Test(failing, a_busy_ledger_is_waited_for_by_libpq_without_blocking)
{
    waits_for_the_guard("tcp", start_libpq);
}
