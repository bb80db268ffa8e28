#!/usr/bin/env bash
# make install: what it puts where, that it works from there, and that uninstall takes all of it away.
# shellcheck disable=SC2034 # of tool_server
settings=()
# shellcheck source=tests/scripts/tool_server
. "$(dirname "$0")/tool_server"
unset MAKEFLAGS MAKELEVEL MFLAGS

# place TARGET DESTDIR PREFIX: what is built already, whatever flags this make would build it with
place() {
    make -o all "$1" DEPS=true DESTDIR="$2" PREFIX="$3" >"$temp/out" 2>&1 ||
        depth=1 fail "make $1: $(cat "$temp/out")"
}

# Every file with its mode, and nothing else; the umask counts for nothing.
wanted=$(
    cat <<'FILES'
755 bin/pqbudget
755 bin/pqbudget-run
644 lib/libpqbudget.so
644 share/bash-completion/completions/pqbudget
644 share/bash-completion/completions/pqbudget-run
644 share/man/man1/pqbudget-run.1
644 share/man/man1/pqbudget.1
644 share/man/man7/libpqbudget.7
644 share/pkgconfig/pqbudget.pc
644 share/pqbudget/Dockerfile
644 share/pqbudget/alerts.yml
644 share/pqbudget/dashboard.json
644 share/pqbudget/service.conf
644 share/zsh/site-functions/_pqbudget
FILES
)
root="$temp/a root"
(umask 077 && place install "$root" /opt/pqb) || exit 1
expect "what is installed" "$wanted" "$(cd "$root/opt/pqb" && find . -type f -printf '%m %P\n' | LC_ALL=C sort -k 2)"
expect "of another kind, mode or place" "" \
    "$(find "$root" -not -type f -not \( -type d -perm 755 \) -o -type f -not -path "$root/opt/pqb/*")"
expect "what the prefix has not reached" "" "$(grep -rlE '/usr/local|@[A-Z]+@' "$root/opt/pqb/share")"
touch "$root/opt/pqb/lib/somebody's"
place uninstall "$root" /opt/pqb
expect "what uninstall leaves" "lib/somebody's" "$(cd "$root/opt/pqb" && find . -not -type d -printf '%P\n')"
absent "$root/opt/pqb/share/pqbudget" || fail "uninstall leaves a folder of ours"
place uninstall "$root" /opt/pqb

# Where pkg-config says, for good or for a tree that was moved.
root=$temp/root prefix=$temp/root/usr/local
place install "$root" /usr/local
export PKG_CONFIG_PATH=$prefix/share/pkgconfig
expect "version" "$("$tool" --version | cut -d ' ' -f 2)" "$(pkg-config --modversion pqbudget)"
expect "flags" "" "$(pkg-config --cflags --libs pqbudget | tr -d ' ')"
expect "library" /usr/local/lib/libpqbudget.so "$(pkg-config --variable=preload pqbudget)"
library=$(pkg-config --define-prefix --variable=preload pqbudget)
expect "library, moved" "$prefix/lib/libpqbudget.so" "$library"

# It does there what it does here.
tool=$prefix/bin/pqbudget
expect "an answer" 1 "$(LD_PRELOAD=$library psql -XqAtd "$url" -c 'SELECT 1')"
expect_state "s['server'] == '$here' and s['granted_total'] == 1 and s['used'] == 0"
# shellcheck disable=SC2016 # the inner shell's
expect "the wrapper's library" "$library" "$("$prefix/bin/pqbudget-run" -q sh -c 'echo "$LD_PRELOAD"')"
