#!/usr/bin/env bash
# reset: never by mistake, and when it is meant, whoever lives on goes on with a new ledger.
# shellcheck source=tests/scripts/tool_common
. "$(dirname "$0")/tool_common"

left() { compgen -G "$ledger*"; }

# Unused: gone, with its lock files.
accepts set --server "$server" --new --limit 3 --reserve 0
accepts reset
expect "what it says" "removed $ledger" "$(cat "$temp/out")"
expect "what is left" "" "$(left)"

# Something live is in it: no, and nothing is changed.
accepts set --server "$server" --new --limit 3 --reserve 0
hold 2 --app web
inode=$(stat -c %i "$ledger")
refuses 1 '2 connections are held or wanted in .*: end their programs, or use --force' reset
expect_state 's["used"] == 2 and s["limit"] == 3'
hold 1 --app web
start --app web --wait forever
wait_until "one waits" state 's["waiting"] == 1'
refuses 1 '4 connections are held or wanted' reset
expect "the ledger's inode" "$inode" "$(stat -c %i "$ledger")"

# By force: a new ledger, in which the waiter is served, and which does not know the old holders.
accepts reset --force
expect "what it says" "removed $ledger" "$(cat "$temp/out")"
wait_until "the waiter goes on in a new ledger" said 2 "holding 1"
expect_state 's["used"] == 1 and s["claims"][0]["pid"] == '"${pids[2]}"
[ "$(stat -c %i "$ledger")" != "$inode" ] || fail "it is the old ledger"

# Old holders that give back do no harm to the new one.
kill -TERM "${pids[0]}" "${pids[1]}"
wait_until "they have gone" gone "${pids[0]}"
wait_until "they have gone" gone "${pids[1]}"
expect_state 's["used"] == 1'

# The dead are nothing live.
refuses 1 '1 connections? (is|are) held' reset
kill -KILL "${pids[2]}"
wait_until "it is dead" gone "${pids[2]}"
accepts reset
expect "what is left" "" "$(left)"

# Many try at once: one removes it, the others find nothing.
accepts set --server "$server" --new --limit 3
for i in 1 2 3 4; do
    "$tool" reset >"$temp/reset.$i" 2>&1 &
    waiting[i]=$!
done
for i in 1 2 3 4; do
    wait "${waiting[i]}"
    code=$?
    [ "$code" = 0 ] || [ "$code" = 3 ] || fail "exit status $code: $(cat "$temp/reset.$i")"
done
cat "$temp"/reset.* | grep -q "^removed" || fail "nobody removed it: $(cat "$temp"/reset.*)"
expect "what is left" "" "$(left)"
