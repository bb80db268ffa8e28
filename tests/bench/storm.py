"""1,000 processes at once before a server with few connections. Rows for report.py.

    python3 storm.py        beside scripts/with-postgres, whose server has 25 connections
"""
import os
import subprocess

import figures
import ways
from figures import QUICK, fail, row, say
from ways import DIRECT, OURS, WAYS

STORM = os.path.join(ways.BUILT, "bench", "storm")
COUNT, LIMIT = 1000, 20
ROUNDS = 1 if QUICK else 4


def storm(way, host, port, database, at_once=COUNT, let_in=0):
    """Seconds, and how many failed; what those of pqbudget said then is worth reading."""
    settings = ["%s=%s" % pair for pair in environments[way].items()]
    conninfo = "host=%s port=%s dbname=%s user=postgres" % (host, port, database)
    run = subprocess.run([STORM, str(COUNT), str(at_once), str(let_in), conninfo, *settings], env=environments[DIRECT], text=True,
                         stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if run.returncode:
        fail("the storm did not happen, %s: %s" % (way, run.stderr[-1000:]))
    seconds, failed = run.stdout.split()
    if way == OURS and failed != "0":
        say("storm: %s failed under pqbudget: %s" % (failed, run.stderr[:1000]))
    server.settle(set(there))
    return float(seconds), int(failed)


def through_pooler(way):
    """A fresh PgBouncer each time: the connections that it keeps would be too many for the others."""
    bouncer = ways.Bouncer(session=LIMIT, transaction=LIMIT)
    done = storm(way, *bouncer.server(way, "TCP"))
    bouncer.end()
    server.settle(set(there))
    return done


def without_pooler(way, **how):
    return storm(way, *ways.direct_server("TCP"), **how)


def by(way):
    if way in ways.POOLED:
        return through_pooler(way)
    return without_pooler(way, at_once=LIMIT if way == DIRECT else COUNT)


def against_direct(way, times):
    """Each round's ÷ that of the direct clients that run a few at a time."""
    ratios = [seconds / direct for seconds, direct in zip(times, done[DIRECT])]
    return [figures.spread(way, times, "s"), figures.spread(way + " ÷ direct", ratios, "×")]


environments = ways.environments(LIMIT, PQBUDGET_WAIT="60s")
server = ways.Server()
there = server.children()
done = {way: [] for way in WAYS}
few, gated = [], []
failed = {way: 0 for way in WAYS}  # in the worst of the rounds: none may
gated_failed, free_failed = [], []
for i in range(ROUNDS):
    for way in ways.turned(WAYS, i):
        seconds, fallen = by(way)
        done[way].append(seconds)
        failed[way] = max(failed[way], fallen)
    few.append(without_pooler(OURS, at_once=LIMIT)[0])
    seconds, fallen = without_pooler(DIRECT, let_in=LIMIT)
    gated.append(seconds)
    gated_failed.append(fallen)
    free_failed.append(without_pooler(DIRECT)[1])
ways.check_budget(environments)
row("storm", "time of 1,000", [figures.spread(DIRECT, done[DIRECT], "s"),
                               *(cell for way in WAYS[1:] for cell in against_direct(way, done[way]))])
row("storm", "time of 1,000, %d at a time" % LIMIT, against_direct(OURS, few))
row("storm", "time of 1,000, all at once before a POSIX semaphore of %d" % LIMIT, against_direct(DIRECT, gated))
row("storm", "failed of 1,000", [figures.value(way, failed[way], "") for way in WAYS])
row("storm", "failed of 1,000, all at once before that semaphore", [figures.value(DIRECT, max(gated_failed), "")])
row("storm", "failed of 1,000, all at once with nothing between",
    [figures.value(DIRECT, figures.part(free_failed, 0.5), "")])
