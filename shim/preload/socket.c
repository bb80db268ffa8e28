/* The one function of libc's that the front door needs: a refused connection's connect() fails, so
 * that libpq makes a real PGconn in CONNECTION_BAD and no packet leaves. */
#include "preload/dl.h"
#include "preload/library.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

typedef int connect_function(int, const struct sockaddr *, socklen_t);

static connect_function *libc_connect(void)
{
    static void *_Atomic real;
    void *found = real;
    connect_function *function;
    if (!found)
        real = found = pqb_dl_next("connect");
    memcpy(&function, &found, sizeof found);
    return function;
}

__attribute__((visibility("default"))) int connect(int fd, const struct sockaddr *address,
                                                   socklen_t length)
{
    if (pqb_thread.refuses && pqb_libpq_inside(__builtin_return_address(0))) {
        errno = EUSERS;
        return -1;
    }
    connect_function *real = libc_connect();
    if (!real) {
        errno = ENOSYS;
        return -1;
    }
    return real(fd, address, length);
}
