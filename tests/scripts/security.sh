#!/usr/bin/env bash
# What a hostile user of the same machine can do to a ledger, and what he can't: another user in /dev/shm, and a member
# of a group that shares one.
# shellcheck source=tests/scripts/common
. "$(dirname "$0")/common"
build=${PQB_TEST_BUILD:-$PWD/build/release}
if [ -z "${PQB_POSTGRES_DIR:-}" ]; then
    rm -rf "$temp"
    trap - EXIT
    exec scripts/with-postgres -- "$0"
fi
export PQBUDGET_LEDGER=test.$$.1 PQBUDGET_PORTS=$PGPORT PQBUDGET_LIMIT=3 PQBUDGET_RESERVE=0 PQBUDGET_WAIT=2s
export LC_ALL=C.UTF-8 TERM=xterm
mine=/dev/shm/pqbudget.$(id -u).$PQBUDGET_LEDGER place=/dev/shm/test.group.$$
pids=()
clean_up() {
    [ ${#pids[@]} = 0 ] || kill -KILL "${pids[@]}" 2>/dev/null
    rm -rf "$temp" "$mine"* "$place"
}
trap clean_up EXIT
tool=$build/pqbudget client=$build/helpers/client psql=$(pg_config --bindir)/psql
[ -x "$psql" ] || psql=$(compgen -G '/usr/lib/postgresql/*/bin/psql' | tail -n 1)

# connects WHAT PATTERN: a program under the preload connects as if there were no ledger, and says why in one line
connects() {
    local before after
    before=$(stat -c '%i %s %a %U %F' "$mine"*)
    expect "$1: an answer" 7 "$(LD_PRELOAD=$build/libpqbudget.so timeout 60 "$psql" -qAtXc 'select 7' 2>"$temp/err" </dev/null)"
    after=$(stat -c '%i %s %a %U %F' "$mine"*)
    expect "$1: what was planted" "$before" "$after"
    expect "$1: lines" 1 "$(wc -l <"$temp/err")"
    grep -q "$2" "$temp/err" || fail "$1: unclear: $(cat "$temp/err")"
    if PQBUDGET_FAIL=closed LD_PRELOAD=$build/libpqbudget.so timeout 60 "$psql" -qAtXc 'select 7' \
        >"$temp/out" 2>"$temp/err" </dev/null; then
        fail "$1: connects with PQBUDGET_FAIL=closed"
    fi
    ! LC_ALL=C grep -q '[[:cntrl:]]' "$temp/err" || fail "$1: control characters"
}

# Planted where nobody has made one yet.
mkdir "$mine" && connects "a folder" 'is not a regular file'
rmdir "$mine"
mkfifo -m 600 "$mine" && connects "a FIFO" 'is not a regular file'
rm "$mine"
ln -s /dev/shm/nowhere.$$ "$mine" && connects "a link to nothing" 'is a symbolic link'
[ ! -e /dev/shm/nowhere.$$ ] || fail "a link was followed"
rm "$mine"
echo precious >"$temp/precious" && ln -s "$temp/precious" "$mine" && connects "a link" 'is a symbolic link'
expect "the file behind it" precious "$(cat "$temp/precious")"
rm "$mine"
"$tool" set --server here:1 --new --limit 3 >/dev/null && ln "$mine" "$mine.other" && connects "two names" 'has 2 names'
rm "$mine.other"
chmod 666 "$mine" && connects "mode 666" 'is open to others'
rm -rf "$mine"*

# Names of lock folders can't be known beforehand; what lies there with such a name stays.
mkdir "$temp/kept" && ln -s "$temp/kept" "$mine~0123456789abcdef" && touch "$temp/kept/guard" "$temp/kept/000"
"$tool" set --server here:1 --new --limit 3 >/dev/null || fail "with a link beside it"
"$tool" reset --force >/dev/null || fail "reset"
expect "files behind a link" "000 guard" "$(cd "$temp/kept" && echo ./* | sed 's,\./,,g')"
rm "$mine~0123456789abcdef"

# No password gets into the ledger, on whatever way it comes.
secret=pa55word$$
for way in "postgresql://$PGUSER:$secret@$PGHOST:$PGPORT/$PGDATABASE" "host=$PGHOST password=$secret" \
    "postgresql:///$PGDATABASE?password=$secret"; do
    LD_PRELOAD=$build/libpqbudget.so PGPASSWORD=$secret PQBUDGET_DEFAULTS="password=$secret" timeout 60 "$psql" "$way" \
        -qAtX -c '\! "'"$tool"'" status --json' >"$temp/out" 2>"$temp/err" </dev/null || fail "$way: $(cat "$temp/err")"
    grep -q '"state": *"open"' "$temp/out" || fail "not in the ledger: $(cat "$temp/out")"
    ! grep -q "${secret:0:4}" "$mine" "$temp/out" "$temp/err" || fail "the password is in it: $way"
done

# Names shown on a terminal: every character that moves a cursor, ends a line or turns the direction.
"$tool" reset --force >/dev/null || fail "reset"
python3 - "$client" "$temp" <<'PYTHON' &
import subprocess, sys, unicodedata
bad = [chr(c) for c in range(1, 0x110000) if unicodedata.category(chr(c)) in ("Cc", "Zl", "Zp")
       or unicodedata.bidirectional(chr(c)) in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
       or chr(c) in "\u200e\u200f\u061c\ufeff"]
held = []
while bad:
    part, bad = "".join(bad[:9]), bad[9:]
    held.append(subprocess.Popen(["c" + part, "--limit", "99", "--app", "a" + part, "--user", "\33[31m" + part,
        "--database", part, "--application-name", part, "--server", "s" + part + ":1"], executable=sys.argv[1],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE))
    assert any(line.startswith(b"holding") for line in held[-1].stdout)
open(sys.argv[2] + "/named", "w").close()
held[0].wait()
PYTHON
pids+=($!)
disown
named() { [ -e "$temp/named" ]; }
wait_until "all are named" named
"$tool" serve --listen 127.0.0.1:0 2>"$temp/where" >/dev/null </dev/null &
pids+=($!)
disown
wait_until "it serves" grep -sq listening "$temp/where"
url=$(sed -nE 's/.* (http:.*)\/$/\1/p' "$temp/where")
harmless() {
    python3 -c 'import re, sys, unicodedata
text = open(sys.argv[1], "rb").read().decode("utf-8").replace("\r\n", "\n")
if sys.argv[2] == "top": text = re.sub("\033(\\[[0-9;?]*[a-zA-Z]|[=>78]|\\([B0])", "", text)
bad = {c for c in text if c != "\n" and (unicodedata.category(c) in ("Cc", "Zl", "Zp") or c in "\u061c\u200e\u200f\ufeff"
    or unicodedata.bidirectional(c) in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"))}
assert text and not bad, f"{sys.argv[2]} shows {[hex(ord(c)) for c in bad]}"' "$temp/out" "$1" 2>"$temp/err" ||
        depth=1 fail "$(tail -n 1 "$temp/err")"
}
for verb in status 'status --json' events 'events --json' metrics; do
    # shellcheck disable=SC2086 # two words
    timeout 60 "$tool" $verb >"$temp/out" || fail "$verb"
    harmless "$verb"
done
for page in status.json metrics; do
    curl -sS -m 60 "$url/$page" >"$temp/out" || fail "$page"
    harmless "$page"
done
NO_COLOR=1 tests/support/terminal 120 50 'see:open' 'type:q' -- "$tool" top --interval 50ms >"$temp/out" || fail "top"
harmless top
kill -KILL "${pids[@]}"
pids=()
"$tool" reset --force >/dev/null || fail "reset"

# Another user from here on.
[ "$(id -u)" = 0 ] || exit 0
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
