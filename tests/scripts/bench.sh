#!/usr/bin/env bash
# What becomes of a benchmark's rows: tables, judgement, JSON, plots. The rows are made up, but for some of a program
# in C that measures nothing for long.
# shellcheck disable=SC2016 # code in Markdown
# shellcheck source=tests/scripts/common
. "$(dirname "$0")/common"
export PYTHONDONTWRITEBYTECODE=1

report() {
    python3 tests/bench/report.py "$temp/made" >"$temp/out" 2>"$temp/err"
}
# says LINE: of the report in Markdown
says() {
    grep -qxF -- "$1" "$temp/out" || depth=1 fail "not said: $1"$'\n'"$(cat "$temp/out")"
}
# json CONDITION: of the report in JSON, at j
json() {
    python3 -c "import json, sys; j = json.load(open(sys.argv[1])); assert $1, j['bars']" "$temp/made/report.json" ||
        depth=1 fail "not so: $1"
}

{
    cat <<'ROWS'
{"made": {"date": "2026-11-21 23:45", "processors": 2, "processor": "x86", "kernel": "6.1", "postgresql": "15.20", "pgbouncer": "1.18.0", "load": "0.10", "quick": false}}
{"table": "queries", "name": "`-S -M prepared`, 1 client", "cells": [{"column": "direct", "unit": "/s", "median": 12099, "low": 11587, "high": 12763}, {"column": "pqbudget", "unit": "/s", "median": 12091, "low": 11560, "high": 12719}, {"column": "pqbudget ÷ direct", "unit": "×", "median": 0.998, "low": 0.926, "high": 1.07}, {"column": "PgBouncer session", "unit": "/s", "median": 7000, "low": 6900, "high": 7100}, {"column": "PgBouncer session ÷ direct", "unit": "×", "median": 0.58, "low": 0.57, "high": 0.59}]}
{"table": "queries", "name": "`-S -C`, TCP", "cells": [{"column": "direct", "unit": "/s", "median": 504, "low": 463, "high": 513}, {"column": "pqbudget", "unit": "/s", "median": 490, "low": 444, "high": 493}, {"column": "pqbudget ÷ direct", "unit": "×", "median": 0.967, "low": 0.957, "high": 0.982}]}
{"table": "processor", "name": "`-S -M simple`, 8 clients: pgbench", "cells": [{"column": "direct", "unit": "µs", "median": 10, "low": 9, "high": 11}]}
{"table": "latency", "name": "`-S -M simple`, 8 clients", "cells": [{"column": "direct", "unit": "µs", "p50": 90, "p95": 200, "p99": 20000}]}
{"table": "claims", "name": "claim + give back, 10000 held by others", "cells": [{"column": "pqbudget", "unit": "µs", "median": 6, "low": 6, "high": 6}, {"column": "÷ alone", "unit": "×", "value": 1.51}]}
{"table": "wakes", "name": "slot given back → next waiter runs", "cells": [{"column": "pqbudget", "unit": "µs", "p50": 30, "p99": 2001}]}
{"table": "wakes", "name": "holder SIGKILLed → waiter runs (drain 0)", "cells": [{"column": "pqbudget", "unit": "µs", "p50": 5000, "p99": 10000}, {"column": "POSIX semaphore", "text": "never"}]}
ROWS
    QUICK=1 "$PQB_TEST_BUILD/bench/session" || fail "no rows of a program in C"
    echo '{"ended": {"load_ended": "1.20", "minutes": 18.2}}'
} >"$temp/rows"
report <"$temp/rows" || fail "$(cat "$temp/err")"
expect "stderr" "" "$(cat "$temp/err")"
cmp -s "$temp/out" "$temp/made/report.md" || fail "report.md is another"

# Tables, with figures and judgement.
says '2026-11-21 23:45, 2 processors (x86), Linux 6.1, PostgreSQL 15.20, PgBouncer 1.18.0.'
says 'Load 0.10 when it began, 1.20 when it ended, after 18.2 minutes.'
says '|  | direct | pqbudget | PgBouncer session | bar |  |'
says '| `-S -M prepared`, 1 client | 12,099/s (11,587–12,763) | 12,091/s (11,560–12,719), 0.998 × (0.926–1.07) | 7,000/s (6,900–7,100), 0.580 × (0.570–0.590) | ≥ 0.99 | met |'
says '| `-S -C`, TCP | 504/s (463–513) | 490/s (444–493), 0.967 × (0.957–0.982) | – | ≥ 0.98 | **missed** |'
says '| slot given back → next waiter runs | p50 30.0 µs, p99 2,001 µs | – | p50 ≤ 100 µs, p99 ≤ 2 ms | **missed** |'
says '| holder SIGKILLed → waiter runs (drain 0) | p50 5,000 µs, p99 10.0 ms | never | p99 ≤ 50 ms | met |'
says '| `-S -M simple`, 8 clients | p50 90.0 µs, p95 200 µs, p99 20.0 ms |'
grep -q '^| 64 KiB of one row | 65,536 | .* ns (.*–.*) |$' "$temp/out" || fail "no row of C: $(cat "$temp/out")"

# The list of all bars: also of those that nobody measured.
says '| Queries and connections: `-S -C`, TCP | ≥ 0.98 | 0.967 × (0.957–0.982) | **missed** |'
says '| A claim: claim + give back, 10000 held by others | ≤ 1.5 × alone | 1.51 × | **missed** |'
says '| A storm: failed of 1,000 | 0 | – | **not measured** |'
says "2 met, 3 missed, $(($(grep -c '"verdict"' "$temp/made/report.json") - 10)) not measured."
json 'len(j["rows"]) == 14 and j["made"]["minutes"] == 18.2'
json '[bar["verdict"] for bar in j["bars"][:4]] == ["met", "not measured", "not measured", "missed"]'
json 'all((bar["measured"] is None) == (bar["verdict"] == "not measured") for bar in j["bars"])'
python3 - "$temp/made/report.json" tests/schemas/bench.json <<'E2' || fail "not as the schema says"
import json, sys, jsonschema
jsonschema.validate(*(json.load(open(file)) for file in sys.argv[1:]))
E2

# Plots: of what there are figures for.
expect "plots" "bench-claims.svg bench-connects.svg bench-latency.svg bench-processor.svg bench-queries.svg" \
    "$(cd "$temp/made" && echo ./*.svg | sed 's,\./,,g')"
python3 - "$temp"/made/*.svg <<'E3' || fail "not SVG"
import sys
from xml.etree import ElementTree
for file in sys.argv[1:]:
    root = ElementTree.parse(file).getroot()
    assert root.tag.endswith("}svg") and root.findtext("{*}title") and root.findtext("{*}desc"), file
    assert "prefers-color-scheme: dark" in root.findtext("{*}style"), file
E3

# Into a README, again and again.
printf '%s\n' before '![x](scripts/bench-queries.svg)' '<!-- bench -->' old '<!-- end of bench -->' after >"$temp/README"
for _ in 1 2; do tests/bench/publish "$temp/made" "$temp/README" || fail "not published"; done
{
    printf '%s\n' before '![x](scripts/bench-queries.svg)' '<!-- bench -->' ''
    cat "$temp/out"
    printf '%s\n' '' '<!-- end of bench -->' after
} >"$temp/wanted"
cmp -s "$temp/README" "$temp/wanted" || fail "not as wanted: $(diff "$temp/README" "$temp/wanted")"
expect "plots beside it" bench-queries.svg "$(ls "$temp/scripts")"
echo "no marks" >"$temp/README"
tests/bench/publish "$temp/made" "$temp/README" 2>/dev/null && fail "published nowhere"
expect "what it left" "no marks" "$(cat "$temp/README")"

# Nothing measured; a row of no table.
grep -E '"(made|ended)"' "$temp/rows" >"$temp/nothing"
rm -r "$temp/made"
report <"$temp/nothing" || fail "$(cat "$temp/err")"
json 'not j["rows"] and {bar["verdict"] for bar in j["bars"]} == {"not measured"}'
expect "plots" "$temp/made/*.svg" "$(echo "$temp"/made/*.svg)"
{ cat "$temp/nothing" && echo '{"table": "no such", "name": "x", "cells": []}'; } >"$temp/stray"
report <"$temp/stray" && fail "a row of no table is taken"
grep -q 'no such table: no such' "$temp/err" || fail "unclear: $(cat "$temp/err")"
