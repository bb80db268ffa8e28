/* What is to become of each parameter of one connection string or list. */
#ifndef PQB_CONNINFO_TRIAL_H
#define PQB_CONNINFO_TRIAL_H

#include "conninfo/buffer.h"
#include "conninfo/clean.h"
#include "conninfo/grammar.h"
#include "conninfo/params.h"

enum pqb_ruling {
    PQB_RULING_STAYS,
    PQB_RULING_GOES,
    PQB_RULING_CHANGES, /* gets the words beside it */
};

/* Everything that is decided about one string. The first four are the caller's, `wishes` as well;
 * the rest begins as zero. */
struct pqb_trial {
    const struct pqb_keywords *known;
    unsigned flags; /* enum pqb_clean_flags */
    int is_uri;
    const struct pqb_pieces *pieces;
    struct pqb_wishes *wishes;

    int has_changes;
    int has_failed;          /* no memory */
    int can_set;             /* options can be added */
    const char *own_options; /* what settings are put before; NULL: none */
    struct pqb_buffer settings;
    struct pqb_params added; /* to be put behind the others */
};

/* What becomes of one parameter. */
struct pqb_decision {
    enum pqb_ruling ruling;
    const char *keyword;
    char value[24]; /* unless it keeps its own */
    int keeps_value;
};

/* Before the single parameters. False if the string must stay as it is, for libpq to refuse:
 * something in it needs options, and none can be added. */
int pqb_trial_open(struct pqb_trial *trial);

struct pqb_decision pqb_trial_judge(struct pqb_trial *trial, const struct pqb_piece *piece);

/* Behind them: settings go to the wishes, or to what is added. Returns `status`, or why it failed.
 */
enum pqb_status pqb_trial_close(struct pqb_trial *trial, enum pqb_status status)
    __attribute__((warn_unused_result));

#endif
