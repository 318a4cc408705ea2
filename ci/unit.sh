#!/bin/sh
# ci/unit.sh [WORD]: build and run the unit tests (all, or those whose name has WORD) under
# AddressSanitizer and UBSan (or as UNIT_VARIANT says; for another machine without). Each
# tests/unit/test_*.c is a program, run from the top.
set -eu
cd "$(dirname "$0")/.."
. ci/flags.sh
. ci/fresh.sh
unit_variant=${UNIT_VARIANT:-asan}
[ -z "$cross" ] || unit_variant=debug
ci/variant.sh "$unit_variant"
variant_flags "$unit_variant"
place=$dir/unit
mkdir -p "$place/part"
# The largest first, which take longest.
tests=$(find tests/unit -name "test_*.c" -exec ls -S {} + 2>/dev/null | grep -e "${1:-}" || :)
[ -n "$tests" ] || { echo "unit: no test program in tests/unit has '${1:-}' in its name"; exit 0; }

# Where the kernel places mappings at more random addresses than older sanitizers expect.
fixed=
if [ "$(cat /proc/sys/vm/mmap_rnd_bits 2>/dev/null || echo 0)" -gt 28 ] &&
    setarch -R true 2>/dev/null; then
    fixed='setarch -R'
fi

name_of() { name=${1##*/} name=${name%.c}; }
archives="$dir/libkachery.a $dir/libthird.a"

# Compile what is stale. The part of a test in the one program has its main renamed; a test that
# stands in for a function of libc is no part of it.
[ "$(cat "$place/flags" 2>/dev/null)" = "$cc $own_flags" ] || rm -f "$place"/*.o "$place"/part/*.o
echo "$cc $own_flags" > "$place/flags"
cat > "$place/compile" <<COMPILE
source=\$1 name=\${1##*/} name=\${name%.c}
object=$place/\$name.o
rm -f "\$object" "$place/part/\$name.o"
$cc $own_flags -Itests/unit -MMD -MP -c -o "\$object" "\$source" > "$place/\$name.log" 2>&1 || exit 0
[ "\$(${cross}nm -g --defined-only "\$object" | grep -c ' T ')" != 1 ] ||
    ${cross}objcopy --redefine-sym "main=\${name}_main" "\$object" "$place/part/\$name.o"
COMPILE
for source in $tests; do
    name_of "$source"
    is_fresh "$place/$name.o" || echo "$source"
done | xargs -r -P "$jobs" -n 1 sh "$place/compile"

# Link all parts once, for a link takes as long as a test; those that were asked for, and what is no
# part, each by itself.
parts= single=
for source in $tests; do
    name_of "$source"
    if [ ! -f "$place/$name.o" ]; then
        continue
    elif [ -z "${1:-}" ] && [ -f "$place/part/$name.o" ]; then
        parts="$parts $place/part/$name.o"
    else
        is_newer "$place/$name" "$place/$name.o" $archives || single="$single $name"
    fi
done
link_test="$cc $sanitize ${counted:-} -Wl,--gc-sections"
if [ -n "$parts" ] && ! { [ "$(cat "$place/parts" 2>/dev/null)" = "$parts" ] && is_newer "$place/tests" $parts $archives; }; then
    printf '%s' "$parts" > "$place/parts"
    names=$(for part in $parts; do basename "$part" .o; done)
    {
        printf '#include <stdio.h>\n#include <string.h>\n'
        printf 'int %s_main(void);\n' $names
        printf 'int main(int argc, char **argv)\n{\n'
        printf '    if (argc == 2 && strcmp(argv[1], "%s") == 0)\n        return %s_main();\n' $(printf '%s\n' $names | sed 'p')
        printf '    fprintf(stderr, "want the name of a test\\n");\n    return 2;\n}\n'
    } > "$place/tests.c"
    $link_test $own_flags -o "$place/tests" "$place/tests.c" $parts $archives -lcmocka ${libs:-}
fi
printf '%s\n' $single | xargs -r -P "$jobs" -I NAME $link_test -o "$place/NAME" "$place/NAME.o" $archives -lcmocka ${libs:-}

cat > "$place/run_one" <<RUN
set -u
source=\$1 name=\${1##*/} name=\${name%.c}
log=$place/\$name.log
[ -f "$place/\$name.o" ] || { echo "FAIL \$source does not compile"; cat "\$log"; exit 1; }
program=$place/\$name
case " $parts " in *" $place/part/\$name.o "*) program="$place/tests \$name" ;; esac
if timeout 300 $fixed $emulator \$program > "\$log" 2>&1; then
    echo "ok   \$source (\$(grep -c '^\[       OK' "\$log") cases)"
else
    echo "FAIL \$source (exit \$?; 124: it took more than 300 s)"
    grep -v -E '^\[( RUN |       OK )' "\$log"
    exit 1
fi
RUN
[ -z "$emulator" ] || export UNIT_EMULATOR="$emulator"
export ASAN_OPTIONS="abort_on_error=0:detect_leaks=1:${ASAN_OPTIONS:-}"
export UBSAN_OPTIONS="print_stacktrace=1:${UBSAN_OPTIONS:-}"
status=0
# Tests wait for half of their time.
printf '%s\n' $tests | xargs -P $((2 * jobs)) -n 1 sh "$place/run_one" > "$place/result" || status=1
cat "$place/result"
echo "unit: $(grep -c '^ok ' "$place/result" || :) of $(printf '%s\n' $tests | wc -l) test programs passed"
exit $status
