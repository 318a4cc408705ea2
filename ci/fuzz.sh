#!/bin/sh
# ci/fuzz.sh [SECONDS]: run each tests/fuzz/fuzz_NAME.c for SECONDS (default 60), starting from the
# seeds in tests/fuzz/corpus/NAME/. What is found on the way is kept in build/fuzz/corpus/NAME/; an
# input that breaks something is left in build/fuzz/ and the exit status is 1.
set -eu
cd "$(dirname "$0")/.."
seconds=${1:-60}
case $seconds in
    '' | *[!0-9]*) echo "fuzz: seconds \"$seconds\": want a whole number" >&2; exit 2 ;;
esac
. ci/flags.sh
ci/variant.sh fuzz
variant_flags fuzz
sanitize=$(printf %s "$sanitize" | sed 's/fuzzer-no-link/fuzzer/')

run_one() {
    name=$1
    program=$dir/fuzz_$name
    corpus=$dir/corpus/$name
    seeds=tests/fuzz/corpus/$name
    mkdir -p "$corpus"
    [ -d "$seeds" ] || seeds=
    dictionary=
    [ ! -f "tests/fuzz/$name.dict" ] || dictionary=-dict=tests/fuzz/$name.dict
    if "$program" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
        -artifact_prefix="$dir/$name-" $dictionary "$corpus" $seeds > "$program.log" 2>&1; then
        echo "ok   $name: $(sed -n 's/^stat::number_of_executed_units: *//p' "$program.log") runs"
    else
        echo "FAIL $name:"
        grep -A 40 -m 1 -E 'ERROR|runtime error' "$program.log" || tail -n 20 "$program.log"
        ls "$dir/$name-"* 2>/dev/null || :
        return 1
    fi
}

names=$(find tests/fuzz -maxdepth 1 -name 'fuzz_*.c' 2>/dev/null | LC_ALL=C sort |
    sed 's|.*/fuzz_||; s|\.c$||')
[ -n "$names" ] || { echo 'fuzz: no tests/fuzz/fuzz_*.c'; exit 0; }
for name in $names; do
    program=$dir/fuzz_$name
    source=tests/fuzz/fuzz_$name.c
    [ "$program" -nt "$source" ] && [ "$program" -nt "$dir/libkachery.a" ] && continue
    echo "CC $source"
    $cc $own_flags -Wno-missing-prototypes -c -o "$program.o" "$source"
    link "$program" "$program.o"
done

status=0
pids=
for name in $names; do
    run_one "$name" &
    pids="$pids $!"
    # As many at a time as there are cores.
    set -- $pids
    [ $# -lt "$jobs" ] || { wait "$1" || status=1; shift; pids=$*; }
done
for pid in $pids; do wait "$pid" || status=1; done
exit $status
