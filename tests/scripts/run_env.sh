#!/usr/bin/env bash
# pqbudget-run: what it takes from an env file, and the DATABASE_URL that it makes for Prisma.
# shellcheck disable=SC2016 # what is in single quotes is for other shells
# shellcheck source=tests/scripts/run_common
. "$(dirname "$0")/run_common"
wrapper=$source file="$temp/my .env"

# reads VALUE LINES: what PQBUDGET_APP is then, and that only such settings came
reads() {
    printf '%b' "$2" >"$file"
    depth=1 gives 0 "$1/" -q -e "$file" sh -c 'echo "${PQBUDGET_APP-}/${OTHER-}"'
}

# becomes WANTED URL [OPTION…]: DATABASE_URL for Prisma
becomes() {
    local wanted=$1
    export DATABASE_URL=$2
    shift 2
    depth=1 gives 0 "$wanted" -q -n 20 --prisma "$@" sh -c 'echo "$DATABASE_URL"'
    unset DATABASE_URL
}

# opens PORTS URL: what the side door looks at then
opens() {
    DATABASE_URL=$2 depth=1 gives 0 "$1" -q -n 1 sh -c 'echo "${PQBUDGET_PORTS-}"'
}

unset PGPORT
for shell in "${shells[@]}"; do
    reads web 'PQBUDGET_APP=web\n'
    reads web 'OTHER=x\nexport   PQBUDGET_APP = web   \n'
    reads web 'PQBUDGET_APP=web # the name\n#PQBUDGET_APP=no\n  # PQBUDGET_APP=no\n'
    reads 'my app' 'PQBUDGET_APP=my app\r\n\r\nOTHER=x\r\n'
    reads 'a # b' 'PQBUDGET_APP="a # b" # c\n'
    reads 'a "b" # c' "PQBUDGET_APP='a \"b\" # c'"
    reads "it's" 'PQBUDGET_APP=`it'"'"'s`\n'
    reads ' x ' 'PQBUDGET_APP=" x "\n'
    reads '' 'PQBUDGET_APP=\n'
    reads '' 'PQBUDGET_APP=""\n'
    reads second 'PQBUDGET_APP=first\nPQBUDGET_APP=second\n'
    reads '"open' 'PQBUDGET_APP="open\n'
    reads 'no newline' 'PQBUDGET_APP=no newline'
    reads web '\xef\xbb\xbfPQBUDGET_APP=web\n'
    # What is inside another value is none.
    reads web 'PQBUDGET_APP=web\nKEY="-----BEGIN\nPQBUDGET_APP=inside\nOTHER=x\n-----END"\n'
    reads '' 'KEY="a\nPQBUDGET_APP=inside\\"\nPQBUDGET_APP=too\n"\n'
    reads '' 'PQBUDGET_APP="a\nb"\n'
    # Nothing is evaluated.
    reads '$(touch x) `id`' "PQBUDGET_APP='\$(touch x) \`id\`'\n"
    reads '$(echo x);id' 'PQBUDGET_APP=$(echo x);id\n'
    reads '' 'LD_PRELOAD=/none\nPATH=/none\nPQBUDGET_APP-x=1\npqbudget_app=1\nXPQBUDGET_APP=1\n'
    # What only the command can expand stays its own.
    printf 'NAME=x\nPQBUDGET_APP=${NAME}\n' >"$file"
    gives 0 "" -e "$file" sh -c 'echo "${PQBUDGET_APP-}"'
    grep -q "PQBUDGET_APP in '$file' refers to other variables" "$temp/err" || fail "$shell: $(cat "$temp/err")"

    # The option, then the environment, then the file; a pipe will do.
    printf 'PQBUDGET_APP=file\nPQBUDGET_WAIT=1s\n' >"$file"
    PQBUDGET_APP=environment gives 0 "environment 1s" -q -e "$file" sh -c 'echo "$PQBUDGET_APP $PQBUDGET_WAIT"'
    PQBUDGET_APP=environment gives 0 "option 1s" -q -a option -e "$file" sh -c 'echo "$PQBUDGET_APP $PQBUDGET_WAIT"'
    # shellcheck disable=SC2086 # several words
    expect "a pipe" file "$($shell "$wrapper" -q -e <(cat "$file") sh -c 'echo "$PQBUDGET_APP"')"

    # Prisma's URL: what it lacks, and nothing else.
    rest='connection_limit=3&pool_timeout=10&connect_timeout=10&application_name=my%20app%20%26%20co'
    set -- -p 3 -a 'my app & co'
    for url in postgresql://h/d POSTGRES://h/d 'postgresql://u:p%40%3F%23w@h:1/d' postgresql:///d \
        'postgresql://u:p w$x!@[::1]:1/d' 'postgresql://h1,h2:2/d'; do
        becomes "$url?$rest" "$url" "$@"
    done
    becomes "postgresql://h/d?$rest#frag?x=1" 'postgresql://h/d#frag?x=1' "$@"
    becomes "postgresql://h/d?$rest" 'postgresql://h/d?' "$@"
    becomes "postgresql://h/d?schema=a%20b&$rest" 'postgresql://h/d?schema=a%20b' "$@"
    becomes "postgresql://h/d?schema=x&$rest" 'postgresql://h/d?schema=x&' "$@"
    becomes "postgresql://h/d?host=/a@b&$rest" 'postgresql://h/d?host=/a@b' "$@"
    becomes "postgresql://h/d?connection_limit=9&pool_timeout=10&connect_timeout=10&application_name=a" \
        'postgresql://h/d?connection_limit=9' -p 3 -a a
    said='postgresql://h/d?application_name=&connection%5Flimit=1&pool_timeout=0&connect_timeout=1'
    becomes "$said" "$said" "$@"
    # Its pool waits longer than the queue, and is not bigger than what there is.
    becomes 'postgresql://h/d?connection_limit=3&pool_timeout=32&connect_timeout=32&application_name=a' \
        postgresql://h/d -p 3 -a a -w 30s
    becomes 'postgresql://h/d?connection_limit=3&pool_timeout=0&connect_timeout=0&application_name=a' \
        postgresql://h/d -p 3 -a a -w inf
    becomes 'postgresql://h/d?connection_limit=1&pool_timeout=12&connect_timeout=12&application_name=a' \
        postgresql://h/d -n 1 -w 9500ms -a a
    # Without -a it is the package, the program, or what is in this folder.
    export DATABASE_URL='postgresql://h/d?connection_limit=1&pool_timeout=1&connect_timeout=1'
    gives 0 "$DATABASE_URL&application_name=printenv" -q -n 1 --prisma printenv DATABASE_URL
    npm_package_name=@my/shop gives 0 "$DATABASE_URL&application_name=%40my%2Fshop" \
        -q -n 1 --prisma printenv DATABASE_URL
    mkdir -p "$temp/place/my shop"
    (cd "$temp/place/my shop" && wrapper=$source \
        gives 0 "$DATABASE_URL&application_name=my%20shop" -q -n 1 --prisma sh -c 'echo "$DATABASE_URL"') || exit 1
    unset DATABASE_URL
    # From a file, and named by the option.
    printf "DATABASE_URL='postgresql://u:p\$x@h/d'\n" >"$file"
    becomes "postgresql://u:p\$x@h/d?$rest" postgresql://else/d -e "$file" "$@"
    becomes "postgresql://o/d?$rest" postgresql://else/d -e "$file" -u postgresql://o/d "$@"
    # Without --prisma it stays as it is.
    DATABASE_URL=postgresql://h/d gives 0 postgresql://h/d -q -n 1 -e "$file" sh -c 'echo "$DATABASE_URL"'

    # Not to be edited: said, and no password shown.
    for url in 'postgresql://u:ge?heim@h/d' 'postgresql://u:ge#heim@h/d'; do
        becomes "$url" "$url"
        says 'in its password, \? and # are written %3F and %23'
        ! grep -q 'ge.\?heim' "$temp/err" || fail "$shell: a password is shown"
    done
    for url in mysql://u:geheim@h/d 'host=h password=geheim' prisma+postgres://geheim; do
        becomes "$url" "$url"
        says 'does not begin with postgresql://'
        ! grep -q geheim "$temp/err" || fail "$shell: a password is shown"
    done

    # Another port than 5432 is one that the side door looks at, but not that of some other server.
    opens '' postgresql://u:6000@h/d
    opens '' mysql://u:1@h:6000/d
    opens '' prisma+postgres://localhost:6000/?api_key=x
    opens 5432,6000 'postgresql://u:1@h:6000/d?x=:7'
    opens 5432,6000,6001 'postgres+asyncpg://h:6000,[::1]:6001,h2,h3:5432/d'
    opens 5432,6000,6001 'postgresql:///d?host=/a,/b&port=6000,6001'
    opens 5432,6000 'host=h port=6000 user=u'
    opens '' 'postgresql://h:70000/d'
    PGPORT=6002 opens 5432,6000,6002 postgresql://h:6000/d
    PGPORT=6000 opens 5432,6000 postgresql://h:6000/d
    PGPORT=6002 gives 0 5432,6002 -q -n 1 sh -c 'echo "${PQBUDGET_PORTS-}"'
    PQBUDGET_PORTS=1 opens 1 postgresql://h:6000/d
done
