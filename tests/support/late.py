"""Over TLS, a cancel begins as a connection does: from a process that has one, the handshake passes, and what comes
behind it is held, or is a cancel. The judge (no argument), and the client it judges (`client`).
"""
import os
import socket
import ssl
import struct
import sys

import judge
import wire
from judge import waiting, wait_until

HOST, PORT = "127.0.0.1", int(os.environ["PGPORT"])
STARTUP = wire.startup(user=os.environ["PGUSER"], database="postgres")
VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


# ---- the client ----

class Tls:
    """A connection whose records are written as this program likes: here the handshake's last and the first data
    in one call, as uvloop and node do."""

    def __init__(self, version):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.minimum_version = context.maximum_version = VERSIONS[version]
        self.socket = socket.create_connection((HOST, PORT))
        self.socket.settimeout(60)
        self.socket.sendall(struct.pack("!II", 8, 80877103))
        assert wire.exactly(self.socket, 1) == b"S"
        self.coming, self.going = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.coming, self.going)

    def take(self):
        more = self.socket.recv(65536)
        if not more:
            raise EOFError
        self.coming.write(more)

    def shake(self):
        while True:
            try:
                return self.tls.do_handshake()
            except ssl.SSLWantReadError:
                self.socket.sendall(self.going.read())
                self.take()

    def sendall(self, data):
        self.tls.write(data)
        self.socket.sendall(self.going.read())

    def recv(self, size):
        while True:
            try:
                return self.tls.read(size)
            except ssl.SSLWantReadError:
                self.take()


def log_in(tls):
    """With the key that a cancel needs."""
    key = b""
    while True:
        kind, body = wire.message(tls)
        if kind == b"K":
            key = body
        if kind in b"EZ":
            return key, "ok" if kind == b"Z" else wire.fields(body)["M"]


def client():
    opened, key = [], b""
    for line in sys.stdin:
        verb, *rest = line.split()
        try:
            if verb == "open":
                tls = Tls(rest[0])
                tls.shake()
                tls.sendall(STARTUP)
                key, said = log_in(tls)
                opened.append(tls)
            elif verb == "sleep":
                text = b"select pg_sleep(60)\0"
                opened[0].sendall(b"Q" + struct.pack("!I", len(text) + 4) + text)
                said = "sleeping"
            elif verb == "cancel":
                tls = Tls(rest[0])
                tls.shake()
                tls.sendall(struct.pack("!II", 16, 80877102) + key)
                try:
                    said = "answer" if tls.recv(1) else "end"
                except (EOFError, ConnectionResetError, ssl.SSLError):
                    said = "end"
            else:
                kind = b""
                while kind != b"E":
                    kind, body = wire.message(opened[0])
                said = wire.fields(body)["C"]
        except (EOFError, OSError) as error:
            said = type(error).__name__
        print(said, flush=True)


# ---- the judge ----

def scene(version):
    one = judge.Client(sys.executable, __file__, "client", PQBUDGET_WAIT="1s")
    one.says("open " + version, "ok")
    one.says("sleep", "sleeping")
    one.says("cancel " + version, "end")
    one.says("heard", "57014")
    one.begin("open " + version)
    waiting(1)
    judge.tool("set", "--limit", "2")
    said = one.ends()
    assert said == "ok", said
    # There is no way to tell it why: it asked for TLS, and has it.
    one.says("open " + version, "EOFError")
    told = one.gone()
    assert "refused a client that could not be told" in told and "2 of 2 connections" in told, told
    wait_until("their slots", lambda: " 0 of 2 used" in judge.tool("status"))
    judge.tool("set", "--limit", "1")


def main():
    os.environ.update(PQBUDGET_PORTS=str(PORT), PQBUDGET_LIMIT="1", PQBUDGET_RESERVE="0")
    for version in VERSIONS:
        scene(version)


client() if sys.argv[1:] == ["client"] else main()
