/*
 * The libpqs that are loaded: one table of real functions for each, never one pointer per symbol.
 *
 * Which one a call means is told by who calls: what the caller's own object would have been bound
 * to, else what comes behind us in the program's scope, else the one libpq that is loaded at all.
 * The libpq of a connection is remembered with it and not looked for again.
 */
#ifndef PQB_PRELOAD_LIBRARY_H
#define PQB_PRELOAD_LIBRARY_H

#include "preload/dl.h"
#include "preload/pq.h"
#include "preload/state.h"

struct pqb_libpq {
    uintptr_t start, end;  /* where it is mapped. It is kept open, and stays there */
    _Atomic uint32_t port; /* its default one, 0 = not asked yet: pqb_libpq_port */
    struct _PQconninfoOption *_Atomic options; /* NULL = not asked yet: pqb_libpq_options */
    /* The real functions. Those that not every version has may be NULL. */
#define PQB_PQ_POINTER(result, name, parameters, arguments) result(*name) parameters;
    PQB_PQ_HOOKED(PQB_PQ_POINTER)
    PQB_PQ_ASKED(PQB_PQ_POINTER)
    PQB_PQ_OPTIONAL(PQB_PQ_POINTER)
#undef PQB_PQ_POINTER
};

/* The libpq that the caller of a function means, from its return address. NULL if none is loaded.
 */
struct pqb_libpq *pqb_libpq_of(const void *caller);

/* The same for signal handlers: takes no lock and asks the loader nothing, as long as any libpq is
 * known. */
struct pqb_libpq *pqb_libpq_known(const void *caller);

/* The libpq that has a function at this address. */
struct pqb_libpq *pqb_libpq_at(const void *function);

/* The port that it was built to connect to where nobody names one. */
uint32_t pqb_libpq_port(struct pqb_libpq *pq);

/* What it knows: the keywords, and the variable of each. NULL without memory. */
const struct _PQconninfoOption *pqb_libpq_options(struct pqb_libpq *pq);

/* The number of a hooked function, -1 if it is none. */
int pqb_libpq_hook_number(const char *name);

/* The wrapper of a hooked function that always means this libpq. NULL if there are too many. */
void *pqb_libpq_bound(const struct pqb_libpq *pq, unsigned hook);

#define PQB_LIBPQS 64      /* more are passed by */
#define PQB_LIBPQS_BOUND 4 /* of these, those with wrappers of their own */
extern struct pqb_libpq pqb_libpqs[PQB_LIBPQS] __attribute__((visibility("hidden")));

/* Made with the exported functions (libpq.c): a wrapper per libpq and hook. */
extern void *const pqb_libpq_wrappers[PQB_LIBPQS_BOUND][PQB_PQ_HOOKS]
    __attribute__((visibility("hidden")));

/* The libpq that this thread is inside of, if the call comes out of it or out of ourselves (some of
 * its functions jump to another at their end). NULL: the program calls. */
static inline struct pqb_libpq *pqb_libpq_inside(const void *caller)
{
    struct pqb_libpq *pq = pqb_thread.inside;
    if (!pq)
        return NULL;
    int is_its = (uintptr_t)caller >= pq->start && (uintptr_t)caller < pq->end;
    return is_its || pqb_dl_is_ours(caller) ? pq : NULL;
}

#endif
