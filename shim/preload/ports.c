#include "preload/ports.h"

#include "ledger/os.h"
#include "ledger/region.h"
#include "preload/settings.h"
#include "preload/state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define READ_AGAIN (5 * PQB_SECOND)

/* Of each entry of a server's key: what is behind its last colon. */
static void mark_ports(const char *key, uint64_t marks[1024])
{
    for (const char *at = key, *colon = NULL; at - key < PQB_KEY_BYTES; at++) {
        if (*at == ':')
            colon = at + 1;
        if (*at && *at != ',' && *at != '@')
            continue;
        unsigned long port = colon ? strtoul(colon, NULL, 10) : 0;
        if (port && port <= UINT16_MAX)
            marks[port / 64] |= 1ull << port % 64;
        if (*at != ',')
            return;
    }
}

/* Reads the servers out of the ledger's file, whoever made it: at worst a port too many is looked
 * at.
 */
static void read_ledger(uint64_t marks[1024])
{
    char path[PQB_REGION_PATH];
    struct pqb_server_row row;
    memset(marks, 0, 1024 * sizeof *marks);
    if (pqb_region_path(secure_getenv("PQBUDGET_LEDGER"), path, NULL))
        return;
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    for (unsigned i = 0; fd >= 0 && i < PQB_SERVERS; i++) {
        off_t at = (off_t)(offsetof(struct pqb_layout, server) + i * sizeof row);
        if (pread(fd, &row, sizeof row, at) != (ssize_t)sizeof row)
            break;
        row.key[sizeof row.key - 1] = 0;
        if (row.taken == 1)
            mark_ports(row.key, marks);
    }
    if (fd >= 0)
        pqb_close(fd);
}

static int ledger_has(uint16_t port)
{
    static uint64_t marks[1024], read_at;
    struct pqb_process_hold hold;
    uint64_t now = pqb_now();
    if (!pqb_state_lock(&hold))
        return 0;
    if (!read_at || now - read_at > READ_AGAIN) {
        read_ledger(marks);
        read_at = now;
    }
    int has = (marks[port / 64] >> port % 64 & 1) != 0;
    pqb_state_unlock(&hold);
    return has;
}

int pqb_ports_has(uint16_t port)
{
    int saved = errno;
    int has = port && !pqb_settings_is_off() && (pqb_settings_has_port(port) || ledger_has(port));
    errno = saved;
    return has;
}
