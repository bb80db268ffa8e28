#include "tool/database.h"

#include "conninfo/buffer.h"
#include "conninfo/clean.h"
#include "ledger/os.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEYWORDS 128
#define CONNECT_S 5
#define ANSWER_S 10

/* ---- the string ---- */

/* What libpq says of a string it can't parse quotes the string. */
static enum pqb_status fail_to_parse(const char *message, struct pqb_error *error)
{
    char text[sizeof error->text];
    size_t length = 0;
    for (const char *at = message ? message : ""; *at && *at != '\n' && length < sizeof text - 8;) {
        const char *end = *at == '"' ? strrchr(at + 1, '"') : NULL;
        if (end && end > at + 2) {
            length += (size_t)snprintf(text + length, sizeof text - length, "\"...\"");
            at = end + 1;
        } else {
            text[length++] = *at++;
        }
    }
    text[length] = 0;
    return pqb_fail(error, PQB_INVALID, "that is no connection string: %s", text);
}

/* In a URI whose password was not escaped, a part of it ends up where it does not belong, and would
 * be told when there is no such host. */
static enum pqb_status check_option(const PQconninfoOption *option, struct pqb_error *error)
{
    if (!option->val)
        return PQB_OK;
    if (!strcmp(option->keyword, "host") && strchr(option->val, '@') && *option->val != '@')
        return pqb_fail(error, PQB_INVALID,
                        "the host has an \"@\" in it; in a password, write it %%40");
    if (!strcmp(option->keyword, "port") &&
        option->val[strspn(option->val, "0123456789, ")]) /* blanks are libpq's to judge */
        return pqb_fail(error, PQB_INVALID,
                        "the port is no number; in a password, write \"/\" %%2F and \"?\" %%3F");
    return PQB_OK;
}

static enum pqb_status check(const char *conninfo, struct pqb_error *error)
{
    char *message = NULL;
    enum pqb_status status = PQB_OK;
    PQconninfoOption *options = PQconninfoParse(conninfo, &message);
    if (!options)
        status = fail_to_parse(message, error);
    for (PQconninfoOption *option = options; option && option->keyword && !status; option++)
        status = check_option(option, error);
    PQconninfoFree(options);
    PQfreemem(message);
    return status;
}

/* *clean is NULL if `conninfo` can be used as it is. */
static enum pqb_status clean_up(const char *conninfo, char **clean, struct pqb_error *error)
{
    struct pqb_keyword list[KEYWORDS];
    struct pqb_keywords known = {list, 0};
    struct pqb_wishes wishes = PQB_WISHES_NONE;
    *clean = NULL;
    if (!pqb_clean_is_conninfo(conninfo))
        return conninfo[strcspn(conninfo, "@/")]
                   ? pqb_fail(error, PQB_INVALID,
                              "that is neither a connection string nor a database's name")
                   : PQB_OK;
    PQconninfoOption *options = PQconninfoParse("", NULL);
    for (PQconninfoOption *option = options; option && option->keyword; option++)
        if (known.count < KEYWORDS)
            list[known.count++] = (struct pqb_keyword){option->keyword, NULL};
    /* What the parameters would set does not concern who only looks: the wishes are forgotten. */
    enum pqb_status status =
        options ? pqb_clean_text(conninfo, &known, PQB_CLEAN_OWN_PROGRAM, clean, &wishes)
                : PQB_NO_MEMORY;
    pqb_wishes_clear(&wishes);
    PQconninfoFree(options);
    if (!status)
        status = check(*clean ? *clean : conninfo, error);
    return status;
}

/* ---- connecting ---- */

static int wait_for(const PGconn *conn, short events, uint64_t deadline)
{
    struct pollfd fd = {.fd = PQsocket(conn), .events = events};
    for (;;) {
        uint64_t now = pqb_now();
        if (now >= deadline)
            return 0;
        if (poll(&fd, 1, (int)((deadline - now) / PQB_MS) + 1) > 0)
            return 1;
    }
}

/* What a parameter came to, wherever it was said; NULL if nowhere. */
static const char *value_of(const PQconninfoOption *options, const char *keyword)
{
    for (; options && options->keyword; options++)
        if (!strcmp(options->keyword, keyword))
            return options->val && *options->val ? options->val : NULL;
    return NULL;
}

static void look_around(struct pqb_database *database, unsigned *seconds)
{
    PQconninfoOption *options = PQconninfo(database->conn);
    const char *timeout = value_of(options, "connect_timeout");
    long said = timeout ? strtol(timeout, NULL, 10) : 0;
    *seconds = said > 0 && said < 3600 ? (unsigned)said : CONNECT_S;
    if (pqb_server_key(database->key, sizeof database->key, value_of(options, "host"),
                       value_of(options, "hostaddr"), value_of(options, "port")))
        *database->key = 0;
    PQconninfoFree(options);
}

/* False if there was no time left. */
static int connect_until(PGconn *conn, uint64_t deadline)
{
    PostgresPollingStatusType next = PGRES_POLLING_WRITING;
    while (next == PGRES_POLLING_READING || next == PGRES_POLLING_WRITING) {
        if (!wait_for(conn, next == PGRES_POLLING_READING ? POLLIN : POLLOUT, deadline))
            return 0;
        next = PQconnectPoll(conn);
    }
    return 1;
}

/* libpq's words in one line, without the places in the server's sources that come with the codes.
 */
static void say_failure(const char *message, struct pqb_error *error)
{
    size_t length = 0;
    while (*message && length < sizeof error->text - 1) {
        size_t line = strcspn(message, "\n");
        if (strncmp(message, "LOCATION:", 9) != 0 && line) {
            if (length)
                error->text[length++] = ' ';
            for (size_t i = 0; i < line && length < sizeof error->text - 1; i++)
                error->text[length++] = (char)(message[i] == '\t' ? ' ' : message[i]);
        }
        message += line + (message[line] != 0);
    }
    error->text[length] = 0;
}

static enum pqb_status connect_to(struct pqb_database *database, const char *conninfo,
                                  struct pqb_error *error)
{
    const char *const keywords[] = {"dbname", "fallback_application_name", NULL};
    const char *const values[] = {conninfo, "pqbudget", NULL};
    unsigned seconds;
    database->conn = PQconnectStartParams(keywords, values, 1);
    if (!database->conn)
        return pqb_fail(error, PQB_NO_MEMORY, "out of memory");
    look_around(database, &seconds);
    /* With codes: the words depend on the server's language. */
    PQsetErrorVerbosity(database->conn, PQERRORS_VERBOSE);
    if (PQstatus(database->conn) != CONNECTION_BAD &&
        !connect_until(database->conn, pqb_now() + seconds * PQB_SECOND))
        return pqb_fail(error, PQB_ABSENT, "%s: no answer within %u s",
                        *database->key ? database->key : "the server", seconds);
    if (PQstatus(database->conn) == CONNECTION_OK)
        return PQB_OK;
    const char *message = PQerrorMessage(database->conn);
    say_failure(message, error);
    return strstr(message, " 53300: ") ? PQB_FULL : PQB_ABSENT;
}

static int is_near(const char *host)
{
    return !host || !*host || *host == '/' || *host == '@' || !strcmp(host, "localhost") ||
           !strncmp(host, "127.", 4) || !strcmp(host, "::1");
}

enum pqb_status pqb_database_open(const char *conninfo, struct pqb_database *database,
                                  struct pqb_error *error)
{
    char *clean;
    *database = (struct pqb_database){0};
    /* Before the first connection nothing of the preload is awake; it asks for this then. */
    setenv("PQBUDGET", "off", 1);
    if (!conninfo)
        conninfo = getenv("DATABASE_URL");
    if (!conninfo)
        conninfo = "";
    enum pqb_status status = clean_up(conninfo, &clean, error);
    if (!status)
        status = connect_to(database, clean ? clean : conninfo, error);
    pqb_buffer_free(clean);
    if (!status)
        database->is_near = is_near(PQhost(database->conn));
    else
        pqb_database_close(database);
    return status;
}

void pqb_database_close(struct pqb_database *database)
{
    PQfinish(database->conn);
    database->conn = NULL;
}

/* ---- asking ---- */

/* What the server says next, NULL at the end of it; false if there was no time left. */
static int hear(PGconn *conn, uint64_t deadline, PGresult **result)
{
    while (PQisBusy(conn))
        if (!wait_for(conn, POLLIN, deadline))
            return 0;
        else if (!PQconsumeInput(conn))
            break; /* PQgetResult knows what is wrong */
    *result = PQgetResult(conn);
    return 1;
}

PGresult *pqb_database_ask(struct pqb_database *database, const char *query,
                           struct pqb_error *error)
{
    PGresult *rows = NULL, *next = NULL;
    uint64_t deadline = pqb_now() + ANSWER_S * PQB_SECOND;
    int is_sent = PQsendQuery(database->conn, query), is_heard = is_sent;
    while (is_heard && (is_heard = hear(database->conn, deadline, &next)) && next) {
        PQclear(rows);
        rows = next;
    }
    if (is_heard && rows && PQresultStatus(rows) == PGRES_TUPLES_OK)
        return rows;
    if (is_sent && !is_heard)
        pqb_error_write(error, "%s: no answer within %d s", database->key, ANSWER_S);
    else
        say_failure(PQerrorMessage(database->conn), error);
    PQclear(rows);
    return NULL;
}

enum pqb_exit pqb_database_report(enum pqb_status status, const struct pqb_error *error)
{
    return pqb_report(status == PQB_INVALID ? PQB_EXIT_USAGE : PQB_EXIT_UNKNOWN,
                      status == PQB_INVALID ? "%s" : "cannot ask the server: %s", error->text);
}
