#!/usr/bin/env bash
# plan: the arithmetic as people and programs get it, asked of a server or given; a budget set by it.
# shellcheck disable=SC2034 # of tool_server
settings=(-c max_connections=30 -c superuser_reserved_connections=4 -c work_mem=8MB)
# shellcheck source=tests/scripts/tool_server
. "$(dirname "$0")/tool_server"

# plans STATUS EXPRESSION ARGUMENT…: exit status, valid JSON, a truth about it; the same status in words
plans() {
    local wanted=$1 truth=$2
    shift 2
    run plan "$@" --json
    [ "$code" = "$wanted" ] || depth=1 fail "plan $* --json: exit status $code: $(cat "$temp/out" "$temp/err")"
    depth=1 valid plan
    is "$truth" || depth=1 fail "not so: $truth: $(cat "$temp/out")"
    run plan "$@"
    [ "$code" = "$wanted" ] || depth=1 fail "plan $*: exit status $code: $(cat "$temp/out" "$temp/err")"
    [ ! -s "$temp/err" ] || depth=1 fail "plan $* complains: $(cat "$temp/err")"
}
says() { grep -qE -- "$1" "$temp/out" || depth=1 fail "does not say $1: $(cat "$temp/out")"; }

# The figures of a team's plan, no server asked.
plans 0 '[a["connections"] for a in j["apps"]] == [17, 17] and j["plan"] == {"total": 85, "left": 15,
    "verdict": "fits"} and j["present"] is None and j["source"] == "given" and j["reserved"] is None' \
    --max-connections 100 --headroom 15 --app web=3 --app bot=2
says '^  web +3 +17 +51$'
says '^plan: +85 of 100, 15 left: fits$'
says '^memory: +85 x a work_mem of 4 MB = 340 MB'
plans 0 'j["apps"][0]["connections"] == 17 and j["headroom"] == 15' --max-connections 100 --headroom 15% --app app=5
plans 1 'j["present"] == {"total": 100, "left": 0, "verdict": "no_headroom"}' \
    --max-connections 100 --app web=3x20 --app bot=2x20
says '^  web +3 +20 +60 +17 +51$'
says '^now: +100 of 100, 0 left: no headroom'
plans 0 'j["present"] == {"total": 65, "left": 35, "verdict": "fits"}' \
    --max-connections 100 --app web=3x15 --app bot=2x10
plans 1 'j["present"] == {"total": 115, "left": -15, "verdict": "over"}' --max-connections 100 --app dev=23x5
says '^now: +115 of 100, -15 left: over'
plans 0 '[a["connections"] for a in j["apps"]] == [21, 10]' --max-connections 100 --app web=3:2 --app bot=2:1
plans 0 'j["cores"] == 8 and j["core_pool"] == 17' --max-connections 100 --app web=3 --cores 8
says '^cores: +8; a pool of \(8 x 2\) \+ 1 = 17'
plans 1 'j["plan"]["verdict"] == "over" and "PgBouncer" in j["pooler"]' --max-connections 100 --app job=120
says '^pooler: .*PgBouncer'

# Asked of the server: what is reserved is not shared out.
plans 0 'j["source"] == "server" and (j["max_connections"], j["reserved"], j["headroom"], j["work_mem"]) ==
    (30, 4, 5, 8 << 20) and j["plan"]["total"] == 25 and j["memory"] == 25 * (8 << 20) and j["cores"] > 0' \
    "$url" --app web=5
says '^server: +max_connections 30, 5 kept free, of these 4 for superusers$'
plans 1 'j["plan"]["total"] == 26 and j["plan"]["verdict"] == "no_headroom"' "$url" --headroom 0 --app web=2
plans 0 'j["max_connections"] == 100 and j["reserved"] == 4' "$url" --max-connections 100 --app web=2
DATABASE_URL="$url?connection_limit=3&schema=web" plans 0 'j["max_connections"] == 30' --app web=1
plans 0 'j["max_connections"] == 30' --app web=1

# Applied: in a new ledger, under the name that programs have for it; every planned connection gets in.
[ ! -e "$ledger" ] || fail "somebody made the ledger"
plans 0 'j["applied"] == "'"$here"'" and j["budget"] == {"limit": 22, "reserve": 2, "slack": 3}' \
    "$url" --headroom 10 --app web=4 --apply
says "^budget: +limit 22, reserve 2, slack 3; set for $here$"
expect_state 's["server"] == "'"$here"'" and (s["limit"], s["reserve"], s["slack"]) == (22, 2, 3)'
for _ in 1 2 3 4; do
    keep 5 LD_PRELOAD="$PQB_TEST_BUILD/libpqbudget.so" PQBUDGET_WAIT=0
done
expect_state 's["used"] == 20 and s["refused_total"] == 0'
plans 0 'j["applied"] == "other:1"' --max-connections 100 --app web=5 --apply --server other:1
expect_state 'j["servers"][1]["limit"] == 91'
run plan "$url" --app job=50 --apply
expect "exit status of what can't be applied" 1 "$code"
expect "why" "pqbudget: not applied: 50 instances are more than the connections that are to be had" "$(cat "$temp/err")"
expect_state 's["limit"] == 22'

# Lines to paste: names of any kind, nothing a shell would make something of, and no password.
secret="postgresql://postgres:sEcret@$PGHOST:$PGPORT/postgres?sslmode=prefer&connection_limit=9"
run plan "$secret" --app web=2 --app $'bo\'t=\033$ü=1' --env
expect "exit status of --env" 0 "$code"
(
    # shellcheck disable=SC1091 # what it prints is for a shell
    . "$temp/out"
    [ "$DATABASE_URL" = "postgresql://postgres:PASSWORD@$PGHOST:$PGPORT/postgres?sslmode=prefer&$(
    )connection_limit=8&application_name=bo%27t%3D%1B%24%C3%BC" ]
) || fail "$(cat "$temp/out")"
expect "lines" 4 "$(wc -l <"$temp/out")"
plans 0 '"PASSWORD" in j["apps"][0]["database_url"]' "$secret" --app web=2 --env
! grep -q sEcret "$temp/out" || fail "the password: $(cat "$temp/out")"
plans 0 '"'"://postgres:PASSWORD@$PGHOST:$PGPORT/postgres?connection_limit=25&"'" in j["apps"][0]["database_url"]' \
    "host=$PGHOST dbname=postgres password=sEcret" --app web=1 --env
! grep -q '[^ -~]' <(LC_ALL=C tr -d '\n' <"$temp/out") || fail "control characters"

# No server, no login, no sense.
refuses 3 'cannot ask the server: .*Connection refused' plan "postgresql://u:sEcret@127.0.0.1:1/db" --app web=1
refuses 3 'cannot ask the server: .*role "nosuch" does not exist' plan "user=nosuch password=sEcret" --app web=1
refuses 2 'that is no connection string: ' plan "user=nosuch sEcret" --app web=1
! grep -q sEcret "$temp/err" || fail "the password: $(cat "$temp/err")"
refuses 2 'no --app to plan for' plan
for app in web web= web=0 web=x web=3x web=3x0 web=3: web=3:0 web=3y web=3x5:2z =3 web=100001 "$(printf 'x%.0s' {1..64})=1"; do
    refuses 2 'plan: (--app wants|an application.s name)' plan --max-connections 9 --app "$app"
done
refuses 2 'either every --app says its present pool, or none' plan --max-connections 9 --app a=1x2 --app b=1
refuses 2 "headroom wants a number or a percentage, not '101%'" plan --max-connections 9 --app a=1 --headroom 101%
refuses 2 "max-connections wants a number, not '0'" plan --max-connections 0 --app a=1

# A terminal has colour.
"$terminal" 80 24 -- "$tool" plan --max-connections 100 --app web=3x20 >"$temp/out"
grep -q $'^plan: *\033\\[32m84 of' "$temp/out" || fail "no colour: $(cat -v "$temp/out")"
