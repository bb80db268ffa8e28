#!/usr/bin/env bash
# events: the ring, oldest first, for people and for programs.
# shellcheck source=tests/scripts/tool_common
. "$(dirname "$0")/tool_common"

# names: the kinds of events so far, in order
names() {
    accepts events --json
    python3 -c 'import json, sys
print(*(json.loads(line)["event"] for line in open(sys.argv[1])), sep=",")' "$temp/out"
}
happened() { [[ ,$(names), == *",$1,"* ]]; }

accepts set --server "$server" --new --limit 2 --reserve 0
expect "events" configured "$(names)"
hold 2 --app web
expect "events" configured,granted,granted "$(names)"

# Refused, timed out, queued and granted later, died, paused and resumed.
"$client" --app now --wait 0 >"$temp/out" && fail "it was to be refused"
"$client" --app soon --wait 50 >"$temp/out" && fail "it was to be timed out"
expect "events" configured,granted,granted,queued,refused,queued,"timed out" "$(names)"
accepts pause
accepts resume
start --app late --wait forever
wait_until "one waits" state 's["waiting"] == 1'
kill -KILL "${pids[0]}"
wait_until "it is granted" said 1 "holding 1"
expect "events" "configured,granted,granted,queued,refused,queued,timed out,paused,resumed,queued,died,died,granted" \
    "$(names)"

# What is known of each.
python3 -c '
import json, sys, time, datetime
events = [json.loads(line) for line in open(sys.argv[1])]
holder, late = int(sys.argv[2]), int(sys.argv[3])
assert [e["number"] for e in events] == list(range(1, 14)), "numbers"
for e in events:
    at = datetime.datetime.strptime(e["time"], "%Y-%m-%dT%H:%M:%S.%f%z").timestamp()
    assert abs(at - time.time()) < 600, "time"
    assert e["server"] == sys.argv[4], "server"
    waits = e["event"] in ("granted", "timed out", "refused")
    assert list(e) == ["number", "time", "event", "server", "app", "pid"] + ["wait_s"] * waits + ["limit"] * (
        e["event"] == "configured"), "keys"
    assert not waits or 0 <= e["wait_s"] < 600, "wait"
assert events[0]["limit"] == 2, "limit"
assert [e["app"] for e in events] == ["", "web", "web", "now", "now", "soon", "soon", "", "", "late", "web", "web",
    "late"], "applications"
assert [e["pid"] for e in events][1:3] == [holder] * 2 and events[-1]["pid"] == late, "pids"
assert events[6]["wait_s"] > 0 and events[-1]["wait_s"] > 0, "waits"
' "$temp/out" "${pids[0]}" "${pids[1]}" "$server" 2>"$temp/err" || fail "$(tail -n 1 "$temp/err"): $(cat "$temp/out")"

# For people.
accepts events
expect "lines" 13 "$(wc -l <"$temp/out")"
time='20[0-9]{2}-[01][0-9]-[0-3][0-9] [0-2][0-9]:[0-5][0-9]:[0-5][0-9]\.[0-9]{3}'
pid='pid [0-9]+'
grep -qxE "$time  configured  $server  -  $pid  limit 2" "$temp/out" || fail "configured: $(cat "$temp/out")"
grep -qxE "$time  timed out   $server  soon  $pid  waited 0\.[0-9]{3}s" "$temp/out" || fail "$(cat "$temp/out")"
grep -qxE "$time  died        $server  web  $pid" "$temp/out" || fail "died: $(cat "$temp/out")"
! grep -q $'\033' "$temp/out" || fail "colour in a pipe"
"$terminal" 80 24 -- "$tool" events >"$temp/out"
grep -q $'\033\\[31mdied' "$temp/out" || fail "no colour on a terminal"
NO_COLOR=1 "$terminal" 80 24 -- "$tool" events >"$temp/out"
! grep -q $'\033' "$temp/out" || fail "colour in spite of NO_COLOR"

# Limits and names of every kind.
accepts set --limit none
accepts events
grep -q 'configured .* limit none$' "$temp/out" || fail "no limit: $(tail -n 1 "$temp/out")"
accepts events --json
expect "no limit" '"limit":null}' "$(tail -n 1 "$temp/out" | grep -o '"limit".*')"
hold 1 --app $'\033[2J\n"\xff' --server $'\033]0;a\a:1'
accepts events
expect "events, one line each" 15 "$(wc -l <"$temp/out")"
grep -q 'granted  *?\]0;a?:1  ?\[2J?"?  pid' "$temp/out" || fail "$(tail -n 1 "$temp/out" | cat -v)"
accepts events --json
valid events
python3 -c 'import json, sys
event = json.loads(list(open(sys.argv[1]))[-1])
assert (event["server"], event["app"]) == ("\x1b]0;a\x07:1", "\x1b[2J\n\"\ufffd")' "$temp/out" || fail "$(cat "$temp/out")"

# The ring holds the latest 512.
"$client" --quiet --count 20 --rounds 50 --hold 0 --reserve 0 >/dev/null || fail "client"
accepts set --server "$server" --limit 33
accepts events --json
valid events
python3 -c 'import json, sys
events = [json.loads(line) for line in open(sys.argv[1])]
numbers = [e["number"] for e in events]
assert numbers == list(range(numbers[0], numbers[0] + 512)) and numbers[0] > 500, "numbers"
assert events[-1]["limit"] == 33' "$temp/out" || fail "the ring: $(wc -l <"$temp/out") lines"
