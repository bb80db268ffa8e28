/*
 * What passes through an open connection: its session, followed in both directions by the hooks
 * that carry its bytes, without a lock, a copy or a call of the kernel.
 *
 * Whoever writes or reads is inside the flow meanwhile, and whoever wants to know whether the
 * connection is idle keeps both out. So a query is either seen before it is decided that the
 * connection gives way, or not sent any more. Two threads at once in one direction are no client of
 * PostgreSQL's: such a flow is lost, and never gives way; so is one that a signal handler left by a
 * longjmp.
 *
 * The memory of a flow is never given back to the system: a thread may come to one that has ended
 * this moment. It sees that by the table of descriptors, which it looks at again when it is inside.
 */
#ifndef PQB_PRELOAD_FLOW_H
#define PQB_PRELOAD_FLOW_H

#include "preload/session.h"

#include <sys/types.h>
#include <sys/uio.h>

#define PQB_FLOW_IN 1u  /* somebody reads */
#define PQB_FLOW_OUT 2u /* somebody writes */

struct pqb_flow;

/* Somebody decides about it just now: to be tried again when he has (side.h). */
#define PQB_FLOW_HELD ((struct pqb_flow *)-1)

/* Before and after the real call at this number; `way` is IN or OUT. NULL: nothing is followed.
 * `result` is what the call returned, of `part` then: what was only peeked at is none. */
struct pqb_flow *pqb_flow_enter(int fd, unsigned way);
void pqb_flow_leave(struct pqb_flow *flow, unsigned way, const struct iovec *part, ssize_t result);

/* Nothing more is to be learnt of it; it never gives way. */
int pqb_flow_is_lost(const struct pqb_flow *flow);
void pqb_flow_lose(struct pqb_flow *flow);

/* ---- with the side door's lock held ---- */

/* The socket of `fd` has just logged in, and its session came so far. NULL without memory. */
struct pqb_flow *pqb_flow_begin(int fd, const struct pqb_session *session);

/* No number leads to it any more. */
void pqb_flow_end(struct pqb_flow *flow);

/* Keeps everybody out. 0 if somebody is inside, or it is lost: then it is not idle for sure. */
int pqb_flow_hold(struct pqb_flow *flow);
void pqb_flow_release(struct pqb_flow *flow);

/* When something last passed, of pqb_now, some milliseconds more or less. What was only written
 * since passes the moment it is asked for first. */
uint64_t pqb_flow_used_at(struct pqb_flow *flow);

/* Only while it is held. */
const struct pqb_session *pqb_flow_session(const struct pqb_flow *flow);

/* Has all that the kernel says has passed through the socket of `fd` passed here, and has all of it
 * arrived? Not where somebody wrote or read past the hooks. A Unix socket's is not counted. */
int pqb_flow_is_whole(const struct pqb_flow *flow, int fd);

/* May another process have a copy of the socket? This one has forked since, or since it was found
 * to be alone. */
int pqb_flow_is_shared(const struct pqb_flow *flow);
void pqb_flow_is_alone(struct pqb_flow *flow);

/* Does the kernel count its bytes, so that what another process did with it would be known? */
int pqb_flow_is_counted(const struct pqb_flow *flow);

#endif
