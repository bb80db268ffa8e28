#!/usr/bin/env bash
# The manual pages: they know every command, option and variable that there is, and no other, and are well formed.
# shellcheck source=tests/scripts/tool_common
. "$(dirname "$0")/tool_common"
pages=scripts/share/man run=scripts/pqbudget-run

# plain: as it reads, without macros, fonts and quotes
plain() {
    sed -E 's/^\.[A-Z]+ ?//; s/\\f.//g; s/\\-/-/g; s/"//g'
}

# section PAGE MACRO NAME: from that heading to the next; the heading's own arguments are in the first line
section() {
    awk -v macro="$2" -v name="$3" '
        /^\.S[HS] / { heading = $0; gsub(/^\.S[HS] |"/, "", heading) }
        /^\.S[HS] / { inside = $1 == macro && (heading == name || index(heading, name " ") == 1) }
        inside' "$pages/$1"
}

# tags: the options or variables that the paragraphs of a section explain
tags() {
    grep -A 1 -x '\.TP' | plain | grep -oE -- "$1" | sort -u
}
option='(^|[ ,])--?[A-Za-z]+(-[a-z]+)*'

# usage COMMAND…: as its help has it, in one line
usage() {
    "$@" | sed -n '/^usage: /,/^$/p' | paste -sd ' ' | sed -E 's/^usage: //; s/ +/ /g; s/ $//'
}

# explained COMMAND…: the options that its help explains
explained() {
    "$@" | grep -oE -- '^  --?[A-Za-z]+(-[a-z]+)*|^  -[a-z], --[a-z]+' | grep -oE -- "$option" | tr -d ' ,' | sort -u
}

verbs=$("$tool" help | sed -nE 's/^  ([a-z]+) .*/\1/p')
expect "commands of pqbudget(1)" "$verbs" \
    "$(sed -n '/^\.SH COMMANDS/,/^\.SH EXIT/p' "$pages/man1/pqbudget.1" | grep '^\.SS ' | plain | cut -d ' ' -f 1)"
for verb in $verbs; do
    expect "usage of $verb" "$(usage "$tool" help "$verb")" \
        "pqbudget $(section man1/pqbudget.1 .SS "$verb" | head -n 1 | plain)"
    expect "options of $verb" "$(explained "$tool" help "$verb" | grep -vx -- --ledger)" \
        "$(section man1/pqbudget.1 .SS "$verb" | tags "$option" | tr -d ' ,')"
done
expect "options of all" "$(printf '%s\n' --help --ledger --version -h)" \
    "$(section man1/pqbudget.1 .SH OPTIONS | tags "$option" | tr -d ' ,' | LC_ALL=C sort)"

expect "usage of pqbudget-run" "$(usage "$run" --help)" \
    "$(section man1/pqbudget-run.1 .SH SYNOPSIS | sed 1d | plain | tr -d ' ' | paste -sd ' ')"
expect "options of pqbudget-run" "$({ explained "$run" --help && printf '%s\n' -h --help --ledger; } | sort)" \
    "$(section man1/pqbudget-run.1 .SH OPTIONS | tags "$option" | tr -d ' ,')"

# What the library reads.
wanted=$(grep -ohE '"PQBUDGET[A-Z_]*"' shim/preload/settings.c | tr -d '"' | sort -u)
expect "variables of libpqbudget(7)" "$wanted" "$(section man7/libpqbudget.7 .SH ENVIRONMENT | tags 'PQBUDGET[A-Z_]*')"

for page in "$pages"/man*/*; do
    if has mandoc; then
        mandoc -Tlint "$page" >"$temp/out" 2>&1 || fail "mandoc: $(cat "$temp/out")"
    fi
    if has groff; then
        groff -ww -man -Tutf8 -z "$page" >"$temp/out" 2>&1 || fail "groff: $(cat "$temp/out")"
        [ ! -s "$temp/out" ] || fail "groff: $(cat "$temp/out")"
    fi
    if has man; then
        man --warnings -l "$page" >"$temp/text" 2>"$temp/out" || fail "man: $(cat "$temp/out")"
        [ ! -s "$temp/out" ] || fail "man: $(cat "$temp/out")"
        grep -q '^SEE ALSO' "$temp/text" || fail "man shows no $page"
    fi
done
