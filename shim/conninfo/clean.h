/* Takes out of a connection string what libpq would refuse it for, and says what that asked for.
 *
 * A string without anything foreign is left alone, byte for byte; so is one that libpq's grammar
 * refuses: libpq says why. What stays in its place although it is foreign (an `ssl` nobody
 * understands, a `schema` where no options can be added) makes libpq refuse the string as well,
 * which is meant. */
#ifndef PQB_CONNINFO_CLEAN_H
#define PQB_CONNINFO_CLEAN_H

#include "conninfo/params.h"
#include "ledger/status.h"

#include <stdint.h>

#define PQB_WISH_UNSAID (-1)
#define PQB_WISH_FOREVER INT64_MAX

/* What foreign parameters asked for. */
struct pqb_wishes {
    unsigned cap;    /* connections of this process; 0: nothing was said */
    int64_t wait_ms; /* how long to queue, or PQB_WISH_UNSAID, PQB_WISH_FOREVER */
    int pooler;      /* pgbouncer=: 1 true, 0 false, -1 nothing was said */
    char *settings;  /* for `options`, e.g. "-c search_path=\"web\""; NULL: none */
};

#define PQB_WISHES_NONE ((struct pqb_wishes){0, PQB_WISH_UNSAID, -1, NULL})

enum pqb_clean_flags {
    /* One of PostgreSQL's own programs: socket_timeout and command_timeout are dropped. */
    PQB_CLEAN_OWN_PROGRAM = 1,
    /* The result must stand for itself, because nobody will merge it (PQconninfoParse, PQping):
     * settings are put into its `options`, PGOPTIONS with them, instead of the wishes. */
    PQB_CLEAN_INLINE = 2,
    /* The server is known to be a pooler, even if the string does not say so: no options can be
       added. */
    PQB_CLEAN_POOLER = 4,
};

/* True if libpq takes it for a connection string where a database name is expected, or would after
 * cleaning. */
int pqb_clean_is_conninfo(const char *text);

/* `*clean` is the new string, or NULL if `text` can be used as it is; free it with
 * pqb_buffer_free(). The wishes are replaced, and freed with pqb_wishes_clear(). PQB_OK or
 * PQB_NO_MEMORY. */
enum pqb_status pqb_clean_text(const char *text, const struct pqb_keywords *known, unsigned flags,
                               char **clean, struct pqb_wishes *wishes)
    __attribute__((warn_unused_result));

/* The same for parameters that came in arrays; they are changed in place. */
enum pqb_status pqb_clean_params(struct pqb_params *params, const struct pqb_keywords *known,
                                 unsigned flags, struct pqb_wishes *wishes)
    __attribute__((warn_unused_result));

/* What `more` says is said by `wishes` then; settings are put behind those that are there. */
enum pqb_status pqb_wishes_join(struct pqb_wishes *wishes, const struct pqb_wishes *more)
    __attribute__((warn_unused_result));

void pqb_wishes_clear(struct pqb_wishes *wishes);

#endif
