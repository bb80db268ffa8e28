#!/usr/bin/env bash
# Servers that do not answer: plan and doctor say so, in time, and say why.
# shellcheck source=tests/scripts/tool_common
. "$(dirname "$0")/tool_common"

# serve NAME: a server that says nothing at all ("mute"), or lets everybody in and then refuses every question
# ("strict") or goes away ("gone"). Its port is $port.
serve() {
    python3 - "$1" >"$temp/port.$1" <<'PYTHON' &
import socket, struct, sys

manner = sys.argv[1]
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)


def message(kind, body):
    return kind + struct.pack("!I", len(body) + 4) + body


def exactly(s, size):
    got = b""
    while len(got) < size:
        more = s.recv(size - len(got))
        if not more:
            raise EOFError
        got += more
    return got


def login(s):
    while True:
        length, code = struct.unpack("!II", exactly(s, 8))
        exactly(s, length - 8)
        if code >> 16 == 3:
            return s.sendall(message(b"R", struct.pack("!I", 0)) + message(b"Z", b"I"))
        s.sendall(b"N")


kept = []
while True:
    s, _ = listener.accept()
    kept.append(s)
    if manner == "mute":
        continue
    try:
        login(s)
        while exactly(s, 1) == b"Q":
            exactly(s, struct.unpack("!I", exactly(s, 4))[0] - 4)
            if manner == "gone":
                break
            s.sendall(message(b"E", b"SERROR\0C42501\0Mnot to you\0\0") + message(b"Z", b"I"))
    except (EOFError, ConnectionError):
        pass
    s.close()
PYTHON
    pids+=($!)
    disown
    wait_until "a server listens" test -s "$temp/port.$1"
    port=$(<"$temp/port.$1")
}

accepts set --server "$server" --new --limit 20

# unanswered WHY: each of them gives up, with its status and one line
unanswered() {
    local url="postgresql://ada@127.0.0.1:$port/shop?sslmode=disable&connect_timeout=1"
    refuses 3 "cannot ask the server: $1" plan "$url" --app web=2
    run doctor "$url"
    expect "exit status of doctor" 3 "$code"
    grep -qE "^pqbudget: cannot ask the server: $1" "$temp/err" || fail "doctor: $(cat "$temp/out" "$temp/err")"
}

serve mute
unanswered "localhost:$port: no answer within 1 s"
serve strict
unanswered ".*42501: not to you"
serve gone
unanswered ".*server closed the connection unexpectedly"
