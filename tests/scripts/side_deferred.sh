#!/usr/bin/env bash
# Held over TCP: the server hears nothing of a client until it has its slot.
# shellcheck source=tests/scripts/common
. "$(dirname "$0")/common"
if [ -z "${PQB_POSTGRES_DIR:-}" ]; then
    rm -rf "$temp"
    trap - EXIT
    exec scripts/with-postgres -- "$0"
fi
export PQBUDGET_LEDGER=test.$$.1 PYTHONDONTWRITEBYTECODE=1
trap 'rm -rf "$temp" "/dev/shm/pqbudget.$(id -u).$PQBUDGET_LEDGER"*' EXIT
python3 tests/support/deferred.py || fail "see above"
