/* A process's command line as it may be shown to others: without the passwords in it. */
#ifndef PQB_LEDGER_COMMAND_H
#define PQB_LEDGER_COMMAND_H

#include <stddef.h>

/* Makes one text, in place, of `length` bytes as /proc/PID/cmdline has them: the arguments with
 * blanks between, a "*" where a password was, be it in a URL or behind "password=". `line` has room
 * for one byte more than `length`. An argument that goes on behind the last byte may be cut within
 * its password: then that is hidden as well. Returns the text's length. */
size_t pqb_command_show(char *line, size_t length);

#endif
