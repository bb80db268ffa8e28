/* A DATABASE_URL to paste, with a pool's size in it and no password. */
#ifndef PQB_TOOL_URL_H
#define PQB_TOOL_URL_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct pqb_url {
    const char *uri; /* what the user said, if it is a URI: all of it stays but what is ours */
    const char *user, *host, *port, *database; /* else these; each may be NULL */
};

/* Prints it, with connection_limit and application_name as given. Where a password was, there is
 * the word PASSWORD. What a shell or a .env file would make something of is percent-encoded, so
 * that it can stand in single quotes. */
void pqb_url_print(FILE *out, const struct pqb_url *url, uint32_t limit, const char *name);

#endif
