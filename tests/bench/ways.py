"""The ways to a server that are compared: directly, under pqbudget, through PgBouncer.

Beside a private PostgreSQL (scripts/with-postgres) a PgBouncer of our own, of the server's user and in the server's
folder, so that it has no more rights than that and leaves no more behind. It is set as its manual has it for speed: it
reaches the server by a Unix socket, and does not log who comes and goes.
"""
import atexit
import os
import random
import signal
import subprocess
import tempfile
import time

from figures import fail

DIRECT, OURS, YIELDING = "direct", "pqbudget", "pqbudget, yielding"
SESSION, TRANSACTION = "PgBouncer session", "PgBouncer transaction"
WAYS = [DIRECT, OURS, SESSION, TRANSACTION]
POOLED = {SESSION: "session", TRANSACTION: "transaction"} # as its databases are called

FOLDER, PORT = os.environ["PQB_POSTGRES_DIR"], os.environ["PGPORT"]
BUILT = os.environ["PQB_TEST_BUILD"]
SETTINGS = """
[databases]
session = host={server} port={server_port} dbname=postgres user=postgres pool_mode=session pool_size={session}
transaction = host={server} port={server_port} dbname=postgres user=postgres pool_mode=transaction pool_size={shared}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir = {folder}
auth_type = any
max_client_conn = 1200
log_connections = 0
log_disconnections = 0
"""

signal.signal(signal.SIGTERM, lambda *_: fail("ended")) # so that what is registered happens


class Bouncer:
    def __init__(self, session, transaction):
        """With so many connections to the server at most in each mode."""
        self.folder = tempfile.mkdtemp(dir=FOLDER, prefix="bouncer.")
        os.chmod(self.folder, 0o755)
        # Whoever owns the server; one that is root's would not run.
        owner = os.stat(os.path.join(FOLDER, "data"))
        os.chown(self.folder, owner.st_uid, owner.st_gid)
        become = ["setpriv", "--reuid=%d" % owner.st_uid, "--regid=%d" % owner.st_gid, "--clear-groups"] \
            if os.getuid() == 0 else []
        for _ in range(20): # whether a port is free, only taking it tells
            self.port = random.randrange(20000, 32000)
            settings = os.path.join(self.folder, "pgbouncer.ini")
            with open(settings, "w", encoding="ascii") as file:
                file.write(SETTINGS.format(server=FOLDER, server_port=PORT, port=self.port, folder=self.folder,
                                           session=session, shared=transaction))
            # In this order: to become somebody else takes the wish to die with us away.
            with open(os.path.join(self.folder, "log"), "w", encoding="utf-8") as log:
                self.process = subprocess.Popen(
                    ["prlimit", "--nofile=4096:", *become, "setpriv", "--pdeathsig", "KILL", "pgbouncer", settings],
                    stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            if self.answers():
                atexit.register(self.end)
                return
        with open(os.path.join(self.folder, "log"), encoding="utf-8") as log:
            fail("PgBouncer does not start: " + log.read()[-1000:])

    def answers(self):
        """Whether it lives and has its socket; in the folder nobody else can have made that."""
        until = time.monotonic() + 20
        while self.process.poll() is None and time.monotonic() < until:
            if os.path.exists(os.path.join(self.folder, ".s.PGSQL.%d" % self.port)):
                return True
            time.sleep(0.01)
        self.end()
        return False

    def server(self, way, road):
        """As direct_server."""
        return self.folder if road == "Unix socket" else "127.0.0.1", str(self.port), POOLED[way]

    def end(self):
        self.process.kill()
        self.process.wait()


def turned(taken, i):
    """In the order of the i-th round."""
    turn = i % len(taken)
    return (*taken[turn:], *taken[:turn])


def direct_server(road):
    """Host, port and database: by the Unix socket or by TCP."""
    return FOLDER if road == "Unix socket" else "127.0.0.1", PORT, "postgres"


def environments(limit, **settings):
    """Of each way's programs, pqbudget's with a budget of that size and with these settings."""
    plain = {name: text for name, text in os.environ.items() if not name.startswith("PQBUDGET")}
    ours = {**plain, "LD_PRELOAD": os.path.join(BUILT, "libpqbudget.so"), "PQBUDGET_PORTS": PORT,
            "PQBUDGET_LIMIT": str(limit), **settings,
            "PQBUDGET_LEDGER": os.path.join(os.environ["PQB_BENCH_DIR"], "ways.%d" % os.getpid())}
    return {DIRECT: plain, SESSION: plain, TRANSACTION: plain, OURS: ours, YIELDING: {**ours, "PQBUDGET_YIELD": "30s"}}


def check_budget(taken):
    """That pqbudget had a part in it: ld.so would only have warned."""
    if not os.path.exists(taken[OURS]["PQBUDGET_LEDGER"]):
        fail("what was started under pqbudget has made no ledger")


# ---- processor time ----

def ran(pid):
    """Seconds of processor that its first thread had, to the nanosecond: PostgreSQL and PgBouncer have no other."""
    try:
        with open("/proc/%d/schedstat" % pid, encoding="ascii") as file:
            return int(file.read().split()[0]) / 1e9
    except (FileNotFoundError, ProcessLookupError):
        return 0.0


class Server:
    """The processes of our PostgreSQL. Of those that have ended their parent knows the sum, in ticks of 10 ms: over a
    few seconds of work that is less than the noise."""

    def __init__(self):
        with open(os.path.join(FOLDER, "data", "postmaster.pid"), encoding="ascii") as file:
            self.postmaster = int(file.readline())

    def children(self):
        with open("/proc/%d/task/%d/children" % (self.postmaster, self.postmaster), encoding="ascii") as file:
            return {int(pid) for pid in file.read().split()}

    def buried(self):
        with open("/proc/%d/stat" % self.postmaster, encoding="ascii") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")

    def processor(self):
        return self.buried() + sum(map(ran, self.children() | {self.postmaster}))

    def settle(self, before):
        """Waits until the backends that have come since are gone; those that PgBouncer keeps are not."""
        until = time.monotonic() + 0.3
        while self.children() - before and time.monotonic() < until:
            time.sleep(0.001)
        return self.children()
