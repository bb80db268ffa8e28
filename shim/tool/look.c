#include "tool/look.h"

#include "ledger/yield.h"
#include "tool/server.h"
#include "tool/watch.h"

#include <string.h>

static unsigned find_server(const struct pqb_region *region, const char *server,
                            const struct pqb_snapshot *snapshot)
{
    char key[PQB_SERVER_TEXT];
    pqb_server_text(region, pqb_server_find(region, server), key);
    for (unsigned i = 0; *key && i < snapshot->servers; i++)
        if (!strcmp(snapshot->server[i].key, key))
            return i;
    return PQB_NIL;
}

enum pqb_status pqb_look(const char *path, const char *server, enum pqb_look_depth depth,
                         struct pqb_snapshot *snapshot, unsigned *only, struct pqb_error *error)
{
    struct pqb_region *region;
    *only = PQB_NIL;
    enum pqb_status status = pqb_region_open(path, 0, &region, error);
    if (status)
        return status;
    if (depth == PQB_LOOK_SESSIONS && pqb_yield_refresh(region))
        pqb_watch_sleep(PQB_LOOK_PATIENCE); /* nothing tells that all have answered */
    status = pqb_snapshot_take(region, snapshot);
    if (status)
        status = pqb_fail(error, status, "%s was %s while it was read; try again", path,
                          status == PQB_LOST ? "removed" : "changed");
    else if (server)
        *only = find_server(region, server, snapshot);
    pqb_region_unpin(region);
    return status;
}

enum pqb_status pqb_look_at(const char *path, const char *server, enum pqb_look_depth depth,
                            struct pqb_snapshot *snapshot, unsigned *only, struct pqb_error *error)
{
    enum pqb_status status = pqb_look(path, server, depth, snapshot, only, error);
    if (status || !server || *only != PQB_NIL)
        return status;
    pqb_snapshot_free(snapshot);
    return pqb_fail(error, PQB_INVALID,
                    "the ledger knows no server %.80s; \"pqbudget status\" lists them", server);
}

enum pqb_exit pqb_look_for(const struct pqb_call *call, const char *server,
                           struct pqb_snapshot *snapshot, unsigned *only)
{
    char path[PQB_REGION_PATH];
    struct pqb_error error = {{0}};
    enum pqb_exit code = pqb_call_path(call, path);
    if (code)
        return code;
    enum pqb_status status = pqb_look_at(path, server, PQB_LOOK_BOOKS, snapshot, only, &error);
    return status ? pqb_report_ledger(status, &error) : PQB_EXIT_DONE;
}
