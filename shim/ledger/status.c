#include "ledger/status.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

const char *pqb_status_text(enum pqb_status status)
{
    switch (status) {
    case PQB_OK:
        return "done";
    case PQB_WAITING:
        return "waiting for a free connection";
    case PQB_TIMED_OUT:
        return "no connection came free in time";
    case PQB_LOST:
        return "the claim is no longer ours";
    case PQB_BUSY:
        return "the ledger is busy";
    case PQB_REFUSED:
        return "refused";
    case PQB_ABSENT:
        return "no such entry";
    case PQB_FULL:
        return "the ledger is full";
    case PQB_NO_DESCRIPTOR:
        return "no file descriptor left";
    case PQB_NO_SPACE:
        return "no space left for the ledger";
    case PQB_NO_ACCESS:
        return "no permission to use the ledger";
    case PQB_NO_MEMORY:
        return "out of memory";
    case PQB_FOREIGN:
        return "the ledger belongs to somebody else";
    case PQB_DAMAGED:
        return "the ledger is damaged";
    case PQB_VERSION:
        return "the ledger is of another version";
    case PQB_WORDSIZE:
        return "the ledger is of another word size";
    case PQB_BORROWED:
        return "called in a vfork child";
    case PQB_INVALID:
        return "invalid argument";
    case PQB_SYSTEM:
        return "a system call failed";
    }
    return "unknown status";
}

int pqb_status_is_failure(enum pqb_status status)
{
    return status >= PQB_FULL;
}

int pqb_error_write(struct pqb_error *error, const char *format, ...)
{
    if (!error)
        return 0;
    int saved = errno;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error->text, sizeof error->text, format, arguments);
    va_end(arguments);
    /* One line, whatever was in a name or a path. */
    for (char *c = error->text; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = '?';
    errno = saved;
    return 0;
}
