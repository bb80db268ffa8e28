#include "tool/program.h"

#include "ledger/command.h"

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MOST (1u << 20)

static void path_of(int32_t pid, const char *file, char path[64])
{
    snprintf(path, 64, "/proc/%d/%s", pid, file);
}

/* The beginning of a file of /proc; how much, -1 if it can't be read. */
static ssize_t read_file(int32_t pid, const char *file, char *to, size_t capacity)
{
    char path[64];
    size_t length = 0;
    ssize_t got = -1;
    path_of(pid, file, path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    while (length < capacity && (got = read(fd, to + length, capacity - length)) > 0)
        length += (size_t)got;
    close(fd);
    return length || !got ? (ssize_t)length : -1;
}

/* All of it as one text, NULL if it can't be read. */
static char *read_whole(int32_t pid, const char *file, size_t *length)
{
    char *buffer = malloc(FILE_MOST), *text = NULL;
    ssize_t got = buffer ? read_file(pid, file, buffer, FILE_MOST) : -1;
    if (got >= 0)
        text = malloc((size_t)got + 1);
    if (text) {
        memcpy(text, buffer, (size_t)got);
        text[got] = 0;
        *length = (size_t)got;
    }
    free(buffer);
    return text;
}

/* A process that has no command line (a kernel's thread, one that ends) has a name. */
static void read_command(struct pqb_program *program)
{
    ssize_t got = read_file(program->pid, "comm", program->name, sizeof program->name - 1);
    program->name[got > 0 ? got - (program->name[got - 1] == '\n') : 0] = 0;
    got = read_file(program->pid, "cmdline", program->command, sizeof program->command - 1);
    if (!pqb_command_show(program->command, got > 0 ? (size_t)got : 0))
        snprintf(program->command, sizeof program->command, "[%s]", program->name);
}

/* Does a line of the memory map name that library, of whatever version? */
static int line_names(const char *line, size_t length, const char *library)
{
    const char *slash = memrchr(line, '/', length);
    return slash && (size_t)(line + length - slash) > strlen(library) &&
           !memcmp(slash + 1, library, strlen(library));
}

static void read_map(struct pqb_program *program, const char *map)
{
    for (size_t length; *map; map += length + (map[length] != 0)) {
        length = strcspn(map, "\n");
        if (line_names(map, length, PQB_PROGRAM_LIBRARY)) {
            program->has_preload = 1;
            program->is_replaced |= memmem(map, length, " (deleted)", 10) != NULL;
        } else if (line_names(map, length, "libpq.so")) {
            program->has_libpq = 1;
        }
    }
}

static int is_secure(int32_t pid)
{
    ElfW(auxv_t) vector[64];
    ssize_t got = read_file(pid, "auxv", (char *)vector, sizeof vector);
    for (size_t i = 0; got > 0 && i < (size_t)got / sizeof *vector; i++)
        if (vector[i].a_type == AT_SECURE)
            return vector[i].a_un.a_val != 0;
    return 0;
}

static int shares_memory(int32_t pid)
{
    char path[64];
    struct stat its, own;
    path_of(pid, "root/dev/shm", path);
    return !stat(path, &its) && !stat("/dev/shm", &own) && its.st_dev == own.st_dev &&
           its.st_ino == own.st_ino;
}

static void look_inside(struct pqb_program *program)
{
    size_t length;
    char path[64], *map = read_whole(program->pid, "maps", &length);
    program->environment =
        map ? read_whole(program->pid, "environ", &program->environment_length) : NULL;
    program->is_seen = program->environment != NULL;
    if (program->is_seen) {
        read_map(program, map);
        program->is_secure = is_secure(program->pid);
        program->shares_memory = shares_memory(program->pid);
        path_of(program->pid, "exe", path);
        program->binary = pqb_binary_look(path);
    }
    free(map);
}

void pqb_program_look(int32_t pid, struct pqb_program *program)
{
    char path[64];
    struct stat status;
    *program = (struct pqb_program){.pid = pid};
    path_of(pid, "", path);
    if (pid <= 0 || stat(path, &status))
        return;
    program->is_there = 1;
    program->uid = status.st_uid;
    read_command(program);
    look_inside(program);
}

void pqb_program_free(struct pqb_program *program)
{
    free(program->environment);
    program->environment = NULL;
}

const char *pqb_program_variable(const struct pqb_program *program, const char *name)
{
    const char *at = program->environment, *end = at + program->environment_length;
    size_t length = strlen(name);
    for (; at && at < end; at += strlen(at) + 1)
        if (!strncmp(at, name, length) && at[length] == '=')
            return at[length + 1] ? at + length + 1 : NULL;
    return NULL;
}
