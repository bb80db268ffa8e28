/* What the keeper does for an open connection: lets the ledger know what it is doing, and ends it
 * when it is asked to give way and can. The server reads a Terminate, and the client what the
 * server's own idle-session timeout would tell it. With the side door's lock held. */
#ifndef PQB_PRELOAD_GIVING_H
#define PQB_PRELOAD_GIVING_H

#include "preload/socket.h"

/* Whether that is wanted: PQBUDGET_YIELD. */
int pqb_giving_is_on(void);

/* It has just logged in, and its claim is OPEN: it may be asked from now on. */
void pqb_giving_begin(struct pqb_socket *socket);

/* Whether it may be asked, which is by this process's bell. */
int pqb_giving_may_be_asked(const struct pqb_socket *socket);

/* Which of all those that were open when this process forked does a child still have? Before they
 * are told. */
void pqb_giving_look_for_copies(void);

/* Brings its row in the ledger up to date. */
void pqb_giving_tell(struct pqb_socket *socket);

/* Answers, if it is asked. After all of the process's were told. */
void pqb_giving_answer(struct pqb_socket *socket);

#endif
