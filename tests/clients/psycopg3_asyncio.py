import os

os.environ["PSYCOPG_IMPL"] = "python"  # ctypes, also where the C implementation is installed
import psycopg

from loop import TLS, converse


class Connection:
    connection = None

    async def connect(self):
        more = {"sslmode": TLS} if TLS else {}
        self.connection = await psycopg.AsyncConnection.connect(os.environ["DATABASE_URL"], **more)

    async def backend_pid(self):
        return self.connection.info.backend_pid

    async def query(self, text):
        return await (await self.connection.execute(text)).fetchone()

    async def close(self):
        await self.connection.close()


converse(Connection())
