#!/bin/sh
# ci/lint.sh: all that can be said about the sources without running them. Gcc's warnings are errors of the build.
set -eu
cd "$(dirname "$0")/.."
. ci/flags.sh
status=0

step() {
    name=$1
    shift
    if ! "$@"; then
        echo "lint: $name failed" >&2
        status=1
    fi
}
c_files() {
    find src tests -name "$1" ! -path '*/fuzz/corpus/*' ! -path '*/node_modules/*' 2>/dev/null | LC_ALL=C sort
}
scripts() {
    find . -path ./build -prune -o -path ./vendor/src -prune -o -path ./dist -prune -o \
        -path ./.git -prune -o -type f '(' -name '*.sh' -o -path ./.ci/run ')' -print
}

checked="-fsyntax-only $language -Itests -Itests/unit $warnings"
syntax() { c_files '*.c' | xargs -r -P "$jobs" -n 6 "$@" $checked; }
# Each header alone: one that needs another before it does not compile.
headers() { c_files '*.h' | xargs -r -P "$jobs" -n 6 gcc -x c $checked -Wno-unused -Wno-pedantic; }
run_cppcheck() {
    mkdir -p build/cppcheck
    cppcheck -q -j "$jobs" --cppcheck-build-dir=build/cppcheck --std=c99 --error-exitcode=1 \
        --enable=warning,performance,portability --inline-suppr -D__linux__ -D__x86_64__ \
        --suppress=missingInclude --suppress=missingIncludeSystem -Isrc src
}
shell_syntax() {
    for script in $(scripts); do
        sh -n "$script" || return 1
        ! command -v dash >/dev/null 2>&1 || dash -n "$script" || return 1
    done
}
python_syntax() {
    find tests ci -name '*.py' ! -path '*/node_modules/*' | PYTHONPYCACHEPREFIX=build/pycache \
        xargs -r "$(command -v /usr/bin/python3 || echo python3)" -m py_compile
}

step clang syntax "$(command -v clang-14 || echo clang)"
step headers headers
step cppcheck run_cppcheck
step layers ci/layers.sh
step cycles "$(command -v /usr/bin/python3 || echo python3)" ci/cycles.py
step words "$(command -v /usr/bin/python3 || echo python3)" ci/words.py
step names "$(command -v /usr/bin/python3 || echo python3)" ci/names.py
step errors "$(command -v /usr/bin/python3 || echo python3)" ci/errors.py
step calls ci/calls.sh
[ ! -f build/kachery-resource.debug ] ||
    step order "$(command -v /usr/bin/python3 || echo python3)" ci/order.py --check
step shell shell_syntax
step python python_syntax
[ $status != 0 ] || echo 'lint: ok'
exit $status
