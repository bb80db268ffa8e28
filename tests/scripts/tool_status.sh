#!/usr/bin/env bash
# status: what it shows, to programs and to people, of everything that can be in a ledger.
# shellcheck source=tests/scripts/tool_common
. "$(dirname "$0")/tool_common"

# An empty ledger; one server with nothing in it.
accepts set --server "$server" --new --limit 20
expect_state 'list(j) == ["ledger", "servers"] and j["ledger"] == "'"$ledger"'" and len(j["servers"]) == 1'
expect_state 'list(s.items()) == [("server", "'"$server"'"), ("limit", 20), ("reserve", 2), ("used", 0),
    ("waiting", 0), ("draining", 0), ("peak", 0), ("paused", False), ("slack", 0), ("granted_total", 0),
    ("timeout_total", 0), ("refused_total", 0), ("reaped_total", 0), ("yielded_total", 0), ("apps", []), ("claims", [])]'

# Every state, and what is known of a claim in each.
hold 2 --app web --user ada --database shop --application-name 'web 1' --backend 1
hold 1 --app bot --connecting --socket
accepts set --server "$server" --limit 4
hold 1 --app web
start --app web --wait forever
wait_until "one waits" state 's["waiting"] == 1'
is 's["used"] == 4 and s["peak"] == 4 and s["granted_total"] == 4 and s["reaped_total"] == 0' || fail "$(cat "$temp/out")"
is 's["apps"] == [{"app": "web", "limit": None, "min": 0, "used": 3, "waiting": 1},
    {"app": "bot", "limit": None, "min": 0, "used": 1, "waiting": 0}]' || fail "apps: $(cat "$temp/out")"
is '[list(c) for c in s["claims"]] == [["pid", "app", "state", "door", "backend_pid", "database", "user",
    "application_name", "age_s", "wait_s", "session", "idle_s", "yield_s", "command"]] * 5 and
    all(c["session"] is c["idle_s"] is c["yield_s"] is None for c in s["claims"])' || fail "keys of claims: $(cat "$temp/out")"
is '[(c["pid"], c["app"], c["state"], c["door"], c["backend_pid"], c["database"], c["user"],
      c["application_name"]) for c in s["claims"]] == [
    ('"${pids[0]}"', "web", "open", "libpq", 1, "shop", "ada", "web 1"),
    ('"${pids[0]}"', "web", "open", "libpq", 1, "shop", "ada", "web 1"),
    ('"${pids[1]}"', "bot", "connecting", "socket", None, "", "", ""),
    ('"${pids[2]}"', "web", "open", "libpq", None, "database", "user", "client"),
    ('"${pids[3]}"', "web", "waiting", "libpq", None, "", "", "")]' || fail "claims: $(cat "$temp/out")"
is 'all(type(c["age_s"]) == type(c["wait_s"]) == float and 0 <= c["wait_s"] <= c["age_s"] + 0.001 < 600 and
    c["command"].startswith("'"$client"'"[:56]) for c in s["claims"])' || fail "times: $(cat "$temp/out")"
expect "lines of JSON" 1 "$(wc -l <"$temp/out")"
valid status

# For people: all of it in a pipe.
accepts status
expect "first line" "ledger $ledger" "$(head -n 1 "$temp/out")"
grep -qx "$server  \[##########\]  4 of 4 used, 1 waiting, 0 draining" "$temp/out" || fail "$(cat "$temp/out")"
grep -qE '^  web +none +0 +3 +1$' "$temp/out" || fail "applications: $(cat "$temp/out")"
expect "claims" "open open connecting open waiting" \
    "$(awk 'on { print $1 } $1 == "STATE" { on = 1 }' "$temp/out" | paste -sd ' ')"
command="$client --quiet --count 2 --app web"
command=${command:0:56}
grep -qE "^  open +web +${pids[0]} +1 +shop +ada +[0-9.]+[smh] +0.0s +${command% }" "$temp/out" ||
    fail "claims: $(cat "$temp/out")"
! grep -q ' $' "$temp/out" || fail "blanks at the end of a line"
! grep -q $'\033' "$temp/out" || fail "colour in a pipe"

# For people at a terminal: colour, unless it is not wanted, and no line is wider than it.
shows() {
    python3 -c 'import re, sys
text = open(sys.argv[1], "rb").read().decode("utf-8").replace("\r\n", "\n")
plain = re.sub("\033\\[[0-9;?]*[a-zA-Z]", "", text)
assert not any(ord(c) < 32 and c != "\n" for c in plain), "control characters"
wide = max(map(len, plain.split("\n")))
assert wide <= int(sys.argv[2]), f"{wide} columns"
assert ("\033[" in text) == (sys.argv[3] == "colour"), "colour or not"
' "$temp/out" "$1" "$2" 2>"$temp/err" || depth=1 fail "$(tail -n 1 "$temp/err"): $(cat "$temp/out")"
}
for columns in 10 40 79 80 81 132 300; do
    "$terminal" "$columns" 50 -- "$tool" status >"$temp/out" || fail "on $columns columns"
    shows "$columns" colour
done
NO_COLOR=1 "$terminal" 80 50 -- "$tool" status >"$temp/out" || fail "NO_COLOR"
shows 80 plain
grep -qE '^  STATE +APP +PID +BACKEND +DATABASE +USER +AGE +WAIT +COMMAND' "$temp/out" || fail "$(cat "$temp/out")"
TERM=dumb "$terminal" 80 50 -- "$tool" status >"$temp/out" || fail "TERM=dumb"
shows 80 plain
"$terminal" 80 50 -- "$tool" status --json >"$temp/out" || fail "--json on a terminal"
is 's["used"] == 4' || fail "--json on a terminal: $(cat "$temp/out")"

# One server of several; an alias means its server.
hold 1 --server other:1 --app psql
accepts set --server other:1 --alias again:1 --limit none
expect_state 'len(j["servers"]) == 2'
for name in other:1 again:1; do
    accepts status --json --server "$name"
    is 'len(j["servers"]) == 1 and s["server"] == "other:1" and s["used"] == 1 and s["limit"] is None and
        [c["app"] for c in s["claims"]] == ["psql"]' || fail "--server $name: $(cat "$temp/out")"
done
accepts status --server other:1
grep -qx 'other:1  1 used, no limit, 0 waiting, 0 draining' "$temp/out" || fail "no limit: $(cat "$temp/out")"
! grep -q "$server" "$temp/out" || fail "--server shows others"
refuses 2 'knows no server nosuch:1; .*pqbudget status' status --server nosuch:1
refuses 2 'knows no server ; ' status --json --server ''

# The dead are not shown as holding anything; a killed holder's connection drains.
accepts set --server "$server" --drain 60s
kill -KILL "${pids[1]}"
wait_until "it drains" state '[c["state"] for c in s["claims"]].count("draining") == 1'
is 's["draining"] == 1 and s["used"] == 4 and s["reaped_total"] == 1' || fail "$(cat "$temp/out")"
kill -KILL "${pids[3]}"
wait_until "the waiter is gone" state 's["waiting"] == 0 and s["reaped_total"] == 2'

# Names may be anything: valid JSON, and text that moves no cursor.
accepts reset --force
printf -v long '%s' "$(printf 'x%.0s' {1..3000})"
hold 1 --app $'a"\\\b\f\n\r\t\001\033]0;owned\a\177' --user $'\xff\xfe\xc0\x80\xed\xa0\x80' --database 'größe日本🐘' \
    --application-name $'\xe2\x80\xae\xc2\x9b31m'
hold 1 --app "$(printf 'ü%.0s' {1..40})" --user "$(printf '日%.0s' {1..40})" --application-name "$long"
hold 1 --app '' --database "$long" --server $'h\033[2J:1' --user ''
expect_state '[(c["app"], c["user"], c["database"], c["application_name"]) for t in j["servers"] for c in t["claims"]] == [
    ("a\"\\\b\f\n\r\t\x01\x1b]0;owned\x07\x7f", "\ufffd" * 7, "größe日本🐘", "\u202e\x9b31m"),
    ("ü" * 31, "日" * 13, "database", "x" * 64), ("", "", "x" * 40, "client")] and j["servers"][1]["server"] == "h\x1b[2J:1"'
valid status
python3 -c 'import sys
text = open(sys.argv[1], "rb").read().decode("utf-8")
sys.exit(any(ord(c) < 32 and c != "\n" or 127 <= ord(c) < 160 or c == "\u202e" for c in text))' "$temp/out" ||
    fail "raw control characters in JSON"
for environment in LC_ALL=C.UTF-8 LC_ALL=C; do
    env "$environment" timeout 60 "$tool" status >"$temp/out" || fail "status with $environment"
    shows 1000 plain
    grep -q 'größe日本🐘' "$temp/out" || fail "UTF-8 does not pass through a pipe with $environment"
    env "$environment" NO_COLOR=1 "$terminal" 100 50 -- "$tool" status >"$temp/out"
    shows 100 plain
    ! grep -q $'\033\\|\u202e' "$temp/out" || fail "raw control characters"
done
! LC_ALL=C grep -q '[^ -~]' <(tr -d '\r' <"$temp/out") || fail "a terminal without UTF-8 gets some"
NO_COLOR=1 "$terminal" 100 50 -- "$tool" status >"$temp/out"
grep -q 'größe' "$temp/out" || fail "no UTF-8 on a terminal that has it: $(cat "$temp/out")"
# Wide characters take two columns: what follows stands in line.
python3 -c 'import sys, unicodedata
def width(text): return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
lines = [l.rstrip("\r\n") for l in open(sys.argv[1], newline="\n") if " libpq" not in l]
ends = {width(l[:l.index(".")]) for l in lines if l.startswith("  open") and "s  0.0s" in l}
sys.exit(len(ends) > 2)' "$temp/out" || fail "columns are out of line: $(cat "$temp/out")"
"$client" --count 1 --hold 0 "$long" >/dev/null 2>&1
accepts reset --force

# A very long command line is cut.
# shellcheck disable=SC2086 # many words
hold 1 --app $long
expect_state 'len(s["claims"][0]["command"]) <= 56 and s["apps"][0]["app"] == "x" * 63'
accepts reset --force

# Many: all of them, in good time; and a reader that goes away, or a full disk, is an error with a reason.
for _ in 1 2 3 4 5 6 7 8; do
    hold 512 --limit 5000 --reserve 0
done
expect_state 's["used"] == 4096 and len(s["claims"]) == 4096 and s["apps"][0]["used"] == 4096'
valid status
accepts status
expect "claims" 4096 "$(grep -c '^  open ' "$temp/out")"
"$tool" status 2>"$temp/err" | head -n 1 >"$temp/out"
code=${PIPESTATUS[0]}
expect "exit status of status | head -n 1" 3 "$code"
expect "first line" "ledger $ledger" "$(cat "$temp/out")"
expect "complaint" 'pqbudget: cannot write the output: Broken pipe' "$(cat "$temp/err")"
for arguments in status "status --json" "status --watch" "status --json --watch=50ms" events; do
    # shellcheck disable=SC2086 # several words
    timeout 60 "$tool" $arguments 2>"$temp/err" >/dev/full
    expect "exit status of $arguments >/dev/full" 3 $?
    expect "complaint" 'pqbudget: cannot write the output: No space left on device' "$(cat "$temp/err")"
    # shellcheck disable=SC2086
    timeout 60 "$tool" $arguments 2>"$temp/err" >&-
    expect "exit status of $arguments >&-" 3 $?
done
