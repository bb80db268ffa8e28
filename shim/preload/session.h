/* One connection's conversation, followed in both directions as it passes: whether it could give
 * way now, and if not, why not.
 *
 * Plaintext from the first byte behind the StartupMessage on, in the order of each direction, in
 * pieces cut anywhere; zeroed at first. What is encrypted, or makes no sense, never gives way.
 * Nothing is copied (but a few bytes where a cut goes through a message's header or a word),
 * allocated, locked or asked of the kernel. Each direction has a part of its own, so that a thread
 * may write while another reads; whoever asks must keep both out. */
#ifndef PQB_PRELOAD_SESSION_H
#define PQB_PRELOAD_SESSION_H

#include "preload/protocol.h"

struct pqb_session {
    struct pqb_scan server;
    struct pqb_scan_out client;
};

/* The session of a connection that has just logged in, of which nothing was seen so far. */
struct pqb_session pqb_session_begun(void);

/* The client has written this; so much of it as was accepted, once. A set of enum pqb_wrote. */
static inline unsigned pqb_session_wrote(struct pqb_session *session, const void *bytes,
                                         size_t length)
{
    return pqb_protocol_scan_out(&session->client, bytes, length);
}

/* The client has read this from the server, and taken it: not when it only peeked. A set of enum
 * pqb_seen. */
static inline unsigned pqb_session_read(struct pqb_session *session, const void *bytes,
                                        size_t length)
{
    return pqb_protocol_scan(&session->server, bytes, length);
}

/* The server has answered all that was written, to its end: it is not in a transaction, nothing is
 * half written or half read, and a message of ours would be understood in both directions. What
 * comes unasked (a notice, a parameter's new value) changes nothing once it is there whole. */
int pqb_session_is_idle(const struct pqb_session *session);

/* The same, in a transaction, or in one that has failed. */
int pqb_session_is_in_transaction(const struct pqb_session *session);

/* Why it must stay though it is idle; for good, since nobody sees whether what would undo it did.
 */
enum pqb_pin pqb_session_pin(const struct pqb_session *session);

/* Idle, and nothing pins it. */
int pqb_session_can_give_way(const struct pqb_session *session);

#endif
