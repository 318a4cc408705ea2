#!/bin/sh
# ci/tools.sh: build each tests/tools/NAME.c to build/tools/NAME, static with musl, from the objects
# of the release. Headers of the kernel (linux/...), which musl does not bring along, are the system's.
set -eu
cd "$(dirname "$0")/.."
. ci/flags.sh
variant_flags musl
mkdir -p build/tools
for source in tests/tools/*.c; do
    [ -f "$source" ] || continue
    tool=${source##*/}
    tool=build/tools/${tool%.c}
    [ "$tool" -nt "$source" ] && [ "$tool" -nt "$dir/libkachery.a" ] && continue
    echo "CC $source"
    $cc $own_flags -idirafter /usr/include -c -o "$tool.o" "$source"
    link "$tool" "$tool.o"
done
