#!/usr/bin/env bash
# A ledger that is absent, foreign, damaged, of another version, or busy: the tool says so and leaves it
# as it is.
# shellcheck source=tests/scripts/tool_common
. "$(dirname "$0")/tool_common"

verbs=("status" "status --json" "status --watch" "set --limit 5" "set --server $server --new --limit 5"
    "pause" "resume" "events" "events -f" "health" "metrics" "reset")

traits() {
    stat -c '%i %s %a %U %F' "$ledger"*
    [ ! -f "$ledger" ] || cksum <"$ledger"
}

# every PATTERN: what each verb answers, while the ledger stays as it is
every() {
    local verb before after
    before=$(traits)
    for verb in "${verbs[@]}"; do
        # shellcheck disable=SC2086 # several words
        depth=1 refuses 3 "$1" $verb
    done
    after=$(traits)
    depth=1 expect "the ledger" "$before" "$after"
}

# spoil OFFSET BYTES: writes bytes into the ledger
spoil() {
    printf %b "$2" | dd of="$ledger" bs=1 seek="$1" conv=notrunc status=none
}

fresh() {
    rm -rf "$ledger" "$ledger"~*
    accepts set --server "$server" --new --limit 20
}

# Absent. To watch or follow it is no error: it may come.
for verb in "status" "status --json" "set --limit 5" pause resume events health metrics; do
    # shellcheck disable=SC2086 # several words
    refuses 3 'there is no ledger .* yet: start a program .*--ledger' $verb
done
refuses 3 'there is no ledger .*: nothing to remove' reset
refuses 3 'there is no ledger .*: nothing to remove' reset --force
expect "what was made" "" "$(compgen -G "$ledger*")"

# Not a ledger.
: >"$ledger" && chmod 600 "$ledger"
every 'is not a ledger; remove it with "pqbudget reset --force"'
head -c 4000000 /dev/urandom >"$ledger"
every 'is not a ledger; remove it with "pqbudget reset --force"'
accepts reset --force
expect "reset --force" "removed $ledger" "$(cat "$temp/out")"
[ ! -e "$ledger" ] || fail "reset --force leaves it"

# Truncated, of another version, of another word size, damaged, without its lock files.
fresh
truncate -s 100000 "$ledger"
every 'is truncated .*reset --force'
fresh
spoil 8 '\x07\0\0\0'
every 'has layout version 7, this pqbudget needs .*end its users.*reset --force'
fresh
spoil 12 '\x20\0\0\0'
every 'was made by a 32-bit process'
fresh
spoil 24 '\xff'
every 'is damaged .*reset --force'
fresh
rm -rf "$ledger"~*
every 'lock files .* are gone.*reset --force'
accepts reset --force

# Foreign: what it is, whose it is, who may write to it, how many names it has.
mkdir "$ledger"
every 'is not a regular file; remove it, or use another --ledger'
refuses 3 'cannot remove' reset --force
rmdir "$ledger"
mkfifo -m 600 "$ledger"
every 'is not a regular file'
rm "$ledger"
fresh
mv "$ledger" "$temp/elsewhere"
ln -s "$temp/elsewhere" "$ledger"
every 'is a symbolic link; remove it, or use another --ledger'
rm "$ledger"
fresh
chmod 666 "$ledger"
every 'is open to others .*chmod 600 it'
fresh
ln "$ledger" "$ledger.second"
every 'has 2 names instead of one; remove it'
rm "$ledger.second"
if [ "$(id -u)" = 0 ]; then
    fresh
    chown nobody "$ledger"
    every 'belongs to user [0-9]+, not to you; use another --ledger'
fi

# Somebody sits in the critical section: who only reads does not care, who would change something gives up.
fresh
mkfifo "$temp/held" "$temp/release"
python3 - "$(echo "$ledger"~*)/guard" "$temp/held" "$temp/release" <<'PYTHON' &
import fcntl, sys
guard = open(sys.argv[1], "r+")
fcntl.lockf(guard, fcntl.LOCK_EX, 1)
open(sys.argv[2], "w").write("held\n")
open(sys.argv[3]).read()
PYTHON
pids+=($!)
disown
read -r _ <"$temp/held"
accepts status
accepts events
accepts health
accepts metrics
for verb in "set --limit 5" pause reset; do
    # shellcheck disable=SC2086 # several words
    refuses 3 'the ledger is busy' $verb
done
: >"$temp/release"
wait_until "the guard is free" gone "${pids[-1]}"
expect_state 's["limit"] == 20 and s["paused"] is False'

# Bytes at random where rows should be: whatever it shows, it is text, and JSON.
for seed in 1 2 3 4 5 6 7 8; do
    fresh
    python3 - "$ledger" "$seed" <<'PYTHON'
import random, sys
random.seed(int(sys.argv[2]))
with open(sys.argv[1], "r+b") as ledger:
    size = ledger.seek(0, 2)
    # Past what never changes: from the header's counters on. Most rows in use, with texts of any bytes.
    for _ in range(3000):
        ledger.seek(random.randrange(1320, size - 300))
        ledger.write(random.choice([random.randbytes(random.randrange(1, 300)), b"\1\0\0\0", b"\33[2J\n\7"]))
PYTHON
    run status --json
    [ "$code" = 0 ] || fail "seed $seed: exit status $code: $(cat "$temp/err")"
    is 'len(j["servers"]) >= 0' || fail "seed $seed: no JSON"
    for arguments in status events metrics; do
        run "$arguments"
        [ "$code" = 0 ] || fail "seed $seed: $arguments: exit status $code: $(cat "$temp/err")"
        python3 -c 'import sys, unicodedata
text = open(sys.argv[1], "rb").read().decode("utf-8")
sys.exit(any(unicodedata.category(c)[0] == "C" and c != "\n" for c in text))' "$temp/out" ||
            fail "seed $seed: $arguments prints what is no text"
    done
    run events --json
    python3 -c 'import json, sys
for line in open(sys.argv[1]): json.loads(line)' "$temp/out" || fail "seed $seed: events --json"
    run set --server "$server" --new --limit 7
    [ "$code" -le 3 ] || fail "seed $seed: set: exit status $code: $(cat "$temp/err")"
    accepts reset --force
done
