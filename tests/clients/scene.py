"""A monorepo in development: many services in Node, each with a pool, and hot reloads that leave pools behind."""

import collections
import contextlib

from bench import SERVER, Ledger, Wrong, expect, wait_until
from rows import Node
from storm import Sampler

SERVICES = 23
QUERIES = SERVICES * 5 * 4  # pools of 5, opened four times (scene.js)
LIMIT = 90  # of the server's 100
SCENES = {"node pools, hot reload": "scene_pg.js", "prisma, hot reload": "scene_prisma.js"}


@contextlib.contextmanager
def begun(node, environment):
    """All services, which have just begun."""
    node.build()
    with contextlib.ExitStack() as ends:
        services = [
            ends.enter_context(node.start(environment | {"PQBUDGET_APP": f"service-{number}"}))
            for number in range(SERVICES)
        ]
        for service in services:
            expect(f"what it says first ({service.complaint()})", "ready", service.line())
        for service in services:
            service.process.stdin.close()
        yield services


def crowd(source, environment, look):
    """What all services together said, and how often. Looks on while they run."""
    said = collections.Counter()
    with begun(Node("scene", source, ""), environment) as services:
        for service in services:
            wait_until("it ends", lambda: look() or not service.lives(), pause=0.1)
            said.update(service.rest().splitlines())
            expect(f"exit status ({service.complaint()})", 0, service.status())
    return said


class Holders:
    """Looks whether the status shows them all."""

    def __init__(self, console, ledger):
        self.console = console
        self.ledger = ledger
        self.most = 0

    def look(self):
        before = self.backends()
        claims = {claim["backend_pid"] for claim in self.ledger.server()["claims"]}
        there = before & self.backends()
        expect("backends that the status does not show", set(), there - claims)
        self.most = max(self.most, len(there))

    def backends(self):
        """Those that have been asked something: their clients know that they are connected."""
        return {
            int(pid)
            for (pid,) in self.console.ask(
                "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND query <> ''"
                " AND application_name NOT LIKE 'observer %'"
            )
        }


def scene(console, source):
    """As it is without us, and with us. Returns what there was to see."""
    with Ledger(LIMIT) as ledger:
        with Sampler(console) as sampler:
            without = crowd(source, ledger.environment(PQBUDGET="off"), lambda: None)
            nameless = sampler.stop().nameless
        failed = sum(without.values()) - without["served"]
        full = sum(times for line, times in without.items() if "too many clients already" in line)
        if not full or full < failed or not nameless:
            raise Wrong(f"without us: {without}, {nameless} had no name: nothing to prove here")

        ledger.tool("set", "--new", "--server", SERVER, "--limit", str(LIMIT), "--reserve", "0")
        holders = Holders(console, ledger)
        with Sampler(console) as sampler:
            said = crowd(source, ledger.environment(PQBUDGET_WAIT="30s"), holders.look)
            seen = sampler.stop()
        expect("what they say", {"served": QUERIES}, dict(said))
        expect("the most connections at once", LIMIT, seen.most)
        expect("connections without a name", 0, seen.nameless)
        ledger.empties()
        server = ledger.server()
        expect("the ledger's peak", LIMIT, server["peak"])
        expect("refused", 0, server["timeout_total"] + server["refused_total"])
        # The first of a service's claims makes it known.
        expect("services", {f"service-{n}" for n in range(SERVICES)}, {app["app"] for app in server["apps"]})
    return (
        f"{QUERIES} queries, none failed ({failed} without us), at most {seen.most} connections,"
        f" up to {holders.most} of them seen in the status"
    )
