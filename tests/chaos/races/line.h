/* One connection, by plain sockets or by libpq, that inserts numbers. */
#ifndef PQB_RACES_LINE_H
#define PQB_RACES_LINE_H

#include <libpq-fe.h>
#include <stdint.h>

struct line {
    int is_libpq, is_unix;
    int fd;
    PGconn *conn; /* libpq's */
    int32_t backend;
    char why[900]; /* it is broken */
};

enum line_answer {
    LINE_RAN,    /* the whole result, and the server waits for more */
    LINE_ENDED,  /* 57P05, and then the end */
    LINE_BROKEN, /* anything else */
};

/* Waits as long as it takes. 0 if it is broken. */
int line_open(struct line *line);

/* In one of so many ways. */
#define LINE_WAYS 6
enum line_answer line_insert(struct line *line, uint32_t number, unsigned way);

/* Says goodbye. */
void line_close(struct line *line);

/* The same connection once more, if it is libpq's. */
int line_reset(struct line *line);

#endif
