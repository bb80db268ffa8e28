#!/usr/bin/env bash
# pqbudget-run before npm and npx: a tree of services in development, all of it under the budget, and to who started
# it no different from one without.
# shellcheck source=tests/scripts/run_common
. "$(dirname "$0")/run_common"
for program in node npm npx; do
    command -v "$program" >/dev/null || skip "there is no $program"
done
if [ -z "${PQB_POSTGRES_DIR:-}" ]; then
    rm -rf "$temp"
    trap - EXIT
    exec scripts/with-postgres -c max_connections=40 -- "$0"
fi
wrapper=$source tool=$PQB_TEST_BUILD/pqbudget key=localhost:$PGPORT url=$DATABASE_URL
unset DATABASE_URL
export HOME=$temp npm_config_cache=$temp/npm npm_config_update_notifier=false npm_config_progress=false
export npm_config_offline=true
unset "${!npm_package@}" npm_lifecycle_event npm_lifecycle_script NODE_OPTIONS

app="$temp/my shop"
mkdir -p "$app/node_modules/.bin"
cd "$app" || fail "no folder"
cat >package.json <<'END'
{
  "name": "@my/shop",
  "private": true,
  "scripts": {
    "dev": "set -a && . './.env' && node dev.js",
    "fail": "node -e 'process.exit(3)'",
    "url": "node -p process.env.DATABASE_URL"
  }
}
END
cat >.env <<END
# as dotenv, node and sh read it
export DATABASE_URL="$url"   # the shop's
GREETING='hello  \$USER'
END
# As much of the protocol as it takes to ask one question.
cat >pg.js <<'END'
const net = require('net');
exports.ask = function ask(query, answer) {
    const url = new URL(process.env.DATABASE_URL);
    const socket = net.connect(url.port, url.hostname);
    const body = Buffer.from(`user\0${url.username}\0database\0${url.pathname.slice(1)}\0\0`);
    const question = Buffer.from(`${query}\0`);
    const head = Buffer.alloc(8), ask = Buffer.from('Q0000');
    let read = '';
    head.writeInt32BE(body.length + 8);
    head.writeInt32BE(3 << 16, 4);
    ask.writeInt32BE(question.length + 4, 1);
    socket.write(Buffer.concat([head, body]));
    socket.on('data', (chunk) => {
        const before = read;
        read += chunk.toString('latin1');
        if (!before.includes('Z\0\0\0\x05I') && read.includes('Z\0\0\0\x05I')) socket.write(Buffer.concat([ask, question]));
        const row = /D\0\0..\0\x01\0\0..([^\0]*)C\0\0/s.exec(read);
        if (row) answer(row[1], socket);
    });
    socket.on('error', (error) => answer(error.message, socket));
};
END
# A service opens a connection and keeps it; what starts two of them and a shell with a third waits for all.
cat >service.js <<'END'
require('./pg').ask("SELECT 'connected'", (row) => console.log(row, process.env.GREETING));
END
cat >dev.js <<'END'
const { fork, spawn } = require('child_process');
const children = [fork('service.js', { silent: true }), fork('service.js', { silent: true }),
    spawn('sh', ['-c', 'node service.js; exit $?'])];
let connected = 0;
for (const child of children)
    child.stdout.on('data', (text) => {
        connected += `${text}`.split('connected hello  $USER').length - 1;
        if (connected === 3) console.log('all are ready');
    });
process.on('SIGINT', () => {
    console.log('stopping');
    for (const child of children) child.kill();
    process.exit(42);
});
END
cat >node_modules/.bin/count <<'END'
#!/usr/bin/env node
require('../../pg').ask('SELECT count(*) FROM pg_stat_activity WHERE application_name = current_setting($$application_name$$)',
    (row) => {
        console.log(process.argv.slice(2), row);
        process.exit(7);
    });
END
chmod 755 node_modules/.bin/count

# holds EXPRESSION: a truth about the ledger's one server
cat >"$temp/holds" <<END
#!/bin/sh
"$tool" status --json | python3 -c '
import json, sys
s = json.load(sys.stdin)["servers"][0]
sys.exit(not eval("(" + sys.argv[1] + ")"))' "\$1"
END
chmod 755 "$temp/holds"

# ctrl_c WORD… -- STEP…: npm run dev behind these words, and Ctrl-C when it is up and these steps are done
ctrl_c() {
    local words=()
    while [ "$1" != -- ]; do
        words+=("$1")
        shift
    done
    shift
    timeout 150 "$terminal" 80 24 "wait:all are ready" "$@" key:c wait:stopping -- "${words[@]}" npm run dev \
        >"$temp/out" 2>"$temp/err" || echo "status $?" >>"$temp/out"
}

ctrl_c --
cp "$temp/out" "$temp/plain"
grep -q 'all are ready' "$temp/plain" || fail "npm does not do it by itself: $(cat "$temp/plain" "$temp/err")"

ctrl_c "$wrapper" -q -e .env -- "run:'$temp/holds' '
    s[\"used\"] == 3 and len({c[\"pid\"] for c in s[\"claims\"]}) == 3
    and {c[\"app\"] for c in s[\"claims\"]} == {\"@my/shop\"}' && touch '$temp/held'"
cmp "$temp/plain" "$temp/out" || fail "not as without: $(cat "$temp/out" "$temp/err")"
absent "$temp/held" && fail "$("$tool" status)"
"$temp/holds" 's["server"] == "'"$key"'" and s["granted_total"] == 3 and s["limit"] > 30' || fail "$("$tool" status)"
wait_until "everything is given back" "$temp/holds" 's["used"] == s["draining"] == 0'

# How a script ends, npx and what it is given, and the variables of Prisma.
gives 3 "" -q -n 20 npm run -s fail
DATABASE_URL=$url gives 7 "[ 'a  b', '*' ] 1" -q npx --no-install count 'a  b' '*'
"$temp/holds" 's["granted_total"] == 4' || fail "$("$tool" status)"
gives 0 "$url?connection_limit=2&pool_timeout=10&connect_timeout=10&application_name=my%20shop" \
    -q -n 20 -p 2 -e .env --prisma npm run -s url
