#!/usr/bin/env bash
# What the tool answers to calls that make no sense, and how it explains itself.
# shellcheck source=tests/scripts/tool_common
. "$(dirname "$0")/tool_common"

# One line each, and nothing happens.
refuses 2 'no command; .*pqbudget help'
refuses 2 "unknown command 'stauts'; .*pqbudget help" stauts
refuses 2 "unknown command ''" ''
refuses 2 "unknown option '--frob'" --frob
refuses 2 "unknown option '-x'" -x status
refuses 2 '--ledger wants' --ledger
refuses 2 '--ledger wants' --ledger ''
refuses 2 '--ledger wants' status --ledger=
verbs=(status top set pause resume events health metrics plan doctor serve reset)
for verb in "${verbs[@]}"; do
    # Of health 2 is an answer.
    wrong=2
    [ "$verb" != health ] || wrong=3
    refuses $wrong "$verb: unknown option '--frob'; see .*pqbudget help $verb" "$verb" --frob=1
    refuses $wrong "unknown option '-Z'" "$verb" -Z
    refuses $wrong "'--ledger' needs a value" "$verb" --ledger
    refuses $wrong "unexpected argument '(one|extra)'" "$verb" one extra
    refuses $wrong "unexpected argument '(one|extra)'" "$verb" -- one extra
    for name in ../escape .hidden 'a b' a/b "$(printf 'x%.0s' {1..65})" $'a\nb' $'a\033[2Jb' ü; do
        refuses $wrong 'is no name for a ledger' "$verb" --ledger "$name"
        refuses 2 'is no name for a ledger' --ledger "$name" "$verb"
    done
done
refuses 2 "'--json' takes no value" status --json=1
refuses 2 "'--server' needs a value" status --server
refuses 2 "'--force' takes no value" reset --force=yes
refuses 2 "unexpected argument" help status more
refuses 2 "unknown command" help frob
refuses 2 "unknown option '--\?\[2J'" status $'--\033[2J'
PQBUDGET_LEDGER=a/b refuses 2 'is no name for a ledger' status
PQBUDGET_LEDGER=/$(printf 'x%.0s' {1..5000}) refuses 2 'too long' status
[ ! -e "$ledger" ] || fail "something made the ledger"

# It explains itself, on stdout and within 80 columns.
accepts help
cp "$temp/out" "$temp/overview"
accepts --help
cmp "$temp/out" "$temp/overview" || fail "--help is not help"
for verb in "${verbs[@]}" help; do
    grep -q "^  $verb " "$temp/overview" || fail "the overview does not know $verb"
    accepts help "$verb"
    grep -q "^usage: pqbudget $verb" "$temp/out" || fail "help $verb: $(cat "$temp/out")"
    ! grep -qE '^.{81}' "$temp/out" || fail "help $verb is wider than 80 columns"
    cp "$temp/out" "$temp/help"
    [ "$verb" = help ] && continue
    accepts "$verb" --help
    cmp "$temp/out" "$temp/help" || fail "$verb --help is not help $verb"
    # Every option that is in the usage is explained.
    while read -r option; do
        grep -qE -- "^  (-., )?$option" "$temp/out" || fail "help $verb does not explain $option"
    done < <(grep -oE -- '--[a-z]+' "$temp/out")
done
accepts --version
expect "version" 1 "$(grep -cE '^pqbudget [0-9]+\.[0-9]+\.[0-9]+ ' "$temp/out")"

# --ledger before the verb, after it, in the environment; the last one counts.
refuses 3 'there is no ledger .*\.one yet' --ledger one status
refuses 3 'there is no ledger .*\.one yet' --ledger=one status
refuses 3 'there is no ledger .*\.two yet' --ledger one status --ledger two
refuses 3 "there is no ledger $temp/none yet" status --ledger "$temp/none"
PQBUDGET_LEDGER='' refuses 3 'there is no ledger .*\.'"no$$"' yet' status --ledger "no$$"

# Output that can't be written is an error.
for arguments in help --version "help set"; do
    # shellcheck disable=SC2086 # several words
    "$tool" $arguments >/dev/full 2>"$temp/err"
    expect "exit status of $arguments >/dev/full" 3 $?
    grep -q '^pqbudget: cannot write the output: No space left' "$temp/err" || fail "$(cat "$temp/err")"
    # shellcheck disable=SC2086
    "$tool" $arguments >&- 2>"$temp/err"
    expect "exit status of $arguments >&-" 3 $?
done
"$tool" status 2>&-
expect "exit status without stderr" 3 $?
