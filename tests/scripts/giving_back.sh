#!/usr/bin/env bash
# A connection that was closed is given back while its process lives on, by whatever road it was closed, and counted
# as long as anybody has it open. Who waits for it in another process gets it.
# shellcheck source=tests/scripts/common
. "$(dirname "$0")/common"
build=${PQB_TEST_BUILD:-$PWD/build/release}
if [ -z "${PQB_POSTGRES_DIR:-}" ]; then
    rm -rf "$temp"
    trap - EXIT
    exec scripts/with-postgres -- "$0"
fi
export PQBUDGET_LEDGER=test.$$.1 PQBUDGET_PORTS=$PGPORT PQBUDGET_LIMIT=1 PQBUDGET_RESERVE=0
pids=()
clean_up() {
    [ ${#pids[@]} = 0 ] || kill "${pids[@]}" 2>/dev/null
    rm -rf "$temp" "/dev/shm/pqbudget.$(id -u).$PQBUDGET_LEDGER"*
}
trap clean_up EXIT
python=$(command -v python3)
n=0

# roads KIND STEP…: what a client says that goes at once
roads() {
    LD_PRELOAD=$build/libpqbudget.so "$python" tests/support/roads.py "$@" 2>&1 </dev/null
}

# holds COMMAND…: a client that stays, and lives on to the end of the round; a line into fd 5 lets it go on
holds() {
    n=$((n + 1))
    mkfifo "$temp/in.$n"
    : >"$temp/out.$n"
    LD_PRELOAD=$build/libpqbudget.so "$@" <"$temp/in.$n" >"$temp/out.$n" 2>&1 5>&- &
    pids+=($!)
    disown
    exec 5>"$temp/in.$n"
}
client() { holds "$python" tests/support/roads.py "$@"; }
said() { [ "$(wc -l <"$temp/out.$n")" -ge "$1" ]; }
# says N WHAT: its N-th line
says() {
    wait_until "line $1 of $(cat "$temp/out.$n")" said "$1"
    expect "$what: line $1" "$2" "$(sed -n "$1p" "$temp/out.$n")"
}
alive() { kill -0 "${pids[-1]}" 2>/dev/null || fail "$what: the client is dead: $(cat "$temp/out.$n")"; }
# Not draining either: its backend would be waited for, but no longer than a minute.
taken() {
    expect "$what: full" 53300 "$(PQBUDGET_WAIT=0 roads "$kind" open)"
    expect "$what: open" 1 "$("$build/pqbudget" status --json | tr -d ' ' | grep -o '"state":"open"' | wc -l)"
}
# Another process waits and gets it, and is gone.
free() {
    expect "$what: a waiter" ok "$(PQBUDGET_WAIT=15s roads "$kind" open)"
    alive
}
done_with() {
    exec 5>&-
    wait_until "the end of $what" gone "${pids[-1]}"
    unset "pids[-1]"
}
gone() { ! kill -0 "$1" 2>/dev/null; }

for kind in tcp mapped unix; do
    # In one process.
    for road in close raw raw_dup3 dup2 close_range closefrom shut_wr shut_rdwr; do
        what="$kind $road"
        client "$kind" open wait "$road"
        says 1 ok
        taken
        echo >&5
        says 2 "$road"
        free
        done_with
    done

    # A duplicate that no hook has seen; a child; somebody it was passed to: counted until they close it too.
    for close in close raw; do
        what="$kind copy $close"
        client "$kind" open copy "$close" wait close_copy
        says 3 "$close"
        taken
        echo >&5
        free
        done_with
        for fork in fork fork_raw; do
            what="$kind $fork $close"
            client "$kind" open "$fork" "$close" wait child
            says 3 "$close"
            taken
            echo >&5
            says 4 child
            free
            done_with
        done
        what="$kind passed $close"
        client "$kind" passed "$close" wait child
        says 2 "$close"
        taken
        echo >&5
        says 3 child
        free
        done_with
        what="$kind child first $close"
        client "$kind" open fork_close wait "$close"
        says 2 fork_close
        taken
        echo >&5
        says 3 "$close"
        free
        done_with
    done

    # Given up half way through its login.
    what="$kind half"
    client "$kind" half raw
    says 2 raw
    free
    done_with

    # Closed past every hook, and the process itself wants another one.
    what="$kind again"
    export PQBUDGET_WAIT=15s
    client "$kind" open raw open raw open
    unset PQBUDGET_WAIT
    says 5 ok
    taken
    done_with
done

# A TCP connection that both ends have ended is over, though its socket is there.
kind=tcp what="tcp raw_shut"
client tcp open raw_shut
says 2 raw_shut
free
done_with

# Node closes with a system call, and says nothing before.
if node=$(command -v node); then
    what=node
    # shellcheck disable=SC2016 # it is JavaScript
    holds "$node" -e '
        const socket = require("net").connect(+process.env.PGPORT, "127.0.0.1");
        const body = Buffer.from(`user\0${process.env.PGUSER}\0database\0postgres\0\0`);
        const head = Buffer.alloc(8);
        head.writeInt32BE(body.length + 8); head.writeInt32BE(3 << 16, 4);
        socket.write(Buffer.concat([head, body]));
        let heard = Buffer.alloc(0), open = false;
        socket.on("data", (more) => {
            heard = Buffer.concat([heard, more]);
            if (!open && heard.includes(Buffer.from([90, 0, 0, 0, 5, 73]))) { open = true; console.log("ok"); }
        });
        socket.on("close", () => console.log("destroyed"));
        process.stdin.once("data", () => socket.destroy());
        process.stdin.on("end", () => process.exit());'
    says 1 ok
    taken
    echo >&5
    says 2 destroyed
    free
    done_with
fi
