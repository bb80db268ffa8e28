import os

import aiopg

from loop import TLS, converse


class Connection:
    connection = None

    async def connect(self):
        more = {"sslmode": TLS} if TLS else {}
        self.connection = await aiopg.connect(os.environ["DATABASE_URL"], **more)

    async def backend_pid(self):
        return self.connection.raw.get_backend_pid()

    async def query(self, text):
        async with self.connection.cursor() as cursor:
            await cursor.execute(text)
            return await cursor.fetchone()

    async def close(self):
        await self.connection.close()


converse(Connection())
