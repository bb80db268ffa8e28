"""Hot reload as it really is: pools that nobody uses any more, and that never close what is idle in them. Without
giving way everybody waits for what he has himself left behind. PQB_TEST_RELOADS=10 reloads as often, not 3 times."""

import os
import re

from bench import PORT, SERVER, Ledger, Wrong, at, expect
from rows import Node
from scene import SERVICES, begun
from storm import Sampler

TIMES = int(os.environ.get("PQB_TEST_RELOADS", "3"))
SIZE = 5  # of a pool (scene.js)
ROOM = 100  # the server's max_connections
RELOADS = {"node pools, abandoned": "scene_pg.js"}

SERVED = "served"
ABANDONED = re.compile(
    rf"error: 53300: sorry, too many clients already: pqbudget: \d+ of \d+ connections to {SERVER} are in use"
    r" \(.*\), \d+ of them by this process, (?:the oldest )?idle for [1-9]\d* s"
    r"(?:, \d+ (?:is|are) reserved for others)?; waited .*"
)


class Wrapped(Node):
    """Services as pqbudget-run starts them, which finds out by itself what the budget should be."""

    def __init__(self, source, *options):
        super().__init__("reload", source)
        self.argv = ["scripts/pqbudget-run", "-q", *options, "--", *self.argv]


def said(ledger, times, services):
    """The lines of each service, how many live on when the last has said everything, and their complaints."""
    environment = at(PORT) | {"PQBUDGET_LEDGER": ledger.name, "PQBUDGET_PORTS": PORT}
    with begun(services, environment | {"SCENE_RELOADS": str(times), "SCENE_IDLE_MS": "0"}) as crowd:
        lines = [[service.line() for _ in range(SIZE * (times + 1))] for service in crowd]
        return lines, sum(service.lives() for service in crowd), "".join(service.complaint() for service in crowd)


def in_vain(source):
    """Nobody gives way. How many of the second pools' queries were refused, with the reason."""
    with Ledger(ROOM) as ledger:
        services, _, _ = said(ledger, 1, Wrapped(source, "-w", "2s"))
    # Those who came too late for any have left nothing behind.
    refused = [line for lines in services if SERVED in lines for line in lines[SIZE:] if line != SERVED]
    expect("other answers", [], [line for line in refused if not ABANDONED.fullmatch(line)][:3])
    if not refused:
        raise Wrong("nobody was refused")
    return len(refused)


def reload(console, source):
    """Without giving way, and with it. Returns what there was to see."""
    refused = in_vain(source)
    with Ledger(ROOM) as ledger, Sampler(console) as sampler:
        services, living, complaints = said(ledger, TIMES, Wrapped(source, "-w", "30s", "-y", "1s"))
        seen = sampler.stop()
        server = ledger.server()
    queries = SERVICES * SIZE * (TIMES + 1)
    expect("queries that failed", [], [line for lines in services for line in lines if line != SERVED][:3])
    expect("services that live on, what they complain of", (SERVICES, ""), (living, complaints))
    expect("refused", 0, server["timeout_total"] + server["refused_total"])
    # What has just given way is not counted as long as the server has room for it as well.
    limit, slack, yielded = server["limit"], server["slack"], server["yielded_total"]
    if not seen.most <= limit + slack <= ROOM or server["peak"] > limit:
        raise Wrong(f"{seen.most} connections, the ledger's peak is {server['peak']}, its limit {limit} + {slack}")
    if yielded < queries - limit:
        raise Wrong(f"{yielded} gave way, and {queries} were let in")
    return (
        f"{queries} queries, none failed ({refused} without giving way), {yielded} connections gave way,"
        f" at most {seen.most} there, limit {limit} + {slack}"
    )
