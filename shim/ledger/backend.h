/* The server's process behind a connection, where it runs on this machine and can be seen. */
#ifndef PQB_LEDGER_BACKEND_H
#define PQB_LEDGER_BACKEND_H

#include <stdint.h>

/* Recognises a PostgreSQL backend by its name and its parent's. Returns its start time in clock
 * ticks, 0 if `pid` can't be seen or is something else (the server is elsewhere, or in a
 * container). */
uint64_t pqb_backend_start(int32_t pid);

/* The same with a tenth of the work, for a connection that has just been made: where a backend of
 * that server's was recognised a moment ago, the others need only exist, and what is returned is a
 * time by which they have started. `server` is a number of 48 bits that the caller gives it. */
uint64_t pqb_backend_started_by(int32_t pid, uint64_t server);

/* Names the server that a backend belongs to: two names of a server lead to the same postmaster.
 * Never like a server's key: it has blanks. 0 if it can't be told. */
#define PQB_POSTMASTER_BYTES 64
int pqb_backend_postmaster(int32_t pid, char name[PQB_POSTMASTER_BYTES]);

/* A pidfd that polls readable when the backend has exited, PQB_BACKEND_GONE if it has, or
 * PQB_BACKEND_UNKNOWN. A zombie has exited, whoever forgot to reap it; a reused pid is told by a
 * later start than `start`, unless that is 0. */
#define PQB_BACKEND_GONE (-1)
#define PQB_BACKEND_UNKNOWN (-2)
int pqb_backend_watch(int32_t pid, uint64_t start);

/* 1 if it has exited for certain. */
int pqb_backend_has_exited(int32_t pid, uint64_t start);

#endif
