/* pqbudget top: the ledger, live, on the whole terminal. Reads only. */
#include "ledger/os.h"
#include "tool/look.h"
#include "tool/screen.h"
#include "tool/terminal.h"
#include "tool/top_view.h"
#include "tool/verbs.h"
#include "tool/watch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FRAME 65536

static const struct option longs[] = {
    {"server", required_argument, NULL, 's'},
    {"interval", required_argument, NULL, 'i'},
    PQB_CALL_OPTIONS,
};

struct top {
    char path[PQB_REGION_PATH];
    const char *server;
    long long interval_ms;
    struct pqb_top_view view;
    int has_snapshot;
    struct pqb_snapshot snapshot;
    struct pqb_top_list list;
    struct pqb_error error; /* why there is no snapshot */
};

static void drop(struct top *top)
{
    if (top->has_snapshot)
        pqb_snapshot_free(&top->snapshot);
    free(top->list.claim);
    top->list.claim = NULL;
    top->has_snapshot = 0;
}

/* A new look at the ledger, unless the old one is to stay. */
static enum pqb_status look(struct top *top)
{
    if (top->view.is_held && top->has_snapshot)
        return PQB_OK;
    drop(top);
    *top->error.text = 0;
    enum pqb_status status = pqb_look_at(top->path, top->server, PQB_LOOK_SESSIONS, &top->snapshot,
                                         &top->view.wish.only, &top->error);
    if (status)
        return status;
    top->has_snapshot = 1;
    top->list.claim = calloc(top->snapshot.claims + 1, sizeof *top->list.claim);
    if (top->list.claim)
        return PQB_OK;
    drop(top);
    return pqb_fail(&top->error, PQB_NO_MEMORY, "out of memory");
}

/* Returns 0 when there is no point in going on. */
static int draw(struct top *top)
{
    struct pqb_screen screen = pqb_screen_look();
    char *frame = NULL;
    size_t length;
    FILE *out = open_memstream(&frame, &length);
    if (!out)
        return 0;
    if (top->has_snapshot)
        pqb_top_view_draw(&top->view, &top->snapshot, &top->list, &screen, out);
    else
        pqb_top_view_fail(&top->view, top->path, top->error.text, &screen, out);
    fclose(out);
    pqb_screen_draw(&screen, frame);
    free(frame);
    fputs("\033[H", stdout); /* for a terminal that shows its cursor all the same */
    return pqb_report_flush();
}

/* The filter while it is typed: bytes of UTF-8, or whatever the terminal sends. */
static void type(struct pqb_top_view *view, int key)
{
    char *filter = view->wish.filter;
    size_t length = strlen(filter);
    if (key == '\n' || key == '\r') {
        view->is_typing = 0;
    } else if (key == PQB_KEY_ESCAPE) {
        view->is_typing = 0;
        *filter = 0;
    } else if (key == 0x7f || key == '\b') {
        while (length && ((unsigned char)filter[--length] & 0xc0) == 0x80)
            continue;
        filter[length] = 0;
    } else if (key >= ' ' && key < 0x100 && length + 1 < PQB_TOP_FILTER) {
        filter[length] = (char)key;
        filter[length + 1] = 0;
    }
    view->scroll = 0;
}

static void scroll(struct pqb_top_view *view, int key)
{
    unsigned page = view->page > 1 ? view->page - 1 : 1;
    switch (key) {
    case 'j':
    case PQB_KEY_DOWN:
        view->scroll++;
        break;
    case 'k':
    case PQB_KEY_UP:
        view->scroll -= view->scroll > 0;
        break;
    case ' ':
    case PQB_KEY_PAGE_DOWN:
        view->scroll += page;
        break;
    case 'b':
    case PQB_KEY_PAGE_UP:
        view->scroll -= view->scroll < page ? view->scroll : page;
        break;
    case 'g':
    case PQB_KEY_HOME:
        view->scroll = 0;
        break;
    case 'G':
    case PQB_KEY_END:
        view->scroll = PQB_UNLIMITED;
        break;
    default:
        break;
    }
}

static void obey(struct pqb_top_view *view, int key)
{
    struct pqb_top_wish *wish = &view->wish;
    if (view->is_typing) {
        type(view, key);
        return;
    }
    switch (key) {
    case 'q':
        pqb_watch_stop();
        break;
    case '/':
        view->is_typing = 1;
        break;
    case PQB_KEY_ESCAPE:
        *wish->filter = 0;
        break;
    case 's':
        wish->sort = (wish->sort + 1) % PQB_TOP_SORTS;
        break;
    case 'r':
        wish->is_reversed = !wish->is_reversed;
        break;
    case '\t':
        wish->show = (wish->show + 1) % PQB_TOP_SHOWS;
        view->scroll = 0;
        break;
    case 'p':
        view->is_held = !view->is_held;
        break;
    default:
        scroll(view, key);
    }
}

static enum pqb_exit follow(struct top *top)
{
    enum pqb_exit code = PQB_EXIT_DONE;
    setvbuf(stdout, NULL, _IOFBF, FRAME); /* a frame in one write does not flicker */
    pqb_watch_begin(0);
    if (pqb_terminal_take()) {
        while (!pqb_watch_is_over() && draw(top)) {
            int key = pqb_terminal_key((uint64_t)top->interval_ms * PQB_MS);
            if (key != PQB_KEY_NONE)
                obey(&top->view, key);
            /* A ledger may come later, and go, and come back. */
            (void)!look(top);
        }
    } else {
        code = pqb_report(PQB_EXIT_UNKNOWN, "cannot take over the terminal: %s", strerror(errno));
    }
    if (pqb_watch_is_over())
        clearerr(stdout); /* a write that Ctrl-C interrupted */
    pqb_terminal_give_back();
    pqb_watch_end();
    return code;
}

static enum pqb_exit run(struct pqb_call *call)
{
    struct top top = {.interval_ms = PQB_WATCH_MS};
    for (int option; (option = pqb_call_option(call, ":h", longs)) != PQB_CALL_DONE;) {
        if (option == PQB_CALL_END)
            return call->end;
        if (option == 's')
            top.server = optarg;
        else if (!pqb_watch_interval(optarg, &top.interval_ms))
            return pqb_call_misused(
                call, "--interval wants a time between 50ms and 3600s, not '%.80s'", optarg);
    }
    enum pqb_exit code = pqb_call_path(call, top.path);
    if (code)
        return code;
    if (!pqb_terminal_is_able())
        return pqb_report(PQB_EXIT_UNKNOWN,
                          "top needs a terminal that can move its cursor, on stdin and stdout "
                          "(TERM is not \"dumb\"); \"pqbudget status\" needs none");
    enum pqb_status status = look(&top);
    if (status && status != PQB_ABSENT && status != PQB_LOST)
        return pqb_report_ledger(status, &top.error);
    code = follow(&top);
    drop(&top);
    return code;
}

const struct pqb_verb pqb_verb_top = {
    .name = "top",
    .arguments = "[--server KEY] [--interval SEC]",
    .summary = "Show all that live on the whole terminal, with bars",
    .help = "  --server KEY       only this server\n"
            "  --interval SEC     look again every SEC instead of every second\n"
            "\nKeys: q quits. / types a filter of the list: part of an application, database,\n"
            "user, command, state or pid; Enter keeps it, Escape drops it. s sorts by age,\n"
            "wait, app, database, user, pid; r turns the order round; those who wait come\n"
            "first, in their order. Tab shows all, the queue, the holders. p holds the\n"
            "picture. j, k, arrows, space, b, Page Up and Down, g, G, Home, End scroll.\n",
    .run = run,
};
