#!/usr/bin/env bash
# What scripts/with-postgres promises.
# shellcheck source=tests/scripts/common
. "$(dirname "$0")/common"
run=scripts/with-postgres

# A server's own account of itself: its directory and its process.
describe() {
    # shellcheck disable=SC2016 # for the inner shell
    echo 'echo "$PQB_POSTGRES_DIR $(head -n 1 "$PQB_POSTGRES_DIR/data/postmaster.pid")"'
}

# expect_nothing_left "DIR PID"
expect_nothing_left() {
    local dir pid
    read -r dir pid <<<"$1"
    [ -n "$pid" ] || depth=1 fail "the command did not say where the server was"
    wait_until "the server is gone" gone "$pid"
    wait_until "$dir is removed" absent "$dir"
}

# The command finds the server on every way it is told, and only its own output is on stdout.
# shellcheck disable=SC2016 # for the inner shell
out=$("$run" -c max_connections=17 -c application_name="a 'b\\c" -- bash -c '
    psql -Atc "show max_connections" -c "select current_user, current_database()"
    psql -d "$DATABASE_URL" -Atc "select inet_server_addr()"
    psql -h "$PQB_POSTGRES_DIR" -Atc "select inet_server_addr() is null"
    exit 7' 2>"$temp/err")
expect "exit status" 7 $?
expect "stdout" $'17\npostgres|postgres\n127.0.0.1\nt' "$out"
expect "stderr" "" "$(cat "$temp/err")"

# The command's input is the caller's, and a signal it dies of is passed on.
expect "stdin" hello "$(echo hello | "$run" -- cat)"
"$run" -- bash -c 'kill -9 $$'
expect "exit status of a killed command" 137 $?

# Wrong usage and a server that does not start.
"$run" 2>/dev/null
expect "exit status without a command" 2 $?
"$run" -c port=1 -- true 2>/dev/null
expect "exit status with a port" 2 $?
"$run" -c no_such_setting=1 -- true 2>"$temp/err"
expect "exit status without a server" 125 $?
grep -q no_such_setting "$temp/err" || fail "the server's log is not shown: $(cat "$temp/err")"

# TLS, verified.
# shellcheck disable=SC2016 # for the inner shell
out=$("$run" --tls -- bash -c '
    psql -Atc "select ssl from pg_stat_ssl where pid = pg_backend_pid()"
    psql -d "$DATABASE_URL" -Atc "select ssl from pg_stat_ssl where pid = pg_backend_pid()"')
expect "TLS" $'t\nt' "$out"

# The caller's preload and budget are the command's, and not the server's.
libc=$(ldd "$(command -v bash)" | awk '/libc\.so/ { print $3 }')
# shellcheck disable=SC2016 # for the inner shell
out=$(LD_PRELOAD=$libc PQBUDGET_LIMIT=3 PGOPTIONS='-c work_mem=1MB' "$run" -- bash -c '
    echo "$LD_PRELOAD $PQBUDGET_LIMIT $(psql -Atc "show work_mem")"
    pid=$(head -n 1 "$PQB_POSTGRES_DIR/data/postmaster.pid")
    tr "\0" "\n" <"/proc/$pid/environ" | grep -E "^(LD_PRELOAD|PQBUDGET|PGOPTIONS)"')
expect "environment of the command and the server" "$libc 3 1MB" "$out"

# Nothing is left when it ends by itself, or by a signal to either, or to the whole process group.
out=$("$run" -- bash -c "$(describe)")
expect_nothing_left "$out"

# start: one with a command that would go on for ever, in the process group $wrapper
start() {
    rm -f "$temp/where"
    set -m
    "$run" -- bash -c "$(describe) >'$temp/where.new'; mv '$temp/where.new' '$temp/where'
        echo \$\$ >'$temp/command'; exec sleep infinity" &
    wrapper=$!
    set +m
    wait_until "the command runs" test -s "$temp/command" -a -s "$temp/where"
    command=$(cat "$temp/command")
    rm "$temp/command"
}

for signal in INT TERM HUP KILL; do
    start
    kill "-$signal" "$wrapper"
    wait "$wrapper" 2>/dev/null
    wait_until "the command is gone after SIG$signal" gone "$command"
    expect_nothing_left "$(cat "$temp/where")"
done

start
kill -KILL "$command"
wait "$wrapper"
expect "exit status" 137 $?
expect_nothing_left "$(cat "$temp/where")"

for signal in TERM KILL; do
    start
    kill "-$signal" -- "-$wrapper"
    wait "$wrapper" 2>/dev/null
    expect_nothing_left "$(cat "$temp/where")"
done

# A command that ignores SIGTERM does not hold up the end for ever.
"$run" -- bash -c "trap '' TERM; $(describe) >'$temp/where'; echo \$\$ >'$temp/command'
    while :; do sleep 1; done" &
wrapper=$!
wait_until "the command runs" test -s "$temp/command"
kill -TERM "$wrapper"
wait "$wrapper"
expect "exit status" 137 $?
expect_nothing_left "$(cat "$temp/where")"

# Two that start at once.
for i in 1 2; do
    "$run" -- psql -Atc "select $i" >"$temp/out.$i" &
    pids[i]=$!
done
for i in 1 2; do
    wait "${pids[i]}"
    expect "exit status of one of two" 0 $?
    expect "output of one of two" "$i" "$(cat "$temp/out.$i")"
done

# A port that somebody else has taken: the inner server is told to use the outer one's.
# shellcheck disable=SC2016 # for the inner shells
out=$("$run" -- bash -c '
    run=$1 temp=$2
    bin=$(pg_config --bindir)
    mkdir -p "$temp/bin"
    for name in initdb pg_isready; do ln -s "$bin/$name" "$temp/bin/$name"; done
    cat >"$temp/bin/pg_config" <<-END
	#!/bin/sh
	echo "$temp/bin"
	END
    cat >"$temp/bin/postgres" <<-END
	#!/bin/bash
	if mkdir "$temp/tried" 2>/dev/null; then
	    exec "$bin/postgres" "\$@" -c port=$PGPORT
	fi
	exec "$bin/postgres" "\$@"
	END
    chmod +x "$temp/bin/pg_config" "$temp/bin/postgres"
    chmod 777 "$temp" # the server writes here
    first=$PGPORT
    PATH=$temp/bin:$PATH "$run" -- bash -c "
        [ \$PGPORT != $first ] && [ -d $temp/tried ] && psql -Atc \"select 3\" && psql -p $first -Atc \"select 4\""
    ' bash "$run" "$temp")
expect "beside a server whose port was tried first" $'3\n4' "$out"
