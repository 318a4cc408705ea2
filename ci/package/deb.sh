#!/bin/sh
# ci/package/deb.sh FOLDER VERSION MACHINE OUT: a Debian package of the folder of an archive.
set -eu
umask 022
here=$(dirname "$0")
from=${1:?} version=${2:?} out=${4:?}
case ${3:?} in
    x86_64) deb_arch=amd64 ;;
    aarch64) deb_arch=arm64 ;;
    *) deb_arch=$3 ;;
esac
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT

"$here/tree.sh" "$from" "$root" vendor-completions
doc=$root/usr/share/doc/kachery-resource
cat "$from/LICENSE" "$from/THIRD-PARTY-LICENSES" > "$doc/copyright"
gzip -9nc "$from/CHANGELOG.md" > "$doc/changelog.gz"
printf 'kachery-resource (%s-1) unstable; urgency=medium\n\n  * See changelog.gz.\n\n -- %s  %s\n' "$version" \
    "$(sed -n 's/^Maintainer: //p' "$here/deb_control")" "$(LC_ALL=C date -u -R -d "@$SOURCE_DATE_EPOCH")" |
    gzip -9n > "$doc/changelog.Debian.gz"
# The program is static, so that it runs everywhere: lintian takes it for a shared library; copyright
# names the libraries in it.
mkdir -p "$root/usr/share/lintian/overrides" "$root/DEBIAN"
printf 'kachery-resource: %s\n' 'embedded-library *' shared-library-lacks-prerequisites initial-upload-closes-no-bugs \
    > "$root/usr/share/lintian/overrides/kachery-resource"
# As dpkg-gencontrol counts: what du says depends on the file system.
kib=$(find "$root/usr" -printf '%y %s\n' | awk '{ n += $1 == "f" ? int(($2 + 1023) / 1024) : 1 } END { print n }')
sed "s/@version@/$version/; s/@deb_arch@/$deb_arch/; s/@kib@/$kib/" "$here/deb_control" > "$root/DEBIAN/control"
(cd "$root" && find usr -type f | LC_ALL=C sort | xargs md5sum > DEBIAN/md5sums)
find "$root" -type d -exec chmod 755 {} +
find "$root" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
dpkg-deb --root-owner-group -Zxz --build "$root" "$out/kachery-resource_$version-1_$deb_arch.deb" > /dev/null
