/*
 * Saturated short connections to a real PostgreSQL: take a slot, connect, `select 1`, close, give
 * back. 16 clients that share 4 slots against 4 clients that need none.
 *
 *   connections POSTGRES TIGHT_4 TIGHT_7
 *
 * Each argument is "DIR PORT" of a server. Speed is measured at the first, which has room for
 * everybody; errors are counted at the other two, whose max_connections is 4 and 7: there whoever
 * comes before the server has seen the last one off is refused.
 */
#include "support/gate.h"
#include "support/support.h"
#include "support/team.h"

#include <libpq-fe.h>

#include <stdio.h>
#include <string.h>

#define LIMIT 4
#define CLIENTS 16
#define WAIT_MS 30000

enum road { ROAD_SOCKET, ROAD_TCP };

/* A server, and the two ways to it. */
struct server {
    char conninfo[2][256];
};

/* Clients that share a gate, or need none. */
struct crew {
    struct gate *gate; /* NULL = direct */
    const char *conninfo;
    struct team team;
};

static void server_read(struct server *server, const char *argument)
{
    char dir[128];
    int port;
    if (sscanf(argument, "%127s %d", dir, &port) != 2)
        measure_fail("not DIR PORT: %s", argument);
    snprintf(server->conninfo[ROAD_SOCKET], sizeof server->conninfo[0],
             "host=%s port=%d user=postgres dbname=postgres", dir, port);
    snprintf(server->conninfo[ROAD_TCP], sizeof server->conninfo[0],
             "host=127.0.0.1 port=%d user=postgres dbname=postgres sslmode=disable", port);
}

/* 1 if all went well. */
static int connect_once(struct gate *gate, const char *conninfo)
{
    struct gate_pass pass;
    if (gate && !gate_take(gate, &pass, WAIT_MS))
        measure_fail("%s: waited in vain", gate_name(gate->kind));
    PGconn *connection = PQconnectdb(conninfo);
    int good = PQstatus(connection) == CONNECTION_OK;
    if (good) {
        if (gate)
            gate_open(gate, &pass, PQbackendPID(connection));
        PGresult *result = PQexec(connection, "select 1");
        good = PQresultStatus(result) == PGRES_TUPLES_OK;
        PQclear(result);
    }
    PQfinish(connection);
    if (gate)
        gate_give(gate, &pass);
    return good;
}

/* board: mark = connections left, count = errors of each member. */
static void connect_many(struct team *team, unsigned member, void *with)
{
    struct crew *crew = with;
    _Atomic uint64_t *left = &team->board->mark;
    uint64_t errors = 0;
    for (;;) {
        uint64_t now = atomic_load(left);
        if (!now)
            break;
        if (!atomic_compare_exchange_strong(left, &now, now - 1))
            continue;
        errors += !connect_once(crew->gate, crew->conninfo);
    }
    atomic_store(&team->board->count[member], errors);
}

static void crew_make(struct crew *crew, struct gate *gate, const char *conninfo, unsigned clients)
{
    *crew = (struct crew){.gate = gate, .conninfo = conninfo};
    team_start(&crew->team, clients, connect_many, crew);
}

/* Connections per second; adds to *errors. */
static double crew_run(struct crew *crew, unsigned connections, unsigned *errors)
{
    atomic_store(&crew->team.board->mark, connections);
    uint64_t start = pqb_now();
    team_begin(&crew->team);
    team_finish(&crew->team);
    uint64_t end = pqb_now();
    for (unsigned i = 0; i < crew->team.size; i++)
        *errors += (unsigned)atomic_load(&crew->team.board->count[i]);
    return connections / ((double)(end - start) / 1e9);
}

/* One kind of gate on one road: its crew at the roomy server, and the one where room is tight. */
struct contest {
    struct gate gate, tight_gate;
    struct crew crew, tight;
    struct series ratio;
    unsigned errors, tight_errors, tight_total;
};

static void contest_make(struct contest *contest, enum measure_kind kind, unsigned slack,
                         const char *conninfo, const char *tight)
{
    memset(contest, 0, sizeof *contest);
    gate_make(&contest->gate, kind, LIMIT, slack);
    gate_make(&contest->tight_gate, kind, LIMIT, slack);
    crew_make(&contest->crew, &contest->gate, conninfo, CLIENTS);
    crew_make(&contest->tight, &contest->tight_gate, tight, CLIENTS);
}

static void contest_end(struct contest *contest)
{
    team_end(&contest->crew.team);
    team_end(&contest->tight.team);
    gate_end(&contest->gate);
    gate_end(&contest->tight_gate);
    series_free(&contest->ratio);
}

/* Speed beside direct clients, and what the server that has no more room refused. */
static void show(const char *what, struct contest *contest, struct series *direct)
{
    struct series ratio[MEASURE_KINDS];
    for (unsigned kind = 0; kind < MEASURE_KINDS; kind++)
        ratio[kind] = contest[kind].ratio;
    measure_row("connections", "%s: 16 clients ÷ 4 direct", what);
    measure_spread("direct", direct, "/s");
    gate_show(ratio, "×", measure_spread);
    measure_end();
    measure_row("connections", "%s: refused", what);
    measure_value("tried", contest->tight_total, "");
    for (unsigned kind = 0; kind < MEASURE_KINDS; kind++)
        measure_value(gate_name((enum measure_kind)kind), contest[kind].tight_errors, "");
    measure_end();
}

static void measure_road(enum road road, const char *name, unsigned slack,
                         const struct server *roomy, const struct server *tight)
{
    static struct contest contest[MEASURE_KINDS];
    static struct crew direct;
    struct series speed = {0};
    unsigned rounds = measure_is_quick() ? 2 : 3, connections = measure_is_quick() ? 150 : 800;
    char what[160];
    crew_make(&direct, NULL, roomy->conninfo[road], LIMIT);
    for (unsigned kind = 0; kind < MEASURE_KINDS; kind++)
        contest_make(&contest[kind], (enum measure_kind)kind, slack, roomy->conninfo[road],
                     tight->conninfo[road]);
    for (unsigned round = 0; round <= rounds; round++) {
        unsigned errors = 0, size = round ? connections : 100;
        double alone = crew_run(&direct, size, &errors);
        for (unsigned kind = 0; kind < MEASURE_KINDS; kind++) {
            double shared = crew_run(&contest[kind].crew, size, &errors);
            if (round)
                series_add(&contest[kind].ratio, shared / alone);
            if (round == rounds) {
                crew_run(&contest[kind].tight, size, &contest[kind].tight_errors);
                contest[kind].tight_total += size;
            }
        }
        if (errors)
            measure_fail("%u connections failed at a server that has room", errors);
        if (round)
            series_add(&speed, alone);
    }
    snprintf(what, sizeof what, "%s, limit %d, slack %u", name, LIMIT, slack);
    show(what, contest, &speed);
    team_end(&direct.team);
    for (unsigned kind = 0; kind < MEASURE_KINDS; kind++)
        contest_end(&contest[kind]);
    series_free(&speed);
}

int main(int count, char **arguments)
{
    struct server roomy = {0}, tight[2] = {0};
    if (count != 4)
        measure_fail("usage: connections 'DIR PORT' 'DIR PORT' 'DIR PORT'");
    server_read(&roomy, arguments[1]);
    server_read(&tight[0], arguments[2]);
    server_read(&tight[1], arguments[3]);
    for (unsigned i = 0; i < 2; i++) {
        measure_road(ROAD_SOCKET, "Unix socket", i ? 3 : 0, &roomy, &tight[i]);
        measure_road(ROAD_TCP, "TCP", i ? 3 : 0, &roomy, &tight[i]);
    }
    return 0;
}
