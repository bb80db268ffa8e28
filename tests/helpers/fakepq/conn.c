/* Connections. Its exported functions call each other through the PLT, as Debian's libpq does. */
#include "fakepq.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

PGconn *fakepq_make(void)
{
    PGconn *conn = calloc(1, sizeof *conn);
    if (!conn)
        abort();
    conn->socket = -1;
    conn->status = CONNECTION_BAD;
    for (int i = 0; i < FAKEPQ_KEYWORDS; i++) {
        const char *value = fakepq_variable[i] ? getenv(fakepq_variable[i]) : NULL;
        conn->value[i] = value ? strdup(value) : NULL;
    }
    return conn;
}

static void close_socket(PGconn *conn)
{
    if (conn->socket >= 0)
        close(conn->socket);
    conn->socket = -1;
    conn->status = CONNECTION_BAD;
    conn->is_past_login = 0;
}

static int dial(const char *host, int port)
{
    struct sockaddr_in ip = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    int is_local = *host == '/', fd;
    ip.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    snprintf(local.sun_path, sizeof local.sun_path, "%s/.s.PGSQL.%d", host, port);
    fd = socket(is_local ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 &&
        connect(fd, is_local ? (void *)&local : (void *)&ip, is_local ? sizeof local : sizeof ip)) {
        int error = errno;
        close(fd);
        errno = error;
        fd = -1;
    }
    return fd;
}

int fakepq_begin(PGconn *conn)
{
    const char *host = conn->value[KEY_HOST] ? conn->value[KEY_HOST] : "localhost";
    const char *port = conn->value[KEY_PORT] ? conn->value[KEY_PORT] : "5432";
    close_socket(conn);
    conn->socket = dial(host, atoi(port));
    conn->status = conn->socket < 0 ? CONNECTION_BAD : CONNECTION_STARTED;
    *conn->error = 0;
    if (conn->socket < 0)
        snprintf(conn->error, sizeof conn->error,
                 "connection to server at \"%s\", port %s failed: %s\n", host, port,
                 strerror(errno));
    return conn->socket >= 0;
}

static void set(PGconn *conn, int key, const char *value)
{
    free(conn->value[key]);
    conn->value[key] = strdup(value);
}

PGconn *PQconnectStartParams(const char *const *keywords, const char *const *values, int expand)
{
    PGconn *conn = fakepq_make();
    for (int i = 0; keywords[i] && !*conn->error; i++) {
        int key = fakepq_find(keywords[i]);
        if (!values[i] || !*values[i])
            continue;
        if (key < 0)
            snprintf(conn->error, sizeof conn->error, "invalid connection option \"%s\"\n",
                     keywords[i]);
        else if (key == KEY_DBNAME && expand && strchr(values[i], '='))
            fakepq_split(values[i], conn->value, conn->error);
        else
            set(conn, key, values[i]);
    }
    if (!*conn->error)
        fakepq_begin(conn);
    return conn;
}

PGconn *PQconnectStart(const char *conninfo)
{
    PGconn *conn = fakepq_make();
    if (fakepq_split(conninfo, conn->value, conn->error))
        fakepq_begin(conn);
    return conn;
}

/* One more step to show that it takes several. */
PostgresPollingStatusType PQconnectPoll(PGconn *conn)
{
    if (!conn || conn->socket < 0)
        return PGRES_POLLING_FAILED;
    if (!conn->is_past_login) {
        conn->is_past_login = 1;
        conn->status = CONNECTION_MADE;
        return PGRES_POLLING_WRITING;
    }
    conn->status = CONNECTION_OK;
    return PGRES_POLLING_OK;
}

static PGconn *complete(PGconn *conn)
{
    PostgresPollingStatusType status = PGRES_POLLING_WRITING;
    while (status == PGRES_POLLING_WRITING || status == PGRES_POLLING_READING)
        status = PQconnectPoll(conn);
    return conn;
}

PGconn *PQconnectdb(const char *conninfo)
{
    return complete(PQconnectStart(conninfo));
}

PGconn *PQconnectdbParams(const char *const *keywords, const char *const *values, int expand)
{
    return complete(PQconnectStartParams(keywords, values, expand));
}

/* Past PQconnectStart, as the real one. */
PGconn *PQsetdbLogin(const char *host, const char *port, const char *options, const char *tty,
                     const char *database, const char *user, const char *password)
{
    PGconn *conn = fakepq_make();
    (void)options, (void)tty, (void)password;
    if (host)
        set(conn, KEY_HOST, host);
    if (port)
        set(conn, KEY_PORT, port);
    if (database)
        set(conn, KEY_DBNAME, database);
    if (user)
        set(conn, KEY_USER, user);
    fakepq_begin(conn);
    return complete(conn);
}

void PQreset(PGconn *conn)
{
    if (conn && fakepq_begin(conn))
        complete(conn);
}

int PQresetStart(PGconn *conn)
{
    return conn && fakepq_begin(conn);
}

PostgresPollingStatusType PQresetPoll(PGconn *conn)
{
    return PQconnectPoll(conn);
}

void PQfinish(PGconn *conn)
{
    if (!conn)
        return;
    close_socket(conn);
    for (int i = 0; i < FAKEPQ_KEYWORDS; i++)
        free(conn->value[i]);
    free(conn);
}

/* No hook sees this one made. */
PGconn *fakepq_connect_behind(const char *conninfo)
{
    PGconn *conn = fakepq_make();
    if (fakepq_split(conninfo, conn->value, conn->error))
        fakepq_begin(conn);
    return conn;
}
