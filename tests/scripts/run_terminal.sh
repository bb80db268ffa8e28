#!/usr/bin/env bash
# pqbudget-run on a terminal: Ctrl-C and the other signals are the command's own, and so is how it ends.
# shellcheck disable=SC2016 # what is in single quotes is for other shells
# shellcheck source=tests/scripts/run_common
. "$(dirname "$0")/run_common"
wrapper=$source

# types STATUS STEP… -- COMMAND…: on a terminal; what it got is in $temp/out
types() {
    local wanted=$1 steps=()
    shift
    while [ "$1" != -- ]; do
        steps+=("$1")
        shift
    done
    shift
    # shellcheck disable=SC2086 # several words
    timeout 90 "$terminal" 80 24 "${steps[@]}" -- $shell "$wrapper" -q "$@" >"$temp/out" 2>"$temp/err"
    code=$?
    [ "$code" = "$wanted" ] ||
        depth=1 fail "$shell, $*: expected exit status $wanted, got $code: $(cat "$temp/out" "$temp/err")"
}

for shell in "${shells[@]}"; do
    # Who dies of it, who handles it, who has it ignored; a tree of processes as npm makes one.
    types 130 wait:ready key:c -- sh -c 'echo ready; exec sleep 1000'
    types 7 wait:ready key:c -- sh -c 'trap "exit 7" INT; echo ready; while :; do sleep 0.05; done'
    types 130 wait:ready key:c -- sh -c 'sh -c "echo ready; exec sleep 1000"; exit $?'
    types 42 wait:ready key:c wait:stopping -- bash -c '
        trap : INT
        bash -c "trap \"echo stopping; exit 42\" INT; echo ready; while :; do sleep 0.05; done"
        exit $?'
    # It is the very process: of the same number, in the foreground, on a terminal.
    types 0 -- sh -c 'test -t 0 && test -t 1 && test -t 2 && test "$(ps -o tpgid= -p $$)" -eq $$'
    # shellcheck disable=SC2086 # several words
    $shell "$wrapper" -q sh -c 'echo $$' >"$temp/out" &
    wait $!
    expect "the command's number" $! "$(cat "$temp/out")"
done
