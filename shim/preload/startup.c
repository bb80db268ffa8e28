#include "preload/startup.h"

#include "conninfo/grammar.h"
#include "preload/budget.h"
#include "preload/protocol.h"
#include "preload/settings.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CHANGES 16

struct changes {
    struct pqb_change list[CHANGES];
    unsigned count;
};

static void add(struct changes *changes, const char *name, const char *value,
                enum pqb_change_mode mode)
{
    if (changes->count < CHANGES)
        changes->list[changes->count++] = (struct pqb_change){name, value, mode};
}

/* The environment's strings are connection strings of either form. */
static void read_string(const char *conninfo, struct pqb_pieces *pieces)
{
    const char *scheme = conninfo ? strstr(conninfo, "://") : NULL;
    const char *equals = conninfo ? strchr(conninfo, '=') : NULL;
    size_t query;
    *pieces = (struct pqb_pieces){0};
    if (!conninfo)
        return;
    int is_uri = scheme && (!equals || scheme < equals);
    if (is_uri ? pqb_grammar_uri(scheme + 3, pieces, &query) : pqb_grammar_pairs(conninfo, pieces))
        pqb_pieces_clear(pieces);
}

static void add_pieces(struct changes *changes, const struct pqb_pieces *pieces, int is_pooled,
                       enum pqb_change_mode plain, enum pqb_change_mode options)
{
    for (size_t i = 0; i < pieces->count; i++) {
        const struct pqb_piece *piece = &pieces->list[i];
        if (!piece->value)
            continue;
        if (!strcmp(piece->keyword, "options") && !is_pooled)
            add(changes, "", piece->value, options);
        else if (!strcmp(piece->keyword, "application_name") ||
                 !strcmp(piece->keyword, "client_encoding"))
            add(changes, piece->keyword, piece->value, plain);
    }
}

/* Whatever the program calls itself, and which process it is. */
static const char *tagged(const char *packet, size_t length, char *to, size_t size)
{
    struct pqb_startup startup;
    char tag[16];
    const char *name = pqb_budget_label();
    if (pqb_protocol_startup(packet, length, &startup) && startup.application_name &&
        *startup.application_name)
        name = startup.application_name;
    int tag_length = snprintf(tag, sizeof tag, " [%d]", (int)getpid());
    size_t name_length = strnlen(name, size - 1 - (size_t)tag_length);
    int has_tag =
        strlen(name) > (size_t)tag_length && !strcmp(name + strlen(name) - tag_length, tag);
    snprintf(to, size, "%.*s%s", (int)name_length, name, has_tag ? "" : tag);
    return has_tag ? name : to;
}

static void add_name(struct changes *changes, const char *packet, size_t length, char *room,
                     size_t size)
{
    switch (pqb_settings()->naming) {
    case PQB_NAMING_FILL:
        add(changes, "application_name", pqb_budget_label(), PQB_CHANGE_FILL);
        break;
    case PQB_NAMING_TAG:
        add(changes, "application_name", tagged(packet, length, room, size), PQB_CHANGE_FORCE);
        break;
    case PQB_NAMING_FORCE:
        add(changes, "application_name", pqb_budget_label(), PQB_CHANGE_FORCE);
        break;
    case PQB_NAMING_OFF:
        break;
    }
}

size_t pqb_startup_rewrite(const char *packet, size_t length, int is_pooled, char *to, size_t size)
{
    const struct pqb_settings *settings = pqb_settings();
    struct pqb_pieces defaults, forced;
    struct changes changes = {.count = 0};
    char name[64]; /* as long as the server takes */
    read_string(settings->defaults, &defaults);
    read_string(settings->forced, &forced);
    /* Of a name that comes twice the first counts. */
    add_pieces(&changes, &forced, is_pooled, PQB_CHANGE_FORCE, PQB_CHANGE_OPTIONS_AFTER);
    add_pieces(&changes, &defaults, is_pooled, PQB_CHANGE_FILL, PQB_CHANGE_OPTIONS_BEFORE);
    add_name(&changes, packet, length, name, sizeof name);
    size_t written = pqb_protocol_rewrite(packet, length, changes.list, changes.count, to, size);
    pqb_pieces_clear(&defaults);
    pqb_pieces_clear(&forced);
    return written;
}
