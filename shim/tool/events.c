/* pqbudget events: the ring of what happened. */
#include "ledger/journal.h"
#include "ledger/os.h"
#include "tool/json.h"
#include "tool/screen.h"
#include "tool/server.h"
#include "tool/text.h"
#include "tool/verbs.h"
#include "tool/watch.h"

#include <time.h>

#define NAP (100 * PQB_MS)
#define SHORT_NAP (5 * PQB_MS) /* while so much happens that the ring may turn over in a nap */
#define MUCH 32
#define UNFINISHED_AT_MOST PQB_SECOND /* its writer died half way */

static const struct option longs[] = {
    {"follow", no_argument, NULL, 'f'}, {"json", no_argument, NULL, 'j'}, PQB_CALL_OPTIONS};

struct reader {
    int is_json;
    int follows;
    struct pqb_screen screen;
    uint64_t next;        /* number of the next event to print; 0 = none was looked for yet */
    uint64_t stuck_since; /* when it was first found unfinished */
};

static void print_time(uint64_t at_ns, int is_json, char to[40])
{
    time_t seconds = (time_t)(at_ns / PQB_SECOND);
    struct tm parts;
    char text[32] = "";
    if (is_json ? gmtime_r(&seconds, &parts) : localtime_r(&seconds, &parts))
        strftime(text, sizeof text, is_json ? "%Y-%m-%dT%H:%M:%S" : "%Y-%m-%d %H:%M:%S", &parts);
    snprintf(to, 40, "%s.%03u%s", text, (unsigned)(at_ns % PQB_SECOND / PQB_MS),
             is_json ? "Z" : "");
}

static int has_wait(enum pqb_event_kind kind)
{
    return kind == PQB_EVENT_GRANTED || kind == PQB_EVENT_TIMED_OUT || kind == PQB_EVENT_REFUSED;
}

static void write_json(const struct pqb_event *event, const char *server)
{
    struct pqb_json json = {.out = stdout};
    char time[40];
    print_time(event->at_ns, 1, time);
    pqb_json_open(&json, NULL, '{');
    pqb_json_number(&json, "number", event->number);
    pqb_json_text(&json, "time", time);
    pqb_json_text(&json, "event", pqb_event_name(event->kind));
    pqb_json_text(&json, "server", server);
    pqb_json_text(&json, "app", event->app);
    pqb_json_pid(&json, "pid", event->pid);
    if (has_wait(event->kind))
        pqb_json_seconds(&json, "wait_s", event->value);
    if (event->kind == PQB_EVENT_CONFIGURED)
        pqb_json_limit(&json, "limit", (uint32_t)event->value);
    if (event->kind == PQB_EVENT_YIELDED) {
        pqb_json_seconds(&json, "idle_s", event->value);
        pqb_json_pid(&json, "for_pid", event->other_pid);
        pqb_json_text(&json, "for_app", event->other_app);
    }
    pqb_json_close(&json, '}');
    fputc('\n', stdout);
}

static enum pqb_style style_of(enum pqb_event_kind kind)
{
    switch (kind) {
    case PQB_EVENT_GRANTED:
    case PQB_EVENT_RESUMED:
        return PQB_GOOD;
    case PQB_EVENT_QUEUED:
    case PQB_EVENT_TAKEN_BACK:
    case PQB_EVENT_PAUSED:
    case PQB_EVENT_YIELDED:
        return PQB_WARN;
    case PQB_EVENT_TIMED_OUT:
    case PQB_EVENT_REFUSED:
    case PQB_EVENT_DIED:
    case PQB_EVENT_RECOVERED:
        return PQB_BAD;
    default:
        return PQB_PLAIN;
    }
}

/* An application's name, which may be anything or none. */
static void write_app(const char *app, const struct pqb_screen *screen)
{
    pqb_text_print(stdout, *app ? app : "-", PQB_TEXT_ALL, screen->ascii_only);
}

/* "  gave way to api (pid 456) after 31.2 s idle" */
static void write_yielded(const struct pqb_event *event, const struct pqb_screen *screen)
{
    fputs("  gave way to ", stdout);
    write_app(event->other_app, screen);
    if (event->other_pid > 0)
        printf(" (pid %d)", event->other_pid);
    printf(" after %llu.%u s idle", (unsigned long long)(event->value / PQB_SECOND),
           (unsigned)(event->value % PQB_SECOND / (100 * PQB_MS)));
}

static void write_text(const struct pqb_event *event, const char *server,
                       const struct pqb_screen *screen)
{
    char time[40];
    enum pqb_style style = style_of(event->kind);
    print_time(event->at_ns, 0, time);
    printf("%s  %s%-10s%s  ", time, pqb_screen_on(screen, style), pqb_event_name(event->kind),
           pqb_screen_off(screen, style));
    pqb_text_print(stdout, *server ? server : "-", PQB_TEXT_ALL, screen->ascii_only);
    fputs("  ", stdout);
    write_app(event->app, screen);
    if (event->pid > 0)
        printf("  pid %d", event->pid);
    if (has_wait(event->kind))
        printf("  waited %llu.%03us", (unsigned long long)(event->value / PQB_SECOND),
               (unsigned)(event->value % PQB_SECOND / PQB_MS));
    if (event->kind == PQB_EVENT_CONFIGURED && event->value == PQB_UNLIMITED)
        fputs("  limit none", stdout);
    else if (event->kind == PQB_EVENT_CONFIGURED)
        printf("  limit %llu", (unsigned long long)event->value);
    else if (event->kind == PQB_EVENT_YIELDED)
        write_yielded(event, screen);
    fputc('\n', stdout);
}

/* Something about the ledger that is not in it. */
static void write_remark(const struct reader *reader, const char *event, const char *text)
{
    char time[40];
    print_time(pqb_now_real(), reader->is_json, time);
    if (reader->is_json)
        printf("{\"number\":null,\"time\":\"%s\",\"event\":\"%s\"}\n", time, event);
    else
        printf("%s  %s%-10s%s  %s\n", time, pqb_screen_on(&reader->screen, PQB_DIM), event,
               pqb_screen_off(&reader->screen, PQB_DIM), text);
}

/* Is it worth waiting for an event that can't be read? */
static int may_come(struct reader *reader)
{
    uint64_t now = pqb_now();
    if (!reader->follows)
        return 0;
    if (!reader->stuck_since)
        reader->stuck_since = now;
    return now - reader->stuck_since < UNFINISHED_AT_MOST;
}

/* Prints what is new. Returns how many events that was. */
static unsigned catch_up(struct reader *reader, const struct pqb_region *region)
{
    uint64_t latest = pqb_journal_latest(region->map);
    uint64_t oldest = latest > PQB_EVENTS ? latest - PQB_EVENTS + 1 : 1;
    unsigned printed = 0;
    struct pqb_event event;
    char server[PQB_SERVER_TEXT];
    if (reader->next > latest + 1 || reader->next < oldest) {
        if (reader->next && reader->next < oldest)
            write_remark(reader, "lost", "more happened than the ring holds");
        reader->next = oldest;
    }
    for (; reader->next <= latest; reader->next++, printed++) {
        if (!pqb_journal_read(region->map, reader->next, &event)) {
            if (may_come(reader))
                break;
            reader->stuck_since = 0;
            continue;
        }
        reader->stuck_since = 0;
        pqb_server_text(region, event.server, server);
        if (reader->is_json)
            write_json(&event, server);
        else
            write_text(&event, server, &reader->screen);
    }
    return printed;
}

/* Reads one ledger until it is gone or nobody wants more. */
static enum pqb_status follow_one(struct reader *reader, struct pqb_region *region)
{
    enum pqb_status status;
    while (!(status = pqb_region_check(region)) && !pqb_watch_is_over()) {
        unsigned printed = catch_up(reader, region);
        if (!pqb_report_flush())
            break;
        pqb_watch_sleep(printed > MUCH ? SHORT_NAP : NAP);
    }
    return status;
}

static enum pqb_exit follow(struct reader *reader, const char *path)
{
    enum pqb_exit code = PQB_EXIT_DONE;
    struct pqb_error error = {{0}};
    int is_first = 1, is_told = 0;
    reader->follows = 1;
    pqb_watch_begin(0);
    while (!pqb_watch_is_over() && !ferror(stdout)) {
        struct pqb_region *region;
        enum pqb_status status = pqb_region_open(path, 0, &region, &error);
        if (status && status != PQB_ABSENT && is_first) {
            code = pqb_report_ledger(status, &error);
            break;
        }
        if (status) {
            if (!is_told)
                write_remark(reader, "absent", "no ledger to read; waiting for one");
            is_told = 1;
            if (!pqb_report_flush())
                break;
            pqb_watch_sleep(NAP);
        } else {
            is_told = 0;
            status = follow_one(reader, region);
            pqb_region_unpin(region);
            if (status)
                write_remark(reader, "removed", "the ledger was removed or replaced");
            reader->next = 0;
        }
        is_first = 0;
    }
    if (pqb_watch_is_over())
        clearerr(stdout); /* a write that Ctrl-C interrupted */
    pqb_watch_end();
    return code;
}

static enum pqb_exit run(struct pqb_call *call)
{
    int follows = 0;
    struct reader reader = {.screen = pqb_screen_look()};
    for (int option; (option = pqb_call_option(call, ":hf", longs)) != PQB_CALL_DONE;) {
        if (option == PQB_CALL_END)
            return call->end;
        if (option == 'f')
            follows = 1;
        else
            reader.is_json = 1;
    }
    char path[PQB_REGION_PATH];
    struct pqb_region *region;
    enum pqb_exit code = pqb_call_path(call, path);
    if (code)
        return code;
    if (follows)
        return follow(&reader, path);
    code = pqb_call_open(call, 0, &region);
    if (code)
        return code;
    catch_up(&reader, region);
    pqb_region_unpin(region);
    return PQB_EXIT_DONE;
}

const struct pqb_verb pqb_verb_events = {
    .name = "events",
    .arguments = "[-f] [--json]",
    .summary = "Show what happened lately: grants, waits, deaths, who gave way",
    .help = "  -f, --follow       go on with what happens, until Ctrl-C\n"
            "  --json             each event as one line of JSON\n",
    .run = run,
};
