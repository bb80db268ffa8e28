#!/usr/bin/env bash
# The alert rules and the dashboard: made for what `pqbudget metrics` prints, and right about it.
# shellcheck source=tests/scripts/tool_common
. "$(dirname "$0")/tool_common"
rules=$PWD/scripts/share/pqbudget/alerts.yml dashboard=$PWD/scripts/share/pqbudget/dashboard.json

# A ledger that has every series.
hold 2 --app web --limit 3 --reserve 0
hold 1 --app bot --connecting
start --app web --wait forever
wait_until "one waits" state 's["waiting"] == 1'
accepts metrics
cp "$temp/out" "$temp/metrics"

# Every name and label in them exists, and what exists is on the dashboard. The queries go to $temp/queries, one a
# line, with the variables filled in.
python3 - "$temp/metrics" "$rules" "$dashboard" "$temp/queries" <<'PYTHON' || fail "see above"
import json, re, sys

page, rules, text = (open(name, encoding="utf-8").read() for name in sys.argv[1:4])
names = set(re.findall(r"^(pqbudget_\w+)\{", page, re.M))
labels = set(re.findall(r"[{,](\w+)=\"", page)) | {"instance"}
families = set(re.findall(r"^# TYPE (\w+) ", page, re.M))
board = json.loads(text)
panels = board["panels"]
queries = [target["expr"] for panel in panels for target in panel["targets"]]
asked = queries + [variable["query"] for variable in board["templating"]["list"]]
variables = {variable["name"] for variable in board["templating"]["list"]} | {"__rate_interval"}


def used(pattern, *texts):
    return {name for text in texts for name in re.findall(pattern, text)}


assert used(r"\bpqbudget_\w+", rules, *asked) <= names, used(r"\bpqbudget_\w+", rules, *asked) - names
shown = used(r"\bpqbudget_\w+", *asked)
assert {re.sub("_bucket$", "", name) for name in shown} == families, families - shown
for listed in used(r"(?:by|without) \(([^)]*)\)", rules, *queries):
    assert set(listed.split(", ")) <= labels, listed
assert used(r"\{\{(\w+)\}\}", text) <= labels
assert used(r"\$labels\.(\w+)", rules) <= labels
assert used(r"(\w+)=~", *asked) <= labels
assert used(r"\$\{?(\w+)", json.dumps(panels), *asked) == variables

# What it takes to be imported anywhere: no source of somebody's own, and a place for each panel.
for thing in panels + board["templating"]["list"][1:]:
    assert thing["datasource"] == {"type": "prometheus", "uid": "${datasource}"}, thing
assert len({panel["id"] for panel in panels}) == len(panels)
taken = set()
for panel in panels:
    place = panel["gridPos"]
    assert place["x"] + place["w"] <= 24, panel["title"]
    cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
    assert not cells & taken, panel["title"]
    taken |= cells
    references = [target["refId"] for target in panel["targets"]]
    assert len(set(references)) == len(references), panel["title"]

with open(sys.argv[4], "w", encoding="utf-8") as out:
    for query in queries:
        query = query.replace("$__rate_interval", "1m")
        print(re.sub(r"\$(instance|server)\b", ".*", query), file=out)
PYTHON

has promtool || exit 0

# judge FILE: what promtool says of a file of tests
judge() {
    promtool test rules "$1" >"$temp/judged" 2>&1 || depth=1 fail "promtool: $(cat "$temp/judged")"
}

promtool check rules "$rules" >"$temp/judged" 2>&1 || fail "promtool: $(cat "$temp/judged")"

# Every query finds something in these very series.
{
    printf 'tests:\n  - interval: 15s\n    input_series:\n'
    sed -nE "s/^(pqbudget_.*\}) ([0-9.]+)\$/      - {series: '\1', values: '\2+1x20'}/p" "$temp/metrics"
    printf '    promql_expr_test:\n'
    while IFS= read -r query; do
        printf "      - expr: 'count(%s) > bool 0'\n" "$query"
        printf "        eval_time: 5m\n        exp_samples: [{labels: '{}', value: 1}]\n"
    done <"$temp/queries"
} >"$temp/queries.yml"
judge "$temp/queries.yml"

# alert NAME MOMENT [SERVER SUMMARY]…: what there is of it at that moment, with these words; the advice as it stands
# in the rule
alert() {
    local name=$1 severity=warning advice
    case $name in PqbudgetAtLimit | PqbudgetTimeouts) severity=critical ;; esac
    printf '      - alertname: %s\n        eval_time: %s\n        exp_alerts:' "$name" "$2"
    shift 2
    [ $# -gt 0 ] || printf ' []'
    # shellcheck disable=SC2016 # Prometheus' own
    advice=$(sed -n "/alert: $name\$/,/description:/s/.*description: //p" "$rules" |
        sed 's/{{ $labels.instance }}/m:1/; s/{{ $value | printf `%.0f` }}/2/')
    while [ $# -gt 0 ]; do
        printf '\n          - {exp_labels: {severity: %s, instance: m:1, server: "%s"},\n' "$severity" "$1"
        printf '             exp_annotations: {summary: "%s", description: %s}}' "$2" "$advice"
        shift 2
    done
    printf '\n'
}

# a:1 is at 69, at 70, and at 90 % of its limit, two minutes each; b:1 has no limit; of c:1 eight of ten are in use
# for half a minute only. Five wait for a:1, and then six, of two applications.
in_use='of the connections to a:1 are in use'
{
    cat <<YAML
rule_files: [$rules]
tests:
  - interval: 15s
    input_series:
      - {series: 'pqbudget_limit{instance="m:1", server="a:1"}', values: '100x60'}
      - {series: 'pqbudget_used{instance="m:1", server="a:1"}', values: '69x7 70x7 90x20'}
      - {series: 'pqbudget_limit{instance="m:1", server="b:1"}', values: '$(printf 'Inf %.0s' {1..40})'}
      - {series: 'pqbudget_used{instance="m:1", server="b:1"}', values: '5000x60'}
      - {series: 'pqbudget_limit{instance="m:1", server="c:1"}', values: '10x60'}
      - {series: 'pqbudget_used{instance="m:1", server="c:1"}', values: '8x1 2x60'}
      - {series: 'pqbudget_waiting{instance="m:1", server="a:1", app="web"}', values: '3x15 4x30'}
      - {series: 'pqbudget_waiting{instance="m:1", server="a:1", app="bot"}', values: '2x60'}
      - {series: 'pqbudget_waiting{instance="m:1", server="b:1", app="web"}', values: '5x60'}
      - {series: 'pqbudget_timeouts_total{instance="m:1", server="a:1"}', values: '7x7 9x60'}
      - {series: 'pqbudget_timeouts_total{instance="m:1", server="b:1"}', values: '7x60'}
      - {series: 'pqbudget_refused_total{instance="m:1", server="b:1"}', values: '0+1x60'}
    alert_rule_test:
YAML
    alert PqbudgetNearLimit 1m45s
    alert PqbudgetNearLimit 2m45s
    alert PqbudgetNearLimit 3m a:1 "70% $in_use"
    alert PqbudgetNearLimit 6m a:1 "90% $in_use"
    alert PqbudgetAtLimit 4m45s
    alert PqbudgetAtLimit 5m a:1 "90% $in_use"
    alert PqbudgetQueue 4m45s
    alert PqbudgetQueue 5m a:1 "6 connections to a:1 are waited for"
    alert PqbudgetTimeouts 1m45s
    alert PqbudgetTimeouts 2m a:1 "Programs wait in vain for a connection to a:1"
    alert PqbudgetTimeouts 6m a:1 "Programs wait in vain for a connection to a:1"
    alert PqbudgetTimeouts 7m15s
} >"$temp/alerts.yml"
judge "$temp/alerts.yml"
