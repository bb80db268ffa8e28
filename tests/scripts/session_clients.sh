#!/usr/bin/env bash
# What real clients say to a real server is understood: when their sessions could give way, and when not.
# shellcheck source=tests/scripts/common
. "$(dirname "$0")/common"
python=/usr/bin/python3 # Debian's, which has Debian's modules
"$python" -c 'import asyncpg, pg8000, psycopg, psycopg2' 2>/dev/null ||
    skip "psycopg2, psycopg, asyncpg or pg8000 is missing: scripts/deps clients"
export PYTHONDONTWRITEBYTECODE=1
scripts/with-postgres -- "$python" tests/support/follow.py || fail "see above"
