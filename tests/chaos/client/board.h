/* What the clients and their judge share, beside the crowd. */
#ifndef PQB_CHAOS_BOARD_H
#define PQB_CHAOS_BOARD_H

#include "support/crowd.h"

enum tally {
    OPENED_PLAIN,
    OPENED_LIBPQ,
    REFUSED,
    GIVEN_UP,
    FORKED,
    TAKEN_OVER,
    EXECUTED,
    LEFT_OPEN,
    GAVE_WAY,
    TALLIES
};

struct board {
    _Atomic uint32_t resting; /* all stand still with what they hold */
    struct {
        _Atomic uint32_t rests; /* the generation that does */
        _Atomic uint64_t since;
        char doing[32]; /* and is doing that since then */
    } person[CROWD_MOST];
    _Atomic uint64_t tally[TALLIES];
};

#endif
