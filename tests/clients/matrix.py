"""The client matrix: real clients under the preload, beside a real server.   matrix.py [ROW]…

Started by scripts/check-clients. One line per client, one cell per proof (cells.py), then pgbench in a
hurry (storm.py); what a failing cell saw stands below its line. The last line is `N passed, N failed`.
A new client is a program in this folder that speaks the protocol of protocol.py, and a line in ROWS.
"""

import os
import signal
import sys
import time

from bench import HERE, Console, Wrong, clear_up
from cells import COLUMNS, cell
from rows import FATAL, REFUSAL, Cxx, Dump, Ecpg, IsReady, Node, Pgbench, Psql, Row
from storm import STORMS, storm


def script(name, interpreter, file, refusal, **peculiar):
    return Row(name, [interpreter, os.path.join(HERE, file)], refusal, **peculiar)


PYTHON = "/usr/bin/python3"  # Debian's, which has Debian's modules
ROWS = [
    Psql(),
    Pgbench(),
    Dump(),
    IsReady(),
    script("psycopg2", PYTHON, "psycopg2_sync.py", rf"psycopg2\.OperationalError: {REFUSAL}"),
    script(
        "psycopg3", PYTHON, "psycopg3_ctypes.py",
        rf"psycopg\.OperationalError: connection is bad: {FATAL}",
    ),
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
]

WIDTH = max(len(column) for column in COLUMNS) + 2
NAMES = max(len(name) for name in [row.name for row in ROWS] + list(STORMS)) + 2

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


def hurry(name, console):
    print(f"  {name:{NAMES}}", end="", flush=True)
    seen, wrong = attempt(storm, console, *STORMS[name])
    complaint = count(name, "never over", wrong)
    print(f"{'FAIL' if wrong else 'ok':{WIDTH}}{seen or ''}\n{complaint}", end="", flush=True)


def main(wanted):
    known = [row.name for row in ROWS] + list(STORMS)
    unknown = [name for name in wanted if name not in known]
    if unknown:
        sys.exit(f"check-clients: no row '{unknown[0]}'; there are {', '.join(known)}")

    began = time.monotonic()
    console = Console("console")
    console.ask("CREATE TABLE matrix (id int PRIMARY KEY, name text)")
    console.ask("INSERT INTO matrix VALUES (1, 'one'), (2, 'two')")
    rows = [row for row in ROWS if not wanted or row.name in wanted]
    if rows:
        print(f"  {'client':{NAMES}}" + "".join(f"{column:{WIDTH}}" for column in COLUMNS))
    for row in rows:
        prove(row, console)
    for name in STORMS:
        if not wanted or name in wanted:
            hurry(name, console)
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
