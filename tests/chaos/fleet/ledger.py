"""The ledger, through the tool alone: who is in it, and steering it."""

import glob
import json
import os
import subprocess

from server import PORT

BUILD = os.environ["PQB_TEST_BUILD"]
TOOL = os.path.join(BUILD, "pqbudget")
KEY = f"localhost:{PORT}"

# The limit that the server's max_connections is made for, and one of them for who has nothing.
LIMIT, RESERVE = 10, 1

# How long the backend of a login counts whose client has gone. It has to outlive the server's own idea of it, which
# ends when the end of file comes: at once, but in a cut of C seconds after 2 × C + 0.4 (TCP doubles its pauses), or
# when it is healed (troubles.py).
DRAIN = 4

NOBODY = {"limit": LIMIT, "used": 0, "waiting": 0, "draining": 0, "granted_total": 0, "paused": False, "claims": [],
          "yielded_total": 0, "refused_total": 0, "timeout_total": 0, "reaped_total": 0, "peak": 0}


class Ledger:
    def __init__(self, journal):
        self.journal = journal
        self.name = f"test.{os.getpid()}.1"
        self.path = f"/dev/shm/pqbudget.{os.geteuid()}.{self.name}"
        self.orders = []  # that go on: the process, what it is
        journal.witnesses["status.json"] = lambda: self.run("status", "--json").stdout
        journal.witnesses["events.json"] = lambda: self.run("events", "--json").stdout

    def command(self, *words):
        return [TOOL, *words, "--ledger", self.name]

    def run(self, *words):
        return subprocess.run(self.command(*words), capture_output=True, text=True, timeout=60)

    def server(self):
        """Our server in `pqbudget status --json`; one without anybody if there is none, or no ledger."""
        told = self.run("status", "--json")
        if told.returncode:
            return dict(NOBODY)
        servers = json.loads(told.stdout)["servers"]
        strange = [server["server"] for server in servers if server["server"] != KEY]
        if strange:
            self.journal.find(f"strange: the ledger knows other servers: {strange}")
        return next((server for server in servers if server["server"] == KEY), dict(NOBODY))

    def order(self, *words):
        """Begins a command; whoever is in the guard may be stopped, and nobody waits for him here."""
        process = subprocess.Popen(self.command(*words), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE, text=True)
        self.orders.append((process, words))

    def orders_go_on(self):
        """Whether commands of ours have not ended yet."""
        for process, words in list(self.orders):
            if process.poll() is not None:
                self.orders.remove((process, words))
                told = process.stderr.read().strip()
                process.stderr.close()
                if process.returncode:
                    self.journal.note(f"pqbudget {' '.join(words)}: exit status {process.returncode}: {told}")
        return bool(self.orders)

    def configure(self):
        """As the fleet's environment has it, and what that can't say. False if it did not come about."""
        done = self.run("set", "--new", "--server", KEY, "--limit", str(LIMIT), "--reserve", str(RESERVE),
                        "--drain", f"{DRAIN}s", "--slack", "0")
        if done.returncode:
            self.journal.note(f"configuring: exit status {done.returncode}: {done.stderr.strip()}")
        return not done.returncode

    def remove(self):
        for path in glob.glob(glob.escape(self.path) + "*"):
            subprocess.run(["rm", "-rf", path], check=False)
