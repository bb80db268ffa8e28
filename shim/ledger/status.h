/* What a call of the ledger can answer, and the words for it. */
#ifndef PQB_LEDGER_STATUS_H
#define PQB_LEDGER_STATUS_H

#include <errno.h>
#include <stddef.h>

enum pqb_status {
    PQB_OK = 0,

    /* Not errors: the caller goes on waiting, or stops. */
    PQB_WAITING,   /* queued, not granted yet */
    PQB_TIMED_OUT, /* the wait ended without a grant; the claim is gone */
    PQB_LOST,      /* the claim is no longer ours: freed by somebody, or the ledger was replaced */
    PQB_BUSY,      /* the guard could not be entered in time; nothing was changed */
    PQB_REFUSED,   /* the change would break a rule (the text says which) */
    PQB_ABSENT,    /* no such ledger, server, application or alias */

    /* The ledger can't be used. */
    PQB_FULL,          /* every claim, or every server row, is taken */
    PQB_NO_DESCRIPTOR, /* this process has no descriptor left */
    PQB_NO_SPACE,      /* the file system of the ledger is full */
    PQB_NO_ACCESS,     /* permission denied, or a read-only file system */
    PQB_NO_MEMORY,
    PQB_FOREIGN,  /* another owner, mode or kind of file than a ledger of ours has */
    PQB_DAMAGED,  /* not a ledger, truncated, or its lock files are gone */
    PQB_VERSION,  /* written by another version of pqbudget */
    PQB_WORDSIZE, /* written by a process of another word size (32 against 64 bit) */
    PQB_BORROWED, /* called in a vfork child, in its parent's memory: hands off */
    PQB_INVALID,  /* an argument makes no sense */
    PQB_SYSTEM,   /* a system call failed; the text has its errno */
};

/* One line, without a full stop. Never NULL. */
const char *pqb_status_text(enum pqb_status status);

/* True if the ledger itself is unusable, so that PQBUDGET_FAIL decides. */
int pqb_status_is_failure(enum pqb_status status);

/* Where a fallible call leaves the words for a person: what is wrong and what to do. */
struct pqb_error {
    char text[256];
};

/* Writes the text, if `error` is not NULL. Keeps errno. Returns 0. */
int pqb_error_write(struct pqb_error *error, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static inline enum pqb_status pqb_status_of(enum pqb_status status, int written)
{
    (void)written;
    return status;
}

/* Writes the text and is the status, so that a failure is one statement. */
#define pqb_fail(error, status, ...) pqb_status_of((status), pqb_error_write((error), __VA_ARGS__))

/* The status that stands for an errno of open, mmap, fallocate and the like. Never PQB_OK; inline
 * so that an analyser sees it. */
static inline enum pqb_status pqb_status_from_errno(int code)
{
    switch (code) {
    case EMFILE:
    case ENFILE:
        return PQB_NO_DESCRIPTOR;
    case ENOSPC:
    case EDQUOT:
        return PQB_NO_SPACE;
    case EACCES:
    case EPERM:
    case EROFS:
        return PQB_NO_ACCESS;
    case ENOMEM:
        return PQB_NO_MEMORY;
    case ENOENT:
    case ENOTDIR:
        return PQB_ABSENT;
    case ELOOP:
        return PQB_FOREIGN;
    default:
        return PQB_SYSTEM;
    }
}

#endif
