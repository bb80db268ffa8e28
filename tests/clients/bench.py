"""The bench the matrix works at: a server to ask, ledgers to look into, programs to start and end."""

import ctypes
import glob
import itertools
import json
import os
import select
import signal
import subprocess
import tempfile
import time

# The current folder is the repository's, and the programs' names stay short.
HERE = "tests/clients"
MADE = "build/clients"
BUILD = os.environ["PQB_TEST_BUILD"]
LIBRARY = os.path.join(BUILD, "libpqbudget.so")
TOOL = os.path.join(BUILD, "pqbudget")

PORT = os.environ["PGPORT"]
TLS_PORT = os.environ["PQB_TLS_PORT"]  # of a second server, which has a certificate
SERVER = f"localhost:{PORT}"

# A condition that has not come by then never will; nothing here is about speed.
NEVER = 30

prctl = ctypes.CDLL(None, use_errno=True).prctl
PR_SET_PDEATHSIG = 1


class Wrong(Exception):
    """What was seen instead of what should have been."""


def expect(what, wanted, got):
    if wanted != got:
        raise Wrong(f"{what}: expected {wanted!r}, got {got!r}")


def wait_until(what, condition, pause=0.01):
    """Polls until the condition gives something true, and returns that."""
    end = time.monotonic() + NEVER
    while True:
        got = condition()
        if got:
            return got
        if time.monotonic() > end:
            raise Wrong(f"never happened: {what}")
        time.sleep(pause)


def plain():
    """The environment of a program that knows nothing of us."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("PQBUDGET") and name not in ("LD_PRELOAD", "npm_package_name")
    }
    return kept | {"LC_ALL": "C.UTF-8"}


def at(port):
    """The same, for the server there."""
    url = f"postgresql://{os.environ['PGUSER']}@127.0.0.1:{port}/{os.environ['PGDATABASE']}"
    return plain() | {"PGPORT": port, "DATABASE_URL": url}


def clear_up():
    """Ends and removes what is still there, wherever we were stopped."""
    for process in Program.running:
        process.kill()
        process.wait()
    for path in glob.glob(f"/dev/shm/pqbudget.{os.geteuid()}.test.{os.getpid()}.*"):
        subprocess.run(["rm", "-rf", path], check=False)


def with_us():
    """In a child, before it becomes the program: it dies with us, also when we are killed."""
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Program:
    """A program that runs, line by line. Leaving its `with` ends it, one way or the other."""

    running = set()

    def __init__(self, argv, environment):
        self.errors = tempfile.TemporaryFile()
        self.buffer = b""
        self.process = subprocess.Popen(
            argv, env=environment, preexec_fn=with_us, bufsize=0,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors,
        )
        self.pid = self.process.pid
        self.running.add(self.process)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()
        self.process.stdin.close()
        self.process.stdout.close()
        self.errors.close()

    def say(self, text):
        try:
            self.process.stdin.write(text.encode())
        except BrokenPipeError:
            raise Wrong(f"it has ended: {self.complaint()}") from None

    def more(self):
        """Takes what its stdout has; false at the end."""
        ready, _, _ = select.select([self.process.stdout], [], [], NEVER)
        if not ready:
            raise Wrong(f"it says nothing; stderr: {self.complaint()!r}")
        got = os.read(self.process.stdout.fileno(), 65536)
        self.buffer += got
        return got

    def line(self):
        """Its next line; None when there is none any more."""
        while b"\n" not in self.buffer:
            if not self.more():
                return None
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line.decode()

    def rest(self):
        """Everything it still says."""
        while self.more():
            pass
        rest, self.buffer = self.buffer, b""
        return rest.decode()

    def complaint(self):
        """Its stderr so far."""
        self.errors.seek(0)
        return self.errors.read().decode(errors="replace")

    def lives(self):
        return self.process.poll() is None

    def status(self):
        """Its exit status, when it ends."""
        try:
            return self.process.wait(NEVER)
        except subprocess.TimeoutExpired:
            raise Wrong(f"it does not end; stderr: {self.complaint()!r}") from None

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.running.discard(self.process)


class Console:
    """A psql of our own beside the clients, never under the preload, to ask the server."""

    END = "-- that was all --"

    def __init__(self, name, port=PORT):
        self.psql = Program([psql(), "-XAtq"], at(port) | {"PGAPPNAME": f"observer {name}"})

    def ask(self, sql):
        """The rows, each a list of texts."""
        self.begin(sql)
        return self.answer()

    def begin(self, sql):
        self.psql.say(f"{sql};\n\\echo '{self.END}'\n")

    def answer(self):
        rows = []
        while (line := self.psql.line()) != self.END:
            if line is None:
                raise Wrong(f"psql has ended: {self.psql.complaint()}")
            rows.append(line.split("|"))
        return rows

    def is_encrypted(self, pid):
        return self.ask(f"SELECT ssl FROM pg_stat_ssl WHERE pid = {int(pid)}") == [["t"]]

    def backend(self, pid):
        """What pg_stat_activity shows of it: database, user, application_name; None if it is not there."""
        rows = self.ask(
            "SELECT datname, usename, application_name FROM pg_stat_activity"
            f" WHERE backend_type = 'client backend' AND pid = {int(pid)}"
        )
        return rows[0] if rows else None

    def others(self, pid):
        """The clients' backends but for this one."""
        return self.ask(
            "SELECT pid, application_name FROM pg_stat_activity WHERE backend_type = 'client backend'"
            f" AND application_name NOT LIKE 'observer %' AND pid <> {int(pid)}"
        )

    def close(self):
        self.psql.__exit__()


def psql():
    """The program itself; Debian's /usr/bin/psql is a wrapper around it."""
    return os.path.join(bindir(), "psql")


def bindir():
    asked = subprocess.run(["pg_config", "--bindir"], check=True, capture_output=True, text=True)
    return asked.stdout.strip()


class Ledger:
    """A budget of one cell's own. Leaving its `with` removes it."""

    numbers = itertools.count()

    def __init__(self, limit, port=PORT):
        self.limit = limit
        self.port = port
        self.key = f"localhost:{port}"
        self.name = f"test.{os.getpid()}.{next(self.numbers)}"
        self.path = f"/dev/shm/pqbudget.{os.geteuid()}.{self.name}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for path in self.files():
            subprocess.run(["rm", "-rf", path], check=False)

    def files(self):
        return glob.glob(glob.escape(self.path) + "*")

    def environment(self, **more):
        """That of a client under this budget."""
        return at(self.port) | {
            "LD_PRELOAD": LIBRARY,
            "PQBUDGET_LEDGER": self.name,
            "PQBUDGET_LIMIT": str(self.limit),
            "PQBUDGET_RESERVE": "0",
            "PQBUDGET_PORTS": self.port,
        } | more

    def tool(self, *arguments):
        """What the tool says, which succeeds."""
        told = subprocess.run(
            [TOOL, *arguments, "--ledger", self.name],
            env=plain(), capture_output=True, text=True, timeout=NEVER,
        )
        expect(f"exit status of pqbudget {arguments} ({told.stderr.strip()})", 0, told.returncode)
        return told.stdout

    def server(self):
        """Our server in `pqbudget status --json`; an empty one if nobody has come yet."""
        nobody = {"server": self.key, "used": 0, "waiting": 0, "granted_total": 0, "claims": []}
        return next((server for server in self.servers() if server["server"] == self.key), nobody)

    def servers(self):
        """All that `pqbudget status --json` shows."""
        return json.loads(self.tool("status", "--json"))["servers"] if os.path.exists(self.path) else []

    def claims(self, pid):
        """Those of one process."""
        return [claim for claim in self.server()["claims"] if claim["pid"] == pid]

    def claim(self, pid, state):
        """The process's one claim, once it has this state."""

        def found():
            claims = self.claims(pid)
            return claims[0] if len(claims) == 1 and claims[0]["state"] == state else None

        try:
            return wait_until(f"a claim of process {pid} is {state}", found)
        except Wrong as wrong:
            raise Wrong(f"{wrong}; status: {self.server()}") from None

    def empties(self):
        try:
            wait_until("nobody holds anything", lambda: self.server()["claims"] == [])
        except Wrong as wrong:
            raise Wrong(f"{wrong}; status: {self.server()}") from None


class Holder(Program):
    """Somebody else's connection: a psql under the preload."""

    def __init__(self, ledger):
        super().__init__([psql(), "-XAtq"], ledger.environment())
        self.say("SELECT pg_backend_pid();\n")
        self.backend = self.line()
        if self.backend is None:
            raise Wrong(f"the holder has no connection: {self.complaint()}")
        expect("claims when the holder is there", 1, len(ledger.claims(self.pid)))

    def let_go(self):
        self.say("\\q\n")
        expect("the holder's exit status", 0, self.status())
