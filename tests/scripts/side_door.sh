#!/usr/bin/env bash
# The side door: a client that speaks the protocol by plain sockets is counted, named, held, let in, refused and
# given back; nothing else is touched.
# shellcheck source=tests/scripts/common
. "$(dirname "$0")/common"
build=${PQB_TEST_BUILD:-$PWD/build/release}
if [ -z "${PQB_POSTGRES_DIR:-}" ]; then
    rm -rf "$temp"
    trap - EXIT
    exec scripts/with-postgres -- "$0"
fi
export PQBUDGET_LEDGER=test.$$.1 PQBUDGET_PORTS=$PGPORT PQBUDGET_LIMIT=2 PQBUDGET_RESERVE=0
pids=()
clean_up() {
    [ ${#pids[@]} = 0 ] || kill "${pids[@]}" 2>/dev/null
    rm -rf "$temp" "/dev/shm/pqbudget.$(id -u).$PQBUDGET_LEDGER"*
}
trap clean_up EXIT
python=$(command -v python3)
server=localhost:$PGPORT

# wire SCENE…: what the client says, and goes
wire() {
    LD_PRELOAD=$build/libpqbudget.so "$python" tests/support/wire.py "$@" 2>&1 </dev/null
}

# keep NAME SCENE…: a client that stays; a line into its fd lets it go on, closing it ends it
keep() {
    local name=$1
    shift
    mkfifo "$temp/in.$name"
    LD_PRELOAD=$build/libpqbudget.so "$python" tests/support/wire.py "$@" <"$temp/in.$name" >"$temp/out.$name" 2>&1 5>&- 6>&- &
    pids+=($!)
    disown # nobody need hear how it died
}
said() { [ "$(wc -l <"$temp/out.$1")" -ge "$2" ]; }
# value PATTERN: of the status
count() { "$build/pqbudget" status 2>/dev/null | grep -c "$1"; }
is() { [ "$(count "$1")" = "$2" ]; }
empty() { is " 0 of 2 used, 0 waiting" 1; }

# Counted, with all that is known, by its door.
keep one open wait close
exec 5>"$temp/in.one"
wait_until "a login" said one 1
expect "a login" ok "$(cat "$temp/out.one")"
claim=$("$build/pqbudget" status --json | tr -d ' \n' | sed 's/.*"claims":\[{\([^}]*\)}.*/\1/')
for part in '"state":"open"' '"door":"socket"' '"database":"postgres"' "\"user\":\"$PGUSER\"" \
    '"application_name":"wire.py"' "\"pid\":${pids[0]}"; do
    [[ $claim == *"$part"* ]] || fail "the claim has no $part: $claim"
done
[[ $claim =~ \"backend_pid\":([0-9]+) ]] || fail "no backend: $claim"
expect "its name on the server" wire.py \
    "$(psql -qAtXc "select application_name from pg_stat_activity where pid = ${BASH_REMATCH[1]}")"

# Given back by close, by goodbye, by another file at its number, by death.
echo >&5
wait_until "a close" said one 2
wait_until "the slot of a closed one" empty
exec 5>&-
expect "goodbye" "ok bye" "$(wire open terminate | xargs)"
keep two open over wait
exec 5>"$temp/in.two"
wait_until "dup2" said two 2
wait_until "the slot of one under another file" empty
exec 5>&-
keep three open
exec 5>"$temp/in.three"
wait_until "a login" said three 1
is "^  open" 1 || fail "not counted"
kill -9 "${pids[-1]}"
wait_until "the slot of a dead one" empty
exec 5>&-

# A forked child that closes its copy takes nothing along.
keep four open fork
exec 5>"$temp/in.four"
wait_until "a fork" said four 2
expect "after the fork" "ok still here" "$(xargs <"$temp/out.four")"
is "^  open" 1 || fail "the child gave its parent's slot back"
exec 5>&-
wait_until "the slot of the parent" empty

# In pieces, after a request for TLS.
expect "pieces" ok "$(wire pieces)"
wait_until "its slot" empty
[[ $(wire asked) == [NS]" ok" ]] || fail "after a request for TLS"
wait_until "its slot" empty

# Settings, the program's own and ours.
expect "a name of its own" mine "$(wire 'named mine')"
expect "a forced name" ours "$(PQBUDGET_FORCE=application_name=ours wire 'named mine')"
expect "a default" 30s "$(PQBUDGET_DEFAULTS="options='-c statement_timeout=30s'" wire 'show statement_timeout')"
expect "nothing of ours" "" "$(PQBUDGET_APPLICATION_NAME=off wire 'show application_name')"
wait_until "their slots" empty

# It would wait for itself.
said=$(PQBUDGET_WAIT=1200ms wire open open open | tail -n 1)
own="2 of 2 connections to $server are in use (wire.py 2), all 2 are held by this process, the oldest idle for "
[[ $said == "53300 "*"|pqbudget: $own"[1-9]*" s; waited "[1-9]*.[0-9]" s.|end" ]] || fail "all are its own: $said"
wait_until "their slots" empty

# Full: refused with the server's words, held and let in, its own thread running.
keep full open open
exec 5>"$temp/in.full"
wait_until "two logins" said full 2
detail="53300 sorry, too many clients already|pqbudget: 2 of 2 connections to $server are in use (wire.py 2); waited "
[[ $(PQBUDGET_WAIT=0 wire open) == "$detail"[0-9]*.[0-9]" s.|end" ]] || fail "a refusal"
[[ $(PQBUDGET_WAIT=0 wire asked) == "N $detail"[0-9]*.[0-9]" s.|end" ]] || fail "refused after TLS"
[[ $(PQBUDGET_WAIT=300ms wire open) == "53300 "*"; waited "[0-9]*.[0-9]" s."* ]] || fail "refused after a wait"
[[ $(PQBUDGET_WAIT=300ms wire asked) == "N 53300 "*"; waited "[0-9]*.[0-9]" s."* ]] || fail "refused after a wait for TLS"
expect "replication" ok "$(PQBUDGET_WAIT=0 wire replication)"
expect "a cancel request" end "$(PQBUDGET_WAIT=0 wire cancel)"
expect "another protocol" "hung up" "$(PQBUDGET_WAIT=0 wire other)"
expect "PQBUDGET=off" ok "$(PQBUDGET=off wire open)"
expect "the other door only" ok "$(PQBUDGET_DOORS=libpq wire open)"
PQBUDGET_WAIT=20s keep reset nonblocking
exec 6>"$temp/in.reset"
wait_until "one waiting" is " 1 waiting" 1
"$build/pqbudget" reset --force >/dev/null || fail "reset"
wait_until "its login, by the new ledger" said reset 1
expect "held over a reset" "ok after a while" "$(sed 's/^ok$/& after a while/' "$temp/out.reset")"
exec 6>&-
wait_until "its slot" empty
exec 5>&-
keep again open open
exec 5>"$temp/in.again"
wait_until "two logins" said again 2
PQBUDGET_WAIT=20s keep waits nonblocking
exec 6>"$temp/in.waits"
wait_until "one waiting" is " 1 waiting" 1
sleep 0.2 # so that it has something to count
exec 5>&-
wait_until "its login" said waits 1
expect "held and let in" "ok after a while" "$(cat "$temp/out.waits")"
exec 6>&-
wait_until "its slot" empty

# libpq's sockets, where only this door is open; and the port of a server that the ledger knows.
granted() {
    "$build/pqbudget" status --json | grep -o '"granted_total": *[0-9]*' | grep -o '[0-9]*$'
}
before=$(granted)
expect "psql by the side door" 1 "$(PQBUDGET_DOORS=socket LD_PRELOAD=$build/libpqbudget.so psql -qAtXc 'select 1')"
wait_until "its slot" empty
expect "its grant" $((before + 1)) "$(granted)"
expect "a port that is not in PQBUDGET_PORTS" ok "$(PQBUDGET_PORTS=1 wire open)"
wait_until "its slot" empty
expect "its grant" $((before + 2)) "$(granted)"

# Forty threads, two slots, a Unix socket: 32 may wait with their sockets connected, the others are told so.
crowd=$(PQBUDGET_WAIT=4s PQBUDGET_LEDGER=$PQBUDGET_LEDGER.crowd wire threads)
[[ $crowd == "53300 "*" ok 40" ]] || fail "forty threads: $crowd"
[[ $crowd == *", and 32 wait already, as many as may without blocking; waited "[0-9]*.[0-9]" s behind "* ]] || fail "the crowd: $crowd"
