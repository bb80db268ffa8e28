/* What the racers and their judge share. */
#ifndef PQB_RACES_BOARD_H
#define PQB_RACES_BOARD_H

#include <stdint.h>

/* More numbers than any run inserts. */
#define BOARD_ROOM (1u << 23)

/* What became of the query that was to insert a number. */
enum fate {
    FATE_NONE,  /* none was asked */
    FATE_SENT,  /* nobody has heard */
    FATE_RAN,   /* its whole result was read */
    FATE_ENDED, /* 57P05 and the end were read in its place */
};

enum tally {
    QUERIES,
    RACES,        /* written, or closed, while it was asked for and had not given way */
    RACES_RAN,    /* those that came first */
    RACES_ENDED,  /* those that came too late */
    RACES_CLOSED, /* those in which it was closed */
    RACES_FORKED, /* those in which a child was made, and wrote */
    FOUND_ENDED,  /* had given way before anybody wrote */
    RESETS,
    TALLIES
};

struct board {
    _Atomic uint32_t is_over; /* everybody closes what he has */
    _Atomic uint32_t next;    /* number */
    _Atomic uint64_t tally[TALLIES];
    _Atomic uint8_t fate[BOARD_ROOM];
};

/* What a racer speaks with; the judge starts one of each. */
enum kind { PLAIN_TCP, PLAIN_UNIX, LIBPQ_TCP, LIBPQ_UNIX, KINDS };

#define LINES 5 /* of each racer */

/* A process under the preload. Returns its exit status; says on stderr what went wrong. */
int race(struct board *board, const char *ledger, enum kind kind);

#endif
