/* The value of libpq's `options`: words of a command line for the server, split at blanks, with a
 * backslash before a blank or a backslash that belongs to a word. */
#ifndef PQB_CONNINFO_OPTIONS_H
#define PQB_CONNINFO_OPTIONS_H

#include "conninfo/buffer.h"

/* False if it ends in an odd number of backslashes: the last would take the blank before whatever
 * is put behind it. */
int pqb_options_is_whole(const char *options);

/* Puts it behind a blank, unless the buffer is empty or there is nothing to put. A last backslash
 * that escapes nothing is left out. */
void pqb_options_add(struct pqb_buffer *buffer, const char *options);

/* Puts `-c name=value`, escaped. */
void pqb_options_add_setting(struct pqb_buffer *buffer, const char *name, const char *value);

/* True if the words of `part` stand in `options`, together and in this order; at its very end, for
 * the second. Nothing is in everything. */
int pqb_options_contains(const char *options, const char *part);
int pqb_options_ends_with(const char *options, const char *part);

/* Adds to the buffer what `options` sets `name` to, in the end. False if they don't. */
int pqb_options_find(const char *options, const char *name, struct pqb_buffer *value);

#endif
