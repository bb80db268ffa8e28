#!/usr/bin/env bash
# PostgreSQL's own programs take the DATABASE_URL of Prisma, SQLAlchemy, Rails, pgx and Java: what they do is what
# they would do without the foreign parameters.
# shellcheck source=tests/scripts/common
. "$(dirname "$0")/common"
build=${PQB_TEST_BUILD:-$PWD/build/release}
if [ -z "${PQB_POSTGRES_DIR:-}" ]; then
    rm -rf "$temp"
    trap - EXIT
    exec scripts/with-postgres -- "$0"
fi
export PQBUDGET_LEDGER=test.$$.1
trap 'rm -rf "$temp" "/dev/shm/pqbudget.$(id -u).$PQBUDGET_LEDGER"*' EXIT
bin=$(pg_config --bindir)
for newest in /usr/lib/postgresql/*/bin; do
    [ -x "$bin/pg_dump" ] || bin=$newest
done
url=postgresql://$PGUSER@$PGHOST:$PGPORT/$PGDATABASE
prisma="$url?schema=public&connection_limit=5&pool_timeout=10&connect_timeout=5&socket_timeout=30&pgbouncer=true"

shimmed() {
    env LD_PRELOAD="$build/libpqbudget.so" "$@"
}

"$bin/psql" -qX "$url" -c 'create schema web; create table web.a (b int); create table c (d text)' \
    -c "insert into c values ('e'), ('f')" || fail "tables"

# pg_dump: the example that dies without the preload.
# The words between \restrict are new each time.
dump() {
    "$@" | sed '/^\\\(un\)\?restrict /d'
    return "${PIPESTATUS[0]}"
}
dump "$bin/pg_dump" "$url?connect_timeout=5" >"$temp/direct" || fail "pg_dump"
"$bin/pg_dump" "$prisma" >"$temp/out" 2>"$temp/err" && fail "pg_dump takes Prisma's URL without the preload"
grep -q 'invalid URI query parameter: "schema"' "$temp/err" || fail "pg_dump fails otherwise: $(cat "$temp/err")"
dump shimmed "$bin/pg_dump" "$prisma" >"$temp/shimmed" || fail "pg_dump under the preload"
expect "a dump's difference" "" "$(diff "$temp/direct" "$temp/shimmed" | head)"
[ "$(wc -l <"$temp/shimmed")" -gt 40 ] || fail "the dump says next to nothing"

# asks PARAMETERS QUERY ANSWER
asks() {
    expect "psql ?$1" "$3" "$(shimmed "$bin/psql" -XAt "$url?$1" -c "$2" 2>&1)"
}
asks 'schema=web&connection_limit=2' 'select count(*) from a' 0
asks 'currentSchema=web,public' 'select count(*) from a, c' 0
asks 'socket_timeout=1&command_timeout=1' 'show statement_timeout' 0
asks 'statement_timeout=5s' 'show statement_timeout' 5s
asks 'ApplicationName=me' 'show application_name' me
asks 'pool_max_conns=4' 'show application_name' psql
asks 'prepared_statements=false&pool=5&checkout_timeout=3&reaping_frequency=9' 'select 1' 1
asks 'uselibpqcompat=true&max=3&idleTimeoutMillis=1' 'select 1' 1
asks 'ssl=0' 'select ssl from pg_stat_ssl where pid = pg_backend_pid()' f

for scheme in postgresql+psycopg2 postgres+asyncpg postgis jdbc:postgresql; do
    expect "$scheme" 1 "$(shimmed "$bin/psql" -XAt "$scheme${url#postgresql}?max_size=3" -c 'select 1' 2>&1)"
done

# What psql's \c feeds back is not added again.
expect "options after \\c" "-c work_mem=5MB -c search_path=\"web\"" "$(shimmed env \
    PQBUDGET_DEFAULTS="options='-c work_mem=5MB'" "$bin/psql" -XAtq "$url?schema=web" \
    -c '\c' -c '\c' \
    -c "select '-c work_mem=' || current_setting('work_mem') || ' -c search_path=' || current_setting('search_path')" \
    2>&1)"

# Neither charged nor refused.
shimmed "$bin/pg_isready" -q -d "$prisma" || fail "pg_isready"
shimmed "$bin/vacuumdb" -q "$prisma" || fail "vacuumdb"
shimmed "$bin/createdb" --maintenance-db="$prisma" preload_urls || fail "createdb"
"$bin/psql" -qX "$url" -c 'drop database preload_urls' || fail "dropdb"

# Secrets appear nowhere.
shimmed env PQBUDGET_LOG=debug PQBUDGET_FORCE='password=geheim' "$bin/psql" -X \
    "postgresql://$PGUSER:heimlich@$PGHOST:$PGPORT/$PGDATABASE?schema=web" -c '' >"$temp/out" 2>&1
if grep -qaE 'geheim|heimlich' "$temp/out" "/dev/shm/pqbudget.$(id -u).$PQBUDGET_LEDGER"; then
    fail "a password is shown or kept: $(cat "$temp/out")"
fi
