#!/usr/bin/env bash
# What somebody who comes first can put in a ledger's way in /dev/shm; and what of others' names and secrets it shows.
# shellcheck source=tests/scripts/security_common
. "$(dirname "$0")/security_common"

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
