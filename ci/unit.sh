#!/bin/sh
# ci/unit.sh [WORD]: build and run the unit tests (all, or those whose name has WORD) under
# AddressSanitizer and UBSan (or as UNIT_VARIANT says; for another machine without). Each tests/unit/test_*.c is a program of its own, run from the top.
set -eu
cd "$(dirname "$0")/.."
. ci/flags.sh
unit_variant=${UNIT_VARIANT:-asan}
[ -z "$cross" ] || unit_variant=debug
ci/variant.sh "$unit_variant"
variant_flags "$unit_variant"
place=$dir/unit
mkdir -p "$place"
# An emulator invents when processes were started and how they were ended, does not know
# PR_SET_CHILD_SUBREAPER, and is too slow for a GiB.
unable=" (none)"
[ -z "$emulator" ] || unable="/test_(process|lease|demo_process|child|http_made)\.c"
# The largest first, which take longest.
tests=$(find tests/unit -name "test_*.c" -exec ls -S {} + 2>/dev/null | grep -e "${1:-}" | grep -Ev "$unable" || :)
[ -n "$tests" ] || { echo "unit: no test program in tests/unit has '${1:-}' in its name"; exit 0; }

# Where the kernel places mappings at more random addresses than older sanitizers expect.
fixed=
if [ "$(cat /proc/sys/vm/mmap_rnd_bits 2>/dev/null || echo 0)" -gt 28 ] &&
    setarch -R true 2>/dev/null; then
    fixed='setarch -R'
fi

[ "$(cat "$place/flags" 2>/dev/null)" = "$cc $own_flags" ] || rm -f "$place"/*.o
echo "$cc $own_flags" > "$place/flags"

# run_one SOURCE: compile the test if it or a header is newer, link it if something is, then run it.
cat > "$place/run_one" <<RUN
set -u
source=\$1
name=\${source##*/}
program=$place/\${name%.c}
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
if timeout 300 $fixed $emulator "\$program" > "\$program.log" 2>&1; then
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
printf '%s\n' $tests | xargs -P "$jobs" -n 1 sh "$place/run_one" > "$place/result" || status=1
cat "$place/result"
echo "unit: $(grep -c '^ok ' "$place/result" || :) of $(printf '%s\n' $tests | wc -l) test programs passed"
exit $status
