/* What the library says for itself: a line on stderr, or in PQBUDGET_LOG_FILE. Never on stdout. */
#ifndef PQB_PRELOAD_LOG_H
#define PQB_PRELOAD_LOG_H

enum pqb_log_level { PQB_LOG_ERROR, PQB_LOG_WARN, PQB_LOG_INFO, PQB_LOG_DEBUG };

/* `file` is NULL for stderr, and stays the caller's. Until this is called: warnings, on stderr. */
void pqb_log_to(enum pqb_log_level level, const char *file);

/* One line, without a newline. Keeps errno, raises no SIGPIPE, waits for nobody: a line that can't
 * be written at once is lost. Allocates nothing. */
void pqb_log(enum pqb_log_level level, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
