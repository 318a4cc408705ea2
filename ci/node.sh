#!/bin/sh
# ci/node.sh: install the pinned packages of tests/system/node, if this machine has npm; the tests
# that need them are skipped elsewhere.
set -eu
cd "$(dirname "$0")/../tests/system/node"
command -v npm >/dev/null 2>&1 || exit 0
[ node_modules/.package-lock.json -nt package-lock.json ] ||
    npm ci --silent --no-audit --no-fund --ignore-scripts
