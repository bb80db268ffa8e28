#include "preload/libc.h"

#include "preload/dl.h"

#include <errno.h>
#include <string.h>

/* Threads that come first together store the same pointer. A function that this libc doesn't have
 * (close_range before 2.34) nobody calls but through us. */
#define FIND(result, name, parameters, arguments)                                                  \
    static result find_##name parameters                                                           \
    {                                                                                              \
        void *found = pqb_dl_next(#name);                                                          \
        if (!found) {                                                                              \
            errno = ENOSYS;                                                                        \
            return (result)-1;                                                                     \
        }                                                                                          \
        memcpy(&libc_##name, &found, sizeof found);                                                \
        return libc_##name arguments;                                                              \
    }                                                                                              \
    result(*libc_##name) parameters = find_##name;
PQB_LIBC(FIND)
