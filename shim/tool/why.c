#include "tool/why.h"

#include "ledger/region.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define START_IT "start it by pqbudget-run, or with LD_PRELOAD=libpqbudget.so"
#define COUNT_IT "nothing can count it here: leave room for it below max_connections"

static const struct pqb_why_words words[PQB_WHYS] = {
    [PQB_WHY_NONE] = {PQB_KIND_MANAGED, "managed", NULL, NULL},
    [PQB_WHY_TOOL] = {PQB_KIND_UNMANAGED, "tool", NULL, NULL},
    [PQB_WHY_FORWARDER] =
        {PQB_KIND_UNMANAGED, "forwarder",
         "a pooler or forwarder: who is behind it can't be seen from here",
         "size its own pool, and put its clients under pqbudget with its address"},
    [PQB_WHY_OFF] = {PQB_KIND_UNMANAGED, "off", "PQBUDGET=off in its environment",
                     "start it without that"},
    [PQB_WHY_LEDGER] = {PQB_KIND_UNMANAGED, "other_ledger", "counted in another ledger",
                        "give all of them the same PQBUDGET_LEDGER; an absolute path, if their "
                        "users differ"},
    [PQB_WHY_CONTAINER] = {PQB_KIND_UNMANAGED, "container",
                           "in a container whose /dev/shm is its own",
                           "start the container with --ipc=host, or mount this /dev/shm in it"},
    [PQB_WHY_DOOR] = {PQB_KIND_UNMANAGED, "door_off",
                      "PQBUDGET_DOORS leaves out the door that it comes through",
                      "start it without PQBUDGET_DOORS"},
    [PQB_WHY_PORT] = {PQB_KIND_UNMANAGED, "port", "the server's port is not in its PQBUDGET_PORTS",
                      "add the port to PQBUDGET_PORTS and start it again"},
    [PQB_WHY_GO] = {PQB_KIND_UNMANAGED, "go", "a Go program: it makes its system calls itself",
                    COUNT_IT},
    [PQB_WHY_REPLACED] = {PQB_KIND_UNMANAGED, "replaced_library",
                          "its libpqbudget.so has been replaced since it started",
                          "start it again"},
    [PQB_WHY_EARLIER] = {PQB_KIND_UNMANAGED, "earlier", "connected before this ledger was made",
                         "start it again, and remove ledgers only with \"pqbudget reset\""},
    [PQB_WHY_PAST] = {PQB_KIND_UNMANAGED, "past_the_hooks",
                      "under the preload, but it connected past it, or could not use the ledger "
                      "then",
                      "see what it logs with PQBUDGET_LOG=info"},
    [PQB_WHY_STATIC] = {PQB_KIND_UNMANAGED, "static", "a static program: it loads no library",
                        COUNT_IT},
    [PQB_WHY_SETUID] = {PQB_KIND_UNMANAGED, "setuid",
                        "a setuid program: its loader ignores LD_PRELOAD", COUNT_IT},
    [PQB_WHY_WORD_SIZE] = {PQB_KIND_UNMANAGED, "word_size",
                           "of another word size than libpqbudget.so", COUNT_IT},
    [PQB_WHY_NO_LIBRARY] = {PQB_KIND_UNMANAGED, "no_library",
                            "its LD_PRELOAD names a libpqbudget.so that is not there",
                            "correct the path, and start it again"},
    [PQB_WHY_NOT_LOADED] = {PQB_KIND_UNMANAGED, "not_loaded",
                            "its LD_PRELOAD names libpqbudget.so, which was not loaded",
                            "see what its loader said on stderr when it started"},
    [PQB_WHY_NOT_PRELOADED] = {PQB_KIND_UNMANAGED, "not_preloaded", "started without the preload",
                               START_IT},
    [PQB_WHY_OTHER_USER] = {PQB_KIND_UNMANAGED, "other_user",
                            "another user's, whose ledger is another one",
                            "let both use one PQBUDGET_LEDGER by an absolute path; run the doctor "
                            "as root to see more"},
    [PQB_WHY_REMOTE] = {PQB_KIND_REMOTE, "remote", "on another machine or in a container",
                        "give each machine its share of the limit: \"pqbudget plan\""},
    [PQB_WHY_HIDDEN] = {PQB_KIND_UNKNOWN, "hidden", "another role's: the server hides who it is",
                        "ask as a role that has pg_read_all_stats"},
    [PQB_WHY_UNSEEN] = {PQB_KIND_UNKNOWN, "unseen",
                        "nobody to be seen at the other end: another user's process, or another "
                        "network namespace's",
                        "run the doctor as root, on the host"},
};

const struct pqb_why_words *pqb_why_words(enum pqb_why why)
{
    return &words[why];
}

const char *pqb_kind_name(enum pqb_kind kind)
{
    static const char *const names[] = {"managed", "unmanaged", "remote", "unknown"};
    return names[kind];
}

/* ---- the process ---- */

/* Programs that pass on what others say. */
static int is_forwarder(const struct pqb_program *program)
{
    static const char *const names[] = {
        "pgbouncer",       "pgcat",        "odyssey",      "pgagroal",    "pgpool",
        "haproxy",         "docker-proxy", "rootlessport", "slirp4netns", "pasta",
        "cloud-sql-proxy", "ssh",          "sshd",         "socat",       NULL};
    for (const char *const *name = names; *name; name++)
        if (!strncmp(program->name, *name, 15)) /* the kernel keeps so much of a name */
            return 1;
    return 0;
}

static int is_this_tool(const struct pqb_program *program)
{
    char path[64];
    struct stat its, own;
    snprintf(path, sizeof path, "/proc/%d/exe", program->pid);
    return !stat(path, &its) && !stat("/proc/self/exe", &own) && its.st_ino == own.st_ino &&
           its.st_dev == own.st_dev;
}

/* Does that word stand in the list? */
static int lists(const char *list, const char *word)
{
    size_t length = strlen(word);
    for (size_t part; *list; list += part + (list[part] != 0)) {
        list += strspn(list, " ");
        part = strcspn(list, ",");
        if (part >= length && !strncasecmp(list, word, length) &&
            strspn(list + length, " ") == part - length)
            return 1;
    }
    return 0;
}

static int is_off(const struct pqb_program *program)
{
    const char *value = pqb_program_variable(program, "PQBUDGET");
    return value && lists("off,0,no,false", value);
}

static int is_door_off(const struct pqb_program *program)
{
    const char *value = pqb_program_variable(program, "PQBUDGET_DOORS");
    return value && !lists(value, "socket") && !program->has_libpq;
}

/* A libpq's connections are seen whatever their port is. */
static int is_port_off(const struct pqb_program *program, unsigned port)
{
    char wanted[16];
    const char *value = pqb_program_variable(program, "PQBUDGET_PORTS");
    snprintf(wanted, sizeof wanted, "%u", port);
    return !program->has_libpq && !lists(value ? value : "5432", wanted);
}

/* The path that a name means is each user's own. */
static int has_other_ledger(const struct pqb_program *program, const char *ledger)
{
    char path[PQB_REGION_PATH], its[PQB_REGION_PATH + 32];
    const char *name = pqb_program_variable(program, "PQBUDGET_LEDGER");
    if (pqb_region_path(name, path, NULL))
        return 1;
    if (name && *name == '/')
        return strcmp(name, ledger) != 0;
    snprintf(its, sizeof its, "/dev/shm/pqbudget.%u.%s", program->uid, name ? name : "default");
    return strcmp(its, ledger) != 0;
}

static int names_library(const char *preload)
{
    return preload && strstr(preload, PQB_PROGRAM_LIBRARY) != NULL;
}

/* Is there a file where its LD_PRELOAD says that the library is, as the process sees it? */
static int has_library(const struct pqb_program *program, const char *preload)
{
    char path[4160];
    for (size_t length; *preload; preload += length + (preload[length] != 0)) {
        length = strcspn(preload, ": ");
        snprintf(path, sizeof path, "/proc/%d/root%.*s", program->pid, (int)length, preload);
        if (*preload == '/' && strstr(path, PQB_PROGRAM_LIBRARY) && !access(path, F_OK))
            return 1;
        if (*preload != '/' && length >= strlen(PQB_PROGRAM_LIBRARY))
            return 1; /* the loader has folders of its own to search */
    }
    return 0;
}

static enum pqb_why why_under_preload(const struct pqb_program *program,
                                      const struct pqb_why_place *place, long long age_ms)
{
    if (is_off(program))
        return PQB_WHY_OFF;
    if (!program->shares_memory)
        return PQB_WHY_CONTAINER;
    if (has_other_ledger(program, place->ledger))
        return PQB_WHY_LEDGER;
    if (is_door_off(program))
        return PQB_WHY_DOOR;
    if (program->binary.is_go)
        return PQB_WHY_GO;
    if (is_port_off(program, place->port))
        return PQB_WHY_PORT;
    if (program->is_replaced)
        return PQB_WHY_REPLACED;
    if (age_ms >= 0 && (uint64_t)age_ms > place->made_ago_ms)
        return PQB_WHY_EARLIER;
    return PQB_WHY_PAST;
}

static enum pqb_why why_without(const struct pqb_program *program)
{
    const char *preload = pqb_program_variable(program, "LD_PRELOAD");
    if (program->binary.is_static)
        return PQB_WHY_STATIC;
    if (program->is_secure)
        return PQB_WHY_SETUID;
    if (program->binary.is_other_size)
        return PQB_WHY_WORD_SIZE;
    if (names_library(preload))
        return has_library(program, preload) ? PQB_WHY_NOT_LOADED : PQB_WHY_NO_LIBRARY;
    return PQB_WHY_NOT_PRELOADED;
}

enum pqb_why pqb_why_of(const struct pqb_program *program, const struct pqb_why_place *place,
                        long long age_ms)
{
    if (!program->is_there)
        return PQB_WHY_UNSEEN;
    if (is_forwarder(program))
        return PQB_WHY_FORWARDER;
    if (!program->is_seen) /* of our own only what its loader treats so is closed to us */
        return program->uid == geteuid() ? PQB_WHY_SETUID : PQB_WHY_OTHER_USER;
    if (is_this_tool(program))
        return PQB_WHY_TOOL;
    return program->has_preload ? why_under_preload(program, place, age_ms) : why_without(program);
}
