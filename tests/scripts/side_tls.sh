#!/usr/bin/env bash
# Over TLS: a cancel passes on a full server, another connection is held behind its handshake.
# shellcheck source=tests/scripts/common
. "$(dirname "$0")/common"
if [ -z "${PQB_POSTGRES_DIR:-}" ]; then
    rm -rf "$temp"
    trap - EXIT
    exec scripts/with-postgres --tls -- "$0"
fi
export PQBUDGET_LEDGER=test.$$.1 PYTHONDONTWRITEBYTECODE=1
trap 'rm -rf "$temp" "/dev/shm/pqbudget.$(id -u).$PQBUDGET_LEDGER"*' EXIT
python3 tests/support/late.py || fail "see above"
