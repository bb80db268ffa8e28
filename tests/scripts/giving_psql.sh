#!/usr/bin/env bash
# psql at its prompt has one connection, and keeps it: whoever waits is refused when his time is up.
# shellcheck source=tests/scripts/tool_common
. "$(dirname "$0")/tool_common"
if [ -z "${PQB_POSTGRES_DIR:-}" ]; then
    clean_up
    trap - EXIT
    exec scripts/with-postgres -- "$0"
fi
export PQBUDGET_LIMIT=1 PQBUDGET_RESERVE=0 PQBUDGET_YIELD=1ms PSQL_PAGER=''
preload=$PQB_TEST_BUILD/libpqbudget.so doors=$PQB_TEST_BUILD/helpers/doors waited=$temp/waited

is_idle() {
    state '[c["session"] for c in s["claims"]] == ["idle"]'
}

mkfifo "$temp/go"
timeout 100 "$terminal" 80 24 wait:=# 'type:select 41 + 1 as first;\n' wait:42 "run:touch '$temp/answered'" \
    "run:timeout 90 cat '$temp/go'" 'type:select 42 + 1 as second;\n' wait:43 'type:\q\n' -- \
    env LD_PRELOAD="$preload" psql -X >"$temp/screen" 2>&1 &
pids+=($!)
wait_until "psql has answered" test -e "$temp/answered"
wait_until "psql is idle" is_idle
LD_PRELOAD=$preload PQBUDGET_WAIT=300ms "$doors" connectdb "" finish >"$waited"
grep -q 'sorry, too many clients already' "$waited" || fail "not refused: $(cat "$waited")"
expect_state '[c["session"] for c in s["claims"]] == ["idle"] and s["yielded_total"] == 0'
echo >"$temp/go"
wait "${pids[-1]}" || fail "psql: $(cat "$temp/screen")"
unset "pids[-1]"
