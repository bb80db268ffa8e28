"""Services that are no PostgreSQL, and clients of theirs, for tests of what must stay untouched.

    python3 services.py serve NAME          says its port, serves until it is ended
    python3 services.py ask NAME PORT       says what it was told
NAME: echo, where the client speaks first; mail, where the server does.
"""
import smtplib
import socket
import socketserver
import struct
import sys


class Echo(socketserver.StreamRequestHandler):
    def handle(self):
        while more := self.request.recv(65536):
            self.request.sendall(more)


class Mail(socketserver.StreamRequestHandler):
    def handle(self):
        self.wfile.write(b"220 here\r\n")
        in_text = False
        for line in self.rfile:
            word = line.strip().upper()
            if in_text:
                in_text = word != b"."
                if not in_text:
                    self.wfile.write(b"250 taken\r\n")
            elif word == b"DATA":
                in_text = True
                self.wfile.write(b"354 go on\r\n")
            elif word == b"QUIT":
                self.wfile.write(b"221 bye\r\n")
                return
            else:
                self.wfile.write(b"250 fine\r\n")


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True


def serve(name):
    server = Server(("127.0.0.1", 0), {"echo": Echo, "mail": Mail}[name])
    print(server.server_address[1], flush=True)
    server.serve_forever()


def echoed(port, *pieces):
    """Says the pieces one by one, and hears all of them."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as s:
        for piece in pieces:
            s.sendall(piece)
        wanted, heard = b"".join(pieces), b""
        while len(heard) < len(wanted) and (more := s.recv(65536)):
            heard += more
        s.shutdown(socket.SHUT_WR)
        return "the same" if heard == wanted and s.recv(1) == b"" else repr(heard[:100])


def ask_echo(port):
    alike = struct.pack("!II", 16, 80877102 + 9) + b"01234567"  # nearly a cancel request
    longer = struct.pack("!II", 40, 2 << 16) + b"x" * 32  # nearly a startup packet
    print(echoed(port, b"hello\n"))
    print(echoed(port, b"h", b"ello\n", b"x" * 300000))
    for packet in alike, longer:
        print(echoed(port, packet))
        print(echoed(port, packet[:4], packet[4:]))
        print(echoed(port, *[packet[i:i + 1] for i in range(len(packet))]))
        print(echoed(port, packet + b"x" * 300000))


def ask_mail(port):
    with smtplib.SMTP("127.0.0.1", port, local_hostname="me", timeout=30) as mail:
        print(mail.ehlo(), mail.sendmail("me", ["you"], "Subject: hello\r\n\r\n" + "hello\r\n" * 5000))


if sys.argv[1] == "serve":
    serve(sys.argv[2])
else:
    {"echo": ask_echo, "mail": ask_mail}[sys.argv[2]](int(sys.argv[3]))
