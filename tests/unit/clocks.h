/* The clocks as this program and what it is linked with are told them by libc: a test can set them,
 * as libfaketime does, or somebody who sets the wall clock just then. The kernel's own are as they
 * are. */
#ifndef PQB_TESTS_CLOCKS_H
#define PQB_TESTS_CLOCKS_H

/* Seconds. */
extern _Atomic int clocks_wall_ahead, clocks_boot_ahead;

#endif
