"""1,000 processes at once before a server with few connections. Rows for report.py.

    python3 storm.py        beside scripts/with-postgres, whose server has 25 connections
"""
import os
import subprocess

import figures
import ways
from figures import QUICK, fail, row, say
from ways import DIRECT, OURS, SESSION, TRANSACTION, WAYS

STORM = os.path.join(ways.BUILT, "bench", "storm")
COUNT, LIMIT = 1000, 20
ROUNDS = 1 if QUICK else 4


def storm(way, host, port, database, at_once=COUNT):
    """Seconds, and how many failed; what those of pqbudget said then is worth reading."""
    settings = ["%s=%s" % pair for pair in environments[way].items()]
    conninfo = "host=%s port=%s dbname=%s user=postgres" % (host, port, database)
    run = subprocess.run([STORM, str(COUNT), str(at_once), conninfo, *settings], env=environments[DIRECT], text=True,
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


def by(way):
    if way in ways.POOLED:
        return through_pooler(way)
    return storm(way, *ways.direct_server("TCP"), at_once=LIMIT if way == DIRECT else COUNT)


environments = ways.environments(LIMIT, PQBUDGET_WAIT="60s")
server = ways.Server()
there = server.children()
done = {way: [] for way in WAYS}
at_once = []
for i in range(ROUNDS):
    for way in ways.turned(WAYS, i):
        done[way].append(by(way))
    at_once.append(storm(DIRECT, *ways.direct_server("TCP"))[1])
ways.check_budget(environments)
times = {way: [seconds for seconds, _ in runs] for way, runs in done.items()}
cells = [figures.spread(way, times[way], "s") for way in WAYS]
for way in (OURS, SESSION, TRANSACTION):
    ratios = [ours / direct for ours, direct in zip(times[way], times[DIRECT])]
    cells.append(figures.spread(way + " ÷ direct", ratios, "×"))
row("storm", "time of 1,000", cells)
# The worst of the rounds: none may fail.
row("storm", "failed of 1,000", [figures.value(way, max(failed for _, failed in done[way]), "") for way in WAYS])
row("storm", "failed of 1,000, all at once with nothing between",
    [figures.value(DIRECT, figures.part(at_once, 0.5), "")])
