/* region.c: making and checking the ledger's file, and what a damaged one does to a host: nothing.
 */
#include "ledger/region.h"
#include "ledger/files.h"
#include "ledger/holders.h"
#include "ledger/journal.h"
#include "ledger/snapshot.h"
#include "ledger/steer.h"
#include "ledger/tick.h"
#include "ledger/visit.h"
#include "support/support.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NOBODY 65534

static char path[PQB_REGION_PATH];
static struct pqb_error error;
static unsigned descriptors;

/* Strays are swept when they are old; a test need not wait. Takes libc's place in this program. */
static time_t seconds_ahead;
time_t time(time_t *out)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    time_t seconds = now.tv_sec + seconds_ahead;
    if (out)
        *out = seconds;
    return seconds;
}

/* Everything beside the ledger's path that begins with its name: itself, its folders. */
static unsigned entries(int removes)
{
    char parent[PQB_REGION_PATH], entry_path[PQB_REGION_PATH + 300];
    snprintf(parent, sizeof parent, "%s", path);
    char *slash = strrchr(parent, '/');
    *slash = 0;
    unsigned count = 0;
    DIR *directory = opendir(parent);
    for (struct dirent *entry; directory && (entry = readdir(directory));) {
        if (strstr(entry->d_name, slash + 1) != entry->d_name)
            continue;
        count++;
        if (!removes)
            continue;
        snprintf(entry_path, sizeof entry_path, "rm -rf '%s/%s'", parent, entry->d_name);
        if (system(entry_path))
            abort();
    }
    if (directory)
        closedir(directory);
    return count;
}

static void choose_path(void)
{
    char name[64];
    support_ledger_name(name);
    cr_assert_eq(pqb_region_path(name, path, &error), PQB_OK);
    descriptors = support_descriptors();
}

static void clean_up(void)
{
    entries(1);
}

TestSuite(region, .init = choose_path, .fini = clean_up, .timeout = 240);

static enum pqb_status try_open(int create)
{
    struct pqb_region *region = NULL;
    memset(&error, 0, sizeof error);
    enum pqb_status status = pqb_region_open(path, create, &region, &error);
    if (!status)
        pqb_region_unpin(region);
    return status;
}

/* One line that names the file and is not cut off. */
static int text_is_clear(void)
{
    size_t length = strlen(error.text);
    return length > 20 && length < sizeof error.text - 1 && !strchr(error.text, '\n') &&
           strstr(error.text, path);
}

#define assert_refused(create, expected)                                                           \
    do {                                                                                           \
        unsigned entries_ = entries(0);                                                            \
        enum pqb_status status_ = try_open(create);                                                \
        cr_assert_eq(status_, expected, "status %d, not %d: %s", (int)status_, (int)(expected),    \
                     error.text);                                                                  \
        cr_assert(text_is_clear(), "\"%s\"", error.text);                                          \
        cr_assert_eq(support_descriptors(), descriptors, "a descriptor leaked");                   \
        cr_assert_eq(entries(0), entries_, "something was left behind");                           \
    } while (0)

static void make_good(void)
{
    cr_assert_eq(try_open(1), PQB_OK, "%s", error.text);
    cr_assert_eq(support_descriptors(), descriptors);
    cr_assert_eq(entries(0), 2);
}

static void write_file(const void *bytes, size_t size, off_t at)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    cr_assert(fd >= 0 && pwrite(fd, bytes, size, at) == (ssize_t)size);
    close(fd);
}

static struct pqb_identity read_identity(void)
{
    struct pqb_identity identity = {0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    cr_assert(fd >= 0 && pread(fd, &identity, sizeof identity, 0) == (ssize_t)sizeof identity);
    close(fd);
    return identity;
}

static void lock_file_path(char to[PATH_MAX], const char *file)
{
    snprintf(to, PATH_MAX, "%s~%016llx/%s", path, (unsigned long long)read_identity().id, file);
}

static uint64_t random_state;
static uint64_t chance(void)
{
    random_state += 0x9e3779b97f4a7c15ull;
    uint64_t z = random_state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

static void random_bytes(void *to, size_t size)
{
    for (size_t i = 0; i < size; i++)
        ((unsigned char *)to)[i] = (unsigned char)chance();
}

/* Runs in a child, which may change its namespaces, user and limits. What fails there is printed
 * there; `function` returns 0 when all is well. */
#define child_must(condition)                                                                      \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #condition, error.text);        \
            return 1;                                                                              \
        }                                                                                          \
    } while (0)

static int reaped;
static int has_ended(pid_t pid)
{
    return waitpid(pid, &reaped, WNOHANG) == pid;
}

/* The child's wait status; -1 if it hung. */
static int run_in_child(int (*function)(uint64_t), uint64_t argument)
{
    pid_t pid = support_fork();
    if (!pid)
        _exit(function(argument));
    if (wait_until(has_ended(pid)))
        return reaped;
    support_kill(pid);
    return -1;
}

#define assert_child(function, argument)                                                           \
    do {                                                                                           \
        int status_ = run_in_child(function, argument);                                            \
        cr_assert_neq(status_, -1, "%s(%llu) hung", #function, (unsigned long long)(argument));    \
        cr_assert_eq(status_, 0, "%s(%llu) ended with 0x%x", #function,                            \
                     (unsigned long long)(argument), status_);                                     \
    } while (0)

/* ---- names ---- */

Test(region, names_become_paths_below_shm)
{
    char to[PQB_REGION_PATH], expected[64];
    snprintf(expected, sizeof expected, "/dev/shm/pqbudget.%u.default", (unsigned)geteuid());
    cr_assert_eq(pqb_region_path(NULL, to, &error), PQB_OK);
    cr_assert_str_eq(to, expected);
    cr_assert_eq(pqb_region_path("", to, &error), PQB_OK);
    cr_assert_str_eq(to, expected);
    cr_assert_eq(pqb_region_path("/somewhere/else", to, &error), PQB_OK);
    cr_assert_str_eq(to, "/somewhere/else");
    cr_assert_eq(pqb_region_path("A-b_c.9", to, &error), PQB_OK);
}

Test(region, bad_names_are_refused)
{
    static const char *const names[] = {".",   "..",   ".hidden", "-j",       "a/b", "../x",
                                        "a b", "a\nb", "a~b",     "\xc3\xa9", "a%n", "a*"};
    char to[PQB_REGION_PATH], longest[80];
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
        memset(&error, 0, sizeof error);
        cr_assert_eq(pqb_region_path(names[i], to, &error), PQB_INVALID, "%s", names[i]);
        cr_assert(*error.text);
        cr_assert(!strchr(error.text, '\n'), "\"%s\"", error.text);
    }
    memset(longest, 'a', sizeof longest);
    longest[64] = 0;
    cr_assert_eq(pqb_region_path(longest, to, &error), PQB_OK);
    longest[64] = 'a';
    longest[65] = 0;
    cr_assert_eq(pqb_region_path(longest, to, &error), PQB_INVALID);
}

Test(region, too_long_a_path_is_refused)
{
    static char name[PQB_REGION_PATH + 100];
    char to[PQB_REGION_PATH];
    memset(name, 'a', sizeof name - 1);
    name[0] = '/';
    cr_assert_eq(pqb_region_path(name, to, &error), PQB_INVALID);
    cr_assert(strstr(error.text, "too long"));
    /* Short enough for us, and for the kernel too long. */
    name[300] = 0;
    cr_assert_eq(pqb_region_path(name, path, &error), PQB_OK);
    struct pqb_region *region;
    cr_assert_neq(pqb_region_open(path, 1, &region, &error), PQB_OK);
    cr_assert(strstr(error.text, "too long"), "\"%s\"", error.text);
    cr_assert_eq(support_descriptors(), descriptors);
    snprintf(path, sizeof path, "/nowhere");
}

/* ---- making ---- */

Test(region, an_absent_ledger_is_made_only_if_asked_for)
{
    assert_refused(0, PQB_ABSENT);
    make_good();
    cr_assert_eq(try_open(0), PQB_OK);
}

Test(region, the_file_is_whole_private_and_not_sparse)
{
    struct stat status;
    umask(0777);
    make_good();
    umask(0);
    cr_assert_eq(stat(path, &status), 0);
    cr_assert_eq(status.st_size, PQB_LEDGER_BYTES);
    cr_assert_geq((uint64_t)status.st_blocks * 512, PQB_LEDGER_BYTES);
    cr_assert_eq(status.st_mode, S_IFREG | 0600);
    cr_assert_eq(status.st_nlink, 1);
    char guard[PATH_MAX];
    lock_file_path(guard, "guard");
    cr_assert_eq(stat(guard, &status), 0);
    cr_assert_eq(status.st_mode, S_IFREG | 0600);
}

Test(region, one_process_maps_a_ledger_once)
{
    struct pqb_region *one, *two;
    cr_assert_eq(pqb_region_open(path, 1, &one, &error), PQB_OK);
    cr_assert_eq(pqb_region_open(path, 1, &two, &error), PQB_OK);
    cr_assert_eq(one, two);
    pqb_region_unpin(one);
    cr_assert_eq(two->map->header.identity.magic, PQB_MAGIC); /* still mapped */
    pqb_region_unpin(two);
}

Test(region, a_folder_that_a_group_shares_makes_a_shared_ledger)
{
    struct stat status;
    char folder[] = "/dev/shm/pqb-shared-XXXXXX";
    cr_assert(mkdtemp(folder));
    cr_assert_eq(chmod(folder, 0770), 0);
    snprintf(path, sizeof path, "%s/ledger", folder);
    make_good();
    cr_assert_eq(stat(path, &status), 0);
    cr_assert_eq(status.st_mode & 0777, 0660);
    cr_assert_eq(pqb_region_remove(path, NULL, &error), PQB_OK);
    entries(1);
    cr_assert_eq(rmdir(folder), 0);
}

static int wait_and_open(uint64_t start)
{
    struct pqb_region *region;
    while (pqb_now() < start)
        ;
    child_must(!pqb_region_open(path, 1, &region, &error));
    /* The inode, squeezed into an exit status: they must all be the same. */
    return (int)(region->inode % 251);
}

Test(region, twenty_processes_make_one_ledger)
{
    enum { RACERS = 20, ROUNDS = 50 };
    for (unsigned round = 0; round < ROUNDS; round++) {
        pid_t racer[RACERS];
        uint64_t start = pqb_now() + 5 * PQB_MS;
        struct stat made;
        for (unsigned i = 0; i < RACERS; i++)
            if (!(racer[i] = support_fork()))
                _exit(wait_and_open(start));
        for (unsigned i = 0; i < RACERS; i++) {
            int status = support_reap(racer[i]);
            cr_assert(WIFEXITED(status), "0x%x", status);
            if (!i)
                cr_assert_eq(stat(path, &made), 0);
            cr_assert_eq(WEXITSTATUS(status), (int)(made.st_ino % 251));
        }
        cr_assert_eq(entries(0), 2, "a stray is left in round %u", round);
        cr_assert_eq(pqb_steer_reset(path, 0, &error), PQB_OK, "%s", error.text);
        cr_assert_eq(entries(0), 0);
    }
}

Test(region, what_a_dead_creator_left_is_swept)
{
    unsigned strays = 0;
    for (unsigned round = 0; round < 300 && strays < 3; round++) {
        pid_t creator = support_fork();
        if (!creator) {
            struct pqb_region *region;
            _exit(pqb_region_open(path, 1, &region, NULL));
        }
        usleep((useconds_t)(chance() % 4000));
        support_kill(creator);
        strays = entries(0);
        if (!access(path, F_OK)) {
            cr_assert_eq(pqb_steer_reset(path, 0, &error), PQB_OK, "%s", error.text);
            strays -= 2;
        }
    }
    cr_assert_geq(strays, 1, "no creator died half way");
    cr_assert_eq(try_open(1), PQB_OK, "%s", error.text);
    cr_assert_eq(entries(0), strays + 2); /* they are young: their creators may be alive */
    cr_assert_eq(pqb_steer_reset(path, 0, &error), PQB_OK);
    seconds_ahead = 11;
    cr_assert_eq(try_open(1), PQB_OK);
    cr_assert_eq(entries(0), 2);
}

/* ---- foreign and damaged files ---- */

Test(region, files_of_any_length_are_refused)
{
    make_good();
    static unsigned char good[PQB_LEDGER_BYTES + 1];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    cr_assert_eq(read(fd, good, sizeof good), (ssize_t)PQB_LEDGER_BYTES);
    close(fd);
    static const size_t lengths[] = {0,
                                     1,
                                     7,
                                     8,
                                     sizeof(struct pqb_identity) - 1,
                                     sizeof(struct pqb_identity),
                                     sizeof(struct pqb_header) - 1,
                                     sizeof(struct pqb_header),
                                     PQB_LEDGER_BYTES - 1,
                                     PQB_LEDGER_BYTES + 1};
    for (unsigned i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        cr_assert_eq(truncate(path, 0), 0);
        write_file(good, lengths[i], 0);
        assert_refused(1, PQB_DAMAGED);
    }
    cr_assert_eq(truncate(path, 0), 0);
    write_file(good, PQB_LEDGER_BYTES, 0);
    cr_assert_eq(try_open(0), PQB_OK);
}

Test(region, random_files_are_refused)
{
    static unsigned char bytes[PQB_LEDGER_BYTES];
    for (unsigned i = 0; i < 20; i++) {
        random_bytes(bytes, sizeof bytes);
        write_file(bytes, sizeof bytes, 0);
        assert_refused(1, PQB_DAMAGED);
    }
}

Test(region, a_changed_identity_is_refused)
{
    make_good();
    struct pqb_identity good = read_identity(), bad;
    for (size_t i = 0; i < sizeof good; i++) {
        bad = good;
        ((unsigned char *)&bad)[i] ^= (unsigned char)(1 << i % 8);
        write_file(&bad, sizeof bad, 0);
        enum pqb_status status = try_open(1);
        cr_assert(status == PQB_DAMAGED || status == PQB_VERSION || status == PQB_WORDSIZE,
                  "byte %zu: %d", i, (int)status);
        cr_assert(text_is_clear(), "\"%s\"", error.text);
    }
    bad = good;
    bad.version = PQB_LAYOUT_VERSION + 1;
    write_file(&bad, sizeof bad, 0);
    assert_refused(1, PQB_VERSION);
    bad = good;
    bad.word_bits = 32;
    write_file(&bad, sizeof bad, 0);
    assert_refused(1, PQB_WORDSIZE);
    bad = good;
    bad.checksum++;
    write_file(&bad, sizeof bad, 0);
    assert_refused(1, PQB_DAMAGED);
    cr_assert(strstr(error.text, "reset --force"));
}

Test(region, another_users_file_is_refused)
{
    if (geteuid())
        cr_skip_test("needs root");
    make_good();
    cr_assert_eq(chown(path, NOBODY, NOBODY), 0);
    assert_refused(1, PQB_FOREIGN);
    cr_assert(strstr(error.text, "65534"));
}

Test(region, other_modes_are_refused)
{
    static const mode_t modes[] = {0666, 0604, 0601, 0602, 0777};
    make_good();
    for (unsigned i = 0; i < sizeof modes / sizeof *modes; i++) {
        cr_assert_eq(chmod(path, modes[i]), 0);
        assert_refused(1, PQB_FOREIGN);
    }
    cr_assert_eq(chmod(path, 0600), 0);
    cr_assert_eq(try_open(0), PQB_OK);
}

Test(region, a_second_name_is_refused)
{
    char other[PATH_MAX];
    make_good();
    snprintf(other, sizeof other, "%s.link", path);
    cr_assert_eq(link(path, other), 0);
    assert_refused(1, PQB_FOREIGN);
    cr_assert_eq(unlink(other), 0);
    cr_assert_eq(try_open(0), PQB_OK);
}

Test(region, other_kinds_of_files_are_refused)
{
    cr_assert_eq(mkdir(path, 0700), 0);
    assert_refused(1, PQB_FOREIGN);
    cr_assert_eq(rmdir(path), 0);

    cr_assert_eq(mkfifo(path, 0600), 0);
    assert_refused(1, PQB_FOREIGN);
    cr_assert_eq(unlink(path), 0);

    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%.100s", path);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    close(listener);
    assert_refused(1, PQB_FOREIGN);
    cr_assert_eq(unlink(path), 0);

    cr_assert_eq(symlink("/dev/shm/nothing-here", path), 0);
    assert_refused(1, PQB_FOREIGN);
    cr_assert_eq(unlink(path), 0);
}

Test(region, a_link_to_a_good_ledger_is_refused)
{
    char other[PATH_MAX];
    make_good();
    snprintf(other, sizeof other, "%s.real", path);
    cr_assert_eq(rename(path, other), 0);
    cr_assert_eq(symlink(other, path), 0);
    assert_refused(1, PQB_FOREIGN);
    cr_assert(strstr(error.text, "symbolic link"));
}

/* ---- lock files ---- */

static void replace_file(const char *file)
{
    char other[PATH_MAX + 8];
    snprintf(other, sizeof other, "%s.new", file);
    int fd = open(other, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    cr_assert(fd >= 0 && !close(fd) && !rename(other, file));
}

Test(region, other_lock_files_are_refused)
{
    char guard[PATH_MAX], folder[PATH_MAX], moved[PATH_MAX + 8];
    make_good();
    lock_file_path(guard, "guard");
    lock_file_path(folder, ".");
    folder[strlen(folder) - 2] = 0;
    snprintf(moved, sizeof moved, "%s.moved", guard);
    cr_assert_eq(rename(guard, moved), 0);
    assert_refused(1, PQB_DAMAGED);
    cr_assert(strstr(error.text, "lock files"));
    cr_assert_eq(rename(moved, guard), 0);
    cr_assert_eq(try_open(0), PQB_OK);
    replace_file(guard);
    assert_refused(1, PQB_DAMAGED);
    snprintf(moved, sizeof moved, "%s.moved", path);
    cr_assert_eq(rename(folder, moved), 0);
    assert_refused(1, PQB_DAMAGED);
    cr_assert_eq(pqb_steer_reset(path, 0, &error), PQB_DAMAGED);
    cr_assert_eq(pqb_steer_reset(path, 1, &error), PQB_OK, "%s", error.text);
    cr_assert_eq(try_open(1), PQB_OK);
}

/* ---- what other members of a group can put in our way ---- */

/* A folder of root's and everybody's of group NOBODY, as for a ledger that several users share. */
static void share_folder(char folder[PATH_MAX])
{
    snprintf(folder, PATH_MAX, "/dev/shm/test.group.%d", (int)getpid());
    cr_assert(!mkdir(folder, 0700) && !chown(folder, 0, NOBODY) && !chmod(folder, 0770));
    snprintf(path, sizeof path, "%s/ledger", folder);
}

static void unshare_folder(const char *folder)
{
    entries(1);
    cr_assert_eq(rmdir(folder), 0, "something else is in it");
}

/* Another user does not die with his parent unless he asks for it again. */
static int become_member(void)
{
    return setgroups(0, NULL) || setgid(NOBODY) || setuid(NOBODY) ||
           prctl(PR_SET_PDEATHSIG, SIGKILL);
}

/* A private folder with files of the names that a ledger's lock files have. */
static void make_private(char folder[PATH_MAX])
{
    static const char *const names[] = {"guard", "000", "ledger"};
    char file[PATH_MAX + 16];
    snprintf(folder, PATH_MAX, "%s.private", path);
    cr_assert_eq(mkdir(folder, 0700), 0);
    for (unsigned i = 0; i < 3; i++) {
        snprintf(file, sizeof file, "%s/%s", folder, names[i]);
        int fd = open(file, O_CREAT | O_CLOEXEC, 0600);
        cr_assert(fd >= 0 && !close(fd));
    }
}

static unsigned files_in(const char *folder)
{
    unsigned count = 0;
    DIR *directory = opendir(folder);
    cr_assert_not_null(directory);
    for (struct dirent *entry; (entry = readdir(directory));)
        count += *entry->d_name != '.';
    closedir(directory);
    return count;
}

Test(region, removing_follows_no_link)
{
    char private[PATH_MAX], folder[PATH_MAX];
    make_private(private);
    snprintf(folder, sizeof folder, "%s~0123456789abcdef", path);
    cr_assert_eq(symlink(private, folder), 0);
    pqb_files_remove(folder);
    cr_assert_eq(files_in(private), 3);
}

/* Puts a link to `private` in the place of every folder for lock files as soon as it is made. */
static void exchange_folders(const char *shared, const char *private)
{
    char folder[PATH_MAX + 300], aside[PATH_MAX + 300];
    for (unsigned count = 0;;) {
        DIR *directory = opendir(shared);
        for (struct dirent *entry; directory && (entry = readdir(directory));) {
            if (entry->d_type != DT_DIR || !strchr(entry->d_name, '~'))
                continue;
            snprintf(folder, sizeof folder, "%s/%s", shared, entry->d_name);
            snprintf(aside, sizeof aside, "%s.aside.%u", path, count++);
            if (!rename(folder, aside))
                (void)!symlink(private, folder);
        }
        if (directory)
            closedir(directory);
    }
}

Test(region, making_follows_no_link)
{
    if (geteuid())
        cr_skip_test("needs root");
    char shared[PATH_MAX], private[PATH_MAX];
    struct stat status;
    share_folder(shared);
    make_private(private);
    pid_t member = support_fork();
    if (!member) {
        if (!become_member())
            exchange_folders(shared, private);
        _exit(1);
    }
    unsigned caught = 0;
    for (unsigned round = 0; round < 300 && caught < 20; round++) {
        caught += try_open(1) != PQB_OK;
        (void)!unlink(path);
        cr_assert_eq(stat(private, &status), 0);
        cr_assert(status.st_mode == (S_IFDIR | 0700) && !status.st_gid, "round %u: mode %o of %u",
                  round, status.st_mode, status.st_gid);
        cr_assert_eq(files_in(private), 3, "round %u", round);
    }
    cr_assert(caught, "he was never quick enough");
    support_kill(member);
    unshare_folder(shared);
}

static const struct pqb_server_config five = {.limit = 5, .drain_ms = 0};
static const struct pqb_claim_request request = {
    .server = "localhost:5432", .app = "test", .defaults = &five};

static enum pqb_status acquire(struct pqb_ledger *ledger, struct pqb_claim *claim)
{
    memset(&error, 0, sizeof error);
    return pqb_wait_acquire(ledger, &request, 20, claim, NULL, &error);
}

Test(region, a_claims_lock_file_that_is_another_is_noticed)
{
    struct pqb_ledger ledger;
    struct pqb_claim claim;
    char file[PATH_MAX], name[8];
    cr_assert_eq(pqb_ledger_open(&ledger, path, 1, &error), PQB_OK);
    for (unsigned group = 0; group < PQB_GROUPS; group++) {
        snprintf(name, sizeof name, "%03u", group);
        lock_file_path(file, name);
        if (group % 2)
            replace_file(file);
        else
            cr_assert_eq(unlink(file), 0);
    }
    cr_assert_eq(acquire(&ledger, &claim), PQB_DAMAGED);
    cr_assert(text_is_clear(), "\"%s\"", error.text);
    pqb_ledger_close(&ledger);
    cr_assert_eq(support_descriptors(), descriptors);
}

/* A lease makes whoever opens the file wait for its holder, 45 s. */
static int lease_lock_files(void)
{
    char file[PATH_MAX], name[8];
    for (unsigned group = 0; group < PQB_GROUPS; group++) {
        snprintf(name, sizeof name, "%03u", group);
        lock_file_path(file, name);
        int fd = open(file, O_RDWR | O_CLOEXEC);
        child_must(fd >= 0 && !fcntl(fd, F_SETLEASE, F_WRLCK));
    }
    return 0;
}

static int use_leased(uint64_t ignored)
{
    struct pqb_ledger ledger;
    struct pqb_claim claim;
    gid_t group = NOBODY;
    (void)ignored;
    child_must(!setgroups(1, &group));
    child_must(!pqb_ledger_open(&ledger, path, 0, &error));
    child_must(pqb_status_is_failure(acquire(&ledger, &claim)));
    pqb_ledger_close(&ledger);
    return 0;
}

Test(region, a_leased_lock_file_holds_nobody_up)
{
    if (geteuid())
        cr_skip_test("needs root");
    char shared[PATH_MAX];
    share_folder(shared);
    _Atomic int *stage = support_shared(sizeof *stage);
    pid_t member = support_fork();
    if (!member) {
        signal(SIGIO, SIG_IGN);
        if (become_member() || try_open(1) || lease_lock_files())
            _exit(1);
        atomic_store(stage, 1);
        for (;;)
            pause();
    }
    cr_assert(wait_until(atomic_load(stage) || has_ended(member)));
    cr_assert(atomic_load(stage));
    pid_t user = support_fork();
    if (!user)
        _exit(use_leased(0));
    cr_assert(wait_until(has_ended(user)), "it waits"); /* less than the kernel lets him wait */
    cr_assert_eq(reaped, 0, "0x%x", reaped);
    support_kill(member);
    unshare_folder(shared);
}

/* ---- a file system that says no ---- */

static int enter_private_tmpfs(const char *options)
{
    char folder[] = "/tmp/pqb-mount-XXXXXX";
    child_must(!unshare(CLONE_NEWNS));
    child_must(!mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL));
    child_must(!mount("none", "/mnt", "tmpfs", 0, options));
    (void)folder;
    snprintf(path, sizeof path, "/mnt/ledger");
    return 0;
}

static int refused_in(enum pqb_status expected)
{
    unsigned before = support_descriptors(), left = entries(0);
    enum pqb_status status = try_open(1);
    if (status != expected)
        fprintf(stderr, "status %d, not %d\n", (int)status, (int)expected);
    child_must(status == expected);
    child_must(text_is_clear());
    child_must(support_descriptors() == before);
    child_must(entries(0) == left);
    return 0;
}

static int full_tmpfs(uint64_t kib)
{
    char options[32];
    snprintf(options, sizeof options, "size=%lluk", (unsigned long long)kib);
    return enter_private_tmpfs(options) || refused_in(PQB_NO_SPACE) ||
           strstr(error.text, "no space") == NULL;
}

static int few_inodes(uint64_t inodes)
{
    char options[48];
    snprintf(options, sizeof options, "size=64m,nr_inodes=%llu", (unsigned long long)inodes);
    return enter_private_tmpfs(options) || refused_in(PQB_NO_SPACE);
}

/* With the ledger made, a full file system hurts nobody: every byte was reserved. */
static int full_later(uint64_t ignored)
{
    struct pqb_ledger ledger;
    struct pqb_claim claim[5];
    static char block[1 << 16];
    (void)ignored;
    child_must(!enter_private_tmpfs("size=8m"));
    child_must(!pqb_ledger_open(&ledger, path, 1, &error));
    int fd = open("/mnt/filler", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    memset(block, 1, sizeof block);
    while (write(fd, block, sizeof block) > 0)
        ;
    close(fd);
    memset(&ledger.region->map->account, 0, sizeof ledger.region->map->account);
    atomic_store(&ledger.region->map->header.dirty, 1);
    for (unsigned i = 0; i < 5; i++)
        child_must(!acquire(&ledger, &claim[i]));
    for (unsigned i = 0; i < 5; i++)
        pqb_claim_give(&claim[i], PQB_END_CLOSED);
    pqb_ledger_close(&ledger);
    return 0;
}

static int read_only(uint64_t with_ledger)
{
    child_must(!enter_private_tmpfs("size=64m"));
    child_must(!with_ledger || !try_open(1));
    child_must(!mount("none", "/mnt", NULL, MS_REMOUNT | MS_RDONLY, NULL));
    return refused_in(PQB_NO_ACCESS);
}

Test(region, a_full_file_system_is_reported)
{
    if (geteuid())
        cr_skip_test("needs root");
    static const uint64_t sizes[] = {4, 64, 1024, 3000, 3496};
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++)
        assert_child(full_tmpfs, sizes[i]);
    static const uint64_t inodes[] = {2, 3, 50, 159, 160};
    for (unsigned i = 0; i < sizeof inodes / sizeof *inodes; i++)
        assert_child(few_inodes, inodes[i]);
    assert_child(full_later, 0);
}

Test(region, a_read_only_file_system_is_reported)
{
    if (geteuid())
        cr_skip_test("needs root");
    assert_child(read_only, 0);
    assert_child(read_only, 1);
}

static int as_nobody(uint64_t make_in_closed_folder)
{
    if (make_in_closed_folder) {
        child_must(!enter_private_tmpfs("size=64m"));
        child_must(!chmod("/mnt", 0755));
    }
    child_must(!setgroups(0, NULL) && !setgid(NOBODY) && !setuid(NOBODY));
    return refused_in(PQB_NO_ACCESS);
}

Test(region, no_permission_is_reported)
{
    if (geteuid())
        cr_skip_test("needs root");
    make_good();
    assert_child(as_nobody, 0);
    assert_child(as_nobody, 1);
}

static int without_descriptors(uint64_t spare)
{
    struct rlimit limit = {.rlim_cur = support_descriptors() - 3 + spare, .rlim_max = 1024};
    for (int fd = open("/dev/null", O_RDONLY); fd >= 0 && fd < (int)limit.rlim_cur;
         fd = open("/dev/null", O_RDONLY))
        ;
    child_must(!setrlimit(RLIMIT_NOFILE, &limit));
    child_must(try_open(1) == PQB_NO_DESCRIPTOR);
    child_must(text_is_clear());
    return 0;
}

Test(region, no_descriptor_left_is_reported)
{
    make_good();
    assert_child(without_descriptors, 0);
    cr_assert_eq(pqb_steer_reset(path, 0, &error), PQB_OK);
    assert_child(without_descriptors, 0);
    cr_assert_eq(entries(0), 0);
}

/* ---- taken away while in use ---- */

Test(region, an_unlinked_ledger_is_left_for_a_new_one)
{
    struct pqb_ledger ledger;
    struct pqb_claim old[5], new;
    cr_assert_eq(pqb_ledger_open(&ledger, path, 1, &error), PQB_OK);
    for (unsigned i = 0; i < 5; i++)
        cr_assert_eq(acquire(&ledger, &old[i]), PQB_OK);
    cr_assert_eq(acquire(&ledger, &new), PQB_TIMED_OUT);
    cr_assert_eq(unlink(path), 0);
    cr_assert_eq(acquire(&ledger, &new), PQB_OK, "%s", error.text);
    cr_assert_neq(new.region, old[0].region);
    for (unsigned i = 0; i < 5; i++)
        pqb_claim_give(&old[i], PQB_END_CLOSED);
    cr_assert_eq(support_count(&ledger).used, 1);
    pqb_claim_give(&new, PQB_END_CLOSED);
    pqb_ledger_close(&ledger);
    cr_assert_eq(support_descriptors(), descriptors);
}

Test(region, a_replaced_ledger_is_left_too)
{
    struct pqb_ledger ledger;
    struct pqb_claim old, new;
    char aside[PATH_MAX];
    cr_assert_eq(pqb_ledger_open(&ledger, path, 1, &error), PQB_OK);
    cr_assert_eq(acquire(&ledger, &old), PQB_OK);
    snprintf(aside, sizeof aside, "%s.aside", path);
    cr_assert_eq(rename(path, aside), 0);
    cr_assert_eq(pqb_region_check(old.region), PQB_LOST);
    write_file("rubbish", 7, 0);
    cr_assert_eq(acquire(&ledger, &new), PQB_DAMAGED);
    cr_assert(text_is_clear(), "\"%s\"", error.text);
    cr_assert_eq(pqb_steer_reset(path, 1, &error), PQB_OK);
    cr_assert_eq(acquire(&ledger, &new), PQB_OK);
    pqb_claim_give(&old, PQB_END_CLOSED);
    pqb_claim_give(&new, PQB_END_CLOSED);
    pqb_ledger_close(&ledger);
    cr_assert_eq(support_descriptors(), descriptors);
}

static int use_truncated(uint64_t length)
{
    struct pqb_ledger ledger;
    struct pqb_claim held, connecting, more;
    struct pqb_snapshot snapshot;
    struct pqb_claim_peer peer = {0};
    child_must(!pqb_ledger_open(&ledger, path, 1, &error));
    child_must(!acquire(&ledger, &held) && !pqb_claim_open(&held, &peer));
    child_must(!acquire(&ledger, &connecting));
    child_must(!truncate(path, (off_t)length));
    child_must(pqb_region_check(held.region) == PQB_DAMAGED);
    child_must(acquire(&ledger, &more) == PQB_DAMAGED && text_is_clear());
    child_must(pqb_snapshot_take(ledger.region, &snapshot) == PQB_DAMAGED);
    child_must(pqb_tick(ledger.region, 0, NULL) == PQB_DAMAGED);
    child_must(pqb_claim_open(&connecting, &peer) == PQB_LOST);
    pqb_claim_give(&connecting, PQB_END_CLOSED);
    pqb_claim_give(&held, PQB_END_CLOSED);
    pid_t child = fork(); /* its fork handler looks at the claims */
    if (!child)
        _exit(0);
    child_must(!support_reap(child));
    child_must(pqb_steer_reset(path, 1, &error) == PQB_OK);
    child_must(!acquire(&ledger, &more));
    pqb_claim_give(&more, PQB_END_CLOSED);
    pqb_ledger_close(&ledger);
    return 0;
}

Test(region, a_truncated_ledger_is_not_touched)
{
    static const uint64_t lengths[] = {0, 1, 4096, sizeof(struct pqb_header), PQB_LEDGER_BYTES - 1};
    for (unsigned i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        assert_child(use_truncated, lengths[i]);
        entries(1);
    }
}

static int wait_in_truncated(uint64_t ignored)
{
    struct pqb_ledger ledger;
    struct pqb_claim claim;
    (void)ignored;
    child_must(!pqb_ledger_open(&ledger, path, 0, &error));
    enum pqb_status status = pqb_wait_acquire(&ledger, &request, 10000, &claim, NULL, &error);
    child_must(status == PQB_DAMAGED && text_is_clear());
    return 0;
}

Test(region, truncation_under_a_sleeping_waiter_is_noticed)
{
    struct pqb_ledger ledger;
    struct pqb_claim held[5];
    cr_assert_eq(pqb_ledger_open(&ledger, path, 1, &error), PQB_OK);
    for (unsigned i = 0; i < 5; i++)
        cr_assert_eq(acquire(&ledger, &held[i]), PQB_OK);
    pid_t waiter = support_fork();
    if (!waiter)
        _exit(wait_in_truncated(0));
    cr_assert(wait_until(atomic_load(&ledger.region->map->header.waiting) != 0));
    usleep(50000); /* asleep by now, most likely */
    cr_assert_eq(truncate(path, 0), 0);
    cr_assert(wait_until(has_ended(waiter)));
    /* By nature it may be in the middle of a visit; most often it sleeps. */
    cr_assert_eq(reaped, 0, "0x%x", reaped);
    for (unsigned i = 0; i < 5; i++)
        pqb_claim_give(&held[i], PQB_END_CLOSED);
    pqb_ledger_close(&ledger);
}

Test(region, a_retired_ledger_that_is_still_there_is_refused)
{
    struct pqb_ledger ledger;
    struct pqb_claim claim;
    cr_assert_eq(pqb_ledger_open(&ledger, path, 1, &error), PQB_OK);
    atomic_store(&ledger.region->map->header.retired, 1);
    cr_assert_eq(acquire(&ledger, &claim), PQB_DAMAGED);
    cr_assert(strstr(error.text, "reset --force"), "\"%s\"", error.text);
    cr_assert_eq(pqb_wait_submit(&ledger, &request, &claim, &error), PQB_DAMAGED);
    cr_assert_eq(pqb_steer_reset(path, 1, &error), PQB_OK, "%s", error.text);
    cr_assert_eq(acquire(&ledger, &claim), PQB_OK);
    pqb_claim_give(&claim, PQB_END_CLOSED);
    pqb_ledger_close(&ledger);
}

/* ---- rubbish in the tables ---- */

static void fill_with_rubbish(struct pqb_layout *map, uint64_t seed)
{
    unsigned char *rest = (unsigned char *)map + sizeof map->header.identity;
    random_state = seed;
    /* Every fourth of them is made of ever the same byte, as a wild memset makes it. */
    if (seed % 4 == 3)
        memset(rest, (int)(seed / 4), sizeof *map - sizeof map->header.identity);
    else
        random_bytes(rest, sizeof *map - sizeof map->header.identity);
    if (seed % 8) /* else it counts as retired, and nothing below happens */
        atomic_store(&map->header.retired, 0);
    atomic_store(&map->header.dirty, seed % 2);
}

/* All that a host may do to a ledger. Any answer is right that comes soon. */
static void do_everything(struct pqb_ledger *ledger, unsigned rounds)
{
    for (unsigned round = 0; round < rounds; round++) {
        struct pqb_claim claim, waits;
        struct pqb_snapshot snapshot;
        struct pqb_event event;
        struct pqb_drainers drainers;
        struct pqb_claim_peer peer = {.backend_pid = 1, .is_local = 1, .user = "u"};
        struct pqb_steer steer = pqb_steer_nothing;
        enum pqb_status got = acquire(ledger, &claim);
        struct pqb_region *region;
        if (pqb_ledger_region(ledger, &region, &error))
            return;
        if (!pqb_wait_submit(ledger, &request, &waits, &error)) {
            (void)!pqb_claim_take(&waits);
            (void)!pqb_claim_open(&waits, &peer);
        }
        if (!got)
            (void)!pqb_claim_open(&claim, &peer);
        if (!pqb_snapshot_take(region, &snapshot))
            pqb_snapshot_free(&snapshot);
        struct pqb_holders holders;
        (void)!pqb_holders_look(region, request.server, pqb_now(), &holders);
        (void)!pqb_tick(region, round % PQB_SERVERS, &drainers);
        uint64_t latest = pqb_journal_latest(region->map);
        for (unsigned i = 0; i < 600; i++)
            if (pqb_journal_read(region->map, latest - i, &event))
                (void)pqb_event_name(event.kind);
        steer.server = request.server;
        steer.make = 1;
        steer.limit = 5;
        steer.reserve = 0;
        steer.slack = 1;
        (void)!pqb_steer_apply(region, &steer, &error);
        (void)!pqb_steer_learn(region, request.server, "10.1.2.3:5432");
        steer.aliases = 1;
        steer.alias[0] = "10.9.9.9:5432";
        (void)!pqb_steer_apply(region, &steer, &error);
        pqb_claim_give(&waits, PQB_END_TIMED_OUT);
        pqb_claim_give(&claim, PQB_END_CLOSED);
        pqb_region_unpin(region);
    }
}

/* After a recovery the ledger must serve a server that it does not know yet, up to its limit. */
static int works_again(struct pqb_ledger *ledger)
{
    struct pqb_claim claim[5], sixth;
    struct pqb_claim_request fresh = request;
    struct pqb_region *region;
    fresh.server = "fresh:5432";
    if (pqb_ledger_region(ledger, &region, &error)) {
        child_must(!pqb_steer_reset(path, 1, &error));
        child_must(!pqb_ledger_region(ledger, &region, &error));
    }
    atomic_store(&region->map->header.dirty, 1);
    pqb_region_unpin(region);
    for (unsigned i = 0; i < 5; i++)
        child_must(!pqb_wait_acquire(ledger, &fresh, 1000, &claim[i], NULL, &error));
    child_must(pqb_wait_acquire(ledger, &fresh, 0, &sixth, NULL, &error) == PQB_TIMED_OUT);
    for (unsigned i = 0; i < 5; i++)
        pqb_claim_give(&claim[i], PQB_END_CLOSED);
    for (unsigned i = 0; i < 5; i++)
        child_must(!pqb_wait_acquire(ledger, &fresh, 1000, &claim[i], NULL, &error));
    for (unsigned i = 0; i < 5; i++)
        pqb_claim_give(&claim[i], PQB_END_CLOSED);
    return 0;
}

static int use_rubbish(uint64_t seed)
{
    struct pqb_ledger ledger;
    child_must(!pqb_ledger_open(&ledger, path, 1, &error));
    fill_with_rubbish(ledger.region->map, seed);
    do_everything(&ledger, 2);
    child_must(!works_again(&ledger));
    pqb_ledger_close(&ledger);
    return 0;
}

Test(region, rubbish_in_all_tables_harms_nobody)
{
    for (uint64_t seed = 0; seed < 240; seed++) {
        assert_child(use_rubbish, seed);
        if (seed % 16 == 15)
            entries(1);
    }
}

/* A few wild writes into a ledger in use. */
static void scribble(struct pqb_layout *map)
{
    static const struct {
        size_t from, to;
    } parts[] = {
        {offsetof(struct pqb_header, guard_held), sizeof(struct pqb_header)},
        {offsetof(struct pqb_header, busy), offsetof(struct pqb_header, bell)},
        {offsetof(struct pqb_header, account_bucket), sizeof(struct pqb_header)},
        {offsetof(struct pqb_layout, server),
         offsetof(struct pqb_layout, server) + sizeof(struct pqb_server_row)},
        {offsetof(struct pqb_layout, app),
         offsetof(struct pqb_layout, app) + 2 * sizeof(struct pqb_app_row)},
        {offsetof(struct pqb_layout, alias),
         offsetof(struct pqb_layout, alias) + 2 * sizeof(struct pqb_alias_row)},
        {offsetof(struct pqb_layout, account),
         offsetof(struct pqb_layout, account) + 8 * sizeof(struct pqb_account_row)},
        {offsetof(struct pqb_layout, claim), sizeof(struct pqb_layout)},
    };
    for (unsigned i = 1 + (unsigned)(chance() % 6); i--;) {
        unsigned part = (unsigned)(chance() % (sizeof parts / sizeof *parts));
        size_t length = parts[part].to - parts[part].from, at = chance() % length;
        unsigned char *byte = (unsigned char *)map + parts[part].from + at;
        if (part == 7) { /* a claim that is in use, not the thousands of free ones */
            unsigned index = (unsigned)(chance() % PQB_CLAIMS);
            for (unsigned k = 0; k < PQB_CLAIMS; k++, index = (index + 1) % PQB_CLAIMS)
                if (atomic_load(&map->claim[index].ctl) & PQB_CTL_STATE)
                    break;
            byte = (unsigned char *)&map->claim[index] + chance() % 112;
        }
        *byte = chance() % 3 ? (unsigned char)chance() : 0xff;
    }
}

static int use_scribbled(uint64_t seed)
{
    struct pqb_ledger ledger;
    struct pqb_claim claim[9];
    random_state = seed;
    child_must(!pqb_ledger_open(&ledger, path, 1, &error));
    for (unsigned i = 0; i < 9; i++) {
        struct pqb_claim_peer peer = {0};
        child_must(!pqb_wait_submit(&ledger, &request, &claim[i], &error));
        if (i < 4)
            child_must(!pqb_claim_take(&claim[i]));
        if (i < 3)
            child_must(!pqb_claim_open(&claim[i], &peer));
    }
    struct pqb_layout *map = ledger.region->map;
    scribble(map);
    atomic_store(&map->header.dirty, seed % 2);
    do_everything(&ledger, 2);
    for (unsigned i = 0; i < 9; i++) {
        (void)!pqb_claim_take(&claim[i]);
        pqb_claim_give(&claim[i], PQB_END_CLOSED);
    }
    child_must(!works_again(&ledger));
    pqb_ledger_close(&ledger);
    return 0;
}

Test(region, wild_writes_into_a_ledger_in_use_harm_nobody)
{
    for (uint64_t seed = 0; seed < 400; seed++) {
        assert_child(use_scribbled, seed);
        if (seed % 16 == 15)
            entries(1);
    }
}

/* ---- a member who never stops ---- */

/* Writes anything anywhere but what would only make everybody go away: the identity, `retired`. */
static void scribble_on(struct pqb_layout *map, uint64_t seed)
{
    size_t first = offsetof(struct pqb_header, dirty), size = sizeof *map - 8;
    random_state = seed;
    for (;;) {
        for (unsigned i = 0; i < 200; i++) {
            /* Half of it where those who are here look: the header, the first rows of each table.
             */
            static const size_t hot[] = {
                offsetof(struct pqb_header, dirty),  offsetof(struct pqb_header, pending),
                offsetof(struct pqb_layout, server), offsetof(struct pqb_layout, app),
                offsetof(struct pqb_layout, alias),  offsetof(struct pqb_layout, event),
                offsetof(struct pqb_layout, account)};
            size_t at = first + chance() % (size - first);
            if (i % 2)
                at = hot[chance() % (sizeof hot / sizeof *hot)] + chance() % 400;
            uint64_t value = chance() >> chance() % 64;
            memcpy((unsigned char *)map + at, &value, 1 + chance() % 8);
        }
        usleep(20);
    }
}

static int live_beside_scribbler(uint64_t seed)
{
    struct pqb_ledger ledger;
    struct stat before, after;
    int own = open("/dev/null", O_RDONLY | O_CLOEXEC);
    child_must(own >= 0 && !fstat(own, &before));
    unsigned had = support_descriptors();
    child_must(!pqb_ledger_open(&ledger, path, 1, &error));
    struct pqb_layout *map = ledger.region->map;
    pid_t member = support_fork();
    if (!member)
        scribble_on(map, seed);
    do_everything(&ledger, 4);
    support_kill(member);
    pqb_ledger_close(&ledger);
    child_must(support_descriptors() == had);
    child_must(!fstat(own, &after) && before.st_rdev == after.st_rdev);
    child_must(!pqb_steer_reset(path, 1, &error));
    child_must(!pqb_ledger_open(&ledger, path, 1, &error));
    child_must(!works_again(&ledger));
    pqb_ledger_close(&ledger);
    return 0;
}

Test(region, a_member_who_scribbles_all_the_time_harms_nobody)
{
    for (uint64_t seed = 0; seed < 60; seed++) {
        assert_child(live_beside_scribbler, seed);
        if (seed % 16 == 15)
            entries(1);
    }
}
