#!/bin/sh
# ci/dist.sh: dist/kachery-resource-<version>-<machine>.tar.gz, the same bytes from the same
# sources, with the program, its checksum, the README and all licences.
set -eu
cd "$(dirname "$0")/.."
program=build/kachery-resource
version=$("$program" --version | sed -n '1s/.*[ v]\([0-9][^ ]*\).*/\1/p')
[ -n "$version" ] || { echo "dist: $program --version names no version" >&2; exit 1; }
name=kachery-resource-$version-$(uname -m)
rm -rf "dist/$name"
mkdir -p "dist/$name"
cp "$program" LICENSE "dist/$name/"
[ ! -f README.md ] || cp README.md "dist/$name/"
{
    echo "kachery-resource contains parts of these libraries and of musl."
    for file in bearssl/LICENSE.txt cjson/LICENSE libyaml/License libsodium/LICENSE; do
        printf '\n---- %s ----\n\n' "${file%%/*}"
        cat "vendor/src/$file"
    done
    printf '\n---- musl ----\n\n'
    cat vendor/musl.COPYRIGHT
} > "dist/$name/THIRD-PARTY-LICENSES"
(cd "dist/$name" && sha256sum kachery-resource > kachery-resource.sha256)
chmod 755 "dist/$name/kachery-resource"
tar -C dist --sort=name --owner=0 --group=0 --numeric-owner --mtime='2026-01-01 00:00Z' \
    --mode=u=rwX,go=rX -cf - "$name" | gzip -9n > "dist/$name.tar.gz"
(cd dist && sha256sum "$name.tar.gz" > "$name.tar.gz.sha256")
ls -l "dist/$name.tar.gz"
