#!/bin/sh
# ci/node.sh: install the pinned packages of tests/system/node, if this machine has npm; the tests
# that need them are skipped elsewhere, and fail with CI=true. Debian's npm does not go with the
# nodejs of other sources: install the one that belongs to it.
set -eu
cd "$(dirname "$0")/../tests/system/node"
command -v npm >/dev/null 2>&1 || {
    [ -z "${CI:-}" ] || echo 'node: npm is missing, and packages of tests/system/node with it' >&2
    exit 0
}
[ node_modules/.package-lock.json -nt package-lock.json ] ||
    npm ci --silent --no-audit --no-fund --ignore-scripts
