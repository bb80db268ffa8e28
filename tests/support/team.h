/* Processes that a benchmark starts once and then sets to work, round after round, all at once. */
#ifndef PQB_TESTS_TEAM_H
#define PQB_TESTS_TEAM_H

#include <stdatomic.h>
#include <stdint.h>
#include <sys/types.h>

#define TEAM_MOST 1024

/* What they share with whoever leads them. */
struct team_board {
    _Atomic uint32_t round; /* the one that has begun; futex */
    _Atomic uint32_t stop;  /* the last one that is over */
    _Atomic uint32_t done;  /* members that have finished the present one; futex */
    _Atomic uint64_t mark;  /* a time, for whoever wants to leave one */
    _Atomic uint64_t count[TEAM_MOST];
    _Atomic uint64_t sample[TEAM_MOST];
};

struct team {
    struct team_board *board;
    unsigned size;
    pid_t pid[TEAM_MOST];
    void (*work)(struct team *team, unsigned member, void *with);
    void *with;
};

/* Forks `size` processes; each calls `work` once in every round. Nobody outlives its leader. */
void team_start(struct team *team, unsigned size,
                void (*work)(struct team *team, unsigned member, void *with), void *with);
void team_end(struct team *team);

/* One round: begins, and waits until all have finished. Ends the program if a member dies, or they
 * take longer than a minute. */
void team_begin(struct team *team);
void team_stop(struct team *team); /* for work that goes on until it is told */
int team_is_stopped(const struct team *team);
void team_finish(struct team *team);

/* Waits until each member has been seen asleep after `count` says that it is about to be. */
void team_await_sleep(struct team *team);

#endif
