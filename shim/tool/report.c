#include "tool/report.h"

#include "tool/text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum pqb_exit pqb_report(enum pqb_exit code, const char *format, ...)
{
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    fputs("pqbudget: ", stderr);
    pqb_text_print(stderr, text, PQB_TEXT_ALL, pqb_text_is_ascii_only(stderr));
    fputc('\n', stderr);
    return code;
}

enum pqb_exit pqb_report_ledger(enum pqb_status status, const struct pqb_error *error)
{
    const char *text = *error->text ? error->text : pqb_status_text(status);
    if (status == PQB_ABSENT)
        return pqb_report(PQB_EXIT_UNKNOWN, "%s" PQB_REPORT_ABSENT, text);
    return pqb_report(status == PQB_INVALID ? PQB_EXIT_USAGE : PQB_EXIT_UNKNOWN, "%s", text);
}

enum pqb_exit pqb_report_steer(enum pqb_status status, const struct pqb_error *error)
{
    const char *text = *error->text ? error->text : pqb_status_text(status);
    switch (status) {
    case PQB_REFUSED:
        return pqb_report(PQB_EXIT_NO, "%s", text);
    case PQB_ABSENT:
    case PQB_INVALID:
        return pqb_report(PQB_EXIT_USAGE, "%s", text);
    case PQB_BUSY:
    case PQB_LOST:
        return pqb_report(PQB_EXIT_UNKNOWN, "%s; nothing was changed, try again", text);
    default:
        return pqb_report(PQB_EXIT_UNKNOWN, "%s", text);
    }
}

/* Why stdout failed, if it is known: stdio does not keep it. */
static int failure;

int pqb_report_flush(void)
{
    /* If a large write failed, its errno may still be there, and nothing is left to flush. */
    int code = errno;
    if (!fflush(stdout) && !ferror(stdout))
        return 1;
    if (!failure)
        failure = errno ? errno : code;
    return 0;
}

enum pqb_exit pqb_report_end(enum pqb_exit code)
{
    errno = 0;
    if (pqb_report_flush())
        return code;
    return pqb_report(PQB_EXIT_UNKNOWN, "cannot write the output%s%s", failure ? ": " : "",
                      failure ? strerror(failure) : "");
}
