#!/usr/bin/env bash
# pqbudget-run: programs that no library can be loaded into are refused or warned of, before they start.
# shellcheck source=tests/scripts/run_common
. "$(dirname "$0")/run_common"
wrapper=$source
mkdir "$temp/a b"
cd "$temp/a b" || fail "no folder"

echo 'int main(int count, char **args) { return args[count] ? 1 : count; }' >count.c
make_program() {
    cc -o "$@" || fail "cannot make $1"
}
make_program plain count.c
make_program static -static count.c
make_program static-pie -static-pie count.c
make_program sanitized -fsanitize=address count.c
# The note that Go's linker leaves.
cat >go.S <<'END'
.section .note.go.buildid, "a", %note
.p2align 2
.long 4, 8, 4
.asciz "Go\0"
.ascii "identity"
.section .note.GNU-stack, "", %progbits
END
make_program gopher count.c go.S
make_program static-gopher -static count.c go.S
cp plain setuid && chmod u+s setuid
cp plain setgid && chmod g+s setgid
printf '#!/usr/bin/env plain\n' >of-plain
mkdir bin
ln -s ../static bin/statically
printf '#!/usr/bin/env statically\n' >of-static
printf '#!%s\n' "$temp/c" >of-of-static
ln -s "$PWD/of-static" "$temp/c"
printf '#!%s\n' "$PWD/loop" >loop
printf '#!%s/setuid\n' "$temp" >of-setuid
cp -p setuid "$temp"
chmod 755 of-* loop

for shell in "${shells[@]}"; do
    gives 2 "" -q ./plain x
    expect "what is said of a plain program" "" "$(cat "$temp/err")"
    for name in setuid setgid; do
        refuses 126 "'\./$name' is setuid, setgid or has capabilities" "./$name"
        PATH=$PWD:$PATH refuses 126 "'.*/$name' is setuid" "$name"
    done
    refuses 126 "'$temp/setuid' is setuid" ./of-setuid

    for name in static static-pie; do
        gives 3 "" -q "./$name" x y
        says "warning: '\./$name' is linked statically"
    done
    for name in gopher static-gopher; do
        gives 3 "" -q "./$name" x y
        says "warning: '\./$name' is made with Go"
    done
    PATH=$PWD/bin:$PATH gives 2 "" -q ./of-static
    says "warning: '.*/bin/statically' is linked statically"
    PATH=$PWD/bin:$PATH run -q ./of-of-static
    says "warning: '.*/bin/statically' is linked statically"
    PATH=$PWD:$PATH gives 2 "" -q ./of-plain
    expect "what is said of a script" "" "$(cat "$temp/err")"
    run -q ./loop

done
shell=dash

# Its sanitizer refuses to be the second; that is not ours to decide.
run -q ./sanitized
grep -q "^pqbudget-run: warning: '\./sanitized' has an AddressSanitizer" "$temp/err" || fail "$(cat "$temp/err")"
grep -q 'ASan runtime does not come first' "$temp/err" || fail "it starts all the same: $(cat "$temp/err")"
ASAN_OPTIONS=verify_asan_link_order=0:detect_leaks=0 gives 2 "" -q ./sanitized x
expect "what is said when that is settled" "" "$(cat "$temp/err")"
LD_PRELOAD=$(cc -print-file-name=libasan.so) ASAN_OPTIONS=detect_leaks=0 gives 2 "" -q ./sanitized x
expect "what is said when its library is first" "" "$(cat "$temp/err")"

# Another word size.
peer=$(find "$PQB_TEST_BUILD/helpers32/" -type f -perm -100 2>/dev/null | head -n 1)
if [ -n "$peer" ]; then
    run -q "$peer" --help
    grep -q "^pqbudget-run: warning: '.*' cannot load the library (wrong ELF class: ELFCLASS64)" "$temp/err" ||
        fail "a 32-bit program: $(cat "$temp/err")"
fi

# Capabilities. Only root can give some.
if [ "$(id -u)" = 0 ]; then
    cp plain capable
    PATH=$PATH:/usr/sbin:/sbin setcap cap_net_raw+ep capable || fail "setcap"
    for shell in "${shells[@]}"; do
        refuses 126 "'\./capable' is setuid, setgid or has capabilities" ./capable
    done
fi
