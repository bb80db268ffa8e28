/*
 * deaths: a client that dies at each system call of its way through the doors.
 *
 *   deaths [--every N] [--from N] [SCENE…]
 *
 * Beside a PostgreSQL (scripts/with-postgres) that takes no more than the limit. Each scene is
 * played by a real client under the preload and under ptrace, again and again: it is killed before
 * its first system call, after it, before the second one, whichever of its threads makes it, until
 * it comes to its end. Every time the judge looks at what it has left (judge.h). In some scenes it
 * has forked a child, and one of the two dies.
 *
 * --every 10 dies at every tenth stop only, from a random one on; --from 3 from the third on, as a
 * finding says it.
 */
#include "chaos/deaths/judge.h"
#include "chaos/deaths/people.h"
#include "ledger/os.h"
#include "support/draw.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct scene {
    const char *name;
    unsigned held;    /* so many slots are taken; one is given back when the client says "held" */
    const char *host; /* those who have them are connected to it; NULL = TCP */
    const char *wait;
    const char *steps;
    const char *says; /* all of it, if nobody dies; fnmatch */
    int is_followed;  /* when the client is "ready", somebody comes to wait */
    int child_dies;   /* it, and not its parent */
    const char *left; /* what its parent says in all then */
};

#define TCP "127.0.0.1"
#define UNIX "unix"
#define BEGIN "sockets say begin "
#define CONNECT_TCP "socket tcp connect "
#define CONNECT_UNIX "socket unix connect "
#define ASK_TLS "ssl by write 8 byte "
#define START "startup by write 1000 "
#define HEAR_HELD "say held hear "
#define USE "query by write 100 hear "
#define BYE "terminate by write 5 close"

static const struct scene scenes[] = {
    {.name = "over tcp",
     .steps = BEGIN CONNECT_TCP START "hear " USE BYE,
     .says = "begin\nok\nok still here\n"},
    {.name = "over a unix socket",
     .steps = BEGIN CONNECT_UNIX "startup by sendmsg 9 hear " USE BYE,
     .says = "begin\nok\nok still here\n"},
    {.name = "asks for TLS",
     .steps = BEGIN "socket mapped nonblock connect " ASK_TLS START "hear " BYE,
     .says = "begin\nN\nok\n"},
    {.name = "held before it connects",
     .held = 2,
     .steps = BEGIN CONNECT_TCP START HEAR_HELD USE BYE,
     .says = "begin\nheld\nok\nok still here\n"},
    {.name = "held before it connects, asks for TLS",
     .held = 2,
     .steps = BEGIN "socket tcp nonblock connect ssl by write 8 say held byte " START "hear " BYE,
     .says = "begin\nheld\nN\nok\n"},
    {.name = "held while it is connected",
     .held = 2,
     .host = UNIX,
     .steps = BEGIN CONNECT_TCP START HEAR_HELD USE BYE,
     .says = "begin\nheld\nok\nok still here\n"},
    {.name = "held at a unix socket",
     .held = 2,
     .host = UNIX,
     .steps = BEGIN "socket unix nonblock connect " START HEAR_HELD BYE,
     .says = "begin\nheld\nok\n"},
    {.name = "held when the server has answered",
     .held = 1,
     .steps = BEGIN CONNECT_TCP START "hear " CONNECT_TCP ASK_TLS START HEAR_HELD BYE,
     .says = "begin\nok\nN\nheld\nok\n"},
    {.name = "held before another one",
     .held = 2,
     .steps = BEGIN CONNECT_TCP START "pause " HEAR_HELD BYE,
     .says = "begin\nready\nheld\nok\n",
     .is_followed = 1},
    {.name = "closes, and another one waits",
     .held = 1,
     .steps = BEGIN CONNECT_TCP START "hear pause close",
     .says = "begin\nok\nready\n",
     .is_followed = 1},
    {.name = "says goodbye, and another one waits",
     .held = 1,
     .steps = BEGIN CONNECT_UNIX START "hear pause " BYE,
     .says = "begin\nok\nready\n",
     .is_followed = 1},
    {.name = "held, and closed",
     .held = 2,
     .steps = BEGIN CONNECT_TCP START "close",
     .says = "begin\n"},
    {.name = "refused",
     .held = 2,
     .wait = "50ms",
     .steps = BEGIN CONNECT_TCP START "hear close",
     .says = "begin\n53300 end\n"},
    {.name = "refused at a unix socket",
     .held = 2,
     .wait = "50ms",
     .steps = BEGIN CONNECT_UNIX START "hear close",
     .says = "begin\n53300 end\n"},
    {.name = "refused, asks for TLS",
     .held = 2,
     .wait = "50ms",
     .steps = BEGIN CONNECT_TCP ASK_TLS START "hear close",
     .says = "begin\nN\n53300 end\n"},
    {.name = "libpq",
     .steps = "doors say begin start host=" TCP " poll finish",
     .says = "begin\nok *\n"},
    {.name = "libpq, held before it connects",
     .held = 2,
     .steps = "doors say begin start host=" TCP " say held poll finish",
     .says = "begin\nheld\nok *\n"},
    {.name = "libpq, held at a unix socket",
     .held = 2,
     .host = UNIX,
     .steps = "doors say begin start host=" UNIX " say held poll finish",
     .says = "begin\nheld\nok *\n"},
    {.name = "libpq, refused",
     .held = 2,
     .wait = "50ms",
     .steps = "doors say begin start host=" TCP " poll finish",
     .says = "begin\nbad *too many clients already*\n"},
    {.name = "libpq, finished before it is in",
     .held = 1,
     .steps = "doors say begin start host=" TCP " finish",
     .says = "begin\n"},
    {.name = "libpq, connected anew",
     .steps = "doors say begin start host=" TCP " poll resetstart resetpoll finish",
     .says = "begin\nok *\nstarted 1\nok *\n"},
    {.name = "libpq finishes, and another one waits",
     .held = 1,
     .steps = "doors say begin start host=" TCP " poll pause finish",
     .says = "begin\nok *\nready\n",
     .is_followed = 1},
    {.name = "a parent whose child has what is held",
     .held = 2,
     .steps = BEGIN CONNECT_TCP START "fork { pause } " HEAR_HELD BYE,
     .says = "begin\n*held\n*ok\n*"},
    {.name = "a parent whose child has what is open",
     .steps = BEGIN CONNECT_UNIX START "hear fork { pause " USE "} " BYE,
     .says = "begin\nok\n*"},
    {.name = "a child that has what is held",
     .held = 2,
     .host = UNIX,
     .steps = BEGIN CONNECT_UNIX START "fork { close } wait " HEAR_HELD BYE,
     .says = "begin\nchild 0\nheld\nok\n",
     .child_dies = 1,
     .left = "begin\nchild 1009\nheld\nok\n"},
    {.name = "a child that has what is open",
     .steps = BEGIN CONNECT_TCP START "hear fork { " USE "close } wait " USE BYE,
     .says = "begin\nok\nok still here\nchild 0\nok still here\n",
     .child_dies = 1,
     .left = "begin\nok\n*child 1009\n*"},
    {.name = "a child that opens one of its own",
     .steps = BEGIN CONNECT_TCP START "hear fork { " CONNECT_TCP START "hear } wait " USE BYE,
     .says = "begin\nok\nok\nchild 0\nok still here\n",
     .child_dies = 1,
     .left = "begin\nok\n*child 1009\nok still here\n"},
    {.name = "a child between vfork and exec",
     .held = 2,
     .host = UNIX,
     .steps = BEGIN CONNECT_UNIX START "spawn " HEAR_HELD BYE,
     .says = "begin\nchild 0\nheld\nok\n",
     .child_dies = 1,
     .left = "begin\nchild 1009\nheld\nok\n"},
};

static unsigned every = 1, from;
static unsigned passed, failed, deaths;

struct play {
    const struct scene *scene;
    struct person client;
    struct trace trace;
    int has_begun, is_followed, has_given_way;
};

/* 0 = is not born yet. */
static pid_t who_dies(const struct play *play)
{
    return play->scene->child_dies ? play->trace.child : play->trace.family;
}

/* What it says may be meant for the judge. */
static int listen(struct play *play)
{
    const char *words = person_words(&play->client);
    play->has_begun |= *words != 0;
    if (!play->is_followed && play->scene->is_followed && strstr(words, "ready\n")) {
        play->is_followed = 1;
        if (!judge_follow(play->trace.family))
            return 0;
        person_go_on(&play->client);
    }
    if (!play->has_given_way && strstr(words, "held\n")) {
        play->has_given_way = 1;
        judge_give_way();
    }
    return 1;
}

/* To the nth stop of the one who dies. 1; 0 = all came to their ends before; -1 = they don't. */
static int go_to(struct play *play, unsigned nth)
{
    int result;
    for (unsigned met = 0; (result = trace_next(&play->trace)) > 0;) {
        if (!listen(play))
            return -1;
        pid_t dying = who_dies(play);
        if (!play->has_begun || !dying || trace_only_looks(&play->trace) ||
            !trace_is_in(&play->trace, dying))
            continue;
        if (++met == nth)
            return 1;
    }
    return result;
}

static int is_well_said(const char *expected, const struct play *play, char *words, size_t capacity)
{
    if (!expected || !fnmatch(expected, person_words(&play->client), 0))
        return 1;
    snprintf(words, capacity, "it has said \"%.200s\"", person_words(&play->client));
    return 0;
}

static void report(const struct scene *scene, unsigned nth, const char *where, const char *words)
{
    printf("        stop %u, %s: %s\n", nth, where, words);
    printf("        again: deaths --from %u '%s'\n", nth, scene->name);
}

/* Dies at the nth stop. 1 if there is one, 0 if the scene was over before; -1 after a finding. */
static int die(const struct scene *scene, unsigned nth)
{
    struct play play = {.scene = scene};
    char where[128] = "at its end", words[256] = "";
    person_start(&play.client,
                 &(struct casting){
                     .app = "dead", .steps = scene->steps, .wait = scene->wait, .is_traced = 1});
    trace_begin(&play.trace, play.client.pid);
    int reached = go_to(&play, nth);
    if (reached < 0) {
        snprintf(words, sizeof words, "stuck: it has come no further than \"%.150s\"",
                 person_words(&play.client));
        trace_end(&play.trace);
    } else if (reached) {
        trace_describe(&play.trace, where, sizeof where);
        judge_prepare(play.trace.family, who_dies(&play));
        trace_kill(&play.trace, who_dies(&play));
        deaths++;
    }
    int well = judge_settle(&play.trace, who_dies(&play), &play.client);
    if (!*words)
        is_well_said(reached ? scene->left : scene->says, &play, words, sizeof words);
    person_close(&play.client);
    if (well && !*words)
        return reached;
    report(scene, nth, where, well ? words : judge_finding());
    return -1;
}

static void run(const struct scene *scene)
{
    uint64_t start = pqb_now();
    unsigned before = deaths, nth = from ? from : 1 + (unsigned)draw(every);
    int result = judge_open(scene->host ? scene->host : TCP, scene->held) ? 1 : -1;
    if (result < 0)
        report(scene, 0, "before it begins", judge_finding());
    for (; result > 0; nth += every)
        result = die(scene, nth);
    if (!judge_close() && !result) {
        report(scene, nth, "when all have gone", judge_finding());
        result = -1;
    }
    passed += !result;
    failed += result != 0;
    printf("  %-5s %-40s %4u deaths %5.1f s\n", result ? "FAIL" : "ok", scene->name,
           deaths - before, (double)(pqb_now() - start) / 1e9);
}

static int is_wanted(const char *name, int count, char **names)
{
    for (int i = 0; i < count; i++)
        if (!strcmp(name, names[i]))
            return 1;
    return !count;
}

static void take_option(const char *name, const char *value)
{
    unsigned *option = !strcmp(name, "--every") ? &every : !strcmp(name, "--from") ? &from : NULL;
    unsigned long number = value ? strtoul(value, NULL, 10) : 0;
    if (!option || !number) {
        fprintf(stderr, "usage: deaths [--every N] [--from N] [SCENE…]\n");
        exit(2);
    }
    *option = (unsigned)number;
}

int main(int count, char **arguments)
{
    uint64_t start = pqb_now();
    int at = 1;
    setvbuf(stdout, NULL, _IOLBF, 0);
    draw_seed = pqb_random();
    for (; at < count && arguments[at][0] == '-'; at += 2)
        take_option(arguments[at], arguments[at + 1]);
    judge_meet_server();
    for (unsigned i = 0; i < sizeof scenes / sizeof *scenes; i++)
        if (is_wanted(scenes[i].name, count - at, arguments + at))
            run(&scenes[i]);
    printf("%u deaths in %.0f s\n%u passed, %u failed\n", deaths, (double)(pqb_now() - start) / 1e9,
           passed, failed);
    return failed || !passed;
}
