"""A client that speaks PostgreSQL's protocol by plain sockets, and closes them by every road, for tests of giving back.

    python3 roads.py KIND STEP...    KIND: tcp, mapped, unix. Each step prints a line; `wait` waits for a line of stdin
"""
import array
import ctypes
import fcntl
import os
import socket
import struct
import sys

PORT = int(os.environ["PGPORT"])
libc = ctypes.CDLL(None, use_errno=True)
CLOSE, DUP3 = {"x86_64": (3, 292), "aarch64": (57, 24)}[os.uname().machine]
kind = sys.argv[1]
held = None  # the descriptor of the connection
other = None  # another one of the same socket
child = None  # its pid, and the pipe that lets it go on


def connect():
    if kind == "unix":
        s = socket.socket(socket.AF_UNIX)
        s.connect("%s/.s.PGSQL.%d" % (os.environ["PQB_POSTGRES_DIR"], PORT))
    elif kind == "mapped":
        s = socket.socket(socket.AF_INET6)
        s.connect(("::ffff:127.0.0.1", PORT))
    else:
        s = socket.create_connection(("127.0.0.1", PORT))
    return s


def log_in():
    """`ok`, or the SQLSTATE of a refusal."""
    global held
    s = connect()
    body = b"user\0" + os.environ["PGUSER"].encode() + b"\0database\0postgres\0\0"
    s.sendall(struct.pack("!II", len(body) + 8, 3 << 16) + body)
    heard = s.makefile("rb")
    while True:
        what, size = struct.unpack("!cI", heard.read(5))
        body = heard.read(size - 4)
        if what == b"E":
            return [f[1:] for f in body.split(b"\0") if f[:1] == b"C"][0].decode()
        if what == b"Z":
            heard.close()
            held = s.detach()
            return "ok"


def raw(number, *arguments):
    if libc.syscall(number, *arguments) < 0:
        raise OSError(ctypes.get_errno(), "system call")


def pass_on():
    """A child that was there before the connection gets it, and says when."""
    global child
    ours, its = socket.socketpair()
    go, come = os.pipe()
    pid = os.fork()
    if not pid:
        ours.close()
        os.close(come)
        got = its.recvmsg(1, socket.CMSG_LEN(4))
        fd = array.array("i", got[1][0][2])[0]
        its.send(b".")
        os.read(go, 1)
        raw(CLOSE, fd)
        os.read(go, 1)
        os._exit(0)
    its.close()
    os.close(go)
    outcome = log_in()
    ours.sendmsg([b"."], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [held]))])
    ours.recv(1)
    child = come
    return outcome


def step(name):
    global held, other, child
    null = os.open("/dev/null", os.O_RDONLY)
    if name == "open":
        return log_in()
    if name == "half":  # only its first packet; the answer is not waited for
        half = connect()
        body = b"user\0nobody_waits\0\0"
        half.sendall(struct.pack("!II", len(body) + 8, 3 << 16) + body)
        held = half.detach()
    elif name == "passed":
        return pass_on()
    elif name == "close":
        os.close(held)
    elif name == "raw":
        raw(CLOSE, held)
    elif name == "raw_dup3":
        raw(DUP3, null, held, 0)
    elif name == "dup2":
        os.dup2(null, held)
    elif name == "close_range":
        os.closerange(held, held + 1)
    elif name == "closefrom":
        os.dup2(held, 500)
        os.close(held)
        libc.closefrom(500)
    elif name == "shut_wr":
        libc.shutdown(held, socket.SHUT_WR)
    elif name == "shut_rdwr":
        libc.shutdown(held, socket.SHUT_RDWR)
    elif name == "raw_shut":
        raw({"x86_64": 48, "aarch64": 210}[os.uname().machine], held, socket.SHUT_RDWR)
    elif name == "copy":  # past the hooks of dup
        other = fcntl.fcntl(held, fcntl.F_DUPFD_CLOEXEC, 100)
    elif name == "close_copy":
        raw(CLOSE, other)
    elif name == "fork":
        go, come = os.pipe()
        if not os.fork():
            os.close(come)
            os.read(go, 1)
            os.close(held)
            os.read(go, 1)
            os._exit(0)
        os.close(go)
        child = come
    elif name == "fork_raw":
        go, come = os.pipe()
        if not os.fork():
            os.close(come)
            os.read(go, 1)
            raw(CLOSE, held)
            os.read(go, 1)
            os._exit(0)
        os.close(go)
        child = come
    elif name == "fork_close":  # the child closes first
        pid = os.fork()
        if not pid:
            os.close(held)
            os._exit(0)
        os.waitpid(pid, 0)
    elif name == "child":
        os.write(child, b".")
    else:
        raise SystemExit("no such step: " + name)
    os.close(null)
    return name


for name in sys.argv[2:]:
    if name == "wait":
        sys.stdin.readline()
    else:
        print(step(name), flush=True)
sys.stdin.read()
