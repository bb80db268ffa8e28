/* Sessions in every state in which one can be left. Each step says a line. */
#include "conns.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static void say_result(PGresult *result)
{
    if (PQresultStatus(result) == PGRES_FATAL_ERROR)
        stage_say("%s", PQerrorMessage(conns_current()));
    else
        stage_say("%s", PQresStatus(PQresultStatus(result)));
    PQclear(result);
}

/* Until there are no more. */
static void say_last(void)
{
    PGresult *last = NULL, *next;
    while ((next = PQgetResult(conns_current()))) {
        PQclear(last);
        last = next;
    }
    say_result(last);
}

/* SQL: begins to copy in, and stops in the middle. */
static void copy_in(void)
{
    PGconn *conn = conns_current();
    PGresult *result = PQexec(conn, stage_argument());
    PQputCopyData(conn, "1\n2", 3);
    PQflush(conn);
    say_result(result);
}

static void copy_end(void)
{
    PQputCopyEnd(conns_current(), NULL);
    say_last();
}

/* SQL: begins to copy out, and stops behind the first row. */
static void copy_out(void)
{
    char *row = NULL;
    PGresult *result = PQexec(conns_current(), stage_argument());
    PQgetCopyData(conns_current(), &row, 0);
    PQfreemem(row);
    say_result(result);
}

static void copy_rest(void)
{
    char *row = NULL;
    while (PQgetCopyData(conns_current(), &row, 0) > 0)
        PQfreemem(row);
    say_last();
}

/* SQL: asks, and goes away. */
static void asks(void)
{
    int is_sent = PQsendQuery(conns_current(), stage_argument());
    PQflush(conns_current());
    stage_say("%s", is_sent ? "asked" : PQerrorMessage(conns_current()));
}

/* SQL: asks within a pipeline that is not at its end. */
static void pipeline(void)
{
    PGconn *conn = conns_current();
    int is_sent = PQenterPipelineMode(conn) &&
                  PQsendQueryParams(conn, stage_argument(), 0, NULL, NULL, NULL, NULL, 0) &&
                  PQsendFlushRequest(conn);
    PQflush(conn);
    PGresult *result = PQgetResult(conn);
    PQclear(PQgetResult(conn));
    if (is_sent)
        say_result(result);
    else
        stage_say("%s", PQerrorMessage(conn));
}

static void pipeline_end(void)
{
    PGconn *conn = conns_current();
    PQpipelineSync(conn);
    PGresult *result = PQgetResult(conn);
    int is_over = PQexitPipelineMode(conn);
    if (is_over)
        say_result(result);
    else
        stage_say("%s", PQerrorMessage(conn));
}

/* SQL: by the protocol, as drivers do; and runs it. */
static void prepare(void)
{
    PGresult *result = PQprepare(conns_current(), "prepared", stage_argument(), 0, NULL);
    if (PQresultStatus(result) == PGRES_COMMAND_OK) {
        PQclear(result);
        result = PQexecPrepared(conns_current(), "prepared", 0, NULL, NULL, NULL, 0);
    }
    say_result(result);
}

/* HOW: a second number for its socket; and what is done to the first. */
static void copy(void)
{
    const char *how = stage_argument();
    int fd = PQsocket(conns_current()), other = -1;
    if (!strcmp(how, "dup"))
        other = dup(fd);
    else if (!strcmp(how, "dup2"))
        other = dup2(fd, 90);
    else if (!strcmp(how, "F_DUPFD_CLOEXEC"))
        other = fcntl(fd, F_DUPFD_CLOEXEC, 90);
    stage_say("%s", other < 0 ? "no copy" : "copied");
}

/* Its number goes to another file, past every hook. */
static void lose(void)
{
    int fd = PQsocket(conns_current());
    syscall(SYS_close, fd);
    int other = open("/dev/null", O_RDWR | O_CLOEXEC);
    stage_say("%s", other == fd ? "lost" : "not reused");
}

/* For the sake of somebody who asks for a cancel at any time. */
static void cancel_now(void)
{
    char why[256] = "";
    PGcancel *cancel = PQgetCancel(conns_current());
    int is_sent = cancel && PQcancel(cancel, why, sizeof why);
    stage_say("%s", is_sent ? "cancelled" : why);
    PQfreeCancel(cancel);
}

static void end_quickly(void)
{
    quick_exit(atoi(stage_argument()));
}

const struct stage_step session_steps[] = {
    {"copyin", copy_in},
    {"copyend", copy_end},
    {"copyout", copy_out},
    {"copyrest", copy_rest},
    {"asks", asks},
    {"hears", say_last},
    {"pipeline", pipeline},
    {"pipelineend", pipeline_end},
    {"prepare", prepare},
    {"copy", copy},
    {"lose", lose},
    {"cancelnow", cancel_now},
    {"quickexit", end_quickly},
    {0},
};
