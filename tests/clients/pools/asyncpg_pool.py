# asyncpg's pool, which hears of an end when it comes. With the argument "uvloop" it has that event loop.
import asyncio
import sys

import asyncpg
from pool import Pool

if "uvloop" in sys.argv:
    import uvloop

    uvloop.install()


class AsyncpgPool(Pool):
    async def open(self, size):
        self.pool = await asyncpg.create_pool(min_size=size, max_size=size, ssl=False, init=self.listen)
        self.close = self.pool.close
        self.transactions = {}
        self.idle, self.ended = size - 1, 0

    async def listen(self, connection):
        connection.add_termination_listener(self.heard)

    def heard(self, _):
        self.ended += 1

    async def take(self):
        connection = await self.pool.acquire()
        self.transactions[connection] = connection.transaction()
        await self.transactions[connection].start()
        return connection

    async def ask(self, connection, text):
        return await connection.fetchval(text)

    async def commit(self, connection):
        await self.transactions[connection].commit()

    async def give(self, connection):
        await self.pool.release(connection)

    async def settle(self):
        while self.ended < self.idle:
            await asyncio.sleep(0.01)
        print("heard of", self.ended, "ends;", self.pool.get_idle_size(), "idle")


AsyncpgPool().run()
