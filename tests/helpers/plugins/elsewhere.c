/* Preloaded before everything: db.test is a host at 10.1.2.3, which answers on this machine's
 * loopback; every TCP connection seems to go there. */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <netdb.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

int getaddrinfo(const char *restrict node, const char *restrict service,
                const struct addrinfo *restrict hints, struct addrinfo **restrict result)
{
    int (*next)(const char *, const char *, const struct addrinfo *, struct addrinfo **) =
        (int (*)(const char *, const char *, const struct addrinfo *, struct addrinfo **))dlsym(
            RTLD_NEXT, "getaddrinfo");
    int is_ours = node && !strcmp(node, "db.test");
    return next(is_ours ? "127.0.0.1" : node, service, hints, result);
}

int getpeername(int fd, struct sockaddr *restrict address, socklen_t *restrict length)
{
    long result = syscall(SYS_getpeername, fd, address, length);
    if (!result && address->sa_family == AF_INET)
        ((struct sockaddr_in *)address)->sin_addr.s_addr = inet_addr("10.1.2.3");
    return (int)result;
}
