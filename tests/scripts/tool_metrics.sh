#!/usr/bin/env bash
# metrics: the ledger as Prometheus reads it.
# shellcheck source=tests/scripts/tool_common
. "$(dirname "$0")/tool_common"

# lint: what Prometheus itself says of $temp/out
lint() {
    has promtool || return 0
    promtool check metrics <"$temp/out" >"$temp/lint" 2>&1 || depth=1 fail "$(cat "$temp/lint" "$temp/out")"
    [ ! -s "$temp/lint" ] || depth=1 fail "promtool: $(cat "$temp/lint")"
}

# page EXPRESSION: a truth about $temp/out: m is {name: {labels: value}}, labels as a string
page() {
    python3 -c '
import re, sys
label = r"[a-z]+=\"(?:[^\"\\\n]|\\[\\\"n])*\""
sample = re.compile(r"(pqbudget_[a-z_]+)\{(" + label + "(?:," + label + r")*)\} ([0-9.]+|\+Inf)")
m, types = {}, {}
for line in open(sys.argv[2], newline="\n", encoding="utf-8").read().split("\n")[:-1]:
    if line.startswith("# "):
        _, what, name, rest = line.split(" ", 3)
        assert what in ("HELP", "TYPE") and rest, line
        if what == "TYPE":
            assert name not in types, line
            types[name] = rest
        continue
    name, labels, value = sample.fullmatch(line).groups()
    family = re.sub("_(bucket|sum|count)$", "", name)
    assert types[name if name in types else family] in ("gauge", "counter", "histogram"), line
    assert labels not in m.setdefault(name, {}), line
    m[name][labels] = float(value)
w = "pqbudget_wait_seconds"
for buckets in [list(m.get(w + "_bucket", {}).values())]:
    assert len(buckets) % 16 == 0
    for i in range(0, len(buckets), 16):
        assert buckets[i:i + 16] == sorted(buckets[i:i + 16])
        assert buckets[i + 15] == list(m[w + "_count"].values())[i // 16]
sys.exit(not eval("(" + sys.argv[1] + ")"))' "$1" "$temp/out" || depth=1 fail "not so: $1: $(cat "$temp/out")"
}

# Nothing to read; a server that nobody uses; every state.
refuses 3 'there is no ledger' metrics
accepts set --server "$server" --new --limit 4
accepts metrics
lint
page 'm["pqbudget_limit"] == {"server=\"'"$server"'\"": 4} and "pqbudget_connections" not in m and
    m["pqbudget_wait_seconds_sum"] == m["pqbudget_wait_seconds_count"]'
hold 2 --app web
hold 1 --app bot --connecting
hold 1 --app web
start --app web --wait forever
wait_until "one waits" state 's["waiting"] == 1'
start --app bot --wait 0
wait_until "one is refused" state 's["refused_total"] == 1'
accepts metrics
lint
page '{l: v for l, v in m["pqbudget_connections"].items() if v} == {
    "server=\"'"$server"'\",app=\"web\",state=\"open\"": 3,
    "server=\"'"$server"'\",app=\"bot\",state=\"connecting\"": 1} and len(m["pqbudget_connections"]) == 8'
page 'm["pqbudget_waiting"] == {"server=\"'"$server"'\",app=\"web\"": 1, "server=\"'"$server"'\",app=\"bot\"": 0}'
page '{n: v for n in m if n.count("_") < 3 and n[9:] not in ("connections", "waiting")
       for v in m[n].values()} == {"pqbudget_limit": 4, "pqbudget_used": 4, "pqbudget_paused": 0,
    "pqbudget_granted_total": 4, "pqbudget_timeouts_total": 0, "pqbudget_refused_total": 1,
    "pqbudget_reaped_total": 0, "pqbudget_yielded_total": 0} and list(m["pqbudget_wait_seconds_count"].values()) == [4]'
kill -KILL "${pids[0]}"
wait_until "the waiter has one" state 's["waiting"] == 0'
accepts pause
accepts metrics
lint
page 'list(m["pqbudget_paused"].values()) == [1] and list(m["pqbudget_reaped_total"].values()) == [2] and
    list(m["pqbudget_wait_seconds_count"].values()) == [5] and list(m["pqbudget_wait_seconds_sum"].values())[0] > 0'

# No limit; several servers; names of any bytes, of which no two become one.
accepts set --server other:1 --new --limit none
hold 1 --server other:1 --app $'"\\\n\t\033[2J'
hold 1 --server other:1 --app $'\xff'
hold 1 --server other:1 --app $'\xfe'
hold 1 --server other:1 --app 'größe日本🐘'
hold 1 --server other:1 --app ''
accepts metrics
lint
page 'm["pqbudget_limit"]["server=\"other:1\""] == float("inf")'
cat >"$temp/names" <<'NAMES'
""
"\"\\\\x0a\\x09\\x1b[2J"
"\\xfe"
"\\xff"
"größe日本🐘"
NAMES
page 'sorted(l.split("app=")[1] for l in m["pqbudget_waiting"] if "other" in l) ==
    open("'"$temp/names"'").read().split("\n")[:-1]'
accepts reset --force

# Many.
for _ in 1 2 3 4 5 6 7 8; do
    hold 512 --limit 5000 --reserve 0
done
accepts metrics
lint
page 'm["pqbudget_connections"]["server=\"'"$server"'\",app=\"client\",state=\"open\""] == 4096'
"$tool" metrics >/dev/full 2>"$temp/err"
expect "exit status of metrics >/dev/full" 3 $?
