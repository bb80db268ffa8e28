#include "tool/json.h"
#include "tool/view.h"

static void write_app(struct pqb_json *json, const struct pqb_snapshot_app *app)
{
    pqb_json_open(json, NULL, '{');
    pqb_json_text(json, "app", app->label);
    pqb_json_limit(json, "limit", app->limit);
    pqb_json_number(json, "min", app->min);
    pqb_json_number(json, "used", app->used);
    pqb_json_number(json, "waiting", app->waiting);
    pqb_json_close(json, '}');
}

/* What its session does; only of one that somebody follows. */
static void write_session(struct pqb_json *json, const struct pqb_snapshot_claim *claim)
{
    const char *session = pqb_session_name(claim->session);
    if (!session) {
        pqb_json_null(json, "session");
        pqb_json_null(json, "idle_s");
        pqb_json_null(json, "yield_s");
        return;
    }
    pqb_json_text(json, "session", session);
    if (pqb_view_is_idle(claim))
        pqb_json_seconds(json, "idle_s", claim->idle_ns);
    else
        pqb_json_null(json, "idle_s");
    if (claim->yield_ns && claim->session <= PQB_SESSION_IDLE)
        pqb_json_seconds(json, "yield_s", claim->yield_ns);
    else
        pqb_json_null(json, "yield_s"); /* never */
}

static void write_claim(struct pqb_json *json, const struct pqb_snapshot *snapshot,
                        const struct pqb_snapshot_claim *claim)
{
    pqb_json_open(json, NULL, '{');
    pqb_json_pid(json, "pid", claim->pid);
    pqb_json_text(json, "app", claim->app < 0 ? "" : snapshot->app[claim->app].label);
    pqb_json_text(json, "state", pqb_claim_state_name(claim->state));
    pqb_json_text(json, "door", pqb_door_name(claim->door));
    pqb_json_pid(json, "backend_pid", claim->backend_pid);
    pqb_json_text(json, "database", claim->database);
    pqb_json_text(json, "user", claim->user);
    pqb_json_text(json, "application_name", claim->application_name);
    pqb_json_seconds(json, "age_s", claim->age_ns);
    pqb_json_seconds(json, "wait_s", claim->wait_ns);
    write_session(json, claim);
    pqb_json_text(json, "command", claim->command);
    pqb_json_close(json, '}');
}

static void write_server(struct pqb_json *json, const struct pqb_snapshot *snapshot,
                         unsigned number)
{
    const struct pqb_snapshot_server *server = &snapshot->server[number];
    pqb_json_open(json, NULL, '{');
    pqb_json_text(json, "server", server->key);
    pqb_json_limit(json, "limit", server->config.limit);
    pqb_json_number(json, "reserve", server->config.reserve);
    pqb_json_number(json, "used", server->used);
    pqb_json_number(json, "waiting", server->waiting);
    pqb_json_number(json, "draining", server->draining);
    pqb_json_number(json, "peak", server->peak);
    pqb_json_truth(json, "paused", server->config.paused != 0);
    pqb_json_number(json, "slack", server->config.slack);
    pqb_json_number(json, "granted_total", server->granted_total);
    pqb_json_number(json, "timeout_total", server->timeout_total);
    pqb_json_number(json, "refused_total", server->refused_total);
    pqb_json_number(json, "reaped_total", server->reaped_total);
    pqb_json_number(json, "yielded_total", server->yielded_total);
    pqb_json_open(json, "apps", '[');
    for (unsigned i = 0; i < snapshot->apps; i++)
        if (snapshot->app[i].server == number)
            write_app(json, &snapshot->app[i]);
    pqb_json_close(json, ']');
    pqb_json_open(json, "claims", '[');
    for (unsigned i = 0; i < snapshot->claims; i++)
        if (snapshot->claim[i].server == number)
            write_claim(json, snapshot, &snapshot->claim[i]);
    pqb_json_close(json, ']');
    pqb_json_close(json, '}');
}

void pqb_view_json(const struct pqb_snapshot *snapshot, unsigned only, FILE *out)
{
    struct pqb_json json = {.out = out};
    pqb_json_open(&json, NULL, '{');
    pqb_json_text(&json, "ledger", snapshot->path);
    pqb_json_open(&json, "servers", '[');
    for (unsigned i = 0; i < snapshot->servers; i++)
        if (only == PQB_VIEW_ALL || only == i)
            write_server(&json, snapshot, i);
    pqb_json_close(&json, ']');
    pqb_json_close(&json, '}');
    fputc('\n', out);
}

void pqb_view_json_failure(const char *path, const char *why, FILE *out)
{
    struct pqb_json json = {.out = out};
    pqb_json_open(&json, NULL, '{');
    pqb_json_text(&json, "ledger", path);
    pqb_json_text(&json, "error", why);
    pqb_json_close(&json, '}');
    fputc('\n', out);
}
