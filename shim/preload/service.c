#include "preload/service.h"

#include "conninfo/buffer.h"
#include "conninfo/service.h"
#include "ledger/os.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILE_LARGEST 1048576u

/* All of a file; NULL if it can't be read. */
static char *read_file(const char *path, size_t *length)
{
    char *text = NULL;
    ssize_t got = 1;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    *length = 0;
    if (fd >= 0)
        text = malloc(FILE_LARGEST);
    while (text && got > 0 && *length < FILE_LARGEST) {
        got = read(fd, text + *length, FILE_LARGEST - *length);
        if (got < 0 && errno == EINTR)
            got = 1;
        else if (got > 0)
            *length += (size_t)got;
    }
    if (fd >= 0)
        pqb_close(fd);
    if (text && (got || *length == FILE_LARGEST)) {
        free(text);
        return NULL;
    }
    return text;
}

/* PQB_ABSENT: the next file is asked, also if this one is not there. */
static enum pqb_status look(const char *folder, const char *name, const char *service,
                            const struct pqb_keywords *known, struct pqb_params *params)
{
    char path[PATH_MAX];
    size_t length;
    if (snprintf(path, sizeof path, "%s%s", folder, name) >= (int)sizeof path)
        return PQB_INVALID;
    char *text = read_file(path, &length);
    if (!text)
        return access(path, F_OK) ? PQB_ABSENT : PQB_INVALID;
    enum pqb_status status = pqb_service_read(text, length, service, known, params);
    /* There may be a password in it. */
    explicit_bzero(text, length);
    free(text);
    return status;
}

static enum pqb_status find(const char *service, const struct pqb_keywords *known,
                            struct pqb_params *params)
{
    /* Where the packages of Debian, Red Hat and FreeBSD have it, and PostgreSQL built by hand. */
    static const char *const folders[] = {"/etc/postgresql-common", "/etc/sysconfig/pgsql",
                                          "/usr/local/etc/postgresql", "/usr/local/pgsql/etc"};
    const char *file = getenv("PGSERVICEFILE"), *home = getenv("HOME"),
               *folder = getenv("PGSYSCONFDIR");
    enum pqb_status status = PQB_INVALID;
    if (file)
        status = look("", file, service, known, params);
    else if (home && *home)
        status = look(home, "/.pg_service.conf", service, known, params);
    if (folder && status == PQB_ABSENT)
        return look(folder, "/pg_service.conf", service, known, params);
    for (size_t i = 0; i < sizeof folders / sizeof *folders && status == PQB_ABSENT; i++)
        status = look(folders[i], "/pg_service.conf", service, known, params);
    return status;
}

int pqb_service_find(const char *service, const struct pqb_keywords *known,
                     struct pqb_params *params)
{
    int saved = errno;
    enum pqb_status status = find(service, known, params);
    if (status)
        pqb_params_clear(params);
    errno = saved;
    return !status;
}
