#!/usr/bin/env bash
# pqbudget-run: which library it takes, that it loads, and what else is in LD_PRELOAD.
# shellcheck disable=SC2016 # what is in single quotes is for other shells
# shellcheck source=tests/scripts/run_common
. "$(dirname "$0")/run_common"
show='echo "$LD_PRELOAD"'

# How often a command has the library mapped. There is none of the wrapper's own processes in it.
maps() {
    # shellcheck disable=SC2086 # several words
    $shell "$wrapper" -q grep -c 'r-xp.*/libpqbudget\.so$' /proc/self/maps
}

# Links go here, not where other users' are.
export TMPDIR=$temp

install_into "$temp/prefix"
prefix=$temp/prefix
for shell in "${shells[@]}"; do
    # The source tree, the prefix, next to itself; by its path, by PATH, by links.
    wrapper=$source
    gives 0 "$PWD/build/release/libpqbudget.so" -q sh -c "$show"
    wrapper=scripts/pqbudget-run
    gives 0 "$PWD/build/release/libpqbudget.so" -q sh -c "$show"
    wrapper=$prefix/bin/pqbudget-run
    gives 0 "$prefix/lib/libpqbudget.so" -q sh -c "$show"
    expect "mapped with $shell" 1 "$(maps)"
    # shellcheck disable=SC2086 # several words
    expect "by PATH" "$prefix/lib/libpqbudget.so" "$(cd / && PATH=$prefix/bin:$PATH $shell -c 'pqbudget-run -q sh -c "$1"' sh "$show")"
    mkdir -p "$temp/links"
    ln -sfn "$prefix/bin" "$temp/links/bin"
    ln -sf ../links/bin/pqbudget-run "$temp/links/again"
    wrapper=$temp/links/again
    gives 0 "$prefix/lib/libpqbudget.so" -q sh -c "$show"
    mkdir -p "$temp/beside"
    cp "$source" "$library" "$temp/beside"
    wrapper=$temp/beside/pqbudget-run
    gives 0 "$temp/beside/libpqbudget.so" -q sh -c "$show"
    rm -rf "$temp/beside"

    # Never the current directory.
    mkdir -p "$temp/trap/lib" "$temp/trap/build/release" "$temp/lone/bin"
    for place in . lib build/release; do
        cp "$library" "$temp/trap/$place"
    done
    cp "$source" "$temp/lone/bin"
    cp "$source" "$temp/trap"
    wrapper=$temp/lone/bin/pqbudget-run
    (cd "$temp/trap" && refuses 125 'there is no libpqbudget\.so next to .*lone/bin' true) || exit 1
    (cd "$temp/trap" && wrapper=pqbudget-run refuses 125 'call it by its path' true) || exit 1

    # A library that isn't one: ld.so would only warn, and go on without.
    wrapper=$prefix/bin/pqbudget-run
    for damage in empty text cut foreign; do
        case $damage in
        empty) : ;;
        text) echo '/* GNU ld script */' ;;
        cut) head -c 3000 "$library" ;;
        foreign) python3 -c 'import sys
data = bytearray(open(sys.argv[1], "rb").read())
data[18:20] = b"\xb7\0" if data[18] != 0xb7 else b"\x3e\0"
sys.stdout.buffer.write(data)' "$library" ;;
        esac >"$temp/damaged.so"
        mv "$temp/damaged.so" "$prefix/lib/libpqbudget.so"
        refuses 125 "the library $prefix/lib/libpqbudget.so does not load: " true
    done
    rm "$prefix/lib/libpqbudget.so"
    refuses 125 'there is no libpqbudget\.so' true
    cp "$library" "$prefix/lib"

    # Who has something in LD_PRELOAD keeps it; ours is there once, however often it is wrapped.
    faketime=$(find /usr/lib -name libfaketime.so.1 | head -n 1)
    jemalloc=$(find /usr/lib -name libjemalloc.so.2 | head -n 1)
    [ -n "$faketime$jemalloc" ] || fail "neither libfaketime nor libjemalloc2 is there"
    LD_PRELOAD=$jemalloc gives 0 "$jemalloc:$prefix/lib/libpqbudget.so" -q sh -c "$show"
    for other in "$jemalloc" "$faketime"; do
        expect "mapped beside $other" 1 "$(LD_PRELOAD=$other maps)"
        LD_PRELOAD=$other gives 0 1 -q grep -c "r-xp.*$other" /proc/self/maps
    done
    gives 0 "$prefix/lib/libpqbudget.so" -q "$wrapper" -q "$source" -q sh -c "$show"
    LD_PRELOAD="$library $jemalloc" gives 0 "$library $jemalloc" -q sh -c "$show"
    shell="env LD_PRELOAD=$temp/none/libpqbudget.so $shell" gives 125 "" true
    grep -q "^pqbudget-run: the library $temp/none/libpqbudget.so does not load" "$temp/err" || fail "$(cat "$temp/err")"

    # Nothing that the wrapper starts itself is under it, also when it is inside another one.
    mkdir -p "$temp/bin"
    for name in awk cksum env find getconf id od readlink sed tr true; do
        printf '#!/bin/sh\necho "%s ${LD_PRELOAD-}" >>"%s"\nexec "%s" "$@"\n' \
            "$name" "$temp/started" "$(type -P "$name")" >"$temp/bin/$name"
        chmod 755 "$temp/bin/$name"
    done
    sed -i '2s/.*/:/' "$temp/bin/true"
    PATH=$temp/bin:$PATH gives 0 "" -q "$wrapper" -q -e /dev/null sh -c :
    [ -s "$temp/started" ] || fail "nothing was started"
    expect "started under the preload" "" "$(grep -v ' $' "$temp/started")"
    rm "$temp/started"

    # Blanks, quotes and the like in every path; LD_PRELOAD can't have some of them, so they go by a link.
    for odd in "with blank" "it's" 'quo"te' 'a:b' 'a$LIB' 'a*b' 'ü' $'new\nline' '-dash'; do
        install_into "$temp/odd/$odd"
        expect "mapped in '$odd'" 1 "$(maps)"
        mkdir -p "$temp/odd/$odd/place"
        cp /bin/echo "$temp/odd/$odd/place/e $odd"
        (cd "$temp/odd/$odd/place" && gives 0 "x  y" -q "./e $odd" "x  y") || exit 1
        ln -sfn "$temp/odd/$odd/place" "$temp/path"
        PATH=$temp/path:$PATH gives 0 z -q "e $odd" z
        rm -rf "$temp/odd"
    done

    # A folder for the link that somebody else could change is not used.
    install_into "$temp/odd/with blank"
    mkdir -p "$temp/tmp/pqbudget-run.$(id -u)"
    chmod 777 "$temp/tmp/pqbudget-run.$(id -u)"
    TMPDIR=$temp/tmp refuses 125 "$temp/tmp/pqbudget-run.* is not ours" true
    chmod 755 "$temp/tmp/pqbudget-run.$(id -u)"
    TMPDIR=$temp/tmp gives 0 "$temp/tmp" -q sh -c 'echo "${LD_PRELOAD%/pqbudget-run.*}"'
    rm -rf "$temp/odd" "$temp/tmp"
done

# busybox alone, with nothing else but env.
mkdir "$temp/busybox"
for name in awk cksum find getconf grep id ln mkdir mv od readlink sed sh tr true; do
    ln -s "$(command -v busybox)" "$temp/busybox/$name"
done
ln -s "$(command -v grep)" "$temp/busybox/realgrep"
shell="env PATH=$temp/busybox $temp/busybox/sh"
install_into "$temp/odd/with blank"
gives 0 1 -q realgrep -c 'r-xp.*/libpqbudget\.so$' /proc/self/maps
