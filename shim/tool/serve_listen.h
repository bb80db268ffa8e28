/* Where `serve` listens. */
#ifndef PQB_TOOL_SERVE_LISTEN_H
#define PQB_TOOL_SERVE_LISTEN_H

#include "ledger/status.h"

#define PQB_LISTEN_TEXT 128

struct pqb_listener {
    int fd;
    char host[PQB_LISTEN_TEXT]; /* as it was given */
    int is_local;               /* only this machine can reach it */
    char text[PQB_LISTEN_TEXT]; /* "127.0.0.1:9188", with the port that was chosen for 0 */
};

/* `address` is HOST:PORT, [HOST]:PORT, or PORT alone, which is on 127.0.0.1. PQB_INVALID if it is
 * anything else. */
enum pqb_status pqb_listen(const char *address, struct pqb_listener *listener,
                           struct pqb_error *error) __attribute__((warn_unused_result));

#endif
