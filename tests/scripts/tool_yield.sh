#!/usr/bin/env bash
# Who gives way, as the tool shows it: what the sessions do, in status, top and over HTTP; who gave way to whom, in
# events and metrics. The client tells what its session does when it is rung for, and not before.
# shellcheck source=tests/scripts/tool_common
. "$(dirname "$0")/tool_common"

happened() {
    "$tool" events --json | grep -q '"event":"yielded"'
}
# shows PATTERN: the text in $temp/out has it
shows() { grep -qE -- "$1" "$temp/out" || depth=1 fail "does not show $1: $(cat "$temp/out")"; }

# Where nobody follows a session there is nothing to show of any.
accepts set --server "$server" --new --limit 20 --reserve 0
hold 1 --app plain
accepts status
! grep -q SESSION "$temp/out" || fail "a column for nothing: $(cat "$temp/out")"

# Whoever shows sessions asks for them first; what pins one keeps it for ever.
hold 2 --app listener --yield 1 --session LISTEN
hold 1 --app busy --yield 1 --session active
hold 1 --app open --yield 1 --session 'idle in transaction'
hold 2 --app web --yield 3600000
wait_until "all have told" state '{c["app"]: c["session"] for c in s["claims"]} == {"plain": None,
    "listener": "LISTEN", "busy": "active", "open": "idle in transaction", "web": "idle"}'
valid status
is '{(c["app"], c["yield_s"]) for c in s["claims"]} == {("plain", None), ("listener", None), ("busy", 0.001),
    ("open", 0.001), ("web", 3600.0)} and all((c["idle_s"] is not None) == (c["app"] in ("listener", "web")) and
    (c["idle_s"] or 0) <= c["age_s"] + 0.01 for c in s["claims"])' || fail "$(cat "$temp/out")"
accepts status
shows '^  STATE .* WAIT  SESSION +COMMAND$'
shows '^  open +listener .*  LISTEN [0-9.]+[sm] +[^ ]'
shows '^  open +busy .*  active +[^ ]'
shows '^  open +open .*  idle in transaction  [^ ]'
shows '^  open +plain +[0-9]+ .*s {20,}[^ ]'
"$terminal" 80 24 'see:SESSION' 'see:listener .* LISTEN ' type:/transaction 'see:\[all 1\]' 'type:\nq' -- \
    "$tool" top --interval 50ms >"$temp/out" || fail "top: $(cat "$temp/out")"
"$tool" serve --listen 127.0.0.1:0 2>"$temp/where" >/dev/null </dev/null &
pids+=($!)
disown
wait_until "it serves" grep -sq listening "$temp/where"
hold 1 --app later --yield 1 --session 'a temporary table'
of_later() {
    curl -sS -m 60 "$(sed -nE 's/.* (http:.*)\/$/\1/p' "$temp/where")/status.json" >"$temp/out" && is '
        [c["session"] for c in s["claims"] if c["app"] == "later"] == ["a temporary table"]'
}
wait_until "status.json has sessions" of_later

# Nobody gives way unless somebody waits; then one who can, and it is told for whom, whatever his name is.
accepts metrics
grep -q '^pqbudget_yielded_total{.*} 0$' "$temp/out" || fail "metrics: $(cat "$temp/out")"
hold 2 --app pool --yield 1
accepts set --server "$server" --limit 10
start --app $'la\033te' --wait forever
wait_until "somebody gave way" happened
wait_until "it is granted" said $((${#pids[@]} - 1)) "holding 1"
accepts events --json
valid events
grep '"event":"yielded"' "$temp/out" >"$temp/yielded"
python3 -c 'import json, sys
e = json.load(open(sys.argv[1]))
assert list(e) == ["number", "time", "event", "server", "app", "pid", "idle_s", "for_pid", "for_app"], "keys"
assert (e["server"], e["app"], e["pid"], e["for_app"], e["for_pid"]) == (
    sys.argv[2], "pool", int(sys.argv[3]), "la\x1bte", int(sys.argv[4])), "who"
assert e["idle_s"] > 0, "idle"' "$temp/yielded" "$server" "${pids[-2]}" "${pids[-1]}" 2>"$temp/err" ||
    fail "$(tail -n 1 "$temp/err"): $(cat "$temp/yielded")"
expect_state 's["yielded_total"] == 1 and s["used"] == 10'
accepts status
shows '^  granted .*, died [0-9]+, gave way 1$'
accepts metrics
shows '^pqbudget_yielded_total\{.*\} 1$'
accepts events
shows "  yielded     $server  pool  pid ${pids[-2]}  gave way to la\?te \(pid ${pids[-1]}\) after [0-9]+\.[0-9] s idle$"
