/*
 * The front door: what becomes of a call of libpq's connection functions.
 *
 * Each function is told the libpq that is meant, and calls its real function of the same name. The
 * exported functions (libpq.c) find out which libpq that is.
 */
#ifndef PQB_PRELOAD_FRONT_H
#define PQB_PRELOAD_FRONT_H

#include "preload/library.h"

#define PQB_FRONT_MAKER(result, name, parameters, arguments)                                       \
    result pqb_front_##name(struct pqb_libpq *pq, PQB_PQ_LIST parameters);
#define PQB_PQ_LIST(...) __VA_ARGS__
PQB_PQ_HOOKED(PQB_FRONT_MAKER)
#undef PQB_FRONT_MAKER

#endif
