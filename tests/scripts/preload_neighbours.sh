#!/usr/bin/env bash
# Another preload that has a PQconnectdb of its own, before the library and behind it: one connection, one slot.
# shellcheck source=tests/scripts/common
. "$(dirname "$0")/common"
build=${PQB_TEST_BUILD:-build/release}
ours=$build/libpqbudget.so
neighbour=$build/helpers/plugins/neighbour.so
export PQBUDGET_LEDGER=test.$$.1 PQBUDGET_LIMIT=1 PQBUDGET_WAIT=1s PQBUDGET_FAIL=closed
trap 'rm -rf "$temp" "/dev/shm/pqbudget.$(id -u).$PQBUDGET_LEDGER"*' EXIT

for preload in "$ours" "$neighbour $ours" "$ours $neighbour"; do
    export PRELOAD=$preload
    # shellcheck disable=SC2016 # for the inner shell
    out=$(scripts/with-postgres -- bash -c '
        env LD_PRELOAD="$PRELOAD" "$0" connectdb "" query "select 1" finish' "$build/helpers/doors" 2>&1)
    expect "exit status with $preload" 0 $?
    expect "the last line with $preload" 1 "${out##*$'\n'}"
done
