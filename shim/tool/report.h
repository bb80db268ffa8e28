/* How the tool answers: the exit status, and one line on stderr that says what to do. */
#ifndef PQB_TOOL_REPORT_H
#define PQB_TOOL_REPORT_H

#include "ledger/status.h"

enum pqb_exit {
    PQB_EXIT_DONE = 0,
    PQB_EXIT_NO = 1,      /* the answer is no */
    PQB_EXIT_USAGE = 2,   /* wrong usage, or it names what does not exist */
    PQB_EXIT_UNKNOWN = 3, /* could not tell */
};

/* Prints "pqbudget: " and the text as one line, whatever bytes are in it; returns `code`. */
enum pqb_exit pqb_report(enum pqb_exit code, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* What to do where there is no ledger. */
#define PQB_REPORT_ABSENT ": start a program under pqbudget, or name another with --ledger"

/* The same for a ledger that can't be used, and the exit status that stands for it. */
enum pqb_exit pqb_report_ledger(enum pqb_status status, const struct pqb_error *error);

/* The same for a change that was not made. */
enum pqb_exit pqb_report_steer(enum pqb_status status, const struct pqb_error *error);

/* Writes out what is buffered. False if that failed, now or earlier: whoever goes on and on stops.
 */
int pqb_report_flush(void);

/* The same at the end: `code`, or an error if not everything was written. */
enum pqb_exit pqb_report_end(enum pqb_exit code);

#endif
