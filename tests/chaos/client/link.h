/* One connection to the server, by plain sockets or by libpq, with or without blocking. Knows
 * nothing of pqbudget but the words of its refusal. */
#ifndef PQB_CHAOS_LINK_H
#define PQB_CHAOS_LINK_H

#include <libpq-fe.h>
#include <stddef.h>
#include <sys/socket.h>

enum link_phase {
    LINK_NONE,
    LINK_CONNECTING, /* the socket is */
    LINK_ASKING,     /* its startup packet has gone; or libpq is at it */
    LINK_OPEN,
    LINK_FAILED,
};

struct link_way {
    int is_libpq, is_unix, is_blocking;
    int asks_tls; /* first; the server declines */
};

struct link {
    struct link_way way;
    enum link_phase phase;
    pid_t by;     /* who began it */
    int fd;       /* a plain one's; else -1 */
    PGconn *conn; /* libpq's; else NULL */
    short events; /* what it waits for, without blocking */
    char heard[4096];
    size_t length;
    char why[400]; /* it has failed */
};

/* Begins; one that blocks ends with it. */
void link_begin(struct link *link, const struct link_way *way);
/* Without blocking: goes on as far as it goes. */
void link_step(struct link *link);
/* The descriptor to poll; -1 if there is none. */
int link_fd(const struct link *link);

/* Asks a query and hears the answer. 0 if the connection is broken. */
int link_query(struct link *link, const char *text);

/* The query failed since the connection has given way: as far as a program can tell, its server
 * ended it for being idle. */
int link_gave_way(const struct link *link);

/* Closes, by one of the roads. A copy of a parent's is closed by those that don't say goodbye. */
#define LINK_ROADS 8
#define LINK_COPY_ROADS 5
void link_close(struct link *link, unsigned road);

#endif
