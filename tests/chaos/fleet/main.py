"""The chaos of a fleet: real clients in trouble, under the preload, beside a PostgreSQL with no connection to spare.

    main.py --duration SECONDS --seed SEED --keep FOLDER        (scripts/chaos starts it)

In rounds. In each the fleet is at sea for a while and everything strikes it (troubles.py) while the judge looks
(judge.py). Then the troubles end, and at rest the ledger is compared with the server: while connections are held, when
everybody has gone, and while the whole limit is held. What is drawn comes from the seed; the scheduler's part does not.
"""

import argparse
import os
import signal
import subprocess
import sys
import time

from journal import Journal
from judge import Judge
from ledger import LIMIT, Ledger
from members import KINDS, Fleet
from server import DEFAULT_DIR, DIR, Server
from troubles import Troubles

SIZE = 22  # of the fleet
ROUND = 22  # seconds at sea
ENOUGH = 60  # a condition that has not come by then never will
LOGIN = 10  # seconds: no login takes as long
LOOK = 0.2  # the ledger is looked at as often


# What a finding begins with tells which of them it breaks.
PROMISES = {"never over": ["over"], "never lost": ["lost"], "never stuck": ["stuck", "hangs"],
            "nobody crashes": ["crash"], "nobody says what nobody expects": ["strange"]}


class Over(Exception):
    """Somebody wants us to end."""


class Run:
    def __init__(self, seed, folder):
        self.is_island = "PQB_ISLAND" in os.environ
        self.journal = Journal(folder, seed)
        self.server = Server(self.journal)
        self.ledger = Ledger(self.journal)
        self.judge = Judge(self.journal, self.ledger)
        if self.is_island:
            os.makedirs(DEFAULT_DIR, exist_ok=True)
            subprocess.run(["mount", "--bind", DIR, DEFAULT_DIR], check=True)
        self.fleet = Fleet(self.journal, self.judge, self.ledger, seed, self.is_island)
        self.troubles = Troubles(seed, self.journal, self.judge, self.fleet, self.server, self.ledger, self.is_island)
        self.last_look = 0
        self.orphans = 0  # of those that died by a signal, so many have been told
        self.rounds = 0
        self.wholes = 0
        self.compared = self.deaf = self.now_deaf = 0

    # ---- always ----

    def tick(self):
        self.fleet.tick(0.01)
        self.server.restarts()
        now = time.time()
        if now - self.last_look > LOOK:
            self.last_look = now
            self.judge.watch(self.judge.look(), self.fleet.nobody_stands_still())
            self.judge.hear(self.server)
            self.judge.settle(self.server)
            self.hear_of_orphans()

    def hear_of_orphans(self):
        """Deaths of which no parent tells. The server ends its processes by SIGQUIT and SIGTERM; what a member had
        started (Python's ctypes: ldconfig) dies of SIGPIPE when it tells one who was killed."""
        if self.is_island:
            with open(os.environ["PQB_ISLAND"], encoding="ascii") as file:
                deaths = file.read().splitlines()
            for death in deaths[self.orphans :]:
                if death.split()[1] not in ("SIGQUIT", "SIGTERM", "SIGPIPE"):
                    self.journal.find(f"crash: an orphan died: {death}")
            self.orphans = len(deaths)

    def comes(self, what, condition):
        """Goes on until it holds; a finding if it never does."""
        end = time.time() + ENOUGH
        while not condition():
            if time.time() > end:
                self.journal.find(what if isinstance(what, str) else what())
                return False
            self.tick()
        return True

    # ---- a round ----

    def at_sea(self, seconds):
        self.fleet.size = SIZE
        self.troubles.begin(seconds)
        end = time.time() + seconds
        while time.time() < end and not self.journal.has_enough():
            self.fleet.launch()
            self.troubles.tick()
            self.tick()

    def they_agree(self):
        """Whether the backends of the ledger are those of the server. What drains is in both until it has gone. Who
        rests does not hear that the server has ended his connection (a restart, a termination), and holds it until he
        looks, or ends: in the ledger only, by a process that is there. So does pg8000 with one whose login the server
        has refused: it raises the error, and forgets the socket."""
        seen = self.server.backends()
        if seen is None:
            return False
        theirs = {backend.pid for backend in seen[0]}
        claims = [claim for claim in self.ledger.server()["claims"] if claim["state"] != "waiting"]
        forgotten = [claim for claim in claims if claim["state"] == "connecting" and claim["app"] == "pg8000"
                     and claim["age_s"] > LOGIN and self.fleet.has(claim["pid"])]
        claims = [claim for claim in claims if claim not in forgotten]
        ours = {claim["backend_pid"] for claim in claims}
        deaf = {claim["backend_pid"] for claim in claims
                if claim["state"] == "open" and self.fleet.has(claim["pid"])} - theirs - {None}
        self.now_deaf = len(deaf) + len(forgotten)
        self.seen = (f"the ledger has the backends {sorted(map(str, ours))}, the server {sorted(theirs)},"
                     f" ended by the server, and not heard of, {sorted(deaf)}")
        return len(ours) == len(claims) and ours - deaf == theirs

    def agree(self, when):
        self.seen = "no server"
        self.comes(lambda: f"lost: {when} {self.seen}", self.they_agree)
        self.journal.note(f"{when}: {self.seen}")
        self.compared += 1
        self.deaf += self.now_deaf

    def calm(self):
        """The troubles' end."""
        self.fleet.size = 0
        self.fleet.shut(True)
        self.troubles.end()
        self.comes("stuck: the server does not come back", self.server.is_up)
        self.comes("stuck: the tool's commands do not end", lambda: not self.ledger.orders_go_on())
        self.comes("stuck: the ledger can't be configured",
                   lambda: not self.troubles.to_configure or self.troubles.end_what_is_over(time.time()))
        self.judge.hurry()
        self.comes("lost: what a reset left behind does not go",
                   lambda: all(excuse.until < time.time() for excuse in self.judge.excuses))

    def rest(self):
        self.calm()
        self.agree("at rest")
        if self.rounds % 2:
            self.fleet.end()  # all at once, with all that they hold
        self.fleet.shut(False)
        self.comes("hangs: members do not end", lambda: not self.fleet.members)
        self.fleet.end()
        self.comes("lost: all have gone, and the ledger still counts",
                   lambda: self.they_agree() and not self.ledger.server()["claims"])

    def whole(self):
        """The whole limit can be had at once, by all kinds, and one more has to wait until one of them ends."""
        self.fleet.shut(True)
        kinds = [kind for kind in KINDS if not kind.name.startswith(("psql", "pgbench", "prisma"))]
        for number in range(LIMIT):
            kind = kinds[(self.wholes + number) % len(kinds)]
            self.fleet.start(kind, ["open", "hold:1"], PQBUDGET_WAIT="60s")
        self.wholes += 1
        self.comes(f"lost: the limit of {LIMIT} can't be had at once",
                   lambda: len((self.server.backends() or [[]])[0]) == LIMIT)
        self.agree("when the whole limit is held")
        one_more = self.fleet.start(kinds[0], ["open", "close"], PQBUDGET_WAIT="60s")
        self.comes("lost: one more does not wait", lambda: self.ledger.server()["waiting"] == 1)
        if "open" in one_more.said:
            self.journal.find("over: one more was let in")
        self.fleet.kill(min(member.pid for member in self.fleet.members.values() if member is not one_more))
        self.comes("stuck: one has died, and who waits is not let in", lambda: "open" in one_more.said)
        self.fleet.shut(False)
        self.comes("hangs: members do not end", lambda: not self.fleet.members)
        self.comes("lost: all have gone, and the ledger still counts",
                   lambda: self.they_agree() and not self.ledger.server()["claims"])

    def run(self, seconds):
        self.ledger.configure()
        self.judge.sampler.start()
        end = time.time() + seconds
        while time.time() < end and not self.journal.has_enough():
            self.rounds += 1
            self.journal.note(f"round {self.rounds}")
            self.at_sea(min(ROUND, max(8, end - time.time())))
            self.rest()
            if not self.journal.has_enough():
                self.whole()
            print(f"  round {self.rounds}, {self.journal.age():.0f} s: {self.judge.samples} samples,"
                  f" {sum(self.fleet.counts.values())} connections, {len(self.journal.findings)} findings", flush=True)

    def close(self):
        self.judge.is_done.set()
        self.fleet.end()
        self.server.stop()
        self.ledger.remove()

    # ---- the end ----

    def report(self, seconds):
        def row(name, value):
            print(f"  {name:28} {value}")

        judge = self.judge
        row("time", f"{seconds:.0f} s, {self.rounds} rounds, seed {self.journal.seed}")
        for name, count in {**self.troubles.struck, **self.fleet.tally, **judge.totals}.items():
            row(name, count)
        for name, count in self.fleet.counts.items():
            row(f"opened by {name}", count)
        row("samples", f"{judge.samples}, {judge.samples / seconds:.0f}/s; no server answered {judge.unanswered} times")
        row("compared at rest", f"{self.compared}; held by who had not heard of its end: {self.deaf}")
        row("most connections", f"{judge.peak} of {LIMIT}; above the bound and excused in {judge.excused} samples")
        failed = 0
        for promise, kinds in PROMISES.items():
            broken = [finding for finding in self.journal.findings if finding.partition(":")[0] in kinds]
            failed += bool(broken)
            print(f"  {'FAIL' if broken else 'ok  '}  {promise}")
            for finding in broken:
                print(f"        {finding}")
        if self.journal.findings:
            print(f"        what there was to be seen is in {self.journal.folder}")
        print(f"{len(PROMISES) - failed} passed, {failed} failed", flush=True)


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--duration", type=float, required=True)
    options.add_argument("--seed", required=True)
    options.add_argument("--keep", required=True)
    options = options.parse_args()

    def over(*_):
        for number in signals:
            signal.signal(number, signal.SIG_IGN)
        raise Over

    signals = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
    for number in signals:
        signal.signal(number, over)
    run = Run(options.seed, os.path.abspath(options.keep))
    status = 1
    try:
        run.run(options.duration)
        status = int(bool(run.journal.findings))
    except Over:
        print("chaos: ended before its time", flush=True)
        status = 143
    finally:
        run.close()
        run.report(run.journal.age())
    sys.exit(status)


if __name__ == "__main__":
    main()
