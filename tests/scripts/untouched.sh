#!/usr/bin/env bash
# What has nothing to do with PostgreSQL says and does the same with the preload as without, also at a port that the
# side door looks at, and no ledger comes into being.
# shellcheck source=tests/scripts/common
. "$(dirname "$0")/common"
build=${PQB_TEST_BUILD:-$PWD/build/release}
if [ -z "${PQB_POSTGRES_DIR:-}" ]; then
    rm -rf "$temp"
    trap - EXIT
    exec scripts/with-postgres -- "$0"
fi
ledger=test.$$.1
pids=() servers=0 made=
end_servers() {
    [ ${#pids[@]} = 0 ] || kill "${pids[@]}" 2>/dev/null
    pids=()
}
clean_up() {
    end_servers
    [ -z "$made" ] || rmdir /run/sshd
    rm -rf "$temp" "/dev/shm/pqbudget.$(id -u).$ledger"*
}
trap clean_up EXIT
python=$(command -v python3)
git=$(command -v git)
sshd=$(command -v sshd || command -v /usr/sbin/sshd)
export HOME=$temp GIT_CONFIG_NOSYSTEM=1 GIT_TERMINAL_PROMPT=0 LC_ALL=C
export GIT_AUTHOR_NAME=me GIT_AUTHOR_EMAIL=me@localhost GIT_AUTHOR_DATE="2026-01-01 00:00 +0000"
export GIT_COMMITTER_NAME=me GIT_COMMITTER_EMAIL=me@localhost GIT_COMMITTER_DATE="2026-01-01 00:00 +0000"

free_port() {
    "$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}
# serve COMMAND…: a server of this round, which is gone after it
serve() {
    servers=$((servers + 1))
    : >"$temp/heard.$servers"
    env "${round[@]}" timeout 200 "$@" >"$temp/heard.$servers" 2>&1 </dev/null &
    pids+=($!)
    disown
}
# said_port: the one that the last server said
said_port() {
    wait_until "a server" grep -qE '[0-9]{4}' "$temp/heard.$servers"
    grep -oE '[0-9]{4,5}' "$temp/heard.$servers" | head -n 1
}
answers() { (: <"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
# says WHAT COMMAND…: what the client says and how it ends goes into the round's paper
says() {
    echo "$1:" >>"$said"
    env "${round[@]}" timeout 100 "${@:2}" >"$temp/words" 2>&1 </dev/null
    echo "status $?" >>"$temp/words"
    cat "$temp/words" >>"$said"
}

web() {
    says "curl" curl -sS -w '%{http_code} %{size_download}\n' "http://127.0.0.1:$web/{hello,large,none}" -o "$temp/#1"
    says "a page" cat "$temp/hello"
    says "a large page" cmp "$temp/large" "$temp/web/large"
    says "curl again" curl -sS "http://127.0.0.1:$web/hello" "http://127.0.0.1:$web/hello"
}
clone() {
    rm -rf "$temp/clone"
    says "git clone by $1" "$git" clone -q "$2" "$temp/clone"
    says "its history" "$git" -C "$temp/clone" log --oneline --stat
}
push() {
    echo more >>"$temp/clone/file"
    says "git commit" "$git" -C "$temp/clone" commit -qam more
    says "git push by $1" "$git" -C "$temp/clone" push -q "$2" HEAD:refs/heads/pushed
    says "what was pushed" "$git" -C "$temp/web/repository" log --oneline pushed
}
redis() {
    says "set" redis-cli -p "$redis" set key value
    says "get" redis-cli -p "$redis" get key
    says "a list" redis-cli -p "$redis" rpush list 1 2 3
    says "and back" redis-cli -p "$redis" lrange list 0 -1
    says "a long value" redis-cli -p "$redis" eval 'return #string.rep("x", ARGV[1])' 0 300000
}
safe_shell() {
    says "ssh" ssh "${ssh[@]}" 127.0.0.1 'echo over there; exit 3'
    says "much by ssh" ssh "${ssh[@]}" 127.0.0.1 'head -c 1000000 /dev/zero | cksum'
    # Git has no such options.
    export GIT_SSH_COMMAND="ssh ${ssh[*]}"
    clone ssh "ssh://127.0.0.1$temp/web/repository"
    push ssh "ssh://127.0.0.1$temp/web/repository"
}

# What they have to serve.
mkdir "$temp/web"
echo hello >"$temp/web/hello"
head -c 2000000 /dev/urandom >"$temp/web/large"
{
    "$git" init -q --bare "$temp/web/repository" && "$git" clone -q "$temp/web/repository" "$temp/first" &&
        echo first >"$temp/first/file" && "$git" -C "$temp/first" add file && "$git" -C "$temp/first" commit -qm first &&
        "$git" -C "$temp/first" push -q origin HEAD && "$git" -C "$temp/web/repository" update-server-info
} >"$temp/words" 2>&1 || fail "git: $(cat "$temp/words")"
ln -s "$(command -v redis-server || command -v redis-check-rdb)" "$temp/redis-server" # one program, by its name
# Where there is an sshd that runs as whoever we are: it is not installed for this.
if [ -n "$sshd" ]; then
    ssh-keygen -q -t ed25519 -N '' -f "$temp/key" && cp "$temp/key.pub" "$temp/authorized"
    ssh-keygen -q -t ed25519 -N '' -f "$temp/host"
    [ "$(id -u)" != 0 ] || ! mkdir /run/sshd 2>/dev/null || made=1 # root's insists on it
    "$sshd" -t -f none -h "$temp/host" 2>/dev/null || sshd=
fi

# One round of everything: without the preload; with it; with it and a side door that looks at all these ports.
play() {
    said=$temp/said.$1
    "$git" -C "$temp/web/repository" branch -q -D pushed 2>/dev/null
    serve "$python" -u -m http.server --bind 127.0.0.1 --directory "$temp/web" 0
    web=$(said_port)
    serve "$python" tests/support/services.py serve echo
    echo=$(said_port)
    serve "$python" tests/support/services.py serve mail
    mail=$(said_port)
    redis=$(free_port)
    serve "$temp/redis-server" --port "$redis" --bind 127.0.0.1 --save '' --dir "$temp"
    secure=$(free_port)
    # It starts itself anew for each connection, and asks for its whole path.
    [ -z "$sshd" ] || serve "$sshd" -D -e -f none -p "$secure" -h "$temp/host" -o ListenAddress=127.0.0.1 \
        -o AuthorizedKeysFile="$temp/authorized" -o StrictModes=no -o UsePAM=no -o PidFile=none
    wait_until "redis" answers "$redis"
    [ -z "$sshd" ] || wait_until "sshd" answers "$secure"
    ssh=(-F none -p "$secure" -i "$temp/key" -o IdentitiesOnly=yes -o BatchMode=yes -o StrictHostKeyChecking=no
        -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR)
    # A locked account is not let in, with a key or without.
    [ "$1" != plain ] || ssh "${ssh[@]}" 127.0.0.1 true 2>/dev/null || sshd=
    [ "$1" != looked_at ] || round+=("PQBUDGET_PORTS=$web,$echo,$mail,$redis,$secure")

    web
    clone http "http://127.0.0.1:$web/repository"
    clone file "file://$temp/web/repository"
    push file "file://$temp/web/repository"
    "$git" -C "$temp/web/repository" branch -q -D pushed
    redis
    [ -z "$sshd" ] || safe_shell
    says "echo" "$python" tests/support/services.py ask echo "$echo"
    says "mail" "$python" tests/support/services.py ask mail "$mail"
    end_servers
}

no_ledger() { ! compgen -G "/dev/shm/pqbudget.$(id -u).$ledger*" >/dev/null; }

round=(-u LD_PRELOAD)
play plain
expect "what fails by itself" "${sshd:+status 3}" "$(grep '^status' "$temp/said.plain" | grep -v ' 0$')"
preload=("LD_PRELOAD=$build/libpqbudget.so" "PQBUDGET_LEDGER=$ledger")
for name in preloaded looked_at; do
    round=("${preload[@]}")
    play $name
    difference=$(diff "$temp/said.plain" "$temp/said.$name") || fail "$name: $difference"
    no_ledger || fail "$name: there is a ledger"
done

# By io_uring even PostgreSQL itself is out of sight, and works.
round=("${preload[@]}" "PQBUDGET_PORTS=$PGPORT" PQBUDGET_WAIT=0)
answer=$(env "${round[@]}" "$build/helpers/uring" 2>&1)
case $? in
0) expect "io_uring" in "$answer" ;;
77) ;; # the kernel has none, or forbids it
*) fail "io_uring: $answer" ;;
esac
no_ledger || fail "a ledger was made for io_uring"
# As a client is not that goes by libc.
expect "a login" ok "$(env "${round[@]}" "$build/helpers/sockets" socket tcp connect startup by write 1000 hear 2>&1)"
! no_ledger || fail "no ledger: the rest proved nothing"
