#!/usr/bin/zsh -f
# What an interactive zsh offers behind each line of stdin: the line, and below it, indented, one candidate a line.
#
#   completions.zsh FOLDER SCRATCH      with the completion functions of FOLDER
zmodload zsh/zpty
export FUNCTIONS=$1 SCRATCH=$2 TERM=dumb
zpty shell zsh -f -i

# There what would be offered is printed between < and >, and ^T empties the line.
cat >$SCRATCH/rc <<'RC'
PS1= PS2= fpath=($FUNCTIONS $fpath)
unsetopt zle_bracketed_paste prompt_sp
autoload -Uz compinit && compinit -u -d $SCRATCH/zcompdump
compadd() {
    local -a offered
    # With one of these it is only asked which would match.
    if [[ -z ${(M)@[1,(i)--]:#-[OAD]} ]]; then
        builtin compadd -O offered "$@"
        (( ! $#offered )) || print -rl -- "<"$^offered">"
    fi
    builtin compadd "$@"
}
leave() { compstate[insert]= compstate[list]= }
comppostfuncs=(leave)
empty() { zle kill-whole-line; print -r -- 'e'nd }
zle -N empty
bindkey '^T' empty
print -r -- 'rea'dy
RC
zpty -w shell 'source $SCRATCH/rc'
zpty -r shell answer $'*ready\r\n*' || exit 1
while IFS= read -r line; do
    zpty -w -n shell "$line"$'\t\x14'
    zpty -r shell answer $'*end\r\n*' || exit 1
    print -r -- "$line"
    print -r -- "$answer" | grep -oE '<[^<>]+>' | sed 's/^</  /; s/>$//' | LC_ALL=C sort -u
done
