"""What every program here does with its pool; the other languages do the same by themselves.

    open PID…           four connections are taken and in transactions; three of them have these backends
    rest -> resting     these three are given back to the pool, the fourth goes on
    use  -> LINE…       five times a connection is taken, asked, given back: the answer, or what went wrong; at last
                        what the fourth answers, and "over"
"""

import asyncio
import inspect
import sys

SIZE = 4
USES = 5
QUERY = "SELECT 6 * 7"


def describe(error):
    """Its class, SQLSTATE and text, in a line."""
    kind = type(error)
    cause = getattr(error, "orig", None) or error  # SQLAlchemy wraps it
    state = getattr(cause, "pgcode", None) or getattr(cause, "sqlstate", None)
    return f"{kind.__module__}.{kind.__name__}: {state}: " + str(error).rstrip("\n").replace("\n", "\\n")


async def have(result):
    """What a call gives, or promises."""
    return await result if inspect.isawaitable(result) else result


async def order():
    """The next one. An event loop runs meanwhile."""
    return await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)


async def use(pool):
    try:
        connection = await have(pool.take())
    except Exception as error:
        return f"not taken: {describe(error)}"
    try:
        answer = await have(pool.ask(connection, QUERY))
        await have(pool.commit(connection))
    except Exception as error:
        answer = f"failed: {describe(error)}"
    try:
        await have(pool.give(connection))
    except Exception as error:
        answer = f"{answer}; not given back: {describe(error)}"
    return answer


async def talk(pool):
    await have(pool.open(SIZE))
    taken = [await have(pool.take()) for _ in range(SIZE)]
    pids = [await have(pool.ask(connection, "SELECT pg_backend_pid()")) for connection in taken]
    fourth = taken.pop()
    print("open", *pids[:-1], flush=True)

    await order()
    for connection in taken:
        await have(pool.commit(connection))
        await have(pool.give(connection))
    print("resting", flush=True)

    await order()
    await have(pool.settle())
    for _ in range(USES):
        print(await use(pool))
    print("the fourth:", await have(pool.ask(fourth, QUERY)))
    await have(pool.commit(fourth))
    await have(pool.give(fourth))
    await have(pool.close())
    print("over")


class Pool:
    """Of DB-API connections, as far as they are all alike."""

    def ask(self, connection, text):
        cursor = connection.cursor()
        cursor.execute(text)
        return cursor.fetchone()[0]

    def commit(self, connection):
        connection.commit()

    def settle(self):
        """Waits until it has heard of all that has happened meanwhile, where it listens."""

    def run(self):
        asyncio.run(talk(self))
