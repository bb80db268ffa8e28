/* program.c, binary.c: what /proc says of a process, and what kind of program a file is. */
#include "tool/program.h"

#include "support/support.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

TestSuite(program, .timeout = 120);

static struct pqb_program program;

/* Is it asleep, so that its libraries are loaded? */
static int sleeps(pid_t pid)
{
    char path[64], name[32] = "", state = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "r");
    if (!file)
        return 0;
    int got = fscanf(file, "%*d (%31[^)]) %c", name, &state);
    fclose(file);
    return got == 2 && !strcmp(name, "sleep") && state == 'S';
}

static pid_t start(char *const *arguments, char *const *environment)
{
    pid_t child = support_fork();
    if (!child) {
        execve(*arguments, arguments, environment);
        _exit(127);
    }
    cr_assert(wait_until(sleeps(child)));
    pqb_program_look(child, &program);
    return child;
}

Test(program, is_told_by_proc)
{
    char longest[4000], *environment[] = {"PQBUDGET=off", "EMPTY=", "X=PQBUDGET_LEDGER=no", NULL};
    memset(longest, '0', sizeof longest - 1);
    longest[0] = '1';
    longest[sizeof longest - 1] = 0;
    char *arguments[] = {"/bin/sleep", longest, NULL};
    pid_t child = start(arguments, environment);
    cr_expect_eq(program.pid, child);
    cr_expect_eq(program.uid, getuid());
    cr_expect_eq(strlen(program.command), sizeof program.command - 1);
    cr_expect_eq(strncmp(program.command, "/bin/sleep 1000", 15), 0);
    cr_expect_str_eq(pqb_program_variable(&program, "PQBUDGET"), "off");
    cr_expect_null(pqb_program_variable(&program, "EMPTY"));
    cr_expect_null(pqb_program_variable(&program, "PQBUDGET_LEDGER"));
    cr_expect_not(program.has_preload || program.is_secure || program.binary.is_static);
    cr_expect(program.shares_memory && program.binary.is_known);
    pqb_program_free(&program);
    support_kill(child);
}

Test(program, is_under_the_preload)
{
    char preload[4200], copy[] = "/tmp/pqbudget-test.XXXXXX", library[64], line[4400];
    char *arguments[] = {"/bin/sleep", "1000", NULL}, *environment[] = {preload, NULL};
    cr_assert_not_null(mkdtemp(copy));
    snprintf(library, sizeof library, "%s/" PQB_PROGRAM_LIBRARY, copy);
    snprintf(line, sizeof line, "cp '%s' '%s'", support_built(PQB_PROGRAM_LIBRARY), library);
    cr_assert_eq(system(line), 0);
    const char *sanitizer = getenv("PQB_TEST_SANITIZER"); /* wants to come first */
    snprintf(preload, sizeof preload, "LD_PRELOAD=%s:%s", sanitizer ? sanitizer : "", library);
    pid_t child = start(arguments, environment);
    cr_expect(program.has_preload);
    cr_expect_not(program.is_replaced);
    pqb_program_free(&program);
    unlink(library);
    rmdir(copy);
    pqb_program_look(child, &program);
    cr_expect(program.is_replaced);
    pqb_program_free(&program);
    support_kill(child);
}

Test(program, that_has_gone)
{
    pid_t child = support_fork();
    if (!child)
        _exit(0);
    support_reap(child);
    pqb_program_look(child, &program);
    cr_assert_not(program.is_there || program.is_seen);
    pqb_program_look(0, &program);
    cr_assert_not(program.is_there);
}

/* ---- files ---- */

Test(binary, of_any_kind)
{
    struct pqb_binary shell = pqb_binary_look("/bin/sh");
    cr_expect(shell.is_known && !shell.is_static && !shell.is_other_size && !shell.is_go);
    cr_expect_not(pqb_binary_look("/dev/null").is_known);
    cr_expect_not(pqb_binary_look("/etc/passwd").is_known);
    cr_expect_not(pqb_binary_look("/nowhere").is_known);
}
