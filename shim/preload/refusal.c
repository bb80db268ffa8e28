#include "preload/refusal.h"

#include "ledger/admission.h"
#include "ledger/holders.h"
#include "ledger/os.h"

#include <stdarg.h>
#include <stdio.h>

struct text {
    char *at;
    size_t left;
};

static void add(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add(struct text *text, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    int length = vsnprintf(text->at, text->left, format, values);
    va_end(values);
    if (length < 0)
        return;
    size_t used = (size_t)length < text->left ? (size_t)length : text->left - 1;
    text->at += used;
    text->left -= used;
}

static void add_holders(struct text *text, const struct pqb_holders *holders)
{
    if (!holders->apps)
        return;
    add(text, " (");
    for (unsigned i = 0; i < holders->apps; i++)
        add(text, "%s%s %u", i ? ", " : "", holders->app[i].label, holders->app[i].used);
    if (holders->more)
        add(text, ", %u other%s %u", holders->more, holders->more == 1 ? "" : "s",
            holders->more_used);
    add(text, ")");
}

/* What a process waits for in vain as long as it keeps it itself: pools it has left behind. Of
 * `used`, 0 = not counted. */
static void add_own(struct text *text, const struct pqb_holders_own *own, uint32_t used)
{
    unsigned long long idle = own->idle / PQB_SECOND, age = own->age / PQB_SECOND;
    int is_one = own->held == 1, is_all = own->held >= used;
    if (!own->held || (!is_all && !idle))
        return;
    if (is_all && is_one)
        add(text, ", it is held by this process");
    else if (is_all)
        add(text, ", all %u are held by this process", own->held);
    else
        add(text, ", %u of them by this process", own->held);
    if (idle || (!own->idle && age))
        add(text, "%s %s for %llu s", is_one ? "," : ", the oldest", idle ? "idle" : "open",
            idle ? idle : age);
}

/* Short of the limit, there is room only for others: newcomers, guaranteed minimums. */
static void add_room(struct text *text, const struct pqb_holders *holders,
                     const struct pqb_holders_own *own, const char *server)
{
    add(text, "%u of %u connections to %s are in use", holders->used, holders->limit, server);
    add_holders(text, holders);
    add_own(text, own, holders->used < holders->limit ? PQB_UNLIMITED : holders->used);
    if (holders->used < holders->limit) {
        unsigned left = holders->limit - holders->used;
        add(text, ", %u %s reserved for others", left, left == 1 ? "is" : "are");
    }
}

static void add_reason(struct text *text, const struct pqb_refusal_case *about,
                       const struct pqb_holders *holders, const struct pqb_holders_own *own)
{
    switch ((enum pqb_obstacle)about->obstacle) {
    case PQB_OBSTACLE_PAUSED:
        add(text, "new connections to %s are paused", about->server);
        break;
    case PQB_OBSTACLE_PROCESS_CAP:
        add(text, "this process may have %u connection%s to %s", about->cap,
            about->cap == 1 ? "" : "s", about->server);
        add_own(text, own, about->cap);
        break;
    case PQB_OBSTACLE_APP_LIMIT:
        add(text, "the application \"%s\" holds all the connections to %s that it may have",
            about->app, about->server);
        add_holders(text, holders);
        add_own(text, own, PQB_UNLIMITED);
        break;
    case PQB_OBSTACLE_LOGINS:
        add(text, "as many connections to %s are logging in as may at a time", about->server);
        break;
    case PQB_OBSTACLE_NONE:
    case PQB_OBSTACLE_ROOM:
    case PQB_OBSTACLE_SKIPPED:
        add_room(text, holders, own, about->server);
        break;
    }
}

static const char *hint_for(unsigned obstacle, const struct pqb_holders_own *own)
{
    switch (obstacle) {
    case PQB_OBSTACLE_PAUSED:
        return "Run \"pqbudget resume\" to let them go on.";
    case PQB_OBSTACLE_PROCESS_CAP:
        return "Its cap is the connection_limit of its connection string, or PQBUDGET_PER_PROCESS.";
    default:
        if (own->idle >= PQB_SECOND)
            return "A pool that was left behind keeps its connections: end it before another one "
                   "is opened. Run \"pqbudget status\" to see who holds them.";
        return "Run \"pqbudget status\" to see who holds them.";
    }
}

void pqb_refusal_make_plain(struct pqb_refusal *refusal)
{
    for (char *c = refusal->detail; *c; c++)
        if (*c < ' ' || *c > '~')
            *c = '?';
}

void pqb_refusal_for(struct pqb_refusal *refusal, struct pqb_region *region,
                     const struct pqb_refusal_case *about)
{
    struct pqb_holders holders;
    struct pqb_holders_own own = {0};
    struct text text = {refusal->detail, sizeof refusal->detail};
    double waited = (double)(pqb_now() - about->asked_at) / (double)PQB_SECOND;
    if (pqb_holders_look(region, about->server, about->asked_at, &holders))
        holders = (struct pqb_holders){0};
    if (about->process)
        pqb_holders_own(region, about->server, about->process, &own);
    add(&text, "pqbudget: ");
    add_reason(&text, about, &holders, &own);
    if (about->crowd)
        add(&text, ", and %u wait already, as many as may without blocking", about->crowd);
    add(&text, "; waited %.1f s", waited);
    if (holders.ahead)
        add(&text, " behind %u other%s", holders.ahead, holders.ahead == 1 ? "" : "s");
    add(&text, ".");
    pqb_refusal_make_plain(refusal);
    snprintf(refusal->hint, sizeof refusal->hint, "%s", hint_for(about->obstacle, &own));
}

void pqb_refusal_for_failure(struct pqb_refusal *refusal, const char *error)
{
    snprintf(refusal->detail, sizeof refusal->detail, "pqbudget: the budget cannot be used: %s.",
             error);
    snprintf(refusal->hint, sizeof refusal->hint,
             "PQBUDGET_FAIL=open would connect all the same, uncounted.");
}

char *pqb_refusal_message(const struct pqb_refusal *refusal, const char *host, const char *port)
{
    char *message = NULL;
    int is_socket = host && (*host == '/' || *host == '@');
    int length = asprintf(&message,
                          is_socket ? "connection to server on socket \"%s/.s.PGSQL.%s\" failed: "
                                      "FATAL:  sorry, too many clients already\n"
                                      "DETAIL:  %s\nHINT:  %s\n"
                                    : "connection to server at \"%s\", port %s failed: "
                                      "FATAL:  sorry, too many clients already\n"
                                      "DETAIL:  %s\nHINT:  %s\n",
                          host && *host ? host : "localhost", port && *port ? port : "5432",
                          refusal->detail, refusal->hint);
    return length < 0 ? NULL : message;
}
