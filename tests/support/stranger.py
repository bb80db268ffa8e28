"""A program with connections by plain sockets, that becomes another program and keeps them.

    python3 stranger.py [--count N] [--unix] [--from PORT] [--role ROLE] [--name NAME] [--begin] [--] [COMMAND...]

Says "backend PID" for each connection, then "connected", and is COMMAND from then on, or sleeps. --from is its own
port, which several servers' clients may share; --begin leaves a transaction open; --name is an application_name.
"""
import argparse
import os
import signal
import socket
import sys

import wire

options = argparse.ArgumentParser()
options.add_argument("--count", type=int, default=1)
options.add_argument("--unix", action="store_true")
options.add_argument("--from", type=int, dest="port")
options.add_argument("--role", default=os.environ["PGUSER"])
options.add_argument("--name", default="stranger")
options.add_argument("--begin", action="store_true")
options.add_argument("command", nargs="*")
wanted = options.parse_args()
kept = []

for _ in range(wanted.count):
    if wanted.port is None:
        s = wire.connect(wanted.unix)
    else:
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind((wire.HOST, wanted.port))
        s.connect((wire.HOST, wire.PORT))
    s.sendall(wire.startup(user=wanted.role, database="postgres", application_name=wanted.name))
    assert wire.log_in(s) == "ok"
    print("backend", wire.query(s, "SELECT pg_backend_pid()"))
    if wanted.begin:
        wire.query(s, "BEGIN")
    s.set_inheritable(True)
    kept.append(s)
print("connected", flush=True)
sys.stdout.flush()
if wanted.command:
    os.execv(wanted.command[0], wanted.command)
signal.pause()
