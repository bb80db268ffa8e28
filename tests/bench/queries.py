"""pgbench by every way to the server: speed, processor time, latency. Rows for report.py.

    python3 queries.py PGBENCH      beside scripts/with-postgres, whose server has room for 120 connections

Rounds are short, and every round takes the ways in another order: what else the machine does then falls on all of them.
What is compared is compared within the round.
"""
import glob
import os
import re
import subprocess
import sys

import figures
import ways
from figures import QUICK, fail, row, say
from ways import DIRECT, OURS, TRANSACTION, WAYS, YIELDING

PGBENCH = sys.argv[1]
# Seconds of a round. A backend's first query is slow, and PgBouncer's are old: the more of them, the longer.
ROUND_S = {1: 0.12, 8: 0.25, 50: 0.6} if QUICK else {1: 0.2, 8: 0.5, 50: 1.5}
ROUNDS = {1: 2, 8: 2, 50: 2} if QUICK else {1: 14, 8: 10, 50: 4}
OFTEN = 4 # times as many, where a bar hangs on a hundredth
BLOCKS = 2 if QUICK else 10 # of rounds: over so many together the processor's time is precise
LOGS = os.path.join(os.environ["PQB_BENCH_DIR"], "log")


class Run:
    """What one start of pgbench came to; it has been waited for."""

    def __init__(self, way, command, environment):
        process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, text=True)
        output = process.stdout.read()
        process.stdout.close()
        _, process.returncode, usage = os.wait4(process.pid, 0)
        speed = re.search(r"^tps = ([0-9.]+)", output, re.M)
        done = re.search(r"^number of transactions actually processed: (\d+)", output, re.M)
        if process.returncode or not speed or not done:
            fail("pgbench failed, %s: %s\n%s" % (way, " ".join(command), output))
        self.speed, self.done = float(speed[1]), int(done[1])
        self.parts = {"pgbench": usage.ru_utime + usage.ru_stime}


class Work:
    """One kind of work, by some of the ways; `often` are those whose ratio to the direct one has a bar."""

    def __init__(self, name, options, clients, road="TCP", taken=(*WAYS,), often=()):
        self.name, self.clients, self.road, self.taken, self.often = name, clients, road, taken, often
        self.options = [*options, "-c", str(clients), "-j", "2" if clients > 1 else "1"]
        self.size = dict.fromkeys(taken, 20) # transactions of each client in a round
        self.beginning = {}
        self.runs = {way: [] for way in taken}
        self.shares = {way: [] for way in taken} # of a direct client's speed in the same round

    def run(self, way, size=None):
        """Of so many transactions of each client, else as many as fill a round."""
        host, port, database = (bouncer.server(way, self.road) if way in ways.POOLED else
                                ways.direct_server(self.road))
        command = [PGBENCH, "-n", *self.options, "-t", str(size or self.size[way]), "-h", host, "-p", port, database]
        before = server.processor(), ways.ran(bouncer.process.pid)
        run = Run(way, command, environments[way])
        self.there = server.settle(self.there)
        run.parts["PostgreSQL"] = server.processor() - before[0]
        if way in ways.POOLED:
            run.parts["PgBouncer"] = ways.ran(bouncer.process.pid) - before[1]
        if not size:
            self.size[way] = int(run.speed * ROUND_S[self.clients] / self.clients) + 5
        return run

    def warm_up(self):
        """PgBouncer has its connections then, and a round its length."""
        self.there = server.children()
        for _ in range(2):
            for way in self.taken:
                self.run(way)

    def weigh_beginning(self):
        """What clients and backends cost before their second query; PgBouncer's backends are there already. No part
        of the cost of a query."""
        runs = [{way: self.run(way, size=1) for way in self.taken} for _ in range(ROUNDS[8])]
        for way in self.taken:
            self.beginning[way] = {part: sum(run[way].parts[part] for run in runs) / len(runs)
                                   for part in runs[0][way].parts}

    def measure(self):
        self.warm_up()
        ways.check_budget(environments)
        if "-C" not in self.options:
            self.weigh_beginning()
        times = OFTEN if self.often else 1
        for i in range(ROUNDS[self.clients] * times):
            taken = (DIRECT, *self.often) if i % times else self.taken
            now = {way: self.run(way) for way in ways.turned(taken, i)}
            for way, run in now.items():
                self.runs[way].append(run)
                self.shares[way].append(run.speed / now[DIRECT].speed)

    def show(self):
        cells = []
        for way in self.taken:
            cells.append(figures.spread(way, [run.speed for run in self.runs[way]], "/s"))
            if way != DIRECT:
                cells.append(figures.spread(way + " ÷ direct", self.shares[way], "×"))
        row("queries", self.name, cells)
        self.show_processor(self.name, ("pgbench", "PostgreSQL", "PgBouncer"))

    def show_processor(self, name, parts):
        row("processor", name, [figures.spread(way, self.processor(way, parts), "µs") for way in self.taken
                                if parts != ("PgBouncer",) or way in ways.POOLED])

    def processor(self, way, parts):
        """µs of a transaction, of each block of rounds."""
        runs, beginning = self.runs[way], self.beginning.get(way, {})
        first = self.clients if beginning else 0 # transactions that are a part of the beginning
        blocks = [runs[i::BLOCKS] for i in range(min(BLOCKS, len(runs)))]
        return [1e6 * sum(run.parts.get(part, 0) - beginning.get(part, 0) for run in block for part in parts) /
                sum(run.done - first for run in block) for block in blocks]

    def measure_latency(self):
        """Of every transaction; pgbench writes them down, so not in the same rounds as its speed."""
        self.warm_up()
        self.options += ["-l", "--log-prefix", LOGS]
        took = {way: [] for way in self.taken}
        for i in range(max(ROUNDS[self.clients] // 2, 1)):
            for way in ways.turned(self.taken, i):
                self.run(way)
                for path in glob.glob(LOGS + ".*"):
                    with open(path, encoding="ascii") as file:
                        took[way].extend(int(line.split()[2]) for line in file)
                    os.unlink(path)
        row("latency", self.name, [figures.delay(way, took[way], "µs") for way in self.taken])


def select(mode, clients, **more):
    return Work("`-S -M %s`, %d client%s" % (mode, clients, "s"[:clients > 1]), ["-S", "-M", mode], clients, **more)


def works():
    # PgBouncer 1.18 does not follow prepared statements from one of its connections to another.
    can_prepare = [way for way in (*WAYS, YIELDING) if way != TRANSACTION]
    for clients in (1, 8):
        yield select("prepared", clients, taken=can_prepare, often=(OURS, YIELDING))
    yield select("prepared", 50, taken=can_prepare[:-1])
    for clients in (1, 8, 50):
        yield select("simple", clients)
    yield Work("TPC-B, 8 clients", [], 8)
    for road in ("Unix socket", "TCP"):
        yield Work("`-S -C`, " + road, ["-S", "-C"], 1, road, often=(OURS,))


def main():
    if subprocess.run([PGBENCH, "-i", "-q", "-s", "8"], capture_output=True, check=False).returncode:
        fail("pgbench cannot make its tables")
    for work in works():
        say("queries: " + work.name.replace("`", ""))
        work.measure()
        work.show()
        if work.name == "`-S -M simple`, 8 clients":
            for part in ("pgbench", "PostgreSQL", "PgBouncer"):
                work.show_processor("%s: %s" % (work.name, part), (part,))
    for work in (select("simple", clients) for clients in (1, 8, 50)):
        say("latency: " + work.name.replace("`", ""))
        work.measure_latency()


bouncer = ways.Bouncer(session=50, transaction=20)
environments = ways.environments(limit=60)
server = ways.Server()
main()
