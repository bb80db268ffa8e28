#include "support/team.h"

#include "ledger/os.h"
#include "support/measure.h"
#include "support/support.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define LONGEST (60 * PQB_SECOND)

static void serve(struct team *team, unsigned member)
{
    struct team_board *board = team->board;
    for (uint32_t round = 1;; round++) {
        for (uint32_t seen; (seen = atomic_load(&board->round)) < round;)
            pqb_futex_wait(&board->round, seen, PQB_FOREVER, 1);
        team->work(team, member, team->with);
        atomic_fetch_add(&board->done, 1);
        pqb_futex_wake(&board->done, 1, 1);
    }
}

void team_start(struct team *team, unsigned size,
                void (*work)(struct team *team, unsigned member, void *with), void *with)
{
    memset(team, 0, sizeof *team);
    team->size = size;
    team->work = work;
    team->with = with;
    team->board =
        mmap(NULL, sizeof *team->board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (team->board == MAP_FAILED || size > TEAM_MOST)
        measure_fail("no memory for %u processes", size);
    for (unsigned i = 0; i < size; i++) {
        team->pid[i] = support_fork();
        if (team->pid[i] < 0)
            measure_fail("cannot fork");
        if (!team->pid[i])
            serve(team, i);
    }
}

void team_end(struct team *team)
{
    for (unsigned i = 0; i < team->size; i++)
        support_kill(team->pid[i]);
    munmap(team->board, sizeof *team->board);
}

void team_begin(struct team *team)
{
    atomic_store(&team->board->done, 0);
    atomic_fetch_add(&team->board->round, 1);
    pqb_futex_wake(&team->board->round, INT_MAX, 1);
}

void team_stop(struct team *team)
{
    atomic_store(&team->board->stop, atomic_load(&team->board->round));
}

int team_is_stopped(const struct team *team)
{
    return atomic_load(&team->board->stop) == atomic_load(&team->board->round);
}

static void check_alive(struct team *team)
{
    for (unsigned i = 0; i < team->size; i++)
        if (waitpid(team->pid[i], NULL, WNOHANG) == team->pid[i])
            measure_fail("member %u of %u has died", i, team->size);
}

void team_finish(struct team *team)
{
    uint64_t until = pqb_now() + LONGEST;
    for (uint32_t seen; (seen = atomic_load(&team->board->done)) < team->size;) {
        pqb_futex_wait(&team->board->done, seen, pqb_now() + PQB_SECOND, 1);
        check_alive(team);
        if (pqb_now() >= until)
            measure_fail("%u of %u have not finished", team->size - seen, team->size);
    }
}

static int is_asleep(pid_t pid)
{
    char path[32], text[64] = {0};
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t got = read(fd, text, sizeof text - 1);
    close(fd);
    const char *end = got > 0 ? strrchr(text, ')') : NULL;
    return end && end[1] == ' ' && end[2] == 'S';
}

void team_await_sleep(struct team *team)
{
    uint64_t until = pqb_now() + LONGEST;
    for (unsigned i = 0; i < team->size; i++)
        while (!atomic_load(&team->board->count[i]) || !is_asleep(team->pid[i])) {
            if (pqb_now() >= until)
                measure_fail("member %u does not wait", i);
            usleep(50);
        }
}
