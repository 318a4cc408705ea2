#!/bin/sh
# ./build.sh [VERB] [--arch aarch64]: see usage. The parts are scripts in ci/; this file says what belongs to a verb.
set -eu
cd "$(dirname "$0")"
umask 022
program=build/kachery-resource
valgrind_tests='share zone_store zone_request zone_load tls'
fast_tests='demo share zone_load proxy bucket store init'
slow_ones='dead_storage or flood or two_waiters or flipped or thousand or 2000 or bounded or on_tape or idle_workers'
fixed=

usage() {
    cat <<'USAGE'
usage: ./build.sh [VERB] [--arch aarch64]
  build           build/kachery-resource: one static program (the default)
  demo [FILE]     run its demo on FILE (default: the largest third-party source archive)
  test [ARG...]   build, lint, unit tests with sanitizers, system tests; ARGs go to pytest;
                  with --sanitized, --valgrind or --coverage first, the system tests run such a program;
                  with --fast first, unit tests and a choice of system tests, for the time between commits;
                  with --packages first, what dist makes: archive, packages, units, container
  bench [WORD]    the benchmarks in tests/bench, or those whose name has WORD
  bench --against BINARY [WORD]   this build beside another one, in pairs
  lint            compilers' warnings, cppcheck, layers, sizes
  fuzz [SECONDS]  each target in tests/fuzz for SECONDS (default 60)
  dist            dist/: an archive, Debian and RPM packages, SHA256SUMS (signed with MINISIGN_KEY)
  clean           remove what was built
With --arch aarch64, build, test and dist are for ARM machines (build/aarch64/, tests under qemu-user).
USAGE
}

build() {
    vendor/fetch.sh
    ci/variant.sh musl
}

# Debian's python, which has the test packages, not one that happens to stand first in PATH.
python() {
    if [ -x /usr/bin/python3 ]; then $fixed /usr/bin/python3 "$@"; else $fixed python3 "$@"; fi
}

# use_program VARIANT: the system tests run this one; what its processes tell is in build/reports/.
use_program() {
    ci/variant.sh "$1"
    rm -rf build/reports
    mkdir -p build/reports
    export KACHERY_RESOURCE_BINARY="$PWD/build/$1/kachery-resource"
    log="log_path=$PWD/build/reports/sanitizer"
    case $1 in
        asan)
            export ASAN_OPTIONS="detect_leaks=1:$log" UBSAN_OPTIONS="print_stacktrace=1:$log"
            # Where mappings lie at more random addresses than it expects, it dies now and then.
            ! setarch -R true 2>/dev/null || fixed='setarch -R'
            ;;
        coverage)
            find build/coverage -name '*.gcda' -delete
            export UNIT_VARIANT=coverage
            ;;
        debug) # slow: a part of the tests that goes through all of the program, with patience
            export KACHERY_RESOURCE_BINARY="$PWD/ci/valgrind.sh" KACHERY_TEST_DEADLINE=300
            timeout=1800
            tests=$(for name in $valgrind_tests; do echo "tests/system/test_$name.py"; done)
            # Signals end processes without their closing anything; a full disk or no standard
            # output is more than valgrind's own log bears.
            export PYTEST_ADDOPTS="-k 'not signal and not pipe and not disk_does and not closed_st'"
            ;;
    esac
}

# System tests wait for nine tenths of their time: four for each processor run side by side. -n 0
# among the arguments runs one after the other. Every worker reads all the files: compiled ones, that
# one process has made before.
spread() {
    unset PYTHONDONTWRITEBYTECODE
    export PYTHONPYCACHEPREFIX="$PWD/build/pycache"
    [ -f build/collected.log ] ||
        python -m pytest -q -p no:cacheprovider --collect-only tests/system > build/collected.log 2>&1 || :
    python -m pytest -q -p no:cacheprovider -n $((4 * $(nproc))) --dist loadgroup "$@"
}

run_fast_tests() {
    build
    ci/unit.sh
    ci/tools.sh
    spread --timeout 60 -k "not ($slow_ones)" $(for name in $fast_tests; do echo "tests/system/test_$name.py"; done) "$@"
}

# Everything is run even if something fails: one run shows all there is to mend.
run_tests() {
    [ "${1:-}" != --packages ] || { shift; ci/packages.sh packages; build; ci/dist.sh; python -m pytest -q tests/package "$@"; return; }
    [ "$KACHERY_ARCH" = "$(uname -m)" ] || { build; ci/emulated.sh "$@"; return; }
    [ "${1:-}" != --fast ] || { shift; run_fast_tests "$@"; return; }
    build
    failed=
    # Beside the tests, which wait for most of their time; its output comes at the end.
    nice -n 19 ci/lint.sh > build/lint.log 2>&1 &
    lint=$!
    trap wait EXIT
    ci/node.sh || failed="$failed node"
    variant= tests=tests/system timeout=120
    case ${1:-} in
        --sanitized) variant=asan ;;
        --coverage) variant=coverage ;;
        --valgrind) variant=debug ;;
    esac
    [ -z "$variant" ] || { shift; use_program "$variant"; }
    ci/unit.sh || failed="$failed unit"
    ci/tools.sh
    ci/faults.sh
    spread --timeout "$timeout" $tests "$@" || failed="$failed system"
    wait "$lint" || failed="$failed lint"
    cat build/lint.log
    [ -z "$variant" ] || ci/reports.sh || failed="$failed reports"
    [ "$variant" != coverage ] || python ci/coverage.py
    [ -z "$failed" ] || { echo "test: failed:$failed" >&2; exit 1; }
}

run_demo() {
    build
    if [ $# = 0 ]; then
        set -- "$(find vendor/cache vendor/src -type f -size +256k -exec ls -S {} + | head -n 1)"
    fi
    exec "$program" demo "$@"
}

run_bench() {
    build
    ci/tools.sh
    ci/node.sh
    [ "${1:-}" != --against ] || { shift; python tests/bench/lib/against.py "$@"; return; }
    for bench in tests/bench/*"${1:-}"*.py; do
        [ ! -f "$bench" ] || python "$bench"
    done
}

. ci/arch.sh
verb=${1:-build}
[ $# = 0 ] || shift
case $verb in
    build | demo | test | bench | lint | fuzz | dist) ci/packages.sh "$verb" ;;
esac
case $verb in
    build) build ;;
    demo) run_demo "$@" ;;
    test) run_tests "$@" ;;
    bench) run_bench "$@" ;;
    lint) vendor/fetch.sh; ci/lint.sh ;;
    fuzz) vendor/fetch.sh; ci/fuzz.sh "$@" ;;
    dist) build; ci/dist.sh ;;
    clean) rm -rf build dist ;;
    -h | --help | help) usage ;;
    *)
        echo "build: no verb '$verb'" >&2
        usage >&2
        exit 2
        ;;
esac
