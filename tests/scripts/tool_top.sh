#!/usr/bin/env bash
# top: what stands on the screen, what the keys do, and that the terminal is left as it was found, whatever
# happens. That last thing is what the terminal itself looks at, at every end.
# shellcheck source=tests/scripts/tool_common
. "$(dirname "$0")/tool_common"

# top COLUMNS ROWS STEP…: until it quits; what the terminal got is in $temp/out
top() {
    "$terminal" "$@" -- "$tool" top --interval 50ms >"$temp/out" 2>"$temp/err" ||
        depth=1 fail "exit status $?: $(cat "$temp/err"): $(tail -c 3000 "$temp/out" | cat -v)"
}
# shown PATTERN: the screen that was shown last has it
shown() { grep -qE -- "$1" "$temp/screen" || depth=1 fail "not there: $1: $(cat "$temp/screen")"; }
hidden() { ! grep -qE -- "$1" "$temp/screen" || depth=1 fail "there: $1: $(cat "$temp/screen")"; }
# column N: of the rows of the list
column() { awk -v n="$1" 'on && $1 != "q" && NF > 4 { print $n } $1 == "STATE" { on = 1 }' "$temp/screen" | paste -sd ' '; }

# Not without a terminal, nor on one that can't move its cursor; nor for what is wrong from the start.
for value in '' 0 49ms abc inf 3601; do
    refuses 2 '--interval wants a time between' top --interval "$value"
done
refuses 3 'needs a terminal .*pqbudget status' top
for kind in dumb ''; do
    TERM=$kind "$terminal" 80 24 -- "$tool" top >"$temp/out" 2>"$temp/err"
    expect "exit status with TERM=$kind" 3 $?
    grep -q 'needs a terminal that can move its cursor' "$temp/out" || fail "TERM=$kind: $(cat "$temp/out")"
    ! grep -q $'\033' "$temp/out" || fail "control sequences with TERM=$kind"
done
accepts set --server "$server" --new --limit 20 --reserve 0
"$terminal" 80 24 -- "$tool" top --server nosuch:1 >"$temp/out"
expect "exit status for a server that is not there" 2 $?
grep -q 'knows no server nosuch:1' "$temp/out" || fail "$(cat "$temp/out")"

# A server and nobody in it; then a full house.
top 80 24 "see:0 of 20 used" "see:\[all 0\] +queue 0 +holders 0" type:q
accepts set --app web=9:4 --new
hold 3 --app jobs --user ada --database shop
hold 7 --app web
hold 10 --app psql
start --app late --wait forever
wait_until "one waits" state 's["waiting"] == 1'
start --app web --wait forever
wait_until "two wait" state 's["waiting"] == 2'
hold 1 --server other:5433 --app cron

# In 80 by 24: a bar for each server and application, the queue in its order, then holders by age.
top 80 24 "see:other:5433" "show:$temp/screen" type:q
shown "^$server  \[####################\]  20 of 20 used, 2 waiting, 0 draining$"
shown '^  psql  \[##########----------\]    10   none    0        0$'
shown '^  web   \[###############-----\]     7      9    4        1$'
shown '^  jobs  \[###-----------------\]     3   none    0        0$'
shown '^other:5433  \[#-------------------\]  1 of 85 used, 0 waiting, 0 draining$'
shown '^\[all 23\]  queue 2   holders 21    1-11 by age$'
expect "the list" "waiting waiting open open open open open open open open open" "$(column 1)"
expect "the oldest first" "late web jobs jobs jobs web web web web web web" "$(column 2)"
expect "the last line" "q quit  / filter  s sort  r reverse  Tab queue, holders  p hold  j k scroll" \
    "$(tail -n 1 "$temp/screen")"
expect "lines" 24 "$(wc -l <"$temp/screen")"
grep -q $'\033\\[3[0-9]m' "$temp/out" || fail "no colour"

# Without colour.
NO_COLOR=1 "$terminal" 80 24 "see:$server +\[####" type:q -- "$tool" top >"$temp/out" || fail "NO_COLOR"
! sed 's/\x1b\[0m\x1b\[?25h//' "$temp/out" | grep -q $'\033\\[[0-9;]*m' || fail "colour in spite of NO_COLOR"

# Sorting, in both directions; who waits stays first, in order.
top 80 24 type:s "see: by wait" type:s "see: by app$" "show:$temp/screen" type:q
expect "by application" "late web cron jobs jobs jobs psql psql psql psql psql" "$(column 2)"
top 80 24 type:ssr "see: by app, reversed" "show:$temp/screen" type:q
expect "reversed" "late web web web web web web web web psql psql" "$(column 2)"
top 80 24 type:ssssss "see: by age$" type:q

# The queue alone, holders alone, all again.
top 80 24 'type:\t' 'see:\[queue 2\]' "show:$temp/screen" 'type:\t' 'see:\[holders 21\]' 'miss:^  waiting' \
    'type:\t' 'see:\[all 23\]' type:q
expect "the queue" "waiting waiting" "$(column 1)"

# Scrolling: no further than the end, by line, by page, to either end, with letters and with keys of all sorts.
top 80 24 type:j "see: 2-12 by" type:k "see: 1-11 by" type:k type:G "see: 13-23 by" type:j type:k "see: 12-22 by" \
    'type:\x1b[H' "see: 1-11 by" 'type:\x1b[B' "see: 2-12 by" 'type:\x1bOB' "see: 3-13 by" 'type:\x1b[A' \
    "see: 2-12 by" 'type:\x1b[6~' "see: 12-22 by" 'type:\x1b[5~' "see: 2-12 by" 'type:\x1b[F' "see: 13-23 by" \
    type:b "see: 3-13 by" 'type: ' "see: 13-23 by" type:g "see: 1-11 by" 'type:\x1b[1;5B' "see: 2-12 by" \
    'type:\x1b[4~' "see: 13-23 by" 'type:\x1b[1~' "see: 1-11 by" 'type:\x1b[8~' "see: 13-23 by" 'type:\x1b[7~' \
    "see: 1-11 by" 'type:\x1b[99~' 'type:\x1bx' 'type:\x1b[Zx' type:q

# A filter: what is typed is a part of anything in the row; keys are letters meanwhile; it is dropped or kept.
top 80 24 type:/QJO 'see:filter: QJO_' 'type:\x7f\x7f\x7fjobq' 'type:\x7f' 'see:filter: job_' 'see:\[all 3\]' \
    'type:\n' 'see:filter: job$' 'see:^q quit' "show:$temp/screen" 'type:\x1b' 'see:\[all 23\]' type:q
expect "filtered" "jobs jobs jobs" "$(column 2)"
top 80 24 type:/SHOP 'see:\[all 3\]' 'type:\x1b' 'see:\[all 23\]' 'miss:filter:' type:/waiting 'see:\[all 2\]' \
    'type:\x1b' 'see:\[all 23\]' "type:/${pids[0]}" 'see:\[all 3\]' 'type:\x1b' 'see:\[all 23\]' type:/nothing \
    'see:\[all 0\] .* 0-0 by' type:jk 'type:\nq'
top 80 24 'type:/grö€' 'see:filter: grö€_' 'type:\x7f\x7f' 'see:filter: gr_' "type:$(printf 'x%.0s' {1..100})" \
    'see:filter: grx{61}_|filter: grx+…' 'type:\nq'

# It stands still while it is held, and says so.
top 80 24 "see:of 20 used" type:p "see:^HELD" "run:$tool set --server $server --limit 99" type:r "see:reversed" \
    "show:$temp/screen" type:p "see:of 99 used" "miss:HELD" type:q
shown ' of 20 used'

# Any size, and any change of it: no line is wider, and the footer is the last one.
sizes=()
for size in 40x10 200x60 20x6 100x5 300x4 1x1 12x3 132x43; do
    sizes+=("resize:$size" "see:^(q quit|q qui.|[…q]?$)" "show:$temp/$size")
done
top 80 24 "see:of 99 used" "${sizes[@]}" "see:of 99 used" resize:80x24 "see:of 99 used" type:q
grep -qE '\[[#-]{40}\]' "$temp/132x43" || fail "no wider bar: $(cat "$temp/132x43")"
expect "lines of 40x10" 10 "$(wc -l <"$temp/40x10")"
grep -q '... and [0-9]* more lines' "$temp/40x10" || fail "does not say that there is more: $(cat "$temp/40x10")"

# It ends well by every signal that ends it; and is suspended by a shell, which has its terminal meanwhile.
for name in TERM INT HUP QUIT; do
    top 80 24 "see:of 99 used" "signal:$name"
done
top 80 24 "see:of 99 used" key:c
top 80 24 "see:of 99 used" type:/abc key:c
# shellcheck disable=SC2016 # for the shell there
"$terminal" 80 24 'wait:ready ' "type:$tool top\n" 'see:of 99 used' key:z 'wait:Stopped' 'type:stty -a\n' \
    'wait: icanon ' 'type:fg\n' 'see:of 99 used.*' 'miss:Stopped' type:G 'see:-23 by age' key:z 'wait:Stopped' \
    'type:kill -TERM %1; fg\n' 'type:echo $((6 * 7))\n' 'wait:42' 'type:exit\n' -- \
    env PS1='ready ' bash --norc --noprofile -i >"$temp/out" 2>"$temp/err" ||
    fail "suspended: exit status $?: $(cat "$temp/err"): $(cat -v "$temp/out")"
top 80 24 "see:of 99 used" signal:STOP "run:$tool set --server $server --limit 20" signal:CONT "see:of 20 used" type:q

# The ledger goes, comes, is reset, is no ledger any more, and is one again.
top 80 24 "see:of 20 used" "run:rm -r $ledger" "see:there is no ledger" type:jGs \
    "run:$tool set --server $server --new --limit 30" "see:0 of 30 used" "run:$tool reset" "see:there is no ledger" \
    "run:$tool set --server $server --new --limit 40" "see:0 of 40 used" "run:truncate -s 0 $ledger" \
    "see:is not a ledger|was changed" "run:$tool reset --force; $tool set --server $server --new --limit 50" \
    "see:0 of 50 used" type:q
accepts reset --force
top 80 24 "see:there is no ledger" key:c

# Names may be anything: nothing of them moves the cursor.
hold 1 --app $'a\033]0;owned\a\r\n\177' --user $'\xff\xfe' --database 'größe日本🐘' --server $'h\033[2J:1'
for environment in LC_ALL=C.UTF-8 LC_ALL=C; do
    env "$environment" "$terminal" 100 24 "see:STATE" "see:open" "show:$temp/screen" type:q -- "$tool" top >"$temp/out" ||
        fail "odd names with $environment"
    ! grep -qE $'owned\a|h\033\[2J|\177' "$temp/out" || fail "raw control characters"
    shown '^h\?\[2J:1 '
done
! LC_ALL=C grep -q '[^ -~]' <(tr -d '\r\033' <"$temp/out") || fail "a terminal without UTF-8 gets some"
accepts reset --force

# Many.
for _ in 1 2 3 4 5 6 7 8; do
    hold 512 --limit 5000 --reserve 0
done
top 80 24 "see:4096 of 5000 used" type:G "see:-4096 by age" "type:/${pids[-1]}" 'see:\[all 512\]' 'type:\nq'
