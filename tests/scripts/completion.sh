#!/usr/bin/env bash
# Completion in bash and zsh: every command, every option, and the names that a ledger has.
# shellcheck source=tests/scripts/tool_common
. "$(dirname "$0")/tool_common"
bash_files=$PWD/scripts/share/bash-completion/completions
mkdir "$temp/bin"
ln -s "$tool" "$temp/bin/pqbudget" || fail "no link"
ln -s "$PWD/scripts/pqbudget-run" "$temp/bin/pqbudget-run" || fail "no link"
export PATH=$temp/bin:$PATH
# shellcheck source=scripts/share/bash-completion/completions/pqbudget-run
. "$bash_files/pqbudget-run"

# What they must know, by what the tool says of itself.
verbs=$(pqbudget help | sed -nE 's/^  ([a-z]+) .*/\1/p')
options_of() {
    {
        echo --help
        case $1 in
        run) pqbudget-run --help | grep -oE -- '(^|[^A-Za-z-])--?[A-Za-z]+' | grep -o -- '-.*' ;;
        *) pqbudget help "$1" | grep -oE -- '--[a-z]+(-[a-z]+)*' ;;
        esac
    } | sort -u
}
run_options=$(options_of run)

hold 1 --app web
hold 1 --server db.internal:6000 --app bot
other=$PQBUDGET_LEDGER.other
PQBUDGET_LEDGER=$other accepts set --server elsewhere:1 --new --limit 3
clean_up_other() {
    rm -rf "/dev/shm/pqbudget.$(id -u).$other"*
    clean_up
}
trap clean_up_other EXIT

# completed LINE: what bash has behind that line, sorted. Its words are split as bash splits them.
completed() {
    COMP_LINE=$1 COMP_POINT=${#1} COMPREPLY=()
    mapfile -t COMP_WORDS < <(grep -oE '[^ =:]+|[=:]+' <<<"$1")
    [[ $1 != *' ' ]] || COMP_WORDS+=('')
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    local command
    command=$(complete -p "${COMP_WORDS[0]}" | sed -E 's/.*-F ([^ ]*).*/\1/')
    "$command" "${COMP_WORDS[0]}" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]-}"
    printf '%s\n' ${COMPREPLY[@]+"${COMPREPLY[@]}"} | sort -u
}

# bash_has LINE WANTED: these, by blanks and sorted
bash_has() {
    depth=1 expect "bash, $1" "$2" "$(completed "$1" | paste -sd ' ')"
}

bash_has 'pqbudget ' "$(sort <<<"$verbs" | paste -sd ' ')"
bash_has 'pqbudget res' 'reset resume'
bash_has 'pqbudget help pa' 'pause'
bash_has 'pqbudget --' '--help --ledger --version'
bash_has "pqbudget --ledger $other sta" 'status'
for verb in $verbs; do
    bash_has "pqbudget $verb --" "$(options_of "$verb" | grep -e -- | paste -sd ' ')"
    for option in $(options_of "$verb"); do
        completed "pqbudget $verb ${option%[!-]}" | grep -qxe "$option" || fail "bash: pqbudget $verb ${option%[!-]}"
    done
done
bash_has 'pqbudget status --server ' "db.internal:6000 $server"
bash_has 'pqbudget status --server lo' "$server"
bash_has 'pqbudget status --server localhost:' "5432"
bash_has 'pqbudget status --server=' "db.internal:6000 $server"
bash_has 'pqbudget status --server=localhost:54' "5432"
bash_has "pqbudget --ledger $other status --server " 'elsewhere:1'
bash_has "pqbudget status --ledger=$other --server " 'elsewhere:1'
bash_has "pqbudget status --ledger $other --server=" 'elsewhere:1'
bash_has "pqbudget --ledger none.$$ status --server " ''
bash_has "pqbudget status --ledger $other" "$other"
bash_has "pqbudget --ledger=$other" "$other"
bash_has 'pqbudget set --app ' 'bot= web='
bash_has 'pqbudget set --app=w' 'web='
bash_has 'pqbudget set --limit ' ''
bash_has 'pqbudget nosuch --' '--help'
bash_has 'pqbudget-run -' "$(paste -sd ' ' <<<"$run_options")"
bash_has 'pqbudget-run -q --pri' '--prisma'
bash_has "pqbudget-run -u postgresql://u@h:5432/d -L $other" "$other"
bash_has "pqbudget-run -q --ledger $other" "$other"
bash_has 'pqbudget-run -n ' ''
bash_has "pqbudget-run -e $temp/bi" "$temp/bin"
bash_has 'pqbudget-run -n 5 pqbudget-ru' 'pqbudget-run'
bash_has 'pqbudget-run -- pqbudget-ru' 'pqbudget-run'
bash_has 'pqbudget-run pqbudget -' ''
bash_has "pqbudget --ledger $other run -q -n 5 pqbudget-ru" 'pqbudget-run'
bash_has "pqbudget run -L $other" "$other"
COMP_WORDBREAKS=${COMP_WORDBREAKS//:/} bash_has 'pqbudget status --server localhost:' "$server"

# As somebody at the keyboard has it: the line is completed, and printed instead of called.
typed() {
    local line=$1 wanted=$2
    shift 2
    timeout 60 "$terminal" 200 24 wait:ready "type:$line" type:'\x01' 'type:echo \n' "wait:$wanted" \
        'type:exit\n' -- "$@" >"$temp/typed" 2>&1 || depth=1 fail "$line: $(cat "$temp/typed")"
}
cat >"$temp/bashrc" <<RC
. '$bash_files/pqbudget-run'
PS1='ready> '
RC
in_bash=(bash --noprofile --rcfile "$temp/bashrc" -i)
typed 'pqbudget sta\t--server localh\t--js\t' "pqbudget status --server $server --json" "${in_bash[@]}"
typed 'pqbudget-run -n 5 pqbudget-ru\t--pri\t' 'pqbudget-run -n 5 pqbudget-run --pri' "${in_bash[@]}"
typed 'PQBUDGET= pqbudget set --server=db\t--app we\t5' "set --server=db.internal:6000 --app web=5" "${in_bash[@]}"

has zsh || exit 0

# zsh is asked all at once, as it takes long to start.
questions=() answers=()
zsh_has() {
    questions+=("$1")
    answers+=("$1${2:+ $2}")
}

zsh_has 'pqbudget ' "$(sort <<<"$verbs" | paste -sd ' ')"
zsh_has 'pqbudget res' 'reset resume'
zsh_has 'pqbudget help pa' 'pause'
zsh_has 'pqbudget --' '--help --ledger --version'
zsh_has "pqbudget --ledger $other sta" 'status'
for verb in $verbs; do
    zsh_has "pqbudget $verb --" "$(options_of "$verb" | grep -e -- | paste -sd ' ')"
done
zsh_has 'pqbudget status --server ' "db.internal:6000 $server"
zsh_has 'pqbudget status --server=local' "$server"
zsh_has "pqbudget --ledger $other status --server " 'elsewhere:1'
zsh_has "pqbudget status --ledger=$other --server " 'elsewhere:1'
zsh_has "pqbudget --ledger none.$$ status --server " ''
zsh_has "pqbudget status --ledger $other" "$other"
zsh_has 'pqbudget set --app ' 'bot web'
zsh_has 'pqbudget set --app w' 'web'
zsh_has 'pqbudget set --limit ' ''
zsh_has 'pqbudget set --limit 5 --res' '--reserve'
zsh_has 'pqbudget-run --' "$(grep -e -- <<<"$run_options" | paste -sd ' ')"
# zsh itself has a command of that name.
zsh_has 'pqbudget-run -' "- $(paste -sd ' ' <<<"$run_options")"
zsh_has "pqbudget-run -u postgresql://u@h:5432/d -L $other" "$other"
zsh_has "pqbudget-run -q --ledger $other" "$other"
zsh_has "pqbudget-run -e $temp/bi" bin
zsh_has 'pqbudget-run -n 5 pqbudget-ru' 'pqbudget-run'
zsh_has 'pqbudget-run pqbudget status --js' '--json'
zsh_has "pqbudget --ledger $other run -q -n 5 pqbudget-ru" 'pqbudget-run'
zsh_has "pqbudget run -L $other" "$other"
printf '%s\n' "${questions[@]}" |
    LC_ALL=C timeout 60 tests/support/completions.zsh "$PWD/scripts/share/zsh/site-functions" "$temp" >"$temp/out" 2>&1 ||
    fail "zsh: $(cat "$temp/out")"
# Each answer on the line of its question.
sed -e ':more' -e 'N; s/\n  */ /; t more' -e 'P; D' "$temp/out" >"$temp/got"
printf '%s\n' "${answers[@]}" | diff - "$temp/got" >"$temp/differ" || fail "zsh, expected and got: $(cat "$temp/differ")"
