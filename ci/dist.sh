#!/bin/sh
# ci/dist.sh: dist/kachery-resource-<version>-<machine>.tar.gz, the same bytes from the same sources:
# program, man page, completions, units, texts, licences; packages of it where their tools are here;
# SHA256SUMS of all, signed with minisign where MINISIGN_KEY names a key.
set -eu
umask 022
export LC_ALL=C TZ=UTC # the order of names, dates
unset TAR_OPTIONS GZIP XZ_OPT XZ_DEFAULTS DPKG_DEB_COMPRESSOR_TYPE DPKG_DEB_COMPRESSOR_LEVEL DPKG_DEB_THREADS_MAX
cd "$(dirname "$0")/.."
. ci/flags.sh
[ -z "$cross" ] || KACHERY_ARCH=$(uname -m) ci/variant.sh musl # to print the texts
program=build/kachery-resource
version=$(sed -n 's/^#define VERSION "\(.*\)"/\1/p' src/base/version.h)
date=$(sed -n 's/^#define VERSION_DATE "\(.*\)"/\1/p' src/base/version.h)
[ "$("$program" --version)" = "kachery-resource $version" ] || { echo "dist: $program is another version" >&2; exit 1; }
export SOURCE_DATE_EPOCH="${SOURCE_DATE_EPOCH:-$(date -u -d "$date" +%s)}"
name=kachery-resource-$version-$arch
place=dist/$name
rm -rf "$place"
mkdir -p "$place/man/man1" "$place/completions" "$place/systemd" "$place/modulefiles/kachery-resource"

cp "$out/kachery-resource" LICENSE README.md CHANGELOG.md ci/package/Containerfile "$place/"
"$program" help --man > "$place/man/man1/kachery-resource.1"
for shell in bash fish; do
    "$program" completion "$shell" > "$place/completions/kachery-resource.$shell"
done
"$program" completion zsh > "$place/completions/_kachery-resource"
sed "s/@version@/$version/" ci/package/modulefile > "$place/modulefiles/kachery-resource/$version"
for unit in kachery-share kachery-hub; do
    sed 's|@user_program@|%h/bin/kachery-resource|; s|@program@|/usr/local/bin/kachery-resource|' \
        "ci/package/$unit.service" > "$place/systemd/$unit.service"
done
{
    echo "kachery-resource contains parts of these libraries, of musl, and of GCC's runtime library."
    for file in bearssl/LICENSE.txt cjson/LICENSE libyaml/License libsodium/LICENSE; do
        printf '\n---- %s ----\n\n' "${file%%/*}"
        cat "vendor/src/$file"
    done
    printf '\n---- musl ----\n\n'
    cat vendor/musl.COPYRIGHT
    printf '\n---- libgcc (GPL 3 with this exception) ----\n\n'
    cat vendor/gcc.EXCEPTION
} > "$place/THIRD-PARTY-LICENSES"
find "$place" -type f -exec chmod 644 {} +
chmod 755 "$place/kachery-resource"

tar -C dist --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" \
    --mode=u=rwX,go=rX -cf - "$name" | gzip -9n > "dist/$name.tar.gz"
for tool in deb:dpkg-deb rpm:rpmbuild; do
    if command -v "${tool#*:}" >/dev/null 2>&1; then
        "ci/package/${tool%:*}.sh" "$place" "$version" "$arch" dist
    else
        echo "dist: no ${tool%:*} package without ${tool#*:}" >&2
    fi
done
rm -f dist/SHA256SUMS dist/SHA256SUMS.minisig
(cd dist && sha256sum -- $(ls | grep -E "^kachery-resource[-_]$version.*\.(tar\.gz|deb|rpm)\$") > SHA256SUMS)
[ -z "${MINISIGN_KEY:-}" ] || minisign -S -s "$MINISIGN_KEY" -m dist/SHA256SUMS -t "kachery-resource $version" > /dev/null
ls -l dist/*"$version"*.* dist/SHA256SUMS*
