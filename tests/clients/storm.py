"""pgbench in a hurry: more clients than the limit, each transaction on a connection of its own."""

import os
import re
import typing

from bench import HERE, SERVER, Console, Ledger, Program, Wrong, expect, wait_until

LIMIT = 5
TRANSACTIONS = 10
SCRIPT = os.path.join(HERE, "storm.sql")


class Seen(typing.NamedTuple):
    most: int  # connections at once
    nameless: int  # at once, without an application_name
    samples: int  # how often it looked


class Sampler:
    """Watches the server as sampler.sql does."""

    def __init__(self, console):
        self.console = console
        self.sampler = Console("sampler")
        with open(os.path.join(HERE, "sampler.sql"), encoding="ascii") as file:
            self.sql = file.read()

    def __enter__(self):
        self.console.ask("SELECT pg_advisory_lock(1)")
        self.sampler.begin(self.sql)
        return self

    def __exit__(self, *_):
        self.sampler.close()
        self.console.ask("SELECT pg_advisory_unlock_all()")

    def stop(self):
        """What it saw."""
        self.console.ask("SELECT pg_advisory_unlock(1)")
        return Seen(*map(int, self.sampler.answer()[0]))


def storm(console, sizes):
    """Processes with so many clients in so many threads each. Returns what there was to see."""
    processes, clients, threads = sizes
    size = ["-c", str(clients), "-j", str(threads), "-t", str(TRANSACTIONS)]
    argv = ["pgbench", "-n", "-C", *size, "-f", SCRIPT]
    # A thread that waits in PQconnectdb does not serve its other clients, which hold what it waits for.
    completes = threads == clients
    wait = "inf" if completes else "300ms"
    with Ledger(LIMIT) as ledger, Sampler(console) as sampler:
        # All of them begin at once, however long it takes to start them.
        ledger.tool("set", "--new", "--server", SERVER, "--limit", str(LIMIT), "--reserve", "0")
        if completes:
            ledger.tool("pause", "--server", SERVER)
        crowd = [Program(argv, ledger.environment(PQBUDGET_WAIT=wait)) for _ in range(processes)]
        try:
            if completes:
                wait_until("all of them wait", lambda: ledger.server()["waiting"] == processes)
                ledger.tool("resume", "--server", SERVER)
            done = sum(transactions(program, completes) for program in crowd)
        finally:
            for program in crowd:
                program.__exit__()
        seen = sampler.stop()
        expect("the most connections at once", LIMIT, seen.most)
        ledger.empties()
        server = ledger.server()
        expect("the ledger's peak", LIMIT, server["peak"])
        refused = server["timeout_total"] + server["refused_total"]
        if completes:
            expect("refused", 0, refused)
            expect("transactions", processes * clients * TRANSACTIONS, done)
        elif refused < clients - LIMIT or not done:
            raise Wrong(f"{refused} clients refused, {done} transactions")
    return f"{done} transactions, {refused} refused, at most {seen.most} connections in {seen.samples} looks"


def transactions(program, completes):
    """How many it did. It succeeds, or ends in our words and no others."""
    said = program.rest()
    told = program.complaint()
    expect(f"exit status ({told})", 0 if completes else 2, program.status())
    if not completes:
        libpq = [line for line in told.splitlines() if "connection to server" in line]
        strange = [line for line in libpq if "FATAL:  sorry, too many clients already" not in line]
        expect("other failures", [], strange)
    found = re.search(r"transactions actually processed: (\d+)", said)
    if not found:
        raise Wrong(f"it says nothing of what it did: {said!r}")
    return int(found[1])


# Processes, clients of each, threads of each.
STORMS = {
    "pgbench, 8 threads": (1, 8, 8),
    "pgbench, 50 threads": (1, 50, 50),
    "pgbench, 8 processes": (8, 1, 1),
    "pgbench, 50 processes": (50, 1, 1),
    "pgbench, 8 in 1 thread": (1, 8, 1),
}
