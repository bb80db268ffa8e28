#!/usr/bin/env bash
# A program that loads one copy of libpq after the other, each from a path of its own, as bundles are unpacked anew.
# shellcheck source=tests/scripts/common
. "$(dirname "$0")/common"
build=${PQB_TEST_BUILD:-build/release}
export PQBUDGET_LEDGER=test.$$.1 PQBUDGET_FAIL=closed
trap 'rm -rf "$temp" "/dev/shm/pqbudget.$(id -u).$PQBUDGET_LEDGER"*' EXIT

steps=() wanted=
for copy in {1..12}; do
    mkdir "$temp/$copy"
    cp -L "$(pkg-config --variable=libdir libpq)/libpq.so.5" "$temp/$copy/"
    steps+=(ffi "$temp/$copy/libpq.so.5" connectdb "" finish)
    wanted+="ok "
done
out=$(scripts/with-postgres -- env LD_PRELOAD="$build/libpqbudget.so" "$build/helpers/loader" "${steps[@]}" 2>&1)
expect "exit status" 0 $?
expect "what became of the connections" "$wanted" "$(cut -d ' ' -f 1 <<<"$out" | tr '\n' ' ')"
