/* How a socket looks while nothing is read from it. */
#include "sockets.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <unistd.h>

static int edges = -1;

static int by_poll(void)
{
    struct pollfd look = {.fd = current, .events = POLLIN | POLLOUT};
    poll(&look, 1, 0);
    return (look.revents & POLLIN ? 1 : 0) | (look.revents & POLLOUT ? 2 : 0) |
           (look.revents & (POLLERR | POLLHUP | POLLNVAL) ? 4 : 0);
}

static int by_select(void)
{
    fd_set in, out;
    struct timeval none = {0, 0};
    FD_ZERO(&in);
    FD_SET(current, &in);
    out = in;
    select(current + 1, &in, &out, NULL, &none);
    return (FD_ISSET(current, &in) ? 1 : 0) | (FD_ISSET(current, &out) ? 2 : 0);
}

static int by_epoll(uint32_t how)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | how};
    int set = epoll_create1(0), found = 0;
    if (set < 0 || epoll_ctl(set, EPOLL_CTL_ADD, current, &event))
        give_up("epoll");
    if (epoll_wait(set, &event, 1, 0) == 1)
        found = (event.events & EPOLLIN ? 1 : 0) | (event.events & EPOLLOUT ? 2 : 0) |
                (event.events & (EPOLLERR | EPOLLHUP) ? 4 : 0);
    close(set);
    return found;
}

/* All that can be asked agrees: "write", "read", … */
static void look(void)
{
    static const char *const names[] = {"nothing", "read", "write", "read write",
                                        "broken",  "read", "write", "read write"};
    int error = -1, found = by_poll();
    socklen_t size = sizeof error;
    struct sockaddr_storage peer;
    socklen_t length = sizeof peer;
    if (by_select() != found || by_epoll(0) != found || by_epoll(EPOLLET) != found)
        stage_say("poll %d select %d epoll %d, edges %d", found, by_select(), by_epoll(0),
                  by_epoll(EPOLLET));
    if (getsockopt(current, SOL_SOCKET, SO_ERROR, &error, &size) || error)
        stage_say("SO_ERROR %s", strerrorname_np(error));
    if (getpeername(current, (struct sockaddr *)&peer, &length))
        stage_say("getpeername: %s", strerrorname_np(errno));
    stage_say("%s", names[found]);
}

/* Waits until it can be read, by one of them. */
static void await(void)
{
    const char *how = stage_argument();
    struct pollfd look_at = {.fd = current, .events = POLLIN};
    struct epoll_event event = {.events = EPOLLIN};
    struct timeval long_time = {20, 0};
    fd_set in;
    int found = 0;
    if (!strcmp(how, "poll")) {
        found = poll(&look_at, 1, 20000);
    } else if (!strcmp(how, "select")) {
        FD_ZERO(&in);
        FD_SET(current, &in);
        found = select(current + 1, &in, NULL, NULL, &long_time);
    } else if (!strcmp(how, "epoll")) {
        int set = epoll_create1(0);
        epoll_ctl(set, EPOLL_CTL_ADD, current, &event);
        found = epoll_wait(set, &event, 1, 20000);
        close(set);
    } else {
        found = epoll_wait(edges, &event, 1, 20000);
    }
    if (found != 1)
        stage_say("nothing to read");
}

/* From now on only what is new is heard of: `await edge`. */
static void watch_edges(void)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLET};
    edges = epoll_create1(0);
    if (edges < 0 || epoll_ctl(edges, EPOLL_CTL_ADD, current, &event))
        give_up("epoll");
    epoll_wait(edges, &event, 1, 0);
}

const struct stage_step watching_steps[] = {
    {"look", look},
    {"await", await},
    {"edges", watch_edges},
    {0},
};
