# asyncpg's pool, which hears of an end when it comes.
import asyncio

import asyncpg
from pool import Pool


class AsyncpgPool(Pool):
    async def open(self, size):
        self.pool = await asyncpg.create_pool(min_size=size, max_size=size, ssl=False)
        self.close = self.pool.close
        self.transactions = {}

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
        while self.pool.get_idle_size():
            await asyncio.sleep(0.01)


AsyncpgPool().run()
