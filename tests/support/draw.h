/* Random numbers that a seed brings back: splitmix64, for each process its own. */
#ifndef PQB_TESTS_DRAW_H
#define PQB_TESTS_DRAW_H

#include <stdint.h>

/* Where this process's numbers are. A forked child changes it, or draws what its parent draws. */
extern uint64_t draw_seed;

/* One of 0 to below − 1. */
uint64_t draw(uint64_t below);

#endif
