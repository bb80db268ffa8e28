#!/usr/bin/env bash
# A thousand sockets of one process at once, which connect before the first says what it wants: over TCP all are let
# in, over Unix sockets those for which there is room; none is lost, never more than the limit are in, and all is
# given back.
# shellcheck source=tests/scripts/common
. "$(dirname "$0")/common"
build=${PQB_TEST_BUILD:-$PWD/build/release}
if [ -z "${PQB_POSTGRES_DIR:-}" ]; then
    rm -rf "$temp"
    trap - EXIT
    # It bears twice as many that have not logged in yet.
    exec scripts/with-postgres -c max_connections=600 -- "$0"
fi
trap 'rm -rf "$temp" "/dev/shm/pqbudget.$(id -u).test.$$".*' EXIT

# lines N TEXT: there are that many lines of this text
lines() { [ "$(grep -c "$2" "$temp/out")" -ge "$1" ]; }
peak() { "$build/pqbudget" status --json | grep -o '"peak": *[0-9]*' | grep -o '[0-9]*$'; }
is_empty() { "$build/pqbudget" status | grep -q ' 0 of 40 used, 0 waiting, 0 draining'; }

n=0
for kind in tcp mapped unix; do
    n=$((n + 1))
    export PQBUDGET_LEDGER=test.$$.$n PQBUDGET_PORTS=$PGPORT PQBUDGET_LIMIT=40 PQBUDGET_RESERVE=0 PQBUDGET_WAIT=30s
    mkfifo "$temp/in.$n"
    LD_PRELOAD=$build/libpqbudget.so "$build/helpers/sockets" crowd 1000 $kind pause hearcrowd 1000 pause \
        <"$temp/in.$n" >"$temp/out" 2>&1 &
    pid=$!
    exec 5>"$temp/in.$n"
    wait_until "all of them, $kind" lines 1 ready
    expect "asked, $kind" "1000 asked, 0 failed" "$(head -n 1 "$temp/out")"
    echo >&5
    wait_until "their ends, $kind" lines 2 ready
    outcome=$(sed -n 3p "$temp/out")
    [[ $outcome =~ ^([0-9]+)\ in,\ ([0-9]+)\ refused,\ 0\ lost$ ]] || fail "$kind: $outcome"
    # Over TCP they part from the server that has accepted them, and are put off; else 32 may wait connected.
    if [ "$kind" = unix ]; then
        [ "${BASH_REMATCH[1]}" -ge 72 ] || fail "$kind: $outcome"
    else
        [ "${BASH_REMATCH[1]}" = 1000 ] || fail "$kind: $outcome"
    fi
    wait_until "their slots, $kind" is_empty
    expect "the most at a time, $kind" 40 "$(peak)"
    exec 5>&-
    wait "$pid" || fail "$kind: it ended with $?"
done
