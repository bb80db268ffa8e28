#!/usr/bin/env bash
# serve: what it answers to whom, and that it changes nothing.
# shellcheck source=tests/scripts/tool_common
. "$(dirname "$0")/tool_common"

shell=()
whole_line() { [ "$(wc -l <"$temp/where")" = 1 ]; }
# serve OPTION…: in the background; where it listens is $address, its pid $serving. The shell would have it ignore
# SIGINT; and what the last one said must not be taken for the word of this one.
serve() {
    : >"$temp/where"
    env --default-signal=INT "${shell[@]}" "$tool" serve "$@" >"$temp/said" 2>>"$temp/where" </dev/null &
    serving=$!
    pids+=("$serving")
    wait_until "it says where it listens" whole_line
    address=$(sed -nE 's|^pqbudget: listening on http://([^/]*)/.*|\1|p' "$temp/where")
}
# stop SIGNAL: it ends well, and has said nothing else
stop() {
    kill "-$1" "$serving"
    wait "$serving"
    depth=1 expect "exit status after SIG$1" 0 $?
    expect "lines on stderr" 1 "$(wc -l <"$temp/where")"
    [ ! -s "$temp/said" ] || depth=1 fail "it prints $(cat "$temp/said")"
}
# ask STATUS ROUTE OPTION…: its headers are in $temp/headers, what it answers in $temp/out
ask() {
    local wanted=$1 route=$2 status
    shift 2
    status=$(curl -sS -m 60 -D "$temp/headers" -o "$temp/out" -w '%{http_code}' "$@" "http://$address$route" \
        2>"$temp/err") || depth=1 fail "curl $* $route: $(cat "$temp/err")"
    tr -d '\r' <"$temp/headers" >"$temp/plain" && mv "$temp/plain" "$temp/headers"
    [ "$status" = "$wanted" ] || depth=1 fail "$* $route: expected $wanted, got $status: $(head -c 500 "$temp/out")"
}
# dial: a connection to it, by hand: $line
dial() { exec {line}<>"/dev/tcp/${address%:*}/${address##*:}"; }
hang_up() {
    local line=$1
    exec {line}>&-
}
header() {
    grep -qixE -- "$1" "$temp/headers" || depth=1 fail "no header $1: $(cat "$temp/headers")"
}

# Where it can't listen.
for where in '' x 127.0.0.1 127.0.0.1: :9188 127.0.0.1:65536 127.0.0.1:-1 127.0.0.1:x ::1:9188 '[::1:9188' "[$(printf 'x%.0s' {1..200})]:1"; do
    refuses 2 'serve: .* is no address to listen on: say HOST:PORT.*; see "pqbudget help serve"' serve --listen "$where"
done
refuses 3 'cannot listen on 192\.0\.2\.1:0: Cannot assign requested address' serve --listen 192.0.2.1:0
refuses 2 'is no name for a ledger' serve --ledger a/b
for name in '' mine.example:80 http://mine.example; do
    refuses 2 "--host wants a name alone, not '$name'; see" serve --host "$name"
done

# No ledger: the page is there, all else says so. It may come while we serve.
serve --listen 127.0.0.1:0
[[ $address =~ ^127\.0\.0\.1:[1-9][0-9]*$ ]] || fail "address: $address"
refuses 3 "cannot listen on $address: Address already in use; --listen" serve --listen "$address"
ask 200 /
for route in /status.json /health /metrics; do
    ask 503 "$route"
done
grep -q '^# there is no ledger ' "$temp/out" || fail "metrics: $(cat "$temp/out")"
ask 503 /status.json
is 'list(j) == ["ledger", "error"] and j["ledger"] == "'"$ledger"'" and "no ledger" in j["error"]' || fail "$(cat "$temp/out")"
ask 503 /health
valid health
is 'j["status"] == "unknown"' || fail "$(cat "$temp/out")"
[ ! -e "$ledger" ] || fail "to serve makes a ledger"

# Every route, as the verbs have it; nothing but those.
accepts set --server "$server" --new --limit 10 --reserve 0
hold 5 --app web --user ada --database shop
ask 200 /status.json
valid status
header 'content-type: application/json'
is 's["used"] == 5 and [c["user"] for c in s["claims"]] == ["ada"] * 5' || fail "$(cat "$temp/out")"
ask 200 /metrics
header 'content-type: text/plain; version=0\.0\.4; charset=utf-8'
cp "$temp/out" "$temp/metrics"
accepts metrics
cmp "$temp/out" "$temp/metrics" || fail "metrics are others than those of the verb"
ask 200 /health
valid health
header 'content-type: application/json'
is 'j["status"] == "ok" and j["database"]["connections"]["total"] == 5' || fail "$(cat "$temp/out")"
hold 3 --app bot
ask 200 /health
is 'j["status"] == "warning"' || fail "$(cat "$temp/out")"
hold 1 --app bot
ask 503 /health
is 'j["status"] == "critical"' || fail "$(cat "$temp/out")"
ask 200 '/status.json?and=more'
for route in /status /status.json/ /index.html //status.json /%2e%2e/etc/passwd /page.html; do
    ask 404 "$route" --path-as-is
done
grep -q '/status.json, /health and /metrics' "$temp/out" || fail "404: $(cat "$temp/out")"

# The page: no request to anywhere else, and every script and style of it has the nonce of this answer.
ask 200 /
header 'content-type: text/html; charset=utf-8'
header "content-security-policy: default-src 'none'; script-src 'nonce-[0-9a-f]{32}'; style-src 'nonce-[0-9a-f]{32}'; connect-src 'self';.* frame-ancestors 'none'"
nonce=$(grep -oE -m 1 'nonce-[0-9a-f]{32}' "$temp/headers" | head -n 1)
python3 - "$temp/out" "${nonce#nonce-}" shim/tool/page.html 2>"$temp/err" <<'PYTHON' || fail "$(tail -n 1 "$temp/err")"
import re, sys
page, nonce = open(sys.argv[1], encoding="utf-8").read(), sys.argv[2]
opened = re.findall(r"<(?:script|style)\b[^>]*>", page)
assert opened and all(f'nonce="{nonce}"' in tag for tag in opened), opened
assert page.replace(nonce, "0" * 32) == open(sys.argv[3], encoding="utf-8").read(), "not as it stands in the tree"
assert not re.findall(r"https?://(?!www\.w3\.org/2000/svg)|[^:]//[a-z0-9.-]+\.[a-z]+/|\bon[a-z]+=\"|style=\"", page), "reaches out, or inline"
assert len(page) < 100_000, len(page)
PYTHON
ask 200 /
! grep -q "$nonce" "$temp/headers" || fail "the same nonce twice"

# Headers of every answer.
for request in "200 /" "200 /status.json" "200 /metrics" "503 /health" "404 /none" "405 / -X POST" "403 / -H Host:evil.example"; do
    read -r status route options <<<"$request"
    # shellcheck disable=SC2086 # several words
    ask "$status" "$route" $options
    header 'cache-control: no-store'
    header 'x-content-type-options: nosniff'
    header 'referrer-policy: no-referrer'
    header 'cross-origin-resource-policy: same-origin'
    header "content-security-policy: default-src 'none'; .*frame-ancestors 'none'"
    ! grep -qi '^access-control-\|^set-cookie\|^server:' "$temp/headers" || fail "$request: $(cat "$temp/headers")"
done

# To read only.
for method in POST PUT DELETE PATCH OPTIONS TRACE FROB get; do
    ask 405 /status.json -X "$method"
    header 'allow: GET, HEAD'
done
head -c 300000 /dev/zero >"$temp/upload"
ask 405 / --data-binary "@$temp/upload" -H 'Expect:'
for route in / /status.json /metrics; do
    ask 200 "$route"
    length=$(sed -nE 's/^content-length: //Ip' "$temp/headers")
    expect "length of $route" "$length" "$(wc -c <"$temp/out")"
    ask 200 "$route" -I
    header 'content-length: [1-9][0-9]*'
done
dial
printf 'HEAD / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' >&"$line"
timeout 60 cat <&"$line" >"$temp/out"
hang_up "$line"
expect "the end of what HEAD gets" $'\r\n\r' "$(tail -c 4 "$temp/out")"

# Only by a name that leads to us and to nobody else: an address, localhost, or one that was said.
for host in evil.example evil.example:80 127.0.0.1.evil.example localhost.evil.example 127.1 0x7f.0.0.1 ::1 '[::1' '[localhost]' '[::1]x' \
    '127.0.0.1:80x' 127.0.0.1@evil.example ' ' "$(printf 'x%.0s' {1..300})" localhost@ mine.example; do
    ask 403 /status.json -H "Host: $host"
done
grep -q 'pqbudget: not known by that name; --host NAME' "$temp/out" || fail "403: $(cat "$temp/out")"
ask 403 /status.json -H 'Host: evil.example' -X POST
for host in localhost LocalHost:1 127.0.0.1 127.9.9.9:80 192.0.2.7:9188 '[::1]' '[2001:db8::1]:80'; do
    ask 200 /status.json -H "Host: $host"
done
status=$(curl -sS -m 60 -o "$temp/out" -w '%{http_code}' -0 -H 'Host:' "http://$address/status.json")
expect "without a name at all" 403 "$status"

# What is no HTTP, and a crowd that says nothing or half a word, disturbs nobody.
silent=()
for i in {1..100}; do
    dial
    silent+=("$line")
    ((i % 2)) || printf 'GET / HTTP/1.1\r\nHost: ' >&"$line"
done
head -c 20000 /dev/urandom | timeout 60 curl -s -m 60 "telnet://$address" >/dev/null 2>&1
ask 200 /status.json
for line in "${silent[@]}"; do
    hang_up "$line"
done
seq 40 | xargs -P 8 -I '{}' curl -sS -m 60 -o "$temp/many.{}" "http://$address/status.json" || fail "many at a time"
for i in 1 20 40; do
    valid status "$temp/many.$i"
done

# The ledger is reset, comes back, is none any more; as often as it does, no descriptor stays behind.
descriptors() { find "/proc/$serving/fd" -mindepth 1 | wc -l; }
none_behind() { [ "$(descriptors)" -le "$before" ]; }
for limit in 30 31 32 33 34 35; do
    accepts reset --force
    ask 503 /status.json
    accepts set --server "$server" --new --limit "$limit"
    ask 200 /status.json
    is 's["limit"] == '"$limit"' and s["used"] == 0' || fail "$(cat "$temp/out")"
    ask 200 /health
    [ "$limit" != 30 ] || before=$(descriptors)
done
wait_until "no more descriptors than before: $before" none_behind
truncate -s 100 "$ledger"
for route in /status.json /health /metrics; do
    ask 503 "$route"
done
accepts reset --force
stop TERM

# Other names, other addresses; port 0; every signal that ends it. IPv6 where there is any.
serve --listen 0 --host mine.example --host other.example
for host in mine.example MINE.example:80 other.example; do
    ask 200 / -H "Host: $host"
done
ask 403 / -H 'Host: not.mine.example'
stop INT
serve --listen localhost:0
ask 200 /
stop HUP
serve --listen 127.1:0
ask 200 / -H 'Host: 127.1'
ask 403 / -H 'Host: 127.2'
stop TERM
shell=(sh -c 'trap "" HUP && exec "$@"' nohup)
serve --listen 0
shell=()
kill -HUP "$serving"
ask 200 /
stop TERM
serve --listen 0.0.0.0:0
grep -q ', for every machine that can reach it$' "$temp/where" || fail "does not warn: $(cat "$temp/where")"
stop TERM
if [ -e /proc/net/if_inet6 ] && grep -q ' lo$' /proc/net/if_inet6; then
    serve --listen '[::1]:0'
    [[ $address =~ ^\[::1\]:[1-9][0-9]*$ ]] || fail "address: $address"
    ask 200 / -g
    ! grep -q 'every machine' "$temp/where" || fail "warns: $(cat "$temp/where")"
    stop TERM
fi

# Odd names, and many claims.
serve --listen 0
hold 1 --app $'a"\\\b\033</script>' --user $'\xff\xfe' --database 'größe日本🐘' --server $'h\033[2J:1'
ask 200 /status.json
valid status
is 's["claims"][0]["database"] == "größe日本🐘"' || fail "$(cat "$temp/out")"
accepts reset --force
for _ in 1 2 3 4 5 6 7 8; do
    hold 512 --limit 5000 --reserve 0
done
ask 200 /status.json
valid status
is 's["used"] == 4096 and len(s["claims"]) == 4096' || fail "4096 claims"
# Who does not read what he asked for keeps nobody waiting, nor does who goes away in the middle.
for _ in 1 2 3; do
    dial
    printf 'GET /status.json HTTP/1.1\r\nHost: localhost\r\n\r\n' >&"$line"
done
head -c 1000 <&"$line" >/dev/null
hang_up "$line"
ask 200 /metrics
grep -q '^pqbudget_connections{.*} 4096$' "$temp/out" || fail "metrics of 4096: $(cat "$temp/out")"
stop TERM
