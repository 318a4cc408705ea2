#!/bin/sh
# ci/third_party.sh: one line a source file of the vendored libraries, with the flags it needs.
# Run from the top folder; read by ci/variant.sh.
set -eu
src=vendor/src

list() {
    flags=$1
    shift
    for file in "$@"; do printf '%s %s\n' "$file" "$flags"; done
}

# Without what no call leads to: arithmetic for processors with 15-bit or slow multiplication, POWER8, the making of
# keys. A link that wants one of them fails by its name.
bearssl="-DBR_USE_URANDOM=1 -DBR_USE_UNIX_TIME=1 -I$src/bearssl/inc -I$src/bearssl/src"
list "$bearssl" \
    $(find $src/bearssl/src -name '*.c' ! -path '*/src/hash/*' ! -name '*[im]15*' ! -name '*_i32_*' ! -name 'i32_[!d]*' ! -name '*pwr8*' ! -name '*keygen*' \
        ! -name '*oaep*' ! -name 'encode_*' ! -name 'eax.c' ! -name 'hkdf.c' ! -name '*pubkey*' | LC_ALL=C sort)

# Hashes take half of the time of the unit tests, in loops over blocks of one size: fast in every variant.
list "$bearssl -O2 -fno-sanitize=address" $(find $src/bearssl/src/hash -name '*.c' ! -name '*pwr8*' | LC_ALL=C sort)

list "-DCJSON_HIDE_SYMBOLS" $src/cjson/cJSON.c

# yaml_free is our own function's name. It reads a file of a few lines now and then.
list "-Os -DYAML_DECLARE_STATIC -Dyaml_free=libyaml_free \
-DYAML_VERSION_MAJOR=0 -DYAML_VERSION_MINOR=2 -DYAML_VERSION_PATCH=5 \
-DYAML_VERSION_STRING='\"0.2.5\"' -I$src/libyaml/include" \
    $src/libyaml/src/api.c $src/libyaml/src/loader.c $src/libyaml/src/parser.c \
    $src/libyaml/src/reader.c $src/libyaml/src/scanner.c $src/libyaml/src/dumper.c \
    $src/libyaml/src/emitter.c $src/libyaml/src/writer.c

sodium=$src/libsodium/src/libsodium
list "-DCONFIGURED=1 -DNATIVE_LITTLE_ENDIAN=1 -DHAVE_TI_MODE=1 -DHAVE_EXPLICIT_BZERO=1 \
-DSODIUM_STATIC=1 -I$sodium/include -I$sodium/include/sodium" \
    $sodium/crypto_sign/crypto_sign.c \
    $sodium/crypto_sign/ed25519/sign_ed25519.c \
    $sodium/crypto_sign/ed25519/ref10/keypair.c \
    $sodium/crypto_sign/ed25519/ref10/open.c \
    $sodium/crypto_sign/ed25519/ref10/sign.c \
    $sodium/crypto_core/ed25519/ref10/ed25519_ref10.c \
    $sodium/crypto_hash/sha512/hash_sha512.c \
    $sodium/crypto_hash/sha512/cp/hash_sha512_cp.c \
    $sodium/crypto_verify/sodium/verify.c \
    $sodium/sodium/utils.c \
    vendor/sodium_shim.c
