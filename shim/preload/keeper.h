/* The thread that moves held sockets on while the program's own threads run free. Made at the first
 * hold, gone when nothing is held. */
#ifndef PQB_PRELOAD_KEEPER_H
#define PQB_PRELOAD_KEEPER_H

/* With the side door's lock held. 0 if there can be no thread: nothing may be held then. */
int pqb_keeper_start(void);

#endif
