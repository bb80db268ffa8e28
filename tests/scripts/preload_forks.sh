#!/usr/bin/env bash
# Children of a program whose other threads were inside the loader when it forked: they connect as they do without us.
# shellcheck source=tests/scripts/common
. "$(dirname "$0")/common"
build=${PQB_TEST_BUILD:-build/release}
export PQBUDGET_LEDGER=test.$$.1 PQBUDGET_FAIL=closed
trap 'rm -rf "$temp" "/dev/shm/pqbudget.$(id -u).$PQBUDGET_LEDGER"*' EXIT

out=$(scripts/with-postgres -- env LD_PRELOAD="$build/libpqbudget.so" "$build/helpers/doors" forkload 60 "" \
    "$build/helpers/plugins/client.so" 2>&1)
expect "exit status" 0 $?
expect "what became of the children" "children 60 bad 0" "$out"
