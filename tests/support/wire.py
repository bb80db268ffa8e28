"""A client that speaks PostgreSQL's protocol by plain sockets, for tests of the side door.

    python3 wire.py SCENE...    each scene prints a line; the program holds what it has opened until stdin ends
"""
import os
import select
import socket
import struct
import sys
import threading

HOST, PORT = os.environ["PGHOST"], int(os.environ["PGPORT"])
opened = []


def connect(is_local=False):
    if is_local:
        s = socket.socket(socket.AF_UNIX)
        s.connect("%s/.s.PGSQL.%d" % (os.environ["PQB_POSTGRES_DIR"], PORT))
    else:
        s = socket.create_connection((HOST, PORT))
    s.settimeout(60)
    return s


def startup(**parameters):
    body = b"".join(k.encode() + b"\0" + v.encode() + b"\0" for k, v in parameters.items())
    return struct.pack("!II", len(body) + 9, 3 << 16) + body + b"\0"


def exactly(s, size):
    got = b""
    while len(got) < size:
        more = s.recv(size - len(got))
        if not more:
            raise EOFError
        got += more
    return got


def message(s):
    kind = exactly(s, 1)
    return kind, exactly(s, struct.unpack("!I", exactly(s, 4))[0] - 4)


def fields(body):
    return {f[:1].decode(): f[1:].decode() for f in body.split(b"\0") if f}


def log_in(s):
    """What becomes of a login: `ok`, or the server's error."""
    while True:
        kind, body = message(s)
        if kind == b"E":
            error = fields(body)
            end = s.recv(1)
            return "%s %s|%s|%s" % (error["C"], error["M"], error["D"], "end" if end == b"" else end)
        if kind == b"Z":
            return "ok"


def query(s, text):
    s.sendall(b"Q" + struct.pack("!I", len(text) + 5) + text.encode() + b"\0")
    row = None
    while True:
        kind, body = message(s)
        if kind == b"D":
            row = body[6:].decode()
        if kind == b"Z":
            return row


def open_one(pieces=1, is_local=False, **parameters):
    s = connect(is_local)
    packet = startup(user=os.environ["PGUSER"], database="postgres", **parameters)
    step = -(-len(packet) // pieces)
    for at in range(0, len(packet), step):
        s.sendall(packet[at:at + step])
    outcome = log_in(s)
    if outcome == "ok":
        opened.append(s)
    else:
        s.close()
    return outcome


def scene(name):
    if name == "open":
        return open_one()
    if name == "pieces":  # a packet that comes byte by byte
        return open_one(pieces=60)
    if name == "replication":
        return open_one(replication="database")
    if name.startswith("show "):
        open_one()
        return query(opened[-1], "select current_setting('%s')" % name[5:])
    if name.startswith("named "):
        open_one(application_name=name[6:])
        return query(opened[-1], "select current_setting('application_name')")
    if name == "asked":  # for TLS first, which the server or we decline
        s = connect()
        s.sendall(struct.pack("!II", 8, 80877103))
        answer = exactly(s, 1).decode()
        s.sendall(startup(user=os.environ["PGUSER"], database="postgres"))
        outcome = log_in(s)
        opened.append(s)
        return answer + " " + outcome
    if name == "nonblocking":  # its own thread goes on while it waits
        s = connect()
        s.setblocking(False)
        s.sendall(startup(user=os.environ["PGUSER"], database="postgres"))
        rounds = 0
        while not select.select([s], [], [], 0.02)[0]:
            rounds += 1
        s.setblocking(True)
        s.settimeout(60)
        outcome = log_in(s)
        opened.append(s)
        return outcome + (" after a while" if rounds > 3 else "")
    if name == "terminate":  # says goodbye, and keeps the socket
        opened[-1].sendall(b"X\0\0\0\4")
        return "bye"
    if name == "close":
        opened.pop().close()
        return "closed"
    if name == "over":  # another file at its number
        s = opened.pop()
        null = os.open("/dev/null", os.O_RDONLY)
        os.dup2(null, s.fileno())
        return "over"
    if name == "fork":  # the child has a copy, and lets go of it
        s = opened[-1]
        pid = os.fork()
        if not pid:
            s.close()
            os._exit(0)
        os.waitpid(pid, 0)
        return query(s, "select 'still here'")
    if name == "cancel":
        s = connect()
        s.sendall(struct.pack("!IIII", 16, 80877102, 1, 2))
        return "end" if s.recv(1) == b"" else "answer"
    if name == "other":  # the server's port, another protocol: it hears what was said, and hangs up
        s = connect()
        s.sendall(b"GET / HTTP/1.0\r\n\r\n")
        return "hung up" if b"invalid" in s.recv(1000) + b"invalid" else ""
    if name == "threads":
        outcomes = []
        threads = [threading.Thread(target=lambda: outcomes.append(open_one(is_local=True))) for _ in range(40)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        return " ".join(sorted(set(outcomes))) + " %d" % len(outcomes)
    raise SystemExit("no such scene: " + name)


def main():
    for name in sys.argv[1:]:
        if name == "wait":
            sys.stdin.readline()
        else:
            print(scene(name), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
