/* A process of this machine, and how it stands to pqbudget: what /proc says of it. */
#ifndef PQB_TOOL_PROGRAM_H
#define PQB_TOOL_PROGRAM_H

#include "tool/binary.h"

#include <stddef.h>
#include <stdint.h>

#define PQB_PROGRAM_LIBRARY "libpqbudget.so"

struct pqb_program {
    int32_t pid;
    uint32_t uid;
    int is_there;      /* else it has gone meanwhile, or never was */
    int is_seen;       /* we may look into it; else what follows the command is 0 */
    char name[32];     /* of the program that it runs */
    char command[256]; /* with its arguments, cut to fit; any bytes */
    int has_preload;   /* libpqbudget.so is in it */
    int is_replaced;   /* and its file has been replaced or removed since */
    int has_libpq;
    int is_secure;     /* setuid or the like: its loader ignores LD_PRELOAD */
    int shares_memory; /* /dev/shm is the same for it and for us */
    struct pqb_binary binary;
    char *environment; /* that it was started with: texts one after the other */
    size_t environment_length;
};

void pqb_program_look(int32_t pid, struct pqb_program *program);
void pqb_program_free(struct pqb_program *program);

/* Of the environment it was started with; NULL if it is not set, or empty. */
const char *pqb_program_variable(const struct pqb_program *program, const char *name);

#endif
