# Compilers and flags of every variant; sourced from the top folder by the scripts in ci/.
#   variant_flags NAME   sets dir, cc, third_flags, own_flags and what link needs
#   link OUT OBJECT...   links a program of the variant
#   own_flags_of SOURCE  prints the flags of one of our sources
# Where KACHERY_ARCH names another machine than this one, $out, $cross (the prefix of its tools) and
# $emulator differ; for this machine they are build, empty and empty.
arch=${KACHERY_ARCH:-$(uname -m)}
if [ "$arch" = "$(uname -m)" ]; then
    out=build cross= emulator=
else
    out=build/$arch cross=$arch-linux-gnu- emulator=qemu-$arch
fi
jobs=${JOBS:-$(nproc 2>/dev/null || echo 2)}

vendor_includes="-isystem vendor/src/bearssl/inc -isystem vendor/src/cjson \
-isystem vendor/src/libyaml/include -isystem vendor/src/libsodium/src/libsodium/include"
language="-std=c99 -D_GNU_SOURCE -Isrc $vendor_includes"
warnings="-Wall -Wextra -Wpedantic -Wshadow -Wmissing-prototypes -Wvla -Werror"
common="-ffunction-sections -fdata-sections"

# Where musl's libc.a and start files are: Debian's folder, an own build's, or a musl system's.
find_musl() {
    if [ -n "$cross" ]; then
        musl=${MUSL_LIB:-/usr/lib/$arch-linux-musl}
        musl_cc="${cross}gcc -nostdinc -isystem /usr/include/$arch-linux-musl \
-isystem $(${cross}gcc -print-file-name=include)"
        return 0
    fi
    musl_cc=${MUSL_CC:-musl-gcc}
    if ! command -v "$musl_cc" >/dev/null 2>&1; then
        case $(gcc -dumpmachine) in
            *musl*) musl_cc=gcc ;;
            *) echo 'build: no musl-gcc here (Debian: package musl-tools)' >&2; exit 1 ;;
        esac
    fi
    for musl in ${MUSL_LIB:-} "/usr/lib/$(uname -m)-linux-musl" /usr/local/musl/lib /usr/lib; do
        [ ! -f "$musl/rcrt1.o" ] || return 0
    done
    echo 'build: no rcrt1.o of musl found: set MUSL_LIB to the folder that has it' >&2
    exit 1
}

variant_flags() {
    variant=$1
    dir=$out/$variant
    case $variant in
    musl)
        find_musl
        cc=$musl_cc
        harden="-fPIE -fstack-protector-strong -fstack-clash-protection -fno-plt"
        common="-O2 -g -fno-asynchronous-unwind-tables -fno-unwind-tables $harden $common"
        ;;
    debug)
        cc=${cross}gcc
        common="-O1 -g -fno-omit-frame-pointer $common"
        ;;
    asan)
        cc=gcc
        sanitize="-fsanitize=address,undefined -fno-sanitize-recover=all"
        exit_flags=-O1
        libs="$dir/exit.o -Wl,--wrap=_exit"
        common="-O1 -g -fno-omit-frame-pointer $common"
        ;;
    coverage)
        cc=gcc
        common="-O0 -g $common"
        counted=--coverage
        exit_flags='-O1 -DCOUNTED'
        libs="$dir/exit.o -Wl,--wrap=_exit -lm"
        ;;
    fuzz)
        cc=$(command -v clang-14 || command -v clang || echo clang)
        cc=${cc##*/}
        sanitize="-fsanitize=address,undefined,fuzzer-no-link -fno-sanitize-recover=all"
        common="-O1 -g -fno-omit-frame-pointer $common"
        ;;
    *)
        echo "build: no variant '$variant': want musl, debug, asan, coverage or fuzz" >&2
        exit 2
        ;;
    esac
    sanitize=${sanitize:-}
    # Upstream's code is not ours to mend: no warnings, and no UBSan for what is written on purpose.
    third_flags="-w -D_GNU_SOURCE $common"
    own_small=
    [ "$variant" != musl ] || own_small=-Os
    case $variant in asan | fuzz) third_flags="$third_flags -fsanitize=address" ;; esac
    own_flags="$language $warnings $common $sanitize ${counted:-}"
}

# Where the time goes into system calls, small code is worth more than fast code: each process has
# to have it in its memory.
own_flags_of() {
    case $1 in
        src/base/* | src/loop/* | src/net/* | src/proto/* | src/x509/*) echo "$own_flags" ;;
        *) echo "$own_flags $own_small" ;;
    esac
}

# Variables that few processes use, which would lie between the pages of the small ones.
large_variables() {
    ${cross}nm -S "$dir/libkachery.a" "$dir/libthird.a" 2>/dev/null |
        awk '$3 == "b" && length($2) == 16 && $2 >= "0000000000001000" {
                sub(/\..*/, "", $4)
                print $4
            }' | LC_ALL=C sort -u
}

# A process has those pages of the program in its memory that it touches, and their neighbours: 64
# KiB, or as much as the kernel read at once, but never more than a segment. So what processes run
# that last lies in segments of its own, in the order of the first part of ci/order.txt (made by
# ci/order.py); the second part is what the usual commands and workers run besides, the third all
# the rest. The texts and tables that functions use are in the same order. A name that is not in the
# list is new, and lies behind the first part: code in .text, without which valgrind and others find
# no symbols. The linker takes the first pattern that fits.
write_order() {
    large_variables | awk '
        { names = names "*(.bss." $1 " .bss." $1 ".*)\n" }
        END { print "SECTIONS { .bss.large (NOLOAD) : {\n" names "} } INSERT AFTER .bss;" }'
    awk '
        BEGIN { part = 0 }
        NF == 0 { part++; next }
        {
            code[part] = code[part] "*(.text." $1 " .text." $1 ".* .text.startup." $1 ")\n"
            if (part == 0) code[0] = code[0] "*libc.a:" $1 ".lo(.text .text.*)\n"
            texts[part] = texts[part] "*(.rodata." $1 " .rodata." $1 ".*)\n"
            if (sub(/\.str1$/, "", $1)) texts[part] = texts[part] "*(.rodata." $1 ".*.str1.*)\n"
            if (part == 0) texts[0] = texts[0] "*libc.a:" $1 ".lo(.rodata .rodata.*)\n"
        }
        END {
            next_page = ". = ALIGN(CONSTANT(MAXPAGESIZE));\n"
            print "SECTIONS { .rodata.lasting : {\n" texts[0] "} }\nINSERT AFTER .rela.dyn;"
            print "SECTIONS { .text.lasting : {\n*crt*.o(.text .text.*)\n" code[0]
            print "} } INSERT BEFORE .text;"
            print "SECTIONS { " next_page ".rodata.daily : {\n" texts[1] "}"
            print ".rodata.rest : {\n*:help.c.o(.rodata)\n" texts[2] "}\n" next_page
            print ".text.daily : {\n" code[1] "}\n.text.rest : {\n" code[2] "} }"
            print "INSERT AFTER .text;"
            print "SECTIONS { .rodata.new : { *(.rodata .rodata.*) } }"
            print "INSERT AFTER .rodata.lasting;"
        }' ci/order.txt
}

# Of equal texts the linker keeps that of the first function, which may lie far from the others. So
# none are merged: NAME.a becomes NAME.unmerged.a.
unmerge() {
    ${cross}objcopy -w --set-section-flags '.rodata.*.str1.*=contents,alloc,load,readonly,data' \
        "$dir/$1.a" "$dir/$1.unmerged.a"
}

# musl-gcc -static-pie links dynamically without saying so: name every file of the link ourselves.
link_musl() {
    linked=$1
    shift
    gcc_file() { ${cross}gcc -print-file-name="$1"; }
    write_order > "$dir/order.ld"
    unmerge libkachery
    unmerge libthird
    ${cross}gcc -nostdlib -static-pie -o "$linked" -Wl,-z,relro,-z,now,-z,noexecstack,-z,text \
        -Wl,--gc-sections,--build-id=none,--no-dynamic-linker,--fatal-warnings \
        -Wl,-T,"$dir/order.ld" \
        "$musl/rcrt1.o" "$musl/crti.o" "$(gcc_file crtbeginS.o)" \
        "$@" "$dir/libkachery.unmerged.a" "$dir/libthird.unmerged.a" \
        -Wl,--start-group "$musl/libc.a" "$(gcc_file libgcc.a)" "$(gcc_file libgcc_eh.a)" \
        -Wl,--end-group "$(gcc_file crtendS.o)" "$musl/crtn.o"
}

link() {
    if [ "$variant" = musl ]; then
        link_musl "$@"
    else
        linked=$1
        shift
        $cc $sanitize ${counted:-} -Wl,--gc-sections -o "$linked" "$@" $dir/libkachery.a $dir/libthird.a ${libs:-}
    fi
}

# link_program OUT OBJECT...: link, and of a release keep the symbols beside it.
link_program() {
    if [ "$variant" != musl ]; then
        link "$@"
        return
    fi
    stripped=$1
    shift
    link "$stripped.debug" "$@"
    ${cross}strip -o "$stripped" "$stripped.debug"
    ci/check_binary.sh "$stripped"
}
