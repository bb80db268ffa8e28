#!/usr/bin/env bash
# status --watch and events -f: they go on until they are told to stop, whatever becomes of the ledger.
# shellcheck source=tests/scripts/tool_common
. "$(dirname "$0")/tool_common"

# watch ARGUMENT…: in the background, into $temp/watched; its pid is $watcher
watch() {
    "$tool" "$@" >"$temp/watched" 2>"$temp/complaint" </dev/null &
    watcher=$!
    pids+=("$watcher")
}
has() { grep -qE -- "$1" "$temp/watched"; }
lines() { [ "$(wc -l <"$temp/watched")" -ge "$1" ]; }
# stop SIGNAL: the watcher ends well
stop() {
    kill "-$1" "$watcher"
    wait "$watcher"
    depth=1 expect "exit status after SIG$1" 0 $?
    [ ! -s "$temp/complaint" ] || depth=1 fail "it complains: $(cat "$temp/complaint")"
}

for value in '' 0 49ms abc -1 inf 3601 1.5; do
    refuses 2 '--watch wants a time between' status "--watch=$value"
done

# In a pipe: a block each time, blank lines between, no control sequences. The ledger may come late, go, and
# come back.
watch status --watch=50ms
wait_until "it waits for a ledger" has 'there is no ledger'
accepts set --server "$server" --new --limit 20
wait_until "it finds the ledger" has "^$server .* 0 of 20 used"
hold 3 --app web
wait_until "it sees what changes" has "^$server .* 3 of 20 used"
accepts reset --force
: >"$temp/watched"
wait_until "it says that the ledger is gone" has 'there is no ledger'
accepts set --server "$server" --new --limit 30
wait_until "it finds the new one" has "^$server .* 0 of 30 used"
stop TERM
! grep -q $'\033' "$temp/watched" || fail "control sequences in a pipe"

# JSON: one object per line, always.
watch status --json --watch=50ms
wait_until "ten lines" lines 10
accepts reset
wait_until "an error" has '"error":"there is no ledger'
accepts set --server "$server" --new --limit 20
count=$(wc -l <"$temp/watched")
wait_until "more lines" lines $((count + 3))
stop TERM
python3 -c 'import json, sys
lines = [json.loads(line) for line in open(sys.argv[1])]
assert all(list(l) in (["ledger", "servers"], ["ledger", "error"]) for l in lines)' "$temp/watched" || fail "no JSON"

# One server that does not exist is wrong from the start; so is a ledger that can't be used.
refuses 2 'knows no server nosuch:1' status --watch --server nosuch:1

# A terminal: cleared, redrawn in place, no more lines than it has; Ctrl-C gives the cursor back.
accepts set --limit 100
hold 40 --app web
"$terminal" 80 24 "wait:of 100 used" "run:$tool set --limit 99" "wait:of 99 used" key:c -- \
    "$tool" status --watch=50ms >"$temp/out" 2>"$temp/err"
expect "exit status after Ctrl-C: $(cat "$temp/err")" 0 $?
python3 -c '
import sys
text = open(sys.argv[1], "rb").read().decode().split("\033[2J", 1)
assert "\033[?25l" in text[0], "the cursor is not hidden first"
assert text[1].rstrip().endswith("\033[?25h") or "\033[?25h" in text[1][-12:], "nor shown last"
frames = text[1].split("\033[H")[1:]
assert len(frames) > 1, "frames"
for frame in frames[:-1]:
    assert frame.count("\n") <= 23, f"{frame.count(chr(10))} lines"
    assert "more lines" in frame, "does not say that there is more"
    assert all(line.startswith("\033[K") for line in frame.split("\n")[:-1]), "leaves the old line"
' "$temp/out" 2>"$temp/err" || fail "$(tail -n 1 "$temp/err"): $(cat -v "$temp/out")"
"$terminal" 80 24 "wait:of 99 used" "run:rm -r $ledger" "wait:there is no ledger" key:c -- \
    "$tool" status --watch=50ms >"$temp/out" 2>"$temp/err"
expect "exit status after Ctrl-C, without a ledger: $(cat "$temp/err")" 0 $?
NO_COLOR=1 "$terminal" 80 24 "wait:there is no ledger" key:c -- "$tool" status --watch=50ms >"$temp/out"
! grep -q $'\033\\[[0-9;]*m' "$temp/out" || fail "colour in spite of NO_COLOR"

# events -f: from the beginning, and on, over a reset; no busy polling.
watch events -f
wait_until "it waits for a ledger" has 'absent .*waiting'
accepts set --server "$server" --new --limit 20
wait_until "configured" has "configured +$server  -  pid [0-9]+  limit 20"
hold 1 --app web
wait_until "granted" has "granted +$server  web  pid ${pids[-1]}  waited 0\.0"
accepts reset --force
wait_until "it says that the ledger is gone" has 'removed .*replaced'
accepts set --server "$server" --new --limit 30
wait_until "it reads the new one" has "configured .* limit 30"
before=$(awk '{ print $14 + $15 }' "/proc/$watcher/stat")
hold 1 --app again
wait_until "granted again" has 'granted .* again'
used=$(($(awk '{ print $14 + $15 }' "/proc/$watcher/stat") - before))
[ "$used" -le 20 ] || fail "it polls: $used ticks"
stop INT
expect "configured twice, once each" 2 "$(grep -c configured "$temp/watched")"

# As JSON; and much at once: nothing twice, nothing out of order, and what is lost is said.
watch events -f --json
wait_until "the old ones" lines 2
"$client" --quiet --count 50 --rounds 40 --hold 0 --limit 100 --reserve 0 --server busy:1 >/dev/null
accepts set --server busy:1 --limit 77
wait_until "the last one" has '"limit":77'
stop HUP
python3 -c 'import json, sys
events = [json.loads(line) for line in open(sys.argv[1])]
numbers = [e["number"] for e in events if e["number"]]
assert numbers == sorted(set(numbers)), "order"
lost = sum(e["event"] == "lost" for e in events)
assert lost or len(numbers) == numbers[-1] - numbers[0] + 1, "silent gaps"
' "$temp/watched" 2>"$temp/err" || fail "$(tail -n 1 "$temp/err")"

# Whoever reads goes away.
"$tool" events -f --json 2>"$temp/err" | head -n 1 >"$temp/out" &
reader=$!
pids+=("$reader")
wait_until "the reader has gone" gone "$reader"
hold 2 --server more:1
wait_until "it notices that nobody reads" grep -q 'cannot write the output: Broken pipe' "$temp/err"

# The ledger is cut short under a watch.
watch status --watch=50ms
wait_until "it watches" has 'used'
truncate -s 0 "$ledger"
: >"$temp/watched"
wait_until "it says so" has 'is not a ledger|was changed'
stop TERM

# And in the very moment in which it is read: the terminal is left as it was, and it is said why.
accepts reset --force
accepts set --server "$server" --new --limit 20
for command in "status --watch=50ms" top; do
    "$terminal" 80 24 "wait:of 20 used" "run:kill -BUS \$(cat $temp/pid)" -- \
        sh -c "echo \$\$ >$temp/pid; exec $tool $command" >"$temp/out" 2>"$temp/err"
    expect "exit status of $command" 3 $?
    grep -q 'the ledger was truncated while it was read; remove it with "pqbudget reset --force"' "$temp/out" ||
        fail "$command: $(cat -v "$temp/out" "$temp/err")"
    grep -q $'\033\\[?25h' "$temp/out" || fail "$command leaves the terminal without a cursor: $(cat -v "$temp/out")"
done
