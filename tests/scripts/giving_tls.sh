#!/usr/bin/env bash
# Over TLS nothing gives way, by neither door: whoever waits is refused when his time is up. In plaintext, before the same
# server, it does.
# shellcheck source=tests/scripts/tool_common
. "$(dirname "$0")/tool_common"
if [ -z "${PQB_POSTGRES_DIR:-}" ]; then
    clean_up
    trap - EXIT
    exec scripts/with-postgres --tls -- "$0"
fi
export PQBUDGET_PORTS=$PGPORT PQBUDGET_LIMIT=2 PQBUDGET_RESERVE=0 PQBUDGET_YIELD=1ms PYTHONDONTWRITEBYTECODE=1
preload=$PQB_TEST_BUILD/libpqbudget.so doors=$PQB_TEST_BUILD/helpers/doors

# under COMMAND…: a program under the preload
under() {
    LD_PRELOAD=$preload "$@"
}

# keep COMMAND…: one that holds connections until it is told to go on; it has said so to $temp/held
keep() {
    mkfifo "$temp/go"
    under "$@" <"$temp/go" >"$temp/held" 2>"$temp/err" &
    pids+=($!)
    exec {go}>"$temp/go"
    rm "$temp/go"
    wait_until "it holds its connections" grep -sqx ready "$temp/held"
}

# goes_on EXPECTED: it says that next, and ends
goes_on() {
    echo >&"$go"
    exec {go}>&-
    wait "${pids[-1]}" || fail "its end: $(cat "$temp/held" "$temp/err")"
    unset "pids[-1]"
    [[ $(tail -n 1 "$temp/held") = $1* ]] || depth=1 fail "expected '$1': $(cat "$temp/held" "$temp/err")"
}

yielded() { state "s['yielded_total'] == $1"; }
encrypted() { state '[c["session"] for c in s["claims"]] == 2 * ["encrypted or not understood"]'; }
opened() { state '[c["state"] for c in s["claims"]] == ["open", "open"]'; }
idle() { state '[c["session"] for c in s["claims"]] == ["idle", "idle"]'; }

# stays: whoever wants one more is refused
stays() {
    PQBUDGET_WAIT=300ms under "$doors" connectdb "" finish >"$temp/out"
    grep -q 'sorry, too many clients already' "$temp/out" || depth=1 fail "not refused: $(cat "$temp/out")"
    yielded 0 || depth=1 fail "somebody gave way: $(cat "$temp/out")"
}
none_left() { state 's["used"] == 0 and not s["claims"]'; }

keep "$doors" connectdb "" connectdb "" pause query "select ssl from pg_stat_ssl where pid = pg_backend_pid()"
wait_until "they are not seen" encrypted
stays
goes_on t
wait_until "nobody is left" none_left

keep /usr/bin/python3 tests/support/encrypted.py
wait_until "they are open" opened
stays
goes_on "still here"
wait_until "nobody is left" none_left

# The opposite, or the above says nothing.
export PGSSLMODE=disable
keep "$doors" connectdb "" connectdb "" pause query "select 1"
wait_until "they are idle" idle
under "$doors" connectdb "" finish >"$temp/out"
grep -q '^ok ' "$temp/out" || fail "not let in: $(cat "$temp/out")"
yielded 1 || fail "nobody gave way: $(cat "$temp/out")"
goes_on ""
