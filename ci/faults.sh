#!/bin/sh
# ci/faults.sh: build/asan/kachery-resource-faults, the sanitized program whose system calls and
# allocations can be made to fail (tests/faults/faults.c); tests/system/test_faults.py runs it.
set -eu
cd "$(dirname "$0")/.."
. ci/flags.sh
ci/variant.sh asan
variant_flags asan
source=tests/faults/faults.c
program=$dir/kachery-resource-faults
[ "$program" -nt "$source" ] && [ "$program" -nt "$dir/kachery-resource" ] && exit 0
echo "CC $source"
# Not itself sanitized: it walks the stack.
$cc $language $warnings -O1 -g -fno-omit-frame-pointer -c -o "$dir/faults.o" "$source"
wrapped=$(nm "$dir/faults.o" | sed -n 's/.* T __wrap_/-Wl,--wrap=/p')
link "$program" "$dir/obj/src/main.c.o" "$dir/faults.o" $wrapped
