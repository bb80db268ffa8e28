"""A pooler, as far as its clients can tell: passes everything on, but tells another backend's pid.

    python3 pooler.py       says "port N"; passes on to PGHOST and PGPORT until it is killed
"""
import os
import socket
import threading


def pass_on(source, target, change):
    while data := source.recv(65536):
        target.sendall(change(data))
    target.shutdown(socket.SHUT_WR)


def disguise(data):
    """BackendKeyData comes with the rest of the login in one piece."""
    at = data.find(b"K\0\0\0\x0c")
    return data if at < 0 else data[:at + 5] + b"\x7f\0\0\x01" + data[at + 9:]


listener = socket.create_server(("127.0.0.1", 0))
print("port", listener.getsockname()[1], flush=True)
while True:
    client, _ = listener.accept()
    server = socket.create_connection((os.environ["PGHOST"], int(os.environ["PGPORT"])))
    threading.Thread(target=pass_on, args=(client, server, bytes), daemon=True).start()
    threading.Thread(target=pass_on, args=(server, client, disguise), daemon=True).start()
