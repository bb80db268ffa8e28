#!/usr/bin/env bash
# Whatever a program gives to libpq, in whatever form: its connection has the same parameters and the same errors
# under the preload as without it.
# shellcheck source=tests/scripts/common
. "$(dirname "$0")/common"
build=${PQB_TEST_BUILD:-build/release}
export PQBUDGET_LEDGER=test.$$.1 PQBUDGET_WAIT=1s
trap 'rm -rf "$temp" "/dev/shm/pqbudget.$(id -u).$PQBUDGET_LEDGER"*' EXIT
unset "${!PG@}"
printf '[one]\nhost=127.0.0.1\nport=1\ndbname=from_service\napplication_name=from_service\n' >"$temp/services"
export PGSERVICEFILE=$temp/services PGCONNECT_TIMEOUT=5

# compare WHAT STEP… -- NAME=VALUE…
compare() {
    local what=$1 steps=()
    shift
    while [ "$1" != -- ]; do
        steps+=("$1")
        shift
    done
    shift
    env "$@" "$build/helpers/doors" "${steps[@]}" >"$temp/direct" 2>"$temp/err.direct"
    expect "exit status, $what" 0 $?
    env "$@" LD_PRELOAD="$build/libpqbudget.so" "$build/helpers/doors" "${steps[@]}" >"$temp/twin" 2>"$temp/err.twin"
    expect "exit status under the preload, $what" 0 $?
    [ "$(wc -l <"$temp/direct")" -gt 100 ] || fail "$what: the program says next to nothing"
    expect "difference, $what" "" "$(diff "$temp/direct" "$temp/twin" | head -n 20)"
    expect "stderr, $what" "" "$(diff "$temp/err.direct" "$temp/err.twin" | head -n 20)"
}

# Port 1 is nobody's: all that is not closed by its own string ends there.
closed=(PGHOST=127.0.0.1 PGPORT=1 PGUSER=nobody)
compare "closed port" strings pairs random 300 -- "${closed[@]}"
compare "a service" strings pairs -- PGSERVICE=one PGUSER=nobody
compare "a service that is not there" strings -- PGSERVICE=two "${closed[@]}"
compare "empty variables" strings pairs -- "${closed[@]}" PGDATABASE= PGOPTIONS= PGAPPNAME= PGPASSWORD= PGSSLMODE=
compare "set variables" strings pairs -- "${closed[@]}" PGDATABASE=a=b PGOPTIONS='-c a.b=c\ d' PGAPPNAME="it's" \
    PGPASSWORD="\\" PGHOSTADDR=127.0.0.1
compare "another locale" strings -- "${closed[@]}" LC_ALL=C.UTF-8
compare "the application's name is nobody's business" strings pairs -- "${closed[@]}" PQBUDGET_APPLICATION_NAME=off
