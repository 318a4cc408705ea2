#!/bin/sh
# ci/variant.sh NAME: compile and link one variant of the program; only what is stale is compiled.
#   musl    build/kachery-resource: static, stripped; build/kachery-resource.debug: with symbols
#   debug   build/debug/kachery-resource: glibc, no sanitizer, for valgrind and gdb
#   asan    build/asan/kachery-resource: glibc, AddressSanitizer and UBSan, for the unit tests
#   coverage build/coverage/kachery-resource: counts the branches that it takes, see ci/coverage.py
#   fuzz    build/fuzz/: the same with clang's libFuzzer; no program
# Each also makes <folder>/libkachery.a (all but main) and <folder>/libthird.a.
set -eu
cd "$(dirname "$0")/.."
. ci/flags.sh
. ci/fresh.sh
variant=${1:?}
variant_flags "$variant"
mkdir -p "$dir/obj" "$dir/third"

# compile FOLDER: compile the lines "source flags" of standard input to FOLDER/<source>.o, and say
# so with the command $say. Nothing of where this folder lies gets into an object.
compile() {
    while read -r source flags; do
        object=$1/$source.o
        mkdir -p "${object%/*}"
        printf '%s\0' "$say CC $dir $source
            $cc $flags -ffile-prefix-map=\"\$PWD\"=. -MMD -MP -c -o $object $source"
    done | xargs -0 -r -P "$jobs" -n 1 sh -c
}

# unchanged FILE TEXT: true if FILE holds just TEXT.
unchanged() { [ -f "$1" ] && [ "$(cat "$1")" = "$2" ]; }

archive() {
    rm -f "$1"
    xargs ${cross}ar rcsD "$1"
}

third_state="$cc $third_flags $($cc --version | head -n 1)
$(cat vendor/src/*/.stamp ci/third_party.sh vendor/sodium_shim.c | sha256sum)"
if ! unchanged "$dir/third/state" "$third_state"; then
    rm -f "$dir/third/state"
    ci/third_party.sh > "$dir/third/list"
    echo "CC $dir third party ($(wc -l < "$dir/third/list") files)"
    say=:
    sed "s|^[^ ]*|& $third_flags|" "$dir/third/list" | compile "$dir/third"
    sed "s|^\([^ ]*\).*|$dir/third/\1.o|" "$dir/third/list" | archive "$dir/libthird.a"
    printf '%s\n' "$third_state" > "$dir/third/state"
fi

own_state="$own_flags
$third_state
$(sha256sum < ci/flags.sh)"
unchanged "$dir/obj/state" "$own_state" || rm -rf "$dir/obj"
mkdir -p "$dir/obj"
printf '%s\n' "$own_state" > "$dir/obj/state"
[ -z "${exit_flags:-}" ] || $cc $exit_flags -c -o "$dir/exit.o" tests/faults/exit.c
say=echo
sources=$(find src -name '*.c' | LC_ALL=C sort)
for source in $sources; do
    is_fresh "$dir/obj/$source.o" || printf '%s %s\n' "$source" "$(own_flags_of "$source")"
done > "$dir/obj/stale"
compile "$dir/obj" < "$dir/obj/stale"

case $variant in
    musl) program=$out/kachery-resource ;;
    fuzz) program=$dir/libkachery.a ;;
    *) program=$dir/kachery-resource ;;
esac
# A source that was removed changes the list without making anything stale.
if [ -s "$dir/obj/stale" ] || ! unchanged "$dir/obj/sources" "$sources" ||
    [ ! -f "$program" ] || [ ci/order.txt -nt "$program" ] ||
    [ "$dir/libthird.a" -nt "$dir/libkachery.a" ]; then
    rm -f "$dir/obj/sources"
    find "$dir/obj" -name '*.o' | while read -r object; do
        source=${object#"$dir/obj/"}
        [ -f "${source%.o}" ] || rm -f "$object"
    done
    printf '%s\n' $sources | grep -v '^src/main\.c$' | sed "s|.*|$dir/obj/&.o|" |
        archive "$dir/libkachery.a"
    [ "$variant" = fuzz ] || link_program "$program" "$dir/obj/src/main.c.o"
    printf '%s\n' "$sources" > "$dir/obj/sources"
fi
