#!/usr/bin/env bash
# pqbudget-run beside a real server: the budget it makes, and who is counted in it under which name.
# shellcheck disable=SC2016 # what is in single quotes is for other shells
# shellcheck source=tests/scripts/run_common
. "$(dirname "$0")/run_common"
if [ -z "${PQB_POSTGRES_DIR:-}" ]; then
    rm -rf "$temp"
    trap - EXIT
    exec scripts/with-postgres -c max_connections=40 -- "$0"
fi
wrapper=$source tool=$PQB_TEST_BUILD/pqbudget key=localhost:$PGPORT url=$DATABASE_URL
unset DATABASE_URL
count='select count(*) from pg_stat_activity where application_name = $$web$$'

# row FIELD: of the one server of the ledger
row() {
    "$tool" status --json | python3 -c '
import json, sys
servers = json.load(sys.stdin)["servers"]
print(servers[0].get(sys.argv[1]) if len(servers) == 1 else servers)' "$1"
}

forget() {
    "$tool" reset --force >/dev/null 2>&1
}

for shell in "${shells[@]}"; do
    # 15 % of 40 stay free: 34 for who is planned for, and a reserve and slack out of the rest.
    planned=$(DATABASE_URL=$url "$tool" plan --app all=1 --json |
        python3 -c 'import json, sys; b = json.load(sys.stdin)["budget"]; print(b["limit"], b["reserve"], b["slack"])')
    read -r limit reserve slack <<<"$planned"
    [ "$((limit - reserve))" = 34 ] || fail "the plan is $planned"
    for way in option file environment; do
        forget
        printf 'DATABASE_URL=%s\n' "$url" >"$temp/.env"
        case $way in
        option) gives 0 "$limit $reserve" -u "$url" sh -c 'echo "$PQBUDGET_LIMIT $PQBUDGET_RESERVE"' ;;
        file) gives 0 "$limit $reserve" -e "$temp/.env" sh -c 'echo "$PQBUDGET_LIMIT $PQBUDGET_RESERVE"' ;;
        environment)
            DATABASE_URL="$url?connection_limit=3&schema=public" \
                gives 0 "$limit $reserve" sh -c 'echo "$PQBUDGET_LIMIT $PQBUDGET_RESERVE"'
            ;;
        esac
        says "$key has limit $limit of 40, reserve $reserve, slack $slack; waiting up to 8s; ledger"
        expect "the ledger's limit" "$limit" "$(row limit)"
        expect "the ledger's slack" "$slack" "$(row slack)"
    done

    # Once, and never over what is there already.
    DATABASE_URL=$url gives 0 "$limit" "$source" sh -c 'echo "$PQBUDGET_LIMIT"'
    says "$key has limit $limit already"
    "$tool" set --limit 7 --reserve 1 >/dev/null || fail "set"
    DATABASE_URL=$url gives 0 7 sh -c 'echo "$PQBUDGET_LIMIT"'
    says "$key has limit 7 already; ledger"
    expect "the limit that was set" 7 "$(row limit)"
    # A limit for new servers is none for this one, and said to be none.
    "$tool" set --new --server db:5432 --limit none >/dev/null || fail "set"
    DATABASE_URL=$url gives 0 20 -n 20 sh -c 'echo "$PQBUDGET_LIMIT"'
    says "limit 20 for a server that is new \($key has 7, db:5432 has none\); waiting up to 8s"
    gives 0 "" true
    says "limit 85 for a server that is new \($key has 7, db:5432 has none\); waiting"
    forget
    # More than the server has is not left unsaid.
    "$tool" set --new --server "$key" --limit 41 >/dev/null || fail "set"
    DATABASE_URL=$url gives 0 41 -w 3s sh -c 'echo "$PQBUDGET_LIMIT"'
    says "$key has limit 41 already, more than the 40 it can bear: say  pqbudget set --server $key --limit $limit; \
waiting up to 3s; ledger"
    "$tool" set --limit none >/dev/null || fail "set"
    DATABASE_URL=$url gives 0 none sh -c 'echo "$PQBUDGET_LIMIT"'
    says "$key has limit none already"

    # A limit that was given, or a pooler, is not asked for.
    forget
    DATABASE_URL=$url gives 0 "5/" -n 5 sh -c 'echo "$PQBUDGET_LIMIT/${PQBUDGET_RESERVE-}"'
    PQBUDGET_LIMIT=6 DATABASE_URL=$url gives 0 "6/" sh -c 'echo "$PQBUDGET_LIMIT/${PQBUDGET_RESERVE-}"'
    DATABASE_URL="$url?pgbouncer=true" gives 0 "/" sh -c 'echo "${PQBUDGET_LIMIT-}/${PQBUDGET_RESERVE-}"'
    says 'a pooler, which has limits of its own'
    for pooler in postgresql://h:6432/d 'postgresql://u@h:6543?sslmode=disable' 'port=6432 host=h' 'host=h port=6543'; do
        DATABASE_URL=$pooler gives 0 "/" sh -c 'echo "${PQBUDGET_LIMIT-}/${PQBUDGET_RESERVE-}"'
        says 'a pooler'
    done
    [ ! -e "$ledger" ] || fail "$shell: there is a ledger"

    # A server that is down or refuses, or what is no server: a line, and the defaults.
    for bad in postgresql://u:geheim@127.0.0.1:1/d "${url%/*}/nosuch_geheim" 'host=127.0.0.1 port=1 password=geheim' \
        http://geheim; do
        DATABASE_URL=$bad gives 0 "/" sh -c 'echo "${PQBUDGET_LIMIT-}/${PQBUDGET_RESERVE-}"'
        expect "lines about '$bad'" 2 "$(wc -l <"$temp/err")"
        grep -q '^pqbudget-run: the server was not asked: ' "$temp/err" || fail "$shell: $(cat "$temp/err")"
        grep -q '^pqbudget-run: limit 85 for a server that is new' "$temp/err" || fail "$shell: $(cat "$temp/err")"
        [[ $bad == */nosuch_geheim ]] || ! grep -q 'heim' "$temp/err" || fail "a password is shown: $(cat "$temp/err")"
    done

    # Who is wrapped is counted and named, by libpq and by plain sockets, however deep in the tree.
    forget
    export DATABASE_URL=$url
    gives 0 1 -a web sh -c 'sh -c "psql -XAtqc \"select 1\"; true"; true'
    expect "granted" 1 "$(row granted_total)"
    "$tool" status --json | grep -q '"app":"web"' || fail "$shell: nobody is called web: $("$tool" status)"
    gives 0 1 -a web bash -c 'exec "$@"' bash python3 -c '
import os, socket, struct, sys
s = socket.create_connection((os.environ["PGHOST"], int(os.environ["PGPORT"])))
body = b"user\0postgres\0database\0postgres\0\0"
s.sendall(struct.pack("!II", len(body) + 8, 3 << 16) + body)
query = sys.argv[1].encode() + b"\0"
s.sendall(b"Q" + struct.pack("!I", len(query) + 4) + query)
answer = b""
while b"SELECT 1\0" not in answer:
    answer += s.recv(65536)
print(answer[answer.index(b"SELECT 1\0") - 6:].decode(errors="replace")[0])' "$count"
    expect "granted" 2 "$(row granted_total)"
    unset DATABASE_URL
done
