"""A member of the fleet.   player.py DRIVER STEP…     The players in other languages take and say the same.

    open      one connection more                  says  open,  or  failed TEXT
    ask:MS    the newest is asked something long   says  lost TEXT  if it has no answer, and closes it
    hold:MS   rests, and while the gate is shut
    close     the newest is closed
    fork      a child does the rest, as its parent does; the child closes what it inherited as if it were its own
    exec      becomes itself anew, for the rest

In the end it exits, with whatever is still open.
"""

import asyncio
import os
import sys
import time

URL = {"host": os.environ["PGHOST"], "port": int(os.environ["PGPORT"]), "user": os.environ["PGUSER"]}
DATABASE = os.environ["PGDATABASE"]


def say(*words):
    os.write(1, (" ".join(map(str, words)).replace("\n", "\\n") + "\n").encode())


def gate_is_shut():
    return os.path.exists(os.environ["FLEET_GATE"])


class Psycopg2:
    def connect(self):
        import psycopg2

        connection = psycopg2.connect(dbname=DATABASE, **URL)
        connection.autocommit = True
        return connection

    def ask(self, connection, sql):
        cursor = connection.cursor()
        cursor.execute(sql)
        cursor.fetchall()

    def close(self, connection):
        connection.close()

    def rest(self, seconds):
        time.sleep(seconds)


class Psycopg3(Psycopg2):
    def connect(self):
        import psycopg

        return psycopg.connect(dbname=DATABASE, autocommit=True, **URL)


class Pg8000(Psycopg2):
    def connect(self):
        import pg8000

        peculiar = {} if not URL["host"].startswith("/") else {
            "host": None, "unix_sock": f"{URL['host']}/.s.PGSQL.{URL['port']}"}
        connection = pg8000.connect(database=DATABASE, **(URL | peculiar))
        connection.autocommit = True
        return connection


class Asyncpg:
    """Its event loop runs while it does something or rests."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()

    def connect(self):
        import asyncpg

        return self.loop.run_until_complete(asyncpg.connect(database=DATABASE, **URL))

    def ask(self, connection, sql):
        self.loop.run_until_complete(connection.fetch(sql))

    def close(self, connection):
        self.loop.run_until_complete(connection.close(timeout=5))

    def rest(self, seconds):
        self.loop.run_until_complete(asyncio.sleep(seconds))


class Player:
    def __init__(self, name):
        self.name = name
        self.driver = {"psycopg2": Psycopg2, "psycopg3": Psycopg3, "pg8000": Pg8000, "asyncpg": Asyncpg}[name]()
        self.opened = []  # and by whom

    def open(self, _):
        try:
            self.opened.append((self.driver.connect(), os.getpid()))
            say("open")
        except Exception as error:
            say("failed", type(error).__name__, error)

    def ask(self, argument):
        # Two processes that talk on one connection hear each other's answers.
        if self.opened and self.opened[-1][1] == os.getpid():
            try:
                self.driver.ask(self.opened[-1][0], f"SELECT pg_sleep({int(argument) / 1000})")
            except Exception as error:
                say("lost", type(error).__name__, error)
                self.close("")

    def hold(self, argument):
        self.driver.rest(int(argument) / 1000)
        while gate_is_shut():
            self.driver.rest(0.02)

    def close(self, _):
        if self.opened:
            try:
                self.driver.close(self.opened.pop()[0])
            except Exception as error:
                say("lost", type(error).__name__, error)

    def play(self, steps):
        for number, step in enumerate(steps):
            what, _, argument = step.partition(":")
            if what == "fork":
                say("fork")
                os.fork()
            elif what == "exec":
                say("exec")
                os.execv(sys.executable, [sys.executable, __file__, self.name, *steps[number + 1 :]])
            else:
                getattr(self, what)(argument)
        os._exit(0)


Player(sys.argv[1]).play(sys.argv[2:])
