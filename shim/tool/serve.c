/* pqbudget serve: the ledger over HTTP, to read. */
#include "tool/look.h"
#include "tool/serve_answer.h"
#include "tool/serve_host.h"
#include "tool/serve_listen.h"
#include "tool/verbs.h"

#include <microhttpd.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WHERE "127.0.0.1:9188"
#define CONNECTIONS 256u /* who comes later waits until another goes */
#define PATIENCE 30u     /* seconds that a connection may be silent; Prometheus comes every 15 */

static const struct option longs[] = {
    {"listen", required_argument, NULL, 'l'},
    {"host", required_argument, NULL, 'H'},
    PQB_CALL_OPTIONS,
};

struct serve {
    char path[PQB_REGION_PATH];
    const char *where;
    const char **name; /* that it may be asked for by */
    unsigned names;
};

/* ---- one request ---- */

struct header {
    const char *name, *value;
};

/* Returns 0 if memory ran out: what was lost may be a line of defence. */
static int add_headers(struct MHD_Response *response, const struct pqb_answer *answer)
{
    char policy[256];
    const struct header header[] = {
        {MHD_HTTP_HEADER_CONTENT_TYPE, answer->type},
        {"Content-Security-Policy", policy},
        {MHD_HTTP_HEADER_CACHE_CONTROL, "no-store"},
        {"X-Content-Type-Options", "nosniff"},
        {"Referrer-Policy", "no-referrer"},
        {"Cross-Origin-Resource-Policy", "same-origin"},
    };
    snprintf(policy, sizeof policy,
             *answer->nonce ? "default-src 'none'; script-src 'nonce-%s'; style-src 'nonce-%s'; "
                              "connect-src 'self'; img-src data:; base-uri 'none'; "
                              "form-action 'none'; frame-ancestors 'none'"
                            : "default-src 'none'; frame-ancestors 'none'",
             answer->nonce, answer->nonce);
    for (unsigned i = 0; i < sizeof header / sizeof *header; i++)
        if (MHD_add_response_header(response, header[i].name, header[i].value) != MHD_YES)
            return 0;
    return answer->status != MHD_HTTP_METHOD_NOT_ALLOWED ||
           MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD") == MHD_YES;
}

static enum MHD_Result send_answer(struct MHD_Connection *connection,
                                   const struct pqb_answer *answer)
{
    enum MHD_Result result = MHD_NO;
    struct MHD_Response *response =
        MHD_create_response_from_buffer(answer->length, answer->body, MHD_RESPMEM_MUST_FREE);
    if (!response) {
        free(answer->body);
        return MHD_NO;
    }
    if (add_headers(response, answer))
        result = MHD_queue_response(connection, answer->status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result answer_request(void *context, struct MHD_Connection *connection,
                                      const char *route, const char *method, const char *version,
                                      const char *upload, size_t *upload_size, void **seen)
{
    const struct serve *serve = context;
    struct pqb_answer answer;
    int is_made;
    (void)version, (void)upload, (void)upload_size;
    if (!pqb_host_is_ours(MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Host"),
                          serve->name, serve->names)) {
        is_made = pqb_answer_refuse(MHD_HTTP_FORBIDDEN,
                                    "not known by that name; --host NAME lets others in", &answer);
    } else if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0) {
        is_made = pqb_answer_refuse(MHD_HTTP_METHOD_NOT_ALLOWED, "only to be read", &answer);
    } else if (!*seen) {
        *seen = context; /* anything: this call is about the headers, the next one to be answered */
        return MHD_YES;
    } else {
        is_made = pqb_answer_make(serve->path, route, &answer);
    }
    return is_made ? send_answer(connection, &answer) : MHD_NO;
}

/* ---- all of them ---- */

/* Those that end it. The daemon's thread has them blocked, and so has this one but for sigwait.
 * What was ignored when we started stays ignored: nohup means that. */
static void block_ends(sigset_t *ends)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    sigemptyset(ends);
    for (unsigned i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        struct sigaction now;
        if (!sigaction(numbers[i], NULL, &now) && now.sa_handler != SIG_IGN)
            sigaddset(ends, numbers[i]);
    }
    pthread_sigmask(SIG_BLOCK, ends, NULL);
}

static enum pqb_exit serve_until_told(struct serve *serve, const struct pqb_listener *listener)
{
    sigset_t ends;
    int number;
    block_ends(&ends);
    struct MHD_Daemon *daemon =
        MHD_start_daemon(MHD_USE_AUTO_INTERNAL_THREAD, 0, NULL, NULL, answer_request, serve,
                         MHD_OPTION_LISTEN_SOCKET, listener->fd, MHD_OPTION_CONNECTION_LIMIT,
                         CONNECTIONS, MHD_OPTION_CONNECTION_TIMEOUT, PATIENCE, MHD_OPTION_END);
    if (!daemon) {
        close(listener->fd);
        return pqb_report(PQB_EXIT_UNKNOWN, "cannot serve on %s", listener->text);
    }
    pqb_report(PQB_EXIT_DONE, "listening on http://%s/%s", listener->text,
               listener->is_local ? "" : ", for every machine that can reach it");
    sigwait(&ends, &number);
    MHD_stop_daemon(daemon);
    return PQB_EXIT_DONE;
}

static enum pqb_exit start(struct pqb_call *call, struct serve *serve)
{
    struct pqb_listener listener;
    struct pqb_error error = {{0}};
    enum pqb_exit code = pqb_call_path(call, serve->path);
    if (code)
        return code;
    enum pqb_status status = pqb_listen(serve->where, &listener, &error);
    if (status == PQB_INVALID)
        return pqb_call_misused(call, "%s", error.text);
    if (status)
        return pqb_report(PQB_EXIT_UNKNOWN, "%s", error.text);
    serve->name[serve->names++] = listener.host;
    return serve_until_told(serve, &listener);
}

static enum pqb_exit take_options(struct pqb_call *call, struct serve *serve, int *is_over)
{
    for (int option; (option = pqb_call_option(call, ":h", longs)) != PQB_CALL_DONE;) {
        if (option == PQB_CALL_END) {
            *is_over = 1;
            return call->end;
        }
        if (option == 'l') {
            serve->where = optarg;
        } else if (!*optarg || optarg[strcspn(optarg, ":/ ")]) {
            *is_over = 1;
            return pqb_call_misused(call, "--host wants a name alone, not '%.80s'", optarg);
        } else {
            serve->name[serve->names++] = optarg;
        }
    }
    return PQB_EXIT_DONE;
}

static enum pqb_exit run(struct pqb_call *call)
{
    struct serve serve = {.where = WHERE};
    int is_over = 0;
    /* Each --host is an argument beside the verb: there is room for where it listens as well. */
    serve.name = calloc((size_t)call->argc, sizeof *serve.name);
    if (!serve.name)
        return pqb_report(PQB_EXIT_UNKNOWN, "out of memory");
    enum pqb_exit code = take_options(call, &serve, &is_over);
    if (!is_over)
        code = start(call, &serve);
    free(serve.name);
    return code;
}

const struct pqb_verb pqb_verb_serve = {
    .name = "serve",
    .arguments = "[--listen HOST:PORT] [--host NAME]...",
    .summary = "Serve a live page, /status.json, /health and /metrics over HTTP",
    .help = "  --listen HOST:PORT  where to listen instead of " WHERE "; [::1]:9188 as\n"
            "                      well, and PORT alone; port 0 takes a free one\n"
            "  --host NAME         may be asked for by that name too, as by any address,\n"
            "                      localhost, and the name that it listens on\n"
            "\nOne line on stderr says where. Who can reach it can read it: names, commands,\n"
            "never passwords. SIGTERM and Ctrl-C end it. /health answers 200 below 90 % of\n"
            "the limit, else 503, as every route but / does that has no ledger to read.\n",
    .run = run,
};
