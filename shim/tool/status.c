/* pqbudget status: what is in the ledger. Reads only; never waits for anybody. */
#include "ledger/os.h"
#include "tool/look.h"
#include "tool/text.h"
#include "tool/verbs.h"
#include "tool/view.h"
#include "tool/watch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct option longs[] = {
    {"json", no_argument, NULL, 'j'},
    {"watch", optional_argument, NULL, 'w'},
    {"server", required_argument, NULL, 's'},
    PQB_CALL_OPTIONS,
};

struct request {
    char path[PQB_REGION_PATH];
    const char *server;
    int is_json;
    long long watch_ms; /* 0 = once */
};

/* Looks once and shows it. */
static enum pqb_status show(const struct request *request, const struct pqb_screen *screen,
                            FILE *out, struct pqb_error *error)
{
    struct pqb_snapshot snapshot;
    unsigned only;
    enum pqb_status status =
        pqb_look_at(request->path, request->server, PQB_LOOK_SESSIONS, &snapshot, &only, error);
    if (status)
        return status;
    if (request->is_json)
        pqb_view_json(&snapshot, only, out);
    else
        pqb_view_text(&snapshot, only, screen, out);
    pqb_snapshot_free(&snapshot);
    return PQB_OK;
}

static void show_failure(const struct request *request, const struct pqb_screen *screen,
                         const struct pqb_error *error, FILE *out)
{
    if (request->is_json) {
        pqb_view_json_failure(request->path, error->text, out);
        return;
    }
    pqb_text_print(out, error->text, screen->columns, screen->ascii_only);
    fputc('\n', out);
}

/* One look, made whole before any of it is printed. */
static int show_frame(const struct request *request, int is_first, enum pqb_exit *code)
{
    struct pqb_screen screen = pqb_screen_look();
    struct pqb_error error = {{0}};
    char *frame = NULL;
    size_t length;
    FILE *out = open_memstream(&frame, &length);
    if (!out) {
        *code = pqb_report(PQB_EXIT_UNKNOWN, "out of memory");
        return 0;
    }
    enum pqb_status status = show(request, &screen, out, &error);
    /* A ledger may come later, and go, and come back; what is wrong from the start stays wrong. */
    int is_hopeless = status && status != PQB_ABSENT && status != PQB_LOST && is_first;
    if (status && !is_hopeless)
        show_failure(request, &screen, &error, out);
    fclose(out);
    errno = 0;
    if (is_hopeless)
        *code = pqb_report_ledger(status, &error);
    else if (screen.is_terminal && !request->is_json)
        pqb_screen_draw(&screen, frame);
    else
        fwrite(frame, 1, length, stdout);
    int goes_on = pqb_report_flush() && !is_hopeless;
    free(frame);
    return goes_on;
}

static enum pqb_exit watch(const struct request *request)
{
    enum pqb_exit code = PQB_EXIT_DONE;
    struct pqb_screen screen = pqb_screen_look();
    int is_first = 1, is_drawn = screen.is_terminal && !request->is_json;
    pqb_watch_begin(is_drawn);
    if (is_drawn)
        fputs("\033[2J", stdout);
    while (!pqb_watch_is_over() && show_frame(request, is_first, &code)) {
        is_first = 0;
        pqb_watch_sleep((uint64_t)request->watch_ms * PQB_MS);
        if (!is_drawn && !request->is_json && !pqb_watch_is_over())
            fputc('\n', stdout);
    }
    if (pqb_watch_is_over())
        clearerr(stdout); /* a write that Ctrl-C interrupted */
    pqb_watch_end();
    if (is_drawn)
        fputc('\n', stdout);
    return code;
}

static enum pqb_exit take_interval(const struct pqb_call *call, long long *ms)
{
    *ms = PQB_WATCH_MS;
    if (!optarg || pqb_watch_interval(optarg, ms))
        return PQB_EXIT_DONE;
    return pqb_call_misused(call, "--watch wants a time between 50ms and 3600s, not '%.80s'",
                            optarg);
}

static enum pqb_exit run(struct pqb_call *call)
{
    enum pqb_exit code;
    struct pqb_error error = {{0}};
    struct request request = {0};
    for (int option; (option = pqb_call_option(call, ":h", longs)) != PQB_CALL_DONE;) {
        if (option == PQB_CALL_END)
            return call->end;
        if (option == 'j')
            request.is_json = 1;
        else if (option == 's')
            request.server = optarg;
        else if ((code = take_interval(call, &request.watch_ms)))
            return code;
    }
    code = pqb_call_path(call, request.path);
    if (code)
        return code;
    if (request.watch_ms)
        return watch(&request);
    struct pqb_screen screen = pqb_screen_look();
    enum pqb_status status = show(&request, &screen, stdout, &error);
    return status ? pqb_report_ledger(status, &error) : PQB_EXIT_DONE;
}

const struct pqb_verb pqb_verb_status = {
    .name = "status",
    .arguments = "[--json] [--watch[=SEC]] [--server KEY]",
    .summary = "Show servers, applications, and who holds or wants each connection",
    .help = "  --json             one line of JSON\n"
            "  --watch[=SEC]      again and again, every second or every SEC, until Ctrl-C\n"
            "  --server KEY       only this server\n",
    .run = run,
};
