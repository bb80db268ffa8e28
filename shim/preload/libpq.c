/* The functions that are exported under libpq's names, and the wrappers that are bound to one
 * libpq each, for programs that look them up by hand. */
#include "preload/connection.h"
#include "preload/front.h"

#define EXPORTED __attribute__((visibility("default")))
#define LIST(...) __VA_ARGS__

/* A call that comes out of the libpq that this thread is inside of is libpq's own. */
#define EXPORT(result, name, parameters, arguments, find)                                          \
    EXPORTED result name parameters;                                                               \
    EXPORTED result name parameters                                                                \
    {                                                                                              \
        const void *caller = __builtin_return_address(0);                                          \
        struct pqb_libpq *pq = pqb_libpq_inside(caller);                                           \
        if (pq && pq->name)                                                                        \
            return pq->name arguments;                                                             \
        pq = find;                                                                                 \
        return pq && pq->name ? pqb_front_##name(pq, LIST arguments) : (result)0;                  \
    }

static struct pqb_libpq *libpq_for(const struct pg_conn *conn, const void *caller)
{
    const struct pqb_connection *connection = pqb_connection_find(conn);
    return connection ? connection->pq : pqb_libpq_of(caller);
}

#define EXPORT_MAKER(result, name, parameters, arguments)                                          \
    EXPORT(result, name, parameters, arguments, pqb_libpq_of(caller))
#define EXPORT_USER(result, name, parameters, arguments)                                           \
    EXPORT(result, name, parameters, arguments, libpq_for(conn, caller))
#define EXPORT_CANCEL(result, name, parameters, arguments)                                         \
    EXPORT(result, name, parameters, arguments, pqb_libpq_known(caller))

PQB_PQ_MAKERS(EXPORT_MAKER)
PQB_PQ_USERS(EXPORT_USER)
PQB_PQ_CANCELS(EXPORT_CANCEL)

#define BOUND(number, result, name, parameters, arguments)                                         \
    static result name##_##number parameters                                                       \
    {                                                                                              \
        return pqb_front_##name(&pqb_libpqs[number], LIST arguments);                              \
    }
#define BOUND_0(...) BOUND(0, __VA_ARGS__)
#define BOUND_1(...) BOUND(1, __VA_ARGS__)
#define BOUND_2(...) BOUND(2, __VA_ARGS__)
#define BOUND_3(...) BOUND(3, __VA_ARGS__)
PQB_PQ_HOOKED(BOUND_0)
PQB_PQ_HOOKED(BOUND_1)
PQB_PQ_HOOKED(BOUND_2)
PQB_PQ_HOOKED(BOUND_3)

#define POINTER_0(result, name, parameters, arguments) (void *)name##_0,
#define POINTER_1(result, name, parameters, arguments) (void *)name##_1,
#define POINTER_2(result, name, parameters, arguments) (void *)name##_2,
#define POINTER_3(result, name, parameters, arguments) (void *)name##_3,
void *const pqb_libpq_wrappers[PQB_LIBPQS_BOUND][PQB_PQ_HOOKS] = {
    {PQB_PQ_HOOKED(POINTER_0)},
    {PQB_PQ_HOOKED(POINTER_1)},
    {PQB_PQ_HOOKED(POINTER_2)},
    {PQB_PQ_HOOKED(POINTER_3)},
};
