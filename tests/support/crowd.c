#include "support/crowd.h"

#include "support/draw.h"
#include "support/support.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

struct crowd *crowd;
unsigned crowd_slot;
uint32_t crowd_generation;

static int pipe_end = -1; /* its other end is the sentinel's */

/* ---- the folder ---- */

static void fail(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(3);
}

static void *map(const char *folder, size_t board_size, int create)
{
    char path[128];
    size_t size = sizeof *crowd + board_size;
    snprintf(path, sizeof path, "%s/crowd", folder);
    int fd = open(path, O_RDWR | O_CLOEXEC | (create ? O_CREAT | O_EXCL : 0), 0600);
    if (fd < 0 || (create && ftruncate(fd, (off_t)size)))
        fail(path);
    crowd = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (crowd == MAP_FAILED)
        fail("mmap");
    close(fd);
    return crowd + 1;
}

void *crowd_make(const char *name, size_t board_size)
{
    char folder[64];
    snprintf(folder, sizeof folder, "/tmp/%s.%d.XXXXXX", name, (int)getpid());
    if (!mkdtemp(folder))
        fail(folder);
    void *board = map(folder, board_size, 1);
    memcpy(crowd->folder, folder, sizeof folder);
    ssize_t length = readlink("/proc/self/exe", crowd->program, sizeof crowd->program - 1);
    if (length <= 0)
        fail("/proc/self/exe");
    return board;
}

void *crowd_join(const char *folder, size_t board_size)
{
    return map(folder, board_size, 0);
}

void crowd_close(void)
{
    char path[128];
    static const char *const names[] = {"crowd", "judge"};
    if (pipe_end >= 0)
        (void)!write(pipe_end, "q", 1);
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", crowd->folder, names[i]);
        unlink(path);
    }
    rmdir(crowd->folder);
}

/* ---- when the master is gone ---- */

/* Its pid may be another's by now. */
static int is_ours(int32_t pid)
{
    char path[64], exe[256] = "";
    snprintf(path, sizeof path, "/proc/%d/exe", pid);
    return readlink(path, exe, sizeof exe - 1) > 0 && !strcmp(exe, crowd->program);
}

static unsigned kill_all(int check)
{
    unsigned killed = 0;
    for (unsigned slot = 0; slot < CROWD_MOST; slot++) {
        struct person *person = &crowd->person[slot];
        int32_t pid = atomic_load(&person->pid);
        if (pid <= 0 || (check && !is_ours(pid)))
            continue;
        if (!atomic_load(&person->doomed_at))
            atomic_store(&person->doomed_at, pqb_now());
        killed += !kill(pid, SIGKILL);
    }
    return killed;
}

/* Reads the pipe whose other end only the master has. */
static _Noreturn void sentinel(int from, struct pqb_ledger *ledger)
{
    char word;
    setsid();
    prctl(PR_SET_NAME, "sentinel");
    signal(SIGTERM, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    ssize_t got;
    do
        got = read(from, &word, 1);
    while (got < 0 && errno == EINTR);
    if (got == 1)
        _exit(0);
    atomic_store(&crowd->ending, 1);
    uint64_t until = pqb_now() + 5 * PQB_SECOND;
    while (kill_all(1) && pqb_now() < until)
        usleep(20000);
    pipe_end = -1;
    support_ledger_end(ledger);
    crowd_close();
    _exit(0);
}

static void on_end(int signal_number)
{
    _exit(128 + signal_number); /* the sentinel does the rest */
}

void crowd_guard(struct pqb_ledger *ledger)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC))
        fail("pipe");
    pipe_end = ends[1];
    if (!fork()) {
        close(ends[1]);
        sentinel(ends[0], ledger);
    }
    close(ends[0]);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    signal(SIGTERM, on_end);
    signal(SIGINT, on_end);
    signal(SIGHUP, on_end);
}

void crowd_leave_master(void)
{
    close(pipe_end);
    pipe_end = -1;
}

/* ---- people ---- */

void crowd_enter(void)
{
    for (unsigned slot = 0; slot < CROWD_MOST; slot++) {
        struct person *person = &crowd->person[slot];
        int32_t nobody = 0;
        if (!atomic_compare_exchange_strong(&person->pid, &nobody, (int32_t)getpid()))
            continue;
        crowd_slot = slot;
        atomic_store(&person->stopped_at, 0);
        atomic_store(&person->continued_at, 0);
        crowd_generation = atomic_fetch_add(&person->generation, 1) + 1;
        atomic_store(&person->doomed_at, 0);
        if (atomic_load(&crowd->ending))
            _exit(0);
        return;
    }
    _exit(0);
}

void crowd_remain(unsigned slot, uint32_t generation)
{
    crowd_slot = slot % CROWD_MOST;
    crowd_generation = generation;
}

void crowd_leave(void)
{
    atomic_store(&crowd->person[crowd_slot].doomed_at, pqb_now());
    _exit(0);
}

struct person *crowd_person(int32_t pid)
{
    for (unsigned slot = 0; slot < CROWD_MOST; slot++)
        if (atomic_load(&crowd->person[slot].pid) == pid)
            return &crowd->person[slot];
    return NULL;
}

static int is_alive(struct person *person)
{
    return atomic_load(&person->pid) && !atomic_load(&person->doomed_at);
}

unsigned crowd_alive(void)
{
    unsigned count = 0;
    for (unsigned slot = 0; slot < CROWD_MOST; slot++)
        count += (unsigned)is_alive(&crowd->person[slot]);
    return count;
}

struct person *crowd_anybody(void)
{
    unsigned alive = crowd_alive(), chosen = alive ? (unsigned)draw(alive) : 0;
    for (unsigned slot = 0; slot < CROWD_MOST; slot++)
        if (is_alive(&crowd->person[slot]) && !chosen--)
            return &crowd->person[slot];
    return NULL;
}

void crowd_stop(struct person *person)
{
    atomic_store(&person->stopped_at, pqb_now());
    kill(atomic_load(&person->pid), SIGSTOP);
}

void crowd_continue(struct person *person)
{
    kill(atomic_load(&person->pid), SIGCONT);
    atomic_store(&person->continued_at, pqb_now());
    atomic_store(&person->stopped_at, 0);
}

void crowd_kill(struct person *person)
{
    atomic_store(&person->doomed_at, pqb_now());
    kill(atomic_load(&person->pid), SIGKILL);
}

unsigned crowd_kill_all(void)
{
    return kill_all(0);
}

unsigned crowd_reap(void)
{
    int status;
    unsigned deaths = 0;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
        struct person *person = crowd_person((int32_t)pid);
        if (!person)
            continue;
        deaths += WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
        if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL)
            find("pid %d died of signal %d", (int)pid, WTERMSIG(status));
        if (!atomic_load(&person->doomed_at))
            atomic_store(&person->doomed_at, pqb_now());
        atomic_store(&person->pid, 0);
    }
    return deaths;
}

/* ---- stopping and killing ---- */

struct person *crowd_inside(const struct pqb_region *region)
{
    for (unsigned tries = 0; tries < 3000; tries++) {
        int32_t pid = support_guard_owner(region);
        struct person *person = pid ? crowd_person(pid) : NULL;
        if (person && is_alive(person) && !atomic_load(&person->stopped_at))
            return person;
    }
    return NULL;
}

void crowd_strike(const struct pqb_region *region)
{
    struct person *person = draw(3) ? NULL : crowd_inside(region);
    if (!person)
        person = crowd_anybody();
    if (!person)
        return;
    if (draw(5) || atomic_load(&person->stopped_at)) {
        if (draw(2) && !atomic_load(&person->stopped_at))
            crowd_stop(person); /* and dead a moment later, wherever that was */
        crowd_kill(person);
    } else {
        crowd_stop(person);
    }
}

void crowd_release(const struct pqb_region *region)
{
    uint64_t now = pqb_now();
    int32_t inside = support_guard_owner(region);
    for (unsigned slot = 0; slot < CROWD_MOST; slot++) {
        struct person *person = &crowd->person[slot];
        uint64_t since = atomic_load(&person->stopped_at);
        if (!since || !is_alive(person))
            continue;
        uint64_t least = slot % 16 ? 100 * PQB_MS : 1500 * PQB_MS;
        if (atomic_load(&person->pid) == inside)
            least = 30 * PQB_MS;
        if (now - since > least)
            crowd_continue(person);
    }
}

int crowd_guard_sleeps(const struct pqb_region *region)
{
    int32_t pid = support_guard_owner(region);
    const struct person *person = pid ? crowd_person(pid) : NULL;
    return person && (atomic_load(&person->stopped_at) || atomic_load(&person->doomed_at));
}

int crowd_has_run_since(int32_t pid, uint64_t since)
{
    const struct person *person = crowd_person(pid);
    return person && !atomic_load(&person->stopped_at) && !atomic_load(&person->doomed_at) &&
           atomic_load(&person->continued_at) < since;
}

/* ---- findings ---- */

void find(const char *format, ...)
{
    uint32_t number = atomic_fetch_add(&crowd->findings, 1);
    if (number >= CROWD_FINDINGS)
        return;
    char *finding = crowd->finding[number];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(finding, sizeof crowd->finding[number], format, arguments);
    va_end(arguments);
    dprintf(2, "\nfinding: %s\n", finding);
}

static unsigned found(void)
{
    unsigned count = atomic_load(&crowd->findings);
    return count < CROWD_FINDINGS ? count : CROWD_FINDINGS;
}

static int is_of(const char *finding, const char *word)
{
    return !strncmp(finding, word, strlen(word));
}

static int is_of_any(const struct crowd_kind *kind, const char *finding)
{
    for (; kind->word; kind++)
        if (is_of(finding, kind->word))
            return 1;
    return 0;
}

int crowd_verdict(const struct crowd_kind *kind)
{
    unsigned passed = 0, failed = 0;
    for (const struct crowd_kind *one = kind; one->name; one++) {
        unsigned bad = 0;
        for (unsigned i = 0; i < found(); i++)
            bad += (unsigned)(one->word ? is_of(crowd->finding[i], one->word)
                                        : !is_of_any(kind, crowd->finding[i]));
        printf("  %-5s %s\n", bad ? "FAIL" : "ok", one->name);
        passed += !bad;
        failed += bad != 0;
    }
    for (unsigned i = 0; i < found(); i++)
        printf("        %s\n", crowd->finding[i]);
    printf("%u passed, %u failed\n", passed, failed);
    return failed != 0;
}
