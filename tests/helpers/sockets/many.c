/* A thousand sockets at once. */
#include "sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#define MOST 1024

static int all[MOST];

/* Connects so many, and then each says what it wants. */
static void crowd(void)
{
    long count = number();
    const char *kind = stage_argument();
    char packet[STARTUP_ROOM];
    size_t length = make_startup(packet);
    unsigned bad = 0;
    if (count > MOST)
        give_up("crowd");
    for (long i = 0; i < count; i++) {
        all[i] = socket_for(kind);
        bad += connect_to(all[i], kind) != 0;
    }
    for (long i = 0; i < count; i++)
        bad += write(all[i], packet, length) != (ssize_t)length;
    stage_say("%ld asked, %u failed", count, bad);
}

/* Hears each to its end, and closes it: so the next is let in. */
static void hear_crowd(void)
{
    long count = number();
    unsigned ok = 0, refused = 0;
    for (long left = count; left;) {
        struct pollfd look[MOST];
        for (long i = 0; i < count; i++)
            look[i] = (struct pollfd){.fd = all[i], .events = POLLIN};
        if (poll(look, (nfds_t)count, 30000) <= 0)
            break;
        for (long i = 0; i < count; i++)
            if (look[i].revents) {
                const char *outcome = hear_outcome(all[i]);
                ok += !strcmp(outcome, "ok");
                refused += !strcmp(outcome, "53300 end");
                close(all[i]);
                all[i] = -1;
                left--;
            }
    }
    stage_say("%u in, %u refused, %ld lost", ok, refused, count - ok - refused);
}

const struct stage_step many_steps[] = {
    {"crowd", crowd},
    {"hearcrowd", hear_crowd},
    {0},
};
