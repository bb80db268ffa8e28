#!/usr/bin/env bash
# What another user of the same machine can do to a ledger, and what he can't: one in /dev/shm, and a member of a group
# that shares one.
# shellcheck source=tests/scripts/security_common
. "$(dirname "$0")/security_common"
[ "$(id -u)" = 0 ] || skip "only root can be another user"

group=$(id -gn nobody)
as_nobody() { setpriv --reuid nobody --regid "$group" --clear-groups --pdeathsig KILL "$@"; }

# He takes the name first: said, and nothing else. He can't read or change what is ours, nor put others in our way.
# shellcheck disable=SC2016 # the inner shell's
as_nobody sh -c ': >"$1"; chmod 666 "$1"' sh "$mine"
connects "another user's file" 'belongs to user'
rm "$mine"
as_nobody mkfifo -m 666 "$mine" && connects "another user's FIFO" 'is not a regular file'
rm "$mine"
"$tool" set --server here:1 --new --limit 3 >/dev/null
for path in "$mine" "$mine"~*/guard "$mine"~*/000; do
    ! as_nobody cat "$path" >/dev/null 2>&1 || fail "$path can be read"
    # shellcheck disable=SC2016
    ! as_nobody sh -c ': >>"$1"' sh "$path" 2>/dev/null || fail "$path can be written"
    ! as_nobody rm -f "$path" 2>/dev/null || fail "$path can be removed"
    ! as_nobody mv "$path" "$path.moved" 2>/dev/null || fail "$path can be moved"
done
rm -rf "$mine"*

# A group that shares a ledger: a member writes anything into it, without end, while programs connect under it. They
# are let in or refused, or go on without it, and soon; none crashes or hangs.
mkdir -m 770 "$place" && chgrp "$group" "$place"
export PQBUDGET_LEDGER=$place/ledger
"$tool" set --server "localhost:$PGPORT" --new --limit 3 >/dev/null || fail "a shared one"
expect "who owns it" "660 root $group" "$(stat -c '%a %U %G' "$PQBUDGET_LEDGER")"
as_nobody "$tool" set --server "localhost:$PGPORT" --limit 4 >/dev/null || fail "a member may"
as_nobody "$tool" pause --server "localhost:$PGPORT" >/dev/null || fail "a member may stop grants"
! PQBUDGET_WAIT=0 LD_PRELOAD=$build/libpqbudget.so "$psql" -qAtXc 'select 7' >/dev/null 2>&1 || fail "not stopped"
as_nobody "$tool" resume --server "localhost:$PGPORT" >/dev/null || fail "a member may"
as_nobody "$(command -v python3)" - "$PQBUDGET_LEDGER" <<'PYTHON' &
import mmap, random, sys, time
ledger = open(sys.argv[1], "r+b")
bytes = mmap.mmap(ledger.fileno(), 0)
hot = [1316, 1400, 40832, 40832 + 384, 98176, 147328, 163712, 385920]  # where those who are here look
while True:
    for _ in range(300):
        at = random.choice(hot) + random.randrange(2000) if random.random() < 0.5 else random.randrange(1316, len(bytes) - 40)
        bytes[at:at + 8] = random.choice([random.randbytes(8), b"\xff" * 8, bytes[at:at + 4] + b"\0\0\1\0", b"%n%s%n%s"])
    bytes[1312:1316] = b"\0" * 4  # retired: they would only go on without it
    time.sleep(0.001)
PYTHON
pids+=($!)
disown
for round in 1 2 3 4 5 6 7 8; do
    for kind in libpq socket; do
        case $kind in
        libpq) program=("$psql" -qAtXc 'select 7') ;;
        socket) program=("$(command -v python3)" tests/support/wire.py open close) ;;
        esac
        LD_PRELOAD=$build/libpqbudget.so timeout 60 "${program[@]}" >"$temp/out" 2>"$temp/err" </dev/null
        code=$?
        [ "$code" -lt 124 ] || fail "round $round, $kind: exit status $code: $(cat "$temp/err")"
    done
    timeout 60 "$tool" status >"$temp/out" 2>"$temp/err" </dev/null
    code=$?
    [ "$code" -lt 124 ] || fail "round $round, status: exit status $code: $(cat "$temp/err")"
done
kill -KILL "${pids[@]}"
pids=()
"$tool" reset --force >/dev/null || fail "reset"
expect "after it" 7 "$(LD_PRELOAD=$build/libpqbudget.so timeout 60 "$psql" -qAtXc 'select 7' 2>&1)"
