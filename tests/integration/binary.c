/* The library as a file: what it offers, what it needs. */
#include "ground.h"

#include <stdio.h>
#include <stdlib.h>

GROUND(binary);

/* The words of a command's output, sorted, one a line. */
static void output(const char *command, char *text, size_t size)
{
    struct guest *guest = guest_start(WORDS("LD_PRELOAD"), "/bin/sh", WORDS("-c", command));
    const char *line;
    size_t used = 0;
    *text = 0;
    while (strcmp(line = guest_line(guest), "(silence)") != 0 && used + 100 < size)
        used += (size_t)snprintf(text + used, size - used, "%s\n", line);
    content(guest);
}

static const char *library(void)
{
    const char *preload = guest_preload(NULL), *last = strrchr(preload, ':');
    return ground_text("%s", last ? last + 1 : preload);
}

Test(binary, exports_what_the_version_script_lists)
{
    static char exported[16384], listed[16384];
    output(ground_text("nm -D --defined-only '%s' | awk '{ print $3 }' | LC_ALL=C sort", library()),
           exported, sizeof exported);
    output(
        "sed -n '/global:/,/local:/ s/^ *\\([A-Za-z_0-9]*\\);.*/\\1/p' shim/preload/exports.map | "
        "LC_ALL=C sort",
        listed, sizeof listed);
    cr_assert_not_null(strstr(listed, "PQconnectdb\n"));
    cr_assert_str_eq(exported, listed);
}

Test(binary, needs_libc_only)
{
    static char needed[4096];
    if (ground_has_sanitizer())
        cr_skip_test("and its sanitizer");
    output(ground_text("readelf -dW '%s' | sed -n 's/.*(NEEDED).*\\[\\(.*\\)\\]/\\1/p'", library()),
           needed, sizeof needed);
    char *line = strtok(needed, "\n");
    cr_assert_not_null(line);
    for (; line; line = strtok(NULL, "\n"))
        cr_assert(!strcmp(line, "libc.so.6") || !strncmp(line, "ld-linux", 8), "%s", line);
}

/* Nothing is called by name that a libc of 2019 lacks, and no libpq function is asked for at all.
 */
Test(binary, refers_to_no_libpq)
{
    static char undefined[32768];
    output(ground_text("nm -D --undefined-only '%s' | awk '{ print $2 }'", library()), undefined,
           sizeof undefined);
    cr_assert_not_null(strstr(undefined, "posix_fallocate"));
    cr_assert_null(strstr(undefined, "PQ"), "%s", strstr(undefined, "PQ"));
    cr_assert_null(strstr(undefined, "\nabort"));
    cr_assert_null(strstr(undefined, "\nexit"));
}

/* Cancelling inside a signal handler must not allocate its flag. */
Test(binary, keeps_its_flags_in_static_storage)
{
    static char relocations[65536];
    if (ground_has_sanitizer())
        cr_skip_test("a sanitizer has thread-local data of its own");
    output(ground_text("readelf -rW '%s' | awk '/TPOFF|DTPMOD|TLSDESC/ { print $3 }'", library()),
           relocations, sizeof relocations);
    cr_assert_not_null(strstr(relocations, "TPOFF"));
    cr_assert_null(strstr(relocations, "DTPMOD"));
    cr_assert_null(strstr(relocations, "TLSDESC"));
}

Test(binary, has_no_executable_stack_and_no_text_relocations)
{
    static char headers[16384];
    output(ground_text("readelf -lW '%s' | grep GNU_STACK; readelf -dW '%s' | grep -c TEXTREL; :",
                       library(), library()),
           headers, sizeof headers);
    cr_assert_not_null(strstr(headers, "RW "));
    cr_assert_null(strstr(headers, "RWE"));
    cr_assert_not_null(strstr(headers, "\n0\n"));
}
