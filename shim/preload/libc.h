/*
 * libc's functions that are hooked: the real ones behind ours, found when they are first called.
 *
 * By dlsym(RTLD_NEXT), not by libc's inner names, so that a library preloaded behind us is not
 * passed by. X(result, name, (parameters), (arguments)). fcntl takes one argument or none, and
 * reads a pointer's width of it itself.
 */
#ifndef PQB_PRELOAD_LIBC_H
#define PQB_PRELOAD_LIBC_H

#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#ifdef __GLIBC__
typedef int pqb_sendmmsg_flags;
#else
typedef unsigned pqb_sendmmsg_flags; /* musl's */
#endif

#define PQB_LIBC_WRITERS(X)                                                                        \
    X(ssize_t, write, (int fd, const void *from, size_t size), (fd, from, size))                   \
    X(ssize_t, writev, (int fd, const struct iovec *part, int parts), (fd, part, parts))           \
    X(ssize_t, send, (int fd, const void *from, size_t size, int flags), (fd, from, size, flags))  \
    X(ssize_t, sendto,                                                                             \
      (int fd, const void *from, size_t size, int flags, const struct sockaddr *to,                \
       socklen_t length),                                                                          \
      (fd, from, size, flags, to, length))                                                         \
    X(ssize_t, sendmsg, (int fd, const struct msghdr *message, int flags), (fd, message, flags))   \
    X(int, sendmmsg,                                                                               \
      (int fd, struct mmsghdr *message, unsigned messages, pqb_sendmmsg_flags flags),              \
      (fd, message, messages, flags))

#define PQB_LIBC_READERS(X)                                                                        \
    X(ssize_t, read, (int fd, void *to, size_t size), (fd, to, size))                              \
    X(ssize_t, readv, (int fd, const struct iovec *part, int parts), (fd, part, parts))            \
    X(ssize_t, recv, (int fd, void *to, size_t size, int flags), (fd, to, size, flags))            \
    X(ssize_t, recvfrom,                                                                           \
      (int fd, void *to, size_t size, int flags, struct sockaddr *from, socklen_t *length),        \
      (fd, to, size, flags, from, length))                                                         \
    X(ssize_t, recvmsg, (int fd, struct msghdr *message, int flags), (fd, message, flags))         \
    X(ssize_t, __read_chk, (int fd, void *to, size_t size, size_t room), (fd, to, size, room))     \
    X(ssize_t, __recv_chk, (int fd, void *to, size_t size, size_t room, int flags),                \
      (fd, to, size, room, flags))                                                                 \
    X(ssize_t, __recvfrom_chk,                                                                     \
      (int fd, void *to, size_t size, size_t room, int flags, struct sockaddr *from,               \
       socklen_t *length),                                                                         \
      (fd, to, size, room, flags, from, length))

#define PQB_LIBC_OTHERS(X)                                                                         \
    X(int, connect, (int fd, const struct sockaddr *address, socklen_t length),                    \
      (fd, address, length))                                                                       \
    X(int, shutdown, (int fd, int how), (fd, how))                                                 \
    X(int, close, (int fd), (fd))                                                                  \
    X(int, close_range, (unsigned first, unsigned last, int flags), (first, last, flags))          \
    X(void, closefrom, (int first), (first))                                                       \
    X(int, dup, (int fd), (fd))                                                                    \
    X(int, fcntl, (int fd, int command, void *argument), (fd, command, argument))                  \
    X(int, fcntl64, (int fd, int command, void *argument), (fd, command, argument))                \
    X(int, dup2, (int fd, int to), (fd, to))                                                       \
    X(int, dup3, (int fd, int to, int flags), (fd, to, flags))                                     \
    X(int, getpeername, (int fd, struct sockaddr *address, socklen_t *length),                     \
      (fd, address, length))

#define PQB_LIBC(X) PQB_LIBC_WRITERS(X) PQB_LIBC_READERS(X) PQB_LIBC_OTHERS(X)

#define PQB_LIBC_POINTER(result, name, parameters, arguments)                                      \
    extern result(*libc_##name) parameters __attribute__((visibility("hidden")));
PQB_LIBC(PQB_LIBC_POINTER)
#undef PQB_LIBC_POINTER

#endif
