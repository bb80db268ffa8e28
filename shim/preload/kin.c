#include "preload/kin.h"

#include "ledger/os.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void all_are_shared(struct pqb_kin_socket *socket, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        socket[i].is_shared = 1;
}

/* A file of a process in /proc. 0 if it has gone, or is not shown. */
static int read_file(int32_t pid, const char *name, char *text, size_t size)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? 0 : pread(fd, text, size - 1, 0);
    if (fd >= 0)
        pqb_close(fd);
    text[got > 0 ? got : 0] = 0;
    return got > 0;
}

/* When it began, in clock ticks; 0 if that can't be told. Its name may hold blanks. */
static unsigned long long start_of(int32_t pid)
{
    char text[1024];
    const char *field = read_file(pid, "stat", text, sizeof text) ? strrchr(text, ')') : NULL;
    for (unsigned number = 3; field && number <= 22; number++)
        field = strchr(field + 1, ' ');
    return field ? strtoull(field, NULL, 10) : 0;
}

static int is_another_user(int32_t pid)
{
    char text[1024];
    const char *line = read_file(pid, "status", text, sizeof text) ? strstr(text, "\nUid:") : NULL;
    return line && strtoul(line + 5, NULL, 10) != getuid();
}

static void compare(const char *link, struct pqb_kin_socket *socket, unsigned count)
{
    unsigned long long inode;
    if (sscanf(link, "socket:[%llu]", &inode) != 1)
        return;
    for (unsigned i = 0; i < count; i++)
        socket[i].is_shared |= socket[i].inode == inode;
}

static void look_at(int32_t pid, struct pqb_kin_socket *socket, unsigned count)
{
    char path[64];
    struct dirent *entry;
    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    DIR *descriptors = opendir(path);
    if (!descriptors && errno != ENOENT && errno != ESRCH && !is_another_user(pid))
        all_are_shared(socket, count);
    while (descriptors && (entry = readdir(descriptors))) {
        char link[64];
        ssize_t length = readlinkat(dirfd(descriptors), entry->d_name, link, sizeof link - 1);
        if (length <= 0)
            continue;
        link[length] = 0;
        compare(link, socket, count);
    }
    if (descriptors)
        closedir(descriptors);
}

void pqb_kin_look(struct pqb_kin_socket *socket, unsigned count)
{
    int saved = errno;
    struct dirent *entry;
    int32_t self = (int32_t)getpid();
    unsigned long long start = start_of(self);
    DIR *processes = opendir("/proc");
    for (unsigned i = 0; i < count; i++)
        socket[i].is_shared = 0;
    if (!processes || !start)
        all_are_shared(socket, count);
    while (processes && start && (entry = readdir(processes))) {
        int32_t pid = (int32_t)strtol(entry->d_name, NULL, 10);
        /* A child is no older than its parent. */
        if (pid > 0 && pid != self && start_of(pid) >= start)
            look_at(pid, socket, count);
    }
    if (processes)
        closedir(processes);
    errno = saved;
}
