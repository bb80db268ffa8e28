import uvloop

from asyncpg_asyncio import Connection
from loop import converse

uvloop.install()
converse(Connection())
