/* What the files of the program beside this one share. */
#ifndef PQB_SOCKETS_H
#define PQB_SOCKETS_H

#include "support/stage.h"

#include <stddef.h>
#include <sys/types.h>

extern const struct stage_step connecting_steps[], writing_steps[], reading_steps[],
    watching_steps[], copying_steps[], many_steps[], session_steps[];

/* The descriptor that steps use. */
extern int current;

/* A socket that leads to `kind`: tcp, tcp6 or mapped, the server's port there; unix, its socket; a
 * number, that port of 127.0.0.1. */
int socket_for(const char *kind);
int connect_to(int fd, const char *kind);

/* What a client says first; the packet's length. */
#define STARTUP_ROOM 512
size_t make_startup(char *to);

/* Reads until the server waits for us: "ok", "ok VALUE", an SQLSTATE and what comes behind it,
 * "end", or an error's name. */
const char *hear_outcome(int fd);

/* A number from the command line. */
long number(void);

/* errno is this before a call that must not change it. */
#define UNTOUCHED 9999

/* Says so if it did. */
void check_errno(const char *call);

/* Ends the program: nothing of what is tested. */
void give_up(const char *what) __attribute__((noreturn));

#endif
