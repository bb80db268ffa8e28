import os

import asyncpg

from loop import TLS, converse


class Connection:
    connection = None

    async def connect(self):
        self.connection = await asyncpg.connect(os.environ["DATABASE_URL"], ssl=TLS)

    async def backend_pid(self):
        return self.connection.get_server_pid()

    async def query(self, text):
        return await self.connection.fetchrow(text)

    async def close(self):
        await self.connection.close()


if __name__ == "__main__":
    converse(Connection())
