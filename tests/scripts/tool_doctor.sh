#!/usr/bin/env bash
# doctor: a server against the ledger; every connection with its process, what is wrong, what to do.
# shellcheck disable=SC2034 # of tool_server
settings=(-c max_connections=20 -c superuser_reserved_connections=3)
# shellcheck source=tests/scripts/tool_server
. "$(dirname "$0")/tool_server"
library=$PQB_TEST_BUILD/libpqbudget.so

# examines STATUS EXPRESSION ARGUMENT…: exit status, JSON, a truth about it (f: findings by id, b: backends
# by pid); the same status in words, which are kept in $temp/out
examines() {
    local wanted=$1 truth=$2
    shift 2
    run doctor "$@" --json
    [ "$code" = "$wanted" ] || depth=1 fail "doctor $* --json: exit status $code: $(cat "$temp/out" "$temp/err")"
    cp "$temp/out" "$temp/json"
    holds "$truth" || depth=1 fail "not so: $truth: $(tail -n 3 "$temp/invalid"): $(cat "$temp/json")"
    run doctor "$@"
    [ "$code" = "$wanted" ] || depth=1 fail "doctor $*: exit status $code: $(cat "$temp/out" "$temp/err")"
    [ "$code" = 3 ] || [ ! -s "$temp/err" ] || depth=1 fail "doctor $* complains: $(cat "$temp/err")"
}
holds() {
    cat "$temp/json" >>"$temp/all" # judged by the schema at the end
    python3 - "$1" "$temp/json" 2>"$temp/invalid" <<'PYTHON'
import json, sys
j = json.load(open(sys.argv[2], encoding="utf-8"))
f = {x["id"]: x for x in j["findings"]}
b = {x["pid"]: x for x in j["backends"]}
n = j["connections"]
assert eval("(" + sys.argv[1] + ")", {"j": j, "f": f, "b": b, "n": n})
PYTHON
}
says() { grep -qE -- "$1" "$temp/out" || depth=1 fail "does not say $1: $(cat "$temp/out")"; }

# meet [NAME=VALUE]… -- ARGUMENT…: a stranger (tests/support/stranger.py) that is connected when this returns; its
# last backend is $backend
meet() {
    local environment=()
    while [ "$1" != -- ]; do
        environment+=("$1")
        shift
    done
    shift
    env ${environment[@]+"${environment[@]}"} python3 tests/support/stranger.py "$@" \
        >"$temp/client.${#pids[@]}" 2>&1 </dev/null &
    pids+=($!)
    disown
    wait_until "a stranger is connected" said $((${#pids[@]} - 1)) connected
    [[ " $*" != *\ --\ /* ]] || wait_until "it is somebody else" has_changed "${pids[-1]}"
    backend=$(sed -n 's/^backend //p' "$temp/client.$((${#pids[@]} - 1))" | tail -n 1)
}

# Whether a stranger has become what it was to be, and that has loaded its libraries: it sleeps.
has_changed() {
    [[ "$(cat "/proc/$1/stat")" =~ \((.*)\)\ S ]] && [[ "${BASH_REMATCH[1]}" != python* ]] && [ "${BASH_REMATCH[1]}" != env ]
}

# meet_why REASON [NAME=VALUE]… -- ARGUMENT…: a stranger that is found to be none of the ledger's for that reason
whys=()
meet_why() {
    local why=$1
    shift
    meet "$@"
    whys+=("($backend, ${pids[-1]}, '$why')")
}

# everybody_goes: ends all programs and waits until the server has noticed
everybody_goes() {
    kill -KILL "${pids[@]}" 2>/dev/null
    wait_until "everybody has gone" has_clients 0
    rm -f "$temp"/client.*
    pids=()
}

# Nothing at all; a ledger that does not know the server; one that does, and nobody connected: all is well.
examines 1 'list(f) == ["no_ledger"] and n["total"] == 0 and j["ledger"]["error"]' "$url"
says '^warning: there is no ledger '
accepts set --server other:1 --new --limit 5
examines 0 'list(f) == ["unknown_server"] and not j["ledger"]["knows_server"]' "$url"
says '^nothing is wrong$'
accepts reset --force
accepts set --server "$here" --new --limit 12 --reserve 0
examines 0 'not f and n == dict.fromkeys(n, 0) and j["server"]["max_connections"] == 20 and
    (j["server"]["reserved"], j["ledger"]["limit"], j["backends"], j["claims"]) == (3, 12, [], [])' "$url"
says "^server $here  0 of 20 connections in use, 3 reserved for superusers; PostgreSQL [0-9]"
says "^ledger $here  0 used of a limit of 12, 0 waiting, 0 draining"

# Under the preload, by both doors, over TCP and a Unix socket: each with its process and its claim.
keep 2 LD_PRELOAD="$library"
meet LD_PRELOAD="$library" PQBUDGET_APP=tcp -- --count 2
meet LD_PRELOAD="$library" PQBUDGET_APP=unix -- --unix
examines 1 'list(f) == ["two_names"] and f["two_names"]["count"] == 1 and n["managed"] == 5' "$url"
read -r -a remedy < <(sed -n 's/^    pqbudget //p' "$temp/out")
accepts "${remedy[@]}"
examines 0 'not f and n["managed"] == n["total"] == n["idle"] == 5 and
    sorted((x["claim"]["app"], x["claim"]["door"], x["process"]["pid"], x["unix_socket"]) for x in j["backends"]) == [
    ("pool", "libpq", '"${pids[-3]}"', False)] * 2 + [("tcp", "socket", '"${pids[-2]}"', False)] * 2 + [
    ("unix", "socket", '"${pids[-1]}"', True)] and all(x["claim"]["pid"] == x["process"]["pid"] and
    x["claim"]["backend_pid"] == x["pid"] for x in j["backends"])' "$url"
says "^  managed +${pids[-2]} +[^ ]+ +2 +2 +0 +[0-9.]+[sm] +postgres +stranger +.*python3 tests/support/stranger.py"
LD_PRELOAD=$library PQBUDGET_LIMIT=0 PQBUDGET_WAIT=0 examines 0 'n["total"] == 5' "$url"
expect_state 's["used"] == 5'

# The claims that wait, and a pause; what comes to be seen when a transaction is left open.
accepts set --server "$here" --limit 5
start --server "$here" --wait forever
wait_until "one waits" state 's["waiting"] == 1'
accepts pause --server "$here"
examines 1 'set(f) == {"paused", "waiting"} and [c["state"] for c in j["claims"]] == ["waiting"] and
    j["claims"][0]["pid"] == '"${pids[-1]}"' and j["ledger"]["waiting"] == 1 and j["ledger"]["paused"]' "$url"
says "^    pqbudget resume --server $here"
says '^warning: 1 waits for a connection now, the longest for [0-9.]+[sm]'
accepts resume --server "$here"
everybody_goes
accepts set --server "$here" --limit 12

# Everybody who is not in the ledger, and why.
cat >"$temp/pause.c" <<'C'
#include <unistd.h>
#ifdef GO
__attribute__((section(".go.buildinfo"), used)) static const char info[] = "go";
#endif
int main(void)
{
    for (;;)
        pause();
}
C
gcc -static -o "$temp/static" "$temp/pause.c" || fail "gcc -static"
gcc -DGO -o "$temp/go" "$temp/pause.c" || fail "gcc"
cp "$library" "$temp/libpqbudget.so"
cp /bin/sleep "$temp/pgbouncer"
cp /bin/sleep "$temp/setuid"
# For root it is one if it makes him somebody else, and the file system allows that.
is_secure() {
    [ "$(id -u)" = 0 ] && chown nobody "$1" && chmod 4755 "$1" && ! findmnt -no OPTIONS -T "$1" | grep -q nosuid
}
past=(-- -- /usr/bin/env -u PQBUDGET) # as if the connection had been made by what nobody sees
ports=PQBUDGET_PORTS=$PGPORT
meet_why earlier LD_PRELOAD="$library" PQBUDGET=off "${past[@]}" "$ports" /bin/sleep 1000
accepts reset --force
accepts set --server "$here" --new --limit 3 --reserve 0
meet_why not_preloaded --
meet_why not_preloaded -- --unix
meet_why off LD_PRELOAD="$library" PQBUDGET=OFF --
meet_why other_ledger LD_PRELOAD="$library" PQBUDGET_LEDGER="$PQBUDGET_LEDGER.other" --
meet_why door_off LD_PRELOAD="$library" PQBUDGET_DOORS=libpq --
meet_why no_library LD_PRELOAD="$temp/nowhere/libpqbudget.so" --
meet_why static -- -- "$temp/static"
meet_why go LD_PRELOAD="$library" PQBUDGET=off "${past[@]}" "$ports" "$temp/go"
meet_why port LD_PRELOAD="$library" PQBUDGET=off "${past[@]}" /bin/sleep 1000
meet_why past_the_hooks LD_PRELOAD="$library" PQBUDGET=off "${past[@]}" "PQBUDGET_PORTS=1, $PGPORT" /bin/sleep 1000
meet_why replaced_library LD_PRELOAD="$temp/libpqbudget.so" PQBUDGET=off "${past[@]}" "$ports" /bin/sleep 1000
rm "$temp/libpqbudget.so"
meet_why forwarder -- -- "$temp/pgbouncer" 1000
is_secure "$temp/setuid" && meet_why setuid -- -- "$temp/setuid" 1000
examines 1 'all(b[backend]["why"] == why and b[backend]["process"]["pid"] == pid
    for backend, pid, why in ['"$(printf '%s, ' "${whys[@]}")"']) and n["unmanaged"] == n["total"] == '${#whys[@]}' and
    f["not_preloaded"]["count"] == 2 and f["static"]["count"] == 1 and f["old_library"]["count"] == 1' "$url"
says "^warning: 1 connection is not in the ledger: pgbouncer \(pid [0-9]+, uid $(id -u)\): a pooler or forwarder"
says "^warning: 2 connections are not in the ledger: .*\(pid [0-9]+, uid $(id -u)\), .*: started without the preload$"
says "^    start it by pqbudget-run, or with LD_PRELOAD="

everybody_goes

# Claims that the server does not know: lost, if it was open all the while and its backend was known.
hold 2 --server "$here" --backend 1
hold 1 --server "$here"
examines 1 'list(f) == ["lost_claims", "unmatched_claims"] and f["lost_claims"]["count"] == 2 and
    [c["lost"] for c in j["claims"]] == [True, True, False] and n["total"] == 0' "$url"
everybody_goes

# A limit that the server can't keep, also because of others; none at all; a remedy that helps.
for limit in 17 18 none; do
    accepts set --server "$here" --limit $limit
    case $limit in
    17) examines 0 'not f' "$url" ;;
    18) examines 1 'f["limit_too_high"]["level"] == "critical" and f["limit_too_high"]["count"] == 1' "$url" ;;
    none) examines 1 'list(f) == ["no_limit"]' "$url" ;;
    esac
done
accepts set --server "$here" --limit 17
meet -- --name '' --begin --count 14
examines 1 'j["findings"][0]["id"] == "nearly_full" and n["nameless"] == n["idle_in_transaction"] == 14 and
    f["crowded"]["count"] == 14 and f["nameless"]["count"] == 14' "$url"
says "^    pqbudget set --server $here --limit 3$"
says "^  unmanaged +${pids[-1]} +[^ ]+ +14 +14 +14 "
let_go 0
accepts set --server "$here" --limit 8

# Another role's connections are hidden from who is nobody; the processes are found
# all the same, by the server's descriptors.
sql 'CREATE ROLE nobody LOGIN; CREATE ROLE "gröpaz ""1""" LOGIN'
nobody=postgresql://nobody@$PGHOST:$PGPORT/postgres
keep 2 LD_PRELOAD="$library"
meet --
examines 1 'n["hidden"] == 3 and n["managed"] == 2 and n["idle"] == 0 and b['"$backend"']["hidden"] and
    b['"$backend"']["process"]["pid"] == '"${pids[-1]}"' and list(f) == ["not_preloaded", "hidden_rows"]' "$nobody"
says '^    GRANT pg_read_all_stats TO "nobody"$'
sql 'GRANT pg_read_all_stats TO nobody'
examines 1 'list(f) == ["not_preloaded"] and n["hidden"] == 0' "$nobody"
sql 'REVOKE pg_read_all_stats FROM nobody'

# Another user, who may look into no process of ours, and has another ledger.
if [ "$(id -u)" = 0 ]; then
    as_nobody=(setpriv --reuid=nobody --regid="$(id -g nobody)" --clear-groups)
    chmod 755 "$temp"
    cp "$tool" "$temp/pqbudget"
    # finds WHERE EXPRESSION
    finds() {
        timeout 60 "${as_nobody[@]}" "$temp/pqbudget" doctor "$1" --json >"$temp/json" 2>"$temp/err"
        expect "exit status of nobody's doctor" 1 $?
        holds "$2" || fail "nobody's doctor: $(tail -n 3 "$temp/invalid"): $(cat "$temp/json")"
    }
    finds "$url" 'n["unmanaged"] == 3 and f["other_user"]["count"] == 3 and "uid 0 x3" in f["other_user"]["text"] and
        "no_ledger" in f and all(x["process"] is None and x["uid"] == 0 for x in j["backends"])'
    finds "$nobody" 'n["unknown"] == n["hidden"] == f["hidden"]["count"] == 3'
    timeout 60 "${as_nobody[@]}" "$temp/pqbudget" --ledger "$ledger" doctor "$url" >"$temp/out" 2>"$temp/err"
    expect "exit status with another's ledger" 1 $?
    says "^critical: the ledger can't be used: cannot open .*: Permission denied$"
    says "^    run the doctor as the ledger's user, or name another by --ledger$"
    says '^warning: there is no libpqbudget.so beside this tool'
fi
everybody_goes

# A client's port may be another server's client's too.
# shellcheck disable=SC2016 # the inner shell's
env -u PQB_POSTGRES_DIR -u PGPORT scripts/with-postgres -- bash -c \
    'echo "$PGPORT $PQB_POSTGRES_DIR" >"$1.new"; mv "$1.new" "$1"; exec sleep 1000' - "$temp/second" \
    >"$temp/second.log" 2>&1 &
pids+=($!)
disown
wait_until "there is a second server" test -e "$temp/second"
read -r other_port other_dir <"$temp/second"
port=$((32000 - RANDOM % 11000))
meet -- --from "$port"
first=$backend
meet PGPORT="$other_port" PQB_POSTGRES_DIR="$other_dir" -- --from "$port" --name elsewhere
examines 1 'list(b) == ['"$first"'] and b['"$first"']["process"]["pid"] == '"${pids[-2]}"' and
    b['"$first"']["client_port"] == '"$port" "$url"
examines 1 'list(b) == ['"$backend"'] and b['"$backend"']["process"]["pid"] == '"${pids[-1]}"' and
    j["server"]["server"] == "localhost:'"$other_port"'"' "postgresql://postgres@$PGHOST:$other_port/postgres"
everybody_goes

# A pooler tells a pid of its own making: what stands behind it are its connections, not the programs'.
python3 tests/support/pooler.py >"$temp/pooler" 2>&1 &
pids+=($!)
disown
wait_until "there is a pooler" grep -sq '^port ' "$temp/pooler"
pooler=postgresql://postgres@$PGHOST:$(sed -n 's/^port //p' "$temp/pooler")/postgres
examines 1 '"pooled" in f and j["server"]["pooled"]' "$pooler"
says "^    give the doctor the server's own address$"
everybody_goes

# No server, no login, no sense. What there is in the ledger is told all the same, but for nonsense.
hold 1 --server localhost:1
examines 3 'j["server"]["server"] == "localhost:1" and "Connection refused" in j["server"]["error"] and
    not n["total"] and len(j["claims"]) == 1 and j["ledger"]["used"] == 1 and not j["backends"]' \
    "postgresql://u:sEcret@127.0.0.1:1/db"
expect "complaint" 1 "$(grep -c '^pqbudget: cannot ask the server: .*Connection refused' "$temp/err")"
says '^ledger localhost:1  1 used'
! grep -q 'nothing is wrong' "$temp/out" || fail "nothing is wrong where there is no server"
everybody_goes
examines 3 '"role \"nosuch\" does not exist" in j["server"]["error"]' "postgresql://nosuch:sEcret@$PGHOST:$PGPORT/postgres"
! grep -q sEcret "$temp/out" "$temp/err" "$temp/json" || fail "the password"
refuses 2 'that is no connection string: ' doctor "user=nosuch sEcret"
refuses 2 "doctor: unexpected argument 'b'" doctor a b
DATABASE_URL="$url?connection_limit=3&schema=web" examines 0 'not f'

# Full, which is when one asks: who has the connections is seen at the sockets.
accepts set --server "$here" --limit 17
nobody=postgresql://nobody@$PGHOST:$PGPORT/postgres
keep 9 LD_PRELOAD="$library"
meet -- --count 7
meet -- --unix
examines 3 '"53300" in j["server"]["error"] and (n["total"], n["managed"], n["unmanaged"]) == (17, 9, 8) and
    all(x["pid"] is None for x in j["backends"]) and f["not_preloaded"]["count"] == 8 and len(f) == 1 and
    [x["process"]["pid"] for x in j["backends"] if x["unix_socket"]] == ['"${pids[-1]}"'] and not j["claims"]' "$nobody"
says "^server $here  can't be asked; 17 connections are seen at its sockets"
says "^  managed +${pids[-3]} +[^ ]+ +9 +0 "
everybody_goes

# A ledger that can't be used.
printf garbage >"$temp/garbage" && chmod 600 "$temp/garbage"
PQBUDGET_LEDGER=$temp/garbage examines 1 'f["ledger"]["level"] == "critical" and j["ledger"]["error"]' "$url"
says '^critical: the ledger can.t be used: .*is not a ledger; remove it with "pqbudget reset --force"'

# Names of any kind, commands of any length; on a terminal in colour, and nowhere a control character.
long=$(printf 'lang%.0s' {1..2000})
printf '#!/bin/sh\nexec sleep 1000' >"$temp/größe日本🐘" && chmod 755 "$temp/größe日本🐘"

# Names of any kind, commands of any length; on a terminal in colour, and nowhere a control character.
long=$(printf 'lang%.0s' {1..2000})
accepts reset --force
meet -- --role 'gröpaz "1"' -- /usr/bin/perl -e 'sleep 1000' größe日本🐘 $'\033]0;owned\a' "$long"
examines 1 'b['"$backend"']["user"] == "gröpaz \"1\"" and "größe日本🐘 \x1b]0;owned\x07 lang" in
    b['"$backend"']["process"]["command"] and len(b['"$backend"']["process"]["command"].encode()) == 255' "$url"
plain() {
    python3 -c 'import sys, unicodedata
text = open(sys.argv[1], "rb").read().decode("utf-8")
sys.exit(any(unicodedata.category(c)[0] == "C" and c not in "\r\n" for c in text) or "größe日本🐘 ?]0;owned? lang" not in text)' "$1"
}
plain "$temp/out" || fail "no plain text in a pipe: $(cat -v "$temp/out")"
NO_COLOR=1 "$terminal" 250 50 -- "$tool" doctor "$url" >"$temp/out"
expect "exit status on a terminal" 1 $?
plain "$temp/out" || fail "no plain text on a terminal: $(cat -v "$temp/out")"
for columns in 20 80; do
    "$terminal" "$columns" 50 -- "$tool" doctor "$url" >"$temp/out"
    grep -q $'^\033\\[33mwarning:\033\\[0m there is no ledger' "$temp/out" || fail "no colour: $(cat -v "$temp/out")"
    grep -q $'^  \033\\[33munmanaged\033\\[0m' "$temp/out" || fail "no colour: $(cat -v "$temp/out")"
done
everybody_goes

valid doctor "$temp/all"

# Very many claims.
for _ in 1 2 3 4 5 6 7 8; do
    hold 512 --server "$here" --limit 5000 --reserve 0 --backend 1
done
examines 1 'len(j["claims"]) == f["lost_claims"]["count"] == j["ledger"]["used"] == 4096' "$url"
valid doctor "$temp/json"
says '^warning: 4096 claims of open connections that the server does not have'
timeout 60 "$tool" doctor "$url" 2>"$temp/err" >/dev/full
expect "exit status of >/dev/full" 3 $?
expect "complaint" 'pqbudget: cannot write the output: No space left on device' "$(cat "$temp/err")"
