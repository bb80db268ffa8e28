#include "preload/library.h"

#include <dlfcn.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define CALLERS 64

/* By this one a libpq is found: every version has it, and nobody stands in front of it. Another
 * preload may have a PQconnectdb of its own, which calls us, or whom libpq calls through us. */
#define SIGN "PQconninfoFree"

/* Only grows; an entry is complete before the count covers it. */
struct pqb_libpq pqb_libpqs[PQB_LIBPQS];
static _Atomic unsigned libpqs;

/* Objects that have called, and the libpq each of them means. Only grows as well. Where one has
 * been unloaded there may be another now, of another name. */
struct caller {
    uintptr_t start, end;
    const char *path;
    struct pqb_libpq *pq;
};
static struct caller callers[CALLERS];
static _Atomic unsigned caller_count;

struct function {
    char name[24];
    unsigned short offset;
};
#define FUNCTION(result, name, parameters, arguments) {#name, offsetof(struct pqb_libpq, name)},
static const struct function hooked[] = {PQB_PQ_HOOKED(FUNCTION)};
static const struct function asked[] = {PQB_PQ_ASKED(FUNCTION) PQB_PQ_OPTIONAL(FUNCTION)};

int pqb_libpq_hook_number(const char *name)
{
    for (int i = 0; i < PQB_PQ_HOOKS; i++)
        if (!strcmp(hooked[i].name, name))
            return i;
    return -1;
}

void *pqb_libpq_bound(const struct pqb_libpq *pq, unsigned hook)
{
    return pq && pq - pqb_libpqs < PQB_LIBPQS_BOUND ? pqb_libpq_wrappers[pq - pqb_libpqs][hook]
                                                    : NULL;
}

/* ---- the tables ---- */

static void fill_in(struct pqb_libpq *pq, void *handle, const struct function *function,
                    unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        void *real = pqb_dl_symbol(handle, function[i].name);
        if (real && pqb_dl_is_ours(real))
            real = NULL;
        memcpy((char *)pq + function[i].offset, &real, sizeof real);
    }
}

/* Whether it has what cannot be done without: all that must be asked, and a beginning and an end.
 */
static int is_whole(const struct pqb_libpq *pq)
{
#define IS_THERE(result, name, parameters, arguments) &&pq->name
    return pq->PQconnectdb && pq->PQconnectStart && pq->PQfinish &&
           pq->PQconninfoParse PQB_PQ_ASKED(IS_THERE);
#undef IS_THERE
}

/* Not before it is needed: libpq reads files for it. */
uint32_t pqb_libpq_port(struct pqb_libpq *pq)
{
    uint32_t port = atomic_load(&pq->port);
    if (port)
        return port;
    struct _PQconninfoOption *options = pq->PQconndefaults();
    for (struct _PQconninfoOption *option = options; option && option->keyword; option++)
        if (!strcmp(option->keyword, "port") && option->compiled)
            port = (uint32_t)strtoul(option->compiled, NULL, 10);
    if (options)
        pq->PQconninfoFree(options);
    if (!port)
        port = 5432;
    atomic_store(&pq->port, port);
    return port;
}

/* Empty strings are parsed without a look at any file or user name. */
const struct _PQconninfoOption *pqb_libpq_options(struct pqb_libpq *pq)
{
    struct _PQconninfoOption *known = atomic_load(&pq->options), *fresh;
    if (known || !(fresh = pq->PQconninfoParse("", NULL)))
        return known;
    if (atomic_compare_exchange_strong(&pq->options, &known, fresh))
        return fresh;
    pq->PQconninfoFree(fresh);
    return known;
}

static struct pqb_libpq *find_table(uintptr_t start)
{
    unsigned count = atomic_load(&libpqs);
    for (unsigned i = 0; i < count; i++)
        if (pqb_libpqs[i].start == start)
            return &pqb_libpqs[i];
    return NULL;
}

static struct pqb_libpq *add_table(const struct pqb_libpq *fresh)
{
    struct pqb_process_hold hold;
    if (!pqb_state_lock(&hold))
        return NULL;
    struct pqb_libpq *pq = find_table(fresh->start);
    unsigned count = atomic_load(&libpqs);
    if (!pq && count < PQB_LIBPQS) {
        pq = &pqb_libpqs[count];
        *pq = *fresh;
        atomic_store(&libpqs, count + 1);
    }
    pqb_state_unlock(&hold);
    return pq;
}

struct pqb_libpq *pqb_libpq_at(const void *function)
{
    struct pqb_object object;
    if (!pqb_dl_object(function, &object))
        return NULL;
    struct pqb_libpq *pq = find_table(object.start);
    if (pq)
        return pq;
    void *handle = pqb_dl_handle(&object); /* kept: the functions must stay */
    struct pqb_libpq fresh = {.start = object.start, .end = object.end};
    if (!handle)
        return NULL;
    fill_in(&fresh, handle, hooked, sizeof hooked / sizeof *hooked);
    fill_in(&fresh, handle, asked, sizeof asked / sizeof *asked);
    if (!is_whole(&fresh)) {
        dlclose(handle);
        return NULL;
    }
    return add_table(&fresh);
}

/* ---- who means which ---- */

static const void *not_ours(const void *address)
{
    return address && !pqb_dl_is_ours(address) ? address : NULL;
}

/* What this object would have been bound to without us. */
static const void *libpq_behind(const struct pqb_object *object)
{
    void *handle = pqb_dl_handle(object);
    const void *found = handle ? not_ours(pqb_dl_symbol(handle, SIGN)) : NULL;
    if (handle)
        dlclose(handle); /* libpq itself stays open: its table keeps it */
    return found;
}

static const void *libpq_anywhere(void)
{
    struct pqb_object object;
    const void *found = NULL;
    for (unsigned number = 0; !found && pqb_dl_object_number(number, &object); number++)
        if (*object.path)
            found = libpq_behind(&object);
    return found;
}

/* The last one remembered is the one that holds. */
static const struct caller *recall(uintptr_t address)
{
    for (unsigned i = atomic_load(&caller_count); i-- > 0;)
        if (address >= callers[i].start && address < callers[i].end)
            return &callers[i];
    return NULL;
}

static const struct caller *recall_object(const struct pqb_object *object)
{
    const struct caller *caller = recall(object->start);
    return caller && caller->start == object->start && caller->end == object->end &&
                   !strcmp(caller->path, object->path)
               ? caller
               : NULL;
}

static void remember(const struct pqb_object *object, struct pqb_libpq *pq)
{
    struct pqb_process_hold hold;
    char *path = strdup(object->path);
    if (!path || !pqb_state_lock(&hold)) {
        free(path);
        return;
    }
    unsigned count = atomic_load(&caller_count);
    int is_new = count < CALLERS && !recall_object(object);
    if (is_new) {
        callers[count] = (struct caller){object->start, object->end, path, pq};
        atomic_store(&caller_count, count + 1);
    }
    pqb_state_unlock(&hold);
    if (!is_new)
        free(path);
}

static struct pqb_libpq *find_libpq(const void *address)
{
    struct pqb_object object;
    int has_object = pqb_dl_object(address, &object) && !pqb_dl_is_ours(address);
    const struct caller *caller = has_object ? recall_object(&object) : NULL;
    if (caller)
        return caller->pq;
    const void *sign = has_object ? libpq_behind(&object) : NULL;
    if (!sign)
        sign = not_ours(pqb_dl_next(SIGN));
    if (!sign)
        sign = libpq_anywhere();
    struct pqb_libpq *pq = sign ? pqb_libpq_at(sign) : NULL;
    if (pq && has_object)
        remember(&object, pq);
    return pq;
}

struct pqb_libpq *pqb_libpq_of(const void *address)
{
    struct pqb_process_hold hold;
    pqb_process_quiet(&hold); /* the loader has a lock that no longjmp must leave held */
    struct pqb_libpq *pq = find_libpq(address);
    pqb_process_loud(&hold);
    return pq;
}

struct pqb_libpq *pqb_libpq_known(const void *address)
{
    const struct caller *caller = recall((uintptr_t)address);
    if (caller)
        return caller->pq;
    return atomic_load(&libpqs) ? &pqb_libpqs[0] : pqb_libpq_of(address);
}
