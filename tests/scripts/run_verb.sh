#!/usr/bin/env bash
# pqbudget run: pqbudget-run by another name, from wherever the tool is, and nothing of the tool's own in between.
# shellcheck disable=SC2016 # what is in single quotes is for other shells
# shellcheck source=tests/scripts/run_common
. "$(dirname "$0")/run_common"
install_into "$temp/a prefix"
ln -s "$temp/a prefix/bin/pqbudget" "$temp/link"
show='echo "$LD_PRELOAD $PQBUDGET_LEDGER $$"'

# verb ARGUMENT…: the tool, its output in $temp/out and $temp/err, its exit status in $code
verb() {
    { timeout 60 "$tool" "$@" >"$temp/out" 2>"$temp/err" </dev/null; } 2>/dev/null
    code=$?
}

# does STATUS OUTPUT ARGUMENT…: exactly that
does() {
    local wanted=$1 out=$2
    shift 2
    verb "$@"
    [ "$code" = "$wanted" ] || depth=1 fail "$*: expected exit status $wanted, got $code: $(cat "$temp/err")"
    [ "$(cat "$temp/out")" = "$out" ] || depth=1 fail "$*: expected '$out', got '$(cat "$temp/out")'"
}

# What it says of itself is in the list, and leads to the wrapper's own words.
tool=$PQB_TEST_BUILD/pqbudget
verb help
grep -q '^  run  ' "$temp/out" || fail "the overview does not know run"
verb help run
expect "exit status of help run" 0 "$code"
grep -qx 'usage: pqbudget run \[OPTION\]... \[--\] COMMAND \[ARGUMENT\]...' "$temp/out" || fail "$(cat "$temp/out")"
! grep -qE '^.{81}' "$temp/out" || fail "help run is wider than 80 columns"
verb run --help
"$source" --help | cmp - "$temp/out" || fail "run --help is not the wrapper's"
verb run
says 'no command'
expect "exit status without a command" 2 "$code"

# From the source tree, from a prefix, by a link; with the tool's own option too.
does 0 "$(printf '[%s]\n' -q 'a  b' '*' '')" run -q -- printf '[%s]\n' -q 'a  b' '*' ''
does 0 "$PWD/build/release/libpqbudget.so" run -q printenv LD_PRELOAD
tool="$temp/a prefix/bin/pqbudget"
export TMPDIR=$temp
does 0 1 run -q grep -c 'r-xp.*/libpqbudget\.so$' /proc/self/maps
tool=$temp/link
does 0 1 run -q grep -c 'r-xp.*/libpqbudget\.so$' /proc/self/maps
does 0 other --ledger other run -q printenv PQBUDGET_LEDGER
does 0 third --ledger other run --ledger third -q printenv PQBUDGET_LEDGER
for status in 0 1 3 125 255; do
    does "$status" "" run -q sh -c "exit $status"
done
does 143 "" run -q sh -c 'kill -TERM $$'
does 127 "" run -q nosuch

# The very process, with the caller's signals and descriptors, also where the tool treats them in its own way.
tool=$PQB_TEST_BUILD/pqbudget
"$tool" run -q sh -c "$show" >"$temp/out" &
wait $!
expect "the command's number" "$PWD/build/release/libpqbudget.so $PQBUDGET_LEDGER $!" "$(cat "$temp/out")"
states='/^Sig(Blk|Ign|Cgt)/'
for setting in : 'trap "" PIPE' 'trap "" HUP'; do
    expect "signals after $setting" "$(bash -c "$setting; exec awk '$states' /proc/self/status")" \
        "$(bash -c "$setting; exec '$tool' run -q awk '$states' /proc/self/status")"
done
for closed in '0<&-' '1>&-' '0<&- 2>&-'; do
    bash -c "exec $closed; exec sh -c 'ls /proc/\$\$/fd >$temp/wanted'"
    bash -c "exec $closed; exec '$tool' run -q sh -c 'ls /proc/\$\$/fd >$temp/got'"
    cmp "$temp/wanted" "$temp/got" || fail "descriptors after $closed: $(cat "$temp/got")"
done

# Without the wrapper there is none; what lies in the current directory or along PATH is not it.
rm "$temp/a prefix/bin/pqbudget-run"
tool="$temp/a prefix/bin/pqbudget"
printf '#!/bin/sh\necho wrong\n' >"$temp/pqbudget-run"
chmod 755 "$temp/pqbudget-run"
(cd "$temp" && PATH=$temp:$PATH does 125 "" run true) || exit 1
grep -qx 'pqbudget: there is no pqbudget-run beside this program' "$temp/err" || fail "$(cat "$temp/err")"
