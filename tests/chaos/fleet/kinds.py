"""What programs there are in the fleet, and what one of them is to do."""

import os
import subprocess
import typing

PLAYERS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "players")
BINDIR = subprocess.run(["pg_config", "--bindir"], check=True, capture_output=True, text=True).stdout.strip()


class Kind(typing.NamedTuple):
    name: str
    weight: int
    argv: typing.Callable  # of what it is to do
    forks: bool = True
    execs: bool = True


def player(*argv):
    return lambda steps: [*argv, *steps]


def psql(steps):
    """It has one connection, and \\c is another in its place."""
    commands = {"open": ("\\c", "SELECT 'open'"), "ask": ("SELECT pg_sleep({})",), "hold": ("\\! sleep {}",)}
    words = []
    for step in steps:
        what, _, argument = step.partition(":")
        for command in commands.get(what, ()):
            words += ["-c", command.format(int(argument or 0) / 1000)]
    return [os.path.join(BINDIR, "psql"), "-XAtq", *words[2:]]


def pgbench(*how):
    def argv(steps):
        clients = str(1 + sum(step == "open" for step in steps) % 3)
        script = os.path.join(PLAYERS, "pgbench.sql")
        return ["pgbench", "-n", "-c", clients, "-j", clients, "-T", "3", "-f", script, *how]

    return argv


def python(driver):
    return player("/usr/bin/python3", os.path.join(PLAYERS, "player.py"), driver)


def node(how):
    return player("node", os.path.join(PLAYERS, "player.js"), how)


def php(how):
    return player("php", os.path.join(PLAYERS, "player.php"), how)


KINDS = [
    Kind("psql", 4, psql, forks=False, execs=False),
    Kind("pgbench", 2, pgbench(), forks=False, execs=False),
    Kind("pgbench -C", 2, pgbench("-C"), forks=False, execs=False),
    Kind("psycopg2", 3, python("psycopg2")),
    Kind("psycopg3", 2, python("psycopg3")),
    Kind("pg8000", 2, python("pg8000")),
    Kind("asyncpg", 3, python("asyncpg"), forks=False),  # no event loop survives a fork
    Kind("node pg", 3, node("pg"), execs=False),
    Kind("node pool", 2, node("pool"), execs=False),
    Kind("prisma", 1, node("prisma"), execs=False),
    Kind("php pdo", 2, php("pdo")),
    Kind("php pgsql", 2, php("pgsql")),
    Kind("ruby", 3, player("ruby", os.path.join(PLAYERS, "player.rb"))),
]


def drawn_steps(draw, kind):
    """What a member does, as player.py has it."""
    some = []
    for _ in range(draw.choice([1, 1, 2, 2, 3])):
        some.append("open")
        for _ in range(draw.randint(1, 3)):
            some.append(draw.choice([f"ask:{draw.randint(1, 300)}", f"ask:{draw.randint(1, 10)}",
                                     f"hold:{draw.randint(1, 1200)}"]))
        if draw.random() < 0.4:
            some.append("close")
    if kind.forks and draw.random() < 0.25:
        some.insert(draw.randint(1, len(some)), "fork")
    if kind.execs and draw.random() < 0.15:
        some.insert(draw.randint(1, len(some)), "exec")
    if draw.random() < 0.5:
        some += ["close"] * 3
    return some
