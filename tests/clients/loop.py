"""protocol.py for clients with an event loop, which answer from their first moment on:

    ticks  -> N S       N ticks of a 10 ms timer, S seconds after the start
"""

import asyncio
import os
import time

from protocol import QUERY, failed

TLS = os.environ.get("CLIENT_TLS")  # None, prefer, require


class Conversation:
    def __init__(self, connection):
        self.connection = connection  # with connect, query, close, backend_pid
        self.began = time.monotonic()
        self.ticks = 0
        self.rest = b""
        self.commands = asyncio.Queue()

    async def tick(self):
        while True:
            await asyncio.sleep(0.01)
            self.ticks += 1

    def readable(self):
        got = os.read(0, 4096)
        *lines, self.rest = (self.rest + got).split(b"\n")
        for line in lines if got else [b"exit"]:
            if line == b"ticks":
                print(self.ticks, time.monotonic() - self.began, flush=True)
            else:
                self.commands.put_nowait(line)

    async def hold(self):
        ticking = asyncio.ensure_future(self.tick())
        loop = asyncio.get_running_loop()
        loop.add_reader(0, self.readable)
        try:
            await self.connection.connect()
        except Exception as error:
            failed(error)
        print("connected", await self.connection.backend_pid(), flush=True)
        while (command := await self.commands.get()) != b"exit":
            if command == b"query":
                row = await self.connection.query(QUERY)
                print("|".join(str(value) for value in row), flush=True)
            elif command == b"close":
                await self.connection.close()
                print("closed", flush=True)
        loop.remove_reader(0)
        ticking.cancel()


def converse(connection):
    async def main():
        await Conversation(connection).hold()

    asyncio.run(main())
