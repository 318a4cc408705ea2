#!/bin/sh
# ci/emulated.sh ARG...: for another machine than this one (KACHERY_ARCH): unit tests without
# sanitizers, and the system tests of a program that qemu-user runs; ARGs go to pytest.
set -eu
cd "$(dirname "$0")/.."
. ci/flags.sh
failed=
ci/unit.sh || failed="$failed unit"
printf '#!/bin/sh\nexec %s -0 "$0" "%s" "$@"\n' "$emulator" "$PWD/$out/kachery-resource" > "$out/emulated"
chmod +x "$out/emulated"
export KACHERY_RESOURCE_BINARY="$PWD/$out/emulated" KACHERY_TEST_DEADLINE=120
chosen='random_file or test_zone_store or whole_job or store_and_cat or test_peers or every_kernel'
/usr/bin/python3 -m pytest -q -p no:cacheprovider -n "$(($(nproc) + 1))" --timeout 300 -k "$chosen" \
    tests/system/test_demo.py tests/system/test_zone_store.py tests/system/test_tls.py tests/system/test_manifests.py "$@" ||
    failed="$failed system"
[ -z "$failed" ] || { echo "test: failed:$failed" >&2; exit 1; }
