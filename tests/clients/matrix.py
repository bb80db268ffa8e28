"""The client matrix: real clients under the preload, beside a real server.   matrix.py [ROW]…

Started by scripts/check-clients. One line per client, one cell per proof (cells.py), then pgbench in a
hurry (storm.py), a monorepo (scene.py, reload.py), and what pools make of a connection that gave way (ends.py);
what a failing cell saw stands below its line. The last line is `N passed, N failed`.
A new client is a program in this folder that speaks the protocol of protocol.py, and a line in ROWS.
"""

import functools
import os
import signal
import sys
import time

from bench import HERE, Console, Wrong, clear_up
from cells import COLUMNS, cell, make_table
from ends import POOLS, ends
from reload import RELOADS, reload
from rows import (
    DETAIL, FATAL, HINT, REFUSAL, SORRY, Cxx, Dump, Ecpg, IsReady, Java, Node, Pgbench, Psql, Row,
)
from scene import SCENES, scene
from storm import STORMS, storm


def script(name, interpreter, file, refusal, **peculiar):
    return Row(name, [interpreter, os.path.join(HERE, file)], refusal, **peculiar)


# Bad when it looks before it has begun to wait, failed when it has waited.
PSYCOPG = rf"psycopg\.OperationalError: connection (?:is bad|failed): {FATAL}"
PYTHON = "/usr/bin/python3"  # Debian's, which has Debian's modules
NODE_REFUSAL = f"error: 53300: {SORRY}\n{DETAIL}\n{HINT}"
# To prefer TLS is for node-postgres to require it.
NODE_TLS = dict.fromkeys(("prefer", "require"), "Error: undefined: The server does not support SSL connections")
PRISMA = rf"PrismaClientKnownRequestError: P2037: (?:.|\n)*Too many database connections opened: {SORRY}"
PRISMA_TLS = dict.fromkeys(
    ("prefer", "require"),
    r"PrismaClientKnownRequestError: P1011: (?:.|\n)*"
    "Error opening a TLS connection: The server does not support SSL connections",
)
# It goes on with TLS whatever the answer; what its OpenSSL makes of an ErrorResponse or an alert differs.
POSTGRES_JS_TLS = "Error: (?:ECONNRESET|ERR_SSL_[A-Z0-9_]+): .*"
ASYNCPG = rf"asyncpg\.exceptions\.TooManyConnectionsError: {SORRY}\nDETAIL:  {DETAIL}\nHINT:  {HINT}"
ASYNCPG_TLS = {
    "prefer": ASYNCPG,
    "require": r"builtins\.ConnectionError: PostgreSQL server at .* rejected SSL upgrade",
}
PG8000 = (
    rf"pg8000\.core\.ProgrammingError: \('FATAL', 'FATAL', '53300', '{SORRY}', '{DETAIL}', '{HINT}'.*\)"
)
JDBC = rf"org\.postgresql\.util\.PSQLException: 53300: FATAL: {SORRY}\n  Detail: {DETAIL}\n  Hint: {HINT}"
JDBC_TLS = {
    "prefer": JDBC,
    "require": r"org\.postgresql\.util\.PSQLException: 08004: The server does not support SSL\.",
}
ROWS = [
    Psql(),
    Pgbench(),
    Dump(),
    IsReady(),
    script("psycopg2", PYTHON, "psycopg2_sync.py", rf"psycopg2\.OperationalError: {REFUSAL}"),
    script("psycopg3", PYTHON, "psycopg3_ctypes.py", PSYCOPG),
    script(
        "ruby-pg", "ruby", "ruby_pg.rb", f"PG::ConnectionBad: {REFUSAL}",
        application_name=os.path.join(HERE, "ruby_pg.rb"),  # $0
    ),
    script(
        "php-pgsql", "php", "php_pgsql.php",
        rf"E_WARNING: pg_connect\(\): Unable to connect to PostgreSQL server: {REFUSAL}",
    ),
    script("php-pdo", "php", "php_pdo.php", rf"PDOException: SQLSTATE\[08006\] \[7\] {REFUSAL}"),
    script(
        "dbd-pg", "perl", "dbd_pg.pl",
        rf"DBI 08006: DBI connect\('','',\.\.\.\) failed: {REFUSAL} at \S+ line \d+\.",
    ),
    script(
        "odbc", PYTHON, "odbc.py",
        rf"pyodbc\.OperationalError: \('08001', '\[08001\] {REFUSAL}\n \(101\) \(SQLDriverConnect\)'\)",
        attempts=2,  # pyodbc tries the driver's wide function, then the other one
    ),
    Cxx("libpqxx", "libpqxx.cpp", f"pqxx::broken_connection: {REFUSAL}"),
    Ecpg("ecpg", "ecpg.pgc", r'ecpg -402: could not connect to database "postgres" on line \d+'),
    Node("pg-native", "pg_native.js", f"Error: {REFUSAL}"),
    script(
        "psycopg2 async", PYTHON, "psycopg2_async.py", rf"psycopg2\.OperationalError: {REFUSAL}",
        ticks=True, tls=True,
    ),
    script("psycopg3 asyncio", PYTHON, "psycopg3_asyncio.py", PSYCOPG, ticks=True, tls=True),
    script(
        "aiopg", PYTHON, "aiopg_client.py", rf"psycopg2\.OperationalError: {REFUSAL}",
        ticks=True, tls=True,
    ),
    script(
        "ruby-pg async", "ruby", "ruby_pg_async.rb", f"PG::ConnectionBad: {REFUSAL}",
        application_name=os.path.join(HERE, "ruby_pg_async.rb"),  # $0
        ticks=True, tls=True,
    ),
    Node("node pg", "pg_client.js", NODE_REFUSAL, door="socket", ticks=True, tls=NODE_TLS),
    Node("node pg pool", "pg_pool.js", NODE_REFUSAL, door="socket", ticks=True, tls=NODE_TLS),
    Node(
        "postgres.js", "postgres_js.js", f"PostgresError: 53300: {SORRY}\n{DETAIL}\n{HINT}",
        application_name="postgres.js", door="socket", ticks=True,
        tls={"prefer": f"PostgresError: 53300: {SORRY}\n{DETAIL}\n{HINT}", "require": POSTGRES_JS_TLS},
    ),
    Node("prisma", "prisma.js", PRISMA, door="socket", ticks=True, tls=PRISMA_TLS),
    script("asyncpg", PYTHON, "asyncpg_asyncio.py", ASYNCPG, door="socket", ticks=True, tls=ASYNCPG_TLS),
    script(
        "asyncpg uvloop", PYTHON, "asyncpg_uvloop.py", ASYNCPG, door="socket", ticks=True,
        tls=ASYNCPG_TLS,
    ),
    script(
        "pg8000", PYTHON, "pg8000_client.py", PG8000, door="socket",
        tls={"require": r"pg8000\.core\.InterfaceError: Server refuses SSL"},
    ),
    Java(
        "pgjdbc", "Pgjdbc.java", JDBC, application_name="PostgreSQL JDBC Driver", tells_later=True,
        door="socket", tls=JDBC_TLS,
    ),
]

# By their names: a word for what is proved, and who proves it.
LINES = {name: ("never over", functools.partial(storm, sizes=sizes)) for name, sizes in STORMS.items()}
LINES |= {name: ("never over", functools.partial(scene, source=source)) for name, source in SCENES.items()}
LINES |= {name: ("never over", functools.partial(reload, source=source)) for name, source in RELOADS.items()}
LINES |= {pool.row.name: ("the same end", functools.partial(ends, pool=pool)) for pool in POOLS}

WIDTH = max(len(column) for column in COLUMNS) + 1
NAMES = max(len(name) for name in [row.name for row in ROWS] + list(LINES)) + 2

passed = failed = 0


def attempt(prove, *arguments):
    """What it returned, and what was wrong."""
    try:
        return prove(*arguments), None
    except Wrong as wrong:
        return None, str(wrong)
    except Exception as error:  # a broken proof has failed, the others go on
        return None, f"{type(error).__name__}: {error}"


def count(name, proof, wrong):
    """Adds it up, and says what was wrong."""
    global passed, failed
    if wrong is None:
        passed += 1
        return ""
    failed += 1
    return f"    {name}, {proof}: " + wrong.rstrip("\n").replace("\n", "\n        ") + "\n"


def prove(row, console):
    """One line of the matrix."""
    complaints = ""
    print(f"  {row.name:{NAMES}}", end="", flush=True)
    _, broken = attempt(row.build)
    for column in COLUMNS:
        check = cell(row, column)
        if check is None:
            print(f"{'-':{WIDTH}}", end="", flush=True)
            continue
        wrong = broken
        if not wrong:
            _, wrong = attempt(check, row, console)
        complaints += count(row.name, column, wrong)
        print(f"{'FAIL' if wrong else 'ok':{WIDTH}}", end="", flush=True)
    print(f"\n{complaints}", end="", flush=True)


def line(name, console):
    """Below the matrix."""
    proof, prover = LINES[name]
    print(f"  {name:{NAMES}}", end="", flush=True)
    seen, wrong = attempt(prover, console)
    complaint = count(name, proof, wrong)
    print(f"{'FAIL' if wrong else 'ok':{WIDTH}}{seen or ''}\n{complaint}", end="", flush=True)


def main(wanted):
    known = [row.name for row in ROWS] + list(LINES)
    unknown = [name for name in wanted if name not in known]
    if unknown:
        sys.exit(f"check-clients: no row '{unknown[0]}'; there are {', '.join(known)}")

    began = time.monotonic()
    console = Console("console")
    make_table(console)
    rows = [row for row in ROWS if not wanted or row.name in wanted]
    if rows:
        print(f"  {'client':{NAMES}}" + "".join(f"{column:{WIDTH}}" for column in COLUMNS))
    for row in rows:
        prove(row, console)
    for name in LINES:
        if not wanted or name in wanted:
            line(name, console)
    print(f"  in {time.monotonic() - began:.0f} s")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        code = main(sys.argv[1:])
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        clear_up()
    sys.exit(code)
