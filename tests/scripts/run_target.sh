#!/usr/bin/env bash
# pqbudget-run: programs that no library can be loaded into are refused or warned of, before they start.
# shellcheck source=tests/scripts/run_common
. "$(dirname "$0")/run_common"
wrapper=$source
escapes="its own connections are not counted, those of what it starts are"
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
# Another C library, by the name of its loader, which needs not be there.
make_program musl -Wl,-dynamic-linker,/lib/ld-musl-x86_64.so.1 count.c
# What comes with a C library that is older than all that the library wants of one.
echo 'void old_call(void) {}' >libc.c
echo 'GLIBC_2.2.5 { global: old_call; };' >libc.map
mkdir old
cc -shared -nostdlib -fPIC -Wl,-soname,libc.so.6 -Wl,--version-script=libc.map -o old/libc.so.6 libc.c || fail "cc"
echo 'void old_call(void); void _start(void) { old_call(); }' >old.c
make_program of-old -nostdlib -fno-stack-protector old.c old/libc.so.6 -Wl,-rpath,"$PWD/old"
# The name of its loader lies far behind, as patchelf puts it.
cp plain patched
python3 - patched <<'END' || fail "cannot patch"
import struct, sys
with open(sys.argv[1], "rb+") as file:
    data = bytearray(file.read())
    wide = data[4] == 2
    header, size, count = (struct.unpack_from("Q" if wide else "I", data, 32 if wide else 28)[0],
                           *struct.unpack_from("HH", data, 54 if wide else 42))
    interp = next(at for at in range(header, header + size * count, size)
                  if struct.unpack_from("I", data, at)[0] == 3)
    field = "Q" if wide else "I"
    start, = struct.unpack_from(field, data, interp + (8 if wide else 4))
    length, = struct.unpack_from(field, data, interp + (32 if wide else 16))
    struct.pack_into(field, data, interp + (8 if wide else 4), len(data))
    file.seek(0)
    file.write(data + data[start:start + length])
END
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

    gives 2 "" -q ./patched x
    expect "what is said of a program that was patched" "" "$(cat "$temp/err")"
    run -q ./musl
    grep -qx "pqbudget-run: warning: './musl' is not linked with the C library of GNU: $escapes" "$temp/err" ||
        fail "another C library: $(cat "$temp/err")"
    refuses 125 "'\./of-old' brings a C library that is older" ./of-old
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

# Another word size. Of a dynamic one ld.so says it again, when it starts.
peer=$(find "$PQB_TEST_BUILD/helpers32/" -type f -perm -100 2>/dev/null | head -n 1)
if [ -n "$peer" ]; then
    for shell in "${shells[@]}"; do
        run -q "$peer" --help
        expect "what is said of a 32-bit program" "pqbudget-run: warning: '$peer' cannot load the library \
(wrong ELF class: ELFCLASS64): $escapes" "$(head -n 1 "$temp/err")"
        expect "what ld.so says" 1 "$(grep -c '^ERROR: ld\.so: .*libpqbudget\.so.* (wrong ELF class' "$temp/err")"
    done
    shell=dash
    make_program static32 -m32 -static count.c
    gives 3 "" -q ./static32 x y
    says "warning: '\./static32' is linked statically"
fi

# Capabilities. Only root can give some.
if [ "$(id -u)" = 0 ]; then
    cp plain capable
    PATH=$PATH:/usr/sbin:/sbin setcap cap_net_raw+ep capable || fail "setcap"
    for shell in "${shells[@]}"; do
        refuses 126 "'\./capable' is setuid, setgid or has capabilities" ./capable
    done
fi
