#!/usr/bin/env bash
# What scripts/deps promises: quick and silent when nothing is missing, plain words when it cannot help.
# shellcheck source=tests/scripts/common
. "$(dirname "$0")/common"

# fake NAME: a command from stdin, in a PATH that has nothing but fakes and what is linked here
mkdir "$temp/bin"
fake() {
    { echo "#!/bin/sh"; cat; } >"$temp/bin/$1"
    chmod +x "$temp/bin/$1"
}
for tool in sh ls uname; do
    ln -s "$(command -v "$tool")" "$temp/bin/$tool"
done
deps() {
    PATH=$temp/bin /bin/sh scripts/deps "$@" >"$temp/out" 2>"$temp/err" </dev/null
}

# This machine runs the tests, so nothing they need is missing. Fast: it asks dpkg once and never apt.
fake dpkg-query <<E2
echo asked >>"$temp/asked"
exec "$(command -v dpkg-query)" "\$@"
E2
fake apt-get <<<"echo apt-get >>'$temp/asked'"
fake id <<<"echo 0"
deps check || fail "something is missing: $(cat "$temp/err")"
expect "stdout and stderr" "" "$(cat "$temp/out" "$temp/err")"
expect "questions to dpkg and apt" asked "$(cat "$temp/asked")"
deps demo || fail "something is missing: $(cat "$temp/err")"

deps no-such-group
expect "exit status for an unknown group" 2 $?

# Something is missing, and it may not install: neither root nor sudo; then a sudo that refuses.
fake dpkg-query <<<"exit 1"
fake id <<<"echo 1000"
refused() {
    deps model
    depth=1 expect "exit status without permission" 1 $?
    grep -q "apt-get install .*libc6-dev spin" "$temp/err" || depth=1 fail "unclear: $(cat "$temp/err")"
    expect "stdout" "" "$(cat "$temp/out")"
}
refused
fake sudo <<<"exit 1"
refused

# Another system.
rm "$temp/bin/dpkg-query"
deps model
expect "exit status elsewhere" 1 $?
grep -q "not Debian" "$temp/err" || fail "unclear: $(cat "$temp/err")"
grep -q "libc6-dev spin" "$temp/err" || fail "does not say what is missing: $(cat "$temp/err")"
