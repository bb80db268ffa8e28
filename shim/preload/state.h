/*
 * What a thread is doing just now, and the lock of what this process keeps.
 *
 * libpq calls itself through the same symbols that programs call it by: PQconnectdb comes back as
 * PQconnectStart. While a thread is inside a call of ours into a libpq, a call that comes from that
 * libpq passes straight through. One that comes from elsewhere does not: it is a callback of the
 * program's, or the thread left the earlier call by a longjmp and the mark is stale.
 */
#ifndef PQB_PRELOAD_STATE_H
#define PQB_PRELOAD_STATE_H

#include "ledger/process.h"

struct pqb_connection;
struct pqb_libpq;

struct pqb_thread {
    struct pqb_libpq *inside; /* the libpq that we have called, NULL = none */
    int refuses;              /* its connect() fails with EUSERS: there is no slot for it */
    struct pqb_connection
        *holds; /* what it connects is held for this one, which waits for a slot */
    struct pqb_connection *knows; /* what it connects is this one's, which has one */
};

/* Initial-exec, so that signal handlers can use it. */
extern __thread struct pqb_thread pqb_thread
    __attribute__((tls_model("initial-exec"), visibility("hidden")));

/* Marks a call into a libpq. Returns what pqb_thread_leave must put back. For signal handlers too.
 */
static inline struct pqb_thread pqb_thread_enter(struct pqb_thread now)
{
    struct pqb_thread before = pqb_thread;
    pqb_thread = now;
    return before;
}

static inline void pqb_thread_leave(struct pqb_thread before)
{
    pqb_thread = before;
}

/* Serialises the threads of this process at the tables of libpqs and connections. Signals are
 * blocked meanwhile, so that no handler comes back here or leaves by a longjmp. Never held over a
 * call of the ledger, of libpq, or of the loader, each of which has locks of its own. 0 if it can't
 * be had within seconds: the child of a raw clone() finds it held by a thread that it doesn't have.
 */
int pqb_state_lock(struct pqb_process_hold *hold) __attribute__((warn_unused_result));
void pqb_state_unlock(const struct pqb_process_hold *hold);

/* The same for the sockets of the side door, and taken before the other one where both are. Held
 * over calls of the ledger that don't wait. */
int pqb_state_lock_sockets(struct pqb_process_hold *hold) __attribute__((warn_unused_result));
void pqb_state_unlock_sockets(const struct pqb_process_hold *hold);

#endif
