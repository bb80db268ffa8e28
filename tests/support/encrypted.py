"""Two connections over TLS by plain sockets, which are held until a line comes on stdin; then the second one asks a
query."""
import os
import ssl
import struct
import sys

import wire


def open_one(context):
    s = wire.connect()
    s.sendall(struct.pack("!II", 8, 80877103))
    assert wire.exactly(s, 1) == b"S"
    s = context.wrap_socket(s)
    s.sendall(wire.startup(user=os.environ["PGUSER"], database="postgres"))
    assert wire.log_in(s) == "ok"
    assert wire.query(s, "select 1") == "1"
    return s


def main():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    held = [open_one(context), open_one(context)]
    print("ready", flush=True)
    sys.stdin.readline()
    print(wire.query(held[1], "select 'still here'"), flush=True)


main()
