/* Other processes that have a socket of ours: forked children, as long as they run no other
 * program. Asked of /proc, which takes some milliseconds on a machine with many processes. */
#ifndef PQB_PRELOAD_KIN_H
#define PQB_PRELOAD_KIN_H

#include <stdint.h>

struct pqb_kin_socket {
    uint64_t inode;
    int is_shared; /* another process has it, or may */
};

/* Says it of each of these. A child of another user, who runs a setuid program, is not looked at:
 * sockets of PostgreSQL's clients don't survive an exec. Keeps errno. */
void pqb_kin_look(struct pqb_kin_socket *socket, unsigned count);

#endif
