#!/usr/bin/env bash
# Who dies, or goes away, in the midst of PQreset leaves a login behind that the server goes on with: it counts.
# shellcheck source=tests/scripts/common
. "$(dirname "$0")/common"
build=${PQB_TEST_BUILD:-$PWD/build/release}
if [ -z "${PQB_POSTGRES_DIR:-}" ]; then
    rm -rf "$temp"
    trap - EXIT
    # A login takes its time.
    exec scripts/with-postgres -c post_auth_delay=3 -- "$0"
fi
export PQBUDGET_LEDGER=test.$$.1 PQBUDGET_LIMIT=1 PQBUDGET_RESERVE=0
pid=
clean_up() {
    [ -z "$pid" ] || kill -KILL "$pid" 2>/dev/null
    rm -rf "$temp" "/dev/shm/pqbudget.$(id -u).$PQBUDGET_LEDGER"*
}
trap clean_up EXIT

said() { [ "$(wc -l <"$temp/out")" -ge "$1" ]; }
# Nobody else gets its slot, though he looks for the dead all the while.
counts() {
    local next
    next=$(PQBUDGET_WAIT=500ms LD_PRELOAD=$build/libpqbudget.so "$build/helpers/doors" connectdb host=127.0.0.1 5>&-)
    [[ $next == bad*"; waited "[0-9]*.[0-9]" s."* ]] || depth=1 fail "$1: the next one: $next: $("$build/pqbudget" status)"
    is 1 || depth=1 fail "$1: $("$build/pqbudget" status)"
}
is() { "$build/pqbudget" status | grep -q "  1 of 1 used, 0 waiting, $1 draining"; }
gone() { ! kill -0 "$pid" 2>/dev/null; }
# The server's processes that log in, as they call themselves.
logs_in() { [ "$(pgrep -c -P "$(head -n 1 "$PQB_POSTGRES_DIR/data/postmaster.pid")" -f 'startup$|authentication$')" -ge 1 ]; }

# begin STEP…: a client that has connected, and goes on to these steps
begin() {
    mkfifo "$temp/in"
    LD_PRELOAD=$build/libpqbudget.so "$build/helpers/doors" connectdb host=127.0.0.1 pause "$@" <"$temp/in" \
        >"$temp/out" 2>&1 &
    pid=$!
    disown # nobody need hear how it died
    exec 5>"$temp/in"
    wait_until "a login: $(cat "$temp/out")" said 2
    "$build/pqbudget" set --drain 60s >/dev/null || fail "set"
    is 0 || fail "not counted: $("$build/pqbudget" status)"
    echo >&5
}

begin reset pause
wait_until "a second login" logs_in
kill -KILL "$pid"
wait_until "its death" gone
counts "after a death"
exec 5>&-
rm "$temp/in"
"$build/pqbudget" reset --force >/dev/null || fail "reset"
wait_until "the end of that login" eval '! logs_in'

begin resetstart finish pause
wait_until "the end of a connection" said 3
counts "after PQfinish"
