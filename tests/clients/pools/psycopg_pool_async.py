# psycopg_pool, with an event loop.
import psycopg_pool
from pool import Pool


class PsycopgPool(Pool):
    async def open(self, size):
        self.pool = psycopg_pool.AsyncConnectionPool("", min_size=size, max_size=size, open=False)
        self.take, self.give, self.close = self.pool.getconn, self.pool.putconn, self.pool.close
        await self.pool.open(wait=True)

    async def ask(self, connection, text):
        cursor = await connection.execute(text)
        return (await cursor.fetchone())[0]

    async def commit(self, connection):
        await connection.commit()


PsycopgPool().run()
