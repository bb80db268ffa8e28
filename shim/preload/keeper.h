/* The thread that moves held sockets on while the program's own threads run free, and answers for
 * open ones that may be asked to give way. Made at the first of either, gone with the last; while
 * nothing is held it sleeps until it is asked. */
#ifndef PQB_PRELOAD_KEEPER_H
#define PQB_PRELOAD_KEEPER_H

/* With the side door's lock held. 0 if there can be no thread: nothing may be held then. */
int pqb_keeper_start(void);

/* It looks at all of them anew, if there is one. With the same lock. */
void pqb_keeper_wake(void);

#endif
