#!/usr/bin/env bash
# What the Makefile promises, tried on a copy of the tree.
# shellcheck source=tests/scripts/common
. "$(dirname "$0")/common"
unset MAKEFLAGS MAKELEVEL MFLAGS

tar -cf - --exclude=./build --exclude=./.git . | tar -xf - -C "$temp" || fail "no copy"
cd "$temp" || fail "no copy"

contains() {
    grep -q -- "$1" <<<"$2"
}

targets="all debug demo check check-unit check-asan check-tsan coverage check-musl check-valgrind check-clients check-page \
chaos suites model fuzz bench lint format install uninstall clean help"
expect "targets" "$targets" "$(make help | awk '{ print $1 }' | paste -sd ' ')"

# Quiet, or not; in parallel; and the second time there is nothing to do.
make -j4 >"$temp/out" 2>&1 || fail "make -j4: $(cat "$temp/out")"
grep -q '^  CC    shim/ledger/' "$temp/out" || fail "not the quiet form: $(head -n 3 "$temp/out")"
expect "what a second make does" "" "$(make --no-print-directory 2>&1 | grep -v 'Nothing to be done')"
rm build/release/libledger.a
contains '^rm -f build/release/libledger.a && ar ' "$(make V=1)" || fail "V=1 does not show the commands"

# Other flags rebuild; a removed source leaves no trace.
library=build/release/libconninfo.a
make -j4 CPPFLAGS=-DSOMETHING V=1 $library >"$temp/out" 2>&1 || fail "make CPPFLAGS=: $(cat "$temp/out")"
grep -q -- '-DSOMETHING .* -c ' "$temp/out" || fail "new flags rebuild nothing"
echo 'int pqb_stray;' >shim/conninfo/stray.c
make -j4 $library >/dev/null 2>&1 || fail "make with a new source"
contains stray.o "$(ar t $library)" || fail "a new source does not join"
rm shim/conninfo/stray.c
make $library >/dev/null 2>&1 || fail "make without it"
contains stray.o "$(ar t $library)" && fail "a removed source stays"

# Flavours never mix.
make -j4 build/debug/libconninfo.a >"$temp/out" 2>&1 || fail "a debug build: $(cat "$temp/out")"
grep -q build/release "$temp/out" && fail "a debug build touches build/release"
[ -s build/debug/libconninfo.a ] || fail "a debug build builds nothing"

make clean >/dev/null || fail "make clean"
absent build || fail "make clean leaves build/"
