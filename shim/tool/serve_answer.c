#include "tool/serve_answer.h"

#include "tool/health.h"
#include "tool/look.h"
#include "tool/view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define TEXT "text/plain; charset=utf-8"
#define JSON "application/json"
#define METRICS "text/plain; version=0.0.4; charset=utf-8"
#define HTML "text/html; charset=utf-8"

enum { FOUND = 200, NOT_FOUND = 404, UNABLE = 503 };

/* page.html, as serve_page.S has it. */
extern const char pqb_serve_page[];

static unsigned write_status(const char *ledger, FILE *out)
{
    struct pqb_snapshot snapshot;
    struct pqb_error error = {{0}};
    unsigned only;
    if (pqb_look(ledger, NULL, PQB_LOOK_SESSIONS, &snapshot, &only, &error)) {
        pqb_view_json_failure(ledger, error.text, out);
        return UNABLE;
    }
    pqb_view_json(&snapshot, PQB_VIEW_ALL, out);
    pqb_snapshot_free(&snapshot);
    return FOUND;
}

static unsigned write_metrics(const char *ledger, FILE *out)
{
    struct pqb_snapshot snapshot;
    struct pqb_error error = {{0}};
    unsigned only;
    if (pqb_look(ledger, NULL, PQB_LOOK_BOOKS, &snapshot, &only, &error)) {
        fprintf(out, "# %s\n", error.text);
        return UNABLE;
    }
    pqb_view_metrics(&snapshot, out);
    pqb_snapshot_free(&snapshot);
    return FOUND;
}

/* Who balances loads or restarts what is ill reads only the status. */
static unsigned write_health(const char *ledger, FILE *out)
{
    struct pqb_snapshot snapshot;
    struct pqb_error error = {{0}};
    struct pqb_health health;
    unsigned only;
    if (pqb_look(ledger, NULL, PQB_LOOK_BOOKS, &snapshot, &only, &error)) {
        pqb_health_fail(&health, error.text);
    } else {
        pqb_health_of_ledger(&snapshot, PQB_NIL, &PQB_HEALTH_BARS, &health);
        pqb_snapshot_free(&snapshot);
    }
    pqb_health_json(&health, out);
    return health.level <= PQB_HEALTH_WARNING ? FOUND : UNABLE;
}

static const struct route {
    const char *path, *type;
    unsigned (*write)(const char *ledger, FILE *out); /* returns the status */
} routes[] = {
    {"/status.json", JSON, write_status},
    {"/metrics", METRICS, write_metrics},
    {"/health", JSON, write_health},
};

static int make_nonce(char nonce[PQB_NONCE + 1])
{
    unsigned char random[PQB_NONCE / 2];
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        return 0;
    for (unsigned i = 0; i < sizeof random; i++)
        snprintf(nonce + 2 * i, 3, "%02x", random[i]);
    return 1;
}

/* A copy with a nonce of its own: whatever else gets into the page does not run. */
static int make_page(struct pqb_answer *answer)
{
    static const char mark[] = "nonce=\"";
    size_t length = strlen(pqb_serve_page);
    if (!make_nonce(answer->nonce))
        return 0;
    answer->body = malloc(length + 1);
    if (!answer->body)
        return 0;
    memcpy(answer->body, pqb_serve_page, length + 1);
    for (char *at = answer->body; (at = strstr(at, mark));) {
        at += sizeof mark - 1;
        memcpy(at, answer->nonce, PQB_NONCE);
    }
    answer->length = length;
    answer->status = FOUND;
    answer->type = HTML;
    return 1;
}

static int make_text(const char *ledger, const struct route *route, struct pqb_answer *answer)
{
    FILE *out = open_memstream(&answer->body, &answer->length);
    if (!out)
        return 0;
    answer->type = route->type;
    answer->status = route->write(ledger, out);
    int is_whole = !ferror(out);
    if (!fclose(out) && is_whole)
        return 1;
    free(answer->body);
    return 0;
}

int pqb_answer_make(const char *ledger, const char *route, struct pqb_answer *answer)
{
    *answer = (struct pqb_answer){0};
    if (!strcmp(route, "/"))
        return make_page(answer);
    for (unsigned i = 0; i < sizeof routes / sizeof *routes; i++)
        if (!strcmp(route, routes[i].path))
            return make_text(ledger, &routes[i], answer);
    return pqb_answer_refuse(NOT_FOUND, "there is /, /status.json, /health and /metrics", answer);
}

int pqb_answer_refuse(unsigned status, const char *why, struct pqb_answer *answer)
{
    *answer = (struct pqb_answer){.status = status, .type = TEXT};
    int length = asprintf(&answer->body, "pqbudget: %s\n", why);
    answer->length = length < 0 ? 0 : (size_t)length;
    return length >= 0;
}
