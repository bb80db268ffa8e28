"""Pools whose idle connections end: by the server's own idle_session_timeout, and by giving way to who waits. No
program may be able to tell the one from the other."""

import contextlib
import itertools
import os
import re
import signal
import typing

from bench import HERE, PORT, Ledger, Program, Wrong, at, expect, psql, wait_until
from rows import Java, Node, Row

TCP = "127.0.0.1"
SOCKET = os.environ["PQB_POSTGRES_DIR"]


class Pool(typing.NamedTuple):
    row: Row  # its program, see pools/pool.py
    hosts: tuple = (TCP, SOCKET)
    survives: bool = True  # its program goes on


def python(name, file, *arguments):
    return Row(name, ["/usr/bin/python3", os.path.join(HERE, "pools", file), *arguments])


def hikari(name, how):
    libraries = "postgresql", "HikariCP", "slf4j-api", "slf4j-simple"
    return Java(name, "pools/Hikari.java", arguments=[how], libraries=libraries)


POOLS = [
    Pool(python("psycopg2 threaded pool", "psycopg2_pool.py", "ThreadedConnectionPool")),
    Pool(python("psycopg2 simple pool", "psycopg2_pool.py", "SimpleConnectionPool")),
    Pool(python("psycopg3 pool", "psycopg_pool_sync.py")),
    Pool(python("psycopg3 async pool", "psycopg_pool_async.py")),
    Pool(python("sqlalchemy", "sqlalchemy_queue.py")),
    Pool(python("sqlalchemy, pre-ping", "sqlalchemy_queue.py", "ping")),
    Pool(python("asyncpg pool", "asyncpg_pool.py")),
    Pool(python("asyncpg uvloop pool", "asyncpg_pool.py", "uvloop")),
    Pool(Row("ruby-pg, resets", ["ruby", os.path.join(HERE, "pools/ruby_pg.rb")])),
    Pool(Row("php-pdo persistent", ["php", os.path.join(HERE, "pools/php_pdo.php")])),
    Pool(Node("node pg, listens", "pools/pg_pool.js")),
    Pool(Node("node pg, deaf", "pools/pg_pool.js", arguments=["deaf"]), survives=False),
    Pool(Node("postgres.js pool", "pools/postgres_js.js")),
    Pool(Node("prisma pool", "pools/prisma.js")),
    Pool(hikari("hikari, looks", "looks"), hosts=(TCP,)),
    Pool(hikari("hikari, trusts", "trusts"), hosts=(TCP,)),
]

SIZE = 4  # of each pool; one of its connections is never idle
USES = 5  # afterwards

# The server is not told. Those backends that are take it from its file.
TIMEOUT = "ALTER SYSTEM SET idle_session_timeout = '500ms'"
NO_TIMEOUT = "ALTER SYSTEM RESET idle_session_timeout"
MESSAGE = "terminating connection due to idle-session timeout"
EXPLANATION = re.compile(
    r"pqbudget: this connection to \S+ was idle for \d+\.\d s while psql \(pid \d+\) waited for one; it gave way\."
)


class Rest:
    """A program whose pool is at rest, until what is idle in it has ended."""

    def __init__(self, pool, environment):
        self.pool = pool
        self.program = pool.row.start(environment)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.program.__exit__()

    def open(self):
        line = self.program.line() or ""
        found = re.fullmatch(r"open((?: \d+){%d})" % (SIZE - 1), line)
        if not found:
            raise Wrong(f"it does not open: {line!r}, stderr: {self.program.complaint()!r}")
        self.backends = [int(pid) for pid in found[1].split()]

    def begin(self):
        self.program.say("rest\n")
        expect(f"then it says ({self.program.complaint()})", "resting", self.program.line())

    def end(self):
        """The backends' processes are gone: what they had to say has arrived."""
        wait_until("idle ones end", lambda: not any(os.path.exists(f"/proc/{pid}") for pid in self.backends))

    def go_on(self):
        """All that it says then, and its exit status."""
        if self.pool.survives:
            self.program.say("use\n")
        self.program.process.stdin.close()
        said = self.program.rest()
        self.told = [said, self.program.complaint(), self.program.status()]
        if self.pool.survives and (not said.endswith("over\n") or self.told[-1]):
            raise Wrong(f"it does not go on: {self.told}")


class TimedOut(Rest):
    """By the server."""

    def __init__(self, pool, host):
        super().__init__(pool, at(PORT) | {"PGHOST": host})

    def begin(self):
        for backend in self.backends:
            os.kill(backend, signal.SIGHUP)
        super().begin()


class GivingWay(Rest):
    """Under the preload, when others wait."""

    def __init__(self, pool, host):
        self.ledger = Ledger(SIZE)
        self.environment = self.ledger.environment(PGHOST=host, PQBUDGET_WAIT="60s")
        super().__init__(pool, self.environment | {"PQBUDGET_YIELD": "100ms"})

    def __exit__(self, *_):
        super().__exit__()
        self.ledger.__exit__()

    def end(self):
        with contextlib.ExitStack() as ends:
            start = [psql(), "-XAtq"]
            others = [ends.enter_context(Program(start, self.environment)) for _ in self.backends]
            for other in others:
                other.say("SELECT 1;\n")
            for other in others:
                expect(f"who waited says ({other.complaint()})", "1", other.line())
            super().end()
            for other in others:
                other.say("\\q\n")
                expect("the exit status of who waited", 0, other.status())
        gave_way = sum(server["yielded_total"] for server in self.ledger.servers())
        if self.pool.survives:
            expect("connections that gave way", len(self.backends), gave_way)
        elif not gave_way:
            raise Wrong("nobody gave way")


# What we say more than the server does, also in a dump of all that an error has; and what is another every time.
MORE = re.compile(
    r"(?:\\n|\n) *(?:DETAIL|HINT|Detail|Hint): .*?(?=\\n|\n|$)|"
    r"^  (?:length|detail|hint|file|line|routine): .*\n|^  client: (?s:.*?)^  }\n",
    re.MULTILINE,
)
CHANCE = re.compile(r"(?:(?<=0x)|(?<=@))[0-9a-f]+")


def steady(text):
    return CHANCE.sub("…", MORE.sub("", text))


def compare(host, theirs, ours):
    """Line by line. Who shows why it ended shows our reason as well."""
    for name, one, other in zip(("stdout", "stderr"), theirs, ours):
        pairs = itertools.zip_longest(steady(one).splitlines(), steady(other).splitlines())
        for number, (wanted, got) in enumerate(pairs, 1):
            expect(f"{host}, line {number} of {name}", wanted, got)
    expect(f"{host}, exit status", theirs[-1], ours[-1])
    said = ours[0] + ours[1]
    expect(f"{host}, says why in {said!r}", MESSAGE in said, bool(EXPLANATION.search(said)))


def summary(pool, told):
    """What there was to see, in a few words."""
    if not pool.survives:
        return f"it ends, exit status {told[-1]}"
    failed = len(re.findall("^failed", told[0], re.MULTILINE))
    return f"{failed or 'none'} of {USES} queries failed"


def ends(console, pool):
    """Both ends, beside each other and over each road. Returns what there was to see."""
    pool.row.build()
    with contextlib.ExitStack() as stack:
        pairs = [[stack.enter_context(kind(pool, host)) for kind in (TimedOut, GivingWay)] for host in pool.hosts]
        rests = list(itertools.chain(*pairs))
        for rest in rests:
            rest.open()
        console.ask(TIMEOUT)
        for rest in rests:
            rest.begin()
        console.ask(NO_TIMEOUT)
        for rest in rests:
            rest.end()
        for rest in rests:
            rest.go_on()
        for host, pair in zip(pool.hosts, pairs):
            compare(host, *[rest.told for rest in pair])
    return f"{summary(pool, rests[0].told)}, as with idle_session_timeout"
