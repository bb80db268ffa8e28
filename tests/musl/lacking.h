/* What tests/helpers/sockets has of glibc and not of musl. */
#ifndef PQB_MUSL_LACKING_H
#define PQB_MUSL_LACKING_H

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define __read_chk(fd, to, size, room) read(fd, to, size)
#define __recv_chk(fd, to, size, room, flags) recv(fd, to, size, flags)
#define __recvfrom_chk(fd, to, size, room, flags, from, length)                                    \
    recvfrom(fd, to, size, flags, from, length)
#define close_range(first, last, flags) (int)syscall(SYS_close_range, first, last, flags)
#define closefrom(first) (void)close_range(first, ~0u, 0)

/* Those that tests ask for. */
static inline const char *strerrorname_np(int error)
{
    switch (error) {
    case EAGAIN:
        return "EAGAIN";
    case EBADF:
        return "EBADF";
    case ECONNREFUSED:
        return "ECONNREFUSED";
    default:
        return strerror(error);
    }
}

#endif
