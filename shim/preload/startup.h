/* What the environment puts into a StartupMessage that passes the side door: a name,
 * PQBUDGET_DEFAULTS where the program says nothing, PQBUDGET_FORCE over all of it. Of these strings
 * only what a startup packet can say: application_name, client_encoding, options. */
#ifndef PQB_PRELOAD_STARTUP_H
#define PQB_PRELOAD_STARTUP_H

#include <stddef.h>

/* Writes the packet of `length` bytes anew into `to`. 0 if it stays as it is. With a pooler in
 * between no options are added: it would refuse them. */
size_t pqb_startup_rewrite(const char *packet, size_t length, int is_pooled, char *to, size_t size);

#endif
