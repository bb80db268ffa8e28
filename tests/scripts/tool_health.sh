#!/usr/bin/env bash
# health: how close to the limit, of the ledger and of the server, by exit status, for people and as JSON.
# shellcheck disable=SC2034 # of tool_server
settings=(-c max_connections=20)
# shellcheck source=tests/scripts/tool_server
. "$(dirname "$0")/tool_server"

# answers STATUS PATTERN ARGUMENT…: exit status and what it says, in words and in valid JSON
answers() {
    local wanted=$1 pattern=$2
    shift 2
    run health "$@" --json
    [ "$code" = "$wanted" ] || depth=1 fail "health $* --json: exit status $code: $(cat "$temp/out" "$temp/err")"
    depth=1 valid health
    local names=(ok warning critical unknown)
    is "j['status'] == '${names[wanted]}'" || depth=1 fail "health $*: $(cat "$temp/out")"
    cp "$temp/out" "$temp/json"
    if [ "$wanted" = 3 ]; then
        depth=1 refuses 3 "cannot tell: .*$pattern" health "$@"
        return
    fi
    run health "$@"
    [ "$code" = "$wanted" ] || depth=1 fail "health $*: exit status $code: $(cat "$temp/out" "$temp/err")"
    [ ! -s "$temp/err" ] || depth=1 fail "health $* complains: $(cat "$temp/err")"
    grep -qE -- "$pattern" "$temp/out" || depth=1 fail "health $*: $(cat "$temp/out")"
    expect "lines" 1 "$(wc -l <"$temp/out")"
}
json() { is "$1" "$temp/json" || depth=1 fail "not so: $1: $(cat "$temp/json")"; }

# The ledger: absent, empty, below, at and above the bars.
answers 3 "there is no ledger"
accepts set --server "$server" --new --limit 10 --reserve 0
answers 0 "^ok: $server, 0 of 10 connections in use \(0 %\), 0 waiting \(asked the ledger\)$"
json 'j["warning"] is None and list(j["database"]["connections"].items())[:5] == [("total", 0), ("idle", None),
    ("active", None), ("waiting", 0), ("limit", 10)] and j["database"]["source"] == "ledger"'
hold 6
answers 0 "6 of 10 .*60 %"
hold 1
answers 1 "^warning: .*, 7 of 10 .*70 %"
json 'j["warning"] == "7 of 10 connections are in use (70 %)"'
answers 0 "^ok: " --warn 71
answers 2 "^critical: " --warn 60% --crit 70%
hold 2
answers 2 "^critical: .*90 %"
json 'j["warning"] == "9 of 10 connections are in use (90 %)" and j["database"]["connections"]["total"] == 9'
accepts set --limit 9
start --wait forever
wait_until "one waits" state 's["waiting"] == 1'
answers 2 "100 %\), 1 waiting"

# Of several servers the worst; one of them; paused; without a limit.
accepts set --server calm:1 --new --limit 100
answers 2 "^critical: $server"
answers 0 "^ok: calm:1" --server calm:1
accepts pause --server calm:1
answers 1 "^warning: calm:1, .*, paused" --server calm:1
accepts set --server open:1 --new --limit none
answers 3 "the ledger sets no limit" --server open:1
answers 2 "^critical: $server"
answers 3 "knows no server nosuch:1" --server nosuch:1
kill -KILL "${pids[@]}"
wait_until "all are gone" state 's["used"] == 0'
accepts reset --force
accepts set --server $'a"\\ \033[2Jü:1' --new --limit 10
answers 0 '^ok: a"\\ \?\[2Jü:1, '
json 'j["database"]["server"] == "a\"\\ \x1b[2Jü:1"'

# The server: below, at and above the bars; the tool's own connection does not count.
answers 0 "^ok: $here, 0 of 20 connections in use \(0 %\), 0 idle, 0 active \(asked the server\)$" "$url"
keep 13
answers 0 "13 of 20 .*65 %\), 13 idle, 0 active" "$url"
json 'list(j["database"]["connections"].items())[:5] == [("total", 13), ("idle", 13), ("active", 0),
    ("waiting", None), ("limit", 20)] and j["database"]["source"] == "server"'
keep 1
answers 1 "^warning: $here, 14 of 20 .*70 %" "$url"
answers 1 "^warning: " "host=$PGHOST port=$PGPORT dbname=postgres"
answers 1 "^warning: " postgres
answers 1 "^warning: " "postgresql+psycopg2://postgres@$PGHOST:$PGPORT/postgres?connection_limit=3&schema=web"
answers 0 "^ok: " "$url" --warn 90

# Others' rows are hidden from who is nobody: he knows how many, not what they do.
sql "CREATE ROLE nobody LOGIN"
answers 1 "14 of 20 connections in use \(70 %\) \(asked the server\)" "postgresql://nobody@$PGHOST:$PGPORT/postgres"
json 'j["database"]["connections"]["idle"] is None and j["database"]["connections"]["active"] is None'

# It is not under the budget it asks about.
accepts reset --force
PQBUDGET_LIMIT=0 PQBUDGET_WAIT=0 LD_PRELOAD=$PQB_TEST_BUILD/libpqbudget.so answers 1 "14 of 20" "$url"
[ ! -e "$ledger" ] || fail "it took a connection out of the budget"

# Full: an answer, though nobody can be asked.
keep 3
answers 2 "^critical: $here, .*(remaining connection slots are reserved|sorry, too many clients)" \
    "postgresql://nobody@$PGHOST:$PGPORT/postgres"
json 'j["database"]["connections"]["total"] is None and "53300" in j["warning"]'

# Nobody there, nobody let in, nothing that makes sense; and the password stays where it is.
answers 3 "connection to server at .*failed: Connection refused" "postgresql://u:sEcret@127.0.0.1:1/db"
answers 3 'role "nosuch" does not exist' "postgresql://nosuch:sEcret@$PGHOST:$PGPORT/postgres"
answers 3 'database "nosuch" does not exist' "postgresql://postgres:sEcret@$PGHOST:$PGPORT/nosuch"
for secret in "postgresql://u:sEcret@h" "u:sEcret@h" "postgresql://u:sEc@ret@h/db" "postgresql://u:sEc/ret@h/db" \
    "postgresql://u:sEc?ret@h/db" "postgresql://u:sEc%ret@h/db" "postgresql://u:sEcret@[::1/db" "password=x sEcret" \
    "postgresql://u:p@h/?sEcret=1&sEcret" "sEcret=x" "password=x host='sEcret" "postgresql:/u:sEcret@h"; do
    for argument in "" --json; do
        # shellcheck disable=SC2086 # none or one
        PGCONNECT_TIMEOUT=1 run health "$secret" $argument
        expect "exit status for $secret" 3 "$code"
        ! grep -qE "sEc|[rR]et@|cret" "$temp/out" "$temp/err" || fail "$secret: $(cat "$temp/out" "$temp/err")"
    done
done
refuses 2 "status: unexpected argument, a connection string" status "postgresql://u:sEcret@h"

# Wrong usage is no answer: 2 is one here.
refuses 3 "health: --warn wants a percentage, not 'x'" health --warn x
refuses 3 "health: --crit wants a percentage, not '101'" health --crit 101
refuses 3 "health: --warn is above --crit" health --warn 95
refuses 3 "health: --server is of the ledger" health --server "$here" "$url"
refuses 3 "health: unexpected argument 'b'" health a b

# A terminal has colour.
"$terminal" 80 24 -- "$tool" health "$url" --warn 50 >"$temp/out"
expect "exit status on a terminal" 1 $?
grep -q $'^\033\\[33mwarning\033\\[0m: ' "$temp/out" || fail "no colour: $(cat -v "$temp/out")"
