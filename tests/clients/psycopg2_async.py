"""psycopg2 with async_=True, whose caller brings the loop."""

import os
import select
import sys
import time

import psycopg2
from psycopg2.extensions import POLL_OK, POLL_READ, POLL_WRITE

from protocol import QUERY, failed

TLS = os.environ.get("CLIENT_TLS")
STDIN = sys.stdin.fileno()


class Loop:
    began = time.monotonic()
    ticks = 0

    def turn(self, connection, state):
        """Waits for the connection, for 10 ms at most."""
        reads = [STDIN] + ([connection] if state == POLL_READ else [])
        writes = [connection] if state == POLL_WRITE else []
        until_tick = self.began + (self.ticks + 1) * 0.01 - time.monotonic()
        readable, writable, _ = select.select(reads, writes, [], max(until_tick, 0))
        if not readable and not writable:
            self.ticks += 1
        if STDIN in readable and os.read(STDIN, 4096) == b"ticks\n":
            print(self.ticks, time.monotonic() - self.began, flush=True)

    def wait(self, connection):
        while (state := connection.poll()) != POLL_OK:
            self.turn(connection, state)


def main():
    loop = Loop()
    more = {"sslmode": TLS} if TLS else {}
    try:
        connection = psycopg2.connect(os.environ["DATABASE_URL"], async_=True, **more)
        loop.wait(connection)
    except psycopg2.Error as error:
        failed(error)
    print("connected", connection.get_backend_pid(), flush=True)
    for line in sys.stdin:
        command = line.strip()
        if command == "query":
            cursor = connection.cursor()
            cursor.execute(QUERY)
            loop.wait(connection)
            print("|".join(str(value) for value in cursor.fetchone()), flush=True)
        elif command == "close":
            connection.close()
            print("closed", flush=True)
        elif command == "exit":
            break


main()
