"""One class per kind of client: how it is built, started, asked, and what its refusal looks like."""

import os
import re
import subprocess

from bench import HERE, MADE, PORT, Console, Program, Wrong, expect, plain, wait_until


# How a refusal reads: libpq's words and ours. A client that shows less says so in its row.
CONNECTION = rf'connection to server at "127\.0\.0\.1", port {PORT} failed: '
SORRY = "sorry, too many clients already"
DETAIL = rf"pqbudget: 1 of 1 connections to localhost:{PORT} are in use \(psql 1\); waited \d+\.\d s\."
HINT = r'Run "pqbudget status" to see who holds them\.'
FATAL = rf"FATAL:  {SORRY}\nDETAIL:  {DETAIL}\nHINT:  {HINT}"
REFUSAL = CONNECTION + FATAL


class Session(Program):
    """A client that speaks the protocol of protocol.py."""

    row = None

    def __init__(self, row, environment):
        super().__init__(row.argv, environment)
        self.row = row
        self.ask("begin")

    def ask(self, command):
        self.say(self.row.words[command])

    def connected(self):
        """Its backend's pid."""
        line = self.line() or ""
        found = re.fullmatch(r"connected (\d+)", line)
        if not found:
            raise Wrong(f"it does not connect: {line!r}, stderr: {self.complaint()!r}")
        return int(found[1])

    def query(self):
        self.ask("query")
        return self.line()

    def close(self):
        self.ask("close")
        expect("the answer to close", "closed", self.line())

    def finish(self):
        """Exit status, and what it said last."""
        self.ask("exit")
        self.process.stdin.close()
        rest = self.rest()
        return self.status(), rest

    def ticks(self):
        """How often its timer ticked so far, and for how long it has."""
        self.say("ticks\n")
        count, seconds = (self.line() or "0 0").split()
        return int(count), float(seconds)

    def failure(self):
        """Of a client that has no connection: exit status, and its exception's class and text."""
        line = self.line() or ""
        found = re.fullmatch(r"failed: (.*)", line)
        if not found:
            raise Wrong(f"it does not fail: {line!r}, stderr: {self.complaint()!r}")
        return self.status(), found[1].replace("\\n", "\n")


class Row:
    """A client program in tests/clients."""

    session = Session
    words = {"begin": "", "query": "query\n", "close": "close\n", "exit": "exit\n"}
    queries = True  # it can be asked
    closes = True  # it can close and live on
    failing = 1  # its exit status without a connection
    connections = 1  # how many it makes, one after the other
    door = "libpq"
    ticks = False  # it tells how often its timer ticked, also while it connects
    tells_later = False  # the server hears its name after the start
    tls = {}  # by what it may be asked for, prefer or require: its refusal then; or True

    def __init__(self, name, argv, refusal="", application_name=None, attempts=1, **peculiar):
        self.name = name
        self.argv = argv
        self.refusal = refusal  # a regular expression
        self.application_name = application_name  # what it calls itself
        self.attempts = attempts  # how often it asks before it fails
        self.program = os.path.basename(argv[-1])
        for what, value in peculiar.items():
            setattr(self, what, value)
        if self.tls is True:
            self.tls = {"prefer": refusal, "require": refusal}

    def build(self):
        """Makes what is to be made first. Raises Wrong."""

    def start(self, environment):
        return self.session(self, environment)

    def steady(self, text):
        """What it said at its end, without what differs every time."""
        return text


def run(argv, what, **options):
    """A step of a build; heard only when it fails."""
    done = subprocess.run(
        argv, timeout=300, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options,
    )
    if done.returncode:
        raise Wrong(f"{what}: exit status {done.returncode}: {done.stdout}")
    return done.stdout


def older(made, *sources):
    return not os.path.exists(made) or any(os.path.getmtime(made) <= os.path.getmtime(s) for s in sources)


class Compiled(Row):
    """One that a compiler makes from SOURCE."""

    def __init__(self, name, source, refusal):
        self.source = os.path.join(HERE, source)
        self.made = os.path.join(MADE, os.path.splitext(source)[0])
        super().__init__(name, [self.made], refusal)

    def build(self):
        os.makedirs(MADE, exist_ok=True)
        if older(self.made, self.source):
            self.compile()


class Cxx(Compiled):
    def compile(self):
        run(["c++", "-std=c++17", "-O1", "-o", self.made, self.source, "-lpqxx", "-lpq"], "c++")


class Ecpg(Compiled):
    def compile(self):
        flags = run(["pkg-config", "--cflags", "--libs", "libecpg"], "pkg-config").split()
        run(["ecpg", "-o", f"{self.made}.c", self.source], "ecpg")
        run(["cc", "-o", self.made, f"{self.made}.c", *flags], "cc")


class Node(Row):
    """One that needs what package.json names, in a node_modules of our own."""

    modules = os.path.abspath(os.path.join(MADE, "node_modules"))

    def __init__(self, name, source, refusal="", arguments=(), **peculiar):
        super().__init__(name, ["node", os.path.join(HERE, source), *arguments], refusal, **peculiar)

    def build(self):
        run([os.path.join(HERE, "node-modules"), "--native"], "node-modules", env=plain())

    def start(self, environment):
        return super().start(environment | {"NODE_PATH": self.modules})


class Java(Row):
    """One class, in a file of its name."""

    # A short life: the compiler that pays in a long one is left out.
    options = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto"]

    def __init__(self, name, source, refusal="", arguments=(), libraries=("postgresql",), **peculiar):
        self.source = os.path.join(HERE, source)
        self.path = ":".join([MADE, *(f"/usr/share/java/{library}.jar" for library in libraries)])
        program = os.path.splitext(os.path.basename(source))[0]
        super().__init__(
            name, ["java", *self.options, "-cp", self.path, program, *arguments], refusal, **peculiar
        )
        self.program = program

    def build(self):
        os.makedirs(MADE, exist_ok=True)
        if older(os.path.join(MADE, f"{self.program}.class"), self.source):
            run(["javac", "-d", MADE, "-cp", self.path, self.source], "javac")


class ToolSession(Session):
    """One of PostgreSQL's own programs, which complain on stderr."""

    def failure(self):
        expect("stdout", "", self.rest())
        return self.status(), self.complaint().rstrip("\n")


class Tool(Row):
    session = ToolSession
    closes = False

    def __init__(self, name, *arguments):
        super().__init__(name, [name, *arguments], rf"{name}: error: {REFUSAL}", name)
        self.program = name


class Psql(Tool):
    """A psql that reads a script ends when it has no connection any more."""

    words = {
        "begin": "SELECT 'connected ' || pg_backend_pid();\n",
        "query": "SELECT 6 * 7, current_setting('application_name');\n",
        "exit": "\\q\n",
    }
    failing = 2

    def __init__(self):
        super().__init__("psql", "-XAtq")


class PgbenchSession(ToolSession):
    def connected(self):
        version = self.line() or ""
        if not version.startswith("pgbench ("):
            raise Wrong(f"it does not connect: {version!r}, stderr: {self.complaint()!r}")
        return super().connected()


class Pgbench(Tool):
    """Its shell speaks the protocol, in pgbench.sql."""

    session = PgbenchSession
    words = {"begin": "", "query": "\n", "exit": "\n\n"}
    connections = 2  # it tries one before it begins

    def __init__(self):
        super().__init__("pgbench", "-n", "-t", "1", "-f", os.path.join(HERE, "pgbench.sql"))
        self.refusal += r"\npgbench: error: could not create connection for setup"

    def steady(self, text):
        return re.sub(r"[0-9.]+ ms|tps = [0-9.]+", "…", text)


class DumpSession(ToolSession):
    """Held open by a lock that it needs; the end of the lock is the order to finish."""

    def __init__(self, row, environment):
        self.lock = Console("lock")
        self.lock.ask("BEGIN; LOCK TABLE matrix IN ACCESS EXCLUSIVE MODE")
        super().__init__(row, environment)

    def connected(self):
        def waits():
            if not self.lives():
                raise Wrong(f"it does not connect: {self.complaint()!r}")
            return self.lock.ask(
                "SELECT pid FROM pg_locks WHERE relation = 'matrix'::regclass AND NOT granted"
            )

        return int(wait_until("pg_dump waits for the lock", waits)[0][0])

    def finish(self):
        self.lock.ask("COMMIT")
        return super().finish()

    def kill(self):
        super().kill()
        # A backend that waits for a lock does not look whether its client is still there.
        self.lock.close()


class Dump(Tool):
    """Can't be asked; says at its end what is in the database."""

    session = DumpSession
    words = {"begin": "", "exit": ""}
    queries = False

    def __init__(self):
        super().__init__("pg_dump")

    def steady(self, text):
        return re.sub(r"restrict \w+", "restrict …", text)


class IsReady(Tool):
    """Asks nothing of anybody, so it is never charged."""

    def __init__(self):
        super().__init__("pg_isready")
