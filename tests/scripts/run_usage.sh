#!/usr/bin/env bash
# pqbudget-run: its options, what it answers to calls that make no sense, and what it leaves to the command.
# shellcheck disable=SC2016 # what is in single quotes is for other shells
# shellcheck source=tests/scripts/run_common
. "$(dirname "$0")/run_common"
wrapper=$source
settings='env | grep ^PQBUDGET | sort | paste -sd " "'

for shell in "${shells[@]}"; do
    # Wrong usage.
    refuses 2 'no command; see +pqbudget-run --help'
    refuses 2 'no command' -n 5 --
    refuses 2 "unknown option '-Z'" -Z true
    refuses 2 "unknown option '--frob'" --frob true
    refuses 2 "unknown option '--frob'" --frob=1 true
    refuses 2 "unknown option '-Z'" -qZ5 true
    refuses 2 '-n needs a value' -n
    refuses 2 '-n needs a value' -qn
    refuses 2 'no command' -qn5
    for option in n p w y a L; do
        refuses 2 "-$option wants .*" "-$option" '' true
    done
    for value in 0 -1 1.5 five 1234567890 '1 2' '$(id)'; do
        refuses 2 "-n wants a number" -n "$value" true
        refuses 2 "-p wants a number" -p "$value" true
    done
    refuses 2 '-w wants a time' -w 8h true
    refuses 2 '-w wants a time' -w s true
    refuses 2 '-y wants a time' -y 0 true
    refuses 2 '-y wants a time' -y 0s true
    refuses 2 '-a wants a name' -a $'a\tb' true
    refuses 2 '-a wants a name' -a 'ü' true
    for name in ../escape .hidden -j 'a b' a/b 'ü'; do
        refuses 2 '-L wants' -L "$name" true
    done
    refuses 2 '--ledger wants' --ledger ../escape true
    refuses 2 '--ledger wants' --ledger= true
    refuses 2 '--ledger needs a value' --ledger
    refuses 2 'no command' --ledger x
    refuses 2 "cannot read the env file '$temp/none'" -e "$temp/none" true
    refuses 2 "cannot read the env file '$temp'" -e "$temp" true
    refuses 2 '--prisma wants a URL' --prisma true

    # What it explains fits a terminal, and names every option.
    run --help
    expect "exit status of --help" 0 "$code"
    cp "$temp/out" "$temp/help"
    gives 0 "$(cat "$temp/help")" -h
    ! grep -qE '^.{81}' "$temp/help" || fail "--help is wider than 80 columns"
    for option in n p w y a e u L q -prisma; do
        grep -qE -- "^  -$option " "$temp/help" || fail "--help does not explain -$option"
    done

    # Options are the command's environment; what is not said there stays away.
    gives 0 "PQBUDGET_LEDGER=$PQBUDGET_LEDGER" sh -c "$settings"
    says "limit 85 for a server that is new; waiting up to 8s; ledger $PQBUDGET_LEDGER"
    gives 0 "PQBUDGET_APP=my app PQBUDGET_LEDGER=test.$$.2 PQBUDGET_LIMIT=010 PQBUDGET_PER_PROCESS=3 \
PQBUDGET_WAIT=500ms PQBUDGET_YIELD=30s" -n 010 -p3 -w 500ms -y 30s -a 'my app' -L "test.$$.2" -- sh -c "$settings"
    says "limit 010 .*500ms; 3 for a process; giving way when idle for 30s; app my app; ledger test.$$.2"
    gives 0 off -n5 -y off sh -c 'echo "$PQBUDGET_YIELD"'
    says "limit 5 .*; waiting up to 8s; ledger $PQBUDGET_LEDGER"
    gives 0 "PQBUDGET_LEDGER=/tmp/x y PQBUDGET_LIMIT=none PQBUDGET_WAIT=inf PQBUDGET_YIELD=off" \
        -n none -w inf -y off -L '/tmp/x y' -q sh -c "$settings"
    expect "what -q says" "" "$(cat "$temp/err")"
    gives 0 '5 -7' -qqn5 -aq -q sh -c 'echo "$PQBUDGET_LIMIT $1"' sh -7
    gives 0 "$(cat "$temp/help")" -qhn5
    gives 0 one -q --ledger one sh -c 'echo "$PQBUDGET_LEDGER"'
    gives 0 'two 5' -L one --ledger='two' -q -n 5 -- sh -c 'echo "$PQBUDGET_LEDGER $PQBUDGET_LIMIT"'
    gives 0 'a b' -q sh -c 'echo "$@"' --ledger a b
    PQBUDGET_LIMIT=7 PQBUDGET_WAIT=3s gives 0 "PQBUDGET_LEDGER=$PQBUDGET_LEDGER PQBUDGET_LIMIT=8 PQBUDGET_WAIT=3s" \
        -n 8 sh -c "$settings"

    # The command has the arguments, the input and the environment that it would have.
    gives 0 $'[-n]\n[5]\n[]\n[a  b]\n[*]\n[it\'s]\n["$x"]\n[x\ny]' -q -- printf '[%s]\n' \
        -n 5 '' 'a  b' '*' "it's" '"$x"' $'x\ny'
    # shellcheck disable=SC2086 # several words
    expect "input" "hello" "$(echo hello | $shell "$wrapper" -q cat)"
    unusual=(limit=1 url=2 app=3 value=4 file=5 $'lines=a\nb' EMPTY= "npm_package_name=x y")
    env "${unusual[@]}" env -0 | sort -z >"$temp/before"
    # shellcheck disable=SC2086
    env "${unusual[@]}" $shell "$wrapper" -q env -0 | grep -zvE '^(LD_PRELOAD|SHLVL|OLDPWD|PWD|_)=' | sort -z >"$temp/after"
    grep -zvE '^(SHLVL|OLDPWD|PWD|_)=' "$temp/before" | cmp - "$temp/after" ||
        fail "$shell: the environment is another one: $(diff <(tr '\0' '\n' <"$temp/before") <(tr '\0' '\n' <"$temp/after"))"
    before=$(bash -c 'ls -l /proc/self/fd | wc -l; umask; pwd')
    gives 0 "$before" -q bash -c 'ls -l /proc/self/fd | wc -l; umask; pwd'

    # Its exit status, or why there is none.
    for status in 0 1 2 3 42 125 126 127 255; do
        gives "$status" "" -q sh -c "exit $status"
    done
    gives 143 "" -q sh -c 'kill -TERM $$'
    gives 137 "" -q sh -c 'kill -KILL $$'
    refuses 127 "there is no command 'nosuch'" nosuch
    refuses 127 "there is no command './nosuch'" ./nosuch
    refuses 127 "there is no command ''" ''
    echo text >"$temp/plain"
    refuses 126 "'$temp/plain' can.t be executed" "$temp/plain"
    refuses 126 "'/' can.t be executed" /
    refuses 127 'a URL is no command; give it with -u' postgresql://u:geheim@h/db true
    ! grep -q geheim "$temp/err" || fail "a password is shown"
    mkdir -p "$temp/first" "$temp/second/-odd"
    echo 'echo found' >"$temp/second/pqb-tool"
    chmod 755 "$temp/second/pqb-tool"
    : >"$temp/first/pqb-tool"
    PATH=$temp/first:$temp/second:$PATH gives 0 found -q pqb-tool
    PATH=$temp/first:$PATH refuses 126 "'pqb-tool' can.t be executed" pqb-tool
    (cd "$temp/second" && PATH=:$PATH gives 0 found -q pqb-tool) || exit 1
    ln -sf /bin/echo "$temp/second/-x"
    PATH=$temp/second:$PATH gives 0 hello -q -- -x hello
    printf '#!%s/none\n' "$temp" >"$temp/second/lost"
    chmod 755 "$temp/second/lost"
    run -q "$temp/second/lost"
    [ "$code" = 127 ] || [ "$code" = 126 ] || fail "$shell: exit status $code without an interpreter"

    # PQBUDGET=off is off.
    PQBUDGET=off gives 0 "off/" sh -c 'echo "$PQBUDGET/${LD_PRELOAD-}"'
    says 'PQBUDGET=off'
done
