"""Held over TCP, the server hears nothing of it: the judge (no argument), and the client it judges (`client`).

The client takes one command a line and answers each with a line. The judge looks at the kernel's own table of TCP
connections, as the server's machine has it.
"""
import os
import select
import socket
import sys

import judge
import wire
from judge import waiting, wait_until

PORT = int(os.environ["PGPORT"])
STARTUP = wire.startup(user=os.environ["PGUSER"], database="postgres")


# ---- the client ----

def connect(family, address):
    s = socket.socket(family)
    s.setblocking(False)
    code = s.connect_ex((address, PORT))
    if code in (0, 115):
        select.select([], [s], [], 10)
        code = s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    return s, os.strerror(code) if code else "connected"


def command(s, words):
    if words[0] == "connect":
        return connect(socket.AF_INET6 if ":" in words[1] else socket.AF_INET, words[1])
    if words[0] == "peer":
        return s, "%s %d" % s.getpeername()[:2]
    if words[0] == "error":
        return s, str(s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
    if words[0] == "start":
        return s, str(s.send(STARTUP) == len(STARTUP))
    if words[0] == "cancel":
        s.send(b"\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\1\0\0\0\2")
    s.setblocking(True)
    s.settimeout(60)
    if words[0] == "login":
        return s, wire.log_in(s)
    if words[0] in ("read", "cancel"):
        try:
            return s, "end" if s.recv(1) == b"" else "answer"
        except OSError as error:
            return s, error.strerror
    s.close()
    return None, "closed"


def client():
    s = None
    for line in sys.stdin:
        s, said = command(s, line.split())
        print(said, flush=True)


# ---- the judge ----

def accepted():
    """How many connections the server's side has, as the kernel knows them."""
    count = 0
    for name in ("/proc/net/tcp", "/proc/net/tcp6"):
        with open(name) as table:
            for line in list(table)[1:]:
                local, state = line.split()[1], line.split()[3]
                count += int(local.rpartition(":")[2], 16) == PORT and state in ("01", "03", "08")
    return count


def guest(**settings):
    return judge.Client(sys.executable, __file__, "client", **settings)


def libpq(*steps):
    return judge.Client(judge.BUILD + "/helpers/doors", *steps)


def holder():
    wait_until("the end of earlier connections", lambda: not accepted())
    one = guest()
    one.says("connect 127.0.0.1", "connected")
    one.says("start", "True")
    one.says("login", "ok")
    return one


def held_and_let_in(address):
    one, two = holder(), guest()
    before = accepted()
    two.says("connect " + address, "connected")
    two.says("peer", "%s %d" % (address, PORT))
    two.says("error", "0")
    two.says("start", "True")
    waiting(1)
    two.says("peer", "%s %d" % (address, PORT))
    assert accepted() == before, "the server hears of a held client at " + address
    two.begin("login")
    one.gone()
    assert two.ends() == "ok"
    two.says("peer", "%s %d" % (address, PORT))
    two.gone()


def refused():
    one, two = holder(), guest(PQBUDGET_WAIT="300ms")
    two.says("connect 127.0.0.1", "connected")
    two.says("start", "True")
    two.begin("login")
    said = two.ends()
    assert said.startswith("53300 sorry, too many clients already|pqbudget: 1 of 1 ") and said.endswith("|end"), said
    two.gone()
    one.gone()


def by_libpq():
    """The other door: its open connections tell that a server answers, its held ones are put off as well."""
    where = "host=127.0.0.1 sslmode=disable gssencmode=disable"
    wait_until("the end of earlier connections", lambda: not accepted())
    one = libpq("connectdb", where, "pause")
    assert one.ends().startswith("ok ") and one.ends() == "ready", "libpq's login"
    before, two = accepted(), libpq("start", where, "poll", "pause")
    waiting(1)
    assert accepted() == before, "the server hears of libpq's held connection"
    one.gone()
    assert two.ends().startswith("ok "), "libpq's login after its wait"
    two.gone()


def passed_on():
    """What is not to wait: a cancel; and a client that says nothing is connected after all."""
    one, two, three = holder(), guest(), guest()
    two.says("connect 127.0.0.1", "connected")
    two.says("cancel", "end")
    before = accepted()
    three.says("connect 127.0.0.1", "connected")
    wait_until("a silent client's connection", lambda: accepted() == before + 1)
    three.says("start", "True")
    waiting(1)
    three.begin("login")
    one.gone()
    assert three.ends() == "ok"
    for client in (two, three):
        client.gone()


def not_put_off():
    """Where nothing is open, nothing is put off: a dead address must fail at once (localhost as ::1 first)."""
    one, two = holder(), guest()
    two.says("connect ::1", "Connection refused")
    two.gone()
    one.gone()


def main():
    os.environ.update(PQBUDGET_PORTS=str(PORT), PQBUDGET_LIMIT="1", PQBUDGET_RESERVE="0", PQBUDGET_WAIT="40s")
    for address in ("127.0.0.1", "::ffff:127.0.0.1"):
        held_and_let_in(address)
    for scene in (refused, by_libpq, passed_on, not_put_off):
        scene()


client() if sys.argv[1:] == ["client"] else main()
