#!/bin/sh
# ci/package/rpm.sh FOLDER VERSION MACHINE OUT: an RPM package of the folder of an archive.
set -eu
umask 022
here=$(dirname "$0")
from=${1:?} version=${2:?} machine=${3:?} out=${4:?}
top=$(mktemp -d /var/tmp/kachery-rpm.XXXXXX) # where rpmbuild writes anyway: it bears no quotes in names
trap 'rm -rf "$top"' EXIT

"$here/tree.sh" "$from" "$top/root" site-functions
for file in CHANGELOG.md LICENSE THIRD-PARTY-LICENSES; do
    install -m 644 "$from/$file" "$top/root/usr/share/doc/kachery-resource/$file"
done
sed "s/@version@/$version/" "$here/kachery-resource.spec" > "$top/kachery-resource.spec"
find "$top/root" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
rpmbuild -bb --quiet --target "$machine-linux" --buildroot "$top/buildroot" \
    --define "_topdir $top" --define "_rpmdir $top/out" --define "_rpmfilename %{name}-%{version}-%{release}.%{arch}.rpm" \
    --define "_buildhost localhost" --define "_build_name_fmt %{name}-%{version}-%{release}.%{arch}.rpm" \
    --define "use_source_date_epoch_as_buildtime 1" --define "clamp_mtime_to_source_date_epoch 1" \
    --define "tree $top/root" "$top/kachery-resource.spec" > "$top/log" 2>&1 ||
    { cat "$top/log" >&2; exit 1; }
cp "$top"/out/*.rpm "$out/"
