"""The members of the fleet: programs under the preload, started, heard, struck and buried."""

import ctypes
import glob
import os
import random
import re
import select
import signal
import subprocess
import tempfile
import time

from kinds import KINDS, drawn_steps
from ledger import BUILD, LIMIT, RESERVE
from server import DEFAULT_DIR, PORT, ROLE
from words import EXPECTED, GAVE_WAY, NOTICE, OURS, THEIRS, UNUSABLE

LIBRARY = os.path.join(BUILD, "libpqbudget.so")
CLOCK = os.path.join(BUILD, "chaos", "clock.so")
MODULES = os.path.abspath("build/clients/node_modules")
libc = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1

# What a member does takes 20 s at most, if nobody troubles it and nothing is to be had.
HANGS = 90


class Member:
    def __init__(self, number, kind, argv, environment):
        self.kind = kind
        self.yields = "PQBUDGET_YIELD" in environment
        self.buffer, self.ended = b"", False
        self.said = []
        self.errors = tempfile.TemporaryFile()
        self.began = time.time()
        self.process = subprocess.Popen(
            argv, env=environment, start_new_session=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=self.errors, preexec_fn=lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL),
        )
        self.pid = self.process.pid
        os.set_blocking(self.process.stdout.fileno(), False)
        self.story = f"member {number} ({kind.name}, pid {self.pid})"

    def lines(self):
        """Those that are new. Its family has ended when nobody can say anything any more."""
        got = self.process.stdout.read()
        if got == b"":
            self.ended = True
        self.buffer += got or b""
        *lines, self.buffer = self.buffer.split(b"\n")
        return [line.decode(errors="replace") for line in lines]

    def complaints(self):
        self.errors.seek(0)
        text = self.errors.read().decode(errors="replace")
        self.errors.close()
        return text


class Fleet:
    """Keeps as many at sea as it is told to."""

    def __init__(self, journal, judge, ledger, seed, is_island):
        self.journal, self.judge = journal, judge
        self.draw = random.Random(f"fleet {seed}")
        self.size = 0
        self.members = {}  # by the descriptor that it speaks through
        self.poll = select.poll()
        self.counts = {kind.name: 0 for kind in KINDS}  # connections opened
        self.tally = dict.fromkeys(["members", "connections opened", "refused by pqbudget", "refused by the server",
                                    "failed to connect", "connections lost", "forks", "execs", "without a ledger"], 0)
        self.stopped = {}  # until when, by pid
        self.moved = time.time()  # when the last of them went on
        self.gate = os.path.join(journal.folder, "gate")
        self.clock = os.path.join(journal.folder, "clock")
        self.shut(False)
        with open(self.clock, "wb") as file:
            file.write(bytes(8))
        self.hosts = ["127.0.0.1", "127.0.0.1", DEFAULT_DIR] if is_island else ["127.0.0.1"]
        kept = {name: value for name, value in os.environ.items()
                if not name.startswith(("PQB", "PG")) and name not in ("LD_PRELOAD", "DATABASE_URL")}
        self.environment = kept | {
            "LC_ALL": "C.UTF-8", "PQBUDGET_LEDGER": ledger.name, "PQBUDGET_LIMIT": str(LIMIT),
            "PQBUDGET_RESERVE": str(RESERVE), "PQBUDGET_PORTS": PORT, "PGPORT": PORT, "PGUSER": ROLE,
            "PGDATABASE": "postgres", "FLEET_GATE": self.gate, "FLEET_CLOCK": self.clock, "NODE_PATH": MODULES,
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        self.number = 0
        journal.witnesses["fleet"] = self.describe

    # ---- starting ----

    def drawn_environment(self):
        draw = self.draw
        more = {"PGHOST": draw.choice(self.hosts), "PQBUDGET_WAIT": draw.choice(["4s"] * 6 + ["500ms", "8s"]),
                "PQBUDGET_FAIL": draw.choice(["open", "open", "closed"]), "LD_PRELOAD": LIBRARY}
        if draw.random() < 0.5:
            more["PQBUDGET_YIELD"] = draw.choice(["50ms", "200ms", "1s"])
        if draw.random() < 0.5:
            more["LD_PRELOAD"] = draw.choice([f"{CLOCK} {LIBRARY}", f"{LIBRARY} {CLOCK}"])
        return more

    def start(self, kind, doing, **peculiar):
        more = self.drawn_environment() | {"PQBUDGET_APP": kind.name} | peculiar
        self.number += 1
        member = Member(self.number, kind, kind.argv(doing), self.environment | more)
        where = member.process.stdout.fileno()
        self.members[where] = member
        self.poll.register(where, select.POLLIN)
        self.tally["members"] += 1
        short = " ".join(f"{name.removeprefix('PQBUDGET_')}={os.path.basename(value)}" for name, value in more.items())
        self.journal.note(f"{member.story} starts: {' '.join(doing)}; {short}")
        return member

    def launch(self):
        """One more, if there is room for it."""
        if len(self.members) < self.size:
            kind = self.draw.choices(KINDS, [kind.weight for kind in KINDS])[0]
            self.start(kind, drawn_steps(self.draw, kind))

    # ---- hearing ----

    def tick(self, seconds):
        """Hears what they say for so long; continues whom it is time for."""
        for where, _ in self.poll.poll(seconds * 1000):
            member = self.members[where]
            for line in member.lines():
                self.hear(member, line)
            if member.ended:
                self.poll.unregister(where)
                del self.members[where]
                member.process.stdout.close()
                self.bury(member)
        for pid, until in list(self.stopped.items()):
            if time.time() > until:
                self.go_on(pid)
        for member in self.members.values():
            if time.time() - member.began > HANGS:
                self.journal.find(f"hangs: {member.story} is still there after {HANGS} s")
                member.began = float("inf")

    def hear(self, member, line):
        member.said.append(line)
        word, _, rest = line.partition(" ")
        if word == "open":
            self.counts[member.kind.name] += 1
            self.tally["connections opened"] += 1
        elif word in ("fork", "exec"):
            self.tally[word + "s"] += 1
        elif word in ("failed", "lost"):
            self.journal.note(f"{member.story}: {line}")
            self.weigh(member, word, rest)
        elif "pqbudget" in line:
            self.journal.find(f"strange: {member.story} says on stdout: {line}")

    def weigh(self, member, word, text):
        """Why it has no connection, or none any more."""
        if OURS.search(text):
            self.tally["refused by pqbudget"] += 1
        elif UNUSABLE.search(text):
            self.weigh_unusable(member, text)
        elif THEIRS.search(text):  # the server's log tells whether it should have
            self.tally["refused by the server"] += 1
        else:
            self.tally["failed to connect" if word == "failed" else "connections lost"] += 1
            if not EXPECTED.search(text) or (GAVE_WAY.search(text) and not member.yields):
                self.journal.find(f"strange: {member.story}: {word} {text}")

    def weigh_unusable(self, member, text):
        self.tally["without a ledger"] += 1
        if not self.judge.is_excused(member.began, time.time()):
            self.journal.find(f"strange: {member.story} finds no ledger: {text}")

    def bury(self, member):
        status = member.process.wait()
        text = member.complaints()
        self.journal.note(f"{member.story} ended: {status}" + (f": {text.strip()!r}" if text else ""))
        if status < 0 and status != -signal.SIGKILL:
            self.journal.find(f"crash: {member.story} died of {signal.Signals(-status).name}: {text[-2000:]!r}")
        self.count_quiet(member)
        if not text:
            return
        if UNUSABLE.search(text):
            self.weigh_unusable(member, text)
        rest = "\n".join(line for line in text.splitlines()
                         if not UNUSABLE.search(line) and not NOTICE.match(line))
        if rest and member.kind.name.startswith(("psql", "pgbench")):
            if "error" in rest or "FATAL" in rest:
                self.weigh(member, "failed", text)
        elif rest:
            self.journal.find(f"strange: {member.story} complains: {rest[-2000:]!r}")

    def count_quiet(self, member):
        """pgbench tells afterwards what it did."""
        for line in member.said:
            found = re.match(r"number of (clients|transactions actually processed): (\d+)", line)
            if found and (found[1] == "clients") == (member.kind.name == "pgbench"):
                self.counts[member.kind.name] += int(found[2])
                self.tally["connections opened"] += int(found[2])

    # ---- striking ----

    def families(self):
        """The processes of each member, by its pid: those of its session."""
        processes = {}
        for path in glob.glob("/proc/[0-9]*/stat"):
            try:
                with open(path, encoding="utf-8", errors="replace") as file:
                    pid, rest = file.read().split(" ", 1)
            except OSError:
                continue
            fields = rest.rpartition(")")[2].split()
            if fields[0] not in "ZX":
                processes.setdefault(int(fields[3]), []).append(int(pid))
        return {member.pid: processes.get(member.pid, []) for member in self.members.values()}

    def has(self, pid):
        """Whether it is one of them, or has left a child of its family behind."""
        families = self.families()
        return any(pid in family or (pid == leader and family) for leader, family in families.items())

    def somebody(self, draw):
        """The pid of one of them."""
        pids = sorted(pid for family in self.families().values() for pid in family)
        return draw.choice(pids) if pids else None

    def kill(self, pid):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.stopped.pop(pid, None)

    def stop(self, pid, seconds):
        try:
            os.kill(pid, signal.SIGSTOP)
            self.stopped[pid] = time.time() + seconds
        except ProcessLookupError:
            pass

    def go_on(self, pid):
        del self.stopped[pid]
        self.moved = time.time()
        try:
            os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            pass

    def all_go_on(self):
        for pid in list(self.stopped):
            self.go_on(pid)

    def nobody_stands_still(self):
        return not self.stopped and time.time() - self.moved > 0.5

    def shut(self, is_shut):
        """The gate: while it is shut, who comes to rest goes on resting."""
        if is_shut:
            with open(self.gate, "w", encoding="ascii"):
                pass
        elif os.path.exists(self.gate):
            os.remove(self.gate)

    def describe(self):
        """Where everybody is, for somebody who looks into a finding."""
        told = []
        for member in self.members.values():
            told.append(f"{member.story}, for {time.time() - member.began:.1f} s: {member.said}")
            for pid in self.families().get(member.pid, []):
                for what in ("cmdline", "wchan", "syscall", "stack", "status"):
                    try:
                        with open(f"/proc/{pid}/{what}", encoding="utf-8", errors="replace") as file:
                            told.append(f"  {pid} {what}: " + file.read().replace("\0", " ").strip())
                    except OSError:
                        pass
        return "\n".join(told)

    def end(self):
        for family in self.families().values():
            for pid in family:
                self.kill(pid)
