"""A monorepo in development: many services in node, each with a pool, and hot reloads that leave pools behind."""

import json
import os

from bench import HERE, SERVER, Ledger, Program, Wrong, expect
from rows import Node
from storm import Sampler

SERVICES = 23
QUERIES = SERVICES * 5 * 4  # pools of 5, opened four times (scene.js)
LIMIT = 90  # of the server's 100


def crowd(environment):
    """The codes of what failed, and how often, when all services have run."""
    node = Node("scene", "scene.js", "")
    node.build()
    environment |= {"NODE_PATH": os.path.abspath(node.modules)}
    services = [
        Program(node.argv, environment | {"PQBUDGET_APP": f"service-{number}"}) for number in range(SERVICES)
    ]
    codes = {}
    try:
        for service in services:
            said = service.rest()
            expect(f"exit status ({service.complaint()})", 0, service.status())
            for code, times in json.loads(said).items():
                codes[code] = codes.get(code, 0) + times
    finally:
        for service in services:
            service.__exit__()
    return codes


def scene(console):
    """As it is without us, and with us. Returns what there was to see."""
    with Ledger(LIMIT) as ledger:
        with Sampler(console) as sampler:
            without = crowd(ledger.environment(PQBUDGET="off"))
            nameless = sampler.stop().nameless
        if not without.get("53300") or not nameless:
            raise Wrong(f"without us failed {without}, and {nameless} had no name: nothing to prove here")

        with Sampler(console) as sampler:
            ledger.tool("set", "--new", "--server", SERVER, "--limit", str(LIMIT), "--reserve", "0")
            expect("what fails", {}, crowd(ledger.environment(PQBUDGET_WAIT="30s")))
            seen = sampler.stop()
        expect("the most connections at once", LIMIT, seen.most)
        expect("connections without a name", 0, seen.nameless)
        ledger.empties()
        server = ledger.server()
        expect("the ledger's peak", LIMIT, server["peak"])
        expect("refused", 0, server["timeout_total"] + server["refused_total"])
        # The first of a service's claims makes it known.
        expect("services", {f"service-{n}" for n in range(SERVICES)}, {app["app"] for app in server["apps"]})
    return f"{QUERIES} queries, none failed ({sum(without.values())} without us), at most {seen.most} connections"
