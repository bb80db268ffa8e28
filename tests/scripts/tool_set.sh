#!/usr/bin/env bash
# set, pause and resume: each value takes effect while the ledger is in use, and nothing that is refused
# changes anything.
# shellcheck source=tests/scripts/tool_common
. "$(dirname "$0")/tool_common"

# Without a ledger there is nothing to change, and none is made by mistake.
for verb in "set --limit 5" "set --new --limit 5" pause resume; do
    # shellcheck disable=SC2086 # several words
    refuses 3 'there is no ledger' $verb
done
refuses 2 'reserve must be' set --server "$server" --new --reserve 2000000
refuses 1 'leaves nothing' set --server "$server" --new --limit 4 --reserve 4
expect "what a refused set made" "" "$(compgen -G "$ledger*")"

# It says what is in force, in one line.
accepts set --server "$server" --new --limit 20
expect "set --new" \
    "$server: limit 20, reserve 2, wait 8s, logins none, drain 200ms, slack 0" "$(cat "$temp/out")"
accepts set --limit 30 --reserve 4 --wait 500ms --logins 3 --drain 2s --slack 1 \
    --app web=10:2 --app a=b=none:1 --app bot=5 --alias db.internal:5432 --alias 10.1.2.3:5432 --new
expect "set of everything" "$server: limit 30, reserve 4, wait 500ms, logins 3, drain 2s, slack 1, \
app web=10:2, app a=b=none:1, app bot=5, alias db.internal:5432, alias 10.1.2.3:5432" "$(cat "$temp/out")"
expect_state 's["limit"] == 30 and s["reserve"] == 4 and s["slack"] == 1 and s["apps"] == [
    {"app": "web", "limit": 10, "min": 2, "used": 0, "waiting": 0},
    {"app": "a=b", "limit": None, "min": 1, "used": 0, "waiting": 0},
    {"app": "bot", "limit": 5, "min": 0, "used": 0, "waiting": 0}]'
accepts set --server DB.internal:5432 --new --limit 7 # another name, another server
accepts set --server db.internal:5432 --wait 0
grep -q "^$server: .* wait 0s" "$temp/out" || fail "an alias is not followed: $(cat "$temp/out")"

# Nothing of this changes anything.
state True && cp "$temp/out" "$temp/before"
s=(set --server "$server")
refuses 2 'nothing to change' set
refuses 2 'nothing to change' "${s[@]}"
refuses 2 '2 servers: name one with --server' set --limit 9
refuses 2 '2 servers: name one with --server' pause
for verb in "set --limit 9" pause resume; do
    # shellcheck disable=SC2086 # several words
    refuses 2 'knows no server nosuch:1: .*pqbudget status' $verb --server nosuch:1
    # shellcheck disable=SC2086
    refuses 2 "server's name has 1 to" $verb --server ''
done
refuses 2 "server's name has 1 to" set --new --limit 9 --server "$(printf 'x%.0s' {1..512})"
for value in '' abc -1 +1 1.5 ' 1' '1 ' 0x10 1e3 9999999999 $'1\n' 4294967295 18446744073709551615; do
    refuses 2 '--limit wants a number or' "${s[@]}" --limit "$value"
    for option in reserve logins slack; do
        refuses 2 "--$option wants a number, not" "${s[@]}" "--$option=$value"
    done
    refuses 2 '--wait wants a time' "${s[@]}" --wait "$value "
    refuses 2 '--app wants NAME=LIMIT' "${s[@]}" --app "web=$value"
    refuses 2 '--app wants NAME=LIMIT' "${s[@]}" --app "web=9:$value"
done
refuses 2 'limit must be between 1 and 1000000' "${s[@]}" --limit 0
refuses 2 'limit must be between 1 and 1000000' "${s[@]}" --limit 1000001
for option in reserve logins slack; do
    refuses 2 "$option must be between 0 and 1000000" "${s[@]}" "--$option" 1000001
    refuses 2 "--$option wants a number" "${s[@]}" "--$option" none
done
for value in '' s ms 5m 1h -1s 5sec 1.5s 9999999999ms 'inf '; do
    refuses 2 '--wait wants a time' "${s[@]}" --wait "$value"
    refuses 2 '--drain wants a time' "${s[@]}" --drain "$value"
done
refuses 2 'wait must be between' "${s[@]}" --wait 4294968
refuses 2 'drain must be between 0 and 60000' "${s[@]}" --drain 61
refuses 2 '--drain wants a time' "${s[@]}" --drain inf
refuses 2 '--app wants' "${s[@]}" --app web
refuses 2 "application's name" "${s[@]}" --app =5
refuses 2 "application's name" "${s[@]}" --app "$(printf 'x%.0s' {1..64})=5"
refuses 2 "application's limit must be" "${s[@]}" --app web=0
refuses 2 'minimum 6 is above the limit 5' "${s[@]}" --app web=5:6
refuses 2 'no application nosuch is known .*pqbudget status' "${s[@]}" --app nosuch=5
mapfile -t many < <(printf -- '--app=a%s=1\n' {1..33})
refuses 2 'more than 32 --app' "${s[@]}" --new "${many[@]}"
mapfile -t many < <(printf -- '--alias=a%s:1\n' {1..33})
refuses 2 'more than 32 --alias' "${s[@]}" "${many[@]}"
refuses 2 'an alias has 1 to' "${s[@]}" --alias ''
refuses 2 'an alias has 1 to' "${s[@]}" --alias "$(printf 'x%.0s' {1..112})"
refuses 1 'a reserve of 30 leaves nothing of a limit of 30' "${s[@]}" --reserve 30
refuses 1 'a reserve of 4 leaves nothing of a limit of 3' "${s[@]}" --limit 3
refuses 1 'minimums add up to 27, but limit less reserve is 26' "${s[@]}" --app web=none:26
refuses 1 'minimums add up to 3, but limit less reserve is 2' "${s[@]}" --limit 6
refuses 1 'is the server itself' "${s[@]}" --alias "$server"
# The last of several wrong values; the good ones before it are not taken either.
refuses 2 'slack must be' "${s[@]}" --limit 9 --app web=1 --alias other:1 --slack 9999999
state True
cmp "$temp/out" "$temp/before" || fail "something was changed: $(diff "$temp/out" "$temp/before")"

# Unlimited, and limited again.
accepts "${s[@]}" --limit none --wait none
grep -q 'limit none, .* wait inf' "$temp/out" || fail "unlimited: $(cat "$temp/out")"
expect_state 's["limit"] is None'
accepts "${s[@]}" --limit inf --wait inf --app web=inf
expect_state 's["limit"] is None and s["apps"][0]["limit"] is None and s["apps"][0]["min"] == 0'
accepts "${s[@]}" --limit 2 --reserve 0 --app a=b=none --wait inf --logins 0

# A change wakes who became eligible by it, and pausing holds everybody.
hold 2 --app web
start --count 1 --app web
third=$((${#pids[@]} - 1))
wait_until "one waits" state 's["waiting"] == 1 and s["used"] == 2'
accepts "${s[@]}" --limit 3
wait_until "it was woken by set" said "$third" "holding 1"
accepts pause --server "$server"
grep -q 'paused$' "$temp/out" || fail "pause: $(cat "$temp/out")"
accepts "${s[@]}" --limit 5
start --count 1 --app bot
fourth=$((${#pids[@]} - 1))
wait_until "it waits while paused" state 's["waiting"] == 1 and s["used"] == 3 and s["paused"] is True'
accepts pause --server "$server" # again
expect_state 's["waiting"] == 1 and s["paused"] is True'
accepts resume --server "$server"
wait_until "it was woken by resume" said "$fourth" "holding 1"
expect_state 's["waiting"] == 0 and s["used"] == 4 and s["paused"] is False'

# An application's limit holds it back, and only it.
accepts "${s[@]}" --app web=3
start --count 1 --app web
fifth=$((${#pids[@]} - 1))
wait_until "its limit holds it" state 's["waiting"] == 1 and s["apps"][0]["waiting"] == 1'
hold 1 --app bot
accepts "${s[@]}" --limit 9 --app web=4
wait_until "it was woken by its own limit" said "$fifth" "holding 1"

# A server that is found to be another's alias brings its claims along.
hold 2 --server DB.internal:5432
accepts "${s[@]}" --alias DB.internal:5432
expect_state 'len(j["servers"]) == 1 and s["used"] == 8' || fail "not merged"

# Full tables: nothing is changed either.
accepts set --server full:1 --new --limit 600
for ((i = 0; i < 128; i += 32)); do
    mapfile -t many < <(seq -f '--alias=full:%g' $((i + 2)) $((i + 33)))
    run set --server full:1 "${many[@]}"
done
for ((i = 0; i < 512; i += 32)); do
    mapfile -t many < <(seq -f '--app=many%g=5' "$i" $((i + 31)))
    run set --server full:1 --new "${many[@]}"
done
expect_state '[len(t["apps"]) for t in j["servers"] if t["server"] == "full:1"][0] >= 480'
mapfile -t many < <(seq -f '--app=more%g=5' 1 32)
refuses 3 'applications are all in use' set --server full:1 --new --limit 700 "${many[@]}"
refuses 3 'applications are all in use' set --server new:1 --new --limit 700 "${many[@]}"
mapfile -t many < <(seq -f '--alias=more:%g' 1 32)
refuses 3 'aliases are all in use' set --server full:1 --limit 700 "${many[@]}"
expect_state '[t["limit"] for t in j["servers"] if t["server"] in ("full:1", "new:1")] == [600]'
accepts reset --force

# Names are shown safely, whatever they are.
accepts set --server $'e\033[31mvil\n\xff:1' --new --limit 3 --app $'\tx=3'
expect "one safe line" 'e?[31mvil??:1: limit 3, reserve 0, wait 8s, logins none, drain 200ms, slack 0, app ?x=3' \
    "$(cat "$temp/out")"
