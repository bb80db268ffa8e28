/* A program with all its threads and children under ptrace, from one stop at a system call to the
 * next. */
#ifndef PQB_DEATHS_TRACE_H
#define PQB_DEATHS_TRACE_H

#include <stddef.h>
#include <sys/types.h>

struct trace {
    pid_t family;  /* the process that it began with; its process group holds all of them */
    pid_t child;   /* the first one forked; 0 = none yet */
    pid_t stopped; /* the thread that stands before or behind a system call */
    int is_before;
    long call;
    long calls[64]; /* the last ones, by thread */
};

/* A person that was started to be traced. */
void trace_begin(struct trace *trace, pid_t pid);

/* Goes on to the next stop of any thread: 1; 0 = the first process has ended; -1 = nothing came for
 * a minute. */
int trace_next(struct trace *trace);

/* Is the thread that stands still one of this process? */
int trace_is_in(const struct trace *trace, pid_t process);

/* Is that a call by which nothing changes that others could ever see? */
int trace_only_looks(const struct trace *trace);

/* What it is about to do, or has done. */
void trace_describe(const struct trace *trace, char *words, size_t capacity);

/* Kills one process. */
void trace_kill(struct trace *trace, pid_t process);

/* After that, or an end, to be called again and again: those who are left go on untraced. Have all
 * of them ended? */
int trace_is_over(struct trace *trace);

/* Kills all of them. */
void trace_end(struct trace *trace);

#endif
