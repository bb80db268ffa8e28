#include "tool/activity.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

/* ---- the server ---- */

/* The folders of its sockets are for superusers and pg_read_all_settings: to others the row is not
 * there. */
static const char server_question[] =
    "SELECT current_setting('max_connections'),"
    " sum(setting::int) FILTER (WHERE name LIKE '%reserved\\_connections'),"
    " current_setting('server_version'), current_user, current_setting('port'), pg_backend_pid(),"
    " max(setting) FILTER (WHERE name = 'unix_socket_directories')"
    " FROM pg_catalog.pg_settings"
    " WHERE name = 'unix_socket_directories' OR name LIKE '%reserved\\_connections'";

enum { MOST, RESERVED, VERSION, ROLE, PORT, OWN_PID, FOLDERS };

static void copy(char *to, size_t capacity, const PGresult *rows, int row, int column)
{
    snprintf(to, capacity, "%s", PQgetvalue(rows, row, column));
}

static long long number_in(const PGresult *rows, int row, int column)
{
    return PQgetisnull(rows, row, column) ? PQB_ACTIVITY_UNTOLD
                                          : strtoll(PQgetvalue(rows, row, column), NULL, 10);
}

static enum pqb_status ask_server(struct pqb_database *database, struct pqb_activity *activity,
                                  struct pqb_error *error)
{
    PGresult *rows = pqb_database_ask(database, server_question, error);
    if (!rows)
        return PQB_ABSENT;
    activity->max_connections = (uint32_t)number_in(rows, 0, MOST);
    activity->reserved = (uint32_t)number_in(rows, 0, RESERVED);
    activity->port = (unsigned)number_in(rows, 0, PORT);
    copy(activity->version, sizeof activity->version, rows, 0, VERSION);
    copy(activity->role, sizeof activity->role, rows, 0, ROLE);
    copy(activity->folders, sizeof activity->folders, rows, 0, FOLDERS);
    /* A pooler makes up the pid that it tells. */
    activity->is_pooled = PQbackendPID(database->conn) != (int)number_in(rows, 0, OWN_PID);
    PQclear(rows);
    return PQB_OK;
}

static struct pqb_address address_of(int fd, int (*ask)(int, struct sockaddr *, socklen_t *))
{
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
        struct sockaddr_storage storage;
    } its = {0};
    socklen_t size = sizeof its;
    char text[INET6_ADDRSTRLEN];
    if (ask(fd, &its.any, &size) || its.any.sa_family == AF_UNIX)
        return (struct pqb_address){0};
    const void *bytes =
        its.any.sa_family == AF_INET ? (void *)&its.in.sin_addr : (void *)&its.in6.sin6_addr;
    if (!inet_ntop(its.any.sa_family, bytes, text, sizeof text))
        return (struct pqb_address){0};
    return pqb_address_of(text, ntohs(its.in.sin_port)); /* at the same place in both families */
}

/* ---- who is connected ---- */

/* Whose rows are hidden have neither a kind nor a state; of those, the server's own processes have
 * no user. The state of what has never said anything is when it began. */
static const char question[] =
    "SELECT pid, backend_type IS NULL, datname, usename, application_name, host(client_addr),"
    " client_port, state,"
    " floor(extract(epoch FROM clock_timestamp() - backend_start) * 1000)::bigint,"
    " floor(extract(epoch FROM clock_timestamp() - coalesce(state_change, backend_start)) * "
    "1000)::bigint"
    " FROM pg_catalog.pg_stat_activity WHERE pid <> pg_backend_pid() AND coalesce("
    "backend_type = 'client backend', datid IS NOT NULL AND usesysid IS NOT NULL) ORDER BY pid";

enum { PID, HIDDEN, DATABASE, USER, NAME, CLIENT, CLIENT_PORT, STATE, AGE, STATE_AGE };

static long long not_negative(long long ms)
{
    return ms == PQB_ACTIVITY_UNTOLD || ms >= 0 ? ms : 0; /* clocks are set back */
}

static void read_backend(const PGresult *rows, int row, struct pqb_backend *backend)
{
    long long port = number_in(rows, row, CLIENT_PORT);
    *backend = (struct pqb_backend){
        .pid = (int32_t)number_in(rows, row, PID),
        .is_hidden = *PQgetvalue(rows, row, HIDDEN) == 't',
        .is_unix = !PQgetisnull(rows, row, CLIENT_PORT) && port < 0,
        .age_ms = not_negative(number_in(rows, row, AGE)),
        .state_ms = not_negative(number_in(rows, row, STATE_AGE)),
    };
    copy(backend->client_text, sizeof backend->client_text, rows, row, CLIENT);
    copy(backend->database, sizeof backend->database, rows, row, DATABASE);
    copy(backend->user, sizeof backend->user, rows, row, USER);
    copy(backend->name, sizeof backend->name, rows, row, NAME);
    copy(backend->state, sizeof backend->state, rows, row, STATE);
    if (port > 0)
        backend->client = pqb_address_of(backend->client_text, (unsigned)port);
}

static enum pqb_status ask_who(struct pqb_database *database, struct pqb_activity *activity,
                               struct pqb_error *error)
{
    PGresult *rows = pqb_database_ask(database, question, error);
    if (!rows)
        return PQB_ABSENT;
    int count = PQntuples(rows);
    activity->backend = calloc((size_t)count + 1, sizeof *activity->backend);
    for (int i = 0; activity->backend && i < count; i++)
        read_backend(rows, i, &activity->backend[i]);
    activity->total = activity->backends = activity->backend ? (unsigned)count : 0;
    PQclear(rows);
    return activity->backend ? PQB_OK : pqb_fail(error, PQB_NO_MEMORY, "out of memory");
}

enum pqb_status pqb_activity_take(struct pqb_database *database, struct pqb_activity *activity,
                                  struct pqb_error *error)
{
    *activity = (struct pqb_activity){0};
    enum pqb_status status = ask_server(database, activity, error);
    if (status)
        return status;
    activity->own = address_of(PQsocket(database->conn), getsockname);
    activity->own_peer = address_of(PQsocket(database->conn), getpeername);
    return ask_who(database, activity, error);
}

enum pqb_status pqb_activity_last(struct pqb_database *database, struct pqb_activity *activity,
                                  struct pqb_error *error)
{
    struct pqb_activity later = {0};
    unsigned kept = 0;
    enum pqb_status status = ask_who(database, &later, error);
    if (status)
        return status;
    for (unsigned i = 0; i < later.backends; i++)
        if (pqb_activity_find(activity, later.backend[i].pid))
            later.backend[kept++] = later.backend[i];
    free(activity->backend);
    activity->backend = later.backend;
    activity->total = later.total;
    activity->backends = kept;
    return PQB_OK;
}

/* ---- where it can't be asked ---- */

int pqb_activity_is_socket(const struct pqb_activity *activity, const char *name)
{
    char file[32];
    int file_length = snprintf(file, sizeof file, "/.s.PGSQL.%u", activity->port);
    size_t length = strlen(name), folder = length - (size_t)file_length;
    if (length < (size_t)file_length || strcmp(name + folder, file) != 0)
        return 0;
    const char *at = activity->folders;
    for (size_t word; *at; at += word + strspn(at + word, ", \"")) {
        word = strcspn(at, ", \"");
        if (word == folder && !memcmp(at, name, folder))
            return 1;
    }
    return !*activity->folders;
}

static void see_tcp(const struct pqb_sockets *sockets, const struct pqb_sockets_tcp *end,
                    struct pqb_backend *backend)
{
    const struct pqb_sockets_tcp *client = pqb_sockets_opposite(sockets, end);
    *backend = (struct pqb_backend){.client = end->remote, .inode = client ? client->inode : 0};
    inet_ntop(end->remote.family, end->remote.word, backend->client_text,
              sizeof backend->client_text);
}

enum pqb_status pqb_activity_of_sockets(const struct pqb_sockets *sockets, unsigned port,
                                        struct pqb_activity *activity)
{
    *activity = (struct pqb_activity){.port = port};
    activity->backend =
        calloc((size_t)sockets->tcps + sockets->locals + 1, sizeof *activity->backend);
    if (!activity->backend)
        return PQB_NO_MEMORY;
    struct pqb_backend *next = activity->backend;
    for (unsigned i = 0; i < sockets->tcps; i++)
        if (sockets->tcp[i].local.port == port && !sockets->tcp[i].is_over)
            see_tcp(sockets, &sockets->tcp[i], next++);
    for (unsigned i = 0; i < sockets->locals; i++) {
        const struct pqb_sockets_local *end = &sockets->local[i];
        if (end->peer && pqb_activity_is_socket(activity, end->name))
            *next++ = (struct pqb_backend){.is_unix = 1, .inode = end->peer};
    }
    activity->total = activity->backends = (unsigned)(next - activity->backend);
    for (unsigned i = 0; i < activity->backends; i++)
        activity->backend[i].age_ms = activity->backend[i].state_ms = PQB_ACTIVITY_UNTOLD;
    return PQB_OK;
}

/* ---- finding ---- */

static int by_pid(const void *left, const void *right)
{
    const struct pqb_backend *a = left, *b = right;
    return (a->pid > b->pid) - (a->pid < b->pid);
}

struct pqb_backend *pqb_activity_find(const struct pqb_activity *activity, int32_t pid)
{
    struct pqb_backend wanted = {.pid = pid};
    return activity->backends
               ? bsearch(&wanted, activity->backend, activity->backends, sizeof wanted, by_pid)
               : NULL;
}

void pqb_activity_free(struct pqb_activity *activity)
{
    free(activity->backend);
    *activity = (struct pqb_activity){0};
}
