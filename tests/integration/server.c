/* Inside the PostgreSQL server the library does nothing: its libpq is dblink's, not a client's. */
#include "ground.h"

#include <dirent.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

GROUND(server);

/* Everything that takes a budget in a server which was started from a wrapped shell. */
static const char script[] =
    "set -e\n"
    "bin=$(pg_config --bindir)\n"
    "as=; [ \"$(id -u)\" != 0 ] || {\n"
    "  chown postgres \"$0\"; as='setpriv --reuid=postgres --regid=postgres --clear-groups'; }\n"
    "cd \"$0\"\n"
    "$as \"$bin/initdb\" -D data -U postgres -A trust --no-sync --locale=C >log 2>&1\n"
    "LD_PRELOAD=$1 $as \"$bin/postgres\" -D data -c port=\"$2\" -c listen_addresses= -c fsync=off "
    "\\\n"
    "  -c unix_socket_directories=\"$0\" >>log 2>&1 &\n"
    "trap 'kill -QUIT $!; wait' EXIT\n"
    "until \"$bin/pg_isready\" -qh \"$0\" -p \"$2\"; do kill -0 $! || { cat log >&2; exit 1; }; "
    "done\n"
    "PGOPTIONS= psql -h \"$0\" -p \"$2\" -qAt -v ON_ERROR_STOP=1 \\\n"
    "  -c 'create extension dblink' -c 'create extension postgres_fdw' \\\n"
    "  -c \"select dblink_connect('one', '$3')\" \\\n"
    "  -c \"select * from dblink('one', 'show application_name') as t(name text)\" \\\n"
    "  -c \"create server other foreign data wrapper postgres_fdw options (host '$0', port '$2')\" "
    "\\\n"
    "  -c 'create user mapping for postgres server other' \\\n"
    "  -c 'create table here (n int); insert into here values (7)' \\\n"
    "  -c \"create foreign table there (n int) server other options (table_name 'here')\" \\\n"
    "  -c 'select n from there'\n"
    "grep -c libpqbudget /proc/$!/maps | sed 's/[1-9].*/loaded/'\n";

Test(server, is_left_alone)
{
    char folder[] = "/tmp/pqbudget-in.XXXXXX";
    const char *library = strrchr(guest_preload(NULL), ':');
    struct stat status;
    if (ground_has_sanitizer())
        cr_skip_test("PostgreSQL is not built with one");
    library = ground_text("%s", library ? library + 1 : guest_preload(NULL));
    cr_assert_not_null(mkdtemp(folder));
    cr_assert_eq(chmod(folder, 0755), 0);
    /* The server's user must be able to read it. */
    const char *copy = ground_text("%s/libpqbudget.so", folder);
    cr_assert_eq(system(ground_text("install -m 755 '%s' '%s'", library, copy)), 0);
    const char *conninfo =
        ground_text("host=%s port=%s dbname=postgres user=postgres", folder, "6000");
    struct guest *guest =
        guest_start(WORDS("LD_PRELOAD", "PGHOST", "PGPORT", "PQBUDGET_LIMIT=1", "PQBUDGET_WAIT=0"),
                    "/bin/bash", WORDS("-c", script, folder, copy, "6000", conninfo));
    static const char *const heard[] = {"OK", "", "7", "loaded"};
    for (unsigned i = 0; i < 4; i++) {
        const char *line = guest_line(guest);
        cr_assert_str_eq(line, heard[i], "%s: %s", line, guest_complaints(guest));
    }
    cr_assert_eq(guest_end(guest), 0, "%s", guest_complaints(guest));
    cr_assert_not(ground_has_ledger());
    struct passwd *owner = getpwnam("postgres");
    if (owner)
        cr_assert(stat(
            ground_text("/dev/shm/pqbudget.%u.%s", (unsigned)owner->pw_uid, ground_ledger_name()),
            &status));
    cr_assert_eq(system(ground_text("rm -rf '%s'", folder)), 0);
}
