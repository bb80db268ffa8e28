"""Real clients and a real server, with a proxy between them that has the conversation followed as it passes: what it
could be told at each step. The clients run here; of those that are programs, what it was when they said goodbye.
"""
import asyncio
import os
import select
import socket
import struct
import subprocess
import sys
import tempfile
import threading

SERVER = os.environ["PGHOST"], int(os.environ["PGPORT"])
FOLLOW = os.environ["PQB_TEST_BUILD"] + "/helpers/follow"
GOODBYE = b"X\0\0\0\4"
GIVES_WAY, BUSY = "gives way", "busy"


class Conversation:
    """One connection of the proxy's. What the client has got, and what has reached the server, was followed before."""

    def __init__(self, client):
        self.client, self.server = client, socket.create_connection(SERVER)
        self.follow = subprocess.Popen([FOLLOW], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.lock, self.ended = threading.Lock(), threading.Event()
        self.first, self.last = b"", None

    def tell(self, what, data=b""):
        self.follow.stdin.write(what + struct.pack("!I", len(data)) + data)
        self.follow.stdin.flush()

    def state(self):
        with self.lock:
            self.tell(b"?")
            return self.follow.stdout.readline().decode().strip()

    def client_wrote(self, data):
        if self.first is not None:  # the StartupMessage is none of it
            self.first += data
            if len(self.first) < 4 or len(self.first) < struct.unpack("!I", self.first[:4])[0]:
                return
            data, self.first = self.first[struct.unpack("!I", self.first[:4])[0]:], None
        if data.endswith(GOODBYE):
            if data != GOODBYE:
                with self.lock:
                    self.tell(b">", data[:-len(GOODBYE)])
                data = GOODBYE
            self.last = self.state()
        with self.lock:
            self.tell(b">", data)

    def pass_on(self):
        while True:
            for ready in select.select([self.client, self.server], [], [])[0]:
                data = ready.recv(65536)
                if not data:
                    return
                if ready is self.client:
                    self.client_wrote(data)
                    self.server.sendall(data)
                else:
                    with self.lock:
                        self.tell(b"<", data)
                    self.client.sendall(data)

    def run(self):
        with self.client, self.server:
            try:
                self.pass_on()
            except ConnectionError:  # some leave like that
                pass
        self.ended.set()


class Proxy:
    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.conversations = []
        threading.Thread(target=self.accept, daemon=True).start()
        os.environ.update(PGPORT=str(self.listener.getsockname()[1]), PGSSLMODE="disable", PGGSSENCMODE="disable")
        del os.environ["DATABASE_URL"]

    def accept(self):
        while True:
            conversation = Conversation(self.listener.accept()[0])
            self.conversations.append(conversation)
            threading.Thread(target=conversation.run, daemon=True).start()

    def last(self):
        """That of the client that connected last."""
        return self.conversations[-1]


proxy = Proxy()


def expect(wanted, what):
    got = proxy.last().state()
    assert got == wanted, "%s: expected '%s', got '%s'" % (what, wanted, got)


def of_psycopg2():
    import psycopg2
    from psycopg2.extras import execute_values
    connection = psycopg2.connect("")
    expect(GIVES_WAY, "connected")
    cursor = connection.cursor()
    cursor.execute("CREATE TABLE t (a int, b text)")
    expect(BUSY, "in a transaction")
    connection.commit()
    expect(GIVES_WAY, "committed")
    execute_values(cursor, "INSERT INTO t VALUES %s", [(i, "x; y" * i) for i in range(500)])
    cursor.execute("UPDATE t SET b = 'z' WHERE a < 10")
    connection.commit()
    expect(GIVES_WAY, "inserted and updated")
    try:
        cursor.execute("SELECT * FROM nowhere")
    except psycopg2.Error:
        expect(BUSY, "in a transaction that failed")
    connection.rollback()
    expect(GIVES_WAY, "rolled back")
    with tempfile.TemporaryFile("w+") as file:
        cursor.copy_expert("COPY t TO STDOUT", file)
        file.seek(0)
        cursor.copy_expert("COPY t FROM STDIN", file)
    connection.commit()
    expect(GIVES_WAY, "copied out and in")
    with tempfile.TemporaryFile("w+") as file:
        file.write("no number\n" * 100000)
        file.seek(0)
        try:
            cursor.copy_expert("COPY t FROM STDIN", file)
        except psycopg2.Error:
            connection.rollback()
    expect(GIVES_WAY, "a copy failed")
    with connection.cursor("named") as named:
        named.execute("SELECT * FROM t")
        named.fetchmany(10)
        expect(BUSY, "a cursor is open")
    connection.rollback()
    expect(GIVES_WAY, "the cursor is closed")
    cursor.execute("SELECT pg_try_advisory_lock(1)")
    connection.commit()
    expect("idle, but an advisory lock", "locked")


def of_psycopg3():
    import psycopg
    connection = psycopg.connect("", autocommit=True)
    for i in range(8):  # the fifth is prepared
        connection.execute("SELECT %s + 1", [i])
        expect(GIVES_WAY, "selected")
    with connection.cursor().copy("COPY t FROM STDIN") as copy:
        copy.write_row((1, "x"))
        copy.write(b"2\ty\n" * 100000)
        expect(BUSY, "copying in")
    expect(GIVES_WAY, "copied in")
    with connection.cursor().copy("COPY t TO STDOUT") as copy:
        copy.read()
        for _ in copy:
            pass
    expect(GIVES_WAY, "copied out")
    with connection.pipeline() as pipeline:
        for i in range(200):
            connection.execute("SELECT %s", [i])
            if i % 70 == 69:
                pipeline.sync()
    expect(GIVES_WAY, "behind a pipeline")
    try:
        with connection.pipeline():
            connection.execute("SELECT 1")
            connection.execute("SELECT nothing")
            connection.execute("SELECT 2")
    except psycopg.Error:
        expect(GIVES_WAY, "behind a pipeline that failed")
    with connection.transaction():
        connection.execute("SET LOCAL work_mem = '8MB'")
        connection.execute("SELECT set_config('my.user', %s, true)", ["42"])
        expect(BUSY, "in a transaction")
    expect(GIVES_WAY, "what was set ended with the transaction")
    connection.execute("CREATE TEMPORARY TABLE kept (a int)")
    expect("idle, but a temporary table", "made a temporary table")


async def of_asyncpg():
    import asyncpg
    connection = await asyncpg.connect(ssl=False)
    expect(GIVES_WAY, "connected")
    statement = await connection.prepare("SELECT $1::int")
    expect(BUSY, "prepared, but not synchronised: for the server that is a transaction")
    await statement.fetchval(1)
    expect(GIVES_WAY, "fetched")
    await connection.executemany("INSERT INTO t VALUES ($1, $2)", [(i, "x") for i in range(1000)])
    expect(GIVES_WAY, "executed many")
    async with connection.transaction():
        async for _ in connection.cursor("SELECT * FROM t", prefetch=10):
            expect(BUSY, "a portal is open")
            break
    expect(GIVES_WAY, "the portal is gone")
    await connection.copy_records_to_table("t", records=[(1, "x")] * 1000)
    expect(GIVES_WAY, "copied in")
    # What its pool says when a connection is given back.
    await connection.reset()
    expect(GIVES_WAY, "reset")
    await connection.add_listener("c", lambda *_: None)
    expect("idle, but LISTEN", "listens")
    connection.terminate()


def of_pg8000():
    import pg8000
    connection = pg8000.connect(user=os.environ["PGUSER"], host="127.0.0.1", port=int(os.environ["PGPORT"]),
                                database=os.environ["PGDATABASE"])
    expect(GIVES_WAY, "connected")
    connection.cursor().execute("SELECT %s", ("x",))
    expect(BUSY, "in a transaction")
    connection.commit()
    expect(GIVES_WAY, "committed")


def run(*command, **more):
    """A program: what each of its connections was at its goodbye."""
    before = len(proxy.conversations)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=300, **more)
    made = proxy.conversations[before:]
    assert all(c.ended.wait(60) for c in made), "a connection outlived its program"
    return [c.last for c in made]


def expect_run(wanted, *command, **more):
    got = run(*command, **more)
    assert got and set(got) == {wanted}, "%s: expected '%s', got %s" % (" ".join(command), wanted, got)


def of_programs(folder):
    expect_run(GIVES_WAY, "psql", "-X", "-c", "SELECT 1", "-c", "BEGIN", "-c", "ROLLBACK", "-c", r"\d")
    expect_run(GIVES_WAY, "psql", "-X", "-c", r"\copy t to '%s/rows'" % folder, "-c", r"\copy t from '%s/rows'" % folder)
    expect_run(BUSY, "psql", "-X", "-c", "BEGIN")
    expect_run("idle, but SET", "psql", "-X", "-c", "SET work_mem = '8MB'")
    expect_run("idle, but DO, or a function by its number", "psql", "-X", "-c", "DO 'BEGIN END'")
    expect_run("idle, but a cursor WITH HOLD", "psql", "-X", "-c", "DECLARE c CURSOR WITH HOLD FOR SELECT 1")
    run("pgbench", "-i", "-q")
    for mode in "simple", "extended", "prepared":
        expect_run(GIVES_WAY, "pgbench", "-n", "-M", mode, "-c", "3", "-t", "50")
    script = folder + "/pipeline.sql"
    with open(script, "w") as file:
        file.write("\\startpipeline\n" + "SELECT 1;\n" * 50 + "\\endpipeline\n")
    expect_run(GIVES_WAY, "pgbench", "-n", "-M", "prepared", "-f", script, "-c", "3", "-t", "20")


if __name__ == "__main__":
    of_psycopg2()
    of_psycopg3()
    asyncio.run(of_asyncpg())
    of_pg8000()
    with tempfile.TemporaryDirectory() as where:
        of_programs(where)
    sys.exit(0)
