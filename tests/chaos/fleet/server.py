"""The server, as its administrator sees it: who is connected, whom it refused, and how it is restarted."""

import os
import pwd
import re
import subprocess
import time
import typing

import psycopg2

DIR = os.environ["PQB_POSTGRES_DIR"]
PORT = os.environ["PGPORT"]
ROLE = "fleet"
DEFAULT_DIR = "/var/run/postgresql"  # as libpq and the ledger know it

# The statement's beginning is before the look. Who was there by then and is seen in it was there at one moment with
# all the others; a look is no snapshot, and who came during it may have come for one who had gone.
WHO = f"""SELECT pid, extract(epoch FROM backend_start)::float8, extract(epoch FROM statement_timestamp())::float8
 FROM pg_stat_activity WHERE usename = '{ROLE}' AND backend_type = 'client backend'
 AND backend_start <= statement_timestamp()"""

# %n is the time; with-postgres is called with this prefix.
REFUSAL = re.compile(r"^(\d+\.\d+) .*FATAL:  (sorry, too many clients already|remaining connection slots .*)", re.M)


class Backend(typing.NamedTuple):
    pid: int
    born: float


class Observer:
    """A superuser's connection, made anew when it is gone."""

    def __init__(self):
        self.connection = None

    def ask(self, sql):
        """The rows, or None where nobody answers."""
        try:
            if self.connection is None:
                # Past every network that is cut.
                self.connection = psycopg2.connect(
                    host=DIR, port=PORT, user="postgres", dbname="postgres", connect_timeout=5
                )
                self.connection.autocommit = True
            with self.connection.cursor() as cursor:
                cursor.execute(sql)
                return cursor.fetchall() if cursor.description else []
        except psycopg2.Error:
            self.close()
            return None

    def backends(self):
        """The fleet's, and the moment at which all of them were there; None if there is no server."""
        rows = self.ask(WHO)
        if rows is None:
            return None
        return [Backend(pid, born) for pid, born, _ in rows], rows[0][2] if rows else time.time()

    def close(self):
        if self.connection is not None:
            self.connection.close()
        self.connection = None


class Server:
    def __init__(self, journal):
        self.journal = journal
        self.observer = Observer()
        self.logs = [os.path.join(DIR, "log"), os.path.join(DIR, "log.later")]
        self.read = {log: 0 for log in self.logs}
        self.order = None  # a restart that goes on
        bindir = subprocess.run(["pg_config", "--bindir"], check=True, capture_output=True, text=True).stdout.strip()
        owner = pwd.getpwuid(os.stat(os.path.join(DIR, "data")).st_uid)
        self.control = [os.path.join(bindir, "pg_ctl"), "-s", "-w", "-t", "60", "-D", os.path.join(DIR, "data")]
        if os.geteuid() != owner.pw_uid:
            self.control[:0] = ["setpriv", f"--reuid={owner.pw_uid}", f"--regid={owner.pw_gid}", "--clear-groups"]
        self.must(f"CREATE ROLE {ROLE} LOGIN")
        journal.witnesses["activity"] = lambda: "\n".join(
            map(str, self.must("SELECT * FROM pg_stat_activity WHERE backend_type = 'client backend'"))
        )
        journal.witnesses["server.log"] = lambda: "".join(open(log).read()[-200000:] for log in self.logs if
                                                          os.path.exists(log))

    def ask(self, sql):
        """As the observer, but that nobody waits for a server that restarts: it lets nobody in, and sends nobody away,
        before each process that waits for a startup packet has one; those that stand still, only we let go on."""
        if self.restarts():
            self.observer.close()
            return None
        return self.observer.ask(sql)

    def backends(self):
        return None if self.ask("SELECT 1") is None else self.observer.backends()

    def must(self, sql):
        rows = self.ask(sql)
        if rows is None:
            raise RuntimeError("no server")
        return rows

    def restart(self, mode):
        """Begins it. Nobody waits here: the fleet lives on."""
        if self.order is None:
            self.order = subprocess.Popen(
                [*self.control, "-m", mode, "-l", self.logs[1], "restart"], start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )
            return True
        return False

    def restarts(self):
        """Whether a restart goes on."""
        if self.order is not None and self.order.poll() is not None:
            if self.order.returncode:
                self.journal.note(f"restart: exit status {self.order.returncode}")
            self.order = None
        return self.order is not None

    def is_up(self):
        return self.ask("SELECT 1") is not None

    def stop(self):
        subprocess.run([*self.control, "-m", "immediate", "stop"], check=False, stderr=subprocess.DEVNULL)

    def terminate(self, pids):
        if pids:
            self.ask(f"SELECT pg_terminate_backend(pid) FROM unnest(ARRAY{sorted(pids)}) pid")

    def refusals(self):
        """Those that are new in its log: when, and its words."""
        for log in self.logs:
            if os.path.exists(log):
                with open(log, "rb") as file:
                    file.seek(self.read[log])
                    text = file.read()
                whole = text[: text.rfind(b"\n") + 1]
                self.read[log] += len(whole)
                for when, words in REFUSAL.findall(whole.decode(errors="replace")):
                    yield float(when), words
