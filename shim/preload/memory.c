#include "preload/memory.h"

#include "preload/state.h"

#include <stdint.h>

#define PLACES 16

static struct {
    uint64_t key; /* 0: nothing is here */
    unsigned cap;
    int64_t wait_ms;
    int pooler;
} place[PLACES];
static unsigned next;

/* Not the address: some programs look it up before they connect. 0 if the string names nothing. */
static uint64_t key_of(const struct pqb_params *params)
{
    static const char *const names[] = {"host", "port", "dbname", "user"};
    uint64_t key = 0xcbf29ce484222325u; /* FNV-1a */
    int is_named = 0;
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
        const char *value = pqb_params_get(params, names[i]);
        is_named |= value != NULL;
        for (; value && *value; value++)
            key = (key ^ (unsigned char)*value) * 0x100000001b3u;
        key = (key ^ i) * 0x100000001b3u;
    }
    return is_named ? key | 1 : 0;
}

void pqb_memory_keep(const struct pqb_params *params, const struct pqb_wishes *wishes)
{
    struct pqb_process_hold hold;
    uint64_t key = key_of(params);
    int is_asked = wishes->cap || wishes->wait_ms != PQB_WISH_UNSAID || wishes->pooler >= 0;
    if (!key || !is_asked || !pqb_state_lock(&hold))
        return;
    unsigned at = 0;
    while (at < PLACES && place[at].key != key)
        at++;
    if (at == PLACES)
        at = next++ % PLACES;
    place[at].key = key;
    place[at].cap = wishes->cap;
    place[at].wait_ms = wishes->wait_ms;
    place[at].pooler = wishes->pooler;
    pqb_state_unlock(&hold);
}

void pqb_memory_recall(const struct pqb_params *params, struct pqb_wishes *wishes)
{
    struct pqb_process_hold hold;
    uint64_t key = key_of(params);
    if (!key || !pqb_state_lock(&hold))
        return;
    for (unsigned at = 0; at < PLACES; at++) {
        if (place[at].key != key)
            continue;
        if (!wishes->cap)
            wishes->cap = place[at].cap;
        if (wishes->wait_ms == PQB_WISH_UNSAID)
            wishes->wait_ms = place[at].wait_ms;
        if (wishes->pooler < 0)
            wishes->pooler = place[at].pooler;
    }
    pqb_state_unlock(&hold);
}
