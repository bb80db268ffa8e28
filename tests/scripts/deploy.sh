#!/usr/bin/env bash
# The drop-in for systemd and the Dockerfile: what they say is understood, and true.
# shellcheck disable=SC2034 # of tool_server
settings=()
# shellcheck source=tests/scripts/tool_server
. "$(dirname "$0")/tool_server"
dropin=scripts/share/pqbudget/service.conf dockerfile=scripts/share/pqbudget/Dockerfile
library=/usr/local/lib/libpqbudget.so

# systemd understands every line, also those that are there to be chosen; and it does read them.
sed -E 's/^#([A-Za-z]+=)/\1/' "$dropin" >"$temp/whole.conf"
expect "lines to choose" 4 "$(diff "$dropin" "$temp/whole.conf" | grep -c '^>')"
mkdir -p "$temp/units/web@.service.d"
printf '[Service]\nExecStart=/bin/true\nUser=daemon\n' >"$temp/units/web@.service"

# verified FILE: what systemd complains of
verified() {
    cp "$1" "$temp/units/web@.service.d/pqbudget.conf"
    SYSTEMD_UNIT_PATH=$temp/units: timeout 60 systemd-analyze verify web@1.service 2>&1
}
if has systemd-analyze; then
    expect "of the drop-in" "" "$(verified "$dropin")"
    expect "of all of it" "" "$(verified "$temp/whole.conf")"
    sed 's/^RemoveIPC/RemoveIP/' "$dropin" >"$temp/wrong.conf"
    verified "$temp/wrong.conf" | grep -q "pqbudget.conf:.*Unknown key 'RemoveIP'" || fail "systemd reads no drop-in"
fi

# A program with that environment is under the budget, by the name of its service.
mapfile -t environment < <(sed -n 's/^Environment=//p' "$dropin" | sed "s,$library,$PQB_TEST_BUILD/libpqbudget.so,; s/%p/web/")
keep 1 "${environment[@]}"
expect_state 's["server"] == "'"$here"'" and [c["app"] for c in s["claims"]] == ["web"]'
while read -r name; do
    grep -q "\"$name\"" shim/preload/settings.c || fail "the library reads no $name"
done < <(grep -oE '\bPQBUDGET_[A-Z_]+\b' "$dropin" "$dockerfile" -h)

# What the image is built with is what scripts/deps brings for that, and what the tool needs is named.
named=$(sed -n '/^RUN apt-get/,/[^\\]$/p' "$dockerfile" | tr ' ' '\n')
for package in gcc make $(sed -n 's/^    build) echo "\(.*\)" ;;$/\1/p' scripts/deps); do
    grep -qxF "$package" <<<"$named" || fail "the image is built without $package"
done
needed=$(readelf -d "$tool" | sed -nE 's/.*NEEDED.*\[(lib[a-z]+)\.so\.([0-9]+)\]/\1\2/p' | grep -v '^libc6$' | sort | paste -sd ' ')
grep -q "^# .*apt-get install .* $needed  *# of the tool only" "$dockerfile" || fail "the tool needs $needed"
expect "where the library is" "$library $library" "$(grep -ohE 'LD_PRELOAD=\S+' "$dropin" "$dockerfile" | cut -d = -f 2 | paste -sd ' ')"

[ "$(id -u)" = 0 ] || skip "only root has other users, for the ledger of a group, and containers"

# Two users and the ledger of their group; a third who is not of it.
cp "$tool" "$PQB_TEST_BUILD/helpers/client" "$temp"
chmod 755 "$temp"
mkdir "$temp/group"
chgrp 61000 "$temp/group"
chmod 2770 "$temp/group"
export PQBUDGET_LEDGER=$temp/group/ledger

# as USER GROUP PROGRAM: makes a program that is the same as another user
as() {
    printf '#!/bin/sh\nexec setpriv --reuid=%s --regid=%s --groups=%s %s "$@"\n' "$1" "$1" "$2" "$temp/$3" >"$temp/as.$1"
    chmod +x "$temp/as.$1"
    echo "$temp/as.$1"
}
client=$(as 61001 61000 client)
hold 1 --app first
client=$(as 61002 61000 client)
hold 1 --app second
tool=$(as 61003 61000 pqbudget)
expect_state '[c["app"] for c in s["claims"]] == ["first", "second"]'
tool=$(as 61004 61004 pqbudget)
refuses 3 "cannot open $temp/group/ledger: Permission denied" status

# What containers share, and what not: their clients are in namespaces of their own.
unshare --mount --pid --net true 2>/dev/null || skip "no namespaces to be had, for containers"
tool=$temp/pqbudget PQBUDGET_LEDGER=tool.$$

# contain COMMAND: makes a client that is in such, after that command
contain() {
    client=$temp/contained
    cat >"$client" <<SH
#!/bin/sh
exec unshare --mount --pid --net --fork --kill-child --mount-proc sh -c '$1 && exec "\$@"' - $temp/client "\$@"
SH
    chmod +x "$client"
}
contain true
hold 1 --server db.internal:5432 --app shared
contain 'mount -t tmpfs none /dev/shm'
hold 1 --server db.internal:5432 --app apart
accepts status --json --server db.internal:5432
is '[c["app"] for c in s["claims"]] == ["shared"]' || fail "containers: $(cat "$temp/out")"
