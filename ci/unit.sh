#!/bin/sh
# ci/unit.sh [WORD]: build and run the unit tests (all, or those whose name has WORD) under
# AddressSanitizer and UBSan (or as UNIT_VARIANT says). Each tests/unit/test_*.c is a program of its own, run from the top.
set -eu
cd "$(dirname "$0")/.."
. ci/flags.sh
ci/variant.sh "${UNIT_VARIANT:-asan}"
variant_flags "${UNIT_VARIANT:-asan}"
out=$dir/unit
mkdir -p "$out"
tests=$(find tests/unit -name "test_*.c" 2>/dev/null | grep -e "${1:-}" | LC_ALL=C sort)
[ -n "$tests" ] || { echo "unit: no test program in tests/unit has '${1:-}' in its name"; exit 0; }

# Where the kernel places mappings at more random addresses than older sanitizers expect.
fixed=
if [ "$(cat /proc/sys/vm/mmap_rnd_bits 2>/dev/null || echo 0)" -gt 28 ] &&
    setarch -R true 2>/dev/null; then
    fixed='setarch -R'
fi

[ "$(cat "$out/flags" 2>/dev/null)" = "$cc $own_flags" ] || rm -f "$out"/*.o
echo "$cc $own_flags" > "$out/flags"

# run_one SOURCE: compile the test if it or a header is newer, link it if something is, then run it.
cat > "$out/run_one" <<RUN
set -u
source=\$1
name=\${source##*/}
program=$out/\${name%.c}
is_fresh() {
    made=\$1
    shift
    [ -f "\$made" ] && [ -z "\$(find "\$@" -newer "\$made")" ]
}
build() {
    is_fresh "\$program.o" "\$source" \$(find src tests/unit -name '*.h') ||
        $cc $own_flags -Itests/unit -c -o "\$program.o" "\$source" || return 1
    is_fresh "\$program" "\$program.o" $dir/libkachery.a $dir/libthird.a ||
        $cc $sanitize ${counted:-} -Wl,--gc-sections -o "\$program" "\$program.o" \\
            $dir/libkachery.a $dir/libthird.a -lcmocka ${libs:-}
}
build > "\$program.log" 2>&1 ||
    { echo "FAIL \$source does not compile"; cat "\$program.log"; rm -f "\$program" "\$program.o"; exit 1; }
if timeout 300 $fixed "\$program" > "\$program.log" 2>&1; then
    echo "ok   \$source (\$(grep -c '^\[       OK' "\$program.log") cases)"
else
    echo "FAIL \$source (exit \$?)"
    grep -v -E '^\[( RUN |       OK )' "\$program.log"
    exit 1
fi
RUN
export ASAN_OPTIONS="abort_on_error=0:detect_leaks=1:${ASAN_OPTIONS:-}"
export UBSAN_OPTIONS="print_stacktrace=1:${UBSAN_OPTIONS:-}"
status=0
printf '%s\n' $tests | xargs -P "$jobs" -n 1 sh "$out/run_one" > "$out/result" || status=1
cat "$out/result"
echo "unit: $(grep -c '^ok ' "$out/result" || :) of $(printf '%s\n' $tests | wc -l) test programs passed"
exit $status
