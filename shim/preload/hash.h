/* uthash, told not to end the host when there is no memory: an element that could not be added has
 * hh.tbl == NULL. */
#ifndef PQB_PRELOAD_HASH_H
#define PQB_PRELOAD_HASH_H

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#endif
