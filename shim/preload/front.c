#include "preload/front.h"

#include "ledger/os.h"
#include "ledger/yield.h"
#include "preload/budget.h"
#include "preload/connection.h"
#include "preload/giving.h"
#include "preload/log.h"
#include "preload/order.h"
#include "preload/settings.h"
#include "preload/side.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int is_on(void)
{
    return pqb_budget_is_on() && (pqb_settings()->doors & PQB_DOORS_LIBPQ);
}

/* How this thread is marked while libpq works at a connection. NULL is one that nobody counts here;
 * with this door shut the other one sees its socket. */
static struct pqb_thread mark(struct pqb_libpq *pq, struct pqb_connection *connection)
{
    struct pqb_thread now = {.inside = pq};
    if (!connection && pqb_budget_is_on() && !pqb_settings_has_door(PQB_DOORS_LIBPQ))
        now.inside = NULL;
    if (connection) {
        now.refuses = connection->state == PQB_CONNECTION_REFUSED;
        now.holds = connection->state == PQB_CONNECTION_WAITING ? connection : NULL;
        now.knows = connection->state == PQB_CONNECTION_CONNECTING ||
                            connection->state == PQB_CONNECTION_OPEN /* as it is reset */
                        ? connection
                        : NULL;
    }
    return now;
}

/* Calls a real function with this thread marked as inside its libpq. */
#define CALL(pq, connection, call)                                                                 \
    ({                                                                                             \
        struct pqb_thread before_ = pqb_thread_enter(mark((pq), (connection)));                    \
        __auto_type result_ = (call);                                                              \
        pqb_thread_leave(before_);                                                                 \
        result_;                                                                                   \
    })
#define CALL_VOID(pq, connection, call)                                                            \
    do {                                                                                           \
        struct pqb_thread before_ = pqb_thread_enter(mark((pq), (connection)));                    \
        (call);                                                                                    \
        pqb_thread_leave(before_);                                                                 \
    } while (0)

/* ---- a connection's steps ---- */

/* What libpq writes and reads is what goes over the wire. */
static int is_plain(struct pqb_libpq *pq, struct pg_conn *conn)
{
    return pq->PQsslInUse && !pq->PQsslInUse(conn) &&
           (!pq->PQgssEncInUse || !pq->PQgssEncInUse(conn));
}

/* Nothing that the keeper does concerns it any more; 0 if that is not certain. */
static int let_alone(struct pqb_connection *connection)
{
    if (connection->state != PQB_CONNECTION_WAITING && !connection->is_followed)
        return 1;
    if (!pqb_side_release(connection))
        return 0;
    if (connection->is_followed && !connection->claim.region)
        connection->state = PQB_CONNECTION_FAILED; /* it has given way */
    connection->is_followed = 0;
    return 1;
}

/* It is connected: says so in the ledger. */
static void opened(struct pqb_connection *connection)
{
    struct pqb_libpq *pq = connection->pq;
    struct pg_conn *conn = connection->conn;
    int saved = errno, is_ours = let_alone(connection);
    if (is_ours && connection->state != PQB_CONNECTION_FREE && connection->claim.region) {
        struct pqb_peer peer;
        pqb_peer_of(pq->PQsocket(conn), &peer);
        struct pqb_claim_peer claim_peer = {
            .backend_pid = pq->PQbackendPID(conn),
            .is_local = peer.is_local,
            .place = &peer.place,
            .user = pq->PQuser(conn),
            .database = pq->PQdb(conn),
            .application_name = pq->PQparameterStatus(conn, "application_name"),
        };
        connection->state = PQB_CONNECTION_OPEN;
        if (pqb_claim_open(&connection->claim, &claim_peer))
            pqb_log(PQB_LOG_INFO, "the ledger was given up while this process connected to %s",
                    connection->server);
        else
            pqb_budget_learn(&connection->claim, connection->server, &peer, claim_peer.backend_pid);
        if (pqb_giving_is_on() && is_plain(pq, conn)) {
            connection->is_followed = 1;
            pqb_side_follow(connection, pq->PQsocket(conn));
        } else if (pqb_giving_is_on()) {
            pqb_yield_tell(&connection->claim, PQB_SESSION_UNSEEN, pqb_now());
        }
    }
    errno = saved;
}

/* Its claim is not needed any more. What a forked child inherited in the midst of connecting is its
 * parent's. 0 if the keeper may still come to it. */
static int give_back(struct pqb_connection *connection)
{
    int saved = errno, is_ours = let_alone(connection);
    if (!is_ours)
        pqb_log(PQB_LOG_WARN, "the keeper does not let go of a connection to %s: it stays counted",
                connection->server);
    else if (connection->pid != (int32_t)getpid() && connection->state != PQB_CONNECTION_OPEN)
        pqb_claim_drop(&connection->claim);
    else
        pqb_claim_give(&connection->claim, PQB_END_CLOSED);
    errno = saved;
    return is_ours;
}

static void failed(struct pqb_connection *connection)
{
    if (connection->state == PQB_CONNECTION_WAITING ||
        connection->state == PQB_CONNECTION_CONNECTING ||
        connection->state == PQB_CONNECTION_OPEN) {
        give_back(connection);
        connection->state = PQB_CONNECTION_FAILED;
    }
}

/* Looks what became of a connection after libpq worked at it. */
static void settle(struct pqb_connection *connection)
{
    if (connection->state == PQB_CONNECTION_REFUSED || connection->state == PQB_CONNECTION_FREE)
        return;
    if (connection->pq->PQstatus(connection->conn) == PQB_PQ_CONNECTION_OK)
        opened(connection);
    else
        failed(connection);
}

static void write_refusal(struct pqb_connection *connection, const struct pg_conn *conn,
                          const struct pqb_refusal *refusal)
{
    struct pqb_libpq *pq = connection->pq;
    pqb_connection_refuse(connection,
                          pqb_refusal_message(refusal, pq->PQhost(conn), pq->PQport(conn)));
}

/* Takes a claim for it, or queues for one if libpq is not to block. 0 if it is refused. */
static int admit(struct pqb_connection *connection, int is_async, struct pqb_refusal *refusal)
{
    struct pqb_ask ask = {.server = connection->server,
                          .cap = connection->cap,
                          .wait = connection->wait,
                          .is_pooled = connection->is_pooled,
                          .door = PQB_DOOR_LIBPQ};
    struct pqb_hold *hold = &connection->hold;
    free(hold->why);
    *hold = (struct pqb_hold){.outcome = PQB_HOLD_WAITS, .asked_at = pqb_now()};
    switch (is_async ? pqb_budget_submit(&ask, &connection->claim, &hold->deadline, refusal)
                     : pqb_budget_acquire(&ask, &connection->claim, refusal)) {
    case PQB_VERDICT_GO:
        connection->state = PQB_CONNECTION_CONNECTING;
        return 1;
    case PQB_VERDICT_UNCOUNTED:
        connection->state = PQB_CONNECTION_FREE;
        return 1;
    case PQB_VERDICT_WAIT:
        connection->state = PQB_CONNECTION_WAITING;
        return 1;
    case PQB_VERDICT_REFUSED:
        break;
    }
    connection->state = PQB_CONNECTION_REFUSED;
    return 0;
}

/* libpq has moved it on, by a poll with this result. */
static void advance(struct pqb_connection *connection, int result)
{
    int is_over = result == PQB_PQ_POLLING_OK || result == PQB_PQ_POLLING_FAILED;
    if (connection->state == PQB_CONNECTION_WAITING) {
        switch (pqb_side_outcome(connection)) {
        case PQB_HOLD_GRANTED:
            connection->state = PQB_CONNECTION_CONNECTING;
            break;
        case PQB_HOLD_REFUSED:
            connection->state = PQB_CONNECTION_REFUSED;
            if (connection->hold.why)
                write_refusal(connection, connection->conn, connection->hold.why);
            break;
        default:
            if (is_over)
                failed(connection);
        }
    }
    if (connection->state == PQB_CONNECTION_CONNECTING && is_over)
        settle(connection);
}

/* Puts a new PGconn down; whatever stood at its address before, libpq has freed past us. 0 if there
 * is no memory. */
static int put_down(struct pqb_connection *connection, struct pg_conn *conn)
{
    struct pqb_connection *earlier;
    int is_down = pqb_connection_add(connection, conn, &earlier);
    if (earlier) {
        give_back(earlier);
        pqb_connection_free(earlier);
    }
    return is_down;
}

/* ---- making one ---- */

static struct pg_conn *really_connect(struct pqb_connection *connection, const char *conninfo,
                                      int is_async)
{
    struct pqb_libpq *pq = connection->pq;
    return is_async ? CALL(pq, connection, pq->PQconnectStart(conninfo))
                    : CALL(pq, connection, pq->PQconnectdb(conninfo));
}

/* A libpq whose connect() is not ours (bound past us, linked statically) has connected, or begun
 * to: the program gets a connection that leads nowhere instead. */
static struct pg_conn *disarm(struct pqb_connection *connection, struct pg_conn *conn,
                              const char *conninfo, int is_async)
{
    struct pqb_libpq *pq = connection->pq;
    static const char nowhere[] = " host='/dev/null/pqbudget' hostaddr=''";
    if (!conn || pq->PQstatus(conn) == PQB_PQ_CONNECTION_BAD)
        return conn;
    CALL_VOID(pq, NULL, pq->PQfinish(conn));
    char *changed = malloc(strlen(conninfo) + sizeof nowhere);
    if (!changed)
        return NULL;
    strcpy(stpcpy(changed, conninfo), nowhere);
    conn = really_connect(connection, changed, is_async);
    pqb_order_forget(changed);
    return conn;
}

/* The parameters are understood and there is memory: one attempt. NULL as libpq's, without memory.
 * A signal handler that leaves libpq by a longjmp leaves a connection that nobody can close any
 * more; its claim counts on, as it does. */
static struct pg_conn *connect_charged(struct pqb_connection *connection, const char *conninfo,
                                       int is_async)
{
    struct pqb_libpq *pq = connection->pq;
    struct pqb_refusal refusal;
    int is_admitted = !connection->server || admit(connection, is_async, &refusal);
    struct pg_conn *conn = really_connect(connection, conninfo, is_async);
    if (conn && !is_admitted) {
        write_refusal(connection, conn, &refusal);
        conn = disarm(connection, conn, conninfo, is_async);
    }
    if (conn && !put_down(connection, conn)) {
        /* Nobody would give its claim back. */
        CALL_VOID(pq, 0, pq->PQfinish(conn));
        conn = NULL;
    }
    if (!conn) {
        give_back(connection);
        pqb_connection_free(connection);
        return NULL;
    }
    if (!is_async)
        settle(connection);
    else if (pq->PQstatus(conn) == PQB_PQ_CONNECTION_BAD)
        advance(connection, PQB_PQ_POLLING_FAILED); /* refused already, too many wait connected */
    return conn;
}

/* NULL and *is_done = 0: the program's own call is to be made as it is. */
static struct pg_conn *connect_with(struct pqb_libpq *pq, struct pqb_order *order, int is_async,
                                    int *is_done)
{
    struct pqb_connection *connection = pqb_connection_new(pq);
    struct pg_conn *conn = NULL;
    if (connection && *order->server)
        connection->server = strdup(order->server);
    *is_done = connection && (!*order->server || connection->server);
    if (*is_done) {
        connection->cap = order->cap;
        connection->wait = order->wait;
        connection->is_pooled = order->is_pooled;
        conn = connect_charged(connection, order->conninfo, is_async);
    } else if (connection) {
        pqb_connection_free(connection);
    }
    pqb_order_clear(order);
    return conn;
}

struct pg_conn *pqb_front_PQconnectdb(struct pqb_libpq *pq, const char *conninfo)
{
    struct pqb_order order;
    int is_done = 0;
    struct pg_conn *conn = NULL;
    if (is_on() && pqb_order_of_string(pq, conninfo, &order))
        conn = connect_with(pq, &order, 0, &is_done);
    return is_done ? conn : CALL(pq, NULL, pq->PQconnectdb(conninfo));
}

struct pg_conn *pqb_front_PQconnectStart(struct pqb_libpq *pq, const char *conninfo)
{
    struct pqb_order order;
    int is_done = 0;
    struct pg_conn *conn = NULL;
    if (is_on() && pqb_order_of_string(pq, conninfo, &order))
        conn = connect_with(pq, &order, 1, &is_done);
    return is_done ? conn : CALL(pq, NULL, pq->PQconnectStart(conninfo));
}

struct pg_conn *pqb_front_PQconnectdbParams(struct pqb_libpq *pq, const char *const *keywords,
                                            const char *const *values, int expand_dbname)
{
    struct pqb_order order;
    int is_done = 0;
    struct pg_conn *conn = NULL;
    if (is_on() && pqb_order_of_arrays(pq, keywords, values, expand_dbname, &order))
        conn = connect_with(pq, &order, 0, &is_done);
    return is_done ? conn : CALL(pq, NULL, pq->PQconnectdbParams(keywords, values, expand_dbname));
}

struct pg_conn *pqb_front_PQconnectStartParams(struct pqb_libpq *pq, const char *const *keywords,
                                               const char *const *values, int expand_dbname)
{
    struct pqb_order order;
    int is_done = 0;
    struct pg_conn *conn = NULL;
    if (is_on() && pqb_order_of_arrays(pq, keywords, values, expand_dbname, &order))
        conn = connect_with(pq, &order, 1, &is_done);
    return is_done ? conn
                   : CALL(pq, NULL, pq->PQconnectStartParams(keywords, values, expand_dbname));
}

struct pg_conn *pqb_front_PQsetdbLogin(struct pqb_libpq *pq, const char *host, const char *port,
                                       const char *options, const char *tty, const char *dbname,
                                       const char *login, const char *password)
{
    struct pqb_order order;
    int is_done = 0;
    struct pg_conn *conn = NULL;
    if (is_on() && pqb_order_of_login(pq, host, port, options, dbname, login, password, &order))
        conn = connect_with(pq, &order, 0, &is_done);
    return is_done ? conn
                   : CALL(pq, NULL,
                          pq->PQsetdbLogin(host, port, options, tty, dbname, login, password));
}

int pqb_front_PQconnectPoll(struct pqb_libpq *pq, struct pg_conn *conn)
{
    struct pqb_connection *connection = pqb_connection_find(conn);
    int result = CALL(pq, connection, pq->PQconnectPoll(conn));
    if (connection)
        advance(connection, result);
    return result;
}

/* ---- making it again ---- */

/* Before a reset: the claim is kept, or one taken again if it had been given back. In a forked
 * child an inherited connection ends for both, and what follows is the child's own. 0 = refused. */
static int admit_again(struct pqb_connection *connection, int is_async, struct pqb_refusal *refusal)
{
    if (connection->is_followed)
        let_alone(connection);
    int is_inherited = connection->pid != (int32_t)getpid();
    int is_open = connection->state == PQB_CONNECTION_OPEN;
    if (!connection->server || !is_on() ||
        (!is_inherited && (is_open || connection->state == PQB_CONNECTION_CONNECTING))) {
        if (is_open && !is_inherited && connection->claim.region)
            pqb_claim_reset(&connection->claim);
        return 1;
    }
    give_back(connection); /* what it inherited, or waits for: nothing otherwise */
    connection->pid = (int32_t)getpid();
    pqb_connection_refuse(connection, NULL);
    return admit(connection, is_async, refusal);
}

void pqb_front_PQreset(struct pqb_libpq *pq, struct pg_conn *conn)
{
    struct pqb_connection *connection = pqb_connection_find(conn);
    struct pqb_refusal refusal;
    int is_admitted = !connection || admit_again(connection, 0, &refusal);
    CALL_VOID(pq, connection, pq->PQreset(conn));
    if (!is_admitted)
        write_refusal(connection, conn, &refusal);
    else if (connection)
        settle(connection);
}

int pqb_front_PQresetStart(struct pqb_libpq *pq, struct pg_conn *conn)
{
    struct pqb_connection *connection = pqb_connection_find(conn);
    struct pqb_refusal refusal;
    int is_admitted = !connection || admit_again(connection, 1, &refusal);
    int result = CALL(pq, connection, pq->PQresetStart(conn));
    if (!is_admitted)
        write_refusal(connection, conn, &refusal);
    else if (connection && connection->state == PQB_CONNECTION_OPEN)
        connection->state = PQB_CONNECTION_CONNECTING; /* its claim stays OPEN */
    if (connection && !result)
        failed(connection);
    return result;
}

int pqb_front_PQresetPoll(struct pqb_libpq *pq, struct pg_conn *conn)
{
    struct pqb_connection *connection = pqb_connection_find(conn);
    int result = CALL(pq, connection, pq->PQresetPoll(conn));
    if (connection)
        advance(connection, result);
    return result;
}

/* ---- its end, and its words ---- */

/* Granted, and not at its end as far as libpq has heard. A hold has been released before. */
static int is_logging_in(const struct pqb_connection *connection)
{
    return connection->pid == (int32_t)getpid() &&
           (connection->state == PQB_CONNECTION_CONNECTING ||
            (connection->state == PQB_CONNECTION_WAITING &&
             connection->hold.outcome == PQB_HOLD_GRANTED));
}

void pqb_front_PQfinish(struct pqb_libpq *pq, struct pg_conn *conn)
{
    struct pqb_process self;
    /* A vfork child has its parent's memory, and its parent's connections. */
    int is_borrowed = pqb_process_self(&self) == PQB_BORROWED;
    struct pqb_connection *connection = is_borrowed ? NULL : pqb_connection_take(conn);
    /* It does not wait for the server's answer; the server gives one all the same. */
    int is_left = connection && let_alone(connection) && is_logging_in(connection);
    CALL_VOID(pq, NULL, pq->PQfinish(conn));
    if (!connection)
        return;
    if (is_left)
        pqb_claim_give(&connection->claim, PQB_END_LEFT);
    if (give_back(connection))
        pqb_connection_free(connection);
}

char *pqb_front_PQerrorMessage(struct pqb_libpq *pq, const struct pg_conn *conn)
{
    struct pqb_connection *connection =
        atomic_load(&pqb_connections_refused) ? pqb_connection_find(conn) : NULL;
    return connection && connection->refusal ? connection->refusal : pq->PQerrorMessage(conn);
}

/* ---- those that are never charged ---- */

/* Also in signal handlers: nothing but the mark. */
#define ASIDE(pq, call)                                                                            \
    ({                                                                                             \
        struct pqb_thread before_ = pqb_thread_enter((struct pqb_thread){.inside = (pq)});         \
        __auto_type result_ = (call);                                                              \
        pqb_thread_leave(before_);                                                                 \
        result_;                                                                                   \
    })

int pqb_front_PQping(struct pqb_libpq *pq, const char *conninfo)
{
    struct pqb_order order;
    if (!pqb_budget_is_on() || !pqb_order_of_string(pq, conninfo, &order))
        return ASIDE(pq, pq->PQping(conninfo));
    int result = ASIDE(pq, pq->PQping(order.conninfo));
    pqb_order_clear(&order);
    return result;
}

int pqb_front_PQpingParams(struct pqb_libpq *pq, const char *const *keywords,
                           const char *const *values, int expand_dbname)
{
    struct pqb_order order;
    if (!pqb_budget_is_on() || !pqb_order_of_arrays(pq, keywords, values, expand_dbname, &order))
        return ASIDE(pq, pq->PQpingParams(keywords, values, expand_dbname));
    int result = ASIDE(pq, pq->PQping(order.conninfo));
    pqb_order_clear(&order);
    return result;
}

struct _PQconninfoOption *pqb_front_PQconninfoParse(struct pqb_libpq *pq, const char *conninfo,
                                                    char **errmsg)
{
    char *clean = pqb_budget_is_on() ? pqb_order_clean(pq, conninfo) : NULL;
    struct _PQconninfoOption *options = pq->PQconninfoParse(clean ? clean : conninfo, errmsg);
    pqb_order_forget(clean);
    return options;
}

/* A cancel request takes no slot, and must pass on a full server. psql sends one inside its SIGINT
 * handler: nothing here but the mark of the thread. */
int pqb_front_PQcancel(struct pqb_libpq *pq, struct pg_cancel *cancel, char *errbuf, int errbufsize)
{
    return ASIDE(pq, pq->PQcancel(cancel, errbuf, errbufsize));
}

int pqb_front_PQrequestCancel(struct pqb_libpq *pq, struct pg_conn *conn)
{
    return ASIDE(pq, pq->PQrequestCancel(conn));
}

int pqb_front_PQcancelBlocking(struct pqb_libpq *pq, struct pg_cancel_conn *conn)
{
    return ASIDE(pq, pq->PQcancelBlocking(conn));
}

int pqb_front_PQcancelStart(struct pqb_libpq *pq, struct pg_cancel_conn *conn)
{
    return ASIDE(pq, pq->PQcancelStart(conn));
}

int pqb_front_PQcancelPoll(struct pqb_libpq *pq, struct pg_cancel_conn *conn)
{
    return ASIDE(pq, pq->PQcancelPoll(conn));
}

void pqb_front_PQcancelReset(struct pqb_libpq *pq, struct pg_cancel_conn *conn)
{
    struct pqb_thread before = pqb_thread_enter((struct pqb_thread){.inside = pq});
    pq->PQcancelReset(conn);
    pqb_thread_leave(before);
}
